"""The harness itself: each fault that it promises to find fails the stack, and only an undeclared one does."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest

from . import simulator
from .disclosure import secrets_of
from .process import Process
from .prompt import Prompt
from .stack import Stack
from .waiting import wait_until

_OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]


def _log(stack: Stack, line: str) -> None:
    (sim,) = stack.processes
    with sim.log_path.open("a") as log:
        log.write(line + "\n")


@pytest.mark.parametrize(
    "line",
    ['{"event": "boom", "level": "error"}', '{"event": "boom", "level": "critical"}', "boom: a bare line"],
    ids=["error", "critical", "unstructured"],
)
async def test_a_bad_log_line_fails_the_stack_unless_declared(own_stack: _OwnStack, line: str) -> None:
    """Level error or worse, and anything that is no structured line."""
    with pytest.raises(AssertionError, match="boom"):
        async with own_stack(gateways=0, workers=0) as stack:
            _log(stack, line)
    async with own_stack(gateways=0, workers=0) as stack:
        stack.expect_log("boom")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{stack.api_key}", "a secret"),
        ("a t0ken-of-the-test in it", "a secret"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.AAAA", "a JWT"),
        ("andon_0123456789-0123456789_0123456789abcdefghijklm", "an API key"),
        ("Authorization: Bearer 0123456789", "an Authorization header"),
        ("andon.v1, bearer.0123456789", "an Authorization header"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
    ],
)
async def test_a_logged_secret_fails_the_stack(own_stack: _OwnStack, text: str, found: str) -> None:
    """At whatever level it is logged; those that a test used, and whatever looks like one."""
    with pytest.raises(AssertionError, match=f"sim logged {found}"):
        async with own_stack(gateways=0, workers=0) as stack:
            _disclose(stack, text.format(stack=stack), {"t0ken-of-the-test"})


async def test_what_a_process_was_given_in_its_environment_is_a_secret(own_stack: _OwnStack) -> None:
    """The password within the address of Redis, the secret of the tokens."""
    for name, value in (("ANDON_REDIS_URL", "redis://:hunter%2F22@h"), ("ANDON_JWT_SECRET", "hunter/22")):
        with pytest.raises(AssertionError, match="sim logged a secret that it was given"):
            async with own_stack(gateways=0, workers=0) as stack:
                _disclose(stack, "bad password hunter/22", secrets_of({name: value}))


async def test_a_key_without_a_time_to_live_fails_the_stack(
    own_stack: _OwnStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every key that Andon writes expires."""
    monkeypatch.setattr("tests.stack.faults._GRACE_S", 0.0)
    with pytest.raises(AssertionError, match="the key andon:immortal has no time to live"):
        async with own_stack(gateways=0, workers=0) as stack:
            _set_keys(stack)


async def test_a_process_that_dies_by_itself_fails_the_stack(own_stack: _OwnStack) -> None:
    """One that the test ended through its own methods does not."""
    with pytest.raises(AssertionError, match="sim ended with -9"):
        async with own_stack(gateways=0, workers=0) as stack:
            await _kill_behind_its_back(stack.processes[0])


async def test_a_request_left_open_at_the_model_server_fails_the_stack(
    own_stack: _OwnStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upstream connection that nobody closes is money."""
    monkeypatch.setattr(simulator, "_METER_WAIT_S", 0.1)
    body = Prompt(model="sim-silent").body
    writer: asyncio.StreamWriter | None = None
    try:
        with pytest.raises(AssertionError, match=re.escape("1 requests at the model server are still open")):
            async with own_stack(gateways=0, workers=0) as stack:
                writer = await _ask_and_keep(stack, body)
    finally:
        assert writer is not None
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _disclose(stack: Stack, text: str, secrets: set[str]) -> None:
    stack.processes[0].secrets |= secrets
    _log(stack, f'{{"level": "debug", "text": "{text}"}}')


def _set_keys(stack: Stack) -> None:
    with stack.servers.client("andon:mortal") as client:
        client.set("andon:mortal", 1, ex=60)
    with stack.servers.client("andon:immortal") as client:
        client.set("andon:immortal", 1)


async def _kill_behind_its_back(process: Process) -> None:
    os.kill(process.pid, signal.SIGKILL)
    await wait_until(lambda: process.exit_code is not None, what=f"{process.name} ends")


async def _ask_and_keep(stack: Stack, body: dict[str, object]) -> asyncio.StreamWriter:
    content = msgspec.json.encode({**body, "stream": True})
    host, port = stack.meter.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/responses HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    assert b"200" in await reader.readline()
    return writer
