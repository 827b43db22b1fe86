import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.command.andon_command import Done, Running, andon
from tests.command.dev_stack import DevStack

STOPPED = re.compile(
    r"^stopped: (\d+) tokens out, \d+ in \(estimated here\); upstream closed \d+ ms after the stop$", re.MULTILINE
)


def stopped_at(done: Done) -> int:
    """Return the tokens of a chat that was stopped, as it tells them."""
    told = STOPPED.search(done.err)
    assert told is not None, done
    return int(told[1])


def test_text_goes_to_stdout_and_the_rest_to_stderr(dev: DevStack) -> None:
    """The text can be piped: nothing else is on standard output; id, ending and cost are on standard error."""
    done = andon("chat", "hello", "--max-output-tokens", "12", "--session", "a", "--url", dev.url_a)
    assert done.code == 0
    assert len(done.out.split()) == 12
    assert done.out.endswith("\n")
    first, last = done.err.splitlines()
    assert re.fullmatch(r"resp_\S+  session a", first)
    assert last == "incomplete (max_output_tokens): 12 tokens out, 1 in (counted by the model server)"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_the_stop(dev: DevStack, number: signal.Signals) -> None:
    """Ctrl-C stops the response, shows the usage settled and when the upstream was closed, and exits 0."""
    chat = Running.start("chat", "a long story", "--url", dev.url_a)
    chat.until(" the ")
    chat.signal(number)
    done = chat.wait()
    assert done.code == 0
    assert "stopping ..." in done.err
    assert 0 < stopped_at(done) < 400
    assert len(done.out.split()) < 400


def test_a_failed_response_is_one_clear_line_and_exit_1(dev: DevStack) -> None:
    """The cause and the remedy, as the response tells them; no traceback."""
    done = andon("chat", "hello", "--model", "sim-401", "--url", dev.url_a)
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith("andon: the response failed: ")
    assert "upstream_unauthorized" in done.err
    assert "Traceback" not in done.err


def test_stop_from_the_other_replica(dev: DevStack) -> None:
    """`andon stop ID` against any replica ends the chat elsewhere; a second stop says that it has ended, exit 0."""
    chat = Running.start("chat", "a long story", "--url", dev.url_a)
    response_id = chat.until("  session ").split()[0]
    chat.until(" the ")
    stop = andon("stop", response_id, "--reason", "enough", "--url", dev.url_b)
    assert stop.code == 0
    heading, row = stop.out.splitlines()
    assert heading.split() == ["response", "recorded", "replicated", "acked", "upstream", "closed", "settled"]
    assert re.fullmatch(rf"{response_id} +\d\d:\d\d:\d\d\.\d\d\d +- +\+\d+ ms +\+\d+ ms +\+\d+ ms *", row)
    done = chat.wait()
    assert done.code == 0
    assert stopped_at(done) < 431  # its whole length
    again = andon("stop", response_id, "--url", dev.url_b)
    assert again.code == 0
    assert again.out.startswith("nothing to stop: ")


def test_stop_of_a_session(dev: DevStack) -> None:
    """`--session` stops all that is live in it; `--json` gives the gateway's answer for programs."""
    chats = [Running.start("chat", "a long story", "--session", "tale", "--url", dev.url_a) for _ in range(2)]
    ids = {chat.until("  session tale").split()[0] for chat in chats}
    stop = andon("stop", "--session", "tale", "--url", dev.url_b, "--json")
    assert stop.code == 0
    answer = json.loads(stop.out)
    assert answer["type"] == "response.cancel.done"
    assert {stop["response_id"] for stop in answer["stops"]} == ids
    assert all("stopped: " in chat.wait().err for chat in chats)


def test_stop_of_an_unknown_response_is_exit_1(dev: DevStack) -> None:
    """Unknown and foreign look alike: one line, exit 1."""
    done = andon("stop", "resp_unknown", "--url", dev.url_a)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("andon: ")
    assert done.err.endswith("(response_not_found)\n")


@pytest.fixture
async def deaf() -> AsyncIterator[str]:
    """Run a gateway that begins a response and never answers a cancel."""

    async def handle(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(json.dumps({"type": "response.created", "response": {"id": "resp_1"}, "session": "s"}))
        await socket.wait_closed()

    async with serve(handle, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_second_signal_quits_at_once(deaf: str) -> None:
    """When the gateway does not answer, a second Ctrl-C does not wait for it."""
    chat = await asyncio.to_thread(Running.start, "chat", "hello", "--url", deaf)
    await asyncio.to_thread(chat.until, "resp_1  session s")
    chat.signal(signal.SIGINT)
    await asyncio.to_thread(chat.until, "stopping ...")
    chat.signal(signal.SIGINT)
    assert (await asyncio.to_thread(chat.wait)).code == 130


async def test_a_lost_connection_is_one_clear_line() -> None:
    """A gateway that goes away mid-response is told with its close code; the text so far stays on the screen."""

    async def handle(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(json.dumps({"type": "response.output_text.delta", "delta": "Once"}))
        await socket.close(1012, "restart")

    async with serve(handle, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        done = await asyncio.to_thread(andon, "chat", "hello", "--url", url)
    assert done == Done(1, "Once\n", "andon: the connection was lost: close code 1012, restart\n")
