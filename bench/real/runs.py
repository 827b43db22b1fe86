"""The runs: one prompt to its end, then the same one stopped from the other replica.

Owns what is asked, when it is stopped and what is read of it. Does not own the judgement (`bench.real.findings`), nor
the stack.

Guarantees: the runs do not overlap, and each's count is the model server's own, before and after, with nothing being
computed at either time.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from andon.client import Client, Event, connect
from andon.command.stopping import stop_over
from bench.real.findings import Run
from bench.real.model_server import ModelServer
from bench.real.part import RealError

_RUN_S = 300.0
_ENDINGS = {"response.completed", "response.incomplete", "response.failed"}
# On a machine that answers sooner than 1.5 times the last stop, all stops come sooner, in proportion.
_ROOM = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked of both gateways, and at which seconds it is stopped, a run each."""

    prompt: str
    max_output_tokens: int
    stops_s: Sequence[float]
    url_a: str
    url_b: str


@dataclass(slots=True)
class _Answer:
    """What the client has of a response so far."""

    response_id: str | None = None
    deltas: list[str] = field(default_factory=list)

    def take(self, event: Event) -> None:
        match event["type"]:
            case "response.created":
                self.response_id = event["response"]["id"]
            case "response.output_text.delta":
                self.deltas.append(event["delta"])
            case "error":
                raise RealError(f"{event['error']['message']} ({event['error']['code']})")


async def measure(plan: Plan, server: ModelServer) -> list[Run]:
    """Do all runs, the one to the end first. Raises RealError or an AndonError when one can't be done."""
    full = await _run(plan, server, None)
    scale = min(1.0, full.elapsed_s / (_ROOM * max(plan.stops_s)))
    return [full, *[await _run(plan, server, round(stop_s * scale, 2)) for stop_s in plan.stops_s]]


async def _run(plan: Plan, server: ModelServer, stop_s: float | None) -> Run:
    """Ask, stop after `stop_s` if given, read to the end."""
    before = await server.computed()
    answer, recorded_to_closed_ms = _Answer(), None
    # The other socket is open before it is needed: the stop is timed, not the handshake.
    async with connect(plan.url_a) as client, connect(plan.url_b) as other:
        started = time.monotonic()
        await client.create(
            model="SmolLM2-135M-Instruct",
            input=plan.prompt,
            max_output_tokens=plan.max_output_tokens,
            temperature=0,  # greedy: every run begins with the same words
        )
        if stop_s is not None:
            recorded_to_closed_ms = await _stop(client, other, answer, stop_s)
        response = await _read(client, answer, _RUN_S)
        elapsed_s = time.monotonic() - started
    if response is None:
        raise RealError(f"a run did not end within {_RUN_S:.0f} s")
    if response["status"] == "failed":
        error = response["error"]
        raise RealError(f"a run failed: {error['message']} ({error['type']})")
    usage = response.get("usage") or {}
    return Run(
        stopped_after_s=stop_s,
        status=response["status"],
        computed=await server.computed() - before,
        delivered=await server.count("".join(answer.deltas)),
        deltas=len(answer.deltas),
        usage_output_tokens=usage.get("output_tokens"),
        usage_source=usage.get("source"),
        elapsed_s=elapsed_s,
        recorded_to_closed_ms=recorded_to_closed_ms,
    )


async def _stop(client: Client, other: Client, answer: _Answer, stop_s: float) -> float | None:
    """Read for `stop_s`, then stop through `other`; return the milliseconds from the mark to the upstream's close."""
    early = await _read(client, answer, stop_s)
    if early is not None or answer.response_id is None:
        raise RealError(f"{stop_s:g} s after its start the run had {'ended' if early else 'not begun'}")
    told = await stop_over(other, response_id=answer.response_id, reason="make real")
    if told["type"] != "response.cancel.done":
        raise RealError(f"the stop was refused: {told['error']['message']} ({told['error']['code']})")
    (stop,) = told["stops"]
    if stop["recorded"] is None or stop["upstream_closed"] is None:
        return None
    closed_after_s: float = stop["upstream_closed"] - stop["recorded"]
    return closed_after_s * 1000


async def _read(client: Client, answer: _Answer, within_s: float) -> Event | None:
    """Read on, for so long at most, and return the ended Response; None if it still runs, and may be read on."""
    try:
        async with asyncio.timeout(within_s):
            async for event in client:
                answer.take(event)
                if event["type"] in _ENDINGS:
                    response: Event = event["response"]
                    return response
    except TimeoutError:
        return None
    raise RealError("the gateway closed the socket before the response ended")
