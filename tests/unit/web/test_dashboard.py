"""The team's pages over real HTTP on loopback, over fakes of the ports."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from unit.web.fake_overview import FakeOverview, listed, results_of
from unit.web.fakes import KEY, NOW, FakeHealth, FakeRecords, Site, serving
from unit.web.test_pages import Outline

from gateway.core.listing import Page, Wanted
from gateway.web import figures, results_page
from gateway.web.ports import Report

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PATHS = ["/", "/sends", "/sends/s1", "/campaigns/spring", "/dead-letters", "/outbox"]
STORY: dict[str, Any] = {
    "send_id": "s1",
    "request": {"source": "/crm", "id": "<r1>"},
    "recipient_id": "مريم<i>",
    "campaign": "<spring>",
    "template": "hello",
    "template_version": "v1",
    "purpose": "promotional",
    "accepted_at": NOW,
    "not_before": None,
    "expires_at": None,
    "routes": [{"channel": "email", "locale": "en"}],
    "state": "queued",
    "gates": [{"gate": "consent", "answer": "passed", "detail": "<email>"}],
    "deliveries": [
        {
            "channel": "email",
            "due_at": NOW,
            "in_doubt_until": None,
            "attempts": [
                {
                    "claim": 1,
                    "started_at": NOW,
                    "ended_at": NOW,
                    "provider": "sandbox",
                    "outcome": "deferred",
                    "reason": "<busy>",
                }
            ],
        }
    ],
    "events": [
        {
            "type": f"winback.message.{kind}.v1",
            "data": {"occurred_at": f"2026-03-04T10:0{minute}:00Z", "url": "https://x/?a=<i>"},
        }
        for kind, minute in (("sent", 5), ("delivered", 4))
    ],
    "is_test": False,
}


class Stories(FakeRecords):
    """Knows `s1`."""

    async def story(self, send_id: str) -> dict[str, Any] | None:
        return STORY if send_id == "s1" else None


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A server over fresh fakes, with one whole story."""
    async with serving(records=Stories()) as site:
        yield site


@pytest.mark.parametrize("path", PATHS)
async def test_no_page_says_anything_without_a_key(site: Site, path: str) -> None:
    """Only the form, which leads back to the page that was wanted."""
    answer = await site.ask("GET", path)
    assert answer.status == 401
    assert "spring" not in answer.text.replace(path, "")
    assert f'name="next" value="{path}"' in answer.text
    entered = await site.ask("POST", "/", data={"key": KEY, "next": path})
    assert (entered.status, entered.headers["Location"]) == (303, path)
    assert site.overview.asked == []


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/sends\r\nX: y", "/sendsx", ""],
)
async def test_the_form_leads_nowhere_else(site: Site, elsewhere: str) -> None:
    """What is no page of ours is the first screen."""
    entered = await site.ask("POST", "/", data={"key": KEY, "next": elsewhere})
    assert (entered.status, entered.headers["Location"]) == (303, "/")


@pytest.mark.parametrize("path", [*PATHS, "/sends?campaign=%3Ci%3E", "/sends/unknown"])
async def test_pages_are_whole_escaped_and_load_nothing(site: Site, path: str) -> None:
    """Tags close in order, there is one script, the policy names it, and it is the packaged one."""
    answer = await site.api("GET", path)
    assert answer.status == (404 if "unknown" in path else 200)
    outline = Outline(answer.text)
    assert len(outline.all("h1")) == 1
    assert outline.all("script") == [{}]
    assert not any("style" in attributes for _, attributes in outline.seen)
    for raw in ("<spring>", "<i>", "<busy>", "<r1>", "<email>"):
        assert raw not in re.sub(r"<script>.*?</script>", "", answer.text, flags=re.DOTALL)
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'sha256-" in policy


@pytest.mark.parametrize("path", ["/", "/sends", "/dead-letters", "/outbox"])
async def test_an_empty_page_says_what_to_do(path: str) -> None:
    """No row, but a word of what comes here."""
    async with serving(overview=FakeOverview(empty=True, page=Page(()))) as site:
        answer = await site.api("GET", path)
    assert 'class="empty"' in answer.text
    Outline(answer.text)


@pytest.mark.parametrize("path", PATHS)
async def test_without_the_store_a_page_says_so(site: Site, path: str) -> None:
    """The first screen still answers; the others are 503."""
    site.overview.down = True
    answer = await site.api("GET", path)
    if path == "/sends/s1":
        assert answer.status == 200  # the story is another port's
        return
    assert answer.status == (200 if path == "/" else 503)
    assert "the store does not answer" in answer.text.lower()


@pytest.mark.parametrize(
    ("health", "seen", "says"),
    [
        (FakeHealth(), {}, "All is well"),
        (FakeHealth(ok=False), {}, "not ready"),
        (FakeHealth(), {"oldest_due_s": 900.0}, "late by 15\u202fmin"),
        (FakeHealth(), {"outbox": 20_000}, "is Kafka away?"),
    ],
)
async def test_the_headline_says_what_is_wrong(
    health: FakeHealth, seen: dict[str, Any], says: str
) -> None:
    """All is well unless something is not, and then it is named."""

    class Seen(FakeOverview):
        async def overview(self) -> dict[str, Any]:
            return {**await super().overview(), **seen}

    async with serving(health=health, overview=Seen()) as site:
        assert says in (await site.api("GET", "/")).text


async def test_an_open_breaker_is_named() -> None:
    """The lane, and what it means."""

    class Health(FakeHealth):
        def ready(self) -> Report:
            return Report(ok=True, details={"lanes": {"sms": {"breaker": "open"}}})

    async with serving(health=Health()) as site:
        text = (await site.api("GET", "/")).text
    assert "Not well" in text
    assert "SMS: the provider refuses our key" in text


async def test_each_figure_of_the_first_screen_opens_its_list(site: Site) -> None:
    """Every link of the page is a page."""
    text = (await site.api("GET", "/")).text
    links = {link["href"] or "" for link in Outline(text).all("a")}
    assert len(links) > 20
    for link in links:
        assert (await site.api("GET", link)).status == 200, link


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", Wanted()),
        ("recipient=ada&before=9", Wanted(recipient_id="ada", before=9)),
        ("campaign=a&stage=sent", Wanted(campaign="a", stage="sent", is_holdout=False)),
        ("campaign=a&people=held_out", Wanted(campaign="a", is_holdout=True)),
        ("campaign=a", Wanted(campaign="a")),
        ("state=queued&channel=sms", Wanted(state="queued", channel="sms")),
        ("channel=fax&before=-1&stage=drop", Wanted(is_holdout=False)),
    ],
)
async def test_a_list_is_asked_for_as_its_address_says(
    site: Site, query: str, wanted: Wanted
) -> None:
    """Nonsense is left out."""
    answer = await site.api("GET", f"/sends?{query}")
    assert answer.status == 200
    assert site.overview.asked == [wanted]


async def test_a_list_goes_on_where_it_ended(site: Site) -> None:
    """The link keeps what was asked for; on the last page there is none."""
    text = (await site.api("GET", "/sends?campaign=a%26b")).text
    assert 'href="/sends?campaign=a%26b&amp;before=7"' in text
    site.overview.page = Page((listed(is_test=True, is_holdout=True),))
    text = (await site.api("GET", "/sends")).text
    assert "Older sends" not in text
    assert "<small>test</small>" in text


async def test_a_story_is_told_in_order(site: Site) -> None:
    """Gates, attempts, events; facts keep their order though a receipt's clock is behind."""
    text = (await site.api("GET", "/sends/s1")).text
    marks = ["Taken in", "Attempt 1: deferred", "message sent", "message delivered", "Next"]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)


def test_results_say_who_would_have_come_anyway() -> None:
    """The hold-out stands beside the others, and a lift that may be chance is called so."""
    text = results_page.results(results_of("a"))
    assert "+2.0 points" in text
    assert "it may be chance" in text
    alone = results_of("a")
    alone["holdout"]["targeted"] = 0
    assert "No hold-out" in results_page.results(alone)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0\u202fs"), (59, "59\u202fs"), (600, "10\u202fmin"), (7200, "2\u202fh")],
)
def test_an_age_is_said_in_its_largest_unit(seconds: float, said: str) -> None:
    """Seconds, minutes, hours."""
    assert figures.age(seconds) == said


def test_a_bar_stays_within_its_frame() -> None:
    """Shares over one or under zero draw no more and no less than the whole."""
    assert 'width="100.00"' in figures.bar([(3.0, "first")])
    assert 'width="0.00"' in figures.bar([(-1.0, "first")])
