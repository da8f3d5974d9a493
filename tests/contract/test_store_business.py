"""Every store keeps these promises about business: coupons, caps, stops, places and people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.sends import NOW, admission

from channels.contract import Accepted, Deferred, Outcome, Receipt, ReceiptType, Refused, Scope
from channels.contract import Uncertain as InDoubt
from gateway.clock import ManualClock
from gateway.core.delivery import Tried
from gateway.core.engagement import EventType
from gateway.core.gates import Cause, Rules
from gateway.core.ids import send_id, subject_key
from gateway.core.policy import Cap
from gateway.core.request import ConversionData, Money
from gateway.store.contract import Change, Claimed, Hit, Refusal, Store
from gateway.store.scripted import Conduct
from gateway.store.sqlite import SqliteStore

CLAIM_FOR = timedelta(seconds=90)
WAIT = timedelta(minutes=15)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SOON = timedelta(seconds=1)
WINDOWS = {"email": 5 * DAY, "sms": DAY, "push": DAY}
CHANNELS = ("email", "sms", "push")
PAID = Money("30.00", "EUR")
Open = partial[AbstractAsyncContextManager[Store]]


def opener(path: str, *, rules: Rules | None = None) -> Open:
    """Open a store under these rules, as often as wanted where it is a file."""
    conduct = Conduct(WAIT, rules or Rules(), WINDOWS, DAY)
    return partial(SqliteStore, path=path, clock=ManualClock(NOW), conduct=conduct)


@pytest.fixture(params=["memory", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the store under test is."""
    return ":memory:" if request.param == "memory" else str(tmp_path / "store.db")


@pytest.fixture
async def store(path: str) -> AsyncIterator[Store]:
    """An open store without caps."""
    async with opener(path)() as opened:
        yield opened


@pytest.fixture
async def capped(path: str) -> AsyncIterator[Store]:
    """An open store that lets two promotional messages a week through, on all channels."""
    cap = Cap(7 * DAY, 2, frozenset(CHANNELS))
    async with opener(path, rules=Rules(caps=(cap,)))() as opened:
        yield opened


async def admit(store: Store, name: str, *channels: str, room: int = 0, **more: Any) -> str:
    """Admit one request; its send id."""
    one = admission(secret=store.secret, name=name, channels=channels or ("email",), **more)
    rooms = dict.fromkeys(CHANNELS, room)
    (answer,) = await store.admit([one], room=rooms, claim_for=CLAIM_FOR, now=NOW)
    assert answer.status == "accepted"
    return answer.send_id


async def claim(
    store: Store, channel: str = "email", *, after: timedelta = timedelta(), limit: int = 100
) -> list[Claimed]:
    """Claim what is due on a channel some time later."""
    return list(await store.claim(channel, limit, claim_for=CLAIM_FOR, now=NOW + after))


async def settle(store: Store, one: Claimed, outcome: Outcome, **more: Any) -> None:
    """The attempt of a claim ended like this."""
    after = more.pop("after", SOON)
    tried = Tried(
        claim=one.claim,
        outcome=outcome,
        provider="sandbox",
        started_at=NOW + after,
        ended_at=NOW + after,
        draw=0.5,
        locale="en",
        **more,
    )
    await store.settle([tried], now=NOW + after)


async def send(store: Store, name: str, *channels: str, **more: Any) -> Claimed:
    """A request whose message was taken at once."""
    sent = await admit(store, name, *channels, **more)
    (one,) = [c for c in await claim(store, (channels or ("email",))[0]) if _is(c, sent)]
    await settle(store, one, Accepted(f"id-{name}"))
    return one


def _is(one: Claimed, sent: str) -> bool:
    return one.claim.plan.send_id == sent


def receipt(kind: ReceiptType, one: Claimed) -> Receipt:
    """What the provider says about a message an instant after it went out."""
    delivery_id = one.claim.delivery_id
    return Receipt(kind, "sandbox", delivery_id, "", "", NOW + 2 * SOON, f"{kind}-{delivery_id}")


async def events(store: Store, kind: str = "", **data: Any) -> list[dict[str, Any]]:
    """Facts not yet published: of one type, with these values."""
    found = [
        json.loads(one.record.value or b"null")
        for one in await store.pending(2000)
        if one.record.topic == "engagement"
    ]
    return [
        event
        for event in found
        if event["type"] in (f"winback.{kind}.v1", event["type"] if not kind else "")
        and all(event["data"][name] == value for name, value in data.items())
    ]


async def reasons(store: Store) -> dict[str, str]:
    """Why requests ended without a message, by request."""
    return {
        event["data"]["request_id"]: event["data"]["reason"]
        for event in await events(store, "send.suppressed")
    }


def offer(**more: Any) -> dict[str, Any]:
    """An offer whose codes are in the pool `spring`."""
    return {"offer": {"kind": "percent_off", "percent": 10, "pool": "spring", **more}}


def conversion(person: str = "ada", **more: Any) -> ConversionData:
    """A person came back an hour later."""
    return ConversionData(person, "order", NOW + HOUR, **more)


# --- coupons --------------------------------------------------------------------------------


async def test_s15_one_code_per_person_campaign_and_pool(store: Store) -> None:
    """A second request of the same campaign carries the same code; another campaign another."""
    await store.add_codes("spring", ["AAA", "BBB", "CCC"])
    first = await send(store, "r1", **offer())
    second = await send(store, "r2", "sms", **offer())
    third = await send(store, "r3", campaign="autumn", **offer())

    assert first.coupon is not None
    assert first.coupon == second.coupon
    assert third.coupon is not None
    assert third.coupon.code != first.coupon.code
    issued = [event["data"]["coupon_code"] for event in await events(store, "coupon.issued")]
    assert sorted(issued) == sorted([first.coupon.code, third.coupon.code])
    assert await store.count_codes("spring") == {"free": 1, "issued": 2}


async def test_s15_retries_and_channels_carry_the_same_code(store: Store) -> None:
    """A code stays with its person over a retry and over the next channel."""
    await store.add_codes("spring", ["AAA", "BBB", "CCC"])
    await admit(store, "r1", "email", "sms", **offer())
    (first,) = await claim(store)
    await settle(store, first, Deferred("later"))
    (again,) = await claim(store, after=HOUR)
    await settle(store, again, Refused("no such user", Scope.ADDRESS), after=HOUR)
    (by_sms,) = await claim(store, "sms", after=HOUR)

    assert first.coupon is not None
    assert again.coupon is not None
    assert by_sms.coupon is not None
    assert first.coupon.code == again.coupon.code == by_sms.coupon.code
    assert await store.count_codes("spring") == {"free": 2, "reserved": 1}


async def test_an_empty_pool_ends_the_request_as_no_coupon(store: Store) -> None:
    """With one code for two people the second request is suppressed."""
    await store.add_codes("spring", ["AAA"])
    await admit(store, "r1", person="ada", **offer())
    await admit(store, "r2", person="bo", **offer())

    assert len(await claim(store)) == 1
    assert list((await reasons(store)).values()) == ["no_coupon"]


async def test_a_refused_message_gives_its_code_back(store: Store) -> None:
    """After a permanent refusal on the last channel the code is free again."""
    await store.add_codes("spring", ["AAA"])
    await admit(store, "r1", **offer())
    (one,) = await claim(store)
    assert await store.count_codes("spring") == {"reserved": 1}
    await settle(store, one, Refused("content", Scope.MESSAGE))
    assert await store.count_codes("spring") == {"free": 1}


async def test_a_code_in_doubt_never_goes_to_somebody_else(store: Store) -> None:
    """The message may have arrived: after the wait its code is not free."""
    await store.add_codes("spring", ["AAA"])
    await admit(store, "r1", person="ada", **offer())
    (one,) = await claim(store)
    await settle(store, one, InDoubt("timeout"))
    while await store.sweep(now=NOW + HOUR, limit=10):
        pass
    await admit(store, "r2", person="bo", **offer())
    assert await claim(store, after=HOUR) == []
    assert (await reasons(store))["r2"] == "no_coupon"


async def test_a_bounce_takes_the_code_back(store: Store) -> None:
    """A code whose message came back is worth nothing, to nobody."""
    await store.add_codes("spring", ["AAA"])
    one = await send(store, "r1", **offer())
    bounce = receipt(ReceiptType.BOUNCED, one)
    await store.record(now=NOW + HOUR, receipts=[bounce])

    assert await store.count_codes("spring") == {"returned": 1}
    over = await store.redeem("AAA", order_id="o1", value=None, now=NOW + HOUR)
    assert over.verdict == "over"


async def test_redeeming_counts_once_per_order(store: Store) -> None:
    """Now, before, by another, unknown; one event whose value is the order's."""
    await store.add_codes("spring", ["AAA", "BBB"])
    assert (await _redeem(store, "AAA", "o1")) == "unknown", "it was never issued"
    one = await send(store, "r1", **offer())
    assert one.coupon is not None
    code = one.coupon.code

    assert [await _redeem(store, code, order) for order in ("o1", "o1", "o2")] == [
        "now", "before", "by_another",
    ]  # fmt: skip
    assert await _redeem(store, "ZZZ", "o1") == "unknown"
    (told,) = await events(store, "coupon.redeemed")
    assert (told["data"]["value"], told["data"]["currency"]) == ("30.00", "EUR")
    assert told["data"]["delivery_id"] == one.claim.delivery_id


async def _redeem(store: Store, code: str, order: str, *, after: timedelta = HOUR) -> str:
    found = await store.redeem(code, order_id=order, value=PAID, now=NOW + after)
    return found.verdict


async def test_an_issued_code_expires_and_tells_once(store: Store) -> None:
    """The sweep after its time publishes one event; then it cannot be redeemed."""
    await store.add_codes("spring", ["AAA"])
    await send(store, "r1", **offer(expires_in="PT1H"))
    await store.sweep(now=NOW + HOUR - SOON, limit=10)
    assert await events(store, "coupon.expired") == []
    for _ in range(2):
        await store.sweep(now=NOW + HOUR + 2 * SOON, limit=10)
    assert len(await events(store, "coupon.expired")) == 1
    assert await _redeem(store, "AAA", "o1", after=2 * HOUR) == "over"


async def test_adding_codes_twice_changes_nothing(store: Store) -> None:
    """A code that a pool has is left as it is, also where another pool names it."""
    assert await store.add_codes("spring", ["AAA", "BBB"]) == {"free": 2}
    one = await send(store, "r1", **offer())
    assert await store.add_codes("spring", ["AAA", "BBB"]) == {"free": 1, "issued": 1}
    assert one.coupon is not None
    assert await store.add_codes("autumn", [one.coupon.code]) == {}


# --- caps -----------------------------------------------------------------------------------


async def test_c21_a_cap_holds_across_channels_and_campaigns(capped: Store) -> None:
    """Of five promotional requests two go out, whatever their channel; receipts are not counted."""
    await admit(capped, "r1", "email")
    await admit(capped, "r2", "sms", campaign="autumn")
    await admit(capped, "r3", "push", campaign="winter")
    await admit(capped, "r4", "email", purpose="transactional")
    sent = [one for channel in CHANNELS for one in await claim(capped, channel)]

    assert len([one for one in sent if one.claim.plan.is_promotional]) == 2
    assert len(sent) == 3
    assert list((await reasons(capped)).values()) == ["frequency_cap"]


async def test_c21_a_burst_for_one_person_is_capped_in_one_claim(capped: Store) -> None:
    """A hundred due deliveries of one person in one transaction: two are claimed."""
    for number in range(100):
        await admit(capped, f"r{number}", room=100)
    assert len(await claim(capped, limit=1000)) == 2
    assert Counter((await reasons(capped)).values()) == {"frequency_cap": 98}


async def test_c21_the_higher_priority_gets_the_last_place(capped: Store) -> None:
    """Low came first, high came last: under the cap high and normal go out."""
    for name in ("low", "normal", "high"):
        await admit(capped, name, priority=name)
    assert [one.data.priority for one in await claim(capped)] == ["high", "normal"]
    assert await reasons(capped) == {"low": "frequency_cap"}


async def test_c21_what_may_have_arrived_counts(capped: Store) -> None:
    """A message in doubt, and one given up in doubt, take a place under the cap."""
    await admit(capped, "r1")
    await admit(capped, "r2")
    for one in await claim(capped):
        await settle(capped, one, InDoubt("timeout"))
    await admit(capped, "r3")
    assert await claim(capped, after=SOON) == []
    while await capped.sweep(now=NOW + HOUR, limit=10):
        pass
    assert len(await events(capped, "message.unknown")) == 2
    await admit(capped, "r4")
    assert await claim(capped, after=HOUR) == []
    assert await reasons(capped) == {"r3": "frequency_cap", "r4": "frequency_cap"}


async def test_c21_the_window_rolls(capped: Store) -> None:
    """A week later there is room again."""
    await send(capped, "r1")
    await send(capped, "r2")
    await admit(capped, "r3")
    assert len(await claim(capped, after=7 * DAY + HOUR)) == 1


async def test_c21_caps_count_over_a_restart(tmp_path: Path) -> None:
    """What the process before sent is counted."""
    cap = Cap(7 * DAY, 1, frozenset(CHANNELS))
    reopen = opener(str(tmp_path / "store.db"), rules=Rules(caps=(cap,)))
    async with reopen() as store:
        await send(store, "r1")
    async with reopen() as store:
        await admit(store, "r2", "sms")
        assert await claim(store, "sms") == []
        assert await reasons(store) == {"r2": "frequency_cap"}


# --- no silent end --------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cap", "cancel"])
async def test_an_end_on_a_later_channel_is_told(capped: Store, how: str) -> None:
    """The first channel was closed and never tried: the request's end is still published."""
    await _revoke(capped, "email")
    await admit(capped, "r1", "email", "sms")
    if how == "cap":
        await send(capped, "x1", "push")
        await send(capped, "x2", "push")
    else:
        await capped.cancel(now=NOW, request=("/crm", "r1"))
    assert await claim(capped, "sms") == []
    expected = "frequency_cap" if how == "cap" else "cancelled"
    assert await reasons(capped) == {"r1": expected}


async def _revoke(store: Store, channel: str, *, person: str = "ada", topic: str = "") -> None:
    key = subject_key(store.secret, "person", person)
    await store.record(
        now=NOW,
        changes=[
            Change(
                cause=Cause.CONSENT,
                channel=channel,
                is_revoked=True,
                occurred_at=NOW,
                source="call centre",
                recipient_id=person,
                subjects=[key],
                topic=topic,
                evidence="note 12",
                fact=EventType.UNSUBSCRIBED,
            )
        ],
    )


# --- consent --------------------------------------------------------------------------------


async def test_c15_the_ledger_keeps_source_time_and_evidence(store: Store) -> None:
    """Every word stays, with where it came from, when it was said and what proves it."""
    await _revoke(store, "sms")
    await _revoke(store, "email", topic="spring")
    person = await store.person("ada")
    assert person is not None
    said = {(one["channel"], one["topic"]): one for one in person["consent"]}
    assert set(said) == {("sms", None), ("email", "spring")}
    for one in said.values():
        assert (one["source"], one["evidence"]) == ("call centre", "note 12")
        assert (one["occurred_at"], one["recorded_at"]) == (NOW, NOW)


async def test_c16_a_no_has_the_scope_that_it_names(store: Store) -> None:
    """A no to SMS leaves e-mail, a no to one campaign leaves the others, receipts go on."""
    await _revoke(store, "sms")
    await _revoke(store, "email", topic="spring")
    await admit(store, "r1", "sms", campaign="autumn")
    await admit(store, "r2", "email", campaign="spring")
    await admit(store, "r3", "email", campaign="autumn")
    await admit(store, "r4", "email", campaign="spring", purpose="transactional")
    gone = {one.claim.plan.request_id for one in await claim(store)}
    assert gone == {"r3", "r4"}
    assert await reasons(store) == {"r1": "consent", "r2": "consent"}


@pytest.mark.parametrize(
    ("cause", "is_proof"),
    [(Cause.CONSENT, True), (Cause.STOP, False)],
    ids=["a word of consent", "START after STOP"],
)
async def test_c22_promotional_sms_needs_a_consent_record(
    path: str, cause: Cause, *, is_proof: bool
) -> None:
    """With proof required, only a word of consent opens SMS; receipts and e-mail need none."""
    async with opener(path, rules=Rules(needs_sms_proof=True))() as store:
        await admit(store, "before", "sms")
        await admit(store, "receipt", "sms", purpose="transactional")
        await admit(store, "mail", "email")
        key = subject_key(store.secret, "sms", "+4512345678")
        for is_revoked in (True, False):
            change = Change(
                cause=cause, channel="sms", is_revoked=is_revoked, subjects=[key], source="x",
                occurred_at=NOW + SOON * (2 - is_revoked), undoes=() if is_revoked else (cause,),
            )  # fmt: skip
            await store.record(now=NOW, changes=[change])
        await admit(store, "after", "sms")
        gone = {one.claim.plan.request_id for one in await claim(store, "sms")}
        assert gone == ({"receipt", "after"} if is_proof else {"receipt"})
        assert len(await claim(store, "email")) == 1


# --- cancel, kill, convert ------------------------------------------------------------------


async def test_cancelling_a_request_before_and_after_it_comes(store: Store) -> None:
    """Both ways it ends as cancelled, once; what went out already stays."""
    sent = await send(store, "r0")
    await admit(store, "r1")
    assert await store.cancel(now=NOW, request=("/crm", "r1")) == [send_id("/crm", "r1")]
    assert await store.cancel(now=NOW, request=("/crm", "r2")) == []
    assert await store.cancel(now=NOW, request=("/crm", "r0")) == []
    await admit(store, "r2")
    assert await claim(store) == []
    assert await reasons(store) == {"r1": "cancelled", "r2": "cancelled"}
    story = await store.story(sent.claim.plan.send_id)
    assert story is not None
    assert story["state"] == "sent"


async def test_cancelling_a_campaign_or_one_persons_part_of_it(store: Store) -> None:
    """The scope is the campaign, or the person in it; others go on."""
    for name, person, campaign in (
        ("r1", "ada", "spring"), ("r2", "bo", "spring"), ("r3", "ada", "autumn"),
    ):  # fmt: skip
        await admit(store, name, person=person, campaign=campaign)
    await store.cancel(now=NOW, campaign="spring", recipient_id="ada")
    assert await reasons(store) == {"r1": "cancelled"}
    await store.cancel(now=NOW, campaign="spring")
    assert await reasons(store) == {"r1": "cancelled", "r2": "cancelled"}
    assert [one.claim.plan.request_id for one in await claim(store)] == ["r3"]


async def test_cancelled_in_flight_is_not_tried_again(store: Store) -> None:
    """A claim that was open at the cancellation may end; its retry and next channel may not."""
    await admit(store, "r1", "email", "sms")
    await admit(store, "r2", "email", "sms")
    first, second = await claim(store)
    for name in ("r1", "r2"):
        assert await store.cancel(now=NOW, request=("/crm", name)) == [send_id("/crm", name)]
    await settle(store, first, Deferred("later"))
    await settle(store, second, Refused("no such user", Scope.ADDRESS))
    for channel in ("email", "sms"):
        assert await claim(store, channel, after=HOUR) == []
    assert (await reasons(store))["r1"] == "cancelled"


async def test_a_cancelled_receipt_in_doubt_is_not_repeated(store: Store) -> None:
    """A transactional message in doubt would go again; once cancelled it must not."""
    await admit(store, "r1", purpose="transactional")
    (one,) = await claim(store)
    await settle(store, one, InDoubt("timeout"))
    await store.cancel(now=NOW, request=("/crm", "r1"))
    while await store.sweep(now=NOW + HOUR, limit=10):
        pass
    assert await claim(store, after=HOUR) == []


@pytest.mark.parametrize("scope", ["global", "channel:email", "campaign:spring"])
async def test_o18_a_switch_holds_back_and_lets_go(store: Store, scope: str) -> None:
    """While it is stopped nothing in the scope is claimed, then everything is; others go on."""
    await admit(store, "before")
    await store.switch(scope, is_stopped=True, reason="wrong price", now=NOW)
    await admit(store, "during", room=10)
    await admit(store, "other", "sms", campaign="autumn")
    assert await claim(store) == []
    assert len(await claim(store, "sms")) == (0 if scope == "global" else 1)
    await store.switch(scope, is_stopped=False, reason="right again", now=NOW)
    gone = {one.claim.plan.request_id for one in await claim(store, after=SOON)}
    assert gone == {"before", "during"}
    (switch,) = await store.switches()
    assert (switch.scope, switch.is_stopped, switch.reason) == (scope, False, "right again")


@pytest.mark.parametrize("scope", ["global", "channel:email", "campaign:spring"])
async def test_o18_discarding_ends_what_is_queued_as_killed(store: Store, scope: str) -> None:
    """What waits in the scope is killed, also later ones; what is outside stays."""
    await admit(store, "now")
    await admit(store, "later", not_before=(NOW + HOUR).isoformat())
    await admit(store, "other", "sms", campaign="autumn")
    await store.switch(scope, is_stopped=True, reason="stop", now=NOW)
    while await store.discard(scope, now=NOW):
        pass
    expected = {"now": "killed", "later": "killed"}
    assert await reasons(store) == expected | ({"other": "killed"} if scope == "global" else {})
    await store.switch(scope, is_stopped=False, reason="go", now=NOW)
    assert await claim(store, after=2 * HOUR) == []


async def test_o18_what_is_held_may_expire(store: Store) -> None:
    """A stopped campaign's request ends as expired at its own time."""
    await admit(store, "r1", expires_at=(NOW + HOUR).isoformat())
    await store.switch("campaign:spring", is_stopped=True, reason="stop", now=NOW)
    assert await claim(store) == []
    await store.sweep(now=NOW + HOUR + SOON, limit=10)
    assert await reasons(store) == {"r1": "expired"}


async def test_o18_a_push_that_one_device_has_is_not_told_twice(store: Store) -> None:
    """A switch meets a push that one of two devices took: afterwards it is still sent, once."""
    devices = [{"platform": "fcm", "token": name} for name in ("one", "two")]
    sent = await admit(store, "r1", "push", recipient={"push": devices})
    (one,) = await claim(store, "push")
    await settle(store, one, Accepted("id"), targets="a.")
    await store.switch("campaign:spring", is_stopped=True, reason="stop", now=NOW)
    assert await claim(store, "push", after=HOUR) == []
    await store.cancel(now=NOW + HOUR, request=("/crm", "r1"))
    await store.switch("campaign:spring", is_stopped=False, reason="go", now=NOW + HOUR)
    assert await claim(store, "push", after=2 * HOUR) == []
    story = await store.story(sent)
    assert story is not None
    assert story["state"] == "sent"
    assert await reasons(store) == {}


async def test_a_conversion_stops_promotions_on_all_channels_once(store: Store) -> None:
    """Everything promotional that waits ends as converted, receipts stay; a repeat is none."""
    for name, channel, more in (
        ("mail", "email", {}),
        ("sms", "sms", {"campaign": "autumn", "not_before": (NOW + HOUR).isoformat()}),
        ("push", "push", {"geo": {"fences": ["shop"]}}),
        ("receipt", "email", {"purpose": "transactional"}),
        ("other", "email", {"person": "bo"}),
    ):
        await admit(store, name, channel, **more)
    stopped = await store.convert("c1", conversion(), now=NOW)
    assert stopped is not None
    assert sorted(stopped) == sorted(send_id("/crm", name) for name in ("mail", "sms", "push"))
    assert await store.convert("c1", conversion(), now=NOW) is None
    assert await reasons(store) == dict.fromkeys(("mail", "sms", "push"), "converted")
    assert {one.claim.plan.request_id for one in await claim(store)} == {"receipt", "other"}


async def test_a_conversion_is_credited_by_code_click_delivery_acceptance(store: Store) -> None:
    """Each rule in its turn names its delivery; without any in its window nobody is credited."""
    await store.add_codes("spring", ["AAA"])
    coupon = await send(store, "coupon", **offer())
    clicked = await send(store, "clicked", campaign="c2")
    delivered = await send(store, "delivered", "sms", campaign="c3")
    accepted = await send(store, "accepted", "push", campaign="c4")
    told: list[str | None] = []

    async def credit(name: str, **more: Any) -> None:
        await store.convert(name, conversion(**more), now=NOW + HOUR)
        (event,) = (await events(store, "conversion.attributed"))[-1:]
        told.append(event["data"]["attributed_to"])

    await credit("c1")
    await store.record(now=NOW + SOON, receipts=[receipt(ReceiptType.DELIVERED, delivered)])
    await credit("c2")
    await _click(store, clicked)
    await credit("c3")
    await credit("c4", coupon_code="aaa", value=PAID)
    names = [one.claim.delivery_id for one in (accepted, delivered, clicked, coupon)]
    assert told == names
    await store.convert("c5", ConversionData("ada", "order", NOW + 30 * DAY), now=NOW)
    assert len(await events(store, "conversion.attributed")) == len(names)


async def _click(store: Store, one: Claimed) -> None:
    agent = "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_4) AppleWebKit/605.1.15 Safari/605.1.15"
    await store.record(
        now=NOW + HOUR / 2,
        hits=[Hit("clicked", one.claim.delivery_id, NOW + HOUR / 2, agent, link=0)],
    )


# --- fallback -------------------------------------------------------------------------------


FALLBACK: dict[str, Any] = {"fallback": {"after": "PT1H", "unless": "clicked"}}


async def test_the_next_channel_has_its_turn_unless_the_person_reacted(store: Store) -> None:
    """Who did not click gets the SMS an hour later; who clicked, or came back, gets none."""
    for person in ("silent", "clicks", "returns"):
        one = await send(store, person, "email", "sms", person=person, **FALLBACK)
        if person == "clicks":
            await _click(store, one)
    await store.convert("c1", conversion("returns"), now=NOW + HOUR / 2)
    await store.sweep(now=NOW + HOUR - SOON, limit=10)
    assert await claim(store, "sms", after=HOUR - SOON) == []
    await store.sweep(now=NOW + HOUR + 2 * SOON, limit=10)
    gone = await claim(store, "sms", after=HOUR + 2 * SOON)
    assert [one.claim.plan.recipient_id for one in gone] == ["silent"]


async def test_a_late_receipt_does_not_send_twice(store: Store) -> None:
    """A click between the fallback and its claim calls it off; a receipt after it adds nothing."""
    one = await send(store, "r1", "email", "sms", **FALLBACK)
    await store.sweep(now=NOW + HOUR + 2 * SOON, limit=10)
    await _click(store, one)
    assert await claim(store, "sms", after=HOUR + 2 * SOON) == []
    late = receipt(ReceiptType.DELIVERED, one)
    await store.record(now=NOW + 2 * HOUR, receipts=[late])
    await store.sweep(now=NOW + DAY, limit=10)
    assert await claim(store, "sms", after=DAY) == []
    assert len(await events(store, "message.sent")) == 1


async def test_a_push_finished_after_its_fallback_starts_no_second_one(store: Store) -> None:
    """A device that takes the push late plans no further fallback, and breaks nothing."""
    devices = [{"platform": "fcm", "token": name} for name in ("one", "two")]
    await admit(store, "r1", "push", "sms", recipient={"push": devices}, **FALLBACK)
    (one,) = await claim(store, "push")
    await settle(store, one, Accepted("id"), targets="a.")
    await store.sweep(now=NOW + HOUR + 2 * SOON, limit=10)
    assert len(await claim(store, "sms", after=HOUR + 2 * SOON)) == 1
    (again,) = await claim(store, "push", after=HOUR + 2 * SOON)
    await settle(store, again, Accepted("id2"), targets="aa", after=HOUR + 3 * SOON)
    await store.sweep(now=NOW + 3 * HOUR, limit=10)
    assert await claim(store, "sms", after=3 * HOUR) == []


# --- places ---------------------------------------------------------------------------------


async def test_an_armed_request_goes_when_its_person_is_inside(store: Store) -> None:
    """Seen elsewhere, or at a closed store, it stays armed; seen inside it goes, once."""
    await admit(store, "r1", "sms", geo={"fences": ["shops"]}, room=10)
    (armed,) = await events(store, "send.armed")
    assert armed["data"]["request_id"] == "r1"
    for person, places in (
        ("ada", {"park": True}),
        ("ada", {"shops": False}),
        ("bo", {"shops": True}),
    ):
        assert await store.seen_at(person, places, groups={}, now=NOW) == []
    assert await claim(store, "sms") == []
    for number in range(10):
        found = await store.seen_at("ada", {"shop-1": True, "shops": True}, groups={}, now=NOW)
        assert len(found) == int(number == 0)
    assert len(await claim(store, "sms")) == 1


async def test_in_a_cooldown_an_armed_request_stays_armed(store: Store) -> None:
    """A second request for the same group waits for the day to be over, and goes then."""
    geo = {"fences": ["shops"]}
    await admit(store, "r1", "sms", geo=geo)
    await admit(store, "r2", "sms", geo=geo, campaign="autumn")
    inside = {"shop-1": True, "shops": True}
    assert await store.seen_at("ada", inside, groups={}, now=NOW) == [send_id("/crm", "r1")]
    assert await store.seen_at("ada", inside, groups={}, now=NOW + DAY - SOON) == []
    assert await store.seen_at("ada", inside, groups={}, now=NOW + DAY) == [send_id("/crm", "r2")]


async def test_a_message_at_one_fence_cools_its_whole_group(store: Store) -> None:
    """Two shops of one group and one of another: an SMS at the first holds back the second."""
    groups = {"shop-1": ["shops"], "shop-2": ["shops"], "kiosk": ["kiosks"]}
    for name, fence in (("r1", "shop-1"), ("r2", "shop-2"), ("r3", "kiosk")):
        await admit(store, name, "sms", geo={"fences": [fence]})
    gone = [
        await store.seen_at("ada", {fence: True, group: True}, groups=groups, now=NOW)
        for fence, (group,) in groups.items()
    ]
    assert gone == [[send_id("/crm", "r1")], [], [send_id("/crm", "r3")]]


async def test_geo_expires_at_ends_an_armed_request_as_expired(store: Store) -> None:
    """Nobody came: at its end the request is suppressed, and not before."""
    geo = {"fences": ["shops"], "expires_at": (NOW + HOUR).isoformat()}
    await admit(store, "r1", "sms", geo=geo)
    assert await claim(store, "sms", after=HOUR - SOON) == []
    assert await reasons(store) == {}
    assert await claim(store, "sms", after=HOUR) == []
    assert await reasons(store) == {"r1": "expired"}


async def test_fences_are_kept_and_dropped(store: Store) -> None:
    """What is put is there and changes the age; what is dropped is gone."""
    before = await store.fences_age()
    await store.put_fence("shop-1", b"{}", now=NOW)
    assert await store.fences() == [("shop-1", b"{}")]
    assert await store.fences_age() != before
    await store.drop_fence("shop-1")
    assert await store.fences() == []


# --- erasure and export ---------------------------------------------------------------------


async def test_c18_the_export_of_one_person_holds_nothing_of_another(store: Store) -> None:
    """Two subjects: each export has its own sends, words, codes and conversions alone."""
    await store.add_codes("spring", ["AAA", "BBB"])
    for person in ("ada", "grace"):
        await _live(store, person)
    export = await store.person("ada")
    assert export is not None
    text = json.dumps(export, default=str)
    assert "ada@example.com" in text
    assert "grace" not in text
    assert len(export["sends"]) == 2
    assert len(export["coupons"]) == 1
    assert (export["state"], export["revenue"]) == ("returned", {"EUR": "30.00"})
    assert {one["channel"] for one in export["consent"]} == {"sms"}
    assert await store.person("nobody") is None


async def _live(store: Store, person: str) -> None:
    """A person with a message, a code, an armed request, a no and a conversion."""
    phone = {"phone": f"+45{sum(map(ord, person)):08d}"}
    one = await send(store, f"{person}-1", person=person, recipient=phone, **offer())
    await _click(store, one)
    await admit(
        store, f"{person}-2", "push", person=person, recipient=phone, geo={"fences": ["shop"]}
    )
    await _revoke(store, "sms", person=person)
    await store.seen_at(person, {"shop": True}, groups={}, now=NOW)
    # A conversion is kept by the hash of its identity, as the flow gives it.
    await store.convert(send_id("/shop", f"c-{person}"), conversion(person, value=PAID), now=NOW)
    await store.keep_links(
        [(f"L{person}", one.claim.delivery_id, 0, f"https://x.example/{person}")]
    )


async def test_c18_erasing_leaves_only_hashes_and_reimport_stays_shut(tmp_path: Path) -> None:
    """After an erasure no row and no byte of the file names the person; a re-import is refused."""
    path = tmp_path / "store.db"
    async with opener(str(path))() as store:
        await store.add_codes("spring", ["AAA", "BBB"])
        for person in ("ada-lovelace", "grace-hopper"):
            await _live(store, person)
        letter = Refusal("dlq:1", None, b'{"to": "ada-lovelace@example.com"}', ())
        await store.admit([], [letter], room={}, claim_for=CLAIM_FOR, now=NOW)
        marks = [one.mark for one in await store.pending(1000)]
        await store.published(max(marks))
        closed = await store.erase("ada-lovelace", now=NOW + HOUR)
        assert subject_key(store.secret, "person", "ada-lovelace") in closed
        assert subject_key(store.secret, "email", "ada-lovelace@example.com") in closed
        assert await store.person("ada-lovelace") is None

        await admit(store, "new", "email", "sms", "push", person="ada-lovelace")
        await admit(
            store, "alias", person="someone", recipient={"email": "Ada-Lovelace@example.com"}
        )
        assert await reasons(store) == {"new": "consent", "alias": "consent"}
        assert await store.person("grace-hopper") is not None
        await store.erase("ada-lovelace", now=NOW + HOUR)
    kept = path.read_bytes()
    assert b"grace-hopper" in kept
    assert b"ada-lovelace" not in kept


async def test_c18_an_attempt_that_outlives_its_person_settles_nothing(store: Store) -> None:
    """Its numbers are not given again: the next person's claim is not settled by it."""
    await admit(store, "r1", person="ada")
    (late,) = await claim(store)
    await store.erase("ada", now=NOW)
    await admit(store, "r2", person="bo")
    (fresh,) = await claim(store)
    await settle(store, late, Accepted("late"))
    await settle(store, fresh, Accepted("fresh"))
    (told,) = await events(store, "message.sent")
    assert told["data"]["recipient_id"] == "bo"
    story = await store.story(fresh.claim.plan.send_id)
    assert story is not None
    assert [one["outcome"] for one in story["deliveries"][0]["attempts"]] == ["accepted"]
    assert story["deliveries"][0]["provider_message_id"] == "fresh"


# --- results --------------------------------------------------------------------------------


async def test_results_count_people_and_money(store: Store) -> None:
    """Two messages to one person are one person; revenue is summed per currency and exact."""
    first = await send(store, "r1", person="ada", churn={"reason": "price"})
    await send(store, "r2", "sms", person="ada", churn={"reason": "price"})
    await send(store, "r3", person="bo", churn={"reason": "service"})
    await admit(store, "r4", person="tester", test=True)
    await _click(store, first)
    for name, value in (("c1", "0.10"), ("c2", "0.20")):
        await store.convert(name, conversion(value=Money(value, "EUR")), now=NOW)
    found = await store.results("spring")
    total = found["total"]
    assert (total["targeted"], total["sent"], total["clicked"], total["returned"]) == (2, 2, 1, 1)
    assert total["revenue"] == {"EUR": "0.30"}
    assert total["reactivation_rate"] == 0.5
    assert {name: leaf["targeted"] for name, leaf in found["by_reason"].items()} == {
        "price": 1,
        "service": 1,
    }
    assert found["by_channel"]["sms"]["sent"] == 1
    assert (await store.results("unheard"))["total"]["targeted"] == 0
