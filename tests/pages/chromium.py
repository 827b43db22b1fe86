"""Chromium: the system's browser, and what a page may not do in it.

Owns the browser of a test, and the judgement of a page: no console error, no uncaught exception, no violation of its
Content-Security-Policy, no request to another origin.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.node.install import install
from tests.stack.system_package import CHROMIUM, program

PHONE: Final = {"width": 390, "height": 780}
DESKTOP: Final = {"width": 1280, "height": 800}
_WAIT_MS: Final = 30_000
expect.set_options(timeout=_WAIT_MS)
# What axe calls an error that a person can't work around.
_BAD_IMPACTS: Final = frozenset({"serious", "critical"})
# Told by Chromium itself whenever a network is away, or a request is refused, however well the page copes.
NETWORK: Final = ("net::ERR_", "WebSocket connection to")
REFUSED: Final = ("the server responded with a status of 40",)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Run the browser for the length of a block."""
    async with async_playwright() as playwright:
        # Without its sandbox: it has none where root runs it. Only pages of our own are opened.
        chromium = await playwright.chromium.launch(
            executable_path=await asyncio.to_thread(program, CHROMIUM), args=["--no-sandbox"]
        )
        try:
            yield chromium
        finally:
            await chromium.close()


class Visitor:
    """Somebody with a browser of their own: nothing stored, nothing shared with others."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        # What was said on the console as an error or a warning, and what no handler caught.
        self.complaints: list[str] = []

    async def open(self, url: str) -> Page:
        """Open a page."""
        page = await self.context.new_page()
        page.set_default_timeout(_WAIT_MS)
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await page.goto(url)
        return page

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def check(self, expected: tuple[str, ...] = ()) -> None:
        """Assert that no page complained, but with one of these words."""
        found = [one for one in self.complaints if not any(word in one for word in expected)]
        assert not found, found


@asynccontextmanager
async def visitor(chromium: Browser, viewport: dict[str, int], **options: Any) -> AsyncIterator[Visitor]:
    """Lend a visitor, whose pages must not have complained at the end."""
    context = await chromium.new_context(viewport=viewport, **options)  # type: ignore[arg-type]
    try:
        yield Visitor(context)
    finally:
        await context.close()


def _axe() -> str:
    return (install() / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


async def inaccessible(page: Page) -> list[str]:
    """Run axe-core in the page; list what it finds serious."""
    await page.evaluate(await asyncio.to_thread(_axe))
    found = await page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']} {[node['target'] for node in one['nodes']]}"
        for one in found["violations"]
        if one["impact"] in _BAD_IMPACTS
    ]
