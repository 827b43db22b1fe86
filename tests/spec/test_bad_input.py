"""Bad input gets a clear error and loses nothing: the socket, and what runs on it, go on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from andon.ids import ANONYMOUS, SessionName, new_response_id, session_tag
from tests.stack.client import Client, Event
from tests.stack.prompt import Prompt
from tests.stack.shape import check_frame, check_responses
from tests.stack.stack import Stack

_BURST = 10_000


@contextlib.asynccontextmanager
async def _running(stack: Stack) -> AsyncIterator[Client]:
    """Give a socket with a response running on it; afterwards it, and a new one, must have come out whole."""
    running, after = Prompt(tokens=30), Prompt(rate=0)
    async with stack.connect(on_stop="keep") as client:
        response_id = await client.start(running.body)
        yield client
        after_id = await client.start(after.body)
        for whole_id, prompt in ((response_id, running), (after_id, after)):
            assert (await client.ending(whole_id))["type"] == "response.completed"
            assert client.text(whole_id) == prompt.text()
        check_responses(client)


async def _error(client: Client) -> dict[str, Any]:
    event = await client.event("error")
    assert len(client.all("error")) == 1
    assert event["status"] == 400
    error: dict[str, Any] = event["error"]
    assert error["type"] == "invalid_request_error"
    return error


@pytest.mark.parametrize(
    "frame",
    ["", "{", "not json", "[]", '"text"', "1", "null", "[" * 5000, '{"type": "ping"} x', "\x00", "\ud7ff", "NaN"],
    ids=lambda frame: repr(frame[:10]),
)
async def test_a_frame_that_is_no_json_object_is_invalid_json(stack: Stack, frame: str) -> None:
    """The error says what to send; nothing else comes of it."""
    async with _running(stack) as client:
        await client.send_raw(frame)
        error = await _error(client)
        assert error["code"] == "invalid_json"
        assert "JSON object" in error["message"]


async def test_a_binary_frame_is_refused_by_name(stack: Stack) -> None:
    """Binary frames are not read, even with good JSON in them."""
    async with _running(stack) as client:
        await client.send_raw(b'{"type": "ping", "event_id": "binary"}')
        assert "inary" in (await _error(client))["message"]
        assert not client.all("pong")


@pytest.mark.parametrize("type_", ["response.created", "session.update", "", 7, {"a": 1}, True], ids=repr)
async def test_an_unknown_type_is_named_with_those_that_are_known(stack: Stack, type_: object) -> None:
    """The error names the field `type` and the types that are known, and has the `event_id`."""
    async with _running(stack) as client:
        await client.send_raw(msgspec.json.encode({"type": type_, "event_id": "evt"}).decode())
        error = await _error(client)
        assert error["param"] == "type"
        assert "response.cancel" in error["message"]
        assert client.all("error")[0]["event_id"] == "evt"


async def test_a_missing_type_is_named(stack: Stack) -> None:
    """A frame needs a `type`."""
    async with _running(stack) as client:
        await client.send_raw("{}")
        assert (await _error(client))["param"] == "type"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input": "x"}, "model"),
        ({"model": "sim"}, "input"),
        ({"model": 7, "input": "x"}, "model"),
        ({"model": "", "input": "x"}, "model"),
        ({"model": "sim", "input": 7}, "input"),
        ({"model": "sim", "input": [7]}, "input[0]"),
        ({"model": "sim", "input": "x", "tools": {}}, "tools"),
        ({"model": "sim", "input": "x", "metadata": "x"}, "metadata"),
        ({"model": "sim", "input": "x", "metadata": {"a": 1}}, "metadata[...]"),
        ({"model": "sim", "input": "x", "max_output_tokens": 0}, "max_output_tokens"),
        ({"model": "sim", "input": "x", "max_output_tokens": "9"}, "max_output_tokens"),
        ({"model": "sim", "input": "x", "temperature": "warm"}, "temperature"),
        ({"model": "sim", "input": "x", "parallel_tool_calls": 1}, "parallel_tool_calls"),
        ({"model": "sim", "input": "x", "background": True}, "background"),
        ({"model": "sim", "input": "x", "generate": False}, "generate"),
        ({"model": "sim", "input": "x", "event_id": 7}, "event_id"),
        ({"model": "sim", "input": "x", "stream_id": "a b"}, "stream_id"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_bad_create_names_its_field(stack: Stack, members: dict[str, Any], param: str) -> None:
    """Each missing, wrong-typed or unsupported field is named in `param` and in the message, and nothing is created."""
    async with _running(stack) as client:
        await client.send("response.create", **members)
        error = await _error(client)
        assert error["param"] == param
        assert param.partition("[")[0] in error["message"]
        assert len(client.response_ids()) == 1


@pytest.mark.parametrize(
    ("type_", "members", "param"),
    [
        ("response.cancel", {"response_id": 7}, "response_id"),
        ("response.cancel", {"reason": 7}, "reason"),
        ("response.cancel", {"reason": "x" * 1025}, "reason"),
        ("response.cancel", {"event_id": []}, "event_id"),
        ("response.retrieve", {"starting_after": 3}, "response_id"),
        ("response.retrieve", {"response_id": None, "starting_after": 3}, "response_id"),
        ("ping", {"event_id": {}}, "event_id"),
    ],
)
async def test_a_bad_command_names_its_field_and_stops_nothing(
    stack: Stack, type_: str, members: dict[str, Any], param: str
) -> None:
    """A cancel that can't be read is no cancel of the session."""
    async with _running(stack) as client:
        await client.send(type_, **members)
        assert (await _error(client))["param"] == param


@pytest.mark.parametrize("after", [-2, 1.5, "3", True, 2**60], ids=repr)
async def test_a_bad_starting_after_is_named(stack: Stack, after: object) -> None:
    """`starting_after` is a sequence number."""
    async with _running(stack) as client:
        (response_id,) = client.response_ids()
        await client.send("response.retrieve", response_id=response_id, starting_after=after)
        assert (await _error(client))["param"] == "starting_after"


async def test_a_cancel_by_id_and_by_lane_at_once_is_refused(stack: Stack) -> None:
    """One or the other, or neither: both is a mistake, and nothing is stopped."""
    async with _running(stack) as client:
        (response_id,) = client.response_ids()
        await client.cancel(response_id=response_id, stream_id="lane")
        assert (await _error(client))["param"] == "stream_id"


async def test_an_unknown_lane_is_not_found(stack: Stack) -> None:
    """A lane that was never used here is a mistake worth telling, not a stop of nothing."""
    async with _running(stack) as client:
        await client.cancel(stream_id="never")
        error = await client.event("error")
        assert error["status"] == 404
        assert error["error"]["param"] == "stream_id"


async def test_an_error_of_a_create_names_its_lane_and_any_other_does_not(stack: Stack) -> None:
    """On a named lane the SDK takes any `error` with its `stream_id` for the end of that lane's response."""
    async with _running(stack) as client:
        await client.send("response.create", model=7, input="x", stream_id="lane", event_id="create")
        await client.send("response.cancel", stream_id="lane", event_id="cancel")
        created = await client.event("error", event_id="create")
        cancelled = await client.event("error", event_id="cancel")
        assert created["stream_id"] == "lane"
        assert "stream_id" not in cancelled


async def test_a_ping_is_answered_with_its_event_id(stack: Stack) -> None:
    """`pong` carries the `event_id` when there was one, and nothing else."""
    async with _running(stack) as client:
        await client.send("ping", event_id="evt_1")
        await client.send("ping")
        assert await client.event("pong") == {"type": "pong", "event_id": "evt_1"}
        await client.until(lambda event: event == {"type": "pong"})


async def test_steering_is_refused_with_the_input_returned(stack: Stack) -> None:
    """`response.steer` is known and not supported yet: its own failed event, by the SDK's type."""
    async with _running(stack) as client:
        (response_id,) = client.response_ids()
        await client.send("response.steer", previous_response_id=response_id, input="faster")
        failed = await client.event("response.steer.failed")
        assert failed["error"]["code"] == "steering_not_supported"
        assert failed["steer"] == {"input": "faster", "previous_response_id": response_id}


async def test_a_frame_that_is_too_large_closes_with_1009_and_stops_nothing(stack: Stack) -> None:
    """The socket is closed with 1009; its response goes on, and is replayed whole on another."""
    prompt = Prompt(tokens=30)
    async with stack.connect(0) as client:
        response_id = await client.start(prompt.body)
        with contextlib.suppress(ConnectionClosed):  # the server closes as soon as it has read the length
            await client.send_raw(" " * (4 * 1024 * 1024 + 1))
        code, _ = await client.closed()
        assert code == 1009
    async with stack.connect(1, response_id=response_id) as viewer:
        assert (await viewer.ending(response_id))["type"] == "response.completed"
        assert viewer.text(response_id) == prompt.text()


async def test_a_frame_just_within_the_bound_is_read(stack: Stack) -> None:
    """4 MiB are taken, and answered."""
    async with _running(stack) as client:
        frame = '{"type":"ping","event_id":"large"}'
        await client.send_raw(frame + " " * (4 * 1024 * 1024 - len(frame)))
        await client.event("pong", event_id="large")


async def test_a_burst_of_ten_thousand_frames_is_answered_frame_by_frame(stack: Stack) -> None:
    """Each gets one answer with its `event_id`; the stream on that socket loses nothing; a stop still works."""
    prompt = Prompt(tokens=4000, rate=100)
    unknown = new_response_id(session_tag(ANONYMOUS, SessionName("nobody")))
    kinds: list[Callable[[str], dict[str, Any]]] = [
        lambda event_id: {"type": "ping", "event_id": event_id},
        lambda event_id: {"type": "nonsense", "event_id": event_id},
        lambda event_id: {"type": "response.create", "event_id": event_id},
        lambda event_id: {"type": "response.cancel", "response_id": unknown, "event_id": event_id},
        lambda event_id: {"type": "response.retrieve", "response_id": unknown, "event_id": event_id},
    ]
    async with stack.connect() as client:
        response_id = await client.start(prompt.body)
        await client.text_begun(response_id)

        async def send() -> None:
            for number in range(_BURST):
                await client.send_raw(msgspec.json.encode(kinds[number % len(kinds)](str(number))).decode())

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            await client.until(lambda _: _answers(client.events) >= _BURST, timeout_s=40)
        answered = [event["event_id"] for event in client.events if "event_id" in event]
        assert sorted(map(int, answered)) == list(range(_BURST))

        await client.cancel(response_id=response_id)
        assert (await client.ending(response_id))["response"]["status"] == "cancelled"
        assert prompt.text().startswith(client.text(response_id))
        assert await client.closed() == (1000, "stopped")
        check_responses(client)


def _answers(events: list[Event]) -> int:
    return sum("event_id" in event for event in events[-_BURST - 5000 :]) if len(events) >= _BURST else 0


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"on_stop": "never"}, "on_stop"),
        ({"session": ""}, "session"),
        ({"session": "x" * 129}, "session"),
        ({"response_id": "resp_malformed"}, "response_id"),
        ({"response_id": new_response_id(session_tag(ANONYMOUS, SessionName("n"))), "starting_after": "x"},
         "starting_after"),
    ],
    ids=["on_stop", "session_empty", "session_long", "response_id", "starting_after"],
)  # fmt: skip
async def test_a_bad_query_is_refused_before_the_socket_opens(stack: Stack, query: dict[str, str], param: str) -> None:
    """The handshake is answered by HTTP 400 (404 for an id that can't be) and the same JSON as an error event."""
    url = f"{stack.gateways[0].url}?{urlencode(query)}"
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, proxy=None):
            pass
    response = refused.value.response
    assert response.status_code == (404 if param == "response_id" else 400)
    assert response.headers["content-type"] == "application/json"
    body = msgspec.json.decode(response.body)
    check_frame(response.body.decode(), body)
    assert body["status"] == response.status_code
    assert body["error"]["param"] == param


async def test_an_unknown_response_in_the_query_is_an_error_on_the_open_socket(stack: Stack) -> None:
    """An id of the right shape is looked up only when the socket is open, as the frame `response.retrieve` would be."""
    unknown = new_response_id(session_tag(ANONYMOUS, SessionName("nobody")))
    async with stack.connect(0, response_id=unknown) as client:
        error = await client.event("error")
        assert error["error"]["code"] == "response_not_found"
        await client.send("ping", event_id="there")
        await client.event("pong", event_id="there")


async def test_another_path_is_not_found(stack: Stack) -> None:
    """A WebSocket on a path that does not exist is refused, not accepted and dropped."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(stack.gateways[0].url + "/elsewhere", proxy=None):
            pass
    assert refused.value.response.status_code in {403, 404}
