"""JWT tokens: signed claims of an issuer (RFC 7519), checked as RFC 8725 says.

Owns which claims are needed and what they become. Guarantees: issuer, audience and expiry are always checked, and
nothing of a token is taken for true before its signature.
"""

from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import jwt

from andon.errors import StartError, UnauthorizedError
from andon.ids import ANONYMOUS, Principal
from andon.settings import Settings
from gateway.auth.jwks import JwksKeys
from gateway.auth.permit import EXPIRED, Permit, invalid_token, is_name
from gateway.auth.signing_keys import SigningKeys, public_key, secret_key

_MOST_SCOPES: Final = 256
# What PyJWT raises, and what its reading of a stranger's JSON may still let through.
_BAD_TOKEN: Final = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
_WRONG: Final[dict[type[Exception], str]] = {
    jwt.ExpiredSignatureError: "The token has expired.",
    jwt.ImmatureSignatureError: "The token is not valid yet.",
    jwt.InvalidAudienceError: "The token is for another audience.",
    jwt.InvalidIssuerError: "The token is of another issuer.",
    jwt.InvalidAlgorithmError: "The token is signed by another algorithm than the key's.",
}


class JwtTokens:
    """The authenticator of `ANDON_AUTH=jwt`."""

    def __init__(self, settings: Settings) -> None:
        if not settings.jwt_issuer:
            raise StartError("ANDON_AUTH=jwt needs ANDON_JWT_ISSUER: the `iss` of your tokens")
        if not settings.jwt_audience:
            # Without it, a token that the issuer made for any other service would open this one.
            raise StartError(
                "ANDON_AUTH=jwt needs ANDON_JWT_AUDIENCE: the `aud` that your tokens have for this gateway"
            )
        self._settings = settings
        self._keys = _keys(settings)
        self._required = ["exp", "iss", "aud", settings.jwt_subject_claim]
        self._slack_s = settings.jwt_leeway_s + settings.auth_grace_s

    def open(self) -> AbstractAsyncContextManager[None]:
        """Keep the keys up to date."""
        return self._keys.open()

    async def check(self, token: str) -> Permit:
        """Check a token. Raises UnauthorizedError, or KeysUnavailable."""
        try:
            header = jwt.get_unverified_header(token)
        except _BAD_TOKEN:
            raise invalid_token("The token is no JWT.") from None
        key = await self._keys.find(header)
        if key is None:
            raise invalid_token("No key of the issuer's fits the token.")
        settings = self._settings
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm],
                issuer=settings.jwt_issuer,
                audience=settings.jwt_audience,
                leeway=settings.jwt_leeway_s,
                options={"require": self._required, "enforce_minimum_key_length": True},
            )
        except _BAD_TOKEN as error:
            raise _refused(error) from None
        return Permit(self._principal(claims), float(int(claims["exp"])))

    def lapsed(self, permit: Permit, now: float) -> str | None:
        """Say that a token has expired, once leeway and grace are over as well."""
        return EXPIRED if permit.expires_at is not None and now > permit.expires_at + self._slack_s else None

    def _principal(self, claims: dict[str, Any]) -> Principal:
        settings = self._settings
        subject = claims[settings.jwt_subject_claim]
        tenant = claims.get(settings.jwt_tenant_claim, ANONYMOUS.tenant)
        for name, value in ((settings.jwt_subject_claim, subject), (settings.jwt_tenant_claim, tenant)):
            if not is_name(value):
                raise invalid_token(f"The token's `{name}` is not 1 to 256 printable characters.")
        return Principal(tenant, subject, _scopes(claims.get(settings.jwt_scopes_claim, ""), settings.jwt_scopes_claim))


def _keys(settings: Settings) -> SigningKeys:
    given = [name for name in ("jwt_secret", "jwt_public_key", "jwt_jwks_url") if getattr(settings, name)]
    names = [f"ANDON_{name.upper()}" for name in given]
    if len(given) != 1:
        # Several kinds at once are what lets one be taken for another.
        told = f"not {' and '.join(names)}" if names else "none is set"
        raise StartError(
            f"ANDON_AUTH=jwt needs one of ANDON_JWT_SECRET, ANDON_JWT_PUBLIC_KEY, ANDON_JWT_JWKS_URL; {told}"
        )
    if settings.jwt_secret:
        return secret_key(settings.jwt_secret)
    if settings.jwt_public_key:
        return public_key(settings.jwt_public_key)
    return JwksKeys(settings.jwt_jwks_url or "", refresh_s=settings.jwt_jwks_refresh_s)


def _scopes(value: Any, name: str) -> frozenset[str]:
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or len(words) > _MOST_SCOPES or not all(isinstance(word, str) for word in words):
        raise invalid_token(f"The token's `{name}` is neither words in a string nor a list of them.")
    return frozenset(words)


def _refused(error: Exception) -> UnauthorizedError:
    """Say what is wrong in our own words: those of the library may hold what the token says."""
    if isinstance(error, jwt.MissingRequiredClaimError):
        return invalid_token(f"The token has no `{error.claim}`.")
    return invalid_token(_WRONG.get(type(error), "The token's signature or form is wrong."))
