"""The dashboard in a real browser: both frameworks, a pointer or the keyboard alone, with and without JavaScript.

Screenshots are left in var/screenshots/.
"""

import gzip
import secrets
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Page, Response, async_playwright, expect

from tests.conftest import ROOT

from .callers import calling
from .conftest import Laboratory, Served
from .processes import Tenant
from .provider import Script

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SCREENSHOTS = ROOT / "var" / "screenshots"
PASSWORD = secrets.token_urlsafe(16)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)")


@dataclass
class Visit:
    """A browser window of an operator who has signed in, and all that its console has complained of."""

    page: Page
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("console", lambda message: self._heard(message.type, message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # no sandbox: it needs rights that root in a container has not
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield running
        finally:
            await running.close()


@asynccontextmanager
async def visiting(laboratory: Laboratory, served: Served, **options: Any) -> AsyncIterator[Visit]:
    """An operator at the overview, signed in by the keyboard alone. Fails if the browser had to complain."""
    laboratory.app.done("operators", "add", "olga", "--replace", "--password-stdin", stdin=PASSWORD)
    async with browser() as running:
        context = await running.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(15_000)
        visit = Visit(await context.new_page(), context)
        visit.listen()
        await visit.page.goto(f"{served.serving.url}/dashboard/")
        assert visit.page.url.partition("?")[0].endswith("/dashboard/login")
        keyboard = visit.page.keyboard
        await expect(visit.page.get_by_label("Username", exact=True)).to_be_focused()
        await check_heading(visit.page)
        await keyboard.type("olga")
        await keyboard.press("Tab")
        await keyboard.type(PASSWORD)
        await keyboard.press("Enter")
        await expect(visit.page.get_by_role("heading", name="Tenants")).to_be_visible()
        yield visit
        assert visit.complaints == []


async def check_heading(page: Page) -> None:
    """Check that the eye meets the heading of a form before its fields."""
    top = "each => each.getBoundingClientRect().top"
    assert await page.locator("h1").evaluate(top) < await page.locator("main form").evaluate(top)


async def call(served: Served, tenant: Tenant, times: int = 1) -> None:
    async with calling(served.serving, tenant) as caller:
        for _ in range(times):
            script = Script(name=f"seen-{secrets.token_hex(4)}", chunks=20_000)
            assert (await caller.chat(script)).status == 200


def spent(page: Page) -> Any:
    return page.locator(".figures div").filter(has=page.get_by_text("Spent", exact=True)).locator("dd").first


def test_a_number_changes_before_the_operators_eyes_after_a_paid_call(laboratory: Laboratory) -> None:
    async def watch() -> None:
        served = await laboratory.served_by("uvicorn")
        tenant = laboratory.app.add_tenant("5.00")
        async with visiting(laboratory, served) as visit:
            page = visit.page
            await page.goto(f"{served.serving.url}/dashboard/tenants/{tenant.id}")
            await page.evaluate("window.sameDocument = true")
            before = await spent(page).inner_text()
            await call(served, tenant)
            await expect(spent(page)).not_to_have_text(before)
            await expect(page.get_by_role("cell", name="chat").first).to_be_visible()
            assert await page.evaluate("window.sameDocument"), "the page was reloaded"

    laboratory.run(watch())


def test_a_page_asks_for_news_only_while_its_tab_is_seen(laboratory: Laboratory) -> None:
    async def watch() -> None:
        served = await laboratory.served_by("uvicorn")
        async with visiting(laboratory, served) as visit:
            page, polls = visit.page, Counter[str]()
            await page.clock.install()  # from here on time goes by only when told to
            await page.goto(f"{served.serving.url}/dashboard/")
            page.on("request", lambda request: polls.update(request.headers.keys() & {"hx-request"}))
            async with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
                await page.clock.run_for(2_100)
            await see(page, hidden=True)
            seen = polls.total()
            await page.clock.run_for(60_000)
            assert polls.total() == seen, "it asks behind the operator's back"
            await see(page, hidden=False)
            async with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
                await page.clock.run_for(2_100)

    laboratory.run(watch())


async def see(page: Page, *, hidden: bool) -> None:
    """What the browser says of the tab: a headless one always says that it is seen."""
    say = "hidden => Object.defineProperty(document, 'hidden', {value: hidden, configurable: true})"
    await page.evaluate(say, hidden)


def test_an_operator_funds_a_tenant_and_finds_it_in_the_audit_by_the_keyboard_alone(laboratory: Laboratory) -> None:
    async def fund() -> None:
        served = await laboratory.served_by("uvicorn")
        tenant = laboratory.app.add_tenant("5.00")
        async with visiting(laboratory, served) as visit:
            page = visit.page
            await page.goto(f"{served.serving.url}/dashboard/tenants/{tenant.id}")
            await press_link(page, "Add credit")
            await expect(page.get_by_label("Credit in USD")).to_be_focused()
            await check_heading(page)
            await page.keyboard.type("2.50")
            await page.keyboard.press("Enter")
            await expect(page.get_by_text("of $7.50 allocated")).to_be_visible()
            await expect(page.get_by_role("status")).to_contain_text("Added $2.50 of credit")
            assert laboratory.emulator.ledger(tenant.id)["allocated"] == 750_000_000
            await press_link(page, "Audit")
            row = page.get_by_role("row").filter(has_text=tenant.id).filter(has_text="fund 2.50")
            await expect(row).to_have_count(1)
            await expect(row).to_contain_text("olga")

    laboratory.run(fund())


async def press_link(page: Page, name: str) -> None:
    """Walk to a link by Tab, as far as it takes, and open it by Enter."""
    link = page.get_by_role("link", name=name, exact=True)
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await link.evaluate("each => each === document.activeElement"):
            await page.keyboard.press("Enter")
            return
    pytest.fail(f"the keyboard does not reach {name!r}")


def test_tenants_are_searched_and_sorted(laboratory: Laboratory) -> None:
    async def look() -> None:
        served = await laboratory.served_by("uvicorn")
        rich, poor = laboratory.app.add_tenant("9.00"), laboratory.app.add_tenant("1.00")
        async with visiting(laboratory, served) as visit:
            page = visit.page
            await page.get_by_label("Tenant name or ID").fill(poor.id)
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("rowheader")).to_have_count(1)
            await expect(page.get_by_role("rowheader")).to_contain_text(poor.id)
            for tenant in (rich, poor):  # so that the figures of both are known
                await page.goto(f"{served.serving.url}/dashboard/tenants/{tenant.id}")
            await page.goto(f"{served.serving.url}/dashboard/")
            await page.get_by_role("link", name="Remaining").click()
            await expect(page.locator("th[aria-sort]")).to_contain_text("Remaining")
            listed = await page.get_by_role("rowheader").all_inner_texts()
            order = [next(place for place, text in enumerate(listed) if each.id in text) for each in (poor, rich)]
            assert order == sorted(order)

    laboratory.run(look())


def test_every_page_says_the_same_without_javascript(laboratory: Laboratory) -> None:
    async def look() -> None:
        served = await laboratory.served_by("uvicorn")
        tenant = laboratory.app.add_tenant("5.00")
        await call(served, tenant)
        async with visiting(laboratory, served, java_script_enabled=False) as visit:
            page = visit.page
            await page.goto(f"{served.serving.url}/dashboard/tenants/{tenant.id}")
            await expect(page.get_by_text("of $5.00 allocated")).to_be_visible()
            await expect(page.get_by_role("cell", name="chat").first).to_be_visible()
            for place in (-1, -2):  # the bars of spend over time tell their values to the keyboard too
                await (page.locator(".bars :checked").focus() if place == -1 else page.keyboard.press("ArrowLeft"))
                await expect(page.locator(".tip").nth(place)).to_be_visible()
                await expect(page.locator(".tip:visible")).to_have_count(1)
            await page.get_by_role("link", name="Suspend").click()
            await page.get_by_role("button", name="Suspend").click()
            await expect(page.get_by_text("Suspended").first).to_be_visible()

    laboratory.run(look())


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_axe_finds_no_serious_fault_and_the_pages_are_pictured(laboratory: Laboratory, scheme: str) -> None:
    async def look() -> None:
        served = await laboratory.served_by("uvicorn")
        tenant = laboratory.app.add_tenant("5.00")
        await call(served, tenant, times=5)
        async with visiting(laboratory, served, color_scheme=scheme) as visit:
            page = visit.page
            places = {"overview": "", "tenant": f"tenants/{tenant.id}", "fund": f"tenants/{tenant.id}/fund"}
            for name, path in {**places, "audit": "audit", "calls": "calls"}.items():
                await page.goto(f"{served.serving.url}/dashboard/{path}")
                await judge_and_picture(page, f"{laboratory.project.framework}-{name}-{scheme}")
            await page.get_by_role("button", name="Sign out").click()
            await expect(page.get_by_label("Password")).to_be_visible()
            await judge_and_picture(page, f"{laboratory.project.framework}-login-{scheme}")

    laboratory.run(look())


async def judge_and_picture(page: Page, name: str) -> None:
    """Picture a page in four sizes. Fail if it scrolls sideways, or axe finds a fault on a phone or a desktop."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for width in (1920, 768, 390, 1280):
        await page.set_viewport_size({"width": width, "height": 900})
        # hiding the caret would leave inline styles, which the next poll copies and the policy refuses
        await page.screenshot(path=SCREENSHOTS / f"{name}-{width}.png", full_page=True, caret="initial")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
        if width in (390, 1280):
            await judge(page, f"{name}-{width}")


async def judge(page: Page, name: str) -> None:
    found = (await Axe().run(page)).response["violations"]
    serious = [
        f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in ("serious", "critical")
    ]
    assert serious == [], name
    unseen = "[...document.querySelectorAll('.hidden')].filter(each => each.getBoundingClientRect().height > 1).length"
    assert await page.evaluate(unseen) == 0, f"{name}: what only screen readers tell takes room"


def test_nothing_comes_from_elsewhere_and_the_first_paint_is_at_most_50_kilobytes(
    laboratory: Laboratory, figure: Callable[[str], None]
) -> None:
    async def load() -> str:
        served = await laboratory.served_by("uvicorn")
        async with visiting(laboratory, served) as visit:
            answers: list[Response] = []
            page = await visit.context.new_page()
            page.on("response", partial(list.append, answers))  # it takes no bound method of a built-in
            await page.goto(f"{served.serving.url}/dashboard/")
            first = list(answers)
            assert all(answer.url.startswith(served.serving.url) for answer in first)
            size = sum([len(gzip.compress(await answer.body())) for answer in first])
            assert size <= 50 * 1024
            for cookie in await visit.context.cookies():
                assert cookie["httpOnly"] or "csrf" in cookie["name"], cookie
                assert cookie["secure"], cookie
                assert cookie["sameSite"] in ("Lax", "Strict"), cookie
            return f"first paint of the overview: {size / 1024:.1f} KB gzipped in {len(first)} answers"

    figure(laboratory.run(load()))


def test_the_documentation_lets_a_caller_authorize_and_try_a_route(laboratory: Laboratory) -> None:
    async def look() -> None:
        tenant = laboratory.app.add_tenant("5.00")
        async with laboratory.app.serving(APP_ENV="development", LLM_PROVIDER="demo") as serving, browser() as running:
            visit = Visit(await running.new_page(), running.contexts[0])
            visit.listen()
            page, asked = visit.page, list[str]()
            page.on("request", lambda request: asked.append(request.url))
            await page.goto(f"{serving.url}/docs")
            await page.locator("button.authorize").click()
            await page.locator(".auth-container input").fill(tenant.headers["Authorization"].removeprefix("Bearer "))
            await page.locator(".auth-container button.authorize").click()
            await page.locator(".auth-container .btn-done").click()
            await page.locator("#operations-paid-chat .opblock-summary-control").click()
            await page.get_by_role("button", name="Try it out").click()
            async with page.expect_response(f"{serving.url}/api/chat") as answered:
                await page.get_by_role("button", name="Execute", exact=True).click()
            assert (await answered.value).status == 200
            assert all(url.startswith((serving.url, "data:")) for url in asked), asked
            assert visit.complaints == []

    laboratory.run(look())
