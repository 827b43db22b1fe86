"""Chromium: the system's browser, and what a page may not do in it.

Owns its being there: where it is missing and we are root, it is installed; where that cannot be, the test is skipped
and says why. Owns the judgement of a page too: no console error, no uncaught exception, no violation of its
Content-Security-Policy, no request to another origin.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.node.install import install

_INSTALL_S: Final = 400
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
PHONE: Final = {"width": 390, "height": 780}
DESKTOP: Final = {"width": 1280, "height": 800}
_WAIT_MS: Final = 30_000
# What axe calls an error that a person can't work around.
_BAD_IMPACTS: Final = frozenset({"serious", "critical"})
# Told by Chromium itself whenever a network is away, however well the page copes.
_NETWORK: Final = ("net::ERR_", "WebSocket connection to")


def binary() -> str:
    """Return the path of Chromium; install it if that can be done, skip the test otherwise."""
    if (found := _found()) is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip("Chromium is not installed, and only root on Debian could install it: apt-get install chromium")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    if (found := _found()) is None:
        pytest.skip(f"Chromium is not installed, and apt-get install chromium failed: {done.stderr[-300:]}")
    return found


def _found() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Run the browser for the length of a block."""
    async with async_playwright() as playwright:
        # Without its sandbox: it has none where root runs it. Only pages of our own are opened.
        chromium = await playwright.chromium.launch(executable_path=binary(), args=["--no-sandbox"])
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

    def check(self, *, was_offline: bool = False) -> None:
        """Assert that no page complained. `was_offline`: the browser's own words about the network are expected."""
        found = [c for c in self.complaints if not (was_offline and any(word in c for word in _NETWORK))]
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
