"""Bytes that no client library would write: neither door breaks, and nothing is left behind."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import size
from tests.fuzz.aftermath import check_a_stop_works, check_nothing_leaked, descriptors
from tests.fuzz.size import examples
from tests.fuzz.wire import ENDINGS, FRAME_BYTES, GOOD_HANDSHAKES, HANDSHAKES, REQUESTS, Ending, exchange
from tests.stack.stack import Stack


@pytest.fixture
def quiet_stack(stack: Stack, runner: asyncio.Runner) -> Stack:
    """Lend the stack after a first stop: what it opens once and keeps is open."""
    runner.run(check_a_stop_works(stack))
    return stack


@pytest.mark.timeout(1200)
def test_any_handshake_is_taken_or_refused(quiet_stack: Stack, runner: asyncio.Runner) -> None:
    """Paths, queries and headers of any bytes: 101, or a status below 500."""
    before = [descriptors(gateway) for gateway in quiet_stack.gateways]

    @examples(full=1500, slice_=60)
    @given(written=HANDSHAKES, place=st.integers(0, 1), ending=ENDINGS)
    def shake(written: bytes, place: int, ending: Ending) -> None:
        size.sent["handshake"] += 1
        status = runner.run(exchange(quiet_stack.gateways[place], written, [], ending))
        assert status is None or status < 500

    shake()
    runner.run(check_nothing_leaked(quiet_stack, before))
    runner.run(check_a_stop_works(quiet_stack))


@pytest.mark.timeout(1200)
def test_any_bytes_after_a_handshake_end_at_most_their_own_socket(quiet_stack: Stack, runner: asyncio.Runner) -> None:
    """Frames that are whole, cut, unmasked, reserved, out of turn, in one piece of TCP or with the handshake itself."""
    before = [descriptors(gateway) for gateway in quiet_stack.gateways]

    @examples(full=800, slice_=40)
    @given(
        handshake=GOOD_HANDSHAKES,
        frames=FRAME_BYTES,
        place=st.integers(0, 1),
        ending=ENDINGS,
        is_eager=st.booleans(),
    )
    def speak(handshake: bytes, frames: list[bytes], place: int, ending: Ending, is_eager: bool) -> None:
        size.sent["wire frame"] += len(frames)
        gateway = quiet_stack.gateways[place]
        if is_eager:
            runner.run(exchange(gateway, handshake + b"".join(frames), [], ending))
        else:
            assert runner.run(exchange(gateway, handshake, frames, ending)) == 101

    speak()
    runner.run(check_nothing_leaked(quiet_stack, before))
    runner.run(check_a_stop_works(quiet_stack))


@pytest.mark.timeout(1200)
def test_any_request_has_an_answer_that_is_not_our_fault(quiet_stack: Stack, runner: asyncio.Runner) -> None:
    """Methods, paths, queries, headers and bodies of any bytes."""
    before = [descriptors(gateway) for gateway in quiet_stack.gateways]

    @examples(full=2500, slice_=60)
    @given(written=REQUESTS, place=st.integers(0, 1), ending=ENDINGS)
    def ask(written: bytes, place: int, ending: Ending) -> None:
        size.sent["wire request"] += 1
        status = runner.run(exchange(quiet_stack.gateways[place], written, [], ending))
        assert status is None or status < 500

    ask()
    runner.run(check_nothing_leaked(quiet_stack, before))
    runner.run(check_a_stop_works(quiet_stack))
