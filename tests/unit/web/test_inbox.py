"""The demo's inbox: what it shows, what it lets nobody do, and the stream beside it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest
from unit.web.fake_overview import LEAF, results_of
from unit.web.fakes import NOW, OPTIONS, Site

from channels.contract import (
    Content,
    Destination,
    EmailContent,
    Kind,
    PushContent,
    PushTarget,
    SmsContent,
)
from gateway.clock import Clock, SystemClock
from gateway.web import inbox_page
from gateway.web.inbox import Inbox
from gateway.web.inbox_page import View
from gateway.web.pages import load_pages
from gateway.web.server import Server, build

EVIL = "<script>alert(1)</script>\" onload='x' & <b>"
UNSUBSCRIBE = "https://go.example/t/u/token"
MAIL = EmailContent(
    "Hello & welcome",
    "<!doctype html><html><head><title>x</title></head><body><a href='https://a.example'>a</a>"
    "</body></html>",
    "plain https://a.example/?b=1&c=2 text",
    headers={"List-Unsubscribe": f"<{UNSUBSCRIBE}>"},
)
EMPTY_TAGS = {"meta", "link", "input", "path"}


@dataclass(frozen=True)
class Caught:
    content: Content
    kind: Kind = Kind.EMAIL
    to: Destination = "a@example.org"
    to_name: str = "Zoë"
    send_id: str = "s1"
    delivery_id: str = "s1-0"
    campaign: str = "spring"
    fate: str = "delivered"
    captured_at: Any = NOW


@dataclass(frozen=True)
class Fact:
    type: str
    number: int = 1
    at: Any = NOW
    recipient_id: str = "cust-1"
    send_id: str = "s1"
    delivery_id: str = "s1-0"
    channel: str = "email"
    actor: str = ""
    detail: str = ""


@dataclass
class Facts:
    """A stream that is told by hand."""

    told: list[Fact] = field(default_factory=list)
    closed: bool = False
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def recent(self, after: int = 0) -> Sequence[Fact]:
        return [fact for fact in self.told if fact.number > after]

    async def wait(self, after: int) -> None:
        while not self.closed and not self.recent(after):
            await self.more.wait()
            self.more.clear()

    def tell(self, fact: Fact) -> None:
        self.told.append(fact)
        self.more.set()

    def close(self) -> None:
        self.closed = True
        self.more.set()


class Outline(HTMLParser):
    """Checks that tags close in order, and gathers what stands in the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]


async def results() -> dict[str, Any]:
    """What the campaign brought."""
    return results_of("spring")


@asynccontextmanager
async def inbox(
    facts: Facts, *caught: Caught, clock: Clock | None = None, **options: Any
) -> AsyncIterator[Site]:
    """The inbox on a real server, over what was caught and told."""
    site, told = Site(), replace(OPTIONS, **options)
    app = build(site.ports(), told)
    app.add_routes(
        Inbox(
            captured=lambda: caught,
            stream=facts,
            names={"cust-1": "Zoë"},
            results=results,
            pages=load_pages(told),
            options=told,
            clock=clock or site.clock,
        ).routes()
    )
    async with (
        Server(app, host="127.0.0.1", port=0) as site.server,
        aiohttp.ClientSession() as site.client,
    ):
        yield site


def page(
    *caught: Caught, told: Sequence[Fact] = (), campaign: str = "spring", **chosen: str
) -> str:
    found = results_of(campaign)
    return inbox_page.page(View(caught, told, {"cust-1": "Zoë"}, found, **chosen))


SMS = Caught(
    SmsContent("Hi https://go.example/t/s/abc\nSTOP", 1, "GSM-7"),
    kind=Kind.SMS,
    to="+447700900100",
    send_id="s2",
    delivery_id="s2-0",
)
PUSH = Caught(
    PushContent("Come back", "We saved your seat", "https://go.example/t/c/x"),
    kind=Kind.PUSH,
    to=PushTarget("fcm", "secret-device-token"),
    send_id="s3",
    delivery_id="s3-0",
)
TOLD = [
    Fact("message.sent", 1),
    Fact("message.sent", 2, send_id="s2", delivery_id="s2-0", channel="sms"),
    Fact("message.sent", 3, send_id="s3", delivery_id="s3-0", channel="push"),
    Fact("message.clicked", 4, actor="human", detail="https://shop.example"),
]


def test_one_person_s_messages_stand_side_by_side() -> None:
    """E-mail in a frame without scripts, SMS as a bubble, push as a banner, each with its story."""
    text = page(Caught(MAIL), SMS, PUSH, told=TOLD)
    found = Outline(text)
    assert [one["class"] for one in found.all("article")] == ["email", "sms", "push"]
    (frame,) = found.all("iframe")
    assert frame["src"] == "/inbox/mails/s1-0"
    assert frame["sandbox"] == "allow-popups allow-popups-to-escape-sandbox"
    hrefs = [one.get("href") for one in found.all("a")]
    assert "https://go.example/t/s/abc" in hrefs
    assert "https://go.example/t/c/x" in hrefs
    assert "https://a.example/?b=1&c=2" in hrefs
    assert found.all("form")[0]["action"] == UNSUBSCRIBE
    trail = re.search(r'data-live="trail-s1-0"[^>]*>(.*?)</ul>', text)
    assert trail is not None
    assert re.findall(r">(\w+)<", trail[1]) == ["sent", "clicked"]


def test_no_device_token_is_shown() -> None:
    """A token is of no use to whoever looks, so it is not there."""
    assert "secret-device-token" not in page(PUSH, told=TOLD)


def test_a_channel_filters_people_and_their_messages() -> None:
    """With a channel chosen, nothing of another one is listed."""
    found = Outline(page(Caught(MAIL), SMS, told=TOLD, channel="sms"))
    assert [one["class"] for one in found.all("article")] == ["sms"]


def test_a_person_is_chosen_by_id_and_before_the_first_fact_by_send() -> None:
    """A message that waits has no fact yet, and its person can be looked at all the same."""
    waiting = Caught(MAIL, to_name="Ada", send_id="s9", delivery_id="s9-0", fate="deferred")
    assert "<h1><bdi>Zoë</bdi>" in page(waiting, SMS, told=TOLD, person="cust-1")
    text = page(waiting, SMS, told=TOLD, person="s9")
    assert "<h1><bdi>Ada</bdi>" in text
    assert "deferred: not taken, tried again by itself" in text


def test_a_mail_that_has_not_arrived_cannot_be_opened() -> None:
    """Its pixel and its links would tell of a person who never got it."""
    found = Outline(page(Caught(MAIL, fate="bounced"), told=TOLD))
    assert len(found.all("article")) == 1
    assert not found.all("iframe")
    assert not found.all("form")
    assert "https://a.example/?b=1&c=2" not in [one.get("href") for one in found.all("a")]


@pytest.mark.parametrize(
    ("subject", "way"),
    [("Hello", "ltr"), ("נועה, we would like you back", "ltr"), ("مرحبا Zoë من جديد", "rtl")],
)
def test_a_text_runs_the_way_of_most_of_its_letters(subject: str, way: str) -> None:
    """A name written from right to left does not turn an English sentence around."""
    text = page(Caught(replace(MAIL, subject=subject)), told=TOLD)
    assert f'<h3 dir="{way}">' in text


def test_of_one_delivery_only_the_newest_message_is_shown() -> None:
    """A second attempt is not a second message."""
    older = Caught(MAIL, captured_at=NOW - timedelta(seconds=20), fate="deferred")
    assert len(Outline(page(Caught(MAIL), older, told=TOLD)).all("article")) == 1


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({}, "Send it an event with the command"),
        ({"channel": "sms"}, "No SMS for"),
        ({"person": "cust-1"}, "No message for <bdi>Zoë</bdi>"),
        ({"person": EVIL}, "Show all messages"),
    ],
)
def test_an_empty_page_says_what_to_do_next(chosen: dict[str, str], said: str) -> None:
    """Nothing to show is no blank page."""
    text = page(**chosen)
    Outline(text)
    assert said in text


def test_nothing_from_outside_becomes_markup() -> None:
    """Names, texts, subjects and details arrive as text, whatever they hold."""
    mail = replace(MAIL, subject=EVIL, text=EVIL, headers={"List-Unsubscribe": f"<{EVIL}>"})
    text = page(
        Caught(mail, to_name=EVIL, to=EVIL, fate=EVIL, delivery_id=EVIL, send_id=EVIL),
        replace(SMS, content=SmsContent(EVIL, 1, EVIL), to_name=EVIL, send_id=EVIL),
        replace(PUSH, content=PushContent(EVIL, EVIL, "javascript:alert(1)"), send_id=EVIL),
        told=[Fact("message.sent", send_id=EVIL, recipient_id=EVIL, detail=EVIL, actor=EVIL)],
        campaign=EVIL,
    )
    found = Outline(text)
    assert not found.all("script")
    assert not found.all("b") or all("onload" not in one for one in found.all("b"))
    assert all("onload" not in attributes for _, attributes in found.seen)
    assert not [a for a in found.all("a") if str(a.get("href")).startswith("javascript")]
    assert len(found.all("article")) == 3


def test_the_results_stand_beside_the_stream() -> None:
    """The funnel and the hold-out, in a part of its own that the stream refreshes."""
    text = page(told=TOLD)
    found = Outline(text)
    assert [one["data-live"] for one in found.all("section")] == ["results"]
    assert "<b>1\u202f200</b><span>targeted</span>" in text
    assert "returned, held out" in text
    assert "<b>+2.0 points</b>" in text
    hrefs = [one.get("href") for one in found.all("a")]
    assert "/campaigns/spring" in hrefs
    assert "/" in hrefs


def test_before_anybody_is_in_the_campaign_no_rate_is_shown() -> None:
    """No share of nobody."""
    nobody = {**LEAF, **dict.fromkeys(("targeted", "sent", "returned"), 0)}
    found = results_of("spring") | {"total": {**nobody, "lift": None}, "holdout": nobody}
    text = inbox_page.page(View((), (), {}, found))
    Outline(text)
    assert "Nobody is in the campaign yet" in text
    assert "%" not in text


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("message.delivered", "delivered"),
        ("dead_letter", "dead letter"),
        ("send.armed", "armed"),
        ("coupon.issued", "coupon issued"),
        ("conversion.attributed", "returned"),
    ],
)
def test_a_fact_has_a_word_that_says_what_it_is_about(kind: str, said: str) -> None:
    """Also where the type's last word alone would not."""
    assert inbox_page.word_of(Fact(kind)) == said


def test_a_row_of_the_stream_is_one_line() -> None:
    """A line break would end the server-sent event in its middle."""
    line = inbox_page.row(Fact("message.failed", detail="one\ntwo\r\nthree"), {})
    assert "one two three" in line
    assert "\n" not in line


async def test_the_page_allows_itself_and_nothing_else() -> None:
    """No source of style or script but the page's own, no frame but ours, no framing of us."""
    async with inbox(Facts(), Caught(MAIL)) as site:
        answer = await site.ask("GET", "/inbox?channel=nonsense")
    policy = answer.headers["Content-Security-Policy"]
    assert answer.status == 200
    for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert "form-action 'self' https://go.example;" in policy
    assert len(re.findall(r"(?:style|script)-src 'sha256-", policy)) == 2
    assert " style=" not in answer.text


async def test_a_mail_is_a_document_without_scripts_of_its_own() -> None:
    """The frame's content opens links beside the inbox and can be framed by nobody else."""
    async with inbox(Facts(), Caught(MAIL), SMS) as site:
        answer = await site.ask("GET", "/inbox/mails/s1-0")
        others = [await site.ask("GET", f"/inbox/mails/{one}") for one in ("s2-0", "x")]
    policy = answer.headers["Content-Security-Policy"]
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert "allow-scripts" not in policy
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert '<head><base target="_blank">' in answer.text
    assert [one.status for one in others] == [404, 404]


@asynccontextmanager
async def following(site: Site, query: str = "", **headers: str) -> AsyncIterator[Any]:
    """The live stream, to be read while it goes on."""
    url = f"http://127.0.0.1:{site.server.port}/inbox/stream{query}"
    async with site.client.get(url, headers=headers) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield answer.content


async def numbers(content: aiohttp.StreamReader, count: int) -> list[int]:
    """The numbers of the next facts; fewer where the stream ends before."""
    found: list[int] = []
    while len(found) < count and (line := await content.readline()):
        if line.startswith(b"id: "):
            found.append(int(line[4:]))
    return found


async def test_the_stream_goes_on_after_the_last_number_and_ends_when_closed() -> None:
    """Somebody who comes late misses nothing and gets nothing twice."""
    facts = Facts([Fact("message.sent", 1), Fact("message.delivered", 2)])
    async with inbox(facts) as site, following(site, "?after=1") as content:
        assert await numbers(content, 1) == [2]
        facts.tell(Fact("message.clicked", 3))
        assert await numbers(content, 1) == [3]
        facts.close()
        assert await numbers(content, 1) == []


@pytest.mark.parametrize(("last", "first"), [("1", 2), ("900", 1), ("-1", 1), ("x" * 200, 1)])
async def test_a_browser_that_comes_back_goes_on_where_it_was(last: str, first: int) -> None:
    """A number that is not ours, as after a restart, starts anew."""
    facts = Facts([Fact("message.sent", 1), Fact("message.delivered", 2)])
    async with inbox(facts) as site, following(site, **{"Last-Event-ID": last}) as content:
        assert await numbers(content, 1) == [first]
        facts.close()


async def test_the_stream_ends_whole_before_the_guard_would_cut_it() -> None:
    """The browser asks again by itself; a cut answer would show as an error."""
    async with inbox(Facts(), clock=SystemClock(), answer_timeout_s=1.0) as site:
        answer = await site.ask("GET", "/inbox/stream")
    assert answer.text == "retry: 250\n\n"


async def test_a_head_request_does_not_wait_for_facts() -> None:
    """HEAD on an answer that goes on would go on too."""
    async with inbox(Facts()) as site:
        assert (await site.ask("HEAD", "/inbox/stream")).status == 405


async def test_the_shop_is_where_the_demo_s_links_lead() -> None:
    """A click ends on a page that says where to look."""
    async with inbox(Facts()) as site:
        answer = await site.ask("GET", "/shop")
    assert answer.status == 200
    assert 'href="/inbox"' in answer.text


async def test_an_answer_to_feedback_is_thanked_for() -> None:
    """The links of `feedback` lead to a page beside the shop, whatever the answer."""
    async with inbox(Facts()) as site:
        answer = await site.ask("GET", "/shop/feedback?answer=price")
    assert answer.status == 200
    assert "Thank you" in answer.text
