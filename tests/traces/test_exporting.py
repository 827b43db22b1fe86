"""Exporting: what the environment must say for spans to be exported, and what is loaded where it does not."""

import subprocess
import sys

import pytest

import andon
from andon.errors import StartError
from andon.exporting import exporting, is_asked_for

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
TRACES_ENDPOINT = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}


@pytest.mark.parametrize("environ", [ENDPOINT, TRACES_ENDPOINT, {**ENDPOINT, "OTEL_TRACES_EXPORTER": "otlp"}])
def test_an_endpoint_asks_for_it(environ: dict[str, str]) -> None:
    """For all signals, or for traces alone."""
    assert is_asked_for(environ)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "mine"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_else_does(environ: dict[str, str]) -> None:
    """The standard switches switch it off."""
    assert not is_asked_for(environ)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
    ],
)
def test_a_way_of_exporting_that_there_is_not_refuses_the_start(name: str, value: str) -> None:
    """With the variable's name and what would do: spans that silently go nowhere are worse."""
    with pytest.raises(StartError, match=f"{name}='{value}'"):
        is_asked_for({**ENDPOINT, name: value})


def test_where_nothing_is_exported_the_exporter_is_not_even_loaded() -> None:
    """A gateway and a worker without it start as fast, and as small, as before."""
    # Some of the SDK is loaded by redis-py, where it is installed; the exporter and what it needs are not.
    code = "import sys, gateway.__main__, worker.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, timeout=50, capture_output=True).stdout.split()
    assert b"worker.service" in loaded
    assert not {b"andon.otel", b"opentelemetry.exporter", b"google.protobuf", b"requests"} & set(loaded)


async def test_without_the_extra_an_endpoint_refuses_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to install."""
    monkeypatch.setenv(*next(iter(ENDPOINT.items())))
    monkeypatch.delitem(sys.modules, "andon.otel", raising=False)
    monkeypatch.delattr(andon, "otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(StartError, match=r"pip install 'andon\[otel\]'"):
        async with exporting("andon-gateway", "gw_1"):
            pass
