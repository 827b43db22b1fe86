"""Upstream: whether the model server answers, knows the key, and has the model. No token is spent.

`GET /models` first; a server without it is asked for nothing at all: an empty request that it must refuse. What it says
is never repeated, for it may hold the key. For a source of one's own only its module is looked for: to call it is to
spend.
"""

import importlib.util
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import msgspec

from andon.doctor.check import Check
from andon.doctor.finding import Finding, fail, ok, skipped, warn
from andon.doctor.site import Site
from andon.doctor.unreachable import unreachable

_BASE: Final = "https://api.openai.com/v1"
_PATHS: Final = {"responses": "/responses", "chat": "/chat/completions"}
_UNAUTHORIZED: Final = {401, 403}
# What a server says to an empty request that it would serve if it were one.
_REFUSED: Final = {400, 422}
_NOT_THERE: Final = {404, 405, 501}
_SERVER_ERRORS: Final = 500
_SHOWN_MODELS: Final = 5
_URL, _KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"


async def _look(site: Site) -> list[Finding]:
    environ, api = site.order.environ, site.settings.upstream_api
    if site.order.role == "gateway":
        return [skipped("gateways do not talk to it: ask again beside a worker")]
    if api not in _PATHS:
        return [_of_a_function(api)]
    key, base = environ.get(_KEY, ""), environ.get(_URL, "")
    if not key:
        return [_without_key(is_here=site.order.role == "worker" or bool(base))]
    return [await _ask(site, (base or _BASE).rstrip("/"), key)]


def _without_key(*, is_here: bool) -> Finding:
    if is_here:
        return fail(f"{_KEY} is not set: a worker does not start", f"set {_KEY}; any value for a server without keys")
    return skipped(f"neither {_KEY} nor {_URL} is set here: ask again beside a worker")


async def _ask(site: Site, base: str, key: str) -> Finding:
    parts = urlsplit(base)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return fail(f"{_URL} is no address of HTTP", f"write {_URL}=https://api.openai.com/v1 or the like")
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    headers = {"Authorization": f"Bearer {key}"}
    try:
        # As the worker's client: by way of the proxy that the environment names, if it names one.
        async with httpx2.AsyncClient(timeout=site.order.patience_s, headers=headers) as http:
            return await _Asking(http, base, where, site.settings.upstream_api, site.order.model).ask()
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        return unreachable(error, where=where, setting=_URL)


@dataclass(frozen=True, slots=True)
class _Asking:
    http: httpx2.AsyncClient
    base: str
    where: str
    api: str
    model: str | None

    async def ask(self) -> Finding:
        reply = await self.http.get(f"{self.base}/models")
        if reply.status_code in _NOT_THERE:
            return await self._ask_for_nothing()
        if reply.status_code != httpx2.codes.OK:
            return self._refusal(reply.status_code)
        models = _names(reply.content)
        if models is None:
            return fail(
                f"{self.where}/models answers with what is no list of models", f"mend {_URL}: is a /v1 missing?"
            )
        if self.model is not None and models and self.model not in models:
            shown = ", ".join(models[:_SHOWN_MODELS]) + (", ..." if len(models) > _SHOWN_MODELS else "")
            return fail(f"{self.where} has no model {self.model!r}", f"ask for one that it has: {shown}")
        return ok(f"{self.where} answers, takes the key, and lists {len(models)} models")

    async def _ask_for_nothing(self) -> Finding:
        """POST an empty request: refused for what it lacks by a server that would serve it."""
        path = _PATHS[self.api]
        reply = await self.http.post(f"{self.base}{path}", json={})
        if reply.status_code in _REFUSED:
            return ok(f"{self.where} answers and takes the key; it lists no models")
        if reply.status_code in _NOT_THERE:
            return fail(
                f"{self.where} has neither /models nor {path}",
                f"mend {_URL} (is a /v1 missing?), or ANDON_UPSTREAM_API: is it a server of the other kind?",
            )
        return self._refusal(reply.status_code)

    def _refusal(self, status: int) -> Finding:
        if status in _UNAUTHORIZED:
            return fail(
                f"{self.where} refuses the key ({status})",
                f"put the right key into {_KEY} (OPENAI_ORG_ID, OPENAI_PROJECT_ID)",
            )
        if status == httpx2.codes.TOO_MANY_REQUESTS:
            return warn(f"{self.where} says that the rate or the quota is used up (429)", "raise it, or wait")
        if status >= _SERVER_ERRORS:
            return fail(f"{self.where} fails ({status})", "look at the model server, or at the proxy in front of it")
        return fail(f"{self.where} answers {status}", f"mend {_URL}")


def _names(body: bytes) -> list[str] | None:
    try:
        told: Any = msgspec.json.decode(body)
        return [str(each["id"]) for each in told["data"]]
    except (msgspec.DecodeError, KeyError, TypeError):
        return None


def _of_a_function(name: str) -> Finding:
    module = name.partition(":")[0]
    try:
        is_there = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        is_there = False
    if not is_there:
        return fail(
            f"the module {module} of ANDON_UPSTREAM_API is not to be found", "put it where Python finds it (PYTHONPATH)"
        )
    return ok(f"{module} is there; it is called only for a response")


CHECK: Final = Check(
    name="upstream",
    asks="Does the model server answer, take the key, and have the model?",
    look=_look,
    needs=("settings",),
)
