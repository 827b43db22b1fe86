"""Buffers: whether Redis cuts off listeners that are slow for a moment.

A batch of up to 1 MiB is published whole, larger ones by their header alone (`append.lua`), so a limit of a few of them
cuts off gateways that are well; they come back and read from the log, which costs, and makes events late.
"""

from typing import Final

from andon.doctor.check import Check
from andon.doctor.finding import Finding, fail, ok, skipped, warn
from andon.doctor.server import Server
from andon.doctor.site import Site

_MIB: Final = 1024 * 1024
_LEAST_BYTES: Final = 4 * _MIB
# Redis' own default.
_USUAL_BYTES: Final = 32 * _MIB
_USUAL_SOFT_BYTES: Final = 8 * _MIB
# `class hard soft seconds`, for each class.
_WORDS: Final = 4
_REMEDY: Final = "set client-output-buffer-limit 'pubsub 32mb 8mb 60', Redis' default, or more"


async def _judge(server: Server) -> Finding:
    told = await server.config("client-output-buffer-limit")
    if told is None:
        return skipped("it does not tell client-output-buffer-limit")
    words = told.split()
    limits = {words[at]: (int(words[at + 1]), int(words[at + 2])) for at in range(0, len(words), _WORDS)}
    hard, soft = limits.get("pubsub", (0, 0))
    normal, _ = limits.get("normal", (0, 0))
    if (0 < hard < _LEAST_BYTES) or (0 < soft < _LEAST_BYTES // 2):
        return fail(f"listeners are cut off at {min(hard or soft, soft or hard) / _MIB:.2f} MiB unread", _REMEDY)
    if (0 < hard < _USUAL_BYTES) or (0 < soft < _USUAL_SOFT_BYTES):
        return warn(f"listeners are cut off at {hard / _MIB:g} MiB, or at {soft / _MIB:g} MiB for a while", _REMEDY)
    if 0 < normal < _USUAL_BYTES:
        return warn(
            f"answers over {normal / _MIB:g} MiB are cut off, and a log read at once may be larger",
            "set client-output-buffer-limit 'normal 0 0 0', Redis' default",
        )
    return ok(f"pubsub {hard // _MIB} MiB, {soft // _MIB} MiB for a while" if hard else "pubsub unlimited")


async def _look(site: Site) -> list[Finding]:
    return await site.each(_judge)


CHECK: Final = Check(
    name="output buffers",
    asks="Is `client-output-buffer-limit` of pub/sub large enough for what is published?",
    look=_look,
)
