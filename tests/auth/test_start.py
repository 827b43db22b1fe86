"""Starting with tokens: what is missing or contradicts itself is one line that names the variable."""

import re
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from andon.errors import StartError
from andon.settings import load_settings
from gateway.__main__ import _refuse_open_door
from gateway.doorkeeper import Doorkeeper
from tests.auth.tokens import EC, JWT_ENV, RSA, SECRET, pem

_WEAK: Final = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  the weakness is the point
_ODD: Final = ec.generate_private_key(ec.SECP384R1())
_PRIVATE: Final = EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _jwt(**env: str) -> dict[str, str]:
    return {name: value for name, value in {**JWT_ENV, **env}.items() if value}


@pytest.mark.parametrize(
    ("env", "told"),
    [
        (_jwt(ANDON_JWT_SECRET=""), "needs one of ANDON_JWT_SECRET, ANDON_JWT_PUBLIC_KEY, ANDON_JWT_JWKS_URL; none"),
        (_jwt(ANDON_JWT_PUBLIC_KEY=pem(RSA)), "not ANDON_JWT_SECRET and ANDON_JWT_PUBLIC_KEY"),
        (_jwt(ANDON_JWT_JWKS_URL="https://i.example/k"), "not ANDON_JWT_SECRET and ANDON_JWT_JWKS_URL"),
        (_jwt(ANDON_JWT_ISSUER=""), "needs ANDON_JWT_ISSUER"),
        (_jwt(ANDON_JWT_AUDIENCE=""), "needs ANDON_JWT_AUDIENCE"),
        (_jwt(ANDON_JWT_SECRET="s3cret"), "ANDON_JWT_SECRET is too short"),
        (_jwt(ANDON_JWT_SECRET=pem(RSA)), "ANDON_JWT_SECRET holds a PEM key"),
        (_jwt(ANDON_JWT_SECRET="", ANDON_JWT_PUBLIC_KEY="/nowhere/key.pem"), "ANDON_JWT_PUBLIC_KEY is neither"),
        (_jwt(ANDON_JWT_SECRET="", ANDON_JWT_PUBLIC_KEY=_PRIVATE), "ANDON_JWT_PUBLIC_KEY holds no public key"),
        (_jwt(ANDON_JWT_SECRET="", ANDON_JWT_PUBLIC_KEY=pem(_WEAK)), "ANDON_JWT_PUBLIC_KEY is too weak"),
        (_jwt(ANDON_JWT_SECRET="", ANDON_JWT_PUBLIC_KEY=pem(_ODD)), "ANDON_JWT_PUBLIC_KEY is of a kind"),
        (_jwt(ANDON_JWT_SECRET="", ANDON_JWT_JWKS_URL="http://i.example/k"), "ANDON_JWT_JWKS_URL must be https"),
        (_jwt(ANDON_KEYS_FILE="/keys"), "ANDON_KEYS_FILE is set, but ANDON_AUTH=jwt"),
        (_jwt(ANDON_AUTH="none"), "ANDON_JWT_SECRET is set, but ANDON_AUTH=none: set ANDON_AUTH=jwt"),
        (_jwt(ANDON_AUTH=""), "ANDON_JWT_SECRET is set, but ANDON_AUTH=none"),
        ({"ANDON_AUTH": "keys"}, "needs ANDON_KEYS_FILE"),
        ({"ANDON_AUTH": "keys", "ANDON_KEYS_FILE": "/nowhere"}, "ANDON_KEYS_FILE cannot be read: No such file"),
        ({"ANDON_AUTH": "keys", "ANDON_KEYS_FILE": __file__}, "ANDON_KEYS_FILE cannot be read"),
    ],
)
def test_what_is_missing_or_contradictory_stops_the_start(env: dict[str, str], told: str) -> None:
    """One line, with the variable, and nothing of any secret."""
    with pytest.raises(StartError, match=re.escape(told)) as refused:
        Doorkeeper(load_settings(env))
    line = str(refused.value)
    assert "\n" not in line
    for secret in (SECRET, "s3cret", _PRIVATE, "PRIVATE"):
        assert secret not in f"{line} {refused.value!r} {refused.value.__cause__!r}"


@pytest.mark.parametrize(
    ("env", "host", "is_refused"),
    [
        ({}, "127.0.0.1", False),
        ({}, "0.0.0.0", True),  # noqa: S104  the address that the check is about
        ({"ANDON_AUTH_NONE_IS_MEANT": "true"}, "0.0.0.0", False),  # noqa: S104
        (JWT_ENV, "0.0.0.0", False),  # noqa: S104
        ({"ANDON_AUTH": "keys", "ANDON_KEYS_FILE": "k"}, "::", False),
    ],
    ids=["loopback", "open", "open_and_meant", "jwt", "keys"],
)
def test_only_without_tokens_an_open_address_is_refused(env: dict[str, str], host: str, is_refused: bool) -> None:
    """With tokens, any will do."""
    settings = load_settings(env)
    if is_refused:
        with pytest.raises(StartError, match="ANDON_AUTH=none on 0\\.0\\.0\\.0"):
            _refuse_open_door(settings, host)
    else:
        _refuse_open_door(settings, host)
