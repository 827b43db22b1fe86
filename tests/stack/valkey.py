"""Valkey: what a test must read there because no door tells it.

Owns nothing but the reading of one set, by the names of the contract (`andon.keys`).
"""

from .servers import Servers


def members(servers: Servers, key: str) -> set[str]:
    """Return the members of a set."""
    with servers.client(key) as client:
        found = client.smembers(key)
    assert isinstance(found, set)
    return {str(member) for member in found}
