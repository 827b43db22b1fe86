"""Scripts: whether the server takes them, and runs them."""

from typing import Final

from redis.exceptions import ResponseError

from andon.doctor import names
from andon.doctor.check import Check
from andon.doctor.finding import Finding, fail, ok
from andon.doctor.server import Server
from andon.doctor.site import Site
from andon.script import all_scripts, script

_REMEDY: Final = "use Redis 7.0 or newer, or Valkey, without a proxy that changes or forbids scripts"


async def _judge(server: Server) -> Finding:
    scripts = all_scripts()
    for each in scripts:
        try:
            sha = await server.ask("SCRIPT", "LOAD", each.text)
        except ResponseError as error:
            return fail(f"the script {each.name} cannot be loaded: {str(error)[:120]}", _REMEDY)
        if sha.decode() != each.sha:
            return fail(f"the script {each.name} is digested differently", _REMEDY)
    # A look at a job that is not there: it is flagged allow-oom, touches one key, and writes nothing.
    key = names.key("job", server.slot)
    try:
        reply = await server.ask("EVALSHA", script("look").sha, 2, key, key, "-", "0", "1000")
    except ResponseError as error:
        return fail(f"a script that was loaded does not run: {str(error)[:120]}", _REMEDY)
    if reply != [b"gone"]:
        return fail(f"a script answers what it should not: {str(reply)[:80]}", _REMEDY)
    return ok(f"all {len(scripts)} load, and run")


async def _look(site: Site) -> list[Finding]:
    return await site.each(_judge, of=site.survey.masters)


CHECK: Final = Check(
    name="scripts",
    asks="Can all Lua scripts be loaded and run, with their flags?",
    look=_look,
    needs=("reach", "topology", "permissions", "replicas"),
)
