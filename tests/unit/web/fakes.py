"""The ports of the web as small classes that remember, and a real server over them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
from unit.web.fake_overview import FakeOverview
from yarl import URL

from channels.contract import BadReceiptError, BadSignatureError, Reading, WebhookRequest
from gateway.clock import ManualClock
from gateway.errors import StoreUnavailable, TokenError
from gateway.flows.contract import Topic
from gateway.store.contract import Redemption, Switch
from gateway.web.options import WebOptions
from gateway.web.ports import Ports, Report, Seen, ShortLink, Standing, Taken
from gateway.web.server import Server, build

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
KEY = "key-of-tests"
DELIVERY = "abcdefghijklmnopqrstuvwxyy-0"
DESTINATION = "https://shop.example/back?a=1&b=%20%C3%A6#top"
OPTIONS = WebOptions(
    public_url="https://go.example",
    brand_name="Kaffe & Co",
    brand_site="https://shop.example",
    api_keys=("first-key", KEY),
)


class Counter:
    """A desk that knows one pool, one fence and one person."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []

    def _took(self, what: str, name: str, body: bytes = b"") -> None:
        self.asked.append((what, name, body))

    async def redeem(self, code: str, body: bytes) -> Redemption:
        """Redeems `GOOD`; other codes say what they are."""
        self._took("redeem", code, body)
        return Redemption({"GOOD": "now"}.get(code, code.lower()), "d-0", code)

    async def fill_pool(self, pool: str, body: bytes) -> dict[str, int]:
        """Counts one free code."""
        self._took("fill_pool", pool, body)
        return {"free": 1}

    async def pool(self, pool: str) -> dict[str, int]:
        """Knows `spring`."""
        return {"free": 1} if pool == "spring" else {}

    async def put_fence(self, fence_id: str, body: bytes) -> dict[str, Any]:
        """Keeps any."""
        self._took("put_fence", fence_id, body)
        return {"type": "Feature", "id": fence_id}

    def fences(self) -> list[dict[str, Any]]:
        """Has none."""
        return []

    async def drop_fence(self, fence_id: str) -> bool:
        """Knows `shop`."""
        return fence_id == "shop"

    async def switch(self, scope: str, body: bytes) -> list[Switch]:
        """Stops any scope."""
        self._took("switch", scope, body)
        return [Switch(scope, is_stopped=True, reason="test", at=datetime.now(UTC))]

    async def watch_switches(self) -> list[Switch]:
        """Has none."""
        return []

    async def person(self, recipient_id: str) -> dict[str, Any] | None:
        """Knows `ada`."""
        return {"recipient_id": "ada"} if recipient_id == "ada" else None

    async def erase(self, recipient_id: str) -> None:
        """Forgets any."""
        self._took("erase", recipient_id)

    async def results(self, campaign: str) -> dict[str, Any]:
        """Has nothing but the name."""
        return {"campaign": campaign}


@dataclass
class Link:
    delivery_id: str = DELIVERY
    link: int = 3
    url: str = DESTINATION


@dataclass
class FakeTokens:
    """Knows the token `good` and no other."""

    link: Link = field(default_factory=Link)
    asked: list[str] = field(default_factory=list)

    def read(self, purpose: str, token: str) -> Link:
        self.asked.append(purpose)
        if token != "good":
            raise TokenError
        return self.link


@dataclass
class FakeEngage:
    """Remembers in order; `down` means the store does not answer."""

    down: bool = False
    down_after_refuse: bool = False
    known: bool = True
    opens: list[Seen] = field(default_factory=list)
    clicks: list[tuple[Seen, int, str]] = field(default_factory=list)
    kept: list[tuple[Any, ...]] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    state: Standing = field(
        default_factory=lambda: Standing("da-DK", "email", email=True, sms=True, push=False)
    )

    def opened(self, seen: Seen) -> None:
        self.opens.append(seen)

    def clicked(self, seen: Seen, *, link: int, url: str) -> None:
        self.clicks.append((seen, link, url))

    async def short_link(self, code: str) -> ShortLink | None:
        self._answer()
        return ShortLink(DELIVERY, 1, DESTINATION) if code == "x7" else None

    async def standing(self, delivery_id: str) -> Standing | None:
        assert delivery_id == DELIVERY
        self._answer()
        return self.state if self.known else None

    async def refuse(
        self, delivery_id: str, *, channels: tuple[str, ...], how: str, topic: str | None = None
    ) -> bool:
        said = (
            (delivery_id, channels, how) if topic is None else (delivery_id, channels, how, topic)
        )
        return self._change("refuse", said, to=False, topic=topic)

    async def allow(
        self, delivery_id: str, *, channels: tuple[str, ...], topic: str | None = None
    ) -> bool:
        said = (delivery_id, channels) if topic is None else (delivery_id, channels, topic)
        return self._change("allow", said, to=True, topic=topic)

    async def receive(self, reading: Reading) -> None:
        self._answer()
        self.readings.append(reading)

    def _change(self, verb: str, said: tuple[Any, ...], *, to: bool, topic: str | None) -> bool:
        self._answer()
        if not self.known:
            return False
        self.kept.append((verb, *said))
        if topic is not None:
            topics = tuple(Topic(one.name, is_on=to) for one in self.state.topics)
            self.state = replace(self.state, topics=topics)
        else:
            channels = ("email", "sms", "push") if "all" in said[1] else said[1]
            self.state = replace(self.state, **dict.fromkeys(channels, to))
        self.down = self.down_after_refuse
        return True

    def _answer(self) -> None:
        if self.down:
            raise StoreUnavailable


@dataclass
class FakeIntake:
    """Takes everything, or raises what it is told to."""

    fault: Exception | None = None
    taken: list[tuple[bytes, frozenset[str]]] = field(default_factory=list)

    async def take(self, body: bytes, *, types: frozenset[str]) -> list[Taken]:
        if self.fault is not None:
            raise self.fault
        self.taken.append((body, types))
        return [Taken("/crm", "r1", "s1", "accepted"), Taken("/crm", "r2", "s2", "duplicate")]


@dataclass
class FakeRecords:
    """Stories and consent."""

    fault: Exception | None = None
    changes: list[tuple[str, bytes]] = field(default_factory=list)

    async def story(self, send_id: str) -> dict[str, Any] | None:
        if self.fault is not None:
            raise self.fault
        return {"send_id": send_id, "gates": ["æ"]} if send_id == "s1" else None

    async def change(self, recipient_id: str, body: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        self.changes.append((recipient_id, body))


@dataclass
class FakeHealth:
    ok: bool = True

    def live(self) -> Report:
        return Report(self.ok, {"loop_lag_s": 0.001})

    def ready(self) -> Report:
        return Report(self.ok, {"store": "<answers>"})

    def started(self) -> Report:
        return Report(self.ok)

    def metrics(self) -> bytes:
        return b"# TYPE winback_up gauge\nwinback_up 1\n"


@dataclass
class FakeReader:
    """A webhook reader for which the header `x-signature: right` is a signature."""

    calls: list[WebhookRequest] = field(default_factory=list)

    def read(self, request: WebhookRequest) -> Reading:
        self.calls.append(request)
        if request.headers.get("x-signature") != "right":
            raise BadSignatureError("wrong: SECRET DETAIL")
        if request.body == b"{":
            raise BadReceiptError("SECRET DETAIL")
        return Reading(unread=len(request.body))


@dataclass
class Site:
    """A server, a client, and the fakes behind it."""

    engage: FakeEngage = field(default_factory=FakeEngage)
    intake: FakeIntake = field(default_factory=FakeIntake)
    records: FakeRecords = field(default_factory=FakeRecords)
    health: FakeHealth = field(default_factory=FakeHealth)
    overview: FakeOverview = field(default_factory=FakeOverview)
    tokens: FakeTokens = field(default_factory=FakeTokens)
    reader: FakeReader = field(default_factory=FakeReader)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    server: Server = field(init=False)
    client: aiohttp.ClientSession = field(init=False)

    def ports(self) -> Ports:
        return Ports(
            engage=self.engage,
            intake=self.intake,
            stories=self.records,
            consent=self.records,
            desk=Counter(),
            overview=self.overview,
            health=self.health,
            tokens=self.tokens,
            clock=self.clock,
            webhooks={"sendgrid": self.reader, "twilio/inbound": self.reader},
        )

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        """One request, its path as written, never redirected; the answer with its body read."""
        url = URL(f"http://127.0.0.1:{self.server.port}{path}", encoded=True)
        async with self.client.request(method, url, allow_redirects=False, **more) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def api(self, method: str, path: str, **more: Any) -> Answer:
        """One request with the key."""
        headers = {"Authorization": f"Bearer {KEY}", **more.pop("headers", {})}
        return await self.ask(method, path, headers=headers, **more)


@dataclass
class Answer:
    """Status, headers, body."""

    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@asynccontextmanager
async def serving(options: WebOptions = OPTIONS, **fakes: Any) -> AsyncIterator[Site]:
    """A real server on a free loopback port, and a client without a cookie jar."""
    site = Site(**fakes)
    app = build(site.ports(), options)
    async with Server(app, host="127.0.0.1", port=0) as site.server:
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(cookie_jar=jar) as site.client:
            yield site
