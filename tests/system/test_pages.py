"""The pages in a real browser: what a person does with the link of a mail, and what the team sees.

Invariant: nothing is faked between the mail and the page: the link is the mail's own, the wish is
told on the topic, and the next mail goes out or does not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright
from support.gateway_process import KEY
from support.mails import mail_of
from support.parts import Parts
from support.stage import Stage, new_topics, request, stage, structured
from support.stand_ins import StandIns
from support.topics import unique
from support.waiting import until

from gateway.bus.embedded import EmbeddedBroker

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]

PHONE = {"width": 375, "height": 800}
NARROW_PX = 320
NAME = "מרים"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def on(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One gateway for all tests here: each has people and campaigns of its own."""
    topics, folder = new_topics(), tmp_path_factory.mktemp("pages")
    with StandIns() as providers:
        async with (
            EmbeddedBroker(topics.sizes()) as bootstrap,
            stage(bootstrap, topics, folder, providers) as running,
        ):
            yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser(parts: Parts) -> AsyncIterator[Browser]:
    """One browser; each test has a window of its own."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=str(parts.chromium), args=["--no-sandbox"]
        )
        yield running
        await running.close()


async def window(browser: Browser, **more: Any) -> Page:
    """A fresh window."""
    context = await browser.new_context(viewport=PHONE, timezone_id="UTC", **more)
    return await context.new_page()


class Person:
    """Somebody with an e-mail address, in a campaign of their own."""

    def __init__(self, on: Stage) -> None:
        self._on = on
        self.id, self.campaign = unique("person"), unique("campaign")
        self.email = f"{self.id}@mbox7.example"

    async def ask(self, campaign: str = "") -> str:
        """Ask for a mail to them; the request's id."""
        name = unique("r")
        recipient = {"email": self.email, "name": NAME}
        whole = request(
            name, self.id, "email", recipient=recipient, campaign=campaign or self.campaign
        )
        await self._on.publish([structured(whole)])
        return name

    async def link(self) -> str:
        """The preference link of a mail to them."""
        await self.ask()
        call = await self._on.providers.journal.first_to(self.email)
        return mail_of(call).one_click

    async def told(self, kind: str, **wanted: str) -> dict[str, Any]:
        """The first event of a kind about them."""
        found = await self._on.out.see(kind, recipient_id=self.id, **wanted)
        data: dict[str, Any] = found[0]["data"]
        return data

    async def is_stopped(self, campaign: str = "") -> bool:
        """Whether the next request ends as `consent`; it goes out otherwise."""
        name = await self.ask(campaign)
        out = self._on.out
        await until(
            lambda: [
                one
                for kind in ("send.suppressed", "message.sent")
                for one in out.of(kind, request_id=name)
            ],
            within_s=15,
            what="the request has ended",
        )
        ends = out.of("send.suppressed", request_id=name)
        return bool(ends) and ends[0]["data"]["reason"] == "consent"


async def fits(page: Page) -> bool:
    """Whether nothing has to be scrolled to the side."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


# --- preferences ----------------------------------------------------------------------------


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
async def test_c5_looking_stops_nothing_and_one_press_does(
    on: Stage, browser: Browser, *, script: bool
) -> None:
    """The link alone changes nothing; its first button stops e-mail; it can be had back."""
    person = Person(on)
    page = await window(browser, java_script_enabled=script)
    await page.goto(await person.link())
    assert not await person.is_stopped()
    await page.get_by_role("button", name="Stop e-mail offers").click()
    assert await page.get_by_role("heading", level=1).inner_text() == "Done"
    assert await page.get_by_text("You get no offers by e-mail.").is_visible()
    await person.told("recipient.unsubscribed", channel="email")
    assert await person.is_stopped()
    await page.get_by_role("link", name="Change something else").click()
    await page.get_by_role("checkbox", name="E-mail").check()
    await page.get_by_role("button", name="Save my choice").click()
    assert await page.get_by_text("You get offers by e-mail.").is_visible()
    await person.told("recipient.resubscribed", channel="email")
    assert not await person.is_stopped()


async def test_one_campaign_can_be_stopped_alone(on: Stage, browser: Browser) -> None:
    """The box of the series stops the campaign of the mail and no other one, and brings it back."""
    person, other = Person(on), unique("other")
    page = await window(browser)
    link = await person.link()
    await page.goto(link)
    assert person.campaign not in await page.content()
    await page.get_by_role("checkbox", name="This series").uncheck()
    await page.get_by_role("button", name="Save my choice").click()
    assert await page.get_by_text("You get no more of the series").is_visible()
    assert await page.get_by_text("You get offers by e-mail.").is_visible()
    no = await person.told("recipient.unsubscribed", channel="email")
    assert no["detail"] == person.campaign
    assert await person.is_stopped()
    assert not await person.is_stopped(other)
    await page.goto(link)
    await page.get_by_role("checkbox", name="This series").check()
    await page.get_by_role("button", name="Save my choice").click()
    await person.told("recipient.resubscribed", channel="email")
    assert not await person.is_stopped()


async def test_all_says_goodbye_and_one_press_leads_back(on: Stage, browser: Browser) -> None:
    """`all` stops every channel, and the goodbye has a way back."""
    person = Person(on)
    page = await window(browser)
    await page.goto(await person.link())
    await page.get_by_role("button", name="Stop all offers").click()
    assert "Goodbye" in await page.get_by_role("heading", level=1).inner_text()
    for channel in ("email", "sms", "push"):
        await person.told("recipient.unsubscribed", channel=channel)
    assert await person.is_stopped()
    await page.get_by_role("button", name="Send me offers again").click()
    assert await page.get_by_text("You get offers by e-mail.").is_visible()
    assert not await person.is_stopped()


async def test_the_page_works_with_the_keyboard_alone(on: Stage, browser: Browser) -> None:
    """Tab reaches every control in the order of the page, each with a ring; Space and Enter act."""
    person = Person(on)
    page = await window(browser)
    await page.goto(await person.link())
    reached = []
    for _ in range(8):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate(_FOCUSED))
    names = [name for name, _ in reached]
    assert names == ["A", "stop", "keep", "keep", "keep", "keep", "save", "stop"]
    assert all(ring for _, ring in reached)
    await page.get_by_role("checkbox", name="This series").focus()
    await page.keyboard.press("Space")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", level=1, name="Done").wait_for()
    await person.told("recipient.unsubscribed", detail=person.campaign)


_FOCUSED = """() => {
  const one = document.activeElement;
  return [one.name || one.tagName, getComputedStyle(one).outlineStyle === "solid"];
}"""


async def test_every_control_has_a_name_and_nothing_is_cut(on: Stage, browser: Browser) -> None:
    """Each box and button has a name for a screen reader, and the page fits a small phone."""
    page = await window(browser)
    await page.goto(await Person(on).link())
    await page.set_viewport_size({"width": NARROW_PX, "height": 640})
    assert await fits(page)
    for role in ("checkbox", "button"):
        for control in await page.get_by_role(role).all():  # type: ignore[arg-type]
            box = await control.bounding_box()
            assert box is not None
            assert min(box["height"], box["width"]) >= 24
            assert await control.evaluate("one => (one.labels?.[0] ?? one).innerText.trim()")
    assert await page.locator("html").get_attribute("lang") == "en"


# --- the team -------------------------------------------------------------------------------


async def test_the_dashboard_opens_with_the_key_and_leads_to_every_list(
    on: Stage, browser: Browser
) -> None:
    """The key once, then the first screen; each figure opens its list and a send its story."""
    person = Person(on)
    await person.link()
    page = await window(browser)
    wrong: list[str] = []
    page.on("pageerror", lambda fault: wrong.append(str(fault)))
    await page.goto(f"{on.gateway.url}/campaigns/{person.campaign}")
    await page.get_by_label("API key").fill(KEY)
    await page.get_by_role("button", name="Open").click()
    assert await page.get_by_role("heading", level=1).inner_text() == person.campaign
    await page.get_by_role("link", name="Overview").click()
    assert await page.get_by_role("heading", level=1).inner_text() in ("All is well", "Not well")
    card = page.locator("article", has_text=person.campaign)
    assert "1" in await card.get_by_role("link", name="targeted").inner_text()
    assert await fits(page)
    hrefs = await page.evaluate("[...document.querySelectorAll('main a')].map(one => one.href)")
    for href in sorted(set(hrefs)):
        answer = await page.goto(href)
        assert answer is not None
        assert answer.status == 200, href
        assert person.email not in await page.content()
    await page.goto(f"{on.gateway.url}/sends?campaign={person.campaign}&stage=sent")
    await page.get_by_role("link", name=person.id).click()
    story = await page.locator("main").inner_text()
    assert all(word in story for word in ("Taken in", "consent", "Attempt 1: accepted", "sent"))
    assert person.email not in await page.content()
    assert await fits(page)
    assert wrong == []


async def test_the_dashboard_is_whole_without_script(on: Stage, browser: Browser) -> None:
    """Times are UTC, and the browser itself asks again."""
    page = await window(browser, java_script_enabled=False, extra_http_headers=_AUTHORIZED)
    await page.goto(f"{on.gateway.url}/")
    assert "UTC" in await page.locator("time").first.inner_text()
    assert await page.locator("meta[http-equiv=refresh]").count() == 1


async def test_times_are_those_of_the_reader(on: Stage, browser: Browser) -> None:
    """With the script a time is the reader's own, without a word about UTC; figures stay fresh."""
    person = Person(on)
    page = await window(browser, extra_http_headers=_AUTHORIZED, locale="en-GB")
    await page.goto(f"{on.gateway.url}/")
    assert "UTC" not in await page.locator("time").first.inner_text()
    await person.link()
    await page.get_by_role("link", name=person.id).wait_for(timeout=15_000)


_AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
