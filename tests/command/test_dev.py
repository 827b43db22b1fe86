import http.client
import os
import signal
from urllib.parse import urlsplit

import pytest

from andon.embedded_home import sweep
from tests.command.andon_command import Done, andon, free_ports
from tests.command.dev_stack import DevStack
from tests.embedded.processes import is_alive, wait_gone, wait_removed

NAMES = {"valkey", "sim", "worker-1", "worker-2", "gateway-a", "gateway-b"}


def test_dev_says_what_runs_where(dev: DevStack) -> None:
    """Six processes, each alive under the id told, both gateways ready, and what to try next with real addresses."""
    assert set(dev.pids) == NAMES
    assert all(is_alive(pid) for pid in dev.pids.values())
    for url in (dev.url_a, dev.url_b):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
        connection.request("GET", "/readyz")
        assert connection.getresponse().status == 200
        connection.close()
    printed = "".join(dev.command.out)
    assert f"andon chat 'Tell me a story' --url {dev.url_a}" in printed
    assert f"andon stop RESPONSE_ID --url {dev.url_b}" in printed
    assert "client.responses.connect()" in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_dev_leaves_nothing(number: signal.Signals) -> None:
    """Ctrl-C ends all and exits 0; a kill -9 can't exit, and leaves no process either."""
    stack = DevStack.start()
    stack.command.signal(number)
    done = stack.command.wait()
    assert done.code == (0 if number is signal.SIGINT else -9)
    wait_gone(*stack.pids.values())
    if number is signal.SIGINT:
        assert done.err == "andon: all ended\n"
        assert not stack.home.exists()
    else:
        sweep(stack.home.parent)  # what the next start does
        wait_removed(stack.home)


def test_dev_restarts_what_was_killed() -> None:
    """Both workers are killed, and a response is still to be had: they come back."""
    stack = DevStack.start("--rate", "100")  # its own: the others look at processes that nobody killed
    workers = [stack.pids["worker-1"], stack.pids["worker-2"]]
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    wait_gone(*workers)
    done = andon("chat", "hello", "--max-output-tokens", "5", "--url", stack.url_b)
    assert (done.code, len(done.out.split())) == (0, 5)


def test_a_child_that_cannot_start_is_one_clear_line() -> None:
    """The child is named, its own line repeated, and everything that had been started is ended."""
    done = andon("dev", "--port", str(free_ports()), env={"ANDON_UPSTREAM_API": "no.such:agent"})
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert done.err.startswith("andon: worker-")
    assert " could not start: " in done.err


def test_a_bad_setting_is_one_clear_line() -> None:
    """A setting that no child would take stops `dev` before anything has started."""
    done = andon("dev", env={"ANDON_LEAES_S": "3"})
    assert done == Done(1, "", "andon: unknown setting ANDON_LEAES_S: did you mean ANDON_LEASE_S?\n")
