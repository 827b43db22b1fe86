"""Create request: what `POST /v1/responses` asks for, parsed.

Owns the reading of the body's members that are for the gateway, and of query and headers. Does no I/O. Guarantees:
every refusal names the member, the query parameter or the header, and the remedy.
"""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from andon.create_body import check_create_body
from andon.errors import RequestError
from andon.ids import SessionName, new_session_name
from andon.member import Member
from andon.members import ABANDON_S, DEADLINE_S, EVENT_ID_MAX_CHARS, SESSION, abandon_s, deadline_s, session_name
from andon.protocol import Create

# Members that are for the gateway: how the answer comes, not what is asked of the model.
_OF_THE_DOOR: Final = frozenset({"stream", "background", "on_disconnect", ABANDON_S.name, DEADLINE_S.name})
_KEY_MAX_CHARS: Final = 255
KEY: Final = Member[str](
    "Idempotency-Key",
    Annotated[str, Meta(min_length=1, max_length=_KEY_MAX_CHARS)],
    f"1 to {_KEY_MAX_CHARS} characters",
    "The same key with the same body, in the same session or without one, follows the same response.",
    "invalid_value",
)
# Longer than any event id of a socket, so that none is like a key. Only a digest of it is kept.
_KEY_PREFIX: Final = KEY.name.ljust(EVENT_ID_MAX_CHARS + 1)
_SESSION_HEADER: Final = "X-Andon-Session"
SESSION_HEADER: Final = msgspec.structs.replace(
    SESSION,
    name=_SESSION_HEADER,
    meaning="The session; if neither this nor the query names it, that of `previous_response_id`, else a new one.",
)


class OnDisconnect(StrEnum):
    """What the closing of the connection does."""

    STOP = "stop"
    DETACH = "detach"


ON_DISCONNECT: Final = Member[OnDisconnect](
    "on_disconnect",
    OnDisconnect,
    "`stop` or `detach`",
    "What closing the connection before the response has ended does. Default: `stop`; with `background`, `detach`.",
    "invalid_value",
)
# What a create over HTTP takes beside its body.
CREATE_QUERY: Final = (SESSION,)
CREATE_HEADERS: Final = (SESSION_HEADER, KEY)
CREATE_MEMBERS: Final = (ON_DISCONNECT, ABANDON_S, DEADLINE_S)


class CreateRequest(msgspec.Struct, frozen=True):
    """A checked create, and how its answer is to come."""

    create: Create
    is_stream: bool
    on_disconnect: OnDisconnect
    # None: the client named none.
    session: SessionName | None
    # The session where it named none and no turn before tells: the same one for every repeat of a key.
    new_session: SessionName


def parse_create(body: dict[str, Any], query: Mapping[str, str], headers: Mapping[str, str]) -> CreateRequest:
    """Read a create. Raises RequestError."""
    asked = {name: value for name, value in body.items() if name != "on_disconnect"}
    check_create_body(asked)
    is_background = bool(body.get("background"))
    key = _idempotency_key(headers)
    create = Create(
        {name: value for name, value in asked.items() if name not in _OF_THE_DOOR},
        stream_id=None,
        event_id=None if key is None else _KEY_PREFIX + key,
        # Nobody is expected to wait for a response in the background.
        abandon_s=0.0 if is_background and body.get("abandon_s") is None else abandon_s(body),
        deadline_s=deadline_s(body),
        is_background=is_background,
    )
    return CreateRequest(
        create,
        is_stream=bool(body.get("stream")),
        on_disconnect=_on_disconnect(body, is_background),
        session=_session(query, headers),
        new_session=new_session_name() if key is None else _session_of(key),
    )


def _on_disconnect(body: dict[str, Any], is_background: bool) -> OnDisconnect:
    given = ON_DISCONNECT.read(body)
    if given is None:
        return OnDisconnect.DETACH if is_background else OnDisconnect.STOP
    return given


def _idempotency_key(headers: Mapping[str, str]) -> str | None:
    return KEY.read(headers)


def _session(query: Mapping[str, str], headers: Mapping[str, str]) -> SessionName | None:
    in_header, in_query = headers.get(_SESSION_HEADER), query.get("session")
    if in_header is not None:
        # Header values come as Latin-1; a name beyond it was sent as UTF-8.
        in_header = in_header.encode("latin-1").decode(errors="replace")
    if in_header is not None and in_query is not None and in_header != in_query:
        message = f"The query names another session than `{_SESSION_HEADER}` does. Give one of them."
        raise RequestError("invalid_value", message, param="session")
    name = in_query if in_header is None else in_header
    return None if name is None else session_name(name)


def _session_of(key: str) -> SessionName:
    """Name a session after a key: a key is known within its session, so a repeat must find that of the first."""
    return SessionName("sess_key_" + hashlib.blake2b(key.encode(), digest_size=16).hexdigest())
