"""An issuer's key set: read from its URL, rotated, unreachable."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from andon.errors import KeysUnavailable, StartError
from gateway.auth.jwks import JwksKeys
from tests.auth.handshakes import as_browser, by_header
from tests.auth.jwks_server import KeySet, jwk, serving
from tests.auth.tokens import EC, JWT_ENV, RSA, token
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until

_OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]
_REFUSED = (401, "invalid_token", 'Bearer error="invalid_token"')
_OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _signed(kid: str | None, key: object = RSA, algorithm: str = "RS256") -> str:
    return token(key=key, algorithm=algorithm, kid=kid)


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Try until it holds: when the gateway reads the URL is its own affair."""
    for _ in range(300):
        if await holds():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("not within 300 tries")


@pytest.fixture
def published() -> Iterator[KeySet]:
    with serving() as served:
        served.publish(jwk(RSA, "first", alg="RS256", use="sig"))
        yield served


@pytest.fixture
async def keys(published: KeySet, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JwksKeys]:
    """Lend the keys of that URL; a new reading for unknown keys at once."""
    monkeypatch.setattr("gateway.auth.jwks._AGAIN_S", 0.0)
    found = JwksKeys(published.url, refresh_s=3600)
    async with found.open():
        yield found


async def test_a_rotated_key_is_found_and_the_old_one_counts_no_more(own_stack: _OwnStack, published: KeySet) -> None:
    """Through the door, with what an issuer does: publish the next key, sign with it, take the old one away."""
    env = {**JWT_ENV, "ANDON_JWT_SECRET": "", "ANDON_JWT_JWKS_URL": published.url, "ANDON_JWT_JWKS_REFRESH_S": "1"}
    async with own_stack(gateways=1, workers=0, **env) as stack:
        url = stack.gateways[0].url

        async def is_let_in(kid: str, key: object) -> bool:
            return await by_header(url, _signed(kid, key)) is None

        async def is_kept_out(kid: str, key: object) -> bool:
            return not await is_let_in(kid, key)

        assert await is_let_in("first", RSA)
        assert not await is_let_in("second", _OTHER)
        assert not await is_let_in("first", _OTHER)
        published.publish(jwk(RSA, "first"), jwk(_OTHER, "second"))
        await _until(lambda: is_let_in("second", _OTHER))
        assert await is_let_in("first", RSA)
        published.publish(jwk(_OTHER, "second"))
        await _until(lambda: is_kept_out("first", RSA))
        assert await by_header(url, token(key="a-secret-of-enough-bytes-0123456789", kid="second")) == _REFUSED
        # The issuer is away: what was read last goes on counting.
        published.status = 500
        await wait_until(lambda: bool(stack.gateways[0].log_events("jwks.unreadable")), what="a reading failed")
        assert await is_let_in("second", _OTHER)


async def test_without_any_keys_tokens_are_neither_good_nor_bad(own_stack: _OwnStack, published: KeySet) -> None:
    """503 with Retry-After, 1013 for browsers; the gateway starts all the same, and finds the keys when they come."""
    published.status = 500
    env = {**JWT_ENV, "ANDON_JWT_SECRET": "", "ANDON_JWT_JWKS_URL": published.url, "ANDON_JWT_JWKS_REFRESH_S": "1"}
    async with own_stack(gateways=1, workers=0, **env) as stack:
        url = stack.gateways[0].url
        assert await by_header(url, _signed("first")) == (503, "keys_unavailable", None)
        refused = await as_browser(url, "andon.v1", f"bearer.{_signed('first')}")
        assert refused is not None
        assert refused[1] == (1013, "keys_unavailable")
        published.status = 200

        async def is_let_in() -> bool:
            return await by_header(url, _signed("first")) is None

        await _until(is_let_in)


async def test_made_up_keys_do_not_hammer_the_issuer(published: KeySet) -> None:
    """A thousand strangers cost one reading, however many ask at once."""
    keys = JwksKeys(published.url, refresh_s=3600)
    async with keys.open():
        assert await keys.find({"kid": "first", "alg": "RS256"}) is not None
        asked = published.asked
        found = await asyncio.gather(*(keys.find({"kid": f"made-up-{n}", "alg": "RS256"}) for n in range(1000)))
        assert found == [None] * 1000
        assert published.asked == asked == 1


async def test_those_who_ask_for_an_unknown_key_share_one_reading(keys: JwksKeys, published: KeySet) -> None:
    """Whoever comes while the URL is read waits for that reading."""
    await keys.find({"kid": "first", "alg": "RS256"})
    published.publish(jwk(RSA, "first"), jwk(_OTHER, "second"))
    asked = published.asked
    found = await asyncio.gather(*(keys.find({"kid": "second", "alg": "RS256"}) for _ in range(100)))
    assert None not in found
    assert published.asked == asked + 1


_A_SECRET = {"kty": "oct", "kid": "a", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ"}


@pytest.mark.parametrize(
    ("listed", "header", "is_found"),
    [
        ([jwk(RSA, "a", alg="RS256")], {"kid": "a", "alg": "RS256"}, True),
        ([jwk(RSA, "a")], {"kid": "a", "alg": "RS256"}, True),
        ([jwk(RSA, "a", alg="PS256")], {"kid": "a", "alg": "PS256"}, True),
        ([jwk(RSA, "a", alg="PS256")], {"kid": "a", "alg": "RS256"}, False),
        ([jwk(EC, "a")], {"kid": "a", "alg": "ES256"}, True),
        ([jwk(EC, "a")], {"kid": "a", "alg": "RS256"}, False),
        ([jwk(RSA, "a", use="enc"), jwk(EC, "b")], {"kid": "a", "alg": "RS256"}, False),
        ([_A_SECRET, jwk(EC, "b")], {"kid": "a", "alg": "HS256"}, False),
        ([jwk(RSA, "a"), jwk(_OTHER, "a")], {"kid": "a", "alg": "RS256"}, False),
        ([jwk(RSA, "a"), jwk(EC, "b")], {"alg": "ES256"}, True),
        ([jwk(RSA, "a"), jwk(_OTHER, "b")], {"alg": "RS256"}, False),
        ([jwk(RSA, None)], {"alg": "RS256"}, True),
        (["nonsense", {"kty": "odd"}, {"kid": 7}, jwk(EC, "a")], {"kid": "a", "alg": "ES256"}, True),
        ([jwk(EC, "a")], {"kid": "a"}, False),
    ],
    ids=["plain", "no_alg", "pss", "another_alg", "ec", "ec_as_rsa", "for_encryption", "a_secret", "twice", "only_one",
         "one_of_two", "without_kid", "beside_nonsense", "no_algorithm"],
)  # fmt: skip
async def test_which_key_a_token_finds(
    keys: JwksKeys, published: KeySet, listed: list[dict[str, object]], header: dict[str, str], is_found: bool
) -> None:
    """By its name and its algorithm; never a secret, never one for something else, never a guess between two."""
    published.publish(*listed)
    await keys.find({"kid": "not there", "alg": "RS256"})  # has it read again
    assert (await keys.find(header) is not None) is is_found


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": []}', b'{"keys": {}}', b"<html>", b"x" * 2_000_000])
async def test_nonsense_is_no_key_set(published: KeySet, body: bytes) -> None:
    """As if the URL did not answer."""
    published.body = body
    keys = JwksKeys(published.url, refresh_s=3600)
    async with keys.open():
        with pytest.raises(KeysUnavailable):
            await keys.find({"kid": "a", "alg": "RS256"})


@pytest.mark.parametrize("url", ["http://issuer.example/keys", "ftp://127.0.0.1/keys", "keys.json", ""])
def test_keys_are_not_read_from_where_others_could_change_them(url: str) -> None:
    """TLS, or this machine itself."""
    with pytest.raises(StartError, match="ANDON_JWT_JWKS_URL must be https://"):
        JwksKeys(url, refresh_s=300)
