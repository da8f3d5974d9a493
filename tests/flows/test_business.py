"""Time and business: quiet hours, caps, places, fallback and expiry with a clock moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.crew import DOUBT_WAIT, Process, World
from support.sends import NOW
from support.stage import request
from support.waiting import until_told

from channels.contract import Deferred, Refused, Scope, Uncertain
from gateway.catalog import Catalog
from gateway.clock import ManualClock
from gateway.core.gates import Rules
from gateway.core.ids import send_id
from gateway.core.policy import Cap, Policy, parse
from gateway.core.request import ConversionData
from gateway.policies import load_atlas, load_policy, quiet_rules
from gateway.store.scripted import Conduct
from gateway.store.sqlite import SqliteStore

NEW_YORK = {"timezone": "America/New_York", "country": "US"}
SOURCE = "/campaigns/spring"
HOUR_S = 3600.0


class RuledWorld(World):
    """A world whose processes keep a policy: their stores are opened with its rules."""

    rules = Rules()

    @asynccontextmanager
    async def process(self, wire: Any = None) -> AsyncIterator[Process]:
        """A process under the rules of this world."""
        opened: list[SqliteStore] = []

        def under_rules(path: str, *, clock: ManualClock, conduct: Conduct) -> SqliteStore:
            ruled = Conduct(
                conduct.doubt_wait, self.rules, load_policy(None).attribution, timedelta(days=1)
            )
            opened.append(SqliteStore(path, clock=clock, conduct=ruled))
            return opened[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("support.crew.SqliteStore", under_rules)
            async with super().process(wire) as running:
                assert opened, "the crew opened its store in another way"
                yield running


def policy(text: str) -> Policy:
    """A policy of a text over one with nothing in it."""
    return parse(text, "")


def ruled(catalog: Catalog, text: str, *, store: str = ":memory:") -> RuledWorld:
    """A world under a policy."""
    world, written = RuledWorld(catalog, store=store), policy(text)
    world.rules = Rules(caps=written.caps, quiet=quiet_rules(written, load_atlas()))
    return world


def ada(name: str, *channels: str, **more: Any) -> dict[str, Any]:
    """A request for Ada."""
    addresses = {
        "email": "ada@mbox7.example",
        "phone": "+4520000010",
        **more.pop("recipient", {}),
    }
    return request(name, "ada", *channels, recipient=addresses, **more)


def at(seconds: float) -> str:
    """An instant after the test's beginning, as upstream writes it."""
    return (NOW + timedelta(seconds=seconds)).isoformat()


async def state(process: Process, name: str) -> str:
    """Where a request is."""
    return str((await process.story(send_id(SOURCE, name)))["state"])


async def taken(process: Process, *names: str) -> None:
    """Wait until these requests are in the store."""

    async def all_known() -> bool:
        found = [await process.store.story(send_id(SOURCE, name)) for name in names]
        return None not in found

    await until_told(all_known, within_s=10, what="the requests are taken in")


# --- quiet hours ----------------------------------------------------------------------------

NIGHT = """
[quiet_hours]
sms = ["21:00", "08:00"]
"""


async def test_c12_a_message_waits_for_its_persons_morning(catalog: Catalog) -> None:
    """At five in New York an SMS waits until eight there; mail and receipts go at once."""
    world = ruled(catalog, NIGHT)
    async with world.process() as process:
        await world.ask(
            ada("sms", "sms", recipient=NEW_YORK),
            ada("mail", "email", recipient=NEW_YORK),
            ada("receipt", "sms", template="receipt", recipient=NEW_YORK),
            ada("here", "sms", recipient={"timezone": "Europe/Copenhagen"}),
        )
        await taken(process, "sms", "mail", "receipt", "here")
        await world.until(lambda: len(world.facts("message.sent")) == 3, "the others are sent")
        assert await state(process, "sms") == "queued"
        await world.later(3 * HOUR_S - 60)
        assert len(world.facts("message.sent", request_id="sms")) == 0
        await world.later(120)
        (sent,) = world.facts("message.sent", request_id="sms")
        assert sent["data"]["channel"] == "sms"


async def test_c12_a_retry_meets_quiet_hours_again(catalog: Catalog) -> None:
    """The first attempt was just in time; its retry falls into the night and waits it out."""
    world = ruled(catalog, '[quiet_hours]\nsms = ["10:00", "18:00"]\n')
    world.clock = ManualClock(NOW - timedelta(seconds=5))
    world.channels["sms"].answers["+4520000010"] = [Deferred("later")]
    zone = {"timezone": "UTC"}
    async with world.process() as process:
        await world.ask(ada("sms", "sms", recipient=zone))
        await world.until(lambda: len(world.channels["sms"].calls) == 1, "the first attempt")
        await world.later(HOUR_S)
        assert len(world.channels["sms"].calls) == 1
        assert await state(process, "sms") == "queued"
        await world.later(7 * HOUR_S + 60)
        assert len(world.channels["sms"].calls) == 2


async def test_c12_who_would_be_reached_too_late_gets_nothing(catalog: Catalog) -> None:
    """The offer ends before the morning does: the request ends as expired."""
    world = ruled(catalog, NIGHT)
    async with world.process():
        await world.ask(ada("sms", "sms", recipient=NEW_YORK, expires_at=at(HOUR_S)))
        await world.until(
            lambda: world.facts("send.suppressed", request_id="sms", reason="expired"), "expired"
        )


# --- gates at every attempt -----------------------------------------------------------------


@pytest.mark.parametrize("what", ["a no", "a conversion", "a cancellation", "a switch"])
async def test_c6_every_attempt_asks_again(world: World, what: str) -> None:
    """What happened between the first attempt and its retry decides about the retry."""
    email = world.channels["email"]
    email.answers["ada@mbox7.example"] = [Deferred("later")]
    async with world.process() as process:
        await world.ask(ada("mail", "email"))
        await world.until(lambda: len(email.calls) == 1, "the first attempt")
        await _happens(process, what)
        await world.later(60)
        assert len(email.calls) == 1
        if what != "a switch":
            (ended,) = world.facts("send.suppressed", request_id="mail")
            expected = {"a no": "consent", "a conversion": "converted"}.get(what, "cancelled")
            assert ended["data"]["reason"] == expected
            return
        assert await state(process, "mail") == "queued"
        await process.store.switch("global", is_stopped=False, reason="go", now=world.clock.now())
        await world.until(lambda: len(email.calls) == 2, "the retry")


async def _happens(process: Process, what: str) -> None:
    now, store = NOW + timedelta(seconds=1), process.store
    if what == "a no":
        wanted = ("email",)
        await process.engage.refuse(
            f"{send_id(SOURCE, 'mail')}-0", channels=wanted, how="preferences"
        )
    elif what == "a conversion":
        await store.convert("c1", ConversionData("ada", "order", now), now=now)
    elif what == "a cancellation":
        await store.cancel(now=now, request=(SOURCE, "mail"))
    else:
        await store.switch("global", is_stopped=True, reason="stop", now=now)


# --- caps -----------------------------------------------------------------------------------

TWO_A_DAY = """
[[caps]]
window = "P1D"
max = 2
channels = ["email", "sms"]
"""


async def test_c21_a_cap_rolls_over_channels_and_restarts(catalog: Catalog, tmp_path: Path) -> None:
    """Two a day over e-mail and SMS, counted over a crash; a day later there is room again."""
    world = ruled(catalog, TWO_A_DAY, store=str(tmp_path / "store.db"))
    async with world.process():
        await world.ask(ada("one", "email"))
        await world.until(lambda: world.facts("message.sent", request_id="one"), "the first")
    async with world.process():
        await world.ask(ada("two", "sms", campaign="autumn"))
        await world.until(lambda: world.facts("message.sent", request_id="two"), "the second")
        await world.ask(ada("three", "email"), ada("receipt", "email", template="receipt"))
        await world.until(lambda: world.facts("message.sent", request_id="receipt"), "receipt")
        await world.until(
            lambda: world.facts("send.suppressed", request_id="three", reason="frequency_cap"),
            "the third is capped",
        )
        await world.later(25 * HOUR_S)
        await world.ask(ada("four", "email"))
        await world.until(lambda: world.facts("message.sent", request_id="four"), "the fourth")


async def test_c21_a_message_in_doubt_takes_a_place(catalog: Catalog) -> None:
    """Two calls without an answer count as two messages, and break nothing."""
    world = ruled(catalog, TWO_A_DAY)
    email = world.channels["email"]
    email.answers["ada@mbox7.example"] = [Uncertain("timeout"), Uncertain("timeout")]
    async with world.process():
        await world.ask(ada("one", "email"), ada("two", "email"))
        await world.until(lambda: len(email.calls) == 2, "both are tried")
        await world.later(DOUBT_WAIT.total_seconds() + 60)
        assert len(world.facts("message.unknown")) == 2
        await world.ask(ada("three", "sms"))
        await world.until(
            lambda: world.facts("send.suppressed", request_id="three", reason="frequency_cap"),
            "the third is capped",
        )


# --- places and fallback --------------------------------------------------------------------


async def test_an_armed_request_waits_for_days_and_goes_in_a_moment(world: World) -> None:
    """Nothing is sent until the person is there; a second request waits out the cooldown."""
    world = _with_cooldown(world)
    geo = {"fences": ["shops"]}
    async with world.process() as process:
        await world.ask(ada("one", "sms", geo=geo), ada("two", "sms", geo=geo, campaign="x"))
        await world.until(lambda: len(world.facts("send.armed")) == 2, "both are armed")
        await world.later(48 * HOUR_S)
        assert not world.channels["sms"].calls
        for hours, count in ((0.0, 1), (12.0, 1), (12.1, 2)):
            await world.later(hours * HOUR_S)
            await process.store.seen_at("ada", {"shops": True}, groups={}, now=world.clock.now())
            await world.settle_down()
            assert len(world.channels["sms"].calls) == count


def _with_cooldown(world: World) -> RuledWorld:
    return RuledWorld(world._catalog)


async def test_geo_expires_at_is_told_at_its_time(world: World) -> None:
    """An armed request ends as expired within seconds of its time, not before."""
    async with world.process():
        geo = {"fences": ["shops"], "expires_at": at(HOUR_S)}
        await world.ask(ada("one", "sms", geo=geo))
        await world.until(lambda: world.facts("send.armed"), "it is armed")
        await world.later(HOUR_S - 60)
        assert not world.facts("send.suppressed")
        await world.later(62)
        (ended,) = world.facts("send.suppressed", reason="expired")
        assert ended["data"]["request_id"] == "one"


async def test_fallback_after_a_crash_sends_the_next_channel_once(
    catalog: Catalog, tmp_path: Path
) -> None:
    """The wait is a row: a process that starts later finds it, and its successor nothing more."""
    world = World(catalog, store=str(tmp_path / "store.db"))
    waits = {"fallback": {"after": "PT2H", "unless": "opened"}}
    async with world.process():
        await world.ask(ada("one", "email", "sms", **waits))
        await world.until(lambda: world.facts("message.sent", channel="email"), "the mail is sent")
        await world.later(HOUR_S)
        assert not world.channels["sms"].calls
    async with world.process():
        await world.later(HOUR_S + 60)
        await world.until(lambda: world.facts("message.sent", channel="sms"), "the SMS is sent")
    async with world.process():
        await world.later(24 * HOUR_S)
    assert len(world.channels["sms"].calls) == 1
    assert len(world.channels["email"].calls) == 1


async def test_c14_an_opt_out_at_the_provider_goes_on_by_the_next_channel(world: World) -> None:
    """21610: unsubscribed, failed as consent, then e-mail; the next SMS is not tried at all."""
    world.channels["sms"].answers["+4520000010"] = [Refused("21610", Scope.CONSENT)]
    async with world.process():
        await world.ask(ada("one", "sms", "email"))
        await world.until(lambda: world.facts("message.sent", channel="email"), "mail instead")
        (failed,) = world.facts("message.failed", channel="sms")
        (told,) = world.facts("recipient.unsubscribed", channel="sms")
        assert (failed["data"]["reason"], told["data"]["reason"]) == ("consent", "provider")
        await world.ask(ada("two", "sms"))
        await world.until(
            lambda: world.facts("send.suppressed", request_id="two", reason="consent"), "no SMS"
        )
        assert len(world.channels["sms"].calls) == 1


def test_the_policy_of_these_tests_says_what_they_think() -> None:
    """Caps and nights are read as the tests assume."""
    assert policy(TWO_A_DAY).caps == (Cap(timedelta(days=1), 2, frozenset({"email", "sms"})),)
    assert set(policy(NIGHT).quiet.by_channel) == {"sms"}
