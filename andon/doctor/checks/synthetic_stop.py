"""Synthetic stop: a real response, created through one gateway and stopped through another, with a real model.

It costs some tokens, so it is on only where gateways are named, or where it is asked for. Without a gateway it is
done by the contract, as a gateway would. It is judged by the stop's own answer: when it was recorded,
heard, closed, settled.
"""

import asyncio
import time
from typing import Any, Final

from andon.client import CannotConnect, Client, ConnectionLost
from andon.command.failure import CommandFailed
from andon.command.stopping import stop_over
from andon.doctor import names
from andon.doctor.caller import principal_of
from andon.doctor.check import DATABASE, Check
from andon.doctor.finding import Finding, fail, ok, skipped, warn
from andon.doctor.gateway import gateway_at
from andon.doctor.site import Site
from andon.errors import StoreUnavailable
from andon.frames import decode, encode, envelope
from andon.ids import ResponseId, SessionName, new_response_id, session_tag
from andon.replies import Submission
from andon.response import base, open_object
from andon.store import Store

# The first word may take its time; the stop does not.
_BEGIN_S: Final = 60.0
_ANSWER_S: Final = 10.0
_SLOW_S: Final = 1.0
_POLL_S: Final = 0.05
# Long enough that the answer is not over before the stop.
_PROMPT: Final = "Count from one to two hundred, in words."
_MOST_TOKENS: Final = 400
_REASON: Final = "andon doctor"
_ENDINGS: Final = {"response.completed", "response.incomplete", "response.failed"}
_OUTPUT: Final = "response.output"
_NO_WORD: Final = "look at the worker's log; name a model that the server has (--model), or a quicker one"


class _Unfit(Exception):  # noqa: N818 - it carries a finding, not an error
    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.found)
        self.finding = finding


async def _look(site: Site) -> list[Finding]:
    if not site.order.stops:
        return [skipped("a real response costs tokens: --gateway URL, or --stop, has it made")]
    try:
        return [_judge(*await (_through_gateways(site) if site.order.gateways else _by_the_contract(site)))]
    except _Unfit as unfit:
        return [unfit.finding]
    except (CannotConnect, ConnectionLost, CommandFailed) as error:
        return [fail(str(error), "look at the gateway's log, and at proxies in front of it")]
    except StoreUnavailable as error:
        return [fail(f"Redis does not take it: {error}", "look at Redis' log and load")]


# ── through gateways ─────────────────────────────────────────────────────────────────────────────────────────────────


async def _through_gateways(site: Site) -> tuple[dict[str, Any], str]:
    order = site.order
    one, other = gateway_at(order.gateways[0], order.token), gateway_at(order.gateways[-1], order.token)
    session = names.tag()
    # The other socket is open before it is needed: the stop is timed, not the handshake.
    async with one.socket(session) as creator, other.socket(session) as stopper:
        model = order.model or site.settings.chat_model
        await creator.create(model=model, input=_PROMPT, max_output_tokens=_MOST_TOKENS, store=False)
        response_id = await _begun(creator)
        answer = await stop_over(stopper, response_id=response_id, reason=_REASON)
    error = answer.get("error")
    if error is not None and error["code"] == "already_ended":
        raise _Unfit(_too_short())
    if error is not None:
        raise _Unfit(fail(f"the stop was refused: {error['message']}", "look at the gateway's log"))
    where = "" if one == other else f", created through {one.shown} and stopped through {other.shown}"
    stop: dict[str, Any] = answer["stops"][0]
    return stop, where


async def _begun(client: Client) -> str:
    """Wait for the first of the model's output; stop the response if it does not come."""
    response_id = None
    try:
        async with asyncio.timeout(_BEGIN_S):
            async for event in client:
                if event["type"] == "error":
                    raise _Unfit(_refused(event["error"]))
                if event["type"] == "response.created":
                    response_id = event["response"]["id"]
                if event["type"] in _ENDINGS:
                    raise _Unfit(_ended(event["response"]))
                if event["type"].startswith(_OUTPUT) and response_id is not None:
                    return str(response_id)
    except TimeoutError:
        if response_id is not None:
            await stop_over(client, response_id=response_id, reason=_REASON)
        raise _Unfit(fail(f"the model said nothing within {_BEGIN_S:g} s", _NO_WORD)) from None
    raise _Unfit(fail("the gateway closed the socket before the response began", "look at its log"))


def _refused(error: dict[str, Any]) -> Finding:
    return fail(f"the create was refused: {error['message']} ({error['code']})", "mend what it says; --model, --token")


def _ended(response: dict[str, Any]) -> Finding:
    error = response.get("error")
    if error is None:
        return _too_short()
    return fail(f"the response failed ({error.get('type')}): {error['message']}", _NO_WORD)


def _too_short() -> Finding:
    return warn("the answer was over before the stop", "name a model that says more, or slower: --model")


# ── by the contract ──────────────────────────────────────────────────────────────────────────────────────────────────


async def _by_the_contract(site: Site) -> tuple[dict[str, Any], str]:
    principal = principal_of(site.settings, site.order.token)
    if principal is None:
        raise _Unfit(skipped("whose token it is cannot be told from here: name a gateway"))
    session = SessionName(names.tag())
    rid = new_response_id(session_tag(principal, session))
    body = {
        "model": site.order.model or site.settings.chat_model,
        "input": _PROMPT,
        "max_output_tokens": _MOST_TOKENS,
        "store": False,
    }
    at = round(time.time(), 3)
    record = {
        "response_id": rid,
        "session": session,
        "tenant": principal.tenant,
        "subject": principal.subject,
        "model": body["model"],
        "created_at": at,
    }
    store = Store(site.database, site.settings)
    await store.submit(
        Submission(
            response_id=rid,
            principal=principal,
            session=session,
            lane="",
            envelope=envelope(rid, None),
            base=open_object(base(rid, body, created_at=at)),
            request=encode(body),
            record=open_object(record),
            is_stored=False,
        )
    )
    try:
        await _logged_output(store, rid)
    finally:
        # Whatever came of the wait, nothing of ours goes on.
        await store.stop(rid, principal, by=principal.subject, reason=_REASON)
    return await _followed(store, rid), ", by the contract"


async def _logged_output(store: Store, rid: ResponseId) -> None:
    seen = 0
    try:
        async with asyncio.timeout(_BEGIN_S):
            while True:
                for frame in await store.log_from(rid, seen):
                    seen += 1
                    event = decode(frame)
                    if event["type"] in _ENDINGS:
                        raise _Unfit(_ended(event["response"]))
                    if event["type"].startswith(_OUTPUT):
                        return
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise _Unfit(fail(f"the model said nothing within {_BEGIN_S:g} s", _NO_WORD)) from None


async def _followed(store: Store, rid: ResponseId) -> dict[str, Any]:
    deadline = asyncio.get_running_loop().time() + _ANSWER_S
    while True:
        receipt = await store.progress(rid)
        if receipt.settled is not None or asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(_POLL_S)
    return {
        "recorded": receipt.recorded,
        "acked": receipt.acked,
        "upstream_closed": receipt.upstream_closed,
        "settled": receipt.settled,
    }


# ── the verdict ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _judge(stop: dict[str, Any], where: str) -> Finding:
    recorded, closed = stop["recorded"], stop["upstream_closed"]
    if recorded is None:
        return fail(f"the stop was not recorded{where}", "look at Redis' log")
    if closed is None:
        heard = "the worker did not hear it" if stop["acked"] is None else "the worker heard it and did not close"
        return fail(
            f"the upstream is not known to be closed: {heard}{where}",
            "look at the check `workers`, and at the worker's log; its clock and Redis' must agree",
        )
    took_s = closed - recorded
    told = f"recorded, and the upstream closed {took_s * 1000:.0f} ms later{where}; a few tokens were spent"
    if stop["settled"] is None:
        return fail(f"{told}; it was not settled in time", "look at the worker's log and Redis' load")
    if took_s > _SLOW_S:
        return warn(told, "workers are short of CPU, or hear stops only by the slower ways (check `workers`)")
    return ok(told)


CHECK: Final = Check(
    name="stop",
    asks="A real response, stopped through another gateway: is its upstream closed, and how soon? (Some tokens.)",
    look=_look,
    needs=(*DATABASE, "workers", "gateways"),
)
