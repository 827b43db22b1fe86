import signal
import socket
from collections.abc import Callable

import pytest

from andon import __version__
from andon.command import main
from andon.command.failure import CommandFailed
from andon.command.findings import Findings, Run
from tests.command.andon_command import Done, Running, andon, free_ports

COMMANDS = ["dev", "chat", "stop", "demo", "gateway", "worker", "sim", "health"]


def one_line(done: Done) -> str:
    """Return the one line of an error; anything else printed fails the test."""
    assert done.code == 1, done
    assert done.out == ""
    lines = done.err.splitlines()
    assert len(lines) == 1, done.err
    return lines[0]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Run the command in this process: a process each would take most of the time of these tests."""
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*words: str) -> Done:
        monkeypatch.setattr("sys.argv", ["andon", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, out, err)

    return run


def test_version_is_the_packages() -> None:
    """`--version` prints what is installed."""
    assert andon("--version") == Done(0, f"andon {__version__}\n", "")


def test_help_lists_every_command() -> None:
    """Somebody who knows nothing sees what there is."""
    done = andon("--help")
    assert done.code == 0
    assert [name for name in COMMANDS if f" {name} " not in done.out] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_examples(typed: Callable[..., Done], command: str) -> None:
    """Every command's help says what it does and shows how it is used."""
    done = typed(command, "--help")
    assert done.code == 0
    assert "Examples:" in done.out
    assert f"andon {command}" in done.out.split("Examples:")[1]


@pytest.mark.parametrize(
    "words",
    [
        ("chat",),
        ("stop",),
        ("demo", "--url-a", "ws://127.0.0.1:1"),
        ("demo", "--meter", "http://127.0.0.1:1/meter"),
        ("sim", "--rate", "fast"),
        ("gateway", "--port", "70000"),
        ("nonsense",),
    ],
)
def test_wrong_command_line_exits_2(typed: Callable[..., Done], words: tuple[str, ...]) -> None:
    """A wrong command line is told from a failure by its exit code, and never by a traceback."""
    done = typed(*words)
    assert done.code == 2
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "words", [("chat", "hi"), ("stop", "resp_x"), ("demo", "--url-b", "ws://127.0.0.1:1", "--url-a")]
)
def test_no_gateway_is_one_clear_line(words: tuple[str, ...]) -> None:
    """A refused connection names the address and what to do."""
    url = f"ws://127.0.0.1:{free_ports()}"
    words = (*words, url) if words[0] == "demo" else (*words, "--url", url)
    done = andon(*words)
    assert done.code == 1
    assert f"andon: cannot connect to {url}/v1/responses" in done.err
    assert "connection refused; is a gateway running there?" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("url", ["redis://127.0.0.1", "127.0.0.1:21100", "ws://", "ws://host:port"])
def test_bad_url_is_one_clear_line(typed: Callable[..., Done], url: str) -> None:
    """What is no WebSocket URL is refused before anything is sent, with a look at a right one."""
    line = one_line(typed("chat", "hi", "--url", url))
    assert line == f"andon: {url!r} is no WebSocket URL; it looks like ws://127.0.0.1:21100/v1/responses"


def test_a_server_that_is_no_gateway_is_one_clear_line() -> None:
    """Something else on the port is told as such."""
    sim = Running.start("sim", "--port", "0")
    try:
        address = sim.until("listening on ").split("http://")[1].split("/")[0]
        line = one_line(andon("chat", "hi", "--url", f"ws://{address}"))
        assert f"cannot connect to ws://{address}/v1/responses" in line
    finally:
        sim.end()


def test_taken_port_is_one_clear_line() -> None:
    """`dev`, `sim` and `gateway` say which port is taken. No other is chosen where one was asked for."""
    with socket.create_server(("127.0.0.1", free_ports())) as taken:
        port = str(taken.getsockname()[1])
        assert port in one_line(andon("dev", "--port", port))
        assert port in one_line(andon("sim", "--port", port))
        assert port in one_line(andon("gateway", "--port", port, env={"ANDON_REDIS_URL": "unix:///nowhere"}))


@pytest.mark.parametrize("words", [("worker",), ("gateway", "--port", "0")])
def test_a_process_that_cannot_start_is_one_clear_line(words: tuple[str, ...]) -> None:
    """`andon gateway` and `andon worker` are the packages' own processes, and end with their own line."""
    line = one_line(andon(*words, env={"ANDON_LEAES_S": "3"}))
    assert line == f"andon {words[0]}: unknown setting ANDON_LEAES_S: did you mean ANDON_LEASE_S?"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sim_ends_with_0_on_a_signal(number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C are how a server is meant to end."""
    sim = Running.start("sim", "--port", "0")
    sim.until("listening on ")
    sim.signal(number)
    assert sim.wait().code == 0


def run(status: str, generated: int, delivered: int) -> Run:
    return Run(
        response_id="resp_1", status=status, generated=generated, generated_by="x", delivered=delivered, elapsed_s=1.0
    )


def findings(full: Run, stopped: Run, closed_ms: float | None = 1.0) -> Findings:
    return Findings(
        full=full,
        stopped=stopped,
        stop_after_s=2.0,
        recorded_to_closed_ms=1.0,
        sent_to_meter_closed_ms=closed_ms,
        metered=True,
    )


def test_demo_accepts_up_to_two_tokens_on_their_way() -> None:
    """At a stop fewer than three tokens more may have been generated than delivered."""
    findings(run("completed", 431, 431), run("cancelled", 102, 100)).check()


@pytest.mark.parametrize(
    ("full", "stopped", "closed_ms", "line"),
    [
        (run("failed", 1, 1), run("cancelled", 1, 1), 1.0, "ended as failed"),
        (run("completed", 9, 9), run("completed", 9, 9), 1.0, "not cancelled"),
        (run("completed", 9, 8), run("cancelled", 1, 1), 1.0, "of 9 tokens generated 8 were delivered"),
        (run("completed", 9, 9), run("cancelled", 4, 1), 1.0, "cost 4 tokens upstream, 1 were delivered"),
        (run("completed", 9, 9), run("cancelled", 1, 1), None, "never saw its connection closed"),
    ],
)
def test_demo_fails_on_what_was_not_as_promised(full: Run, stopped: Run, closed_ms: float | None, line: str) -> None:
    """The demo is no show: it exits with 1 and one line when a promise did not hold."""
    with pytest.raises(CommandFailed, match=line):
        findings(full, stopped, closed_ms).check()
