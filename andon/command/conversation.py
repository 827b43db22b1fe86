"""One prompt and its answer in a terminal: text as it comes, a stop by Ctrl-C, the cost at the end.

Owns what is printed and the exit code. Text goes to standard output, all else to standard error, so that the text can
be piped. Does not own the protocol (`andon.client`).
"""

import asyncio
import sys
from dataclasses import dataclass

from andon.client import Client, ConnectionLost, Event, connect
from andon.command.failure import CommandFailed
from andon.command.interrupt import on_signal
from andon.command.usage_line import stop_line, usage_line

QUIT = 130  # what shells say of a program ended by Ctrl-C
_LANE = "chat"  # our one response has an address before it has an id: a stop can't hit another of the session
_SETTLE_S = 5.0  # the gateway answers a stop within 2 s, settled or not
_TEXT_EVENTS = {"response.output_text.delta", "response.refusal.delta"}
_ENDINGS = {"response.completed", "response.incomplete", "response.failed"}
_CANCEL_ANSWERS = {"response.cancel.done", "response.cancel.failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked."""

    prompt: str
    model: str
    max_output_tokens: int | None = None
    previous_response_id: str | None = None


async def converse(ask: Ask, *, url: str, session: str | None, token: str | None) -> int:
    """Ask, print the answer as it comes, and return the exit code.

    The first signal stops the response, the second quits at once (and leaves the response to run). Raises
    CannotConnect, ConnectionLost, or CommandFailed for an error instead of an answer.
    """
    told_to_stop = asyncio.Event()
    work = asyncio.ensure_future(_talk(ask, url, session, token, told_to_stop))

    def told() -> None:
        if told_to_stop.is_set():
            work.cancel()
        told_to_stop.set()

    async with on_signal(told):
        try:
            return await work
        except asyncio.CancelledError:
            if not told_to_stop.is_set():
                work.cancel()
                raise
            return QUIT


async def _talk(ask: Ask, url: str, session: str | None, token: str | None, told_to_stop: asyncio.Event) -> int:
    async with connect(url, session=session, token=token) as client:
        if told_to_stop.is_set():
            return QUIT  # nothing was asked yet
        await client.create(
            model=ask.model,
            input=ask.prompt,
            max_output_tokens=ask.max_output_tokens,
            previous_response_id=ask.previous_response_id,
            stream_id=_LANE,
        )
        transcript = _Transcript()
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_read(client, transcript, told_to_stop))
            stopping = group.create_task(_stop(client, told_to_stop, reading))
            await asyncio.wait([reading])
            stopping.cancel()
    if reading.cancelled():
        raise CommandFailed(f"the gateway did not settle the stop within {_SETTLE_S:.0f} s; try `andon stop`")
    return transcript.conclude(reading.result())


async def _stop(client: Client, told_to_stop: asyncio.Event, reading: "asyncio.Task[ConnectionLost | None]") -> None:
    """Ask for the stop when told to, and bound the wait for what the reader is to read of it."""
    await told_to_stop.wait()
    _say("stopping ... (Ctrl-C again quits)")
    try:
        async with asyncio.timeout(_SETTLE_S):
            await client.cancel(stream_id=_LANE, reason="Ctrl-C in andon chat")
            await asyncio.wait([reading])
    except ConnectionLost:
        return  # the reader meets the same end, and says so
    except TimeoutError:
        reading.cancel()


async def _read(client: Client, transcript: "_Transcript", told_to_stop: asyncio.Event) -> ConnectionLost | None:
    """Read until all is known that will be; return the loss of the connection, if that was the end."""
    try:
        async for event in client:
            transcript.take(event)
            if transcript.is_over(stopping=told_to_stop.is_set()):
                break
    except ConnectionLost as lost:
        return lost
    return None


class _Transcript:
    """What has come so far, and what it means in the end."""

    def __init__(self) -> None:
        # The Response of the terminal event.
        self._response: Event | None = None
        # An `error` event: an error of the create or the cancel, there is nothing else on this socket.
        self._error: Event | None = None
        self._cancel_answered = False
        self._mid_line = False  # text was printed, and no line end after it

    def take(self, event: Event) -> None:
        """Print what is to be seen of an event, and keep what counts."""
        kind = event["type"]
        if kind in _TEXT_EVENTS:
            sys.stdout.write(event["delta"])
            sys.stdout.flush()
            self._mid_line = not event["delta"].endswith("\n")
        elif kind == "response.created":
            _say(f"{event['response']['id']}  session {event['session']}")
        elif kind in _ENDINGS:
            self._response = event["response"]
        elif kind == "error":
            self._error = event["error"]
        elif kind in _CANCEL_ANSWERS:
            self._cancel_answered = True

    def is_over(self, *, stopping: bool) -> bool:
        """Tell whether to stop reading: at the end, and, once a stop was asked for, at its answer too."""
        if self._error is not None:
            return True
        return self._response is not None and (self._cancel_answered or not stopping)

    def conclude(self, lost: ConnectionLost | None) -> int:
        """Say how it ended; return the exit code. Raises where there is no ending to tell of."""
        if self._mid_line:
            sys.stdout.write("\n")
            sys.stdout.flush()
        if self._response is not None:
            return _tell(self._response)
        if self._error is not None:
            raise CommandFailed(f"{self._error['message']} ({self._error['code']})")
        raise lost or CommandFailed("the gateway closed the socket before the response ended")


def _tell(response: Event) -> int:
    status = response["status"]
    if status == "failed":
        error = response.get("error") or {}
        raise CommandFailed(f"the response failed: {error.get('message')} ({error.get('type') or error.get('code')})")
    if status == "cancelled":
        _say(f"stopped: {usage_line(response)}; {stop_line(response)}")
    elif status == "incomplete":
        reason = (response.get("incomplete_details") or {}).get("reason", "no reason given")
        _say(f"incomplete ({reason}): {usage_line(response)}")
    else:
        _say(f"{status}: {usage_line(response)}")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
