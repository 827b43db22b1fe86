"""The experiment that this project began from: what a stopped answer costs, and what the whole one.

Owns the two runs and what is measured of them. Does not own the stack they run on (`andon.command.stack`) nor how
the figures are judged and shown (`andon.command.findings`).
"""

import asyncio
import json
import os
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from andon.client import Client, Event, connect
from andon.command.failure import CommandFailed
from andon.command.findings import Findings, Run
from andon.command.interrupt import interruptible
from andon.command.probe import get
from andon.command.stack import StackOptions, running_stack
from andon.command.stopping import stop_over
from andon.sim.options import SimOptions
from andon.usage import count_tokens

RUN_S = 180.0  # a page from a slow model; more is a hang
_METER_WAIT_S = 5
_MODEL = "gpt-5.4-mini"
_ENDINGS = {"response.completed", "response.incomplete", "response.failed"}
# Demos of one machine begin their search for ports apart: ten ports each, below the system's ephemeral range.
_PORTS_FROM, _PORTS_STEP, _PORTS_BLOCKS = 21200, 10, 140


@dataclass(frozen=True, slots=True)
class Replicas:
    """Two gateways' WebSocket endpoints, and the meter of the sim behind them, if it is a sim."""

    url_a: str
    url_b: str
    meter: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is asked, and when the second run is stopped. `model` None: the sim's, or a small one of OpenAI's."""

    model: str | None
    prompt: str
    stop_after_s: float
    rate: float
    tokens: int
    token: str | None
    quiet: bool


@dataclass(slots=True)
class _Answer:
    """What a client has of a response so far."""

    response_id: str | None = None
    texts: list[str] = field(default_factory=list)

    def take(self, event: Event) -> None:
        match event["type"]:
            case "response.created":
                self.response_id = event["response"]["id"]
            case "response.output_text.delta" | "response.refusal.delta":
                self.texts.append(event["delta"])
            case "error":
                raise CommandFailed(f"{event['error']['message']} ({event['error']['code']})")


async def run(experiment: Experiment, replicas: Replicas | None) -> Findings:
    """Run both; on `replicas`, or on a stack of our own, which is gone afterwards.

    Raises an AndonError, with one clear line, when it can't be done, and Interrupted after a signal.
    """
    hurry = asyncio.Event()
    return await interruptible(_run(experiment, replicas, hurry), again=hurry.set)


async def _run(experiment: Experiment, replicas: Replicas | None, hurry: asyncio.Event) -> Findings:
    if replicas is not None:
        return await _measure(experiment, replicas)
    options = StackOptions(
        search_from=_PORTS_FROM + os.getpid() % _PORTS_BLOCKS * _PORTS_STEP,
        sim=SimOptions(rate=experiment.rate, tokens=experiment.tokens),
    )
    _note(experiment, "starting Valkey, two gateways and two workers ...")
    async with running_stack(options, hurry=hurry) as stack:
        meter = None if stack.sim_url is None else f"{stack.sim_url}/meter"
        return await _measure(experiment, Replicas(*stack.sockets, meter))


async def _measure(experiment: Experiment, replicas: Replicas) -> Findings:
    _note(experiment, f"run 1: to the end, through {replicas.url_a}")
    full = await _full_run(experiment, replicas)
    _note(experiment, f"run 2: the same, stopped after {experiment.stop_after_s:g} s through {replicas.url_b}")
    return await _stopped_run(experiment, replicas, full)


async def _full_run(experiment: Experiment, replicas: Replicas) -> Run:
    key, answer, started = _new_key(), _Answer(), time.monotonic()
    async with connect(replicas.url_a, token=experiment.token) as client:
        await _ask(client, experiment, replicas, key)
        response = await _read(client, answer, RUN_S)
    if response is None:
        raise CommandFailed(f"the run to the end did not end within {RUN_S:.0f} s")
    elapsed_s = time.monotonic() - started
    return _run_of(response, answer, await _metered(replicas, key), elapsed_s)


async def _stopped_run(experiment: Experiment, replicas: Replicas, full: Run) -> Findings:
    key, answer, token = _new_key(), _Answer(), experiment.token
    # The other socket is open before it is needed: the stop is timed, not the handshake.
    async with connect(replicas.url_a, token=token) as client, connect(replicas.url_b, token=token) as other:
        started = time.monotonic()
        await _ask(client, experiment, replicas, key)
        early = await _read(client, answer, experiment.stop_after_s)
        if early is not None or answer.response_id is None:
            how = "had not begun" if early is None else "had ended"
            raise CommandFailed(f"the run {how} {experiment.stop_after_s:g} s after its start; choose --stop-after")
        sent_at = time.time()
        told = await stop_over(other, response_id=answer.response_id, reason="andon demo")
        if told["type"] != "response.cancel.done":
            raise CommandFailed(f"the stop was refused: {told['error']['message']} ({told['error']['code']})")
        response = await _read(client, answer, RUN_S)
    if response is None:
        raise CommandFailed("the stopped run got no ending")
    elapsed_s = time.monotonic() - started
    record = await _metered(replicas, key)
    (stop,) = told["stops"]
    closed_at = record["closed_at"] if record and record["client_closed"] else None
    return Findings(
        full=full,
        stopped=_run_of(response, answer, record, elapsed_s),
        stop_after_s=experiment.stop_after_s,
        recorded_to_closed_ms=_ms_between(stop["recorded"], stop["upstream_closed"]),
        sent_to_meter_closed_ms=_ms_between(sent_at, closed_at),
        metered=record is not None,
    )


async def _ask(client: Client, experiment: Experiment, replicas: Replicas, key: str) -> None:
    metered = replicas.meter is not None
    await client.create(
        model=experiment.model or ("sim" if metered else _MODEL),
        input=experiment.prompt,
        max_output_tokens=experiment.tokens,
        metadata={"sim_key": key} if metered else None,
    )


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
    raise CommandFailed("the gateway closed the socket before the response ended")


async def _metered(replicas: Replicas, key: str) -> dict[str, Any] | None:
    """Return the sim's record of the one request with `key`, once it has ended; None where there is no meter."""
    if replicas.meter is None:
        return None
    url = f"{replicas.meter}?key={key}&until=idle&wait_s={_METER_WAIT_S}"
    try:
        status, body = await get(url, timeout_s=2.0 * _METER_WAIT_S)
        requests = json.loads(body)["requests"]
    except (OSError, ValueError, KeyError) as error:
        raise CommandFailed(f"the meter at {replicas.meter} can't be read: {error}") from error
    if len(requests) != 1:
        raise CommandFailed(f"the meter knows {len(requests)} requests of this run, not one (HTTP {status})")
    record: dict[str, Any] = requests[0]
    return record


def _run_of(response: Event, answer: _Answer, record: dict[str, Any] | None, elapsed_s: float) -> Run:
    usage, text = response.get("usage") or {}, "".join(answer.texts)
    return Run(
        response_id=str(answer.response_id),
        status=response["status"],
        generated=usage.get("output_tokens", 0) if record is None else record["tokens_generated"],
        generated_by=f"usage, {usage.get('source', 'unknown')}" if record is None else "the sim's meter",
        # A token of the sim is a word; of another model's text the count is an estimate.
        delivered=count_tokens(text) if record is None else len(text.split()),
        elapsed_s=round(elapsed_s, 3),
    )


def _ms_between(earlier: float | None, later: float | None) -> float | None:
    return None if earlier is None or later is None else round((later - earlier) * 1000, 3)


def _new_key() -> str:
    return f"demo-{secrets.token_hex(6)}"


def _note(experiment: Experiment, line: str) -> None:
    if not experiment.quiet:
        print(line, flush=True)
