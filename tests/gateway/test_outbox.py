import asyncio

from gateway.outbox import Outbox


def _nobody() -> None:
    """Hear nothing of what waits."""


async def test_frames_come_out_in_their_order_and_then_the_close() -> None:
    """The close is sent after the frames that are queued; what comes later is dropped, and the first close stays."""
    outbox = Outbox(100, on_waiting=_nobody)
    for frame in (b"a", b"b"):
        outbox.put(frame)
    outbox.close(1000, "stopped")
    outbox.put(b"late")
    outbox.close(1011, "internal")
    assert [outbox.take(), outbox.take(), outbox.take()] == [b"a", b"b", None]
    assert outbox.closing == (1000, "stopped")


async def test_the_writer_is_told_of_a_frame_and_of_the_close() -> None:
    """Neither is ever left waiting; of what is dropped nobody is told."""
    told: list[int] = []
    outbox = Outbox(100, on_waiting=lambda: told.append(len(told)))
    outbox.put(b"a")
    assert told == [0]
    assert outbox.take() == b"a"
    assert outbox.take() is None
    outbox.close(1000, "done")
    assert told == [0, 1]
    outbox.put(b"late")
    outbox.close(1011, "internal")
    assert told == [0, 1]


async def test_room_is_told_by_size_and_comes_back_as_it_drains() -> None:
    """Full at the bound, low at half of it; answers to commands are queued all the same."""
    outbox = Outbox(10, on_waiting=_nobody)
    assert (outbox.has_room, outbox.is_low) == (True, True)
    outbox.put(b"x" * 6)
    assert (outbox.has_room, outbox.is_low) == (True, False)
    outbox.put(b"x" * 6)
    assert (outbox.has_room, outbox.is_low) == (False, False)
    outbox.put(b"answer")
    for _ in range(3):
        outbox.take()
    assert (outbox.has_room, outbox.is_low) == (True, True)


async def test_a_closing_outbox_has_no_room() -> None:
    """Nothing is read from the log for a socket that ends."""
    outbox = Outbox(10, on_waiting=_nobody)
    outbox.close(1000, "done")
    assert not outbox.has_room


async def test_a_reader_that_takes_less_than_the_bound_in_a_while_is_too_slow() -> None:
    """The time runs from when the outbox was full, and anew whenever the whole bound was taken since."""
    outbox = Outbox(10, on_waiting=_nobody)
    far = 1e9  # loop time, long after
    outbox.put(b"x" * 9)
    assert not outbox.is_too_slow(far, 1.0)  # never full: not behind
    outbox.put(b"x" * 9)
    assert outbox.is_too_slow(far, 1.0)
    assert not outbox.is_too_slow(0.0, 1.0)
    outbox.take()
    outbox.take()
    outbox.sent(9)
    assert outbox.is_too_slow(far, 1.0)  # taken is not sent
    now = asyncio.get_running_loop().time()
    outbox.sent(1)
    assert not outbox.is_too_slow(now + 0.9, 1.0)
    assert outbox.is_too_slow(far, 1.0)
    assert outbox.take() is None
    assert not outbox.is_too_slow(far, 1.0)  # empty: it has caught up


async def test_a_too_slow_reader_is_closed_without_what_it_did_not_take() -> None:
    """What is queued for it is dropped: it can retrieve it."""
    outbox = Outbox(10, on_waiting=_nobody)
    outbox.put(b"x" * 20)
    outbox.drop_and_close(3008, "slow")
    assert (outbox.take(), outbox.closing) == (None, (3008, "slow"))
