"""The kinds of keys that tokens are signed with, and what must not be taken for one another."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec

from tests.auth.handshakes import by_header
from tests.auth.tokens import EC, ED, JWT_ENV, RSA, pem, token
from tests.stack.stack import Stack

_OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]
_KINDS: dict[str, tuple[str, Any]] = {"rsa": ("RS256", RSA), "ec": ("ES256", EC), "ed25519": ("EdDSA", ED)}
_REFUSED = (401, "invalid_token", 'Bearer error="invalid_token"')


def _signed_with_the_public_key(text: str) -> str:
    """Sign by HS256 with the PEM text for a secret, by hand: PyJWT would not."""
    head = base64.urlsafe_b64encode(msgspec.json.encode({"alg": "HS256", "typ": "JWT"})).rstrip(b"=").decode()
    signed = f"{head}.{token().split('.')[1]}"
    digest = hmac.digest(text.encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


async def test_each_kind_of_public_key_takes_its_own_tokens_and_no_other(own_stack: _OwnStack, tmp_path: Path) -> None:
    """As PEM text or as a file; a public key is never taken for a secret, and `alg: none` for nothing."""
    as_file = tmp_path / "ec.pem"
    as_file.write_text(pem(EC))
    set_as = {"rsa": pem(RSA).replace("\n", "\\n"), "ec": str(as_file), "ed25519": pem(ED)}
    async with own_stack(gateways=0, workers=0, **JWT_ENV) as stack:
        for kind in _KINDS:
            gateway = await stack.start_gateway(ANDON_JWT_SECRET="", ANDON_JWT_PUBLIC_KEY=set_as[kind])
            for other, (algorithm, key) in _KINDS.items():
                told = await by_header(gateway.url, token(key=key, algorithm=algorithm))
                assert told == (None if other == kind else _REFUSED), (kind, other)
            public = pem(_KINDS[kind][1])
            for text in (public, public.strip(), set_as[kind]):
                assert await by_header(gateway.url, _signed_with_the_public_key(text)) == _REFUSED
            assert await by_header(gateway.url, token()) == _REFUSED
            if kind == "rsa":
                assert await by_header(gateway.url, token(key=RSA, algorithm="PS256")) == _REFUSED
