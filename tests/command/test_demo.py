import json
import signal

from tests.command.andon_command import Running, andon
from tests.command.dev_stack import DevStack
from tests.embedded.processes import wait_gone


def test_demo_runs_by_itself() -> None:
    """Without anything running it starts a stack, does the experiment and leaves nothing; the figures are real."""
    done = andon("demo", "--json", "--rate", "100", "--tokens", "80", "--stop-after", "0.5")
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    full, stopped = figures["full"], figures["stopped"]
    assert (full["status"], full["generated"], full["delivered"]) == ("completed", 80, 80)
    assert stopped["status"] == "cancelled"
    assert 0 < stopped["generated"] < stopped["delivered"] + 3 < 80
    assert figures["metered"]
    assert 0 <= figures["recorded_to_closed_ms"] < 1000
    assert 0 < figures["sent_to_meter_closed_ms"] < 1000


def test_demo_on_running_replicas_shows_a_table(dev: DevStack) -> None:
    """With `--url-a` and `--url-b` it measures what runs already; people get a table and a bar for each run."""
    urls = ("--url-a", dev.url_a, "--url-b", dev.url_b, "--meter", dev.meter)
    done = andon("demo", *urls, "--tokens", "80", "--stop-after", "0.5")
    assert done.code == 0, done.err
    assert "to the end" in done.out
    assert "stopped after 0.5 s" in done.out
    assert done.out.count("█") > 26
    assert "by the sim's meter" in done.out


def test_demo_without_a_meter_uses_the_settled_usage(dev: DevStack) -> None:
    """Where no meter is to be had, the usage tells, and says whose count it is."""
    urls = ("--url-a", dev.url_a, "--url-b", dev.url_b)
    done = andon("demo", *urls, "--tokens", "80", "--stop-after", "0.5", "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert (figures["metered"], figures["full"]["generated_by"]) == (False, "usage, upstream")
    assert figures["stopped"]["generated_by"] == "usage, estimated"


def test_a_stop_that_comes_too_late_is_exit_1(dev: DevStack) -> None:
    """A run that ended before its stop proves nothing, and the demo says so."""
    urls = ("--url-a", dev.url_a, "--url-b", dev.url_b)
    done = andon("demo", *urls, "--tokens", "5", "--stop-after", "5", "--json")
    assert (done.code, done.out) == (1, "")
    assert done.err == "andon: the run had ended 5 s after its start; choose --stop-after\n"


def test_an_interrupted_demo_leaves_nothing() -> None:
    """Ctrl-C, here while its stack is starting, ends that too; it did not work, so it exits with 1."""
    demo = Running.start("demo")
    children = demo.children_once(6)
    demo.signal(signal.SIGINT)
    done = demo.wait()
    assert (done.code, done.err) == (1, "andon: the demo was interrupted\n")
    wait_gone(*children)
