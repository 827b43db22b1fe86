"""`andon stop` with a scope: what an operator has in a terminal."""

import asyncio
import json
import sys

from tests.stack.process import ROOT
from tests.stack.prompt import Prompt
from tests.stack.stack import Stack


async def andon(*words: str, url: str) -> tuple[int, str, str]:
    """Run the command to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "andon.command", *words,
        env={"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "ANDON_URL": url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(45):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_scope_is_counted_and_then_stopped(stack: Stack) -> None:
    """A dry run says how many; the stop shows its progress and its end; another model's stream goes on."""
    mine, other = Prompt(model="mine", tokens=5000, rate=50), Prompt(model="other", tokens=5000, rate=50)
    async with stack.connect(0) as client:
        mine_id = await client.start(mine.body, stream_id="a")
        other_id = await client.start(other.body, stream_id="b")
        await client.text_begun(mine_id)
        url = stack.gateways[1].url
        assert await andon("stop", "--model", "mine", "--dry-run", url=url) == (0, "would stop 1 (1 running)\n", "")
        assert await andon("stop", "--model", "nobody's", "--dry-run", url=url) == (0, "would stop nothing\n", "")
        code, out, err = await andon("stop", "--model", "mine", "--reason", "enough", url=url)
        assert code == 0, err
        assert "done; matched 1, recorded 1, acked 1, upstream closed 1, settled 1, in" in out
        assert "matched 1" in err
        assert (await client.ending(mine_id))["response"]["stop"]["reason"] == "enough"
        assert client.all("response.incomplete", response_id=other_id) == []
        code, out, _ = await andon("stop", other_id, "--dry-run", "--json", url=url)
        assert (code, json.loads(out)["matched"]) == (0, 1)
        await client.cancel(response_id=other_id)
        await client.ending(other_id)


async def test_a_refusal_is_one_line(stack: Stack) -> None:
    """Nothing named, or a gateway that is not there: exit code 1, and what to do."""
    code, out, err = await andon("stop", "--dry-run", url=stack.gateways[0].url)
    assert (code, out) == (1, "")
    assert err == "andon: `scope` is empty. To stop everything, say all: true. (invalid_value)\n"
    code, _, err = await andon("stop", "--all", url="ws://127.0.0.1:9/v1/responses")
    assert code == 1
    assert err.startswith("andon: no answer from ws://127.0.0.1:9/v1/responses")
