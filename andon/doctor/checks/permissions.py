"""Permissions: whether this user may do all that gateways and workers do.

Redis is asked by a script (`redis.acl_check_cmd`), which needs no right to administer ACLs and runs nothing of what it
asks about. The list is held against the sources by `tests/doctor/test_permissions.py`.
"""

from typing import Final

from redis.exceptions import ResponseError

from andon.doctor import names
from andon.doctor.check import Check
from andon.doctor.finding import Finding, fail, ok, skipped, warn
from andon.doctor.server import Server
from andon.doctor.site import Site

# Commands with a key, in the contract's own names.
KEYED: Final = (
    "DEL", "EXISTS", "EXPIRE", "GET", "HDEL", "HGET", "HGETALL", "HINCRBY", "HMGET", "HSET", "HSETNX", "LLEN", "LRANGE",
    "MGET", "PEXPIRE", "RPUSH", "SADD", "SET", "SMEMBERS", "SREM", "XACK", "XADD", "XAUTOCLAIM", "XDEL", "XLEN",
    "XPENDING", "XRANGE", "XREVRANGE", "XTRIM", "ZADD", "ZCARD", "ZRANGE", "ZREM", "ZREMRANGEBYSCORE", "ZREVRANGE",
    "ZSCAN", "ZSCORE",
)  # fmt: skip
# Those that are more than a name and a key.
LONGER: Final = (
    ("XGROUP", "CREATE"), ("XGROUP", "DELCONSUMER"), ("XREADGROUP",), ("EVAL",), ("EVALSHA",),
)  # fmt: skip
KEYLESS: Final = (("TIME",), ("INFO",), ("PING",), ("SCRIPT", "LOAD"), ("WAIT",))
ON_ONE_SERVER: Final = (("MULTI",), ("EXEC",))
IN_A_CLUSTER: Final = (("ASKING",), ("CLUSTER", "INFO"), ("CLUSTER", "SLOTS"))
WITH_SENTINELS: Final = (("ROLE",),)
CHANNELS: Final = ("PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE")
SHARDED: Final = ("SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE")

_MOST_NAMED: Final = 12
# Returns what may not be run. A command's words are separated by blanks, commands by newlines.
_SCRIPT: Final = """
local refused = {}
for line in string.gmatch(ARGV[1], '[^\\n]+') do
  local words = {}
  for word in string.gmatch(line, '%S+') do words[#words + 1] = word end
  if not redis.acl_check_cmd(unpack(words)) then refused[#refused + 1] = line end
end
return refused
"""


def asked_of(site: Site, key: str) -> list[tuple[str, ...]]:
    """Return every command that is needed, with names of ours in it."""
    channel = names.stop_channel()
    asked: list[tuple[str, ...]] = [(name, key) for name in KEYED]
    asked += [("XGROUP", "CREATE", key, "g", "0"), ("XGROUP", "DELCONSUMER", key, "g", "c")]
    asked += [
        ("XREADGROUP", "GROUP", "g", "c", "STREAMS", key, ">"),
        ("EVAL", "-", "1", key),
        ("EVALSHA", "-", "1", key),
    ]
    asked += [*KEYLESS, *(IN_A_CLUSTER if site.is_cluster else ON_ONE_SERVER)]
    asked += WITH_SENTINELS if site.survey.sentinels else ()
    asked += [(name, channel, *(("m",) if name == "PUBLISH" else ())) for name in CHANNELS]
    asked += [(name, key, *(("m",) if name == "SPUBLISH" else ())) for name in SHARDED]
    return asked


class _Judge:
    def __init__(self, site: Site) -> None:
        self._site = site

    async def __call__(self, server: Server) -> Finding:
        key = names.key("events", server.slot)
        lines = "\n".join(" ".join(command) for command in asked_of(self._site, key))
        try:
            refused: list[bytes] = await server.ask("EVAL", _SCRIPT, 1, key, lines)
        except ResponseError as error:
            return _script_refused(error)
        if not refused:
            return ok("this user may do all that is needed")
        return _told([line.decode() for line in refused], key)


def _script_refused(error: ResponseError) -> Finding:
    told = str(error).lower()
    if "acl_check_cmd" in told:
        return skipped("the server cannot be asked what a user may do (too old)")
    if "no permissions" in told or "noperm" in told:
        return fail(
            "this user may run no scripts on keys andon:*", "ACL SETUSER ... +eval +evalsha +script|load ~andon:*"
        )
    return warn(f"it could not be asked: {told[:120]}", "mend what it says, then look again")


def _told(refused: list[str], key: str) -> Finding:
    channels = [line.split()[0].lower() for line in refused if line.split()[0] in {*CHANNELS, *SHARDED}]
    others = [line.partition(" " + key)[0].split(" -")[0].lower() for line in refused]
    others = [name for name in others if name.split()[0] not in channels]
    if channels and not others:
        return fail(
            f"this user may not use the channels andon:* ({', '.join(channels)}): no stop and no event is heard",
            f"ACL SETUSER ... &andon:* {' '.join('+' + name for name in channels)}",
        )
    named = [*others, *channels]
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    rights = " ".join("+" + "|".join(name.split()[:2]) for name in others[:_MOST_NAMED])
    return fail(
        f"this user may not run {', '.join(named[:_MOST_NAMED])}{more} on keys andon:*",
        f"ACL SETUSER ... ~andon:* &andon:* {rights}".rstrip(),
    )


async def _look(site: Site) -> list[Finding]:
    return await site.each(_Judge(site), of=site.survey.masters)


CHECK: Final = Check(
    name="permissions",
    asks="May the user of `ANDON_REDIS_URL` run every command, key and channel that is used?",
    look=_look,
    needs=("reach", "topology"),
)
