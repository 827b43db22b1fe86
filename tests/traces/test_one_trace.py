"""One trace for a response: from the frame, or the request, through Redis to the model server, over every replica."""

from typing import Any

import httpx2
import msgspec

from andon.tracing import TraceContext, headers_of
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack
from tests.traces.conftest import COLLECTOR_KEY, Traced
from tests.traces.receiver import Received

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
STATE = "vendor=kept"


def caller(number: int, flags: str = "01") -> tuple[str, str]:
    """Make a client's trace of its own; return its id and its `traceparent`."""
    trace = f"{number:08x}{TRACE[8:]}"
    return trace, f"00-{trace}-{CALLER}-{flags}"


def lines_about(stack: Stack, response_id: str) -> list[dict[str, Any]]:
    """Return every line that any process logged about a response."""
    lines = [line for process in stack.processes for line in process.log().splitlines() if response_id in line]
    return [msgspec.json.decode(line) for line in lines]


async def chat_span(traced: Traced, response_id: str) -> Received:
    """Wait for the span of the model's call."""
    return await traced.receiver.one(response_id, "chat sim")


async def test_a_response_is_one_trace_from_the_frame_to_the_model_server(traced: Traced) -> None:
    """The client's span, the gateway's, the worker's, the model's call: each below the one before."""
    trace, traceparent = caller(1)
    prompt = Prompt(tokens=5)
    async with traced.stack.connect(0, session="tale") as client:
        response_id = await client.start(prompt.body, traceparent=traceparent, tracestate=STATE)
        ending = await client.ending(response_id)
    assert ending["type"] == "response.completed"
    assert "traceparent" not in ending["response"]

    create = await traced.receiver.one(response_id, "create response")
    run = await traced.receiver.one(response_id, "run response")
    call = await chat_span(traced, response_id)
    assert {create.trace, run.trace, call.trace} == {trace}
    assert (create.parent, run.parent, call.parent) == (CALLER, create.id, run.id)
    assert (create.kind, run.kind, call.kind) == ("server", "consumer", "client")
    assert (create.service, run.service, call.service) == ("andon-gateway", "andon-worker", "andon-worker")
    assert create.began_at <= run.began_at <= call.began_at <= call.ended_at <= run.ended_at

    record = await traced.stack.meter.ended(prompt.key)
    assert record.traceparent == f"00-{trace}-{call.id}-01"


async def test_the_models_call_says_what_opentelemetry_says_that_it_should(traced: Traced) -> None:
    """GenAI semantic conventions: model, provider, usage, how it ended, by which name the provider knows it."""
    prompt = Prompt(tokens=5)
    async with traced.stack.connect(0, session="tale") as client:
        response_id = await client.start({**prompt.body, "temperature": 0.5})
        usage = (await client.ending(response_id))["response"]["usage"]
    call = await chat_span(traced, response_id)
    said = call.attributes
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.provider.name"] == "openai"
    assert said["openai.api.type"] == "responses"
    assert said["gen_ai.request.model"] == said["gen_ai.response.model"] == "sim"
    assert said["gen_ai.request.stream"] is True
    assert said["gen_ai.request.temperature"] == 0.5
    assert said["gen_ai.response.id"].startswith("resp_")
    assert said["gen_ai.response.id"] != response_id
    assert said["gen_ai.response.finish_reasons"] == ["stop"]
    assert said["gen_ai.usage.input_tokens"] == usage["input_tokens"]
    assert said["gen_ai.usage.output_tokens"] == usage["output_tokens"]
    assert said["gen_ai.response.time_to_first_chunk"] > 0
    assert said["server.address"] == "127.0.0.1"
    assert said["andon.usage.source"] == "upstream"
    assert not call.is_error


async def test_a_request_over_http_continues_the_trace_of_its_header(traced: Traced) -> None:
    """`traceparent` as any instrumented HTTP client sends it."""
    trace, traceparent = caller(2)
    async with httpx2.AsyncClient(verify=False, trust_env=False, timeout=30) as http:
        answer = await http.post(
            f"{traced.stack.gateways[1].http}/v1/responses",
            json=Prompt(tokens=3).body,
            headers={"traceparent": traceparent},
        )
    create = await traced.receiver.one(answer.json()["id"], "create response")
    assert (create.trace, create.parent, create.attributes["andon.door"]) == (trace, CALLER, "http")


async def test_a_stop_on_another_replica_is_a_span_of_the_same_trace(traced: Traced) -> None:
    """It links to the trace of whoever asked; the worker's part of it says how long the upstream was still open."""
    trace, traceparent = caller(3)
    others_trace, others = caller(4)
    prompt = Prompt(tokens=2000, rate=100)
    async with traced.stack.connect(0) as creator:
        response_id = await creator.start(prompt.body, traceparent=traceparent)
        await creator.text_begun(response_id)
        async with httpx2.AsyncClient(verify=False, trust_env=False, timeout=30) as http:
            await http.post(
                f"{traced.stack.gateways[1].http}/v1/responses/{response_id}/cancel",
                json={"reason": "a reason of the client's own"},
                headers={"traceparent": others},
            )
        stopped = (await creator.ending(response_id))["response"]

    create = await traced.receiver.one(response_id, "create response")
    stop = await traced.receiver.one(response_id, "stop response")
    obey = await traced.receiver.one(response_id, "obey stop")
    run = await traced.receiver.one(response_id, "run response")
    call = await chat_span(traced, response_id)
    assert {stop.trace, obey.trace, run.trace, call.trace} == {trace}
    assert (stop.parent, obey.parent) == (create.id, run.id)
    assert stop.links == ((others_trace, CALLER),)
    assert stop.resource["service.instance.id"] != create.resource["service.instance.id"]
    recorded, closed = stopped["stop"]["requested_at"], stopped["stop"]["upstream_closed_at"]
    assert stop.attributes["andon.stop.by"] == "anonymous"
    assert stop.attributes["andon.stop.recorded_at"] == obey.attributes["andon.stop.recorded_at"] == recorded
    assert obey.attributes["andon.stop.upstream_closed_at"] == closed
    assert obey.attributes["andon.stop.path"] in {"hint", "append"}
    assert obey.attributes["andon.stop.recorded_to_closed_s"] == closed - recorded
    assert run.attributes["andon.response.status"] == "cancelled"
    assert call.attributes["gen_ai.usage.output_tokens"] == stopped["usage"]["output_tokens"]
    assert call.attributes["andon.usage.source"] == "estimated"


async def test_a_failed_call_says_with_what(traced: Traced) -> None:
    """`error.type` is the cause that the client is told, and the tries are counted."""
    prompt = Prompt(model="sim-500")
    async with traced.stack.connect(0) as client:
        response_id = await client.start(prompt.body)
        error = (await client.ending(response_id))["response"]["error"]
    call = await traced.receiver.one(response_id, "chat sim-500")
    run = await traced.receiver.one(response_id, "run response")
    assert call.attributes["error.type"] == run.attributes["error.type"] == error["type"] == "upstream_error"
    assert call.attributes["gen_ai.response.finish_reasons"] == ["error"]
    assert call.attributes["andon.attempt"] > 1
    assert call.is_error
    assert run.is_error


async def test_a_refused_create_is_a_span_too(traced: Traced) -> None:
    """With the code of its refusal, in the client's trace; a client's mistake is no failure of the server's."""
    trace, traceparent = caller(5)
    async with traced.stack.connect(0) as client:
        await client.create({**Prompt().body, "previous_response_id": "resp_none"}, traceparent=traceparent)
        await client.event("error")
    await traced.receiver.until(lambda: [s for s in traced.receiver.spans if s.trace == trace], "the create's span")
    (create,) = (span for span in traced.receiver.spans if span.trace == trace)
    assert create.attributes["error.type"] == "previous_response_not_found"
    assert not create.is_error


async def test_a_trace_that_is_no_good_is_not_continued_and_refuses_nothing(traced: Traced) -> None:
    """The response has a trace of its own then."""
    async with traced.stack.connect(0) as client:
        response_id = await client.start(Prompt(tokens=2).body, traceparent="00-no-good", tracestate="\n")
        await client.ending(response_id)
    create = await traced.receiver.one(response_id, "create response")
    assert create.parent == ""


async def test_every_line_about_a_response_names_its_session_its_principal_and_its_trace(traced: Traced) -> None:
    """In gateways and workers alike, as fields."""
    trace, traceparent = caller(6)
    prompt = Prompt(model="sim-flaky-1", tokens=2000, rate=100)
    async with traced.stack.connect(0, session="logged") as creator, traced.stack.connect(1, session="other") as other:
        response_id = await creator.start(prompt.body, traceparent=traceparent)
        await creator.text_begun(response_id)
        await other.cancel(response_id=response_id)
        await creator.ending(response_id)
    run = await traced.receiver.one(response_id, "run response")
    lines = lines_about(traced.stack, response_id)
    assert {line["event"] for line in lines} >= {"response.accepted", "stop.recorded", "upstream.retry", "run.ended"}
    for line in lines:
        named = (line["response"], line["session"], line["tenant"], line["subject"], line["trace"])
        assert named == (response_id, "logged", "default", "anonymous", trace), line
    spans = {line["event"]: line["span"] for line in lines}
    assert spans["upstream.retry"] == spans["run.ended"] == run.id


async def test_what_is_not_sampled_is_not_exported_and_its_trace_goes_on(traced: Traced) -> None:
    """The client's decision holds for every process; the model server is told it."""
    trace, traceparent = caller(7, flags="00")
    prompt, sampled = Prompt(tokens=3), Prompt(tokens=3)
    async with traced.stack.connect(0) as client:
        response_id = await client.start(prompt.body, traceparent=traceparent)
        await client.ending(response_id)
        later = await client.start(sampled.body)
        await client.ending(later)
    record = await traced.stack.meter.ended(prompt.key)
    assert record.traceparent is not None
    assert record.traceparent.startswith(f"00-{trace}-")
    assert record.traceparent.endswith("-00")
    # Spans leave a process in their order: what came before this one has come, or was never made.
    await traced.receiver.one(later, "create response")
    await traced.receiver.one(later, "run response")
    assert [span for span in traced.receiver.spans if span.trace == trace] == []
    assert {line["trace"] for line in lines_about(traced.stack, response_id)} == {trace}


async def test_no_span_holds_what_was_said_or_a_reason_or_a_key(traced: Traced) -> None:
    """Nor a credential: what left the processes is searched, byte for byte."""
    prompt = Prompt(tokens=8, rate=20)
    async with traced.stack.connect(0) as client:
        response_id = await client.start({**prompt.body, "instructions": "speak as a sailor"})
        await client.text_begun(response_id)
        await client.cancel(response_id=response_id, reason="the weather has turned")
        await client.ending(response_id)
    await traced.receiver.one(response_id, "obey stop")
    await chat_span(traced, response_id)
    sent = b"".join(traced.receiver.bodies)
    said = ["Tell me about", "sailor", "weather", traced.stack.api_key, COLLECTOR_KEY, prompt.key, prompt.text()[:12]]
    assert [text for text in said if text.encode() in sent] == []
    assert traced.receiver.headers[-1]["x-collector-key"] == COLLECTOR_KEY


def test_a_context_is_written_as_it_was_read() -> None:
    """`tracestate` travels with its `traceparent`."""
    context = TraceContext(f"00-{TRACE}-{CALLER}-01 {STATE}")
    assert headers_of(context) == {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": STATE}
