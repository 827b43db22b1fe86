"""Asking: a stop that is asked until it is recorded, and what became of it.

Owns the repeat that any client makes when it is answered 503, and the reading of endings from the server that holds
them.
"""

from collections.abc import Callable
from itertools import count

from andon import keys
from andon.frames import decode
from andon.ids import ResponseId
from tests.stack.client import TERMINAL, Client, Event
from tests.stack.stack import Stack
from tests.stack.waiting import wait_until

_ANSWER_S = 30.0
_SETTLED_S = 30.0
_numbers = count()


async def stop(client: Client, response_id: str) -> None:
    """Ask for a stop until it is recorded: while there is no master, that is answered 503."""
    assert await stop_or_ended(client, response_id)


async def stop_or_ended(client: Client, response_id: str) -> bool:
    """The same, until it is recorded (True), or there is nothing left to stop (False)."""
    while True:
        event_id = f"stop-{next(_numbers)}"
        await client.cancel(response_id=response_id, event_id=event_id)
        answer = await client.until(_answers(event_id), _ANSWER_S)
        if answer["type"] == "response.cancel.accepted":
            return True
        if answer["error"]["code"] == "already_ended":
            return False
        assert answer["error"]["code"] == "store_unavailable", answer


def _answers(event_id: str) -> Callable[[Event], bool]:
    return lambda event: event.get("event_id") == event_id


async def assert_ended_once(stack: Stack, response_id: str, status: str) -> None:
    """Assert that the log has one ending, the last event, and billing one record."""
    rid = ResponseId(response_id)
    with stack.servers.client(keys.log(rid)) as client:
        events = [decode(frame.encode()) for frame in client.lrange(keys.log(rid), 0, -1)]
    endings = [event for event in events if event["type"] in TERMINAL]
    assert endings == events[-1:]
    assert endings[0]["response"]["status"] == status
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    await wait_until(lambda: _settlements(stack, response_id), _SETTLED_S, what="the settlement is shipped")
    assert len(_settlements(stack, response_id)) == 1


def _settlements(stack: Stack, response_id: str) -> set[str]:
    """Return the different records of a response: shipping is at least once."""
    with stack.servers.client(keys.SETTLEMENTS) as client:
        records: list[str] = [fields["settlement"] for _, fields in client.xrange(keys.SETTLEMENTS)]
    return {record for record in records if decode(record.encode())["response_id"] == response_id}
