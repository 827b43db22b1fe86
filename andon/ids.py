"""Ids: the names of sessions, responses, workers and gateways, and how one leads to another.

Owns how an id is made and read. Guarantees: a response id alone finds its session's slot in Redis, because it
carries the session's tag; two principals' sessions of one name have different tags; ids made here cannot be
guessed (80 bits of randomness or more).
"""

import hashlib
import os
import re
from base64 import b32encode
from typing import NewType

import msgspec

ResponseId = NewType("ResponseId", str)
SessionTag = NewType("SessionTag", str)
# The hash tag of all that is counted for one principal, or for one tenant.
CountTag = NewType("CountTag", str)
WorkerId = NewType("WorkerId", str)
GatewayId = NewType("GatewayId", str)
SocketId = NewType("SocketId", str)
SessionName = NewType("SessionName", str)

SESSION_NAME_MAX_CHARS = 128
_TAG_BYTES = 15  # 120 bits: 24 base32 characters without padding, well over the 80 that the contract asks for
_TAG_CHARS = 24
_RANDOM_BYTES = 10  # 80 bits: 16 characters
RESPONSE_ID_PATTERN = rf"^resp_[a-z2-7]{{{_TAG_CHARS}}}[a-z2-7]{{16}}$"
_RESPONSE_ID = re.compile(RESPONSE_ID_PATTERN)


_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
# Ten bits are two characters.
_PAIRS = tuple(one + other for one in _BASE32 for other in _BASE32)
_SHIFTS = tuple(range(8 * _RANDOM_BYTES - 10, -1, -10))


class Principal(msgspec.Struct, frozen=True):
    """Who is calling. `scopes` are the token's own words (`andon:admin`, ...)."""

    tenant: str
    subject: str
    scopes: frozenset[str] = frozenset()


ANONYMOUS = Principal(tenant="default", subject="anonymous")


def _base32(data: bytes) -> str:
    return b32encode(data).decode().rstrip("=").lower()


def _random() -> str:
    """Return random bytes in base32: `_base32` of them, at a fraction of its time, which every create waits for."""
    bits = int.from_bytes(os.urandom(_RANDOM_BYTES), "big")
    return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])


def _digest(person: bytes, *parts: str) -> str:
    """Digest texts; each goes in with its length, so that no two tuples read alike."""
    digest = hashlib.blake2b(digest_size=_TAG_BYTES, person=person)
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(4, "big"))
        digest.update(data)
    return _base32(digest.digest())


def session_tag(principal: Principal, session: SessionName) -> SessionTag:
    """Digest tenant, subject and session name into the hash tag of all keys of the session."""
    return SessionTag(_digest(b"andon.session", principal.tenant, principal.subject, session))


def principal_tag(tenant: str, subject: str) -> CountTag:
    """Digest tenant and subject into the hash tag of what is counted for this principal."""
    return CountTag("p_" + _digest(b"andon.principal", tenant, subject))


def tenant_tag(tenant: str) -> CountTag:
    """Digest a tenant into the hash tag of what is counted for all of it."""
    return CountTag("t_" + _digest(b"andon.tenant", tenant))


def new_session_name() -> SessionName:
    """Make up a name for a session whose client gave none."""
    return SessionName("sess_" + _random())


def new_response_id(tag: SessionTag) -> ResponseId:
    """Make the id of a new response of this session."""
    return ResponseId(f"resp_{tag}{_random()}")


def tag_of(response_id: ResponseId) -> SessionTag:
    """Read the session's tag out of a response id."""
    return SessionTag(response_id[len("resp_") :][:_TAG_CHARS])


def as_response_id(text: str) -> ResponseId | None:
    """Take a client's text for a response id if it has the shape of one of ours, else None."""
    return ResponseId(text) if _RESPONSE_ID.fullmatch(text) else None


def new_worker_id() -> WorkerId:
    """Name one life of a worker. After its dead-man's switch fires, a worker lives on under a new one."""
    return WorkerId("w_" + _random())


def new_gateway_id() -> GatewayId:
    """Name one life of a gateway."""
    return GatewayId("g_" + _random())


def new_socket_id() -> SocketId:
    """Name one socket; its lanes belong to it alone."""
    return SocketId("s_" + _random())
