import asyncio

from gateway.outbox import Outbox


async def test_frames_come_out_in_their_order_and_then_the_close() -> None:
    """The close is sent after the frames that are queued."""
    outbox = Outbox(100)
    for frame in (b"a", b"b"):
        outbox.put(frame)
    outbox.close(1000, "stopped")
    outbox.put(b"late")
    outbox.close(1011, "internal")
    assert [await outbox.get(), await outbox.get(), await outbox.get()] == [b"a", b"b", None]
    assert outbox.closing == (1000, "stopped")


async def test_a_reader_wakes_for_a_frame_and_for_the_close() -> None:
    """Neither is ever waited for in vain."""
    outbox = Outbox(100)
    waiting = asyncio.ensure_future(outbox.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.put(b"a")
    assert await waiting == b"a"
    waiting = asyncio.ensure_future(outbox.get())
    await asyncio.sleep(0)
    outbox.close(1000, "done")
    assert await waiting is None


async def test_room_is_told_by_size_and_comes_back_as_it_drains() -> None:
    """Full at the bound, low at half of it; answers to commands are queued all the same."""
    outbox = Outbox(10)
    assert (outbox.has_room, outbox.is_low) == (True, True)
    outbox.put(b"x" * 6)
    assert (outbox.has_room, outbox.is_low) == (True, False)
    outbox.put(b"x" * 6)
    assert (outbox.has_room, outbox.is_low) == (False, False)
    outbox.put(b"answer")
    for _ in range(3):
        await outbox.get()
    assert (outbox.has_room, outbox.is_low) == (True, True)


async def test_a_closing_outbox_has_no_room() -> None:
    """Nothing is read from the log for a socket that ends."""
    outbox = Outbox(10)
    outbox.close(1000, "done")
    assert not outbox.has_room


async def test_a_cancelled_get_loses_no_frame() -> None:
    """The writer may be cancelled while it waits."""
    outbox = Outbox(10)
    waiting = asyncio.ensure_future(outbox.get())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    outbox.put(b"a")
    assert await outbox.get() == b"a"
