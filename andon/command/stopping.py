"""A stop from the terminal: asked of any gateway, its answer shown.

Owns the one exchange and how it is printed. Does not own the protocol (`andon.client`).
"""

import asyncio
import json
import time

from andon.client import Client, Event, connect
from andon.command.failure import CommandFailed

ANSWER_S = 10.0  # a gateway answers within 2 s; a loaded one a little later
_EVENT_ID = "stop"
_FINAL = {"response.cancel.done", "response.cancel.failed", "error"}
_TABLE_COLUMNS = 120
_STEPS = ("recorded", "replicated", "acked", "upstream_closed", "settled")


async def ask_to_stop(
    url: str, *, response_id: str | None, session: str | None, reason: str | None, token: str | None
) -> Event:
    """Ask for a stop on a socket of its own; return the gateway's last word on it (done, or already ended).

    Raises CannotConnect or ConnectionLost, and CommandFailed for an unknown response, any other error, or no answer
    within ANSWER_S. Cancelling it leaves open whether the stop was made.
    """
    # keep: our socket need not be closed for us, and nothing else is on it.
    async with connect(url, session=session, on_stop="keep", token=token) as client:
        answer = await stop_over(client, response_id=response_id, reason=reason)
    # `done` has no error; nothing left to stop is what was wanted.
    error = answer.get("error")
    if error is not None and error["code"] != "already_ended":
        raise CommandFailed(f"{error['message']} ({error['code']})")
    return answer


async def stop_over(client: Client, *, response_id: str | None, reason: str | None) -> Event:
    """Send a cancel over an open socket and return its final answer, an `error` event included."""
    try:
        async with asyncio.timeout(ANSWER_S):
            await client.cancel(response_id=response_id, reason=reason, event_id=_EVENT_ID)
            async for event in client:
                # An error of a frame that can't be ours would carry another event id; one without is about the socket.
                if event["type"] in _FINAL and event.get("event_id", _EVENT_ID) == _EVENT_ID:
                    return event
    except TimeoutError:
        raise CommandFailed(f"no answer to the stop within {ANSWER_S:.0f} s; ask again, of any replica") from None
    raise CommandFailed("the gateway closed the socket without an answer to the stop; ask again, of any replica")


def tell(answer: Event, *, as_json: bool) -> None:
    """Print how far each stop has come, or that there was nothing left to stop."""
    if as_json:
        print(json.dumps(answer))
    elif answer["type"] == "response.cancel.failed":
        print(f"nothing to stop: {answer['error']['message']}")
    elif not answer["stops"]:
        print("nothing to stop: no response of this session is live")
    else:
        _print_table(answer["stops"])


def _print_table(stops: list[Event]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only a person needs it
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for heading in ("response", *_STEPS):
        table.add_column(heading.replace("_", " "), no_wrap=True, overflow="ignore")
    for stop in stops:
        table.add_row(stop["response_id"], *(_cell(step, stop) for step in _STEPS))
    # Wide enough for an id and all times: a terminal that is narrower wraps a line, rather than losing half of it.
    Console(highlight=False, width=_TABLE_COLUMNS).print(table)


def _cell(step: str, stop: Event) -> str:
    """Say when a step was reached: the mark by the clock, what followed by the time after it."""
    value, recorded = stop.get(step), stop.get("recorded")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-" if step == "replicated" else "not yet"
    if step == "recorded" or recorded is None:
        return f"{time.strftime('%H:%M:%S', time.localtime(value))}.{int(value * 1000) % 1000:03d}"
    return f"+{(value - recorded) * 1000:.0f} ms"
