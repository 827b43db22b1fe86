"""Channels: whether what is published is heard, by sharded pub/sub (events) and plain (stops).

In a cluster each node is published to for its own slots, and what is published plainly at one node must be heard at
every other: it goes over the cluster's bus, whose ports are easily forgotten.
"""

import asyncio
import contextlib
import secrets
from typing import Final

from redis.exceptions import RedisError, ResponseError

from andon.doctor import names
from andon.doctor.check import Check
from andon.doctor.finding import Finding, fail, ok
from andon.doctor.line import Line, NoAnswer
from andon.doctor.server import Server
from andon.doctor.site import Site, refused

_SUBSCRIBED: Final = {b"subscribe", b"ssubscribe"}


async def _judge_sharded(server: Server) -> Finding:
    channel = names.key("events", server.slot)
    async with server.line() as line:
        await _subscribe(line, "SSUBSCRIBE", channel)
        word = _word()
        await server.ask("SPUBLISH", channel, word)
        if not await _hears(line, {word}):
            return _deaf("an event that was published was not heard (SSUBSCRIBE)")
    return ok("events are heard")


async def _look_at_plain(site: Site) -> list[Finding]:
    masters = site.survey.masters
    channel = names.stop_channel()
    async with contextlib.AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(server.line()) for server in masters]
        for line in lines:
            await _subscribe(line, "SUBSCRIBE", channel)
        words = {_word(): server for server in masters}
        for word, server in words.items():
            await server.ask("PUBLISH", channel, word)
        heard = await asyncio.gather(*(_heard(line, set(words)) for line in lines))
    found = []
    for listener, got in zip(masters, heard, strict=True):
        for publisher in (server for word, server in words.items() if word not in got):
            if publisher is listener:
                found.append(_deaf(f"{listener.name}: a stop that was published was not heard (SUBSCRIBE)"))
            else:
                found.append(
                    fail(
                        f"what is published at {publisher.name} is not heard at {listener.name}",
                        "open the cluster's bus (port + 10000, or cluster-port) between the nodes",
                    )
                )
    return found or [ok("stops are heard")]


async def _look(site: Site) -> list[Finding]:
    try:
        return [*await site.each(_judge_sharded, of=site.survey.masters), *await _look_at_plain(site)]
    except NoAnswer as error:
        return [fail(f"a subscription was not answered ({error})", "look at Redis' log, and at proxies in front of it")]
    except ResponseError as error:
        return [refused(error)]
    except (RedisError, OSError) as error:
        return [fail(f"no second connection could be made: {error}", "look at maxclients and at limits of proxies")]


async def _subscribe(line: Line, verb: str, channel: str) -> None:
    confirmed = await line.ask(verb, channel)
    if not (isinstance(confirmed, list) and confirmed[0] in _SUBSCRIBED):
        raise NoAnswer("what came was no confirmation")


async def _hears(line: Line, words: set[bytes]) -> bool:
    return await _heard(line, words) == words


async def _heard(line: Line, words: set[bytes]) -> set[bytes]:
    """Listen until all words have come, or nothing more does."""
    heard: set[bytes] = set()
    with contextlib.suppress(NoAnswer):
        while heard != words:
            message = await line.hear()
            if isinstance(message, list) and message[-1] in words:
                heard.add(message[-1])
    return heard


def _word() -> bytes:
    return secrets.token_hex(8).encode()


def _deaf(found: str) -> Finding:
    return fail(
        found, "what stands between must pass messages that nobody asked for: take proxies without pub/sub away"
    )


CHECK: Final = Check(
    name="pub/sub",
    asks="Is what is published heard, plain and sharded, and from node to node?",
    look=_look,
    needs=("reach", "topology", "permissions"),
)
