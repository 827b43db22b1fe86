"""Behind nginx, configured as compose has it: a stream, a stop, a resume, and the drain of a gateway under load."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx2
import msgspec
import pytest
from websockets.exceptions import InvalidHandshake

from tests.deploy.balancer import Balancer, in_front_of
from tests.stack.client import TERMINAL, Client, Doors
from tests.stack.prompt import Prompt
from tests.stack.shape import check_order
from tests.stack.stack import Gateway, Stack
from tests.stack.waiting import wait_until

MakeStack = Callable[..., AbstractAsyncContextManager[Stack]]

USERS = 12
RESTARTING = 1012
TIME_LIMIT_S = 180


async def test_a_stop_on_one_replica_ends_a_stream_on_the_other(stack: Stack, session: str, tmp_path: Path) -> None:
    """Two sockets, dealt to the two gateways in turn; the second one's stop closes the first one's upstream."""
    async with in_front_of([g.port for g in stack.gateways], tmp_path) as balancer:
        doors = Doors(stack.api_key)
        prompt = Prompt(tokens=5000, rate=100)
        async with doors.open(balancer.url, session=session) as here:
            response_id = await here.start(prompt.body)
            await here.text_begun(response_id)
            async with doors.open(balancer.url, session=session, on_stop="keep") as there:
                await there.cancel(response_id=response_id, event_id="stop")
                done = await there.event("response.cancel.done", event_id="stop")
            assert done["stops"][0]["upstream_closed"] is not None
            ending = (await here.ending(response_id))["response"]
            assert ending["status"] == "cancelled"
            assert await here.closed() == (1000, "stopped")
        assert not (await stack.meter.ended(prompt.key)).finished
        await both_were_asked(balancer, stack)


async def both_were_asked(balancer: Balancer, stack: Stack) -> None:
    """Round robin: of two sockets each gateway had one."""
    await wait_until(lambda: len(balancer.requests()) >= 2, what="nginx has logged both")
    asked = {line.split()[-1] for line in balancer.requests()}
    assert asked == {f"127.0.0.1:{gateway.port}" for gateway in stack.gateways}


async def test_a_cut_client_resumes_on_whatever_replica_it_is_dealt(stack: Stack, session: str, tmp_path: Path) -> None:
    """Twice cut in the middle, without a closing handshake: the text is whole, no event comes twice."""
    async with in_front_of([g.port for g in stack.gateways], tmp_path) as balancer:
        doors = Doors(stack.api_key)
        prompt = Prompt(tokens=150, rate=100)
        async with doors.open(balancer.url, session=session) as client:
            response_id = await client.start(prompt.body)
            await client.text_begun(response_id)
            client.socket.transport.abort()
        events = client.of(response_id)
        while events[-1]["type"] != "response.completed":
            last = events[-1]["sequence_number"]
            async with doors.open(
                balancer.url, session=session, response_id=response_id, starting_after=last
            ) as client:
                await client.text_begun(response_id)
                if len(events) < prompt.tokens / 4:
                    client.socket.transport.abort()
                else:
                    await client.ending(response_id)
            events += client.of(response_id)
        check_order(events)
        deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
        assert "".join(deltas) == prompt.text()


async def test_an_event_stream_is_not_held_back_and_leaving_it_is_the_stop(stack: Stack, tmp_path: Path) -> None:
    """The first token is there while the model still writes; the closed connection reaches the gateway."""
    async with (
        in_front_of([g.port for g in stack.gateways], tmp_path) as balancer,
        httpx2.AsyncClient(verify=False, trust_env=False, timeout=30.0) as http,
    ):
        prompt = Prompt(tokens=5000, rate=50)
        url = f"{balancer.http}/v1/responses"
        async with http.stream("POST", url, json={**prompt.body, "stream": True}) as reply:
            async for line in reply.aiter_lines():
                if line.startswith("data:") and msgspec.json.decode(line[5:])["type"] == "response.output_text.delta":
                    # Asked within the loop: leaving it closes the connection.
                    assert (await stack.meter.read(prompt.key)).open == 1
                    break
        assert not (await stack.meter.ended(prompt.key)).finished


async def test_what_is_for_the_inside_stays_inside(stack: Stack, tmp_path: Path) -> None:
    """Metrics are not to be had at the door; that the gateways are well is."""
    async with (
        in_front_of([g.port for g in stack.gateways], tmp_path) as balancer,
        httpx2.AsyncClient(verify=False, trust_env=False, timeout=30.0) as http,
    ):
        assert (await http.get(f"{balancer.http}/healthz")).json() == {"status": "ok"}
        reply = await http.get(f"{balancer.http}/metrics")
        assert reply.status_code == 404
        assert reply.headers["server"] == "nginx"


async def over(client: Client) -> None:
    """Receive until the response has ended, or the server has closed the socket."""
    try:
        await client.until(lambda event: event["type"] in TERMINAL, TIME_LIMIT_S)
    except AssertionError:
        assert client.close is not None, "nothing came, and the socket is open"


class User:
    """One answer after the other, each to its end, over whatever sockets the balancer gives."""

    def __init__(self, stack: Stack, balancer: Balancer, session: str) -> None:
        self._doors = Doors(stack.api_key)
        self._url = balancer.url
        self._session = session
        # Of the answer that comes now: its response, and what has come of it over sockets that are closed.
        self._response_id = ""
        self._last = -1
        self._text = ""
        # The socket that was opened last.
        self._client: Client | None = None
        self.whole = 0
        self.moved = 0
        # Handshakes that were refused: there should be none.
        self.refused: list[str] = []

    @property
    def is_told(self) -> bool:
        """Whether some text has come over the socket that was opened last."""
        return self._client is not None and bool(self._client.all("response.output_text.delta"))

    async def live(self, tokens: int, until: asyncio.Event) -> None:
        """Ask again and again, always for so many tokens."""
        while not until.is_set():
            assert await self.ask(Prompt(tokens=tokens, rate=80)) == "response.completed"
            self.whole += 1

    async def ask(self, prompt: Prompt) -> str | None:
        """Follow one answer to its end; return its last event's type. What came is the answer, from its beginning."""
        self._response_id, self._last, self._text = "", -1, ""
        while (last := await self._follow(prompt)) not in TERMINAL:
            self.moved += 1
        assert prompt.text().startswith(self._text)
        if last == "response.completed":
            assert self._text == prompt.text()
        return last

    async def _follow(self, prompt: Prompt) -> str | None:
        """Follow it over one socket; return the type of the last event, if any came."""
        client = await self._hear(prompt)
        numbered = [event for event in client.events if "sequence_number" in event]
        begin = self._last + 1
        assert [event["sequence_number"] for event in numbered] == list(range(begin, begin + len(numbered)))
        for event in numbered:
            self._response_id, self._last = event["response_id"], event["sequence_number"]
            self._text += event["delta"] if event["type"] == "response.output_text.delta" else ""
        last = numbered[-1]["type"] if numbered else None
        assert last in TERMINAL or (client.close is not None and client.close[0] == RESTARTING), client.close
        return last

    async def _hear(self, prompt: Prompt) -> Client:
        """Open a socket, ask for the answer or for its rest, and return it when all has come that will."""
        rid = self._response_id
        query: dict[str, str | int] = {"response_id": rid, "starting_after": self._last} if rid else {}
        while True:
            try:
                async with self._doors.open(self._url, session=self._session, **query) as client:
                    self._client = client
                    if not rid:
                        # The same event id after a close that left it unanswered: the same response.
                        await client.create(prompt.body, event_id=prompt.key)
                    await over(client)
                    return client
            except (OSError, InvalidHandshake, EOFError) as error:
                self.refused.append(repr(error))

    async def stop(self) -> None:
        """Stop the answer that comes now, from another device."""
        async with self._doors.open(self._url, session=self._session, on_stop="keep") as device:
            await device.cancel()
            await device.event("response.cancel.done")


@pytest.mark.timeout(TIME_LIMIT_S)
async def test_gateways_are_replaced_one_by_one_under_load_and_nobody_notices(
    own_stack: MakeStack, session: str, tmp_path: Path
) -> None:
    """Each drains and comes back at its address, as a container would: every text is whole, no handshake is refused.

    On each there is somebody in the middle of an answer, whenever its drain begins: two answers do not end within this
    test, and of two sockets, opened one after the other, each gateway has one, and has it still when its turn comes.
    """
    async with (
        own_stack(gateways=2, workers=1, ANDON_DRAIN_S="30") as stack,
        in_front_of([g.port for g in stack.gateways], tmp_path) as balancer,
    ):
        replaced = asyncio.Event()
        steady = [User(stack, balancer, f"{session}-steady-{number}") for number in range(2)]
        users = [User(stack, balancer, f"{session}-{number}") for number in range(USERS)]
        async with asyncio.TaskGroup() as group:
            endings = []
            for user in steady:
                endings.append(group.create_task(user.ask(Prompt(tokens=20 * TIME_LIMIT_S, rate=20))))
                await wait_until(lambda: user.is_told, 30, what="an answer comes")  # noqa: B023
            for number, user in enumerate(users):
                # Of different lengths: in step, all would be between two answers at once.
                group.create_task(user.live(40 + 15 * number, replaced))
            for gateway in list(stack.gateways):
                await more(users)
                moved = sum(user.moved for user in steady)
                await drained(gateway)
                await wait_until(lambda: sum(user.moved for user in steady) > moved, 30, what="moved")  # noqa: B023
                await stack.start_gateway(port=gateway.port)
            await more(users)
            replaced.set()
            for user in steady:
                await user.stop()
        assert [ending.result() for ending in endings] == ["response.incomplete"] * len(steady)
        assert all(user.whole for user in users)
        assert [each for user in (*steady, *users) for each in user.refused] == []


async def more(users: list[User]) -> None:
    """Wait until one more answer has come to its end."""
    before = sum(user.whole for user in users)
    await wait_until(lambda: sum(user.whole for user in users) > before, 60, what="answers come")


async def drained(gateway: Gateway) -> None:
    """End it as an orchestrator does; it closes every socket, long before its time is over, and exits with 0."""
    gateway.end_is_expected = True
    gateway.send_signal(signal.SIGTERM)
    assert await gateway.ended(60) == 0
    (end,) = gateway.log_events("drain.ended")
    # What a drain leaves is closed by uvicorn, with the same code, when the time is over.
    assert end["sockets"] == 0
