"""The model server: one llama-server on loopback, and what it says of its own work.

Owns the process, its readiness and its counters. Does not own who asks it for what.

Guarantees: once `running` gives it, it answers; after the block its process has gone; it does not outlive this
process (`andon.supervised`). A count is read while nothing is being computed, so it is whole: llama-server adds a
request's tokens to `tokens_predicted_total` when the request's slot is let go, and not before.
"""

import asyncio
import http.client
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import Popen

from andon.command.ports import next_free
from andon.supervised import spawn
from bench.real.cache import Parts
from bench.real.part import RealError

_HOST = "127.0.0.1"
_PORT_FROM = 21700
_READY_S = 60.0
_IDLE_S = 20.0
_POLL_S = 0.02  # llama-server announces neither its readiness nor its idleness
_CONTEXT_TOKENS = 2048
_THREADS = 2


class ModelServer:
    """A llama-server that runs. Its methods block for a round trip on loopback."""

    def __init__(self, port: int, process: "Popen[bytes]") -> None:
        self.base_url = f"http://{_HOST}:{port}/v1"
        self._port = port
        self._process = process

    async def computed(self) -> int:
        """Return the tokens it has computed so far, once it computes none. Raises RealError if that takes too long."""
        deadline = time.monotonic() + _IDLE_S
        while True:
            metrics = await asyncio.to_thread(self._metrics)
            if metrics["requests_processing"] == 0 and metrics["requests_deferred"] == 0:
                return int(metrics["tokens_predicted_total"])
            if time.monotonic() > deadline:
                raise RealError(f"llama-server still computes {_IDLE_S:.0f} s after the end of the response")
            await asyncio.sleep(_POLL_S)

    async def count(self, text: str) -> int:
        """Return how many tokens `text` is to the model's own tokenizer."""
        body = json.dumps({"content": text, "add_special": False}).encode()
        answer = json.loads(await asyncio.to_thread(self._ask, "POST", "/tokenize", body))
        return len(answer["tokens"])

    async def wait_until_ready(self, log: Path) -> None:
        """Return once the model is loaded. Raises RealError if the server ends instead, or takes too long."""
        deadline = time.monotonic() + _READY_S
        while not await asyncio.to_thread(self._is_ready):
            if self._process.poll() is not None:
                raise RealError(f"llama-server ended (exit code {self._process.returncode}); see {log}")
            if time.monotonic() > deadline:
                raise RealError(f"llama-server was not ready within {_READY_S:.0f} s; see {log}")
            await asyncio.sleep(_POLL_S)

    def _is_ready(self) -> bool:
        try:
            self._ask("GET", "/health")
        except (OSError, RealError):  # not listening yet, or 503 while it loads
            return False
        return True

    def _metrics(self) -> dict[str, float]:
        text = self._ask("GET", "/metrics").decode()
        return {name: float(value) for name, value in re.findall(r"^llamacpp:(\w+) (\S+)$", text, re.MULTILINE)}

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = http.client.HTTPConnection(_HOST, self._port, timeout=_IDLE_S)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise RealError(f"llama-server answered {method} {path} with HTTP {response.status}: {content[:200]!r}")
        return content


@asynccontextmanager
async def running(parts: Parts, log: Path) -> AsyncIterator[ModelServer]:
    """Run a server for the length of a block; its output goes to `log`. Raises RealError when it doesn't start."""
    port = next_free(_HOST, _PORT_FROM)
    argv = [str(parts.server), "--model", str(parts.model), "--host", _HOST, "--port", str(port)]
    argv += ["--metrics", "--parallel", "1", "--ctx-size", str(_CONTEXT_TOKENS), "--threads", str(_THREADS)]
    argv += ["--device", "none"]  # the same arithmetic on every machine, and no look for a graphics card
    with log.open("wb") as output:
        process = await asyncio.to_thread(spawn, argv, output=output)
    try:
        server = ModelServer(port, process)
        await server.wait_until_ready(log)
        yield server
    finally:
        process.kill()  # it keeps nothing
        process.wait()
