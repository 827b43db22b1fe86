"""The password of Redis: in no log, whatever happens to the connection. The harness looks at the end of each stack."""

import contextlib
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import redis

from tests.stack.disclosure import disclosed
from tests.stack.process import Process
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until

_OwnStack = Callable[..., AbstractAsyncContextManager[Stack]]
_PASSWORD = "pass/w0rd of-redis"
_QUOTED = "pass%2Fw0rd%20of-redis"


async def test_the_password_of_redis_is_in_no_log(own_stack: _OwnStack) -> None:
    """At debug, over a lost connection that is opened again."""
    async with own_stack(gateways=0, workers=0) as stack:
        url = stack.valkey.url.replace("unix://", f"unix://:{_QUOTED}@")
        with contextlib.closing(redis.Redis.from_url(stack.valkey.url)) as client:
            client.config_set("requirepass", _PASSWORD)
            try:
                gateway = await stack.start_gateway(ANDON_REDIS_URL=url)
                await stack.start_worker(ANDON_REDIS_URL=url)
                assert _PASSWORD in gateway.secrets
                client.client_kill_filter(_type="normal", skipme=True)
                await wait_until(lambda: bool(gateway.log_events("connection.lost")), what="the loss is noticed")
                async with stack.connect() as socket:
                    await socket.ending(await socket.start(Prompt().body), 30)
            finally:
                client.config_set("requirepass", "")


@pytest.mark.parametrize(
    "url",
    [f"unix://:{_QUOTED}@{{path}}", f"unix://{{path}}?password={_QUOTED}", f"redis://:{_PASSWORD}@127.0.0.1:1/0"],
    ids=["user_part", "query", "not_quoted"],
)
async def test_a_start_that_fails_does_not_show_the_password(own_stack: _OwnStack, tmp_path: Path, url: str) -> None:
    """A wrong one, one in the query, one that breaks the address."""
    async with own_stack(gateways=0, workers=0) as stack:
        path = stack.valkey.url.removeprefix("unix://")
        with contextlib.closing(redis.Redis.from_url(stack.valkey.url)) as client:
            client.config_set("requirepass", "another one")
            try:
                env = stack.environment(ANDON_REDIS_URL=url.format(path=path))
                words = {"gateway": ["gateway", "--port", "0"], "worker": ["worker"]}
                started = [Process(name, [sys.executable, "-m", *argv], env, tmp_path) for name, argv in words.items()]
                for process in started:
                    assert await process.ended(50) == 1
            finally:
                client.config_set("requirepass", "")
        for process in started:
            assert "ANDON_REDIS_URL" in process.log()
            assert not list(disclosed(process.log(), {*process.secrets, _PASSWORD, _QUOTED, "w0rd"}))
