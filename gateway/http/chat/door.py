"""Chat door: `POST /v1/chat/completions`."""

from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from andon.audit import Door
from andon.settings import Settings
from gateway.asking import asker_of
from gateway.contract.operation import Answer, OperationRoute, operation
from gateway.http.answering import Answering
from gateway.http.body import read_object
from gateway.http.caller import permit_of
from gateway.http.chat.chunks import ChatChunks
from gateway.http.chat.completion import ChatCompletion, completion
from gateway.http.chat.request import CHAT_BODY, in_own_words, parse_chat
from gateway.http.create_request import CREATE_HEADERS, CREATE_MEMBERS, CREATE_QUERY, parse_create
from gateway.http.creator import Creator

_COMPLETION: Final = Answer("The completion, or its chunks.", ChatCompletion, is_stream=True, has_response_id=True)


class ChatDoor:
    """The Chat Completions API: a create and nothing else. Its id is the response's, for the other doors to use."""

    def __init__(self, *, creator: Creator, answering: Answering, settings: Settings) -> None:
        self._creator = creator
        self._answering = answering
        self._settings = settings

    def routes(self) -> list[OperationRoute]:
        """List the routes."""
        return [
            operation(
                "POST", "/v1/chat/completions", self.create, "createChatCompletion",
                "Start a response in the words of Chat Completions.",
                answers={200: _COMPLETION}, refusals=(400, 404, 409, 413, 429, 502),
                query=CREATE_QUERY, headers=CREATE_HEADERS, body=CREATE_MEMBERS, body_rules=(CHAT_BODY,),
            )
        ]  # fmt: skip

    async def create(self, request: Request) -> Response:
        """`POST /v1/chat/completions`."""
        self._answering.check_taking()
        permit = await permit_of(request)
        principal = permit.principal
        body = await read_object(request, self._settings.max_frame_bytes)
        chat = parse_chat(body)
        asked = parse_create(chat.body, request.query_params, request.headers)
        with in_own_words(body):
            accepted = await self._creator.create(asked, principal, asker_of(request, principal, Door.HTTP))
        leaver = asker_of(request, principal, Door.DISCONNECT)
        if asked.is_stream:
            chunks = ChatChunks(accepted.response_id, include_usage=chat.include_usage)
            return self._answering.stream_own(asked, accepted, permit, leaver, chunks)
        write = partial(completion, accepted.response_id)
        return await self._answering.wait_own(request, asked, accepted, leaver, write)
