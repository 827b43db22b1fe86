"""A small client of the WebSocket endpoint: what `andon chat`, `stop` and `demo` speak through.

Owns one socket, the frames that go out and the parsing of those that come in. Does not own what they mean, nor
reconnecting: a program that needs it has the official SDK.

Guarantees: events come in the order sent, as parsed objects; the iteration ends after close 1000 (done or stopped)
and raises `ConnectionLost` for every other ending, 1001 included: a cut stream is never taken for a whole one.
"""

import errno
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI

from andon.errors import AndonError, StartError

DEFAULT_URL = "ws://127.0.0.1:21100/v1/responses"
CONNECT_S = 5.0
_CLOSE_S = 1.0  # whoever quits does not wait for a gateway that hangs
_CLOSE_CODE_DONE = 1000
# The last event of a long response holds all of its text; the server's own bound on a frame is no larger.
_EVENT_MAX_BYTES = 64 * 1024 * 1024
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}

Event = dict[str, Any]


class CannotConnect(StartError):  # noqa: N818 - the condition is the name
    """No socket could be opened; the message says where, why and what to do."""


class ConnectionLost(AndonError):  # noqa: N818 - the condition is the name
    """The socket ended otherwise than by close 1000. `code` and `reason` are the server's; 1006: it said nothing."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the connection was lost: close code {code}{f', {reason}' if reason else ''}")
        self.code = code
        self.reason = reason


def endpoint(url: str, **query: str | None) -> str:
    """Return the WebSocket URL for `url`, with the query parameters that are not None added.

    An http(s) address becomes ws(s), and a bare host the endpoint on it: what people paste works. Raises
    CannotConnect for anything else.
    """
    parts = urlsplit(url)
    try:
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise CannotConnect(f"{url!r} is no WebSocket URL; it looks like {DEFAULT_URL}")
    asked = [*parse_qsl(parts.query), *((name, value) for name, value in query.items() if value is not None)]
    path = parts.path if parts.path not in {"", "/"} else "/v1/responses"
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, urlencode(asked), ""))


class Client:
    """An open socket. Made by `connect`; for use by one task that iterates, and any that send."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def create(self, *, model: str, input: str, **fields: Any) -> None:  # noqa: A002 - the wire's word
        """Ask for a response. `fields` are further ones of the Responses create body; None leaves one out."""
        await self._send("response.create", {"model": model, "input": input, **fields})

    async def cancel(
        self,
        *,
        response_id: str | None = None,
        stream_id: str | None = None,
        reason: str | None = None,
        event_id: str | None = None,
    ) -> None:
        """Ask for the stop of one response, of a lane of this socket, or, with neither, of the whole session."""
        fields = {"response_id": response_id, "stream_id": stream_id, "reason": reason, "event_id": event_id}
        await self._send("response.cancel", fields)

    async def ping(self, event_id: str) -> None:
        """Ask for a `pong` of this event id."""
        await self._send("ping", {"event_id": event_id})

    def __aiter__(self) -> Self:
        """Iterate over the events that are still to come."""
        return self

    async def __anext__(self) -> Event:
        """Return the next event; the end is close 1000. Raises ConnectionLost. Cancelling it loses no event."""
        try:
            frame = await self._socket.recv()
        except ConnectionClosed as closed:
            code, reason = _close_of(closed)
            if code == _CLOSE_CODE_DONE:
                raise StopAsyncIteration from None
            raise ConnectionLost(code, reason) from closed
        event: Event = json.loads(frame)
        return event

    async def _send(self, kind: str, fields: dict[str, Any]) -> None:
        frame = {"type": kind, **{name: value for name, value in fields.items() if value is not None}}
        try:
            await self._socket.send(json.dumps(frame))
        except ConnectionClosed as closed:
            raise ConnectionLost(*_close_of(closed)) from closed


def _close_of(closed: ConnectionClosed) -> tuple[int, str]:
    return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else (1006, "")


@asynccontextmanager
async def connect(
    url: str,
    *,
    session: str | None = None,
    on_stop: Literal["close", "keep"] | None = None,
    token: str | None = None,
) -> AsyncIterator[Client]:
    """Open a socket for the length of a block; `token` goes as `Authorization: Bearer`.

    Raises CannotConnect, with one clear line, for a bad URL, a refused connection or handshake, or none within
    CONNECT_S. Cancelling it is safe.
    """
    target = endpoint(url, session=session, on_stop=on_stop)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        socket = await open_websocket(
            target,
            additional_headers=headers,
            compression=None,
            proxy=None if _is_loopback(target) else True,
            open_timeout=CONNECT_S,
            close_timeout=_CLOSE_S,
            max_size=_EVENT_MAX_BYTES,
        )
    except (OSError, InvalidHandshake, InvalidProxy, InvalidURI) as error:  # TimeoutError is an OSError
        raise CannotConnect(f"cannot connect to {target}: {_why(error)}") from error
    async with socket:
        yield Client(socket)


def _is_loopback(url: str) -> bool:
    """Tell whether the URL is of this machine, to which a proxy named by the environment is not the way."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _why(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        return _refusal(error)
    if f"[Errno {errno.ECONNREFUSED}]" in str(error):  # also within asyncio's "Multiple exceptions" of two addresses
        return "connection refused; is a gateway running there? (`andon dev` starts one)"
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_S:.0f} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _refusal(error: InvalidStatus) -> str:
    """Say what a refused handshake's body says, where it is one of ours."""
    status = error.response.status_code
    try:
        told = json.loads(error.response.body or b"")["error"]["message"]
    except (ValueError, TypeError, KeyError):
        return f"the server answered HTTP {status}"
    return f"the server answered HTTP {status}: {told}"
