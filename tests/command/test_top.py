"""`andon top`: the fleet at a glance."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

from andon.command.glance import Glance
from tests.command.andon_command import WAIT_S, andon, environment
from tests.command.dev_stack import DevStack


def test_one_moment_as_text_and_as_json(dev: DevStack) -> None:
    """Workers and gateways are there; both answers come from any replica's address."""
    text = andon("top", "--once", "--url", dev.url_b)
    assert (text.code, text.err) == (0, "")
    for word in ("live", "tokens/s", "worker", "gateway", "lease left"):
        assert word in text.out
    told = json.loads(andon("top", "--once", "--json", "--url", dev.url_a).out)
    assert [worker["state"] for worker in told["workers"]] == ["live", "live"]
    assert len(told["gateways"]) == 2


def test_it_goes_on_in_a_terminal_until_ctrl_c(dev: DevStack) -> None:
    """In a terminal it renews what it shows; Ctrl-C ends it with exit code 0."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-P", "-m", "andon.command", "top", "--url", dev.url_a]
    # rich draws nothing on a terminal that it takes for a dumb one.
    env = {**environment(), "TERM": "xterm", "LINES": "40", "COLUMNS": "160"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True)
    os.close(theirs)
    shown, deadline = b"", time.monotonic() + WAIT_S
    while b"lease left" not in shown:
        assert time.monotonic() < deadline, shown
        shown += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == 0
    os.close(ours)


def test_nobody_there_is_one_line() -> None:
    """A refused connection is told in one line, with exit code 1."""
    done = andon("top", "--once", "--url", "ws://127.0.0.1:9")
    assert done.code == 1
    assert done.err.startswith("andon: cannot connect to ws://127.0.0.1:9/v1/admin/feed: connection refused")
    assert done.err.count("\n") == 1


def test_a_wrong_order_names_the_right_ones() -> None:
    """A bad option is refused before anything is connected."""
    done = andon("top", "--by", "name")
    assert done.code == 2
    assert "rate, tokens, age" in done.err


def test_what_the_feed_tells_is_put_together() -> None:
    """A snapshot replaces; upserts, token counts and removals change; stops add their times."""
    row = {"id": "a", "tokens": 1, "tokens_per_s": 0.0, "state": "running"}
    glance = Glance()
    parts = {"workers": [], "gateways": [{"sockets": 1}], "broadcasts": []}
    glance.take({"type": "snapshot", "at": 1.0, "responses": [{**row}, {**row, "id": "b"}], **parts})
    glance.take({"type": "changes", "at": 2.0, "tokens": {"a": [5, 2.5], "gone": [1, 1.0]}, "removals": ["b"]})
    glance.take(
        {"type": "changes", "at": 3.0, "upserts": [{**row, "id": "c"}], "stops": [{"upstream_closed_s": 0.004}]}
    )
    assert {name: each["tokens"] for name, each in glance.responses.items()} == {"a": 5, "c": 1}
    assert glance.closed_ms == [4.0]
    assert glance.parts["gateways"] == [{"sockets": 1}]
