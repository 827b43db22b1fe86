"""The socket takes whatever is said to it: every frame has its answer, and nothing is left behind."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.aftermath import check_a_stop_works, check_nothing_leaked, descriptors
from tests.fuzz.conversation import Seat, play
from tests.fuzz.frames import LAST_STEPS, STEPS, Said
from tests.fuzz.size import examples
from tests.stack.stack import Stack

_SEATS = st.builds(
    Seat,
    gateway=st.integers(0, 1),
    session=st.sampled_from(["fuzz-a", "fuzz-a", "fuzz-b", "fuzz ü/\0?"]),
    on_stop=st.sampled_from(["keep", "keep", "keep", "close"]),
)


@pytest.mark.timeout(2400)
def test_every_frame_is_answered_whatever_is_said(stack: Stack, runner: asyncio.Runner) -> None:
    """Sequences of frames, right, nearly right and raw, on one to three sockets that may share their session."""
    runner.run(check_a_stop_works(stack))
    before = [descriptors(gateway) for gateway in stack.gateways]

    @examples(full=1200, slice_=25)
    @given(
        seats=st.lists(_SEATS, min_size=1, max_size=3),
        steps=st.lists(st.tuples(st.integers(0, 2), STEPS), min_size=8, max_size=14),
        last=st.one_of(st.none(), st.none(), st.none(), LAST_STEPS),
    )
    def converse(seats: list[Seat], steps: list[tuple[int, Said]], last: Said | None) -> None:
        runner.run(play(stack, seats, steps, last))

    converse()
    runner.run(check_nothing_leaked(stack, before))
    runner.run(check_a_stop_works(stack))
