"""Door: the pages' files over HTTP.

Owns which paths are pages, where their files are, and the headers that keep a page to this origin. Does not own what
the pages do: they speak the same protocol as any client, and are nothing but files. Guarantees: no page loads or sends
anything elsewhere (Content-Security-Policy), nor can be framed.
"""

from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from andon.settings import Settings
from gateway.javascript import client_home

_STATIC: Final = Path(__file__).parent / "static"
# `data:` is for the sort of icon that a style sheet holds.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    # Files carry an ETag: asking each time costs little, and a new version is never mixed with an old one.
    (b"cache-control", b"no-cache"),
)


class PageRoute(Route):
    """A page, for people: no part of the published contracts."""


class PagesDoor:
    """The pages of one gateway."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def routes(self) -> list[BaseRoute]:
        """List the routes; none where no page is wanted."""
        pages: list[BaseRoute] = []
        if self._settings.chat_page:
            pages += [PageRoute("/", self.chat), PageRoute("/page.json", self.page)]
        if self._settings.console_page:
            pages.append(PageRoute("/console", self.console))
        if not pages:
            return []
        return [*pages, Mount("/assets/client", _Files(client_home())), Mount("/assets", _Files(_STATIC))]

    async def chat(self, _: Request) -> Response:
        """`GET /`: the chat page."""
        return _page("chat")

    async def console(self, _: Request) -> Response:
        """`GET /console`: the operator's console."""
        return _page("console")

    async def page(self, _: Request) -> Response:
        """`GET /page.json`: what the chat page is told of its surroundings."""
        replicas = [url for url in self._settings.replicas.split(",") if url]
        return JSONResponse({"replicas": replicas, "model": self._settings.chat_model}, headers=_as_text(_HEADERS))


class _Files:
    """A folder of files, each with the pages' headers."""

    def __init__(self, folder: Path) -> None:
        self._files = StaticFiles(directory=folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self._files(scope, receive, send_with_headers)


def _page(name: str) -> Response:
    return FileResponse(_STATIC / name / "index.html", headers=_as_text(_HEADERS))


def _as_text(headers: tuple[tuple[bytes, bytes], ...]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}
