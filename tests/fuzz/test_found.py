"""What the fuzz has found: each input that broke something once."""

import pytest

from tests.fuzz.wire import CLOSE, GOOD_HANDSHAKE, TEXT, exchange, frame
from tests.stack.stack import Stack


async def test_a_text_that_is_no_utf8_ends_its_socket_with_1007(stack: Stack) -> None:
    """It is the client's error: the socket ends, and nothing of it is an error in our log."""
    async with stack.connect() as client:
        await client.socket.send(b'{"type":"\xff"}', text=True)
        code, _ = await client.closed()
        assert code == 1007


@pytest.mark.parametrize("is_eager", [True, False])
async def test_a_close_right_behind_a_text_that_is_no_utf8_is_no_failure(stack: Stack, is_eager: bool) -> None:
    """Both in one piece of TCP: by the time the text is looked at, the close has been answered."""
    frames = frame(TEXT, b"\xff") + frame(CLOSE, b"\x03\xe8") + frame(TEXT, b"\xff")
    if is_eager:
        await exchange(stack.gateways[0], GOOD_HANDSHAKE + frames, [], "half")
    else:
        assert await exchange(stack.gateways[0], GOOD_HANDSHAKE, [frames], "half") == 101
