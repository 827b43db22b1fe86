"""Door: the endpoints of the Responses API over HTTP.

Owns what each request does. Does not own creating (`creator`), the streaming of answers and the waiting for them
(`answering`), nor the shape of errors (`refusal`).
"""

from operator import itemgetter
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from andon.answers import stops_answer
from andon.audit import Asker, Door
from andon.create_body import SOMETHING_ASKED, CreateBody
from andon.errors import RequestError
from andon.events import LiveList, LiveResponse, ResponseObject, StopsAnswer
from andon.frames import decode, encode
from andon.ids import Principal, ResponseId, session_tag
from andon.members import (
    REASON,
    RESPONSE_ID,
    SESSION,
    STARTING_AFTER,
    reason_of,
    required_response_id,
    response_not_found,
    session_name,
    starting_after_of,
)
from andon.replies import JobView, StopOutcome, StopReceipt
from andon.settings import Settings
from andon.store import Store
from gateway.asking import asker_of
from gateway.contract.operation import Answer, OperationRoute, operation
from gateway.http.answering import Answering
from gateway.http.body import read_object
from gateway.http.caller import permit_of, principal_of
from gateway.http.create_request import CREATE_HEADERS, CREATE_MEMBERS, CREATE_QUERY, parse_create
from gateway.http.creator import Accepted, Creator
from gateway.http.event_stream import RESPONSE_HEADER, EventStream, ResponseEvents, event_stream_headers
from gateway.http.snapshot import final_response, snapshot
from gateway.http.switch import is_on, switch
from gateway.stops import Stops

_STREAM: Final = switch("stream", "The events instead of the Response: from the log, then live.")
_ANY_SESSION: Final = msgspec.structs.replace(SESSION, meaning="The session's name.", is_required=True)
_RESPONSE: Final = Answer("The Response.", ResponseObject, has_response_id=True)
_RESPONSE_OR_EVENTS: Final = Answer(
    "The Response, or its events.", ResponseObject, is_stream=True, has_response_id=True
)


class ResponsesDoor:
    """The Responses API."""

    def __init__(
        self, *, store: Store, stops: Stops, creator: Creator, answering: Answering, settings: Settings
    ) -> None:
        self._store = store
        self._stops = stops
        self._creator = creator
        self._answering = answering
        self._settings = settings

    def routes(self) -> list[OperationRoute]:
        """List the routes."""
        return [
            operation(
                "POST", "/v1/responses", self.create, "createResponse", "Start a response.",
                answers={200: _RESPONSE_OR_EVENTS}, refusals=(400, 404, 409, 413, 429),
                query=CREATE_QUERY, headers=CREATE_HEADERS,
                body=CREATE_MEMBERS, body_type=CreateBody, body_rules=(SOMETHING_ASKED,),
            ),
            operation(
                "GET", "/v1/responses", self.live, "listLiveResponses", "List what is live in a session.",
                answers={200: Answer("What is live.", LiveList)}, refusals=(400,), query=(_ANY_SESSION,),
            ),
            operation(
                "GET", "/v1/responses/{response_id}", self.retrieve, "retrieveResponse",
                "Read a response as it stands, or follow its events.",
                answers={200: _RESPONSE_OR_EVENTS}, refusals=(400, 404),
                path_members=(RESPONSE_ID,), query=(_STREAM, STARTING_AFTER),
            ),
            operation(
                "POST", "/v1/responses/{response_id}/cancel", self.cancel, "cancelResponse",
                "Stop a response; idempotent.",
                answers={200: _RESPONSE}, refusals=(400, 404, 413), path_members=(RESPONSE_ID,), body=(REASON,),
            ),
            operation(
                "POST", "/v1/sessions/{session:path}/stop", self.stop_session, "stopSession",
                "Stop whatever is live in a session.",
                answers={200: Answer("How far the stops got.", StopsAnswer)}, refusals=(400, 413),
                path_members=(_ANY_SESSION,), body=(REASON,),
            ),
        ]  # fmt: skip

    # ── create ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, request: Request) -> Response:
        """`POST /v1/responses`."""
        self._answering.check_taking()
        permit = await permit_of(request)
        principal = permit.principal
        body = await read_object(request, self._settings.max_frame_bytes)
        asked = parse_create(body, request.query_params, request.headers)
        accepted = await self._creator.create(asked, principal, asker_of(request, principal, Door.HTTP))
        leaver = asker_of(request, principal, Door.DISCONNECT)
        if asked.is_stream:
            return self._answering.stream_own(asked, accepted, permit, leaver, ResponseEvents())
        if asked.create.is_background:
            return await self._as_it_stands(await self._job(accepted.response_id, principal))
        return await self._answering.wait_own(request, asked, accepted, leaver, _final)

    # ── look ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def retrieve(self, request: Request) -> Response:
        """`GET /v1/responses/{id}`: as it stands, or its events from `starting_after` on."""
        permit = await permit_of(request)
        principal = permit.principal
        job = await self._job(required_response_id(request.path_params["response_id"]), principal)
        if not is_on(request, _STREAM):
            if job.last is None and job.abandon_s:
                await self._store.present({job.response_id: job.abandon_s})  # whoever asks has not abandoned it
            return await self._as_it_stands(job)
        self._answering.check_taking()
        after = starting_after_of(request.query_params.get("starting_after"))
        if after == job.last:
            return Response(headers=event_stream_headers(job.response_id), media_type=EventStream.media_type)
        if after >= 0 and not await self._store.log_slice(job.response_id, after, after):
            message = f"`starting_after`: this response has no event {after} yet. Give a number that it has sent."
            raise RequestError("invalid_value", message, param="starting_after")
        accepted = Accepted(job.response_id, job.abandon_s, job.whose)
        return self._answering.stream(accepted, permit, ResponseEvents(), starting_after=after)

    async def live(self, request: Request) -> Response:
        """`GET /v1/responses?session=`: what is live in a session."""
        principal = await principal_of(request)
        if "session" not in request.query_params:
            message = "Give `session` to list its live responses, or upgrade to a WebSocket, or POST to create."
            raise RequestError("missing_required_parameter", message, param="session")
        tag = session_tag(principal, session_name(request.query_params["session"]))
        listed = []
        # One after another: each holds its whole request for a moment.
        for response_id in sorted(await self._store.live(tag)):
            job = await self._store.job(response_id)
            if job is not None and job.last is None and job.is_owned_by(principal):
                listed.append(job)
        data = sorted(map(_row, listed), key=itemgetter("created_at"))
        answer: LiveList = {"object": "list", "data": data, "has_more": False}
        return Response(encode(answer), media_type="application/json")

    # ── stop ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def cancel(self, request: Request) -> Response:
        """`POST /v1/responses/{id}/cancel`: the stop; then the Response as it stands."""
        principal = await principal_of(request)
        response_id = required_response_id(request.path_params["response_id"])
        asker = asker_of(request, principal, Door.HTTP)
        (receipt,) = await self._stop([response_id], asker, await self._reason(request))
        if receipt.outcome is StopOutcome.UNKNOWN:
            raise response_not_found(response_id)
        return await self._as_it_stands(await self._job(response_id, principal))

    async def stop_session(self, request: Request) -> Response:
        """`POST /v1/sessions/{session}/stop`: the stop of whatever is live in a session."""
        principal = await principal_of(request)
        session = session_name(request.path_params["session"])
        live = await self._store.live(session_tag(principal, session))
        asker = asker_of(request, principal, Door.HTTP)
        receipts = await self._stop(live, asker, await self._reason(request), session)
        recorded = [receipt for receipt in receipts if receipt.outcome is StopOutcome.RECORDED]
        return Response(encode(stops_answer(recorded)), media_type="application/json")

    async def _stop(
        self, response_ids: list[ResponseId], asker: Asker, reason: str | None, session: str | None = None
    ) -> list[StopReceipt]:
        """Stop, and wait within the bound until all is settled."""
        with self._stops.watch(response_ids) as watching:
            receipts = await self._stops.stop(response_ids, asker, reason=reason, session=session)
            recorded = [receipt for receipt in receipts if receipt.outcome is StopOutcome.RECORDED]
            others = [receipt for receipt in receipts if receipt.outcome is not StopOutcome.RECORDED]
            return others + await self._stops.settled(recorded, watching)

    async def _reason(self, request: Request) -> str | None:
        return reason_of(await read_object(request, self._settings.max_frame_bytes))

    # ── shared ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _job(self, response_id: ResponseId, principal: Principal) -> JobView:
        job = await self._store.job(response_id)
        if job is None or not job.is_open_to(principal):
            raise response_not_found(response_id)
        return job

    async def _as_it_stands(self, job: JobView) -> Response:
        body = await snapshot(self._store, job)
        if body is None:
            raise response_not_found(job.response_id)
        return Response(body, headers={RESPONSE_HEADER: job.response_id}, media_type="application/json")


def _final(frame: bytes) -> Response:
    return Response(final_response(frame), media_type="application/json")


def _row(job: JobView) -> LiveResponse:
    base = decode(job.base + b"}")
    return {
        "id": job.response_id,
        "object": "response",
        "status": "in_progress" if job.state == "running" else "queued",
        "created_at": base["created_at"],
        "model": base["model"],
        "background": base["background"],
    }
