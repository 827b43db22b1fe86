"""Exporting: whether this process exports its spans, and for how long.

Owns the reading of the standard `OTEL_*` variables that decide it, and the bounded flush at the end. Nothing is
exported, and OpenTelemetry is not even imported, unless an OTLP endpoint is configured. Does not own the exporting
itself (`andon.otel`), nor what is traced (`andon.tracing`).
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import structlog

from andon import tracing
from andon.errors import StartError

_log = structlog.get_logger(__name__)

# How long the last spans may hold up the end of a process: its drain is over by then.
FLUSH_S: Final = 2.0
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"


def is_asked_for(environ: Mapping[str, str]) -> bool:
    """Tell whether the environment asks for traces. Raises StartError for a way of exporting that there is not."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or not any(map(environ.get, _ENDPOINTS)):
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if exporter == "none":
        return False
    if exporter != "otlp":
        raise StartError(f"OTEL_TRACES_EXPORTER={exporter!r}: traces are exported by `otlp`, or by `none`")
    name = next(filter(environ.get, _PROTOCOLS), _PROTOCOLS[-1])
    protocol = environ.get(name) or _PROTOCOL
    if protocol != _PROTOCOL:
        raise StartError(f"{name}={protocol!r}: traces go out as {_PROTOCOL}, to the collector's HTTP port (4318)")
    return True


@contextlib.asynccontextmanager
async def exporting(service: str, instance: str) -> AsyncIterator[None]:
    """Export the spans of this process, within the block, if the environment asks for it. Raises StartError.

    `service`: its name where the environment gives none; `instance`: its id.
    """
    if not is_asked_for(os.environ):
        yield
        return
    try:
        from andon import otel  # noqa: PLC0415  a hundred modules, of which most processes need none
    except ImportError as error:
        message = f"an OTLP endpoint is configured, and {error.name} is not installed: pip install 'andon[otel]'"
        raise StartError(message) from error
    provider = otel.provider(service, instance)
    _log.info("traces.exported", service=provider.resource.attributes["service.name"])
    try:
        with tracing.used(otel.Otel(provider)):
            yield
    finally:
        await _flush(provider.shutdown)


async def _flush(shutdown: Callable[[], None]) -> None:
    """Send what is left, within the bound. The thread is a daemon: one that hangs ends with the process."""
    loop = asyncio.get_running_loop()
    flushed = asyncio.Event()

    def shut_down() -> None:
        shutdown()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(flushed.set)

    threading.Thread(target=shut_down, name="andon-traces-flush", daemon=True).start()
    try:
        async with asyncio.timeout(FLUSH_S):
            await flushed.wait()
    except TimeoutError:
        _log.warning("traces.left_unsent", after_s=FLUSH_S)
