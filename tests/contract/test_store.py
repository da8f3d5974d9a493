"""Every store keeps these promises: one suite, each implementation."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.sends import NOW, admission

from channels.contract import (
    Accepted,
    Deferred,
    Misconfigured,
    Outcome,
    Receipt,
    ReceiptType,
    Refused,
    Scope,
    Throttled,
    Uncertain,
    Withheld,
)
from gateway.clock import ManualClock
from gateway.core.delivery import Claim, Tried
from gateway.core.engagement import EventType
from gateway.core.gates import Cause
from gateway.store.contract import Answer, Change, Hit, Refusal, Store
from gateway.store.scripted import Conduct
from gateway.store.sqlite import SqliteStore

CLAIM_FOR = timedelta(seconds=90)
WAIT = timedelta(minutes=15)
Open = partial[AbstractAsyncContextManager[Store]]


@pytest.fixture(params=["memory", "file"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Open the store under test; a file can be opened again after it was closed."""
    path = ":memory:" if request.param == "memory" else str(tmp_path / "store.db")
    clock = ManualClock(NOW)
    return partial(SqliteStore, path=path, clock=clock, conduct=Conduct(WAIT))


@pytest.fixture
def is_kept(reopen: Open, tmp_path: Path) -> bool:
    """Whether the store under test is a file."""
    return str(tmp_path) in reopen.keywords["path"]


@pytest.fixture
async def store(reopen: Open) -> AsyncIterator[Store]:
    """An open store."""
    async with reopen() as opened:
        yield opened


async def admit(store: Store, *names: str, room: int = 0, **more: Any) -> list[Claim]:
    """Admit requests; the claims that were made at once."""
    batch = [admission(secret=store.secret, name=name, **more) for name in names]
    channels = dict.fromkeys(("email", "sms", "push"), room)
    answers = await store.admit(batch, room=channels, claim_for=CLAIM_FOR, now=NOW)
    assert ["accepted"] * len(names) == [answer.status for answer in answers]
    claims = [answer.claim for answer in answers if answer.claim is not None]
    if room and not claims:  # an SMS asks more than admission does: it is claimed by its lane
        claims = await claim(store, batch[0].plan.routes[0].channel)
    return claims


def tried(claim: Claim, outcome: Outcome, *, targets: str = "", after_s: float = 1.0) -> Tried:
    """An attempt that ended like this."""
    return Tried(
        claim=claim,
        outcome=outcome,
        provider="sandbox",
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=after_s),
        draw=0.5,
        locale="en",
        targets=targets,
    )


async def events(store: Store) -> list[dict[str, Any]]:
    """All facts not yet published."""
    pending = await store.pending(1000)
    return [
        json.loads(one.record.value or b"null")
        for one in pending
        if one.record.topic == "engagement"
    ]


async def types(store: Store) -> list[str]:
    """The types of all facts not yet published, without prefix and version."""
    return [
        event["type"].removeprefix("winback.").removesuffix(".v1") for event in await events(store)
    ]


async def claim(
    store: Store, channel: str = "email", *, after: timedelta = timedelta()
) -> list[Claim]:
    """Claim what is due on a channel some time later."""
    found = await store.claim(channel, 10, claim_for=CLAIM_FOR, now=NOW + after)
    return [one.claim for one in found]


# --- admission ------------------------------------------------------------------------------


async def test_the_same_identity_is_one_send(store: Store) -> None:
    """A repeat is a duplicate, other data under the same identity a conflict; neither is sent."""
    first = admission(secret=store.secret)
    other = admission(secret=store.secret, digest=b"1" * 16)
    room = {"email": 10}

    answers = await store.admit([first, first, other], room=room, claim_for=CLAIM_FOR, now=NOW)
    again = await store.admit([first, other], room=room, claim_for=CLAIM_FOR, now=NOW)

    assert [answer.status for answer in answers] == ["accepted", "duplicate", "conflict"]
    assert [answer.status for answer in again] == ["duplicate", "conflict"]
    assert sum(answer.claim is not None for answer in (*answers, *again)) == 1
    assert await claim(store) == []


async def test_a_whole_batch_is_taken_or_none_of_it(store: Store) -> None:
    """With `is_whole` a conflict means that the others are not taken either."""
    await admit(store, "r1")
    batch = [
        admission(secret=store.secret, name="r2"),
        admission(secret=store.secret, name="r1", digest=b"1" * 16),
    ]

    await store.admit(batch, room={}, claim_for=CLAIM_FOR, now=NOW, is_whole=True)

    assert [
        answer.status
        for answer in await store.admit(batch[:1], room={}, claim_for=CLAIM_FOR, now=NOW)
    ] == ["accepted"]


async def test_no_more_claims_than_there_is_room(store: Store) -> None:
    """What exceeds the room is due, not claimed."""
    claims = await admit(store, "r1", "r2", "r3", room=2)

    assert len(claims) == 2
    assert len(await claim(store)) == 1


async def test_a_request_without_a_route_ends_at_once(store: Store) -> None:
    """No address on an allowed channel: suppressed as `no_route`."""
    await admit(store, "r1", channels=())

    assert [(event["type"], event["data"]["reason"]) for event in await events(store)] == [
        ("winback.send.suppressed.v1", "no_route")
    ]


async def test_a_dead_letter_is_written_once(store: Store) -> None:
    """The same place in a topic is buried once, as it came, with its headers."""
    letter = Refusal("dlq:t:0:5", b"k", b"\xff", (("a", b"1"), ("dlq-reason", b"not_json")))

    for _ in range(2):
        await store.admit([], [letter], room={}, claim_for=CLAIM_FOR, now=NOW)

    pending = await store.pending(10)
    assert len(pending) == 1
    record = pending[0].record
    assert (record.topic, record.key, record.value) == ("dlq", b"k", b"\xff")
    assert list(record.headers) == [("a", b"1"), ("dlq-reason", b"not_json")]


async def test_what_was_admitted_survives_a_restart(reopen: Open, *, is_kept: bool) -> None:
    """A request taken in is there after the store was closed, and is still one send."""
    async with reopen() as store:
        await admit(store, "r1")
    if not is_kept:
        return  # a store in memory has nothing to survive
    async with reopen() as store:
        again = await store.admit(
            [admission(secret=store.secret)], room={}, claim_for=CLAIM_FOR, now=NOW
        )
        assert again[0].status == "duplicate"
        assert len(await claim(store)) == 1


# --- claims ---------------------------------------------------------------------------------


async def test_a_delivery_is_claimed_once(store: Store) -> None:
    """Two claims never hold the same delivery."""
    await admit(store, "r1")

    assert len(await claim(store)) == 1
    assert await claim(store) == []


async def test_not_before_is_kept(store: Store) -> None:
    """A request that may not go out yet is not claimed before its time."""
    later = NOW + timedelta(hours=1)
    await admit(store, "r1", room=5, not_before=later.isoformat())

    assert await claim(store) == []
    assert len(await claim(store, after=timedelta(hours=1))) == 1


async def test_priority_goes_first(store: Store) -> None:
    """Of due deliveries the high priority is claimed first, whoever came first."""
    await admit(store, "r1", priority="low")
    await admit(store, "r2", priority="normal")
    await admit(store, "r3", priority="high")

    order = [
        found.claim.plan.request_id
        for _ in range(3)
        for found in await store.claim("email", 1, claim_for=CLAIM_FOR, now=NOW)
    ]

    assert order == ["r3", "r2", "r1"]


async def test_an_expired_request_is_suppressed(store: Store) -> None:
    """What expired before its claim ends as `expired`."""
    await admit(store, "r1", expires_at=(NOW + timedelta(minutes=1)).isoformat())

    assert await claim(store, after=timedelta(minutes=2)) == []
    assert [event["data"]["reason"] for event in await events(store)] == ["expired"]


async def test_a_released_claim_is_due_again(store: Store) -> None:
    """Nothing was written: the delivery goes back without a counted attempt."""
    (first,) = await admit(store, "r1", room=1)

    await store.settle([tried(first, Withheld())], now=NOW)

    again = await claim(store, after=timedelta(seconds=5))
    assert [(one.claim_no, one.attempts) for one in again] == [(2, 0)]


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Accepted("p1"), ["message.sent"]),
        (Refused("bad"), ["message.failed"]),
        (Refused("no such box", Scope.ADDRESS), ["message.bounced"]),
        (Deferred("down"), []),
        (Throttled(3.0), []),
        (Misconfigured("key"), []),
        (Uncertain("timeout"), []),
        (Withheld(), []),
    ],
)
async def test_an_outcome_and_its_facts(store: Store, outcome: Outcome, told: list[str]) -> None:
    """Each outcome tells what the contract says, and only then."""
    claims = await admit(store, "r1", room=1)

    stale = await store.settle([tried(claims[0], outcome)], now=NOW)

    assert stale == 0
    assert told == await types(store)


async def test_a_claim_settles_once(store: Store) -> None:
    """The second outcome of a claim is stale: it changes and tells nothing."""
    claims = await admit(store, "r1", room=1)
    await store.settle([tried(claims[0], Accepted("p1"))], now=NOW)

    assert await store.settle([tried(claims[0], Refused("late"))], now=NOW) == 1
    assert await types(store) == ["message.sent"]


async def test_a_lost_claim_cannot_settle(store: Store) -> None:
    """D10: whoever wakes up after its claim was given to another changes nothing."""
    (first,) = await admit(store, "r1", room=1)
    await store.settle([tried(first, Withheld())], now=NOW)
    (second,) = await claim(store, after=timedelta(seconds=5))

    assert await store.settle([tried(first, Refused("late"))], now=NOW) == 1
    assert await store.settle([tried(second, Accepted("p1"))], now=NOW) == 0


async def test_deferred_comes_back_and_is_given_up_by_age(store: Store) -> None:
    """A deferred delivery is due within 30 s; the offer's end ends it as failed."""
    (one,) = await admit(store, "r1", room=1, expires_at=(NOW + timedelta(minutes=1)).isoformat())
    await store.settle([tried(one, Deferred("down"))], now=NOW)

    (again,) = await claim(store, after=timedelta(seconds=31))
    assert again.attempts == 1
    await store.settle([tried(again, Deferred("down"), after_s=59.0)], now=NOW)
    assert await types(store) == ["message.failed"]


async def test_a_refusal_gives_the_next_channel_its_turn(store: Store) -> None:
    """After a refusal the next allowed channel is due; the address that was refused stays out."""
    (one,) = await admit(store, "r1", room=1, channels=("email", "sms"))
    await store.settle([tried(one, Refused("no such box", Scope.ADDRESS))], now=NOW)

    (second,) = await claim(store, "sms")
    assert second.position == 1
    await admit(store, "r2", channels=("email",))
    assert await types(store) == ["message.bounced", "send.suppressed"]
    assert (await events(store))[1]["data"]["reason"] == "suppressed_address"


async def test_an_opt_out_at_the_provider_is_a_no(store: Store) -> None:
    """C14: Twilio's 21610 unsubscribes, ends the delivery, and the next channel is tried."""
    (one,) = await admit(store, "r1", room=1, channels=("sms", "email"))
    await store.settle([tried(one, Refused("21610", Scope.CONSENT))], now=NOW)

    found = await events(store)
    assert [event["type"] for event in found] == [
        "winback.recipient.unsubscribed.v1",
        "winback.message.failed.v1",
    ]
    assert found[0]["data"]["recipient_id"] == "ada"
    assert found[0]["data"]["delivery_id"] == found[1]["data"]["delivery_id"] == one.delivery_id
    assert found[1]["data"]["reason"] == "consent"
    assert len(await claim(store, "email")) == 1
    await admit(store, "r2", channels=("sms",))
    assert (await events(store))[-1]["data"]["reason"] == "consent"


# --- in doubt -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("purpose", "told", "due"),
    [("promotional", ["message.unknown"], 0), ("transactional", [], 1)],
)
async def test_in_doubt_waits_then_follows_the_purpose(
    store: Store, purpose: str, told: list[str], due: int
) -> None:
    """D2, D3: a promotional doubt is abandoned, a transactional one goes again."""
    (one,) = await admit(store, "r1", room=1, purpose=purpose)
    await store.settle([tried(one, Uncertain("timeout"))], now=NOW)

    await store.sweep(now=NOW + WAIT - timedelta(seconds=1), limit=10)
    assert await types(store) == []
    await store.sweep(now=NOW + WAIT + timedelta(seconds=2), limit=10)

    assert told == await types(store)
    assert due == len(await claim(store, after=WAIT + timedelta(seconds=3)))


async def test_a_claim_that_ran_out_is_in_doubt(store: Store) -> None:
    """A claim nobody settled may have been written: it is not simply made again."""
    await admit(store, "r1", room=1)

    await store.sweep(now=NOW + timedelta(seconds=91), limit=10)

    assert await claim(store, after=timedelta(minutes=5)) == []
    backlog = await store.backlog(now=NOW)
    assert dict(backlog.by_channel["email"]) == {"in_doubt": 1}


async def test_a_restart_puts_open_claims_in_doubt(reopen: Open, *, is_kept: bool) -> None:
    """D5: after a crash an open claim waits for proof, and proof settles it."""
    async with reopen() as store:
        (one,) = await admit(store, "r1", room=1)
    if not is_kept:
        return  # a store in memory has nothing to survive
    async with reopen() as store:
        assert await claim(store) == []
        await store.record(now=NOW, receipts=[receipt(one, ReceiptType.ACCEPTED)])
        assert await types(store) == ["message.sent"]


async def test_late_acceptance_is_proof(store: Store) -> None:
    """D10: an answer that comes after its claim ran out settles the doubt, once."""
    (one,) = await admit(store, "r1", room=1)
    await store.sweep(now=NOW + timedelta(seconds=91), limit=10)

    assert await store.settle([tried(one, Accepted("p1"))], now=NOW) == 0
    assert await types(store) == ["message.sent"]
    await store.sweep(now=NOW + WAIT + timedelta(minutes=5), limit=10)
    assert await types(store) == ["message.sent"]


# --- receipts and engagement ----------------------------------------------------------------


def receipt(claim: Claim, kind: ReceiptType, **more: Any) -> Receipt:
    """What a provider says of a claim's message."""
    fields: dict[str, Any] = {
        "provider": "sandbox",
        "delivery_id": claim.delivery_id,
        "attempt_id": "",
        "provider_message_id": "p1",
        "occurred_at": NOW,
        "dedupe_key": f"{kind}",
        **more,
    }
    return Receipt(type=kind, **fields)


async def test_w7_repeated_receipts_are_one_fact(store: Store) -> None:
    """46 copies of a receipt change one state and tell one fact."""
    (one,) = await admit(store, "r1", room=1)
    await store.settle([tried(one, Accepted("p1"))], now=NOW)

    for _ in range(23):
        copies = [receipt(one, ReceiptType.DELIVERED)] * 2
        await store.record(now=NOW, receipts=copies)

    assert await types(store) == ["message.sent", "message.delivered"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
async def test_w8_receipts_in_any_order_end_the_same(store: Store, order: tuple[int, ...]) -> None:
    """Whatever order receipts come in, even before the answer, state and facts are the same."""
    (one,) = await admit(store, "r1", room=1)
    kinds = [ReceiptType.ACCEPTED, ReceiptType.DELIVERED, ReceiptType.BOUNCED]

    for place in order:
        await store.record(now=NOW, receipts=[receipt(one, kinds[place])])
    await store.settle([tried(one, Accepted("p1"))], now=NOW)

    assert sorted(["message.sent", "message.delivered", "message.bounced"]) == sorted(
        await types(store)
    )
    story = await store.story(one.plan.send_id)
    assert story is not None
    assert story["state"] == "bounced"


async def test_a_bounce_later_suppresses_the_address(store: Store) -> None:
    """An address that bounced gets nothing more, promotional or not."""
    (one,) = await admit(store, "r1", room=1)
    await store.settle([tried(one, Accepted("p1"))], now=NOW)
    await store.record(now=NOW, receipts=[receipt(one, ReceiptType.BOUNCED)])

    await admit(store, "r2", purpose="transactional")

    last = (await events(store))[-1]
    assert (
        last["type"],
        last["data"]["reason"],
    ) == ("winback.send.suppressed.v1", "suppressed_address")


async def test_hits_are_facts_with_an_actor(store: Store) -> None:
    """An open and a click are told once per slot, with who did it."""
    (one,) = await admit(store, "r1", room=1)
    await store.settle([tried(one, Accepted("p1"))], now=NOW)
    person = (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"
    )
    at = NOW + timedelta(minutes=3)
    hits = [
        Hit("opened", one.delivery_id, at, "GoogleImageProxy"),
        Hit("clicked", one.delivery_id, at, person, link=1, url="https://shop.example/a"),
        Hit("clicked", one.delivery_id, at, person, link=1, url="https://shop.example/a"),
        Hit("opened", "nobodys-0", at, person),
    ]

    await store.record(now=at, hits=hits)

    told = [event["data"] for event in (await events(store))[1:]]
    assert [(data["actor"], data["link"]) for data in told] == [("proxy", None), ("human", 1)]


def change(**more: Any) -> Change:
    """An unsubscribe, unless said otherwise."""
    fields: dict[str, Any] = {
        "cause": Cause.UNSUBSCRIBE,
        "channel": "email",
        "is_revoked": True,
        "occurred_at": NOW,
        "source": "one_click",
        "fact": EventType.UNSUBSCRIBED,
        **more,
    }
    return Change(**fields)


async def test_c6_a_no_closes_what_is_queued(store: Store) -> None:
    """After a no is recorded nothing of that person can be claimed on that channel."""
    (one,) = await admit(store, "r1", room=1)
    await admit(store, "r2", "r3")

    answers = await store.record(now=NOW, changes=[change(delivery_id=one.delivery_id)])

    assert answers[0]
    assert await claim(store) == []
    assert await types(store) == ["recipient.unsubscribed", "send.suppressed", "send.suppressed"]


async def test_c16_a_no_to_promotions_leaves_transactional_mail(store: Store) -> None:
    """One-click stops promotions; a receipt for an order still goes out."""
    (one,) = await admit(store, "r1", room=1)
    await store.record(now=NOW, changes=[change(delivery_id=one.delivery_id)])

    assert len(await admit(store, "r2", room=1, purpose="transactional")) == 1


async def test_a_repeated_no_is_one_fact(store: Store) -> None:
    """Saying no twice is told once; a yes in between makes the second no news again."""
    (one,) = await admit(store, "r1", room=1)
    no = change(delivery_id=one.delivery_id)
    yes = change(
        delivery_id=one.delivery_id,
        is_revoked=False,
        occurred_at=NOW + timedelta(seconds=1),
        fact=EventType.RESUBSCRIBED,
        undoes=(Cause.UNSUBSCRIBE,),
    )
    later = change(delivery_id=one.delivery_id, occurred_at=NOW + timedelta(seconds=2))

    for said in (no, no, yes, yes, later):
        await store.record(now=NOW, changes=[said])

    assert (await types(store)) == [
        "recipient.unsubscribed",
        "recipient.resubscribed",
        "recipient.unsubscribed",
    ]


async def test_c13_start_undoes_only_a_stop(store: Store) -> None:
    """START brings SMS back after STOP, not after an unsubscribe on the page."""
    (one,) = await admit(store, "r1", room=1, channels=("sms",))
    await store.record(now=NOW, changes=[change(delivery_id=one.delivery_id, channel="sms")])
    phone = one.plan.routes[0].subjects
    start = change(
        cause=Cause.STOP,
        channel="sms",
        is_revoked=False,
        subjects=phone,
        fact=EventType.RESUBSCRIBED,
        undoes=(Cause.STOP,),
    )

    await store.record(now=NOW, changes=[start])

    await admit(store, "r2", channels=("sms",))
    assert await types(store) == ["recipient.unsubscribed", "send.suppressed"]


async def test_a_stop_from_an_unknown_number_is_kept(store: Store) -> None:
    """A no for an address nobody is known to have is told by its hash, and obeyed later."""
    phone = admission(secret=store.secret, channels=("sms",)).plan.routes[0].subjects
    await store.record(now=NOW, changes=[change(cause=Cause.STOP, channel="sms", subjects=phone)])

    await admit(store, "r1", channels=("sms",))

    told = await events(store)
    assert [event["data"]["recipient_id"] for event in told] == [None, "ada"]
    assert phone[0].hex() == told[0]["subject"]
    assert told[1]["data"]["reason"] == "consent"


async def test_a_reply_belongs_to_the_last_sms(store: Store) -> None:
    """A reply is told with the send it answers, never with its text."""
    (one,) = await admit(store, "r1", room=1, channels=("sms",))
    await store.settle([tried(one, Accepted("p1"))], now=NOW)
    answer = Answer(one.plan.routes[0].subjects[0], "text", "twilio", "SM1", NOW)

    await store.record(now=NOW, answers=[answer, answer])

    told = (await events(store))[1:]
    assert [("winback.message.replied.v1", one.delivery_id)] == [
        (event["type"], event["data"]["delivery_id"]) for event in told
    ]


# --- outbox and links -----------------------------------------------------------------------


async def test_the_outbox_is_in_order_and_shrinks(store: Store) -> None:
    """Facts come in order; those up to the mark do not come again."""
    claims = await admit(store, "r1", "r2", "r3", room=3)
    await store.settle([tried(one, Accepted("p")) for one in claims], now=NOW)

    first = await store.pending(2)
    await store.published(first[-1].mark)
    rest = await store.pending(10)

    assert len(first) == 2
    assert len(rest) == 1
    assert rest[0].mark > first[-1].mark
    assert (await store.backlog(now=NOW)).outbox == 1


async def test_a_short_link_leads_where_it_led(store: Store) -> None:
    """Short links are kept with their delivery; an unknown code leads nowhere."""
    await store.keep_links([("abc", "d-0", 2, "https://shop.example/a")])

    assert await store.link("abc") == ("d-0", 2, "https://shop.example/a")
    assert None is await store.link("abd")


# --- pushes ---------------------------------------------------------------------------------

DEVICES = {"push": [{"platform": "fcm", "token": "a"}, {"platform": "fcm", "token": "b"}]}


async def test_a_dead_device_is_not_written_to_again(store: Store) -> None:
    """One device takes the push, the other is dead: sent, and only the dead one stays out."""
    (one,) = await admit(store, "r1", room=1, channels=("push",), recipient=DEVICES)
    assert one.targets == ".."
    await store.settle([tried(one, Accepted("p"), targets="ad")], now=NOW)

    assert await types(store) == ["message.sent"]
    await admit(store, "r2", channels=("push",), recipient=DEVICES)
    (found,) = await store.claim("push", 5, claim_for=CLAIM_FOR, now=NOW)
    assert frozenset({1}) == found.closed


async def test_a_device_that_asked_to_wait_is_tried_again(store: Store) -> None:
    """Sent at the first device; the other is due again, and its end tells nothing new."""
    (one,) = await admit(store, "r1", room=1, channels=("push",), recipient=DEVICES)
    await store.settle([tried(one, Accepted("p"), targets="a.")], now=NOW)

    (again,) = await claim(store, "push", after=timedelta(minutes=1))
    assert again.targets == "a."
    await store.settle([tried(again, Refused("gone", Scope.ADDRESS), targets="ad")], now=NOW)

    assert await types(store) == ["message.sent"]
    assert await claim(store, "push", after=timedelta(hours=1)) == []
