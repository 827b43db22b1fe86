"""The console where callers are told apart: who gets in, what they see, and for how long."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx2
import pytest
from playwright.async_api import Browser, Page, expect

from tests.auth.tokens import JWT_ENV, bearer, token
from tests.pages.chromium import DESKTOP, REFUSED, inaccessible, visitor
from tests.stack.stack import Stack

_LASTS_S = 12


async def _give(page: Page, text: str) -> None:
    await page.get_by_label("A token").fill(text)
    await page.get_by_role("button", name="Connect").click()


async def _start(stack: Stack, tenant: str) -> None:
    body = {"model": "sim-slow", "input": "hello", "background": True}
    url = f"{stack.gateways[1].http}/v1/responses?session=of-{tenant}"
    async with httpx2.AsyncClient(verify=False, trust_env=False, timeout=20.0) as http:
        reply = await http.post(url, json=body, headers=bearer(token(tenant=tenant)))
    assert reply.status_code == 200, reply.text


@pytest.mark.timeout(150)
async def test_the_console_asks_for_a_token_and_shows_its_tenant(
    chromium: Browser, own_stack: Callable[..., AbstractAsyncContextManager[Stack]]
) -> None:
    """No token, and none with the scope, are told why; an operator sees its tenant; after its time it is asked anew."""
    async with (
        own_stack(gateways=2, workers=1, **JWT_ENV, ANDON_AUTH_GRACE_S="1") as stack,
        visitor(chromium, DESKTOP) as operator,
    ):
        for tenant in ("acme", "other"):
            await _start(stack, tenant)
        page = await operator.open(f"{stack.gateways[0].http}/console")
        await expect(page.get_by_label("A token")).to_be_focused()
        assert await inaccessible(page) == []
        await _give(page, token())
        await expect(page.locator("#token-error")).to_contain_text("andon:admin")
        await _give(page, token(subject="olga", scope="andon:admin", lasts_s=_LASTS_S))
        await expect(page.locator("#connection")).to_have_attribute("data-state", "open")
        await expect(page.locator("#rows tr[data-id]")).to_have_count(1)
        await expect(page.locator("#rows")).to_contain_text("of-acme")
        await page.get_by_role("button", name="Stop of-acme", exact=True).click()
        await expect(page.locator("#rows tr[data-id]")).to_have_count(0)
        await expect(page.locator("#audit")).to_contain_text("olga")
        await expect(page.locator("#token-section")).to_be_visible()  # it has expired
        assert "eyJ" not in page.url
        operator.check(REFUSED)
        await _stop_all(stack)


async def _stop_all(stack: Stack) -> None:
    async with httpx2.AsyncClient(verify=False, trust_env=False, timeout=30.0) as http:
        url = f"{stack.gateways[0].http}/v1/admin/stops"
        everywhere = bearer(token(scope="andon:admin:all"))
        reply = await http.post(url, json={"scope": {"all": True}, "wait": True}, headers=everywhere)
    assert reply.status_code in {200, 202}, reply.text
