"""The parts of the demo, each by itself: campaign, stream, tally, settings, the play."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gateway import app_demo, config, demo_people
from gateway.app import zones
from gateway.bus.contract import Record
from gateway.catalog import load_catalog
from gateway.clock import ManualClock
from gateway.core.request import SendData
from gateway.core.variables import Brand, facts_of
from gateway.core.wire import decode
from gateway.demo import Play, daytime
from gateway.demo_people import Asked
from gateway.demo_stream import Stream, Told, told_of
from gateway.demo_tally import tally
from gateway.errors import GatewayError, RefusedError
from gateway.terminal_demo import Screen

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
TYPES = frozenset({demo_people.TYPE})
DLQ = "winback.sends.dlq"


def told(kind: str, request_id: str = "r1", **more: Any) -> Told:
    values = {"id": f"{kind}-{request_id}", "at": NOW, "recipient_id": "cust-001", **more}
    return Told(type=kind, request_id=request_id, **values)


def record(value: bytes, *, topic: str = "winback.engagement", **more: Any) -> Record:
    return Record(topic, 0, 7, 1_772_618_400_000, b"cust-9", value, more.get("headers", ()))


# --- the campaign -----------------------------------------------------------------------------


def test_the_campaign_is_what_a_gateway_takes() -> None:
    """Of all records just two cannot be taken, and every request fits its template."""
    catalog = load_catalog(None, Brand("Example Coffee", "https://shop.example", "1 Street"))
    refused = []
    for one in demo_people.campaign(now=NOW, run="r", is_once=True):
        try:
            data = decode(one.value, (), TYPES, zones=zones()).data
        except RefusedError as error:
            refused.append(error.reason)
            continue
        assert isinstance(data, SendData)
        template = catalog.get(data.template)
        if template is None:
            refused.append("unknown_template")
            continue
        assert data.recipient.id == one.key
        assert one.routes == len(data.channels or ())
        assert list(template.faults(facts_of(data), data.channels or [])) == []
    assert refused == ["not_json", "unknown_template"]


def test_the_campaign_shows_what_the_demo_promises() -> None:
    """Thirty people, two languages, three channels, one request twice."""
    asked = demo_people.campaign(now=NOW, run="r", is_once=False)
    events = [json.loads(one.value) for one in asked if one.request_id]
    ids = [event["id"] for event in events]
    assert len(demo_people.PEOPLE) == len(demo_people.names()) == 30
    assert len(ids) - len(set(ids)) == 1
    assert {"en", "da"} <= {one["data"]["recipient"].get("locale") for one in events}
    assert {channel for one in events for channel in one["data"].get("channels", ())} == {
        "email",
        "sms",
        "push",
    }
    reasons = {one["data"]["churn"]["reason"] for one in events if "churn" in one["data"]}
    assert len(reasons) >= 6


def test_two_runs_ask_for_different_things() -> None:
    """On a store that is kept, a second demo is no heap of duplicates."""
    first, second = (
        {one.request_id for one in demo_people.campaign(now=NOW, run=run, is_once=True)} - {""}
        for run in ("a", "b")
    )
    assert not first & second


# --- the stream -------------------------------------------------------------------------------


def test_an_event_becomes_a_fact() -> None:
    """What the page and the tally need is read from the event as published."""
    data = {"recipient_id": "c", "request_id": "r", "channel": "sms", "reason": "x", "url": None}
    event = {"id": "e", "type": "winback.message.failed.v1", "time": "2026-03-04T10:00:00Z"}
    fact = told_of(record(json.dumps(event | {"data": data}).encode()), dlq_topic=DLQ)
    assert (fact.id, fact.type, fact.at) == ("e", "message.failed", NOW)
    assert (fact.recipient_id, fact.request_id, fact.channel) == ("c", "r", "sms")
    assert fact.detail == "x"


@pytest.mark.parametrize(
    ("value", "request_id"),
    [(b'{"id": "r7"}', "r7"), (b'{"half', ""), (b"[]", ""), (b"\xff", ""), (b"", "")],
)
def test_a_dead_letter_becomes_a_fact(value: bytes, request_id: str) -> None:
    """Whatever the refused record holds."""
    headers = (("dlq-reason", b"not_json"), ("dlq-detail", b"$: ends too early"))
    fact = told_of(record(value, topic=DLQ, headers=headers), dlq_topic=DLQ)
    assert (fact.type, fact.recipient_id, fact.request_id) == ("dead_letter", "cust-9", request_id)
    assert fact.detail == "not_json, $: ends too early"


async def test_a_fact_is_told_once_and_wakes_who_waits() -> None:
    """The topic may repeat itself, the page may not."""
    stream = Stream()
    waiting = asyncio.create_task(stream.wait(0))
    stream.tell([told("message.sent")])
    await waiting
    stream.tell([told("message.sent"), told("message.delivered")])
    assert [(one.number, one.type) for one in stream.recent()] == [
        (1, "message.sent"),
        (2, "message.delivered"),
    ]
    assert len(stream.recent(1)) == 1
    waiting = asyncio.create_task(stream.wait(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    stream.close()
    await waiting


# --- the tally --------------------------------------------------------------------------------

ONE, TWO = Asked("cust-001", b"", "r1", 1), Asked("cust-001", b"", "r1", 2)
POISON = Asked("cust-931", b"", "", 0)


@pytest.mark.parametrize(
    ("asked", "facts", "ended"),
    [
        (ONE, [], False),
        (ONE, [told("message.sent")], False),
        (ONE, [told("message.delivered")], True),
        (ONE, [told("send.suppressed")], True),
        (ONE, [told("dead_letter")], True),
        (ONE, [told("message.delivered", "r2")], False),
        (ONE, [told("message.bounced")], True),
        (TWO, [told("message.bounced")], False),
        (TWO, [told("message.bounced"), told("message.failed")], True),
        (POISON, [told("dead_letter", "", recipient_id="cust-931")], True),
        (POISON, [told("dead_letter", "", recipient_id="cust-932")], False),
        (POISON, [told("message.delivered", "", recipient_id="cust-931")], False),
    ],
)
def test_a_record_has_ended_when_a_fact_says_so(
    asked: Asked, facts: list[Told], *, ended: bool
) -> None:
    """Sent is no end, and a bounce is none while another channel is left."""
    assert tally([asked], facts).ended == int(ended)


def test_facts_are_counted_by_channel() -> None:
    """And what is not of the campaign is not counted."""
    state = tally(
        [ONE],
        [
            told("message.sent", channel="email"),
            told("message.bounced", channel="email"),
            told("message.sent", "other", channel="email"),
            told("recipient.unsubscribed", channel="email"),
        ],
    )
    assert state.row("email") == [1, 0, 1, 0, 0, 0]
    assert state.total() == [1, 0, 1, 0, 0, 0]


# --- settings ---------------------------------------------------------------------------------


def placed(tmp_path: Path, **environ: str) -> Any:
    settings = config.load(environ, command="demo")
    return app_demo.settings_for_demo(settings, bootstrap="127.0.0.1:9", folder=tmp_path)


def test_the_demo_stays_on_this_machine(tmp_path: Path) -> None:
    """Providers and a broker of the environment are not used, whatever it says."""
    settings = placed(
        tmp_path,
        WINBACK_EMAIL__PROVIDER="sendgrid",
        WINBACK_EMAIL__FROM_ADDRESS="shop@example.org",
        WINBACK_SENDGRID__API_KEY="SG.key",
        WINBACK_SENDGRID__WEBHOOK_PUBLIC_KEY="key",
        WINBACK_KAFKA__BOOTSTRAP_SERVERS="kafka.example:9092",
        WINBACK_KAFKA__SENDS_TOPIC="my.sends",
    )
    assert settings.email.provider == settings.sms.provider == "sandbox"
    assert settings.push.providers == ("sandbox",)
    assert settings.kafka.bootstrap_servers == ("127.0.0.1:9",)
    assert settings.kafka.sends_topic == "my.sends"


def test_the_store_is_in_the_folder_unless_it_is_named(tmp_path: Path) -> None:
    """A demo leaves nothing behind, unless asked to."""
    assert placed(tmp_path).store.url.path == tmp_path / "winback-demo.db"
    named = placed(tmp_path, WINBACK_STORE__URL="sqlite:///mine.db")
    assert named.store.url.path == Path("mine.db")


def test_a_taken_port_is_left_and_links_follow(tmp_path: Path) -> None:
    """The public URL is that of the port that will answer; one that was named stays."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        http = placed(tmp_path, WINBACK_HTTP__PORT=str(port)).http
        named = placed(
            tmp_path, WINBACK_HTTP__PORT=str(port), WINBACK_HTTP__PUBLIC_URL="https://go.example"
        )
    assert http.port not in {0, port}
    assert http.public_url == f"http://127.0.0.1:{http.port}"
    assert named.http.public_url == "https://go.example"
    assert named.brand.site_url == "https://shop.example"


def test_links_lead_to_the_demo_s_own_shop_unless_one_is_named(tmp_path: Path) -> None:
    """A click in the demo must arrive somewhere."""
    settings = placed(tmp_path)
    assert settings.brand.site_url == f"{settings.http.public_url}/shop"
    named = placed(tmp_path, WINBACK_BRAND__SITE_URL="https://my.example")
    assert named.brand.site_url == "https://my.example"


@pytest.mark.parametrize(("hour", "seen"), [(2, 10), (7, 10), (12, 13), (20, 10)])
def test_the_demo_happens_by_day(hour: int, seen: int) -> None:
    """Hours are UTC in, Copenhagen's out: at night it is ten in the morning."""
    clock = ManualClock(datetime(2026, 3, 4, hour, 30, tzinfo=UTC))
    shown = daytime(clock)
    if shown is clock:
        assert clock.now().hour + 1 == seen
        return
    shift = shown.now() - datetime.now(UTC)
    local = clock.now() + shift + timedelta(hours=1)
    assert local.hour in {9, 10}
    assert abs(local - local.replace(hour=seen, minute=0, second=0)) < timedelta(minutes=1)


# --- the play ---------------------------------------------------------------------------------


@dataclass
class Engage:
    changes: list[tuple[str, bytes]] = field(default_factory=list)

    async def change(self, recipient_id: str, body: bytes) -> None:
        self.changes.append((recipient_id, body))


@dataclass
class Gateway:
    engage: Engage = field(default_factory=Engage)
    settings: Any = None


@dataclass
class DeafStage:
    """Takes the campaign, and tells of it what it was given."""

    facts: Sequence[Told] = ()
    gateway: Gateway = field(default_factory=Gateway)
    stream: Stream = field(default_factory=Stream)
    published: list[Asked] = field(default_factory=list)

    async def publish(self, asked: Sequence[Asked]) -> None:
        self.published.extend(asked)
        self.stream.tell(self.facts)


def screen() -> tuple[Screen, io.StringIO]:
    text = io.StringIO()
    return Screen(Console(file=text, width=100, highlight=False)), text


async def test_a_demo_whose_requests_do_not_end_fails() -> None:
    """What --once promises is checked, and what is missing is named."""
    stage, (shown, _) = DeafStage([told("message.sent")]), screen()
    play = Play(stage, shown, ManualClock(NOW), run="r", is_once=True, ends_within_s=0.05)
    with pytest.raises(GatewayError, match=r"have not ended: cust-001, cust-002"):
        await play.run()
    assert stage.gateway.engage.changes[0][0] == demo_people.OPTED_OUT


async def test_a_demo_whose_requests_have_ended_sums_up() -> None:
    """The summary says what the facts say."""
    asked = demo_people.campaign(now=NOW, run="r", is_once=True)
    facts = [
        told(kind, one.request_id, recipient_id=one.key, channel="sms")
        for one in asked
        for kind in (("message.sent", "message.delivered") if one.request_id else ("dead_letter",))
    ]
    stage, (shown, text) = DeafStage(facts), screen()
    await Play(stage, shown, ManualClock(NOW), run="r", is_once=True).run()
    assert f"{len(asked)} of {len(asked)} records" in text.getvalue()
    assert "messages sent for it: 1" in text.getvalue()
