"""The whole contract in a real process: consent, stops, coupons, places, caps, results."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support import business
from support.business import Person, ask, instant, put, quiet, story, suppressed, switch, tell
from support.journal import Call
from support.mails import mail_of
from support.stage import Stage, new_topics, stage
from support.stand_ins import StandIns
from support.topics import unique
from support.waiting import until

from gateway.bus.embedded import EmbeddedBroker
from gateway.core.lift import lift

pytestmark = pytest.mark.asyncio(loop_scope="session")

CAP = 6
POLICY = f"""
[[caps]]
window = "P7D"
max = {CAP}
channels = ["email", "sms", "push"]

[quiet_hours]

[in_doubt]
wait = "PT2S"
"""
CODES, PEOPLE = 150, 200
SHOP = (55.676100, 12.568300)
INSIDE = {"latitude": 55.6765432, "longitude": 12.5687654}
SOON_S = 2.0
ARRIVES_S = 2.1


@asynccontextmanager
async def running(
    folder: Path, *, policy: str = POLICY, latency_s: float = 0.0, **settings: str
) -> AsyncIterator[Stage]:
    """A gateway of its own on an embedded broker."""
    topics, file = new_topics(), folder / "own-policy.toml"
    file.write_text(policy)
    given = {"TEMPLATES__PATH": business.TEMPLATES, "POLICY__FILE": str(file), **settings}
    with StandIns(latency_s=latency_s) as providers:
        async with (
            EmbeddedBroker(topics.sizes()) as bootstrap,
            stage(bootstrap, topics, folder, providers, **given) as on,
        ):
            yield on


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def on(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One gateway for most tests here: each has people and campaigns of its own."""
    async with running(tmp_path_factory.mktemp("whole")) as shared:
        yield shared


async def mail_to(on: Stage, person: Person, **more: Any) -> Call:
    """An e-mail to somebody, by HTTP."""
    (send_id,) = await ask(on, person.request("email", **more))
    await on.out.see("message.sent", send_id=send_id)
    return next(call for call in on.providers.journal.to(person.email) if call.send_id == send_id)


# --- consent --------------------------------------------------------------------------------


async def test_c14_c15_every_no_is_in_one_ledger(on: Stage) -> None:
    """Seven ways to say no, one list: each with source and time, and where there is one, proof."""
    person = Person(ending="9003")  # Twilio holds an opt-out of this number
    first, second, third = [await mail_to(on, person) for _ in range(3)]
    (refused,) = await ask(on, person.request("sms", "push"))
    (failed,) = await on.out.see("message.failed", send_id=refused)
    assert failed["data"]["reason"] == "consent"
    await on.out.see("message.sent", send_id=refused, channel="push")

    await business.say(on, person, "STOP")
    link = mail_of(first).one_click
    status, _, _ = await on.gateway.ask(
        "POST", link, body=business.ONE_CLICK, headers=business.FORM
    )
    assert status == 200
    await business.mail_event(on, second, "spamreport")
    await business.mail_event(on, third, "bounce", reason="550 no such user", type="bounce")
    body = business.consent("push", "revoked", source="letter", evidence="scan 7")["data"]
    await put(on, f"/v1/recipients/{person.id}/consent", body)
    await tell(on, on.topics.consent, business.consent("sms", "revoked", phone=person.phone))
    await on.out.see("recipient.unsubscribed", 2, recipient_id=person.id, reason="consent")

    ledger = (await business.held(on, person))["consent"]
    causes = {one["cause"] for one in ledger}
    assert causes == {"provider", "stop", "unsubscribe", "complaint", "bounce", "consent"}
    assert {"letter", "call centre", "one_click", "twilio", "sendgrid"} <= {
        one["source"] for one in ledger
    }
    assert {"scan 7", "recording 12"} <= {one["evidence"] for one in ledger}
    assert all(one["occurred_at"] and one["recorded_at"] for one in ledger)
    told = on.out.of("recipient.unsubscribed", recipient_id=person.id)
    assert {one["data"]["channel"] for one in told} == {"sms", "email", "push"}
    assert len(on.out.of("recipient.complained", recipient_id=person.id)) == 1
    (ended,) = await ask(on, person.request("email", "sms", "push"))
    assert await suppressed(on, ended) == ["consent"]


async def test_c13_start_undoes_only_a_stop(on: Stage) -> None:
    """After STOP and a no on paper START reopens nothing; a yes on paper does."""
    person = Person()
    (sent,) = await ask(on, person.request("sms"))
    await on.out.see("message.sent", send_id=sent)
    await business.say(on, person, "stop.")
    await tell(on, on.topics.consent, business.consent("sms", "revoked", recipient_id=person.id))
    await on.out.see("recipient.unsubscribed", 2, recipient_id=person.id)
    await business.say(on, person, "START")
    (still,) = await ask(on, person.request("sms"))
    assert await suppressed(on, still) == ["consent"]
    body = business.consent("sms", "granted")["data"]
    await put(on, f"/v1/recipients/{person.id}/consent", body)
    (again,) = await ask(on, person.request("sms"))
    await on.out.see("message.sent", send_id=again)


async def test_c16_each_no_has_its_scope(on: Stage) -> None:
    """One campaign, one channel, all channels; each leaves the rest as it was."""
    person, campaign = Person(), unique("news")
    body = business.consent("email", "revoked", topic=campaign)["data"]
    await put(on, f"/v1/recipients/{person.id}/consent", body)
    shut, opened = await ask(
        on, person.request("email", campaign=campaign), person.request("email")
    )
    assert await suppressed(on, shut) == ["consent"]
    await on.out.see("message.sent", send_id=opened)
    body = business.consent("all", "revoked")["data"]
    await put(on, f"/v1/recipients/{person.id}/consent", body)
    promotion, receipt = await ask(
        on,
        person.request("email", "sms", "push"),
        person.request("email", purpose="transactional"),
    )
    assert await suppressed(on, promotion) == ["consent"]
    await on.out.see("message.sent", send_id=receipt)


async def test_c15_a_no_from_a_stranger_is_kept_and_obeyed(on: Stage) -> None:
    """An address nobody is known to have: its event names no person, its later owner is spared."""
    person = Person()
    await tell(on, on.topics.consent, business.consent("email", "revoked", email=person.email))
    await until(lambda: _noes_of_nobody(on), within_s=10, what="a no of nobody known")
    told = _noes_of_nobody(on)
    assert person.mark not in json.dumps(told)
    (shut,) = await ask(on, person.request("email", recipient={"email": person.email.upper()}))
    assert await suppressed(on, shut) == ["consent"]


def _noes_of_nobody(on: Stage) -> list[dict[str, Any]]:
    return on.out.of("recipient.unsubscribed", recipient_id=None)


async def test_c22_with_proof_required_sms_needs_a_record(tmp_path: Path) -> None:
    """WINBACK_CONSENT__SMS_PROOF=required: no promotional SMS without a word of consent."""
    async with running(tmp_path, CONSENT__SMS_PROOF="required") as on:
        person = Person()
        before, receipt = await ask(
            on, person.request("sms"), person.request("sms", purpose="transactional")
        )
        assert await suppressed(on, before) == ["consent"]
        await on.out.see("message.sent", send_id=receipt)
        await tell(on, on.topics.consent, business.consent("sms", "granted", phone=person.phone))
        await quiet()
        (after,) = await ask(on, person.request("sms"))
        await on.out.see("message.sent", send_id=after)


async def test_c18_erasure_leaves_nothing_and_reimport_stays_shut(tmp_path: Path) -> None:
    """After DELETE no row, no byte and no log line names the person; the other one is whole."""
    ada, grace = Person(unique("ada-lovelace")), Person(unique("grace-hopper"))
    async with running(tmp_path, LOG__LEVEL="debug") as on:
        await put(on, "/v1/coupon-pools/gone", {"generate": {"count": 5, "prefix": "SP-"}})
        await business.fence(on, "shop", SHOP)
        for person in (ada, grace):
            await _live(on, person)
        status, export = await on.gateway.api("GET", f"/v1/recipients/{ada.id}")
        assert status == 200
        text = json.dumps(export)
        assert ada.email in text
        assert grace.mark not in text
        assert {"sends", "consent", "conversions", "coupons"} <= set(export)
        (status, _) = await on.gateway.api("DELETE", f"/v1/recipients/{ada.id}")
        assert status == 204
        assert (await on.gateway.api("GET", f"/v1/recipients/{ada.id}"))[0] == 404
        assert await on.gateway.stop() == 0

        file = tmp_path / "store.db"
        rows = business.rows_of(file)
        assert business.found_in(rows, grace.mark.encode()), "the scan finds nothing at all"
        # One mark is in the id, the e-mail address, the token and the name of a person.
        for mark in (ada.mark.encode(), ada.phone.encode(), b"ada-lovelace"):
            assert business.found_in(rows, mark) == set()
            assert mark not in file.read_bytes()
            assert mark not in on.gateway.log.encode()

        await on.gateway.start()
        back = await ask(on, ada.request("email", "sms", "push"))
        alias = Person()
        back += await ask(on, alias.request("email", recipient={"email": ada.email.upper()}))
        assert await suppressed(on, *back) == ["consent", "consent"]
        assert (await on.gateway.api("GET", f"/v1/recipients/{grace.id}"))[0] == 200


async def _live(on: Stage, person: Person) -> None:
    """A life: mail with a code, click, armed and waiting sends, a no, an order, dead letters."""
    call = await mail_to(on, person, template="incentive", offer=business.offer("gone"))
    await asyncio.sleep(ARRIVES_S)
    await business.click(on, mail_of(call).clicks[0])
    sms, *_ = await ask(
        on,
        person.request("sms"),
        person.request("push", geo={"fences": ["shop"]}),
        person.request("push", not_before=instant(3600)),
    )
    await on.out.see("message.sent", send_id=sms)
    await business.say(on, person, f"stop please, {person.name}")
    broken = person.request("email", purpose="wrong")
    await tell(on, on.topics.sends, broken)
    await tell(on, on.topics.presence, person.presence(**INSIDE))
    await tell(on, on.topics.conversions, person.conversion(coupon_code=_code_of(call)))
    note = business.consent("push", "revoked", recipient_id=person.id, email=person.email)
    note["data"]["evidence"] = f"letter of {person.name}, {person.email}"
    await tell(on, on.topics.consent, note)
    await on.out.see("conversion.attributed", recipient_id=person.id)
    await on.out.see("recipient.unsubscribed", 2, recipient_id=person.id)
    await quiet(0.5)


def _code_of(call: Call) -> str:
    (code,) = set(business.CODE.findall(call.body))
    return str(code.decode())


# --- cancel and kill ------------------------------------------------------------------------


async def test_cancelling_by_request_campaign_and_person(on: Stage) -> None:
    """What has not gone out ends as cancelled, also what comes after its cancellation."""
    ada, bo, campaign = Person(), Person(), unique("cancel")
    wait = {"campaign": campaign, "not_before": instant(600)}
    by_id, early = ada.request("email", **wait), ada.request("email", campaign=campaign)
    (sent,) = await ask(on, ada.request("email", campaign=campaign))
    await on.out.see("message.sent", send_id=sent)
    one, of_ada, of_bo, other = await ask(
        on,
        by_id,
        ada.request("sms", **wait),
        bo.request("push", geo={"fences": ["x"]}, campaign=campaign),
        ada.request("email", not_before=instant(600)),
    )
    await tell(
        on,
        on.topics.sends,
        business.cancelled(source=by_id["source"], id=by_id["id"]),
        business.cancelled(source=early["source"], id=early["id"]),
        business.cancelled(campaign=campaign, recipient_id=ada.id),
    )
    assert await suppressed(on, one, of_ada) == ["cancelled", "cancelled"]
    assert (await story(on, of_bo))["state"] == "armed"
    (late,) = await ask(on, early)
    assert await suppressed(on, late) == ["cancelled"]
    await tell(on, on.topics.sends, business.cancelled(campaign=campaign))
    assert await suppressed(on, of_bo) == ["cancelled"]
    assert (await story(on, sent))["state"] == "sent"
    assert (await story(on, other))["state"] == "queued"


async def test_o18_a_switch_survives_a_kill_and_holds_back(tmp_path: Path) -> None:
    """Global, channel and campaign: nothing leaves, also after SIGKILL; then all of it does."""
    async with running(tmp_path) as on:
        for scope in ("campaign:held", "channel:sms"):
            await switch(on, scope, "stopped")
        person = Person()
        held = await ask(on, person.request("email", campaign="held"), person.request("sms"))
        (free,) = await ask(on, person.request("push"))
        await on.out.see("message.sent", send_id=free)
        await on.gateway.kill()
        await on.gateway.start()
        await switch(on, "global", "stopped")
        held += await ask(on, person.request("push"))
        await quiet()
        assert len(on.providers.journal) == 1
        status, found = await on.gateway.api("GET", "/v1/switches")
        stopped = {one["scope"] for one in found["switches"] if one["state"] == "stopped"}
        assert (status, stopped) == (200, {"campaign:held", "channel:sms", "global"})
        for scope in ("campaign:held", "channel:sms", "global"):
            await switch(on, scope, "running")
        for one in held:
            await on.out.see("message.sent", send_id=one, within_s=5)


@pytest.mark.parametrize("scope", ["global", "channel:email", "campaign:big"])
async def test_o18_a_switch_with_discard_takes_effect_at_once(tmp_path: Path, scope: str) -> None:
    """In the middle of a campaign: no call starts five seconds later, the rest ends as killed."""
    count = 200
    async with running(tmp_path, LIMITS__EMAIL_PER_SECOND="50", latency_s=0.05) as on:
        people = [Person() for _ in range(count)]
        await ask(on, *(one.request("email", campaign="big") for one in people))
        await on.providers.journal.reach(20, within_s=15)
        await switch(on, scope, "stopped", discard=True)
        turned_s = time.monotonic()
        deadline_s = turned_s + 15
        while len(on.out.of("send.suppressed")) + len(on.out.of("message.sent")) < count:
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.05)
        calls = on.providers.journal.calls
        assert max(call.at_s for call in calls) < turned_s + 0.5
        assert 20 <= len(calls) < count
        killed = on.out.of("send.suppressed", reason="killed")
        assert len(killed) + len(calls) == count


# --- conversions ----------------------------------------------------------------------------


async def test_a_conversion_stops_all_within_two_seconds_for_99_of_100(
    on: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """200 people with a touch queued on every channel come back by Kafka; the time is measured."""
    people = [Person() for _ in range(PEOPLE)]
    for start in range(0, PEOPLE, 50):
        await ask(
            on,
            *(
                one.request(channel, campaign="comeback", not_before=instant(3600))
                for one in people[start : start + 50]
                for channel in ("email", "sms", "push")
            ),
        )
    began_ms: dict[str, float] = {}
    for start in range(0, PEOPLE, 10):  # some forty people a second, not all in one instant
        some = people[start : start + 10]
        began_ms |= dict.fromkeys((one.id for one in some), time.time() * 1000)
        await tell(on, on.topics.conversions, *(one.conversion() for one in some))
        await asyncio.sleep(0.25)
    await on.out.see("send.suppressed", 3 * PEOPLE, campaign="comeback", within_s=30)
    ended_ms: defaultdict[str, float] = defaultdict(float)
    for record, told in zip(on.out.records, on.out.events, strict=False):
        data = told["data"]
        if told["type"] == "winback.send.suppressed.v1" and data["recipient_id"] in began_ms:
            assert data["reason"] == "converted"
            ended_ms[data["recipient_id"]] = max(ended_ms[data["recipient_id"]], record.timestamp)
    assert len(ended_ms) == PEOPLE
    took_s = [(ended_ms[one] - began_ms[one]) / 1000 for one in began_ms]
    p99_s = business.percentile(took_s, 0.99)
    with capsys.disabled():
        half_s = business.percentile(took_s, 0.5)
        print(f"\nconversion to stopped: p50 {half_s:.2f} s, p99 {p99_s:.2f} s")  # noqa: T201
    assert p99_s < SOON_S


async def test_a_conversion_is_credited_once_by_the_best_proof(on: Stage) -> None:
    """Click before delivered; the same CloudEvent by Kafka and HTTP is one; money is exact."""
    person, campaign = Person(), unique("credit")
    mail = await mail_to(on, person, campaign=campaign)
    (by_sms,) = await ask(on, person.request("sms", campaign=campaign))
    await on.out.see("message.sent", send_id=by_sms)
    await business.sms_status(on, on.providers.journal.to(person.phone)[0], "delivered")
    await on.out.see("message.delivered", send_id=by_sms)
    await asyncio.sleep(ARRIVES_S)
    await business.click(on, mail_of(mail).clicks[0])
    await on.out.see("message.clicked", delivery_id=mail.delivery_id, actor="human")

    back = person.conversion(value={"amount": "49.90", "currency": "EUR"}, order_id="o-1")
    for expected in ("accepted", "duplicate"):
        status, answer = await on.gateway.api("POST", "/v1/conversions", back)
        assert (status, answer["events"][0]["status"]) == (202, expected)
    await tell(on, on.topics.conversions, back)
    await quiet()
    (told,) = on.out.of("conversion.attributed", recipient_id=person.id)
    data = told["data"]
    assert (data["attributed_to"], data["window"]) == (mail.delivery_id, "P5D")
    assert (data["value"], data["currency"], data["is_holdout"]) == ("49.90", "EUR", False)
    _, found = await on.gateway.api("GET", f"/v1/campaigns/{campaign}/results")
    assert found["total"]["revenue"] == {"EUR": "49.90"}
    assert (await business.held(on, person))["state"] == "returned"


# --- coupons --------------------------------------------------------------------------------


async def test_s15_no_code_goes_to_two_people_over_crashes(tmp_path: Path) -> None:
    """200 people, 150 codes, four SIGKILLs: a code has one person, a person one code."""
    async with running(tmp_path, latency_s=0.05, LIMITS__EMAIL_PER_SECOND="80") as on:
        answer = await put(
            on, "/v1/coupon-pools/crash", {"generate": {"count": CODES, "prefix": "SP-"}}
        )
        assert answer["codes"] == {"free": CODES}
        people = [Person() for _ in range(PEOPLE)]
        requests = [
            one.request("email", "sms", template="incentive", offer=business.offer("crash"))
            for one in people
        ]
        for start in range(0, PEOPLE, 50):
            await asyncio.gather(*(ask(on, one) for one in requests[start : start + 50]))
        for kills in range(1, 5):
            await on.providers.journal.reach(25 * kills, within_s=30)
            await on.gateway.kill()
            await on.gateway.start()
        ends = ("message.sent", "message.unknown", "send.suppressed")
        deadline_s = time.monotonic() + 60
        while sum(len({_who(one) for one in on.out.of(kind)}) for kind in ends) < PEOPLE:
            assert time.monotonic() < deadline_s, {kind: len(on.out.of(kind)) for kind in ends}
            await asyncio.sleep(0.1)

        by_code = business.people_by_code(on.providers.journal.calls)
        assert {len(owners) for owners in by_code.values()} == {1}
        codes_of = Counter(to for owners in by_code.values() for to in owners)
        assert set(codes_of.values()) == {1}
        without = on.out.of("send.suppressed", reason="no_coupon")
        assert len(without) == PEOPLE - CODES
        issued = [one["data"]["coupon_code"] for one in on.out.of("coupon.issued")]
        assert len(issued) == len(set(issued)) == CODES
        assert max(on.providers.journal.per_send().values()) == 1


def _who(one: Mapping[str, Any]) -> str:
    return str(one["data"]["recipient_id"])


async def test_s15_redeeming_is_idempotent_by_order(on: Stage) -> None:
    """200, again 200, 409 for another order, 404 for a guess and for a code never issued."""
    await put(on, "/v1/coupon-pools/shop", {"codes": ["SUMMER-1"]})
    call = await _coupon_mail(on, Person(), "redeem")
    code = _code_of(call)
    body = {"order_id": "o-1", "value": {"amount": "20.00", "currency": "EUR"}}
    for one in (code, code.lower(), code):
        answer = await on.gateway.api("POST", f"/v1/coupons/{one}/redeem", body)
        told = {"code": code, "status": "redeemed", "delivery_id": call.delivery_id}
        assert answer == (200, told), "each time the same answer"
    assert await _redeem(on, code, {"order_id": "o-2"}) == 409
    assert await _redeem(on, "SP-2222222222222A", {"order_id": "o-1"}) == 404
    assert await _redeem(on, "SUMMER-1", {"order_id": "o-1"}) == 404
    (fact,) = await on.out.see("coupon.redeemed", coupon_code=code)
    assert fact["data"]["delivery_id"] == call.delivery_id
    assert (fact["data"]["value"], fact["data"]["currency"]) == ("20.00", "EUR")


async def _coupon_mail(on: Stage, person: Person, pool: str, **more: Any) -> Call:
    await put(on, f"/v1/coupon-pools/{pool}", {"generate": {"count": 1, "prefix": "SP-"}})
    return await mail_to(
        on, person, template="incentive", campaign=pool, offer=business.offer(pool, **more)
    )


async def _redeem(on: Stage, code: str, body: dict[str, Any]) -> int:
    status, _ = await on.gateway.api("POST", f"/v1/coupons/{code}/redeem", body)
    return status


async def test_a_code_expires_within_a_minute_and_bounces_back(on: Stage) -> None:
    """Past `expires_in` and after a bounce a code answers 410; expiry is told once."""
    call = await _coupon_mail(on, Person(), "brief", expires_in="PT2S")
    code = _code_of(call)
    (told,) = await on.out.see("coupon.expired", coupon_code=code, within_s=60)
    assert told["data"]["delivery_id"] == call.delivery_id
    assert await _redeem(on, code, {"order_id": "o-1"}) == 410

    call = await _coupon_mail(on, Person(), "bounced")
    await business.mail_event(on, call, "bounce", reason="550 no such user", type="bounce")
    await on.out.see("message.bounced", delivery_id=call.delivery_id)
    assert await _redeem(on, _code_of(call), {"order_id": "o-1"}) == 410
    _, found = await on.gateway.api("GET", "/v1/coupon-pools/bounced")
    assert found["codes"] == {"returned": 1}


async def test_a_refused_message_gives_its_code_back(on: Stage) -> None:
    """The provider refused on the only channel: the code is free for the next person."""
    await put(on, "/v1/coupon-pools/back", {"generate": {"count": 1, "prefix": "SP-"}})
    refused = Person(unique("refuse-person"))
    offer = {"template": "incentive", "offer": business.offer("back")}
    (failed,) = await ask(on, refused.request("email", **offer))
    await on.out.see("message.failed", send_id=failed)
    call = await mail_to(on, Person(), **offer)
    assert _code_of(call)
    (none,) = await ask(on, Person().request("email", **offer))
    assert await suppressed(on, none) == ["no_coupon"]


# --- places ---------------------------------------------------------------------------------


async def test_fences_are_put_listed_and_dropped(on: Stage) -> None:
    """A fence is a GeoJSON Feature; a bad one is named by its path."""
    name = unique("crud")
    await business.fence(on, name, (10.0, 10.0), groups=["crud"])
    _, found = await on.gateway.api("GET", "/v1/fences")
    (mine,) = [one for one in found["features"] if one["id"] == name]
    assert mine["properties"]["groups"] == ["crud"]
    status, problem = await on.gateway.api("PUT", f"/v1/fences/{name}", {"type": "Feature"})
    assert (status, problem["errors"][0]["path"][:1]) == (422, "$")
    assert (await on.gateway.api("DELETE", f"/v1/fences/{name}"))[0] == 204
    assert (await on.gateway.api("DELETE", f"/v1/fences/{name}"))[0] == 404


async def test_presence_sends_within_two_seconds_and_ten_are_one(
    on: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty people pass a shop, each seen ten times: one SMS each; from sighting to call < 2 s."""
    group = unique("shops")
    await business.fence(on, unique("shop"), SHOP, groups=[group])
    people = [Person() for _ in range(20)]
    armed = await ask(on, *(one.request("sms", geo={"fences": [group]}) for one in people))
    await on.out.see("send.armed", len(people), template="hello", channel=None)
    seen_s: dict[str, float] = {}
    for one in people:
        seen_s[one.phone] = time.monotonic()
        await on.gateway.api("POST", "/v1/presence", one.presence(**INSIDE))
    for one in people:
        await tell(on, on.topics.presence, *(one.presence(**INSIDE) for _ in range(9)))
    for send_id in armed:
        await on.out.see("message.sent", send_id=send_id)
    await quiet()
    calls = [on.providers.journal.to(one.phone) for one in people]
    assert {len(found) for found in calls} == {1}
    took_s = [found[0].at_s - seen_s[found[0].to] for found in calls]
    with capsys.disabled():
        print(f"\nsighting to provider call: most {max(took_s):.2f} s")  # noqa: T201
    assert max(took_s) < SOON_S


async def test_what_is_no_sighting_leaves_a_request_armed(on: Stage) -> None:
    """Stale, inexact, elsewhere, closed, in a cooldown; by the device's own match it goes."""
    shop, closed = unique("shop"), unique("closed")
    await business.fence(on, shop, SHOP)
    never = {day: [] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    await business.fence(on, closed, (-33.0, 18.0), timezone="UTC", opening_hours=never)
    person = Person()
    (armed,) = await ask(on, person.request("sms", geo={"fences": [shop, closed]}))
    unfit = (
        {**INSIDE, "observed_at": instant(-600)},
        {**INSIDE, "accuracy_m": 5000},
        {"latitude": 55.7, "longitude": 12.6},
        {"latitude": -33.0, "longitude": 18.0},
        {"fence": unique("park")},
    )
    await tell(on, on.topics.presence, *(person.presence(**where) for where in unfit))
    await quiet()
    assert (await story(on, armed))["state"] == "armed"
    await tell(on, on.topics.presence, person.presence(fence=shop))
    await on.out.see("message.sent", send_id=armed)

    (second,) = await ask(on, person.request("sms", geo={"fences": [shop]}))
    await tell(on, on.topics.presence, person.presence(**INSIDE))
    await quiet()
    assert (await story(on, second))["state"] == "armed", "there is a cooldown"


async def test_a_device_that_names_a_group_means_one_of_its_fences(on: Stage) -> None:
    """Whoever armed the group is reached; whoever armed one fence of it is not."""
    group, shop = unique("shops"), unique("shop")
    await business.fence(on, shop, (20.0, 20.0), groups=[group])
    of_group, of_shop = Person(), Person()
    goes, stays = await ask(
        on,
        of_group.request("sms", geo={"fences": [group]}),
        of_shop.request("sms", geo={"fences": [shop]}),
    )
    await tell(on, on.topics.presence, *(one.presence(fence=group) for one in (of_group, of_shop)))
    await on.out.see("message.sent", send_id=goes)
    await quiet()
    assert (await story(on, stays))["state"] == "armed"


async def test_an_armed_request_ends_as_expired_at_its_time(on: Stage) -> None:
    """`geo.expires_at` passes and nobody came."""
    (armed,) = await ask(
        on, Person().request("sms", geo={"fences": ["nowhere"], "expires_at": instant(1.5)})
    )
    await on.out.see("send.armed", send_id=armed)
    assert await suppressed(on, armed) == ["expired"]


async def test_fences_come_from_a_file_and_coordinates_stay_nowhere(tmp_path: Path) -> None:
    """A fence of the file fires; afterwards neither store nor log holds where somebody was."""
    feature = {
        "type": "Feature",
        "id": "from-file",
        "geometry": {"type": "Point", "coordinates": [SHOP[1], SHOP[0]]},
        "properties": {"radius_m": 200},
    }
    file = tmp_path / "fences.json"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    async with running(tmp_path, GEO__FENCES_FILE=str(file), LOG__LEVEL="debug") as on:
        person = Person()
        (armed,) = await ask(on, person.request("sms", geo={"fences": ["from-file"]}))
        wrong = person.presence(**INSIDE, observed_at="yesterday")
        await tell(on, on.topics.presence, wrong, person.presence(**INSIDE))
        await on.out.see("message.sent", send_id=armed)
        await quiet()
        assert await on.gateway.stop() == 0
        rows = business.rows_of(tmp_path / "store.db")
        rows = {table: found for table, found in rows.items() if table != "fences"}
        letters = [row for row in rows["facts"] if "dlq" in row]
        assert len(letters) == len(on.dead.records) == 1
        rows["facts"] = [row for row in rows["facts"] if row not in letters]
        for value in (INSIDE["latitude"], INSIDE["longitude"]):
            for mark in (str(value).encode(), struct.pack(">d", value), struct.pack("<d", value)):
                assert business.found_in(rows, mark) == set()
                assert mark not in on.gateway.log.encode()


# --- caps, offers, fallback -----------------------------------------------------------------


async def test_c21_a_burst_of_a_hundred_for_one_person_keeps_the_cap(on: Stage) -> None:
    """A hundred parallel calls over all channels and many campaigns: six messages, no more."""
    person = Person()
    channels = ("email", "sms", "push")
    answers = await asyncio.gather(
        *(ask(on, person.request(channels[n % 3], campaign=f"burst-{n % 10}")) for n in range(100))
    )
    ids = [send_id for answer in answers for send_id in answer]
    await on.out.see("send.suppressed", 100 - CAP, recipient_id=person.id, reason="frequency_cap")
    await on.out.see("message.sent", CAP, recipient_id=person.id)
    calls = [call for call in on.providers.journal.calls if call.send_id in ids]
    assert len(calls) == CAP


async def test_offers_follow_the_reason_and_say_so(on: Stage) -> None:
    """The decision record names the row; people whose payment failed are offered nothing."""
    found: dict[str, str] = {}
    for reason in ("price", "service", "payment"):
        person = Person()
        worth = {"amount": "900.00", "currency": "EUR"}
        churn = {"reason": reason, "last_active": "2020-01-01", "lifetime_value": worth}
        (send_id,) = await ask(on, person.request("email", template="incentive", churn=churn))
        await on.out.see("message.sent", send_id=send_id)
        gates = {one["gate"]: one for one in (await story(on, send_id))["gates"]}
        found[reason] = gates["offer"]["answer"]
        assert gates["offer"]["detail"].startswith(reason)
        mail = mail_of(on.providers.journal.to(person.email)[0])
        assert ("%" in mail.subject) == (found[reason] == "percent_off")
    assert found["price"] == "percent_off"
    assert found["service"] not in ("percent_off", "amount_off", "none")
    assert found["payment"] == "none"


async def test_fallback_goes_on_over_a_restart_and_sends_once(tmp_path: Path) -> None:
    """Killed in between, the SMS still goes to who did not react, once, whatever comes late."""
    async with running(tmp_path) as on:
        silent, reacts = Person(), Person()
        waits = {"fallback": {"after": "PT4S", "unless": "delivered"}}
        sends = await ask(on, *(one.request("email", "sms", **waits) for one in (silent, reacts)))
        for send_id in sends:
            await on.out.see("message.sent", send_id=send_id)
        mails = [on.providers.journal.to(one.email)[0] for one in (silent, reacts)]
        await business.mail_event(on, mails[1], "delivered")
        await on.gateway.kill()
        await on.gateway.start()
        await on.providers.journal.first_to(silent.phone)
        await business.mail_event(on, mails[0], "delivered")
        await on.out.see("message.delivered", 2)
        await on.gateway.kill()
        await on.gateway.start()
        await quiet()
        assert len(on.providers.journal.to(silent.phone)) == 1
        assert on.providers.journal.to(reacts.phone) == []


# --- experiments and results ----------------------------------------------------------------


def experiment(name: str) -> dict[str, Any]:
    """Two arms and a third of people held out."""
    variants = [{"name": "A", "weight": 1}, {"name": "B", "weight": 1, "template": "goodbye"}]
    return {"name": name, "variants": variants, "holdout": 0.3}


async def test_the_same_person_has_the_same_arm(on: Stage) -> None:
    """Over requests, campaigns and a profile's second id: one arm, and never out of a hold-out."""
    name = unique("arms")
    arms: defaultdict[str, set[Any]] = defaultdict(set)
    people = [Person() for _ in range(12)]
    sends = await ask(
        on,
        *(
            one.request("email", campaign=campaign, experiment=experiment(name))
            for campaign in (unique("one"), unique("two"))
            for one in people
        ),
    )
    for send_id in sends:
        found = await story(on, send_id)
        gate = next(one for one in found["gates"] if one["gate"] == "experiment")
        arms[found["recipient_id"]].add(gate["answer"])
    assert {len(seen) for seen in arms.values()} == {1}
    assert {"A", "B", "holdout"} == {arm for seen in arms.values() for arm in seen}


async def test_results_are_what_the_topics_say(on: Stage) -> None:
    """A campaign of sixty, recounted from the topics alone, is what the route answers."""
    campaign = unique("results")
    reasons = ("price", "service", "product")
    people = [Person() for _ in range(60)]
    requests = [
        one.request(
            ("email", "sms", "push")[number % 3],
            campaign=campaign,
            template="incentive" if number % 2 else "hello",
            churn={"reason": reasons[number % 4 % 3]},
            experiment=experiment(campaign),
        )
        for number, one in enumerate(people)
    ]
    no = business.consent("all", "revoked")["data"]
    await put(on, f"/v1/recipients/{people[0].id}/consent", no)
    await tell(on, on.topics.sends, *requests)
    await _all_have_ended(on, campaign, len(people))
    await asyncio.sleep(ARRIVES_S)
    await _react(on, campaign)
    _, answer = await on.gateway.api("GET", f"/v1/campaigns/{campaign}/results")

    mine = {one["id"]: one for one in on.out.events if one["data"]["campaign"] == campaign}
    recount = Recount(requests, list(mine.values()))
    treated = [one.id for one in people if one.id not in recount.held_out]
    assert 0 < len(recount.held_out) < len(people)
    total = dict(answer["total"])
    told_lift = total.pop("lift")
    assert total == recount.leaf(treated)
    assert answer["holdout"] == recount.leaf(recount.held_out)
    for group, key in (
        ("by_variant", recount.variant),
        ("by_channel", recount.channel),
        ("by_reason", recount.reason),
        ("by_offer", recount.offer),
    ):
        people_by: defaultdict[str, list[str]] = defaultdict(list)
        for one in treated:
            if key.get(one) is not None:
                people_by[str(key[one])].append(one)
        assert answer[group] == {name: recount.leaf(who) for name, who in people_by.items()}, group
    total, held = answer["total"], answer["holdout"]
    expected = lift(total["returned"], total["targeted"], held["returned"], held["targeted"])
    assert expected is not None
    assert told_lift == json.loads(json.dumps(expected.as_dict()))


async def _all_have_ended(on: Stage, campaign: str, count: int) -> None:
    deadline_s = time.monotonic() + 20
    while True:
        done = {
            one["data"]["send_id"]
            for kind in ("message.sent", "send.suppressed")
            for one in on.out.of(kind, campaign=campaign)
        }
        if len(done) == count:
            return
        assert time.monotonic() < deadline_s, f"{len(done)} of {count} ended"
        await asyncio.sleep(0.05)


async def _react(on: Stage, campaign: str) -> None:
    """Some mails and SMS arrive, are opened, clicked and answered with a no; some people buy."""
    calls = {one.delivery_id: one for one in on.providers.journal.calls}
    sent = [one["data"] for one in on.out.of("message.sent", campaign=campaign)]
    held_out = [
        one["data"] for one in on.out.of("send.suppressed", campaign=campaign, reason="held_out")
    ]
    bought: list[dict[str, Any]] = []
    for number, data in enumerate(sent):
        call = calls[data["delivery_id"]]
        if data["channel"] == "email" and number % 2:
            await business.mail_event(on, call, "delivered")
            mail = mail_of(call)
            await on.gateway.get(mail.pixel, **{"User-Agent": business.PERSON_AGENT})
            await business.click(on, mail.clicks[0])
            if number % 3 == 0:
                await on.gateway.ask(
                    "POST", mail.one_click, body=business.ONE_CLICK, headers=business.FORM
                )
        elif data["channel"] == "sms":
            await business.sms_status(on, call, "delivered")
        if number % 4 == 0:
            bought.append(_bought(data["recipient_id"], f"{number}.10"))
    bought += [_bought(data["recipient_id"], "5.55") for data in held_out[::3]]
    await tell(on, on.topics.conversions, *bought)
    await on.out.see("conversion.attributed", len(bought), campaign=campaign)
    await quiet()


def _bought(person: str, amount: str) -> dict[str, Any]:
    return Person(person).conversion(value={"amount": amount, "currency": "EUR"})


class Recount:
    """A campaign's results, from the events of the topics and nothing else."""

    def __init__(self, requests: Iterable[dict[str, Any]], told: list[dict[str, Any]]) -> None:
        self._people: defaultdict[str, set[str]] = defaultdict(set)
        self._paid: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.variant: dict[str, Any] = {}
        self.channel: dict[str, Any] = {}
        self.offer: dict[str, Any] = {}
        self.reason = {
            one["data"]["recipient"]["id"]: one["data"]["churn"]["reason"] for one in requests
        }
        self._asked = {
            one["data"]["recipient"]["id"]: one["data"]["channels"][0] for one in requests
        }
        for one in told:
            self._count(one["type"].removeprefix("winback.").removesuffix(".v1"), one["data"])
        self.held_out = sorted(self._people["holdout"])

    def _count(self, kind: str, data: dict[str, Any]) -> None:
        person = data["recipient_id"]
        self.variant[person] = data["variant"]
        self.offer[person] = data["offer_kind"]
        self.channel[person] = self._asked[person]
        self._people["targeted"].add(person)
        if data["is_holdout"]:
            self._people["holdout"].add(person)
        name = {
            "message.sent": "sent",
            "message.delivered": "delivered",
            "message.opened": "opened",
            "message.clicked": "clicked",
            "recipient.unsubscribed": "unsubscribed",
            "conversion.attributed": "returned",
        }.get(kind)
        if name is not None and data["actor"] in (None, "human"):
            self._people[name].add(person)
        if name == "returned" and data["value"] is not None:
            self._paid[person] += Decimal(data["value"])

    def leaf(self, people: Iterable[str]) -> dict[str, Any]:
        """The leaf of these people."""
        among = set(people)
        names = ("targeted", "sent", "delivered", "opened", "clicked", "unsubscribed", "returned")
        counts: dict[str, Any] = {name: len(self._people[name] & among) for name in names}
        paid = sum((self._paid[one] for one in among if one in self._paid), Decimal())
        return {
            **counts,
            "revenue": {"EUR": str(paid)} if paid else {},
            "reactivation_rate": counts["returned"] / counts["targeted"],
        }
