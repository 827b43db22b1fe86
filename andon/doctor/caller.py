"""Caller: whose sessions a token opens, read off the token without judging it: the gateway does that.

Owns nothing of the token but two names. Guarantees: what is not to be read is None, and nothing of it is shown.
"""

import base64
from pathlib import Path
from typing import Any

import msgspec

from andon import apikeys
from andon.ids import ANONYMOUS, Principal
from andon.settings import Settings


def principal_of(settings: Settings, token: str | None) -> Principal | None:
    """Return who calls with this token, as `ANDON_AUTH` reads it; None where that cannot be told from here."""
    if settings.auth == "none":
        return ANONYMOUS
    if token is None:
        return None
    return _of_key(settings, token) if settings.auth == "keys" else _of_claims(settings, token)


def _of_key(settings: Settings, token: str) -> Principal | None:
    try:
        entries = apikeys.parse(Path(settings.keys_file or "").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, apikeys.BadKeysFile):
        return None
    entry = entries.get(apikeys.digest(token))
    return None if entry is None else entry.principal


def _of_claims(settings: Settings, token: str) -> Principal | None:
    try:
        text = token.split(".")[1]
        claims: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=dict)
        subject = claims[settings.jwt_subject_claim]
    except (IndexError, ValueError, KeyError, msgspec.DecodeError):
        return None
    tenant = claims.get(settings.jwt_tenant_claim, ANONYMOUS.tenant)
    return Principal(tenant, subject) if isinstance(tenant, str) and isinstance(subject, str) else None
