"""Screenshots of the pages, for the README: `make images` writes them to docs/images.

Owns what is in the pictures: a conversation that was stopped, and a fleet with some dozens of live responses.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, expect

from andon.sim.options import SimOptions
from tests.pages.chromium import DESKTOP, PHONE, browser, visitor
from tests.pages.crowd import Crowd
from tests.stack.stack import Stack

_IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
_SIM: Final = SimOptions(rate=40.0, tokens=400)
_LIVE: Final = 60


async def main() -> None:
    """Start a stack, and take all pictures of it."""
    env = {"ANDON_CHAT_PAGE": "true", "ANDON_CHAT_MODEL": "sim", "ANDON_LEASE_S": "5", "ANDON_LOG_LEVEL": "info"}
    with tempfile.TemporaryDirectory() as logs:
        async with Stack(Path(logs), gateways=2, workers=2, env=env, sim=_SIM) as stack, browser() as chromium:
            for name, viewport in (("chat", DESKTOP), ("chat-phone", PHONE)):
                await _chat(chromium, stack, name, viewport)
            crowd = Crowd(stack)
            await crowd.start("conversation", _LIVE, model="sim")
            for name, viewport in (("console", {"width": 1280, "height": 1450}), ("console-phone", PHONE)):
                await _console(chromium, stack, name, viewport)
            await crowd.end()


async def _chat(chromium: Browser, stack: Stack, name: str, viewport: dict[str, int]) -> None:
    async with visitor(chromium, viewport) as somebody:
        page = await somebody.open(f"{stack.gateways[0].http}/?session={name}")
        await expect(page.locator("#connection")).to_have_attribute("data-state", "open")
        await page.get_by_label("Message", exact=True).fill("Tell me how the line runs.")
        await page.keyboard.press("Enter")
        await expect(page.locator(".answer").last).to_contain_text(". ")
        await expect(page.locator(".outcome").last).to_contain_text("3")
        await page.keyboard.press("Escape")
        await expect(page.locator('.turn[data-status="cancelled"]')).to_have_count(1)
        await page.screenshot(path=_IMAGES / f"{name}.png")


async def _console(chromium: Browser, stack: Stack, name: str, viewport: dict[str, int]) -> None:
    async with visitor(chromium, viewport) as operator:
        page = await operator.open(f"{stack.gateways[0].http}/console")
        await expect(page.locator("#sum-rate")).not_to_have_text("0")
        for row in (3, 5):
            await page.locator("#rows tr[data-id]").nth(row).get_by_role("button").click()
            await expect(page.locator("#stops li").first).to_contain_text("1 settled")
            await expect(page.locator("#percentiles")).to_contain_text("stops")
        await page.screenshot(path=_IMAGES / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(main())
