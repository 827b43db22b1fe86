"""A rescue in traces: whoever ends, or queues again, the job of a dead worker does so in the trace of the response."""

import msgspec

from andon import tracing
from andon.ids import ANONYMOUS
from andon.stop_trace import trace_stop
from andon.sweep import BY_SWEEP
from andon.tracing import NO_TRACE, Kind, SpanName
from tests.contract.jobs import WORKER, claim, deltas, submission
from tests.reliability.shop import Shop
from tests.reliability.test_rescue import die
from tests.traces.recorder import ids_of, recorded


async def test_a_rescuer_settles_in_the_trace_of_the_response(shop: Shop) -> None:
    """With the stop that the dead worker never obeyed."""
    store = shop.store
    with recorded() as recorder:
        create = tracing.start(SpanName.CREATE, Kind.SERVER, NO_TRACE, {})
        made = msgspec.structs.replace(submission(), trace=create.context)
        await store.submit(made)
        job = await claim(store, made.response_id)
        assert job.whose.trace == create.context
        await store.append(job, 2, deltas(job, 2, "partial"), renew=False)
        receipt = await store.stop(made.response_id, ANONYMOUS, by="client", reason="not for any span")
        trace_stop(receipt, BY_SWEEP, began_at=0)
        await die(shop, WORKER)
        await shop.sweep().bury_the_dead()
        create.end()
        (created,), (rescue,), (stop,) = map(recorder.named, (SpanName.CREATE, SpanName.RESCUE, SpanName.STOP))
    for span in (rescue, stop):
        assert span.parent is not None
        assert (span.parent.trace_id, span.parent.span_id) == ids_of(created)
    assert rescue.attributes is not None
    assert rescue.attributes["andon.response.status"] == "cancelled"
    assert rescue.attributes["andon.outcome"] == "settled"
    assert rescue.attributes["andon.stop.by"] == "client"
    assert rescue.attributes["andon.stop.recorded_at"] == receipt.recorded
    assert rescue.attributes["andon.worker.id"] == WORKER
