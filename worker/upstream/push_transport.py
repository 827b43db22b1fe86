"""Push transport: HTTP/1.1 to the model server, with answers parsed as their bytes arrive.

Owns the pool, the making of connections (names, both families of addresses, TLS) and the writing of requests. Meets
`httpx2.AsyncBaseTransport`, so the official SDK stays the door: its URL, headers, authentication and errors. The plain
transport (httpx2's own) stays the reference, and serves where the environment names a proxy.

Measured, a chunk of one token at a time: about a third of the worker's CPU a token went into the plain transport (two
pure-Python layers, a cancel scope and some ten coroutines a chunk).

Guarantees: no more connections than `max_connections`, whatever is cancelled where; a wait for one is bounded; one that
broke, or said something unasked, is not used again; idle ones are closed after `keep_s`.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Final, TypeAlias

import aiohappyeyeballs
import h11
import httpx2

from worker.upstream.answer import Head
from worker.upstream.exchange import Exchange, OnHead
from worker.upstream.model_link import ModelLink, Origin

Timeouts: TypeAlias = Mapping[str, float | None]  # httpx2's: connect, read, write, pool

_KEEP_S: Final = 5.0  # as httpx2 keeps idle connections
_NEXT_ADDRESS_AFTER_S: Final = 0.25  # RFC 8305
_PORTS: Final = {"http": 80, "https": 443}
EXCHANGE: Final = "andon.exchange"  # the response's extension that holds its `Exchange`


class PushTransport(httpx2.AsyncBaseTransport):
    """A pool of connections. Use it from one event loop."""

    def __init__(self, *, max_connections: int, max_idle: int, keep_s: float = _KEEP_S) -> None:
        self._most = max_connections
        self._most_idle = max_idle
        self._keep_s = keep_s
        self._tls: ssl.SSLContext | None = None
        # Connections that are open or being made.
        self._slots = 0
        # The one used last is taken first: the others may expire. Each with the timer that closes it.
        self._idle: dict[ModelLink, asyncio.TimerHandle] = {}
        self._in_use: set[ModelLink] = set()
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def idle(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    @property
    def in_use(self) -> int:
        """How many connections serve a request, or are being made."""
        return self._slots - len(self._idle)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return its answer, whose head has come. Cancelling it is safe: the connection is closed.

        Raises what httpx2's own transport raises for the same cause.
        """
        timeouts = request.extensions.get("timeout", {})
        exchange, head = await self.ask(origin_of(request.url), await _text(request), timeouts)
        return response_of(exchange, head)

    async def ask(
        self, origin: Origin, text: bytes, timeouts: Timeouts, on_head: OnHead | None = None
    ) -> tuple[Exchange, Head]:
        """Send a request that is written already. See `handle_async_request`.

        Where a connection `is_ready`, the request is sent before this first awaits. `on_head` is told within the
        callback in which the head came.
        """
        link = await self._take(origin, timeouts)
        exchange = link.ask(text, read_timeout_s=timeouts.get("read"), on_head=on_head)
        try:
            await link.sent(timeouts.get("write"))
            exchange.is_sent()
            return exchange, await exchange.head
        except BaseException:
            exchange.close()
            raise

    def is_ready(self, origin: Origin) -> bool:
        """Tell whether a connection waits for a request to this origin."""
        return any(link.origin == origin for link in self._idle)

    async def aclose(self) -> None:
        """Close every connection."""
        for link in [*self._idle, *self._in_use]:
            link.close()

    # ── the pool ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _take(self, origin: Origin, timeouts: Timeouts) -> ModelLink:
        """Take an idle connection, or make one; wait for a slot where all are in use."""
        while True:
            for link in reversed(self._idle):
                if link.origin == origin:
                    self._idle.pop(link).cancel()
                    self._in_use.add(link)
                    return link
            if self._slots < self._most:
                return await self._made(origin, timeouts.get("connect"))
            if self._idle:
                next(iter(self._idle)).close()  # of another origin, and unused for the longest
                continue
            await self._slot_freed(timeouts.get("pool"))

    async def _slot_freed(self, timeout_s: float | None) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(timeout_s):
                await turn
        except TimeoutError as error:
            self._give_turn_back(turn)
            raise httpx2.PoolTimeout("every connection is in use") from error
        except asyncio.CancelledError:
            self._give_turn_back(turn)
            raise

    def _give_turn_back(self, turn: "asyncio.Future[None]") -> None:
        """Let the next one have a turn that came as its owner gave up."""
        if turn in self._waiting:
            self._waiting.remove(turn)
        else:
            self._next_turn()

    def _next_turn(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def _made(self, origin: Origin, timeout_s: float | None) -> ModelLink:
        self._slots += 1
        link = None
        try:
            async with asyncio.timeout(timeout_s):
                link = await self._connected(origin)
        except TimeoutError as error:
            raise httpx2.ConnectTimeout("the connection was not made in time") from error
        except OSError as error:  # ssl.SSLError too
            raise httpx2.ConnectError(str(error) or type(error).__name__) from error
        finally:
            if link is None:
                self._slots -= 1
                self._next_turn()
        self._in_use.add(link)
        if link.is_closed:  # by the server, as it was being made
            self._forget(link)
            raise httpx2.ConnectError("the connection was closed as it was made")
        return link

    async def _connected(self, origin: Origin) -> ModelLink:
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(host, port, type=1)  # SOCK_STREAM
        plug = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_S)
        try:
            _, link = await loop.create_connection(
                lambda: ModelLink(origin, plug, on_idle=self._keep, on_closed=self._forget),
                sock=plug,
                ssl=self._tls_context() if scheme == "https" else None,
                server_hostname=host if scheme == "https" else None,
            )
        except BaseException:
            plug.close()
            raise
        return link

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = httpx2.create_ssl_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _keep(self, link: ModelLink) -> None:
        if len(self._idle) >= self._most_idle:
            link.close()
            return
        self._in_use.discard(link)
        self._idle[link] = asyncio.get_running_loop().call_later(self._keep_s, link.close)
        self._next_turn()

    def _forget(self, link: ModelLink) -> None:
        timer = self._idle.pop(link, None)
        if timer is not None:
            timer.cancel()
        elif link in self._in_use:
            self._in_use.discard(link)
        else:
            return  # it closed as it was being made: its slot is with whoever makes it
        self._slots -= 1
        self._next_turn()


def origin_of(url: httpx2.URL) -> Origin:
    """Return where a request to this URL goes. Raises httpx2.UnsupportedProtocol."""
    scheme = url.scheme
    if scheme not in _PORTS or not url.host:
        raise httpx2.UnsupportedProtocol(f"Request URL has an unsupported protocol {scheme!r}.")
    return scheme, url.raw_host.decode("ascii"), url.port or _PORTS[scheme]


async def _text(request: httpx2.Request) -> bytes:
    """Return the request as the wire has it. h11 writes the head: it refuses what would break out of a header."""
    head = h11.Connection(h11.CLIENT)
    try:
        text = head.send(h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw))
    except h11.LocalProtocolError as error:
        raise httpx2.LocalProtocolError(str(error)) from error
    assert text is not None
    assert isinstance(request.stream, httpx2.AsyncByteStream)
    return b"".join([text, *[chunk async for chunk in request.stream]])


def response_of(exchange: Exchange, head: Head) -> httpx2.Response:
    """Return an answer in httpx2's words."""
    return httpx2.Response(
        head.status,
        headers=head.headers,
        stream=exchange,
        extensions={"http_version": head.http_version, "reason_phrase": head.reason, EXCHANGE: exchange},
    )


def exchange_of(response: httpx2.Response) -> Exchange | None:
    """Return the exchange behind a response; None where the plain transport brought it."""
    exchange = response.extensions.get(EXCHANGE)
    return exchange if isinstance(exchange, Exchange) else None
