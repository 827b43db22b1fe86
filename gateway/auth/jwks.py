"""JWKS: an issuer's keys, read from the URL where it publishes them (RFC 7517).

Owns when that URL is asked: on opening, at intervals, and when a token names a key that is not known yet, for issuers
rotate. Guarantees: however many strangers make up key names, the URL is asked no more than once in a while; while it
does not answer, the keys that were read last go on counting.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import jwt
import msgspec
import structlog

from andon.errors import KeysUnavailable, StartError
from andon.lifetime import background
from gateway.auth.signing_keys import SigningKey

_log = structlog.get_logger(__name__)

_TIMEOUT_S: Final = 5.0
# Least time between two readings, whoever asks: a rotation is noticed within this.
_AGAIN_S: Final = 5.0
_MOST_BYTES: Final = 1024 * 1024
# Never a secret's: a set of keys that anybody can read.
_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"})
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class JwksKeys:
    """The keys behind one URL."""

    def __init__(self, url: str, *, refresh_s: float) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            # Whoever can change what is read there can make tokens.
            raise StartError("ANDON_JWT_JWKS_URL must be https:// (http:// only on this machine itself)")
        self._url = url
        self._refresh_s = refresh_s
        # By key id; None: never read.
        self._keys: dict[str | None, list[SigningKey]] | None = None
        # One reading at a time, whoever waits for it.
        self._reading = asyncio.Lock()
        # Loop time of the last attempt.
        self._asked_at = float("-inf")
        # Whether that attempt got any keys.
        self._was_read = False
        # Readings so far.
        self._readings = 0
        self._http: httpx2.AsyncClient | None = None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Read the keys now and at intervals. Does not wait for the first reading."""
        async with (
            httpx2.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False) as self._http,
            background(self._keep_fresh()),
        ):
            yield

    async def find(self, header: Mapping[str, Any]) -> SigningKey | None:
        """Return the key that the token names; the only one if it names none.

        Raises KeysUnavailable while no keys were ever read. Cancelling it is safe.
        """
        name, algorithm = header.get("kid"), header.get("alg")
        found = self._lookup(name, algorithm)
        if found is None and name not in (self._keys or {}) and await self._read_for_unknown():
            found = self._lookup(name, algorithm)
        if self._keys is None:
            message = "Tokens cannot be checked at present: the issuer's keys are not to be had. Try again."
            raise KeysUnavailable("keys_unavailable", message, retry_after_s=_AGAIN_S)
        return found

    def _lookup(self, name: str | None, algorithm: str | None) -> SigningKey | None:
        known = self._keys or {}
        named = known.get(name, []) if name is not None else [key for keys in known.values() for key in keys]
        fitting = [key for key in named if key.algorithm == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    async def _read_for_unknown(self) -> bool:
        """Read the keys unless that was tried a moment ago; whoever comes meanwhile waits for the same reading."""
        readings = self._readings
        async with self._reading:
            if self._readings != readings:
                return True  # somebody else read them while we waited
            if self._since_asked_s() < _AGAIN_S:
                return False
            await self._read()
            return True

    async def _keep_fresh(self) -> None:
        while True:
            async with self._reading:
                if self._since_asked_s() >= self._pause_s:  # whoever came first may just have read them
                    await self._read()
            await asyncio.sleep(self._pause_s)

    @property
    def _pause_s(self) -> float:
        return self._refresh_s if self._was_read else min(_AGAIN_S, self._refresh_s)

    def _since_asked_s(self) -> float:
        return asyncio.get_running_loop().time() - self._asked_at

    async def _read(self) -> None:
        self._was_read = False
        self._asked_at = asyncio.get_running_loop().time()
        try:
            keys = _parse(await self._fetch())
        except (httpx2.HTTPError, TimeoutError, ValueError) as error:
            # Its kind alone: what the URL answered is nobody's business here.
            _log.warning("jwks.unreadable", why=type(error).__name__, has_keys=self._keys is not None)
            return
        if self._keys is None or keys.keys() != self._keys.keys():
            _log.info("jwks.read", keys=sum(map(len, keys.values())))
        self._keys = keys
        self._was_read = True
        self._readings += 1

    async def _fetch(self) -> bytes:
        assert self._http is not None, "find is for an open JwksKeys"
        body = bytearray()
        async with asyncio.timeout(_TIMEOUT_S), self._http.stream("GET", self._url) as reply:
            reply.raise_for_status()
            async for piece in reply.aiter_bytes():
                body += piece
                if len(body) > _MOST_BYTES:
                    raise ValueError("the answer is too large")
        return bytes(body)


def _parse(body: bytes) -> dict[str | None, list[SigningKey]]:
    """Read a JWK Set; what is no public key for signatures is passed over, as RFC 7517 (section 5) says."""
    told = msgspec.json.decode(body)
    listed = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(listed, list):
        raise ValueError("no JWK Set")  # noqa: TRY004  ValueError is what an unreadable answer raises here
    keys: dict[str | None, list[SigningKey]] = {}
    for member in listed:
        key = _public(member)
        if key is not None:
            keys.setdefault(member.get("kid"), []).append(key)
    if not keys:
        raise ValueError("no key in it can be used")
    return keys


def _public(member: Any) -> SigningKey | None:
    if not isinstance(member, dict) or member.get("use", "sig") != "sig" or "d" in member:
        return None
    if not isinstance(member.get("kid"), str | None):
        return None
    try:
        key = jwt.PyJWK(member)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    return SigningKey(key.algorithm_name, key) if key.algorithm_name in _ALGORITHMS else None
