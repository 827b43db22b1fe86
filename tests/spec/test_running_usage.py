from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from tests.stack.prompt import Prompt
from tests.stack.stack import Stack


async def test_a_stopped_chat_has_exact_usage_where_the_server_tells_it_as_it_goes(
    own_stack: Callable[..., AbstractAsyncContextManager[Stack]],
) -> None:
    """Running usage, as vLLM offers it: what was told up to the stop is what is settled, and it says so."""
    settings = {"ANDON_UPSTREAM_API": "chat", "ANDON_UPSTREAM_RUNNING_USAGE": "true"}
    async with own_stack(gateways=1, workers=1, **settings) as stack, stack.connect(0) as client:
        response_id = await client.start(Prompt(tokens=2000, rate=50).body)
        await client.text_begun(response_id)
        await client.send("response.cancel", response_id=response_id)
        ending = await client.ending(response_id)
        await client.closed()
        received = len(ending["response"]["output"][0]["content"][0]["text"].split())
        usage = ending["response"]["usage"]
        assert ending["response"]["status"] == "cancelled"
        assert usage["source"] == "upstream"
        # The last token may have been received and not logged.
        assert received <= usage["output_tokens"] <= received + 1
