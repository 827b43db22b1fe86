"""A create whose submit leaves within the call that brought it, and what is left to the plain way instead."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from andon.audit import Asker, Door, Role
from andon.errors import RequestError
from andon.ids import ANONYMOUS, ResponseId, SessionName, SessionTag, SocketId
from andon.protocol import Create
from andon.settings import Settings
from andon.store import Store
from andon.tracing import Beginning, Span, start, used
from gateway.attachment import Attachment
from gateway.attachments import Attachments
from gateway.commands import Commands
from gateway.stops import Stops
from tests.contract.fake import FakeDatabase

CREATE = Create({"model": "sim-1", "input": "hello"}, None, None)


class FakeAttachments(Attachments):
    """Holds what it is told, and attaches nobody."""

    def __init__(self) -> None:
        self.is_held = True
        self.lanes: set[str] = set()
        self.attached: list[ResponseId] = []

    def holds(self, tag: SessionTag) -> bool:
        """Tell as told."""
        assert tag
        return self.is_held

    async def hold(self, tag: SessionTag) -> None:
        """Hold it from now on."""
        assert tag
        self.is_held = True

    def busy_lanes(self) -> set[str]:
        """Return what is busy."""
        return self.lanes

    def attach(self, response_id: ResponseId, **_: Any) -> Attachment:
        """Keep which."""
        self.attached.append(response_id)
        return cast("Attachment", _Accepted())


class _Accepted:
    accepted = False


class Desk:
    """The commands of one socket on a store in memory."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.store = Store(FakeDatabase(), self.settings)
        self.attachments = FakeAttachments()
        self.commands = Commands(
            SocketId("s_one"),
            caller=lambda: ANONYMOUS,
            asker=Asker(ANONYMOUS, Role.OWNER, Door.SOCKET),
            session=SessionName("s"),
            store=self.store,
            stops=cast("Stops", None),
            attachments=self.attachments,
            settings=self.settings,
            answer=lambda _: None,
            spawn=asyncio.ensure_future,
            on_cancel=lambda _: None,
        )

    async def accepted(self) -> list[tuple[str, bytes]]:
        """Return lane and request of whatever was accepted."""
        jobs = [await self.store.job(response_id) for response_id in self.attachments.attached]
        return [(job.lane, job.request or b"") for job in jobs if job is not None]


async def test_a_create_that_was_begun_is_accepted_as_by_the_plain_way() -> None:
    """The same job, but for its id, whichever way it came."""
    desk = Desk()
    begun = desk.commands.begin_create(CREATE)
    assert begun is not None
    await desk.commands.obey(CREATE, begun)
    await desk.commands.obey(CREATE)
    one, other = await desk.accepted()
    assert one == other
    assert begun.attachment.accepted


def _held_nothing(desk: Desk) -> None:
    desk.attachments.is_held = False


def _are_busy(desk: Desk) -> None:
    desk.attachments.lanes = {str(lane) for lane in range(desk.settings.max_lanes)}


@pytest.mark.parametrize("make", [_held_nothing, _are_busy])
async def test_what_has_to_wait_or_is_refused_is_left_to_its_turn(make: Callable[[Desk], None]) -> None:
    """A channel that is not heard yet, too many lanes: nothing is sent and nobody attached by the call."""
    desk = Desk()
    make(desk)
    assert desk.commands.begin_create(CREATE) is None
    assert desk.attachments.attached == []


async def test_a_turn_that_goes_on_from_another_is_left_to_its_turn() -> None:
    """The one before it has to be read first; the plain way refuses it by name."""
    create = Create({**CREATE.body, "previous_response_id": "resp_no"}, None, None)
    desk = Desk()
    assert desk.commands.begin_create(create) is None
    with pytest.raises(RequestError, match="No stored turn"):
        await desk.commands.obey(create)


@pytest.mark.parametrize("limit", ["max_live_per_principal", "max_live_per_tenant", "creates_per_minute"])
async def test_a_create_that_takes_a_place_is_left_to_its_turn(limit: str) -> None:
    """Where anything is counted, a place comes before the submit."""
    assert Desk(Settings(**{limit: 1})).commands.begin_create(CREATE) is None


async def test_a_create_that_makes_a_span_is_left_to_its_turn() -> None:
    """The span is there before the job that carries its context."""

    class Spans:
        def start(self, beginning: Beginning) -> Span:
            return start(beginning.name, beginning.kind, beginning.parent, {})

    with used(Spans()):
        assert Desk().commands.begin_create(CREATE) is None
    assert Desk().commands.begin_create(CREATE) is not None
