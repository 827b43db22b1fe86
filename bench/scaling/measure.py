"""Measure: what the bench does not tell: the costs of a response whatever its length, and what stays of it in Redis.

Run as `python -m bench.scaling.measure`: it writes those figures into figures.json and leaves the others alone. CPU is
that of the processes, over responses of one token; memory is Redis' own word (MEMORY USAGE), of responses of two
lengths, so that what a token takes is told from what a response does.
"""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from andon import keys
from andon.ids import ResponseId, tag_of
from bench.scaling.figures import OWN
from tests.stack.prompt import Prompt
from tests.stack.servers import client_of
from tests.stack.stack import Stack

_RESPONSES = 400
_SHORT, _LONG = 100, 500
_STOPS = 60
_SETTLE_S = 3.0


async def main() -> None:
    """Measure, and write."""
    with tempfile.TemporaryDirectory() as logs:
        async with Stack(Path(logs), gateways=1, workers=1, env={"ANDON_LOG_LEVEL": "info"}) as stack:
            found = {**await _cpu(stack), **await _memory(stack)}
    kept = json.loads(OWN.read_text(encoding="utf-8"))
    measured = {name: round(value, 2) for name, value in found.items()}
    OWN.write_text(
        json.dumps({**kept, **measured, "measured": time.strftime("%Y-%m-%d", time.gmtime())}, indent=2) + "\n"
    )
    print(json.dumps(measured, indent=2))


async def _cpu(stack: Stack) -> dict[str, float]:
    pids = {"redis": stack.valkey.pid, "worker": stack.workers[0].pid, "gateway": stack.gateways[0].pid}
    async with stack.connect() as client:
        await _one(client)  # cold
        before = {name: _cpu_s(pid) for name, pid in pids.items()}
        begun = time.monotonic()
        for _ in range(_RESPONSES):
            await _one(client)
        seconds = time.monotonic() - begun
        busy = {name: _cpu_s(pid) - before[name] for name, pid in pids.items()}
        # What they do in that time whether there are responses or not.
        before = {name: _cpu_s(pid) for name, pid in pids.items()}
        await asyncio.sleep(_SETTLE_S)  # the length of the measure
        idle = {name: (_cpu_s(pid) - before[name]) / _SETTLE_S for name, pid in pids.items()}
    return {f"response_{name}_us": max(0.0, busy[name] - idle[name] * seconds) / _RESPONSES * 1e6 for name in pids}


async def _one(client: Any, tokens: int = 1) -> str:
    # A pace at which hardly two tokens meet in a batch.
    response_id = await client.start(Prompt(tokens=tokens, rate=0 if tokens == 1 else 100).body)
    await client.ending(response_id, 60)
    return str(response_id)


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


async def _memory(stack: Stack) -> dict[str, float]:
    async with stack.connect() as client:
        looks = [_traffic(stack)]
        short = ResponseId(await _one(client, _SHORT))
        looks.append(_traffic(stack))
        long = ResponseId(await _one(client, _LONG))
        looks.append(_traffic(stack))
    for _ in range(_STOPS):
        async with stack.connect(on_stop="keep") as client:
            stopped = await client.start(Prompt(tokens=_LONG).body)
            await client.cancel(response_id=stopped)
            await client.ending(stopped, 60)
    await asyncio.sleep(_SETTLE_S)  # settlements are shipped, outcomes audited
    with client_of(stack.valkey) as redis:

        def usage(key: str) -> int:
            return int(redis.memory_usage(key, samples=0) or 0)

        logs = [usage(keys.log(rid)) for rid in (short, long)]
        turns = [usage(keys.turn(rid)) for rid in (short, long)]
        jobs = usage(keys.job(long))
        log_token = (logs[1] - logs[0]) / (_LONG - _SHORT)
        turn_token = (turns[1] - turns[0]) / (_LONG - _SHORT)
        tag = tag_of(long)
        session = sum(map(usage, (keys.session(tag), keys.live(tag), keys.lanes(tag))))
        (wire, commands) = (
            (looks[2][kind] - 2 * looks[1][kind] + looks[0][kind]) / (_LONG - _SHORT) for kind in range(2)
        )
        return {
            "token_wire_bytes": wire,
            "token_commands": commands,
            "log_token_bytes": log_token,
            "job_bytes": jobs + logs[0] - log_token * _SHORT,
            "turn_bytes": turns[0] - turn_token * _SHORT,
            "turn_token_bytes": turn_token,
            "session_bytes": session,
            "settlement_bytes": usage(keys.SETTLEMENTS) / redis.xlen(keys.SETTLEMENTS),
            "audit_bytes": usage(keys.AUDIT) / redis.xlen(keys.AUDIT),
        }


def _traffic(stack: Stack) -> tuple[int, int]:
    """Return bytes to and from Redis so far, and scripts called."""
    with client_of(stack.valkey) as redis:
        stats, calls = redis.info("stats"), redis.info("commandstats")
    called = calls.get("cmdstat_evalsha", {}).get("calls", 0)
    return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"]), int(called)


if __name__ == "__main__":
    asyncio.run(main())
