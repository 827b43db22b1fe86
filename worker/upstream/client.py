"""The client: HTTP to the model server, through the official SDK. The only file that imports it.

Owns the SDK's client, the connections, and the translation of the SDK's exceptions to `UpstreamError`, here and once
(`transport_errors` has what they wrap, `status` what the server refused). A request that is like one before is put
together from that (`prepared`). Does not own retries (the SDK's are off: a stop must not wait in its back-off), nor
what the bytes mean.

Guarantees that a stream which is left, closed or cancelled, however often and at whatever point, has its connection
closed within a few turns of the event loop, and that the pool keeps nothing of it.

Two transports carry the requests (`push_transport`, and httpx2's own), and one set of tests holds them both to this.

Why so much care: `httpcore2` frees its pool's slot after an `await`, and a second cancellation that lands in it leaves
the slot taken for ever (anyio's shield does not hold off asyncio's own `task.cancel()`). So everything that may be
cancelled half-way runs in a task of the client's own, which nobody else cancels, and at most once.

HTTP/1.1 only: closing a stream of an HTTP/2 connection sends no RST_STREAM (httpcore2), so the model would run on.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar
from urllib.request import getproxies

import httpx2
import msgspec
import openai

from andon.settings import UpstreamTransport
from andon.tracing import outgoing
from worker.upstream.errors import UpstreamError, UpstreamMisconfiguredError
from worker.upstream.exchange import Exchange
from worker.upstream.failures import garbage_failure
from worker.upstream.prepared import Prepared, PreparedRequests
from worker.upstream.push_transport import PushTransport, exchange_of
from worker.upstream.pushed_stream import PushedStream
from worker.upstream.redact import Redact, redactor
from worker.upstream.status import status_error
from worker.upstream.stream import ByteStream, UpstreamStream
from worker.upstream.transport_errors import BROKEN_BODY, connection_error, timeout_error

UpstreamPath: TypeAlias = Literal["/responses", "/chat/completions"]

CONNECT_TIMEOUT_S = 5.0  # the SDK's own default
READ_TIMEOUT_S = 600.0  # between two chunks, and until the first: the SDK's own default
WRITE_TIMEOUT_S = 60.0  # for a request of megabytes over a slow line
POOL_TIMEOUT_S = 5.0  # the pool is at least as large as the worker's concurrency: only a leak could make it wait

_ERROR_BODY_BYTES = 64 * 1024  # enough for any error object; the SDK would read a body without end
_ERROR_BODY_S = 2.0
_CLOSE_S = 5.0  # closing a socket takes none of it; a bound all the same
_OK = 200
_FIRST_REFUSED_STATUS = 300
_MOST_IDLE = 100  # connections kept for the next request: the SDK's own default

# Compressed bytes would come in blocks, late, and cost more than they save.
_HEADERS = {
    "Accept": "text/event-stream",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}
_NOT_STREAMS = ("application/json", "text/html")

# Given a stream as soon as there is one.
OnStream: TypeAlias = Callable[[PushedStream], None]

_T = TypeVar("_T")


class UpstreamClient:
    """The connections of one worker to its model server. An async context manager; use it from one event loop.

    `max_connections` is at least the worker's concurrency, else streams would wait for each other. `read_timeout_s` is
    allowed between two chunks, and until the first. `base_url` and `api_key` are read from OPENAI_BASE_URL and
    OPENAI_API_KEY when not given. Raises UpstreamMisconfiguredError for a missing key or a base URL that is none.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        read_timeout_s: float = READ_TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        base_url: str | None = None,
        api_key: str | None = None,
        transport: UpstreamTransport = UpstreamTransport.PUSH,
    ) -> None:
        timeout = httpx2.Timeout(
            connect=connect_timeout_s, read=read_timeout_s, write=WRITE_TIMEOUT_S, pool=POOL_TIMEOUT_S
        )
        max_idle = min(max_connections, _MOST_IDLE)
        push = _push_transport(transport, max_connections, max_idle)
        self._http = openai.DefaultAsyncHttpxClient(
            http2=False,
            timeout=timeout,
            limits=httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_idle),
            transport=push,
            event_hooks={"response": [self._refuse]},
        )
        self._sdk = _make_sdk(self._http, timeout, base_url, api_key)
        self._redact = redactor([self._sdk.api_key])
        # None with httpx2's own transport: there the SDK makes each request.
        self._prepared = None if push is None else PreparedRequests(push, self._http.cookies)
        self._tasks: set[asyncio.Task[Any]] = set()  # requests being opened, streams being closed

    @property
    def address(self) -> tuple[str, int]:
        """Return the host and port of the model server."""
        url = self._sdk.base_url
        return url.host, url.port or (443 if url.scheme == "https" else 80)

    @property
    def redact(self) -> Redact:
        """Blacks out the API key, and what looks like one, in text that came from the upstream."""
        return self._redact

    async def __aenter__(self) -> Self:
        """Return itself; connections are made when they are needed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for the closing of what was left, then close the pool. Streams must have been left before."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._sdk.close()

    @asynccontextmanager
    async def stream(
        self, path: UpstreamPath, body: Mapping[str, Any], on_stream: OnStream | None = None
    ) -> AsyncIterator[ByteStream]:
        """POST `body`, and give the stream of the answer once its headers have come.

        `on_stream` is given the same a little sooner, where that can be: within the callback that its headers came in.

        Raises UpstreamError when there is none. Cancelling is safe everywhere: the connection is closed.
        """
        stream = await self._opened(path, msgspec.json.encode(body), on_stream)
        try:
            yield stream
        finally:
            if not stream.closed:
                await stream.close()

    async def _opened(self, path: UpstreamPath, content: bytes, on_stream: OnStream | None) -> ByteStream:
        if self._prepared is not None and self._prepared.is_ready(path, self._sdk.api_key):
            # In the caller's own task: nothing of it needs an await to be undone.
            return await self._post(path, content, on_stream)
        opener = self.own(self._post(path, content, on_stream))
        try:
            await asyncio.wait({opener})
        except asyncio.CancelledError:
            # Cancelled once, whatever comes upon the caller; `_close_orphan` sees to an answer that came just now.
            opener.add_done_callback(self._close_orphan)
            opener.cancel()
            raise
        return opener.result()

    def own(self, work: Coroutine[Any, Any, _T]) -> "asyncio.Task[_T]":
        """Run `work` in a task of this client, which waits for it when it is left."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _close_orphan(self, opener: "asyncio.Task[ByteStream]") -> None:
        if not opener.cancelled() and opener.exception() is None:
            self.own(opener.result().close())

    async def _post(self, path: UpstreamPath, content: bytes, on_stream: OnStream | None) -> ByteStream:
        """Send the request as the SDK has sent one before, or through the SDK."""
        key = self._sdk.api_key
        prepared = None if self._prepared is None else self._prepared.known(path, key)
        stream = None if prepared is None else await self._post_again(path, prepared, content, on_stream)
        if stream is not None:
            return stream
        response = await self._post_anew(path, content)
        exchange = exchange_of(response)
        if exchange is None or self._prepared is None:
            return UpstreamStream(response, self)
        self._prepared.learn(path, response, key)
        return PushedStream(response.status_code, exchange)

    async def _post_again(
        self, path: UpstreamPath, prepared: Prepared, content: bytes, on_stream: OnStream | None
    ) -> ByteStream | None:
        """Send a request like the SDK's last one to this path. None: it is sent elsewhere, which the SDK follows."""
        assert self._prepared is not None
        stream: PushedStream | None = None

        def on_exchange(exchange: Exchange) -> None:
            nonlocal stream
            stream = PushedStream(_OK, exchange)
            if on_stream is not None:
                on_stream(stream)

        try:
            exchange, response = await self._prepared.send(path, prepared, content, on_exchange)
        except httpx2.TimeoutException as error:
            raise timeout_error(error) from error
        except (httpx2.HTTPError, OSError) as error:
            raise connection_error(error, self._redact) from error
        if response is None:
            return stream
        is_taken = False
        try:
            await self._refuse(response)
            is_taken = response.is_success
        finally:
            if not is_taken:
                exchange.close()
        return PushedStream(response.status_code, exchange) if is_taken else None

    async def _post_anew(self, path: UpstreamPath, content: bytes) -> httpx2.Response:
        """Send the request through the SDK's lowest public door: its URL and headers, no object a chunk."""
        try:
            return await self._sdk.post(
                path, cast_to=httpx2.Response, content=content, stream=True, stream_cls=None, options=_options()
            )
        except openai.APITimeoutError as error:
            raise timeout_error(error.__cause__) from error
        except openai.APIConnectionError as error:
            raise connection_error(error.__cause__, self._redact) from error
        except openai.APIStatusError as error:
            # `_refuse` comes before it; here for a status that the SDK would refuse and `_refuse` not.
            raise status_error(error.status_code, error.response.headers, b"", self._redact) from error
        except (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise connection_error(error, self._redact) from error

    async def _refuse(self, response: httpx2.Response) -> None:
        """Raise UpstreamError for an answer that is no stream, with a bounded part of its body read.

        An event hook, because the SDK itself would read the whole body of an error first, however long it is. A
        redirect with a place to go is the SDK's to follow.
        """
        if response.status_code >= _FIRST_REFUSED_STATUS and not response.has_redirect_location:
            body = await _read_error_body(response)
            raise status_error(response.status_code, response.headers, body, self._redact)
        kind = response.headers.get("content-type", "").lower()
        encoding = response.headers.get("content-encoding", "identity").lower()
        if response.is_success and kind.startswith(_NOT_STREAMS):
            raise UpstreamError(garbage_failure(f"its type is {kind.split(';')[0]}"), retryable=False)
        if response.is_success and encoding != "identity":
            raise UpstreamError(garbage_failure("it is compressed, which was not asked for"), retryable=False)


def _push_transport(transport: UpstreamTransport, most: int, most_idle: int) -> PushTransport | None:
    """Return the transport to use; None for httpx2's own, which knows the proxies that the environment names."""
    if transport is UpstreamTransport.PLAIN or getproxies().keys() & {"http", "https", "all"}:
        return None
    return PushTransport(max_connections=most, max_idle=most_idle)


def _make_sdk(
    http: httpx2.AsyncClient, timeout: httpx2.Timeout, base_url: str | None, api_key: str | None
) -> openai.AsyncOpenAI:
    try:
        sdk = openai.AsyncOpenAI(base_url=base_url, api_key=api_key, http_client=http, timeout=timeout, max_retries=0)
    except (openai.OpenAIError, httpx2.InvalidURL) as error:
        if isinstance(error, openai.OpenAIError) and not (api_key or os.environ.get("OPENAI_API_KEY")):
            raise UpstreamMisconfiguredError(_NO_KEY) from error
        raise UpstreamMisconfiguredError(f"OPENAI_BASE_URL or OPENAI_API_KEY will not do: {error}") from error
    if not sdk.api_key:  # OPENAI_ADMIN_KEY alone satisfies the SDK, but no model answers to it
        raise UpstreamMisconfiguredError(_NO_KEY)
    if sdk.base_url.scheme not in {"http", "https"} or not sdk.base_url.host:
        raise UpstreamMisconfiguredError(
            "OPENAI_BASE_URL must be an http:// or https:// address, such as https://api.openai.com/v1."
        )
    return sdk


_NO_KEY = (
    "OPENAI_API_KEY is not set. Set it to the key of the model server; "
    "for a server that has no keys any value will do, such as OPENAI_API_KEY=none."
)


def _options() -> Any:
    """Return the SDK's request options, made anew: it changes them. They carry the trace of the run that asks."""
    return {"headers": {**_HEADERS, **outgoing()}}


async def _read_error_body(response: httpx2.Response) -> bytes:
    body = bytearray()
    # The status has said what matters: a body that stalls or breaks only shortens the message.
    with contextlib.suppress(TimeoutError, *BROKEN_BODY):
        async with asyncio.timeout(_ERROR_BODY_S), aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) >= _ERROR_BODY_BYTES:
                    break
    return bytes(body[:_ERROR_BODY_BYTES])
