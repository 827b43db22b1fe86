"""Signing keys: what tokens are checked with, and by which algorithm.

The algorithm is the key's, never the token's choice: a token that names another is refused, so neither `alg: none`
nor a public key taken for a secret gets anywhere (RFC 8725, sections 2.1 and 3.1).
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import SecretStr

from andon.errors import StartError

# RFC 7518, section 3.2: as long as the digest. A shorter one can be guessed from a single token.
_SECRET_LEAST_BYTES: Final = 32
_RSA_LEAST_BITS: Final = 2048
_PEM: Final = "-----BEGIN"


class SigningKey(msgspec.Struct, frozen=True):
    """A key and its one algorithm."""

    algorithm: str
    key: Any

    def __repr__(self) -> str:
        """Show the algorithm; the key may be a secret."""
        return f"SigningKey({self.algorithm})"


class SigningKeys(Protocol):
    """Where keys are found."""

    def open(self) -> AbstractAsyncContextManager[None]:
        """Keep the keys up to date for as long as the context lasts."""
        ...

    async def find(self, header: Mapping[str, Any]) -> SigningKey | None:
        """Return the key for a token with this header; None if there is none. Raises KeysUnavailable."""
        ...


class OneKey:
    """A single key that is set, whatever a token's header says."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key

    def open(self) -> AbstractAsyncContextManager[None]:
        """Nothing changes."""
        return nullcontext()

    async def find(self, header: Mapping[str, Any]) -> SigningKey:
        """Return the key."""
        del header
        return self._key


def secret_key(secret: SecretStr) -> OneKey:
    """Take a secret for HS256. Raises StartError."""
    text = secret.get_secret_value().strip()
    if text.startswith(_PEM):
        raise StartError("ANDON_JWT_SECRET holds a PEM key; set a public key as ANDON_JWT_PUBLIC_KEY instead")
    if len(text.encode()) < _SECRET_LEAST_BYTES:
        raise StartError(f"ANDON_JWT_SECRET is too short: HS256 needs {_SECRET_LEAST_BYTES} bytes or more")
    return OneKey(SigningKey("HS256", text.encode()))


def public_key(text: str) -> OneKey:
    """Take a public key, PEM or the path of a PEM file. Raises StartError."""
    key = _load(_read(text))
    match key:
        case RSAPublicKey() if key.key_size < _RSA_LEAST_BITS:
            raise StartError(f"ANDON_JWT_PUBLIC_KEY is too weak: RSA needs {_RSA_LEAST_BITS} bits or more")
        case RSAPublicKey():
            return OneKey(SigningKey("RS256", key))
        case EllipticCurvePublicKey(curve=SECP256R1()):
            return OneKey(SigningKey("ES256", key))
        case Ed25519PublicKey():
            return OneKey(SigningKey("EdDSA", key))
        case _:
            raise StartError("ANDON_JWT_PUBLIC_KEY is of a kind that is not used here; RSA, P-256 and Ed25519 are")


def _read(text: str) -> bytes:
    # In an environment file, the lines of a PEM often come as one.
    text = text.strip().replace("\\n", "\n")
    if text.startswith(_PEM):
        return text.encode()
    try:
        return Path(text).read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no path"
        raise StartError(f"ANDON_JWT_PUBLIC_KEY is neither PEM nor a file that can be read ({why})") from None


def _load(pem: bytes) -> object:
    try:
        return load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not `from`: what could not be read may be a private key.
        raise StartError("ANDON_JWT_PUBLIC_KEY holds no public key in PEM (`-----BEGIN PUBLIC KEY-----`)") from None
