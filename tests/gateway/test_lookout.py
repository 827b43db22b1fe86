import asyncio
import os
import select
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, cast

import pytest
import uvloop

from andon import keys
from andon.frames import Batch
from andon.ids import ANONYMOUS, SessionName, new_response_id, session_tag, tag_of
from gateway.hub import Hub
from gateway.keepalive import Keepalive
from gateway.lookout import BLIND, Glancing, Watch, lookout_here
from gateway.open_socket import OpenSocket
from tests.fuzz.wire import CLOSE, PING, TEXT, frame
from tests.gateway.test_open_socket import Listener
from tests.metrics.test_words import FakeConnections
from tests.stack.waiting import wait_until

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll: gateways are blind")

_DEADLINE_S: Final = 20.0
Run = Callable[[Coroutine[Any, Any, None]], None]


async def bounded(test: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(_DEADLINE_S):
        await test


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a test on one loop or the other: each closes a connection in its own order."""

    def run_on_loop(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(bounded(test))

    return run_on_loop


class Client:
    """A client's end, and the gateway's: an open socket on a transport of the running loop, in `lookout`'s sight."""

    def __init__(self, ours: socket.socket, transport: asyncio.Transport, plug: socket.socket, lookout: Watch) -> None:
        self._ours = ours
        self.transport = transport
        self.descriptor = plug.fileno()
        self.listener = Listener()
        self.lost: list[OpenSocket] = []
        self.socket = OpenSocket(
            transport,
            most_bytes=1_000_000,
            is_paused=False,
            keepalive=Keepalive(None, None),
            lookout=lookout,
            on_lost=self.lost.append,
        )
        transport.set_protocol(self.socket)
        self.socket.begin(self.listener)

    @property
    def heard(self) -> list[bytes | str]:
        return self.listener.heard

    def say(self, *texts: bytes) -> None:
        self.send(b"".join(frame(TEXT, text) for text in texts))

    def send(self, data: bytes) -> None:
        self._ours.sendall(data)

    def read(self) -> bytes:
        """Return what has come from the gateway."""
        try:
            return self._ours.recv(65536)
        except BlockingIOError:
            return b""

    def end(self) -> None:
        self._ours.close()

    def half_close(self) -> None:
        self._ours.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._ours.close()


def plugs() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


async def connected(lookout: Watch, ours: socket.socket, theirs: socket.socket) -> Client:
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=theirs)
    return Client(ours, transport, theirs, lookout)


@asynccontextmanager
async def client_of(lookout: Watch, ends: tuple[socket.socket, socket.socket] | None = None) -> AsyncIterator[Client]:
    client = await connected(lookout, *(ends or plugs()))
    try:
        yield client
    finally:
        client.end()
        client.transport.abort()
        await wait_until(lambda: bool(client.lost))


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def until_there(client: Client) -> None:
    """Wait until what was sent has come, without a turn of the loop."""
    assert select.select([client.descriptor], [], [], _DEADLINE_S)[0]


def test_what_has_come_is_told_within_the_turn_and_once(run: Run) -> None:
    """In its order, with what the loop brings later."""

    async def test() -> None:
        lookout = Watch()
        async with client_of(lookout) as client:
            client.say(b"1", b"2")
            until_there(client)
            lookout.look()
            assert client.heard == [b"1", b"2"]
            client.send(frame(TEXT, b"3")[:4])
            until_there(client)
            lookout.look()
            client.send(frame(TEXT, b"3")[4:] + frame(TEXT, b"4"))
            await wait_until(lambda: b"4" in client.heard)
            client.say(b"5")
            until_there(client)
            lookout.look()
            assert client.heard == [b"1", b"2", b"3", b"4", b"5"]
            assert not client.lost
        assert len(lookout) == 0, "a lost connection is forgotten"

    run(test())


def test_it_looks_after_every_few_pieces_of_work(run: Run) -> None:
    """Often enough for a stop, seldom enough to cost nothing."""

    async def test() -> None:
        lookout = Watch(every=3, long_s=0)
        async with client_of(lookout) as client:
            client.say(b"1")
            until_there(client)
            for heard in ([], [], [b"1"]):
                lookout()
                assert client.heard == heard

    run(test())


def test_a_turn_is_looked_into_once_it_has_become_long(run: Run) -> None:
    """In a short one the loop is soon there by itself; the next turn begins anew."""

    async def test() -> None:
        lookout = Watch(every=1, long_s=0.05)
        async with client_of(lookout) as client:
            for said in ([b"1"], [b"1", b"2"]):
                client.say(said[-1])
                until_there(client)
                lookout()
                assert client.heard == said[:-1]
                deadline = time.monotonic() + 15
                while client.heard == said[:-1] and time.monotonic() < deadline:
                    lookout()
                assert client.heard == said
                await asyncio.sleep(0)

    run(test())


def test_all_are_heard_however_many_have_something_to_say(run: Run) -> None:
    """A look reads some; the next look those that were left."""

    async def test() -> None:
        lookout = Watch()
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client_of(lookout)) for _ in range(40)]
            for client in clients:
                client.say(b"stop")
                until_there(client)
            for _ in range(3):
                lookout.look()
            assert [client.heard for client in clients] == [[b"stop"]] * len(clients)

    run(test())


@pytest.mark.parametrize("end", [Client.end, Client.half_close, Client.reset])
def test_an_end_is_left_to_the_transport(run: Run, end: Callable[[Client], None]) -> None:
    """What came before it is told; the endpoint is told of the end once, and not within the look."""

    async def test() -> None:
        lookout = Watch()
        async with client_of(lookout) as client:
            if end is not Client.reset:  # it throws away what is on its way
                client.say(b"last")
            end(client)
            until_there(client)
            for _ in range(3):
                lookout.look()
            assert client.heard == ([] if end is Client.reset else [b"last"])
            await wait_until(lambda: "gone" in client.heard)
            await wait_until(lambda: bool(client.lost))
            assert client.heard.count("gone") == 1
            assert len(lookout) == 0, "it is forgotten"

    run(test())


def test_a_descriptor_that_comes_back_is_the_new_sockets(run: Run) -> None:
    """The number of a closed one is given out anew at once: what is said there is not the old client's."""

    async def test() -> None:
        lookout = Watch()
        ours, theirs = plugs()
        async with client_of(lookout) as first:
            first.say(b"old")
            until_there(first)
            first.transport.abort()
            lookout.look()
            await wait_until(lambda: bool(first.lost))
        await wait_until(lambda: not is_open(first.descriptor))
        with theirs:
            os.dup2(theirs.fileno(), first.descriptor)
        async with client_of(lookout, (ours, socket.socket(fileno=first.descriptor))) as second:
            assert second.descriptor == first.descriptor
            second.say(b"new")
            until_there(second)
            lookout.look()
            assert (first.heard, second.heard) == (["gone"], [b"new"])

    run(test())


def test_what_is_not_to_be_read_yet_is_not(run: Run) -> None:
    """While a transport is paused, what came earlier is still to be told."""

    async def test() -> None:
        lookout = Watch()
        async with client_of(lookout) as client:
            client.transport.pause_reading()
            client.say(b"2")
            until_there(client)
            for _ in range(3):
                lookout.look()
            assert client.heard == []
            client.socket.data_received(frame(TEXT, b"1"))
            client.transport.resume_reading()
            lookout.look()
            assert client.heard == [b"1", b"2"]

    run(test())


def test_what_comes_behind_a_close_is_nobodys(run: Run) -> None:
    """A close is answered within the look, and nothing more is read, though the connection is still open."""

    async def test() -> None:
        lookout = Watch()
        async with client_of(lookout) as client:
            client.send(frame(CLOSE, struct.pack("!H", 1000)))
            until_there(client)
            lookout.look()
            assert client.heard == []
            client.say(b"late")
            lookout.look()
            await wait_until(lambda: "gone" in client.heard)
            assert client.heard == ["gone"]
            assert client.read() == bytes([0x80 | CLOSE, 2]) + struct.pack("!H", 1000)

    run(test())


def test_a_broken_rule_ends_its_own_connection(run: Run) -> None:
    """With the code of the rule; others are heard in the same look."""

    async def test() -> None:
        lookout = Watch()
        async with client_of(lookout) as bad, client_of(lookout) as good:
            bad.send(frame(TEXT, b"not masked", masked=False))
            good.say(b"hello")
            until_there(bad)
            until_there(good)
            lookout.look()
            assert good.heard == [b"hello"]
            await wait_until(lambda: bad.heard == ["gone"])
            assert struct.unpack("!H", bad.read()[2:4])[0] == 1002
            assert not good.lost

    run(test())


def test_what_crashes_ends_its_own_connection(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever forwards batches goes on, and so does everybody else."""

    async def test() -> None:
        lookout = Watch()
        async with client_of(lookout) as bad, client_of(lookout) as good:

            def crash() -> None:
                raise ZeroDivisionError

            bad.listener.on_heard = crash
            bad.say(b"boom")
            good.say(b"hello")
            until_there(bad)
            until_there(good)
            lookout.look()
            assert good.heard == [b"hello"]
            await wait_until(lambda: bool(bad.lost))
            assert not good.lost

    run(test())
    caplog.clear()


def test_bytes_that_are_encrypted_are_not_looked_at(run: Run) -> None:
    """They are the transport's to make out."""

    class Encrypted(asyncio.Transport):
        """A transport over TLS, as far as it can be asked."""

        def __init__(self, plug: socket.socket) -> None:
            super().__init__({"socket": plug, "sslcontext": object()})

    async def test() -> None:
        one, other = socket.socketpair()
        with one, other:
            lookout = Watch()
            descriptor = lookout.watch(cast("Glancing", None), Encrypted(one))
            assert len(lookout) == 0
            lookout.leave(descriptor)
            other.send(b"hello")
            lookout.look()
            assert one.recv(5) == b"hello"

    run(test())


def test_a_frame_is_told_between_two_batches_for_the_same_socket(run: Run) -> None:
    """Its answer stands between them, whole."""

    async def test() -> None:
        lookout = Watch(every=1, long_s=0)
        hub = Hub(FakeConnections(), timeout_s=1, ping_every_s=1, lookout=lookout)
        response_id = new_response_id(session_tag(ANONYMOUS, SessionName("s")))
        async with client_of(lookout) as client:
            hub.add(response_id, Forwarding(client.socket))
            client.listener.on_heard = lambda: client.socket.send_text(b"answer")
            client.send(frame(PING, b"p"))
            client.say(b"stop")
            until_there(client)
            for number in range(2):
                message = b"%b %d %d .\ntoken" % (response_id.encode(), number, number)
                hub._on_message(keys.events(tag_of(response_id)), message)  # noqa: SLF001  as the subscriber tells
                assert client.heard == [b"stop"]
            await wait_until(lambda: select.select([client._ours], [], [], 0)[0] != [])  # noqa: SLF001
            token = b"\x81\x05token"
            assert client.read() == token + b"\x8a\x01p" + b"\x81\x06answer" + token

    run(test())


class Forwarding:
    """A listener that sends what it hears."""

    def __init__(self, socket_: OpenSocket) -> None:
        self._socket = socket_

    def on_batch(self, batch: Batch) -> None:
        for text in batch.frames:
            self._socket.send_text(text)

    def on_missed(self) -> None:
        """Read nothing."""

    def on_audit(self) -> None:
        """Read nothing."""


def test_a_gateway_looks_where_it_can() -> None:
    """The plain version looks at nothing: the loop brings every frame in its turn."""
    assert isinstance(lookout_here(), Watch)
    BLIND()
    BLIND.leave(BLIND.watch(cast("Glancing", None), asyncio.Transport()))
