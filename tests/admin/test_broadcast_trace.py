"""A broadcast stop in traces: its own, to which every stop that it makes links."""

from tests.admin.conftest import SUPER, USER_A, USER_B, Office, word_of
from tests.admin.test_lists import submitted
from tests.traces.recorder import ids_of, recorded

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


async def test_a_broadcast_has_a_trace_of_its_own_and_its_stops_link_to_it(office: Office) -> None:
    """The stops are spans of the responses' traces; the operator's trace is linked to, not grown."""
    with recorded() as recorder:
        theirs = [await submitted(office, USER_A, "tale"), await submitted(office, USER_B, "song")]
        async with office.as_(SUPER) as client:
            answer = await client.post(
                "/v1/admin/stops",
                json={"scope": {"all": True}, "wait": True, "reason": "not for any span"},
                headers={**word_of(SUPER), "traceparent": f"00-{TRACE}-{CALLER}-01"},
            )
        assert answer.json()["progress"]["settled"] == len(theirs)

        (asked,) = recorder.named("broadcast stop")
        (carried_out,) = recorder.named("carry out broadcast")
        stops = recorder.named("stop response")
    assert asked.parent is None
    assert [(link.context.trace_id, link.context.span_id) for link in asked.links] == [
        (int(TRACE, 16), int(CALLER, 16))
    ]
    assert carried_out.parent is not None
    assert (carried_out.parent.trace_id, carried_out.parent.span_id) == ids_of(asked)
    assert carried_out.attributes is not None
    assert carried_out.attributes["andon.broadcast.settled"] == len(theirs)
    stopped = {str(span.attributes and span.attributes["andon.response.id"]) for span in stops}
    assert stopped == set(theirs)
    for span in stops:
        assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [ids_of(asked)]
        assert ids_of(span)[0] != ids_of(asked)[0]


async def test_the_record_of_a_broadcast_holds_its_context(office: Office) -> None:
    """So that the gateway that adopts it goes on in the same trace."""
    with recorded() as recorder:
        async with office.as_(SUPER) as client:
            answer = await client.post("/v1/admin/stops", json={"scope": {"all": True}, "wait": True})
        (asked,) = recorder.named("broadcast stop")
    (asker,) = await office.database.call("HMGET", f"andon:{{broadcasts}}:{answer.json()['id']}", "asker")
    trace_id, span_id = ids_of(asked)
    assert f"00-{trace_id:032x}-{span_id:016x}-01".encode() in asker or f"-{span_id:016x}-03".encode() in asker
