"""Every store keeps these promises about what the dashboard shows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.sends import NOW, admission

from channels.contract import Accepted, Outcome, Receipt, ReceiptType, Refused, Scope
from gateway.clock import ManualClock
from gateway.core.delivery import Claim, Tried
from gateway.core.engagement import EventType
from gateway.core.gates import Cause
from gateway.core.listing import Listed, Wanted
from gateway.core.request import ConversionData, Money
from gateway.store.contract import Change, Hit, Refusal, Store
from gateway.store.scripted import Conduct
from gateway.store.sqlite import SqliteStore

CLAIM_FOR = timedelta(seconds=90)
SOON = timedelta(minutes=1)
PERSON_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture(params=["memory", "file"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An open store."""
    path = ":memory:" if request.param == "memory" else str(tmp_path / "store.db")
    windows = {"email": timedelta(days=5)}
    conduct = Conduct(timedelta(minutes=15), windows=windows)
    async with SqliteStore(path=path, clock=ManualClock(NOW), conduct=conduct) as opened:
        yield opened


async def admit(store: Store, *names: str, room: int = 9, **more: Any) -> list[Claim]:
    """Admit requests; the claims that were made at once."""
    batch = [admission(secret=store.secret, name=name, **more) for name in names]
    rooms = dict.fromkeys(("email", "sms", "push"), room)
    answers = await store.admit(batch, room=rooms, claim_for=CLAIM_FOR, now=NOW)
    return [answer.claim for answer in answers if answer.claim is not None]


async def settle(store: Store, claims: Sequence[Claim], outcome: Outcome) -> None:
    """All of them end like this."""
    tried = [
        Tried(
            claim=claim,
            outcome=outcome,
            provider="sandbox",
            started_at=NOW,
            ended_at=NOW,
            draw=0.5,
            locale="en",
        )
        for claim in claims
    ]
    await store.settle(tried, now=NOW)


async def people(store: Store, **wanted: Any) -> list[str]:
    """Whose sends a list shows, in its order."""
    found: Sequence[Listed] = await store.listed(Wanted(**wanted), limit=50)
    return [one.recipient_id for one in found]


async def test_an_empty_store_shows_nothing(store: Store) -> None:
    """No campaign, no attempt, no letter, no send."""
    assert list(await store.newest_campaigns(5)) == []
    assert dict(await store.newest_outcomes()) == {}
    assert list(await store.newest_letters(5)) == []
    assert list(await store.unpublished(5)) == []
    assert await people(store) == []


async def test_campaigns_are_those_with_the_newest_sends(store: Store) -> None:
    """The campaign that sent last comes first, each once, at most as many as asked for."""
    for name, campaign in (("1", "b"), ("2", "c"), ("3", "a"), ("4", "b")):
        await admit(store, name, person=name, campaign=campaign)
    assert list(await store.newest_campaigns(9)) == ["b", "a", "c"]
    assert list(await store.newest_campaigns(2)) == ["b", "a"]


async def test_sends_come_newest_first_and_page_by_page(store: Store) -> None:
    """A page begins before the last number of the page before; a person's list is theirs."""
    for name in ("ada", "bob", "cyd"):
        await admit(store, name, person=name)
    first = await store.listed(Wanted(), limit=2)
    assert [one.recipient_id for one in first] == ["cyd", "bob"]
    assert await people(store, before=first[-1].seq) == ["ada"]
    assert await people(store, recipient_id="bob") == ["bob"]
    assert {one.state for one in first} == {"claimed"}


async def test_a_list_behind_a_stage_holds_who_came_so_far(store: Store) -> None:
    """Sent, delivered, opened, clicked, unsubscribed, returned: each list is a part of the last."""
    for name in ("ada", "bob", "cyd", "dan"):
        claims = await admit(store, name, person=name)
        await settle(store, claims if name != "dan" else (), Accepted(f"id-{name}"))
    ids = {one.recipient_id: f"{one.send_id}-0" for one in await store.listed(Wanted(), limit=9)}
    receipts = [
        Receipt(ReceiptType.DELIVERED, "sandbox", ids[name], f"{ids[name]}-1", "", NOW, name)
        for name in ("ada", "bob")
    ]
    hits = [Hit(what, ids["ada"], NOW + SOON, PERSON_AGENT) for what in ("opened", "clicked")]
    no = Change(
        cause=Cause.UNSUBSCRIBE,
        channel="email",
        is_revoked=True,
        occurred_at=NOW,
        source="one_click",
        delivery_id=ids["bob"],
        fact=EventType.UNSUBSCRIBED,
    )
    await store.record(now=NOW + SOON, hits=hits, receipts=receipts, changes=[no])
    back = ConversionData(
        recipient_id="ada", kind="order", value=Money("9.00", "EUR"), occurred_at=NOW + SOON
    )
    await store.convert("c1", back, now=NOW + SOON)
    spring = {"campaign": "spring", "is_holdout": False}
    assert await people(store, **spring) == ["dan", "cyd", "bob", "ada"]
    assert await people(store, **spring, stage="sent") == ["cyd", "bob", "ada"]
    assert await people(store, **spring, stage="delivered") == ["bob", "ada"]
    assert await people(store, **spring, stage="opened") == ["ada"]
    assert await people(store, **spring, stage="clicked") == ["ada"]
    assert await people(store, **spring, stage="unsubscribed") == ["bob"]
    assert await people(store, **spring, stage="returned") == ["ada"]
    assert await people(store, campaign="spring", is_holdout=True) == []
    assert await people(store, campaign="summer") == []


async def test_open_deliveries_are_listed_by_channel_and_state(store: Store) -> None:
    """The list behind a lane's figure is as long as the figure."""
    await admit(store, "a", person="ada")
    await admit(store, "b", person="bob", room=0)
    await admit(store, "c", person="cyd", room=0, channels=("sms",))
    assert await people(store, state="claimed", channel="email") == ["ada"]
    assert await people(store, state="queued", channel="email") == ["bob"]
    assert sorted(await people(store, state="queued")) == ["bob", "cyd"]
    assert await people(store, state="held") == []


async def test_attempts_are_counted_and_listed_by_outcome(store: Store) -> None:
    """What the newest attempts came to, and whose they were."""
    await settle(store, await admit(store, "a", "b", person="ada"), Accepted("id"))
    await settle(store, await admit(store, "c", person="bob"), Refused("no", Scope.MESSAGE))
    assert dict(await store.newest_outcomes()) == {"accepted": 2, "refused": 1}
    assert await people(store, outcome="refused") == ["bob"]
    (refused,) = await store.listed(Wanted(outcome="refused"), limit=5)
    assert refused.reason == "no"


async def test_dead_letters_show_where_and_never_what(store: Store) -> None:
    """Reason and path are shown, what upstream wrote is not."""
    headers = (
        ("dlq-reason", b"invalid_field"),
        ("dlq-detail", b"$.data.recipient.email: ada@example.com is no address"),
        ("dlq-topic", b"winback.sends"),
        ("dlq-partition", b"3"),
        ("dlq-offset", b"77"),
    )
    refusal = Refusal("t-3-77", b"k", b"{}", headers)
    await store.admit([], [refusal], room={}, claim_for=CLAIM_FOR, now=NOW)
    (letter,) = await store.newest_letters(5)
    assert letter == {
        "reason": "invalid_field",
        "detail": "$.data.recipient.email",
        "topic": "winback.sends",
        "partition": "3",
        "offset": "77",
        "at": NOW,
    }
    (waiting,) = await store.unpublished(5)
    assert (waiting["topic"], waiting["send_id"]) == ("dlq", None)


async def test_the_outbox_lists_what_is_not_published(store: Store) -> None:
    """The oldest fact first, without an address; once published it is gone from the list."""
    await settle(store, await admit(store, "a", person="ada"), Accepted("id"))
    facts = await store.unpublished(5)
    assert [fact["type"] for fact in facts] == ["winback.message.sent.v1"]
    assert facts[0]["recipient_id"] == "ada"
    assert "ada@example.com" not in repr(facts)
    await store.published((await store.pending(5))[-1].mark)
    assert list(await store.unpublished(5)) == []


async def test_a_no_to_a_campaign_shows_on_the_page_and_keeps_the_channels(store: Store) -> None:
    """`stands` tells the campaign apart from the channels, and a yes brings it back."""
    (claim,) = await admit(store, "a", person="ada")
    no = Change(
        cause=Cause.UNSUBSCRIBE,
        channel="all",
        is_revoked=True,
        occurred_at=NOW,
        source="preferences",
        delivery_id=claim.delivery_id,
        topic="spring",
        fact=EventType.UNSUBSCRIBED,
    )
    await store.record(now=NOW, changes=[no])
    found = await store.stands(claim.delivery_id)
    assert found is not None
    assert found[2] == {"email": True, "sms": True, "push": True, "campaign": False}
    (second,) = await store.listed(Wanted(), limit=1)
    assert second.recipient_id == "ada"
    later = await admit(store, "b", person="ada", campaign="spring")
    other = await admit(store, "c", person="ada", campaign="summer")
    assert (len(later), len(other)) == (0, 1)
    yes = Change(
        cause=Cause.UNSUBSCRIBE,
        channel="all",
        is_revoked=False,
        occurred_at=NOW + SOON,
        source="preferences",
        delivery_id=claim.delivery_id,
        topic="spring",
        fact=EventType.RESUBSCRIBED,
        undoes=(Cause.UNSUBSCRIBE, Cause.CONSENT),
    )
    await store.record(now=NOW + SOON, changes=[yes])
    found = await store.stands(claim.delivery_id)
    assert found is not None
    assert found[2]["campaign"] is True
