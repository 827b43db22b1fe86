"""The operator's console: what somebody who watches a fleet can count on."""

import uuid

import pytest
from playwright.async_api import Browser, Page, expect

from tests.pages.chromium import DESKTOP, PHONE, inaccessible, visitor
from tests.pages.crowd import Crowd
from tests.stack.stack import Stack


@pytest.fixture
def mark() -> str:
    """Make a word that only this test's sessions have in their names."""
    return uuid.uuid4().hex[:10]


async def _opened(page: Page) -> None:
    await expect(page.locator("#connection")).to_have_attribute("data-state", "open")


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.timeout(150)
async def test_watch_filter_and_stop_one(
    chromium: Browser, page_stack: Stack, mark: str, viewport: dict[str, int]
) -> None:
    """Rows come, count and go by themselves; the search leaves what matches; one button stops one response."""
    crowd = Crowd(page_stack)
    async with visitor(chromium, viewport) as operator:
        page = await operator.open(f"{page_stack.gateways[0].http}/console")
        await _opened(page)
        first, second = await crowd.start(f"{mark}-a", 2)
        await crowd.start(f"{mark}-b", 3)
        await page.get_by_label("Search").fill(mark)
        await expect(page.locator("#rows tr[data-id]")).to_have_count(5)
        await page.get_by_label("Search").fill(f"{mark}-a")
        await expect(page.locator("#rows tr[data-id]")).to_have_count(2)
        # Its tokens are counted up while we look.
        tokens = page.locator(f'#rows tr[data-id="{second}"] td:nth-child(8)')
        before = await tokens.inner_text()
        await expect(tokens).not_to_have_text(before)
        assert await inaccessible(page) == []
        await page.get_by_role("button", name=f"Stop {mark}-a-0", exact=True).click()
        await expect(page.locator("#rows tr[data-id]")).to_have_count(1)
        assert await crowd.status(first) == "cancelled"
        assert await crowd.status(second) == "in_progress"
        shown = page.locator("#stops li", has_text=first[:16])
        for step in ("recorded", "acked", "closed", "settled"):
            await expect(shown).to_contain_text(f"1 {step}")
        await expect(page.locator("#audit tr").first).to_contain_text("operator")
        await expect(page.locator("#percentiles")).to_contain_text("of 1 stops")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        operator.check()
    await crowd.end()


@pytest.mark.timeout(150)
async def test_stop_the_selected(chromium: Browser, page_stack: Stack, mark: str) -> None:
    """The boxes choose; what was not chosen goes on."""
    crowd = Crowd(page_stack)
    ids = await crowd.start(mark, 4)
    async with visitor(chromium, DESKTOP) as operator:
        page = await operator.open(f"{page_stack.gateways[0].http}/console")
        await page.get_by_label("Search").fill(mark)
        await expect(page.locator("#rows tr[data-id]")).to_have_count(4)
        await page.get_by_label("Select all that are shown").check()
        await page.get_by_label(f"Select {mark}-3", exact=True).uncheck()
        await page.get_by_role("button", name="Stop 3 selected").click()
        await expect(page.locator("#rows tr[data-id]")).to_have_count(1)
        assert [await crowd.status(each) for each in ids] == ["cancelled"] * 3 + ["in_progress"]
        operator.check()
    await crowd.end()


@pytest.mark.timeout(240)
async def test_stop_a_scope_of_two_hundred(chromium: Browser, page_stack: Stack, mark: str) -> None:
    """Counted first, confirmed by typing, watched until all are settled; what is outside goes on."""
    crowd = Crowd(page_stack)
    await crowd.start(mark, 200)
    (bystander,) = await crowd.start(f"{mark}-bystander", 1, model="sim")
    async with visitor(chromium, DESKTOP) as operator:
        page = await operator.open(f"{page_stack.gateways[0].http}/console")
        await expect(page.locator("#count")).to_have_text("201")
        # Far fewer elements than rows: thousands would cost no more.
        assert await page.locator("#rows tr[data-id]").count() < 60
        await page.get_by_role("button", name="Stop a scope").click()
        await page.get_by_label("What").select_option("model")
        await page.get_by_label("Which").fill("sim-slow")
        await page.get_by_label("Why").fill("a drill")
        await page.get_by_role("button", name="Count").click()
        await expect(page.locator("#scope-counted")).to_contain_text("200 live responses")
        assert await inaccessible(page) == []
        stop = page.locator("#scope-stop")
        await page.get_by_label("to confirm").fill("stop 20")
        await expect(stop).to_be_disabled()
        await page.get_by_label("to confirm").fill("stop 200")
        await stop.click()
        shown = page.locator("#stops li", has_text="a drill")
        await expect(shown).to_contain_text("200 settled", timeout=60_000)
        await expect(page.locator("#count")).to_have_text("1")
        assert await crowd.status(bystander) == "in_progress"
        operator.check()
    await crowd.end()
