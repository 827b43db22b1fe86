import asyncio
import threading

from tests.stack.waiting import wait_until
from worker.switch import Switch

LEASE_S = 0.5  # the thread looks every hundredth part of a second


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A switch and what it did."""

    def __init__(self, clock: Clock) -> None:
        self.fired = threading.Event()
        self.ended = threading.Event()
        self.clock = clock
        # Set at each look of the thread: proof that it looked at this time and did nothing.
        self.switch = Switch(LEASE_S, on_fire=self.fired.set, clock=self._look, end_process=self.ended.set)
        self.looks = 0

    def _look(self) -> float:
        self.looks = getattr(self, "looks", 0) + 1
        return self.clock()

    async def looked(self, times: int = 3) -> None:
        """Wait until the thread has looked some times more."""
        until = self.looks + times
        await wait_until(lambda: self.looks >= until)


async def test_it_fires_at_eight_tenths_of_the_lease_and_not_before() -> None:
    """Others count the worker dead at the whole lease: its streams are closed before that."""
    clock = Clock()
    watched = Watched(clock)
    with watched.switch.armed():
        clock.now += 0.79 * LEASE_S
        await watched.looked()
        assert not watched.fired.is_set()
        clock.now += 0.02 * LEASE_S
        await wait_until(watched.fired.is_set)
        assert watched.switch.fired
    assert not watched.ended.is_set()


async def test_a_renewal_counts_from_when_it_was_sent() -> None:
    """Redis started to count later, so this clock runs out first; an older answer never sets it back."""
    clock = Clock()
    watched = Watched(clock)
    with watched.switch.armed():
        clock.now += 0.7 * LEASE_S
        watched.switch.renewed(clock.now - 0.1 * LEASE_S)
        watched.switch.renewed(clock.now - 0.5 * LEASE_S)
        clock.now += 0.6 * LEASE_S
        await watched.looked()
        assert not watched.fired.is_set()
        clock.now += 0.15 * LEASE_S
        await wait_until(watched.fired.is_set)


async def test_a_late_renewal_does_not_undo_it() -> None:
    """The id is burnt: it fires once, and a renewal after it changes nothing."""
    clock = Clock()
    watched = Watched(clock)
    with watched.switch.armed():
        clock.now += LEASE_S
        await wait_until(watched.fired.is_set)
        watched.switch.renewed(clock.now)
        assert watched.switch.fired


async def test_a_loop_that_hangs_ends_the_process() -> None:
    """The switch is a thread: a loop that does not answer within the lease can't hold streams open."""
    clock = Clock()
    watched = Watched(clock)
    with watched.switch.armed():
        clock.now += 0.85 * LEASE_S
        # The loop hangs, here, in a call that does not return to it.
        assert watched.ended.wait(2.0)
    assert not watched.fired.is_set()
    await asyncio.sleep(0)


async def test_a_loop_that_answers_is_left_alone() -> None:
    """The process ends only for a loop that closed nothing."""
    clock = Clock()
    watched = Watched(clock)
    with watched.switch.armed():
        clock.now += 0.85 * LEASE_S
        await wait_until(watched.fired.is_set)
        threads = [thread for thread in threading.enumerate() if thread.name == "andon-switch"]
        await wait_until(lambda: not any(thread.is_alive() for thread in threads))
        assert not watched.ended.is_set()


async def test_a_disarmed_switch_does_nothing() -> None:
    """A worker that ended its life cleanly is not ended again."""
    clock = Clock()
    watched = Watched(clock)
    with watched.switch.armed():
        await watched.looked(1)
    clock.now += 10 * LEASE_S
    threads = [thread for thread in threading.enumerate() if thread.name == "andon-switch"]
    await wait_until(lambda: not any(thread.is_alive() for thread in threads))
    assert not watched.fired.is_set()
    assert not watched.ended.is_set()
