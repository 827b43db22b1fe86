"""Valkey: what a test must read there because no door tells it.

Owns nothing but the reading of one set, by the names of the contract (`andon.keys`).
"""

import redis


def members(redis_url: str, key: str) -> set[str]:
    """Return the members of a set."""
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    try:
        found = client.smembers(key)
        assert isinstance(found, set)
        return {str(member) for member in found}
    finally:
        client.close()
