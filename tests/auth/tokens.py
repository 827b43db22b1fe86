"""Tokens: what an issuer of the tests makes, good and bad."""

import time
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SECRET: Final = "the-secret-of-the-tests-0123456789abcdef"
ISSUER: Final = "https://issuer.example"
AUDIENCE: Final = "andon-tests"

RSA: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC: Final = ec.generate_private_key(ec.SECP256R1())
ED: Final = ed25519.Ed25519PrivateKey.generate()

JWT_ENV: Final = {
    "ANDON_AUTH": "jwt",
    "ANDON_JWT_SECRET": SECRET,
    "ANDON_JWT_ISSUER": ISSUER,
    "ANDON_JWT_AUDIENCE": AUDIENCE,
    "ANDON_JWT_LEEWAY_S": "0",
}


def token(
    subject: str = "alice",
    tenant: str = "acme",
    scope: object = "",
    *,
    lasts_s: float = 3600,
    key: Any = SECRET,
    algorithm: str = "HS256",
    kid: str | None = None,
    without: tuple[str, ...] = (),
    **claims: Any,
) -> str:
    """Make a signed token. `without`: claims to leave out."""
    told = {
        "sub": subject,
        "tenant": tenant,
        "scope": scope,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": int(time.time() + lasts_s),
        **claims,
    }
    body = {name: value for name, value in told.items() if name not in without}
    return jwt.encode(body, key, algorithm=algorithm, headers=None if kid is None else {"kid": kid})


def pem(private: Any) -> str:
    """Write the public half of a key."""
    found: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found.decode()


def bearer(text: str | None) -> dict[str, str]:
    """Return the headers of a request with this token."""
    return {} if text is None else {"Authorization": f"Bearer {text}"}
