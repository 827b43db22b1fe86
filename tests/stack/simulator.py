"""The model server of a stack: the sim in a process of its own, and its meter.

Run as `python -m tests.stack.simulator [OPTIONS AS JSON]` it serves; imported it reads the meter, which is the proof
that an upstream was, or was not, asked, and when its connection was closed.
"""

import json
import sys

import httpx2
import msgspec

from andon.sim.meter import Record
from andon.sim.options import SimOptions
from andon.sim.server import run

# Fast enough for short tests, slow enough to be stopped in the middle.
OPTIONS = SimOptions(rate=200.0, ttft_s=0.0, tokens=40)
_METER_WAIT_S = 10.0


class Reading(msgspec.Struct):
    """What `GET /meter` answers."""

    requests: list[Record]
    open: int
    totals: dict[str, int]


class Meter:
    """The meter of the sim at `base_url`. Each reading is a request of its own: bound to no event loop."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    async def read(self, key: str | None = None, until: str | None = None) -> Reading:
        """Read the records (of one `sim_key`), once a request is `open`, or all have ended (`idle`)."""
        query = {name: value for name, value in (("key", key), ("until", until)) if value is not None}
        if until is not None:
            query["wait_s"] = str(_METER_WAIT_S)
        async with httpx2.AsyncClient(verify=False, trust_env=False, timeout=2 * _METER_WAIT_S) as http:
            reply = await http.get(f"{self.base_url}/meter", params=query)
            reply.raise_for_status()
            return msgspec.json.decode(reply.content, type=Reading)

    async def opened(self, key: str) -> Record:
        """Wait until the request of this key is open, and return its record."""
        reading = await self.read(key, "open")
        assert reading.open, f"no request of {key} is open: {reading.requests}"
        return reading.requests[-1]

    async def ended(self, key: str) -> Record:
        """Wait until the requests of this key have ended; return the record of the only one."""
        reading = await self.read(key, "idle")
        assert reading.open == 0, f"a request of {key} is still open"
        (record,) = reading.requests
        return record


def main() -> None:
    """Serve until SIGTERM; say where on standard output."""

    def announce(line: str) -> None:
        told = {"event": "sim.ready", "level": "info", "base_url": line.rpartition(" ")[2]}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()

    options = msgspec.json.decode(sys.argv[1], type=SimOptions) if len(sys.argv) > 1 else OPTIONS
    run("127.0.0.1", 0, options, announce=announce)


if __name__ == "__main__":
    main()
