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

from channels.contract import Content, EmailContent, PushContent, SmsContent
from gateway import app_demo, config, demo_acts, demo_campaign, demo_people
from gateway.app_parts import zones
from gateway.bus.contract import Record
from gateway.catalog import load_catalog
from gateway.clock import ManualClock
from gateway.core import experiments, offers, wire
from gateway.core.experiments import Arm
from gateway.core.places import place_of
from gateway.core.quiet import quiet_until
from gateway.core.request import Data, SendData, with_offer
from gateway.core.variables import Brand, facts_of
from gateway.core.wire import decode
from gateway.demo import daytime
from gateway.demo_acts import Call, Observed
from gateway.demo_campaign import Asked, Run
from gateway.demo_people import DEEDS, HOME, PEOPLE, RETURNS
from gateway.demo_play import Play
from gateway.demo_stream import Stream, Told, told_of
from gateway.demo_tally import tally
from gateway.errors import GatewayError, RefusedError
from gateway.policies import load_atlas, load_offers, load_policy, quiet_rules
from gateway.terminal_demo import Screen

NOW = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
RUN = Run("r", NOW, is_once=True)
DLQ = "winback.sends.dlq"


def told(kind: str, request_id: str = "r1", **more: Any) -> Told:
    values = {"id": f"{kind}-{request_id}", "at": NOW, "recipient_id": "cust-001", **more}
    return Told(type=kind, request_id=request_id, **values)


def record(value: bytes, *, topic: str = "winback.engagement", **more: Any) -> Record:
    return Record(topic, 0, 7, 1_772_618_400_000, b"cust-9", value, more.get("headers", ()))


# --- the campaign -----------------------------------------------------------------------------


def read(one: Asked | Observed) -> Data:
    types = wire.SENDS | wire.CONSENT | wire.PRESENCE | wire.CONVERSIONS
    return decode(one.value, (), types, zones=zones()).data


def requests(run: Run = RUN) -> list[tuple[Asked, SendData]]:
    """The requests of a campaign, each once, without those that cannot be taken."""
    known = set(demo_people.names())
    found = {one.request_id: one for one in demo_campaign.campaign(run) if one.key in known}
    return [(one, data) for one in found.values() if isinstance(data := read(one), SendData)]


def arm_of(data: SendData) -> Arm:
    assert data.experiment is not None
    return experiments.arm(data.experiment, experiments.person_key(data))


def test_the_campaign_is_what_a_gateway_takes() -> None:
    """Of all records just two cannot be taken, and every request fits its template in any arm."""
    catalog = load_catalog(None, Brand("Example Coffee", "https://shop.example", "1 Street"))
    refused = []
    for one in demo_campaign.campaign(RUN):
        try:
            data = read(one)
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
        assert data.experiment is not None
        for name in (None, *(variant.name for variant in data.experiment.variants)):
            tried = experiments.applied(data, Arm(name, is_holdout=False))
            assert list(template.faults(facts_of(tried), data.channels or [])) == []
    assert refused == ["not_json", "unknown_template"]


def test_the_campaign_shows_what_the_demo_promises() -> None:
    """Thirty people, six languages, three channels, the playbook, one request twice."""
    asked = demo_campaign.campaign(RUN)
    ids = [one.request_id for one in asked if one.request_id]
    assert len(PEOPLE) == len(demo_people.names()) == 30
    assert len(ids) - len(set(ids)) == 1
    found = [data for _, data in requests()]
    assert {data.recipient.locale for data in found} == {"da", "de", "en", "ja", "ko", "ru"}
    assert {channel for data in found for channel in data.channels or ()} == {
        "email",
        "sms",
        "push",
    }
    assert {data.template for data in found} == {
        "hello",
        "incentive",
        "feedback",
        "loyalty_reminder",
        "geo_coupon",
        "expiry_reminder",
        "goodbye",
    }
    assert len({data.churn.reason for data in found if data.churn}) == 8
    assert {data.geo is not None for data in found} == {True, False}


def test_every_incentive_has_an_offer_that_fits_its_reason() -> None:
    """The campaign's own code for some, for the others what the table of offers says."""
    table, kinds = load_offers(), set()
    for _, data in requests():
        if data.template == "incentive":
            chosen = data.offer or offers.choose(table, data.churn, NOW).offer
            assert chosen is not None, data.recipient.id
            kinds.add(with_offer(data, chosen).offer.kind)
    assert kinds == {"percent_off", "amount_off", "free_shipping", "gift", "consultation"}


def test_whoever_has_a_part_is_written_to_and_some_are_held_out() -> None:
    """The experiment leaves the story whole: nobody who acts, bounces or says no is held out."""
    arms = {data.recipient.id: arm_of(data) for _, data in requests()}
    held = {key for key, arm in arms.items() if arm.is_holdout}
    fates = {
        demo_people.person_id(place)
        for place, one in enumerate(PEOPLE)
        if one.mailbox or one.device != "device-" or not one.has_addresses
    }
    actors = {deed.key for deed in DEEDS} | set(RETURNS) | {demo_people.OPTED_OUT}
    assert held.isdisjoint(fates | actors)
    assert 4 <= len(held) <= 8
    assert {arm.variant for arm in arms.values()} == {None, "plain", "news"}


@pytest.mark.parametrize("day", range(1, 8))
def test_ten_in_the_morning_is_daytime_for_everybody(day: int) -> None:
    """On any day of the week no quiet hours and no national rule hold a request."""
    atlas = load_atlas()
    rules = quiet_rules(load_policy(None), atlas)
    at = datetime(2026, 11, day, 10, 0, tzinfo=HOME).astimezone(UTC)
    for _, data in requests():
        who = data.recipient
        place = place_of(
            atlas, timezone=who.timezone, country=who.country, phone=who.phone, region=None
        )
        for channel in data.channels or ():
            assert quiet_until(rules, place, channel=channel, now=at) is None, who.id


def test_with_once_only_who_returns_is_asked_for_later() -> None:
    """Nothing would end what waits for minutes but the return that this is there to show."""
    later = {one.key for one, data in requests() if data.not_before is not None}
    assert later == set(RETURNS)
    live = {one.key for one, data in requests(Run("r", NOW, is_once=False)) if data.not_before}
    assert live > later


def test_two_runs_ask_for_different_things() -> None:
    """On a store that is kept, a second demo is no heap of duplicates and has codes of its own."""
    first, second = (Run(name, NOW, is_once=True, tag=f"-{name}") for name in ("a", "b"))
    ids = [
        {one.request_id for one in demo_campaign.campaign(run)} - {""} for run in (first, second)
    ]
    assert not ids[0] & ids[1]
    assert first.pool != second.pool
    assert first.fence != second.fence


# --- what people do ---------------------------------------------------------------------------

MAIL = EmailContent(
    "Hi",
    '<img src="https://go.example/t/o/a.gif"><a href="https://go.example/t/c/b?x=1&amp;y=2">x</a>',
    "",
    headers={"List-Unsubscribe": "<mailto:no@shop.example>, <https://go.example/t/u/c>"},
)
PIXEL = Call("GET", "https://go.example/t/o/a.gif")


@pytest.mark.parametrize(
    ("content", "does", "calls"),
    [
        (MAIL, "opens", [PIXEL]),
        (MAIL, "clicks", [PIXEL, Call("GET", "https://go.example/t/c/b?x=1&y=2")]),
        (
            MAIL,
            "leaves",
            [PIXEL, Call("POST", "https://go.example/t/u/c", "List-Unsubscribe=One-Click")],
        ),
        (
            SmsContent("Hi https://go.example/t/s/d\nSTOP", 1, "GSM-7"),
            "clicks",
            [Call("GET", "https://go.example/t/s/d")],
        ),
        (
            PushContent("a", "b", "https://go.example/t/c/e"),
            "clicks",
            [Call("GET", "https://go.example/t/c/e")],
        ),
        (PushContent("a", "b", "https://elsewhere.example/"), "clicks", []),
        (EmailContent("Hi", "<p>no link</p>", ""), "leaves", []),
    ],
)
def test_people_use_the_links_of_their_messages(
    content: Content, does: str, calls: list[Call]
) -> None:
    """And nothing beside them: what leads elsewhere is not followed."""
    assert list(demo_acts.deed_calls(content, does)) == calls


def test_what_people_do_is_what_a_gateway_takes() -> None:
    """Consent, presence and conversions are events of the contract, keyed by their person."""
    observed = [
        demo_acts.opt_out(RUN, now=NOW),
        demo_acts.shop_visit(RUN, now=NOW),
        *(demo_acts.returned(key, "CODE", RUN, now=NOW) for key in RETURNS),
    ]
    assert [read(one).recipient_id for one in observed] == [one.key for one in observed]


# --- the stream -------------------------------------------------------------------------------


def test_an_event_becomes_a_fact() -> None:
    """What the page and the tally need is read from the event as published."""
    data = {"recipient_id": "c", "request_id": "r", "channel": "sms", "reason": "x", "url": None}
    event = {"id": "e", "type": "winback.message.failed.v1", "time": "2026-03-04T09:00:00Z"}
    fact = told_of(record(json.dumps(event | {"data": data}).encode()), dlq_topic=DLQ)
    assert (fact.id, fact.type, fact.at) == ("e", "message.failed", NOW)
    assert (fact.recipient_id, fact.request_id, fact.channel) == ("c", "r", "sms")
    assert (fact.detail, fact.reason) == ("x", "x")


def test_a_value_and_a_code_are_told() -> None:
    """What a return brought stands beside it, with its currency."""
    data = {"reason": "order", "coupon_code": "C-1", "value": "9.50", "currency": "DKK"}
    event = {"id": "e", "type": "winback.conversion.attributed.v1", "time": NOW.isoformat()}
    fact = told_of(record(json.dumps(event | {"data": data}).encode()), dlq_topic=DLQ)
    assert fact.coupon_code == "C-1"
    assert fact.detail == "order, C-1, 9.50 DKK"


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


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 3, 4, 2, 30, tzinfo=UTC),
        datetime(2026, 3, 4, 12, 30, tzinfo=UTC),
        datetime(2026, 3, 4, 23, 30, tzinfo=UTC),
        datetime(2026, 3, 29, 0, 30, tzinfo=UTC),  # the clocks change an hour later
        datetime(2026, 10, 25, 22, 30, tzinfo=UTC),  # they have changed in the night before
    ],
)
def test_the_demo_starts_at_ten_in_the_morning(at: datetime) -> None:
    """In Copenhagen, whenever it is started, on the same day there."""
    clock = daytime(ManualClock(at))
    # The clock that is given stands still, the demo's goes on from the machine's.
    seen = (at + (clock.now() - datetime.now(UTC))).astimezone(HOME)
    assert seen.date() == at.astimezone(HOME).date()
    ten = datetime(seen.year, seen.month, seen.day, 10, tzinfo=HOME).astimezone(UTC)
    assert abs(seen.astimezone(UTC) - ten) < timedelta(seconds=1)


# --- the play ---------------------------------------------------------------------------------


RESULTS = {
    "campaign": RUN.campaign,
    "total": {
        "targeted": 4, "sent": 4, "delivered": 3, "opened": 2, "clicked": 1, "unsubscribed": 0,
        "returned": 1, "revenue": {"DKK": "329.00"}, "reactivation_rate": 0.25, "lift": None,
    },
    "by_variant": {}, "by_channel": {}, "by_reason": {}, "by_offer": {},
}  # fmt: skip
RESULTS["holdout"] = RESULTS["total"]


class HurriedClock(ManualClock):
    """A clock on which nobody waits: whoever sleeps has slept."""

    async def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@dataclass
class Gateway:
    settings: Any = None


@dataclass
class StoryStage:
    """Tells a story: of each record that is published, the facts that were written for it."""

    facts: dict[str, list[Told]]
    gateway: Gateway = field(default_factory=Gateway)
    stream: Stream = field(default_factory=Stream)
    published: list[Asked | Observed] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    async def publish(self, asked: Sequence[Asked | Observed]) -> None:
        self.published.extend(asked)
        for one in asked:
            topic = one.topic if isinstance(one, Observed) else "sends"
            name = one.request_id if isinstance(one, Asked) else f"{topic} {one.key}"
            self.stream.tell(self.facts.get(name or one.key, []))

    async def call(self, call: Call) -> None:
        self.calls.append(call)

    def content(self, delivery_id: str) -> Content | None:
        return MAIL if delivery_id else None

    async def results(self, campaign: str) -> dict[str, Any]:
        return RESULTS | {"campaign": campaign}


def story() -> dict[str, list[Told]]:
    """The facts of a demo in which everything goes well."""
    facts = {f"consent {demo_people.OPTED_OUT}": [_of(demo_people.OPTED_OUT, "unsubscribed")]}
    for one in demo_campaign.campaign(RUN):
        facts[one.request_id or one.key] = _facts_of(one)
    armed = next(name for name, told in facts.items() if told[0].type == "send.armed")
    visit = f"presence {demo_people.PASSES_BY}"
    facts[visit] = facts[armed][1:]
    del facts[armed][1:]
    for key in RETURNS:
        waiting = [one for one, data in requests() if one.key == key and data.not_before]
        ended = [_told(one, "send.suppressed", reason="converted") for one in waiting]
        facts[f"conversions {key}"] = [_of(key, "attributed"), *ended]
    return facts


def _facts_of(one: Asked) -> list[Told]:
    data = read(one) if one.template else None
    if not isinstance(data, SendData):
        return [told("dead_letter", one.request_id, id=one.key, recipient_id=one.key)]
    sent = [_told(one, "message.sent", channel="email")]
    delivered = _told(one, "message.delivered", channel="email", delivery_id=one.request_id)
    armed = [_told(one, "send.armed")] if data.geo else []
    code = [_told(one, "coupon.issued", coupon_code="CODE-1")] if data.offer else []
    clicked = [_of(one.key, "clicked")] if one.key in RETURNS else []
    waits = data.not_before is not None
    return [_told(one, "send.queued")] if waits else [*armed, *sent, *code, delivered, *clicked]


def _told(one: Asked, kind: str, **more: Any) -> Told:
    return told(kind, one.request_id, recipient_id=one.key, **more)


def _of(key: str, what: str) -> Told:
    kinds = {
        "unsubscribed": "recipient.unsubscribed",
        "clicked": "message.clicked",
        "attributed": "conversion.attributed",
    }
    return told(kinds[what], "", id=f"{what}-{key}", recipient_id=key)


def screen() -> tuple[Screen, io.StringIO]:
    text = io.StringIO()
    return Screen(Console(file=text, width=140, highlight=False)), text


async def test_a_demo_whose_requests_do_not_end_fails() -> None:
    """What --once promises is checked, and what is missing is named."""
    facts = story()
    late = next(one for one, data in requests() if data.recipient.id == "cust-027")
    facts[late.request_id] = [_told(late, "message.sent")]
    stage, (shown, _) = StoryStage(facts), screen()
    play = Play(stage, shown, HurriedClock(NOW), RUN, ends_within_s=0.2)
    with pytest.raises(GatewayError, match=r"have not ended: cust-027$"):
        await play.run()


async def test_a_demo_whose_requests_have_ended_sums_up() -> None:
    """The summary says what the facts say, and the results stand under it."""
    stage, (shown, text) = StoryStage(story()), screen()
    await Play(stage, shown, HurriedClock(NOW), RUN).run()
    said = text.getvalue()
    count = len(demo_campaign.campaign(RUN))
    assert f"{count} of {count} records" in said
    assert "messages sent for it: 1" in said
    assert "3 converted" in said
    assert "Results of come-back-for-coffee" in said
    assert "329.00 DKK" in said
    assert "nobody was held out" in said


async def test_each_act_follows_from_what_was_told() -> None:
    """Codes and fence come first, the visit after the arming, returns after what they read."""
    stage, (shown, _) = StoryStage(story()), screen()
    await Play(stage, shown, HurriedClock(NOW), RUN).run()
    topics = [one.topic if isinstance(one, Observed) else "sends" for one in stage.published]
    acts = [topic for place, topic in enumerate(topics) if topics[place - 1 : place] != [topic]]
    assert acts == ["consent", "sends", "presence", "conversions"]
    assert [call.url for call in stage.calls[:2]] == [
        "/v1/coupon-pools/coffee-20",
        "/v1/fences/vestergade-12",
    ]
    paid = [call for call in stage.calls if call.url == "/v1/coupons/CODE-1/redeem"]
    assert len(paid) == 1
    codes = [json.loads(one.value)["data"].get("coupon_code") for one in stage.published[-3:]]
    assert codes == ["CODE-1", None, None]
