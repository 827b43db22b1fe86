import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from andon.command.container import target_of
from andon.command.failure import CommandFailed
from tests.command.andon_command import Done, andon, free_ports
from tests.stack.stack import Stack

MakeStack = Callable[..., AbstractAsyncContextManager[Stack]]
_TURNS_S = 30.0


async def health(stack: Stack, target: str) -> Done:
    """Ask beside the running stack."""
    return await asyncio.to_thread(andon, "health", target, env={"ANDON_REDIS_URL": stack.valkey.url})


async def turns(stack: Stack, target: str, code: int) -> Done:
    """Ask until the answer has this exit code."""
    async with asyncio.timeout(_TURNS_S):
        while (done := await health(stack, target)).code != code:
            pass
    return done


async def test_a_server_is_well_while_it_answers_200(stack: Stack) -> None:
    """A gateway that answers is well; a path that answers 404, and a port where nobody is, are not: in one line."""
    assert (await health(stack, f"{stack.gateways[0].http}/readyz")) == Done(0, "well\n", "")
    nowhere = await health(stack, f"{stack.gateways[0].http}/nowhere")
    nobody = await health(stack, f"http://127.0.0.1:{free_ports()}/healthz")
    for done, words in ((nowhere, "answers 404"), (nobody, "nobody answers")):
        assert done.code == 1
        assert words in done.err
        assert len(done.err.splitlines()) == 1


async def test_a_worker_is_well_while_its_lease_stands(own_stack: MakeStack) -> None:
    """Not when it hangs, nor when it is gone: its lease runs out then; well again with another one."""
    async with own_stack(gateways=1, workers=1, ANDON_LEASE_S="3") as stack:
        stack.expect_log("worker.lost")
        (worker,) = stack.workers
        assert (await health(stack, "worker")).code == 0
        worker.freeze()
        assert "holds a lease" in (await turns(stack, "worker", 1)).err
        await worker.kill()
        await stack.start_worker()
        assert (await turns(stack, "worker", 0)).out == "well\n"


async def test_without_redis_a_worker_is_not_well() -> None:
    """It says which Redis it asked in vain."""
    env = {"ANDON_REDIS_URL": f"redis://:secret@127.0.0.1:{free_ports()}/0"}
    done = await asyncio.to_thread(andon, "health", "worker", env=env)
    assert (done.code, done.out) == (1, "")
    assert "Redis is not reachable at redis://" in done.err
    assert "secret" not in done.err


@pytest.mark.parametrize(
    ("argv", "target"),
    [
        (["andon", "worker"], "worker"),
        (["/opt/andon/bin/python", "/opt/andon/bin/andon", "gateway"], "http://127.0.0.1:21100/healthz"),
        (["andon", "gateway", "--host", "0.0.0.0", "--port", "8080"], "http://127.0.0.1:8080/healthz"),  # noqa: S104
        (["andon", "gateway", "--port=8080", "--host=::"], "http://[::1]:8080/healthz"),
        (["andon", "gateway", "--host", "10.1.2.3"], "http://10.1.2.3:21100/healthz"),
        (["/sbin/docker-init", "--", "andon", "sim", "--port", "9000", "--rate", "5"], "http://127.0.0.1:9000/healthz"),
    ],
)
def test_what_a_container_runs_is_read_off_its_first_process(argv: list[str], target: str) -> None:
    """With or without an init before it, with options in either form; every address means the container's own."""
    assert target_of(argv) == target


def test_a_container_that_runs_something_else_is_told_so() -> None:
    """No guess: it must be said what to ask."""
    with pytest.raises(CommandFailed, match="say `worker`, or a URL"):
        target_of(["/sbin/init", "splash"])
