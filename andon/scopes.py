"""Scopes: what a principal may do beyond its own sessions.

Owns the scopes' words, and whose tenants an operator may see and stop. Does no I/O.
"""

from typing import Final

from andon.ids import Principal

# An operator of the principal's own tenant.
ADMIN: Final = "andon:admin"
# An operator of every tenant.
ADMIN_ALL: Final = "andon:admin:all"


def is_operator(principal: Principal) -> bool:
    """Tell whether this principal may administer any tenant at all."""
    return bool(principal.scopes & {ADMIN, ADMIN_ALL})


def reach_of(principal: Principal) -> tuple[str, str]:
    """Return the tenant and the subject whose responses this principal may stop; '' for any."""
    if ADMIN_ALL in principal.scopes:
        return "", ""
    return principal.tenant, "" if ADMIN in principal.scopes else principal.subject


def administers(principal: Principal, tenant: str) -> bool:
    """Tell whether this principal may see and stop what is of this tenant."""
    return ADMIN_ALL in principal.scopes or (ADMIN in principal.scopes and principal.tenant == tenant)
