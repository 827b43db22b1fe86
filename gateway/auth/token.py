"""Token: what a connection says about who is calling.

Owns where a token may stand: in `Authorization`, or, for browsers, which cannot set that on a WebSocket, in
`Sec-WebSocket-Protocol: andon.v1, bearer.<token>`. Never in the query: addresses end up in logs and histories.
Guarantees: no error repeats a token.
"""

from typing import Final

from starlette.requests import HTTPConnection

from andon.errors import RequestError, UnauthorizedError
from andon.members import TOKEN_MAX_CHARS

SUBPROTOCOL: Final = "andon.v1"
_BEARER: Final = "bearer."
_IN_QUERY: Final = ("token", "access_token")


def refuse_in_query(connection: HTTPConnection) -> None:
    """Raise RequestError if a token stands in the query."""
    for name in _IN_QUERY:
        if name in connection.query_params:
            message = (
                f"`{name}`: a token does not belong into the query, which others log. Send it as `Authorization: "
                f"Bearer`, or, from a browser's WebSocket, as the subprotocols `{SUBPROTOCOL}` and `{_BEARER}<token>`. "
                "Take this one for known to others."
            )
            raise RequestError("token_in_query", message, param=name)


def token_of(connection: HTTPConnection) -> str:
    """Return the token. Raises UnauthorizedError if there is none, or more than one."""
    tokens = [*_from_header(connection), *_from_subprotocols(connection)]
    if not tokens:
        message = f"Who is calling? Send `Authorization: Bearer <token>`, or the subprotocol `{_BEARER}<token>`."
        raise UnauthorizedError("missing_token", message)
    if len(tokens) > 1:
        raise UnauthorizedError("invalid_token", "More than one token came. Send one.")
    return tokens[0]


def offers_subprotocol(connection: HTTPConnection) -> bool:
    """Tell whether the client offered our subprotocol: a browser, which cannot see the status of a refusal."""
    return SUBPROTOCOL in connection.scope.get("subprotocols", ())


def _from_header(connection: HTTPConnection) -> list[str]:
    tokens = []
    for value in connection.headers.getlist("authorization"):
        scheme, _, token = value.strip().partition(" ")
        if scheme.lower() != "bearer" or not _is_token(token.strip()):
            raise UnauthorizedError("invalid_token", "`Authorization`: expected `Bearer <token>`.")
        tokens.append(token.strip())
    return tokens


def _from_subprotocols(connection: HTTPConnection) -> list[str]:
    offered: list[str] = [word for word in connection.scope.get("subprotocols", ()) if word.startswith(_BEARER)]
    if offered and not offers_subprotocol(connection):
        message = f"A token among the subprotocols needs `{SUBPROTOCOL}` beside it: that one is then selected."
        raise UnauthorizedError("invalid_token", message)
    tokens = [word.removeprefix(_BEARER) for word in offered]
    if not all(map(_is_token, tokens)):
        raise UnauthorizedError("invalid_token", f"The subprotocol `{_BEARER}<token>` holds no token.")
    return tokens


def _is_token(text: str) -> bool:
    return 0 < len(text) <= TOKEN_MAX_CHARS and text.isascii() and text.isprintable() and " " not in text
