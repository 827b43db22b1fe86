"""The chat page: what somebody at a browser can count on."""

import uuid

import pytest
from playwright.async_api import Browser, Page, expect

from andon.sim.text import seed_of, text
from tests.chaos.proxy import Proxy
from tests.pages.chromium import DESKTOP, NETWORK, PHONE, inaccessible, visitor
from tests.pages.conftest import SIM
from tests.stack.stack import Stack

_STOPPED = '.turn[data-status="cancelled"]'
_COMPLETE = '.turn[data-status="completed"]'


def _address(stack: Stack, session: str, gateway: int = 0) -> str:
    return f"{stack.gateways[gateway].http}/?session={session}"


@pytest.fixture
def session() -> str:
    """Name a session that no other test has."""
    return f"page-{uuid.uuid4().hex}"


async def _ask(page: Page, words: str) -> None:
    """Send a message and wait for the first words of the answer."""
    await expect(page.locator("#connection")).to_have_attribute("data-state", "open")
    await page.get_by_label("Message", exact=True).fill(words)
    await page.keyboard.press("Enter")
    await _answering(page)


async def _answering(page: Page) -> None:
    await expect(page.locator('.turn[aria-busy="true"] .answer').last).not_to_be_empty()


async def _answer(page: Page) -> str:
    """Return the text of the last answer, as it is shown."""
    return (await page.locator(".answer").last.inner_text()).strip()


def _whole(words: str) -> str:
    return text(seed_of(words), SIM.tokens)


def _flat(shown: str) -> str:
    return " ".join(shown.split())


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.timeout(120)
async def test_chat_and_stop(chromium: Browser, page_stack: Stack, session: str, viewport: dict[str, int]) -> None:
    """The button stops the answer, which says what that saved; Escape does as well; the next turn goes on from it."""
    async with visitor(chromium, viewport) as somebody:
        page = await somebody.open(_address(page_stack, session))
        assert await inaccessible(page) == []
        await _ask(page, "first")
        assert await inaccessible(page) == []
        await page.get_by_role("button", name="Stop").click()
        await expect(page.locator(_STOPPED)).to_have_count(1)
        await expect(page.locator(".outcome")).to_contain_text("connection was closed")
        shown = await _answer(page)
        assert _flat(_whole("first")).startswith(_flat(shown))
        assert len(shown) < len(_whole("first"))
        await _ask(page, "second")
        await page.keyboard.press("Escape")
        await expect(page.locator(_STOPPED)).to_have_count(2)
        assert await inaccessible(page) == []
        # Nothing is wider than the screen.
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        somebody.check()


@pytest.mark.timeout(120)
async def test_a_reload_in_the_middle_goes_on(chromium: Browser, page_stack: Stack, session: str) -> None:
    """The answer after the reload is whole, and so is what is remembered of it."""
    async with visitor(chromium, DESKTOP) as somebody:
        page = await somebody.open(_address(page_stack, session))
        await _ask(page, "reload me")
        await page.reload()
        await _answering(page)
        await expect(page.locator(_COMPLETE)).to_have_count(1)
        assert _flat(await _answer(page)) == _flat(_whole("reload me"))
        await expect(page.locator(".asked")).to_have_text("reload me")
        await page.reload()
        await expect(page.locator(_COMPLETE)).to_have_count(1)
        assert _flat(await _answer(page)) == _flat(_whole("reload me"))
        somebody.check()


@pytest.mark.timeout(120)
async def test_a_network_that_comes_and_goes(chromium: Browser, page_stack: Stack, session: str) -> None:
    """Cut in the middle: the page says so, reconnects by itself, and the text is whole."""
    async with Proxy(page_stack.gateways[0].port).open() as network, visitor(chromium, PHONE) as somebody:
        page = await somebody.open(f"http://127.0.0.1:{network.port}/?session={session}")
        await _ask(page, "through a lift")
        network.refuse()  # Chromium's own switch leaves an open WebSocket as it is
        await expect(page.locator("#connection")).not_to_have_attribute("data-state", "open")
        await somebody.context.set_offline(True)
        network.heal()
        await somebody.context.set_offline(False)
        await expect(page.locator(_COMPLETE)).to_have_count(1)
        assert _flat(await _answer(page)) == _flat(_whole("through a lift"))
        await expect(page.locator("#connection")).to_have_attribute("data-state", "open")
        somebody.check(NETWORK)


@pytest.mark.timeout(120)
async def test_a_second_window_on_the_other_replica_follows_and_stops(
    chromium: Browser, page_stack: Stack, session: str
) -> None:
    """It shows question and answer live; its Stop ends the answer in both windows; a reloaded one stops as well."""
    async with visitor(chromium, DESKTOP) as first, visitor(chromium, DESKTOP) as second:
        here = await first.open(_address(page_stack, session))
        there = await second.open(_address(page_stack, session, gateway=1))
        await _ask(here, "for both")
        await _answering(there)
        await expect(there.locator(".asked")).to_have_text("for both")
        await there.get_by_role("button", name="Stop").click()
        for page in (here, there):
            await expect(page.locator(_STOPPED)).to_have_count(1)
        assert await _answer(here) == await _answer(there)
        await _ask(there, "and back")
        await _answering(here)
        await here.reload()
        await _answering(here)
        await here.keyboard.press("Escape")
        for page in (here, there):
            await expect(page.locator(_STOPPED)).to_have_count(2)
        first.check()
        second.check()


@pytest.mark.timeout(120)
async def test_in_the_dark_and_by_keyboard_alone(chromium: Browser, page_stack: Stack, session: str) -> None:
    """Nothing needs a pointer; focus goes to Stop and back to the message; both are told to a screen reader."""
    async with visitor(chromium, DESKTOP, color_scheme="dark") as somebody:
        page = await somebody.open(_address(page_stack, session))
        assert await inaccessible(page) == []
        await expect(page.get_by_label("Message", exact=True)).to_be_focused()
        await _ask(page, "by keyboard")
        await expect(page.get_by_role("log").get_by_role("article")).to_have_attribute("aria-busy", "true")
        await page.keyboard.press("Tab")  # from the message over the model to Stop
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("button", name="Stop")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator(_STOPPED)).to_have_count(1)
        await expect(page.locator("#announcer")).to_contain_text("Stopped")
        await expect(page.get_by_label("Message", exact=True)).to_be_focused()
        assert await inaccessible(page) == []
        somebody.check()


@pytest.mark.timeout(120)
async def test_a_models_markup_is_shown_and_never_run(chromium: Browser, page_stack: Stack, session: str) -> None:
    """Markdown becomes elements; scripts, handlers, images and styles of the model's do not."""
    async with visitor(chromium, DESKTOP) as somebody:
        page = await somebody.open(_address(page_stack, session))
        found = await page.evaluate(
            """async () => {
              const { Markdown } = await import("/assets/shared/markdown.js");
              const element = document.createElement("div");
              document.body.append(element);
              const markdown = new Markdown(element);
              const text = [
                "# Title\\n\\n* one\\n* two",
                "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'>",
                "![seen](https://example.com/i.png) [link](javascript:window.ran=3) [good](https://example.com)",
                "```js\\nlet x;\\n```",
                "<p style='position:fixed' onclick='window.ran=4' id='prompt'>styled</p>",
              ].join("\\n\\n");
              for (let end = 1; end <= text.length; end += 7) markdown.show(text.slice(0, end));
              markdown.show(text);
              const count = (selector) => element.querySelectorAll(selector).length;
              return {
                shown: ["h1", "li", "code.language-js", 'a[href="https://example.com"][rel~=noopener]'].map(count),
                bad: count("script, img, [style], [onclick], [onerror], [id], a[href^=javascript]"),
              };
            }"""
        )
        assert found == {"shown": [1, 2, 1, 1], "bad": 0}
        assert await page.evaluate("window.ran") is None
        somebody.check()
