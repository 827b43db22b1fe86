import asyncio

import pytest

from andon.reads import SLICE_BYTES, SLICE_FRAMES
from andon.store import Store
from tests.contract.jobs import deltas, running


async def test_a_slice_is_what_fits(store: Store) -> None:
    """By number of frames where they are small, by bytes where they are large, and never less than one."""
    job = await running(store)
    await store.append(job, 2, deltas(job, 2, *["x"] * 600), renew=False)
    assert len(await store.log_from(job.response_id, 2)) == SLICE_FRAMES
    assert len(await store.log_from(job.response_id, 590)) == 602 - 590
    assert await store.log_from(job.response_id, 602) == []
    large = await running(store)
    await store.append(large, 2, deltas(large, 2, *["x" * 50_000] * 20, "y" * 1_000_000), renew=False)
    slice_ = await store.log_from(large.response_id, 2)
    assert len(slice_) == 2
    assert sum(map(len, slice_)) <= SLICE_BYTES
    assert len(await store.log_from(large.response_id, 22)) == 1


@pytest.mark.parametrize("first", [0, 2, 7])
async def test_slices_put_together_are_the_log(store: Store, first: int) -> None:
    """Wherever one begins, nothing is left out and nothing comes twice."""
    job = await running(store)
    await store.append(job, 2, deltas(job, 2, *(str(n) * (1 + n * 37 % 3000) for n in range(300))), renew=False)
    found: list[bytes] = []
    while slice_ := await store.log_from(job.response_id, first + len(found)):
        found += slice_
    assert found == await store.log_slice(job.response_id, first, -1)


async def test_those_who_want_a_slice_at_the_same_moment_share_one_read(store: Store) -> None:
    """Fifty sockets that follow a long answer hold one copy of its ending; one that goes away disturbs nobody."""
    job = await running(store)
    await store.append(job, 2, deltas(job, 2, "x" * 100_000), renew=False)
    waits = [asyncio.ensure_future(store.log_from(job.response_id, 2)) for _ in range(50)]
    await asyncio.sleep(0)
    waits[0].cancel()
    slices = await asyncio.gather(*waits[1:])
    assert {id(slice_[0]) for slice_ in slices} == {id(slices[0][0])}
    assert isinstance(await asyncio.gather(waits[0], return_exceptions=True), list)
