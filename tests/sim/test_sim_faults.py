import asyncio
from typing import Any

import httpx2
import msgspec
import openai
import pytest

from andon.sim.faults import MODELS
from andon.sim.text import seed_of, text

from .door import KEY, PATHS, Door, request

APIS = ["responses", "chat"]
STATUSES = [int(name.removeprefix("sim-")) for name in MODELS if name.removeprefix("sim-").isdigit()]
pytestmark = pytest.mark.parametrize("api", APIS)


async def _read(door: Door, api: str, model: str, *, stream: bool = True) -> tuple[bytes, httpx2.HTTPError | None]:
    """Read what comes before the body's end, and how it broke, if it did."""
    body = request(api, model, stream=stream, metadata={"sim_key": "K", "sim_after": "4"})
    raw = b""
    async with door.http.stream("POST", PATHS[api], json=body) as reply:
        try:
            async for chunk in reply.aiter_raw():
                raw += chunk
        except httpx2.HTTPError as error:
            return raw, error
    return raw, None


@pytest.mark.parametrize("status", STATUSES)
async def test_a_status_model_answers_its_status_in_openais_shape(sim: Door, api: str, status: int) -> None:
    """The SDK raises its error of that status, with the body's code; nothing is billed."""
    create = sim.sdk.responses.create if api == "responses" else sim.sdk.chat.completions.create
    with pytest.raises(openai.APIStatusError) as raised:
        await create(**request(api, f"sim-{status}", stream=True, metadata={"sim_key": "K"}))
    assert raised.value.status_code == status
    assert isinstance(raised.value.code, str)
    record = await sim.record("K")
    assert (record.status, record.tokens_generated, record.finished) == (status, 0, False)


async def test_401_echoes_the_key_and_the_meter_does_not(sim: Door, api: str) -> None:
    """A hostile upstream's body holds the credential; what the sim keeps holds only that there was one."""
    reply = await sim.post(api, "sim-401", metadata={"sim_key": "K"})
    assert KEY in reply.text
    meter = await sim.http.get("/meter")
    assert KEY not in meter.text
    assert (await sim.record("K")).authorized


@pytest.mark.parametrize(("model", "status"), [("sim-flaky-2", 500), ("sim-flaky-429-2", 429)])
async def test_a_flaky_model_fails_n_times_for_each_key(sim: Door, api: str, model: str, status: int) -> None:
    """The first N of one key fail, then all succeed; another key has failures of its own."""
    for key in ("a", "b"):
        replies = [await sim.post(api, model, metadata={"sim_key": key}) for _ in range(4)]
        assert [reply.status_code for reply in replies] == [status, status, 200, 200]


async def test_a_429_tells_when_to_retry(sim: Door, api: str) -> None:
    """Retry-After is 1, or what the request chose."""
    assert (await sim.post(api, "sim-429")).headers["retry-after"] == "1"
    chosen = {"sim_retry_after": "0.25"}
    assert (await sim.post(api, "sim-flaky-429-1", metadata=chosen)).headers["retry-after"] == "0.25"


@pytest.mark.parametrize("model", ["sim-nonsense", "sim-flaky-", "sim-flaky-N", "sim-flaky-429-N"])
async def test_an_unknown_sim_model_does_not_exist(sim: Door, api: str, model: str) -> None:
    """A misspelt fault is a 404, never a plain answer that passes for the fault."""
    reply = await sim.post(api, model)
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("model", ["gpt-5", "test", "simulator"])
async def test_any_other_model_is_plain(sim: Door, api: str, model: str) -> None:
    """A real model's name works, and is repeated."""
    assert (await sim.post(api, model)).json()["model"] == model


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("model", "status", "tokens"), [("sim-mute", None, 0), ("sim-silent", 200, 0), ("sim-stall", 200, 4)]
)
async def test_a_hanging_model_waits_for_the_clients_close(
    sim: Door, api: str, model: str, status: int | None, tokens: int, *, stream: bool
) -> None:
    """Nothing more is sent, the request stays open, and its close is seen at once."""
    call = asyncio.create_task(_read(sim, api, model, stream=stream))
    while (hung := await sim.record("K", until="open")).tokens_generated < tokens:
        pass
    assert (hung.client_closed, hung.ended_at) == (False, None)
    call.cancel()
    await asyncio.wait([call])
    record = await sim.record("K")
    assert (record.status, record.tokens_generated, record.finished) == (status, tokens, False)
    assert record.client_closed
    assert record.closed_at is not None


@pytest.mark.parametrize("stream", [True, False])
async def test_a_drop_is_a_reset_after_some_tokens(sim: Door, api: str, *, stream: bool) -> None:
    """The connection breaks with a read error; what was sent before has arrived, and was not the client's doing."""
    raw, error = await _read(sim, api, "sim-drop", stream=stream)
    assert isinstance(error, httpx2.ReadError)
    assert raw.count(b'"delta":"' if api == "responses" else b'"content":" ') == (4 if stream else api == "chat")
    record = await sim.record("K")
    assert (record.tokens_generated, record.client_closed, record.finished) == (4, False, False)


@pytest.mark.parametrize("model", ["sim-eof", "sim-half", "sim-garbage", "sim-error-event", "sim-failed"])
async def test_a_stream_that_goes_wrong_ends_cleanly_without_its_finish(sim: Door, api: str, model: str) -> None:
    """Four tokens come, the fault, and a clean end of body: no `[DONE]`, no completed, no finish_reason."""
    raw, error = await _read(sim, api, model)
    assert error is None
    deltas = b"event: response.output_text.delta\n" if api == "responses" else b'"delta":{"content":" '
    half = model == "sim-half" and api == "responses"  # half an event still begins with its name
    assert raw.count(deltas) == 4 + half
    assert not any(end in raw for end in (b"[DONE]", b"response.completed", b'"stop"'))
    assert (await sim.record("K")).tokens_generated == 4
    assert not (await sim.record("K")).finished


async def test_half_ends_within_an_event(sim: Door, api: str) -> None:
    """The last line is a beginning: no blank line ends it."""
    raw, _ = await _read(sim, api, "sim-half")
    assert not raw.endswith(b"\n\n")


async def test_garbage_is_neither_sse_nor_json(sim: Door, api: str) -> None:
    """The bytes are no UTF-8, and the one thing among them that is an event is no JSON."""
    raw, _ = await _read(sim, api, "sim-garbage")
    garbage = raw[raw.index(b"\x80") :]
    (data,) = {line.removeprefix(b"data: ") for line in garbage.split(b"\n") if line.startswith(b"data: ")}
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(data)


async def test_an_error_event_has_the_apis_own_shape(sim: Door, api: str) -> None:
    """Responses: flat, numbered next; Chat: an `error` object. The SDK raises for Chat."""
    event = (await sim.events(api, "sim-error-event"))[-1]
    error: dict[str, Any] = event if api == "responses" else event["error"]
    assert error["code"] == "server_error"
    assert error["type"] == ("error" if api == "responses" else "server_error")
    assert (await sim.post(api, "sim-error-event")).status_code == 500


async def test_failed_is_a_failed_response(sim: Door, api: str) -> None:
    """Responses: `response.failed` with an error of the SDK's code; Chat, which has no such thing: an error."""
    event = (await sim.events(api, "sim-failed"))[-1]
    whole = await sim.post(api, "sim-failed")
    if api == "chat":
        assert "error" in event
        assert whole.status_code == 500
        return
    assert event["type"] == "response.failed"
    assert event["response"]["status"] == whole.json()["status"] == "failed"
    assert event["response"]["error"]["code"] == "server_error"


@pytest.mark.parametrize(("model", "empty"), [("sim-eof", True), ("sim-half", False), ("sim-garbage", False)])
async def test_unstreamed_a_fault_spoils_the_json(sim: Door, api: str, model: str, *, empty: bool) -> None:
    """The body ends cleanly and cannot be decoded."""
    raw, error = await _read(sim, api, model, stream=False)
    assert error is None
    assert (raw == b"") is empty
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(raw)


@pytest.mark.parametrize(("after", "sent"), [("0", 0), ("12", 12), ("99", 12)])
async def test_a_fault_strikes_after_the_tokens_asked_for(sim: Door, api: str, after: str, sent: int) -> None:
    """`sim_after` counts exactly; beyond the length it strikes before the ending, which never comes."""
    said = [
        event.get("delta") or event["choices"][0]["delta"].get("content")
        for event in await sim.events(api, "sim-eof", metadata={"sim_after": after})
        if event.get("type", "delta").endswith("delta")
    ]
    assert "".join(piece or "" for piece in said) == text(seed_of("hello there"), sent)


async def test_a_burst_leaves_in_one_write(sim: Door, api: str) -> None:
    """Fifty tokens fall due together: a paced stream of a hundred has two moments."""
    body = request(api, "sim-burst", stream=True, metadata={"sim_tokens": "100", "sim_rate": "500"})
    token = b'"delta":" ' if api == "responses" else b'"delta":{"content":" '
    async with sim.http.stream("POST", PATHS[api], json=body) as reply:
        counts = [chunk.count(token) async for chunk in reply.aiter_raw()]
    assert max(counts) == 50
    assert sum(counts) == 100
