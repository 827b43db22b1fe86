"""Places: how much a principal, and a tenant, may have going at once, counted in Redis.

Owns the places of live responses and the bucket of creates, across all gateways. Does not own the responses: a place
is a hint like any other, written before the submit and removed after the ending, so the places are a superset of what
is live. Guarantees: no more than the limit is ever live; a place that a crash left behind locks nobody out, for whoever
finds no room reads the jobs behind the places, takes away those whose job has ended or never came, and tries again.
Where nothing is limited, nothing is counted and nothing is asked.
"""

import asyncio
from typing import Final

import msgspec
import structlog

from andon import keys
from andon.database import Database
from andon.errors import OverloadedError, StoreUnavailable
from andon.ids import CountTag, Principal, ResponseId, principal_tag, tenant_tag
from andon.link import Argument
from andon.script import script
from andon.settings import Settings
from andon.shared_read import SharedReads

_log = structlog.get_logger(__name__)

_TRIES: Final = 3
_MINUTE_US: Final = 60_000_000
# A place without a job may be one whose submit is under way, which tries seven times at most; a gateway that died in
# between leaves one for so long.
_GRACE_TIMEOUTS: Final = 10
# Whoever found all of them live is not looked after again sooner, unless this process saw something end meanwhile.
_LOOK_AGAIN_S: Final = 0.25
# Policy when full: forget; the next one without room looks once too often.
_MOST_NOTED: Final = 10_000
_PAGE: Final = 500


class _Room(msgspec.Struct, frozen=True):
    """What is counted under one tag. A limit of 0: not counted."""

    tag: CountTag
    most_live: int
    interval_us: int
    burst: int
    # What whoever finds no room is told.
    code: str
    whose: str
    setting: str

    def keys(self) -> list[str]:
        """Return the keys of the scripts."""
        return [keys.counted_live(self.tag), keys.counted_creates(self.tag)]

    def place(self, response_id: ResponseId) -> str:
        """Return what a response's place is called; nothing where places are not counted."""
        return response_id if self.most_live else ""


class _NoRoom(msgspec.Struct, frozen=True):
    room: _Room
    # Seconds until there is one more create; None: the places are taken.
    wait_s: float | None

    def error(self) -> OverloadedError:
        """Say what is exhausted, and when to come back."""
        room = self.room
        if self.wait_s is not None:
            message = (
                f"{room.burst} creates a minute are allowed (ANDON_CREATES_PER_MINUTE). "
                f"Create again in {self.wait_s:.3g} s."
            )
            return OverloadedError("rate_limit_exceeded", message, retry_after_s=self.wait_s)
        message = (
            f"{room.most_live} responses of {room.whose} are live, and no more are allowed ({room.setting}). "
            "Wait until one has ended, or stop one."
        )
        return OverloadedError(room.code, message)


class Places:
    """The places of all that is live, as one process sees them."""

    def __init__(self, database: Database, settings: Settings, *, longest_life_s: float) -> None:
        self._database = database
        self._settings = settings
        self._ttl_ms = int(longest_life_s * 1000)
        self._grace_s = _GRACE_TIMEOUTS * settings.command_timeout_s
        # Whoever finds no room at the same moment shares one look.
        self._looks = SharedReads(self._clear)
        # Loop time of the last look that found all places taken by what is live.
        self._all_live_at: dict[CountTag, float] = {}

    @property
    def are_counted(self) -> bool:
        """Tell whether live responses are counted at all."""
        return bool(self._settings.max_live_per_principal or self._settings.max_live_per_tenant)

    @property
    def are_unlimited(self) -> bool:
        """Tell whether nothing is counted here: then `take` asks nobody."""
        return not (self.are_counted or self._settings.creates_per_minute)

    def _rooms(self, tenant: str, subject: str) -> list[_Room]:
        settings, rooms = self._settings, []
        if settings.max_live_per_principal or settings.creates_per_minute:
            burst = settings.creates_per_minute
            rooms.append(
                _Room(
                    principal_tag(tenant, subject),
                    settings.max_live_per_principal,
                    _MINUTE_US // burst if burst else 0,
                    burst,
                    "too_many_live_responses",
                    "yours",
                    "ANDON_MAX_LIVE_PER_PRINCIPAL",
                )
            )
        if settings.max_live_per_tenant:
            rooms.append(
                _Room(
                    tenant_tag(tenant),
                    settings.max_live_per_tenant,
                    0,
                    0,
                    "too_many_live_responses_of_tenant",
                    "your tenant",
                    "ANDON_MAX_LIVE_PER_TENANT",
                )
            )
        return rooms

    # ── coming ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def take(self, principal: Principal, response_id: ResponseId) -> None:
        """Take a place before the submit. Raises OverloadedError where there is none, StoreUnavailable if unknown.

        Cancelling the wait is safe: a place whose submit never follows is taken away by whoever needs it.
        """
        rooms = self._rooms(principal.tenant, principal.subject)
        if not rooms:
            return
        refusals = await self._enter(rooms, response_id)
        full = [refusal.room for refusal in refusals if refusal.wait_s is None]
        if full and len(full) == len(refusals) and await self._is_room_made(full):
            refusals = await self._enter(rooms, response_id)
        if refusals:
            raise refusals[0].error()

    async def _enter(self, rooms: list[_Room], response_id: ResponseId) -> list[_NoRoom]:
        """Enter all rooms or none; return which had no room."""
        for _ in range(_TRIES - 1):
            try:
                refused = await self._try_to_enter(rooms, response_id)
                break
            except StoreUnavailable as error:
                if error.code == "store_full":
                    raise
                _log.info("places.repeated", response=response_id, error=str(error))
        else:
            refused = await self._try_to_enter(rooms, response_id)
        if refused:
            without = [refusal.room for refusal in refused]
            await self._leave([room for room in rooms if room not in without], response_id)
        return refused

    async def _try_to_enter(self, rooms: list[_Room], response_id: ResponseId) -> list[_NoRoom]:
        replies = [
            self._database.eval(
                script("admit"),
                room.keys(),
                [response_id, room.most_live, room.interval_us, room.burst, self._ttl_ms],
            )
            for room in rooms
        ]
        answers = [await reply for reply in replies]
        return [
            _NoRoom(room, int(answer[1]) / 1e6 if answer[0] == b"too_fast" else None)
            for room, answer in zip(rooms, answers, strict=True)
            if answer[0] != b"admitted"
        ]

    # ── going ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def give_back(self, principal: Principal, response_id: ResponseId) -> None:
        """Give back the place of a response that was not accepted after all. What fails mends itself later."""
        await self._leave(self._rooms(principal.tenant, principal.subject), response_id)

    async def _leave(self, rooms: list[_Room], response_id: ResponseId) -> None:
        replies = [
            self._database.eval(script("give_back"), room.keys(), [room.place(response_id), room.interval_us])
            for room in rooms
        ]
        try:
            for reply in replies:
                await reply
        except StoreUnavailable as error:
            _log.info("places.not_given_back", response=response_id, error=str(error))

    def endings(self, tenant: str, subject: str, response_id: ResponseId) -> list[tuple[Argument, ...]]:
        """Return the commands that free the place of a response that has ended."""
        rooms = self._rooms(tenant, subject)
        return [("ZREM", keys.counted_live(room.tag), response_id) for room in rooms if room.most_live]

    def look_anew(self) -> None:
        """Take note that something has ended: whoever stops a response and creates the next one finds its place."""
        self._all_live_at.clear()

    # ── what crashes left ────────────────────────────────────────────────────────────────────────────────────────

    async def _is_room_made(self, full: list[_Room]) -> bool:
        """Free the places that nobody needs; tell whether there is room now in each of these rooms."""
        now = asyncio.get_running_loop().time()
        for room in full:
            if now - self._all_live_at.get(room.tag, -_LOOK_AGAIN_S) < _LOOK_AGAIN_S:
                return False
            if await self._looks.read(room.tag) >= room.most_live:
                self._note_all_live(room.tag)
                return False
        return True

    def _note_all_live(self, tag: CountTag) -> None:
        if len(self._all_live_at) >= _MOST_NOTED:
            self._all_live_at.clear()
        self._all_live_at[tag] = asyncio.get_running_loop().time()

    async def _clear(self, tag: CountTag) -> int:
        """Take away the places whose job has ended, or never came, or is lost; return how many are left."""
        (seconds, _), left, freed = await self._database.call("TIME"), 0, 0
        while True:
            # Those that are taken away meanwhile are behind us: what is left counts on.
            page = await self._database.call("ZRANGE", keys.counted_live(tag), left, left + _PAGE - 1, "WITHSCORES")
            came_at = {
                ResponseId(member.decode()): float(score) / 1000
                for member, score in zip(page[::2], page[1::2], strict=True)
            }
            stale = await self._stale(came_at, float(seconds) - self._grace_s)
            if stale:
                await self._database.call("ZREM", keys.counted_live(tag), *stale)
            left, freed = left + len(came_at) - len(stale), freed + len(stale)
            if len(came_at) < _PAGE:
                break
        if freed:
            _log.debug("places.freed", places=freed)
        return left

    async def _stale(self, came_at: dict[ResponseId, float], graced_until: float) -> list[ResponseId]:
        """Find those whose job the job hash says has ended, or whose job is not there and should be by now."""
        replies = [self._database.call("HGET", keys.job(response_id), "state") for response_id in came_at]
        states = [await reply for reply in replies]
        return [
            response_id
            for (response_id, at), state in zip(came_at.items(), states, strict=True)
            if state == b"ended" or (state is None and at < graced_until)
        ]
