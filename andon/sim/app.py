"""The sim's ASGI app: its routes, and the life of one request from body to record.

Owns routing, the refusal of what cannot be answered, and the count of flaky requests. Does not own the answers
(`andon.sim.answer`), nor the server under it. It is raw ASGI, since a framework would cost more than a token does.

Guarantees: every request that asks a model for something has exactly one record in the meter, ended when it ends,
however that is. The credential is read for two things only: whether there is one, and to be echoed by `sim-401`.
"""

import secrets
import time
from collections import OrderedDict
from typing import Any, Literal
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Scope, Send

from andon.sim.answer import answer
from andon.sim.ask import Api, Ask, ask, decode, metadata, prompt
from andon.sim.errors import SimError
from andon.sim.exchange import Exchange
from andon.sim.faults import MODELS, Opening
from andon.sim.meter import Meter, Record, State
from andon.sim.options import SimOptions

_PROMPT_CHARS = 200  # of a prompt in its record: enough to know it by
_FLAKY_KEYS = 20_000  # counted before the oldest is forgotten
_MAX_WAIT_S = 60.0  # a meter's wait must end before its client's own deadline does
_GENERATORS: dict[str, Api] = {"/v1/responses": "responses", "/v1/chat/completions": "chat"}
# Under /v1 too, so that a client whose base URL ends in it reaches them.
_PLAIN = ("/healthz", "/v1/healthz", "/meter", "/v1/meter", "/v1/models")


class SimApp:
    """The sim as an ASGI app."""

    def __init__(self, options: SimOptions) -> None:
        self._options = options
        self._meter = Meter()
        # How often a flaky model has failed, by model and key; the least recently asked is forgotten first.
        self._failures: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the sim serves HTTP only, not {scope['type']}")
        exchange = Exchange(scope, receive, send)
        try:
            await self._route(scope, exchange)
        except SimError as error:
            await _refuse(exchange, error)

    async def _route(self, scope: Scope, exchange: Exchange) -> None:
        method, path = scope["method"], scope["path"]
        if api := _GENERATORS.get(path):
            if method != "POST":
                raise SimError(405)
            await self._generate(api, scope, exchange)
            return
        if path not in _PLAIN:
            raise SimError(404, f"Invalid URL ({method} {path}).", code="unknown_url")
        match method, path.removeprefix("/v1"):
            case "GET", "/healthz":
                await _reply(exchange, 200, {"status": "ok"})
            case "GET", "/models":
                await _reply(exchange, 200, _models())
            case "GET", "/meter":
                await self._show_meter(scope, exchange)
            case "DELETE", "/meter":
                self._meter.reset()
                self._failures.clear()
                await exchange.start(204, [])
                await exchange.end()
            case _:
                raise SimError(405)

    async def _generate(self, api: Api, scope: Scope, exchange: Exchange) -> None:
        received_at, started = time.time(), time.monotonic()
        raw = await exchange.read()
        if raw is None:
            return
        body = decode(raw)
        headers = dict(scope["headers"])
        authorization, trace = headers.get(b"authorization"), headers.get(b"traceparent")
        record = _record(api, body, received_at, authorized=authorization is not None)
        record.traceparent = None if trace is None else trace.decode("latin-1")
        self._meter.begin(record)
        try:
            async with exchange.watched():
                try:
                    asked = ask(body, api, self._options)
                    self._fail_on_purpose(asked, authorization)
                    await answer(asked, exchange, record, started)
                except SimError as error:
                    record.status = error.status
                    await _refuse(exchange, error)
                if not exchange.ended:
                    # The client went; the watch may be a turn of the loop behind, and it holds the time.
                    await exchange.until_gone()
        finally:
            record.closed_at = exchange.closed_at
            record.client_closed = exchange.closed_at is not None
            self._meter.end(record)

    def _fail_on_purpose(self, asked: Ask, authorization: bytes | None) -> None:
        """Raise the HTTP error that the model stands for, or owes this key."""
        owed = asked.behaviour
        if owed.opening is not Opening.STATUS:
            counted = (asked.model, asked.key)
            if owed.fails <= (failed := self._failures.get(counted, 0)):
                return
            self._failures[counted] = failed + 1
            self._failures.move_to_end(counted)
            if len(self._failures) > _FLAKY_KEYS:
                self._failures.popitem(last=False)
        message = None
        if owed.status == 401:  # noqa: PLR2004 - HTTP's own number
            message = f"Incorrect API key provided: {(authorization or b'').decode('latin-1')}."
        raise SimError(owed.status, message, retry_after=asked.retry_after if owed.status == 429 else None)  # noqa: PLR2004

    async def _show_meter(self, scope: Scope, exchange: Exchange) -> None:
        """Show the meter; `key` filters, `until=open|idle` with `wait_s` waits for that state first."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        key = query.get("key", [None])[0]
        if until := query.get("until", [None])[0]:
            await self._meter.wait(key, _state(until), _wait_s(query.get("wait_s", ["5"])[0]))
        await _reply(exchange, 200, self._meter.view(key))


def _record(api: Literal["responses", "chat"], body: dict[str, Any], received_at: float, *, authorized: bool) -> Record:
    user = body.get("user")
    return Record(
        id=f"req_{secrets.token_hex(12)}",
        api=api,
        received_at=received_at,
        authorized=authorized,
        model=str(body.get("model", "")),
        stream=body.get("stream") is True,
        key=metadata(body).get("sim_key"),
        prompt=prompt(body)[:_PROMPT_CHARS],
        user=user if isinstance(user, str) else None,
    )


def _models() -> dict[str, Any]:
    """List the models: OpenAI's shape, and what each does."""
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": 0, "owned_by": "andon-sim", "description": model.about}
            for name, model in MODELS.items()
        ],
    }


def _state(given: str) -> State:
    if given == "open":
        return "open"
    if given == "idle":
        return "idle"
    raise SimError(400, "'until' must be 'open' or 'idle'.", code="invalid_value", param="until")


def _wait_s(given: str) -> float:
    try:
        wait_s = float(given)
    except ValueError:
        wait_s = -1.0
    if not 0 <= wait_s <= _MAX_WAIT_S:
        raise SimError(400, f"'wait_s' must be from 0 to {_MAX_WAIT_S:g}.", code="invalid_value", param="wait_s")
    return wait_s


async def _refuse(exchange: Exchange, error: SimError) -> None:
    await _send_json(exchange, error.status, error.body, error.headers)


async def _reply(exchange: Exchange, status: int, body: object) -> None:
    await _send_json(exchange, status, msgspec.json.encode(body), [])


async def _send_json(exchange: Exchange, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    await exchange.start(
        status, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    )
    await exchange.end(body)
