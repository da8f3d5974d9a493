"""How requests pass the lanes: a no, refusals, waiting, holding, and parts that are away."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from support.crew import Process, Wire, World
from support.sends import NOW
from support.stage import request
from support.waiting import until_told

from channels.contract import Accepted, Deferred, Misconfigured, Refused, Scope, Throttled
from gateway.catalog import Catalog
from gateway.core.ids import delivery_id, send_id
from gateway.errors import StoreUnavailable

ADA = {"email": "ada@mbox7.example", "phone": "+4520000010"}


def ada(name: str, *channels: str, **more: Any) -> dict[str, Any]:
    """A request for Ada."""
    return request(name, "ada", *channels, recipient=ADA, **more)


def other(name: str, *channels: str, **more: Any) -> dict[str, Any]:
    """A request for somebody who is named like the request."""
    to = {"email": f"{name}@mbox7.example", "phone": f"+4530{len(name):06d}"}
    return request(name, name, *channels, recipient=to, **more)


def delivery_of(name: str, position: int = 0) -> str:
    """The delivery id of a request."""
    return delivery_id(send_id("/campaigns/spring", name), position)


def at(seconds: float) -> str:
    """An instant after the test's beginning, as upstream writes it."""
    return (NOW + timedelta(seconds=seconds)).isoformat()


# --- a no -----------------------------------------------------------------------------------


async def test_c6_a_no_between_claim_and_first_byte_is_obeyed(world: World) -> None:
    """What was claimed before the no is withheld and suppressed; a receipt is let out after all."""
    email = world.channels["email"]
    async with world.process() as process:
        await world.ask(ada("first", "email"))
        await world.until(lambda: len(email.calls) == 1, "the first is out")
        email.may_begin.clear()
        await world.ask(ada("second", "email"), ada("receipt", "email", template="receipt"))
        await world.until(lambda: email.waiting == 2, "both are claimed")
        assert await process.engage.refuse(
            delivery_of("first"), channels=("email",), how="one_click"
        )
        email.may_begin.set()
        await world.until(lambda: email.waiting == 0, "both are withheld")
        await world.later(1)
        await world.until(
            lambda: world.facts("send.suppressed", request_id="second", reason="consent"),
            "the second is suppressed",
        )
        await world.until(
            lambda: world.facts("message.sent", request_id="receipt"), "the receipt is sent"
        )
        assert [message.delivery_id for message in email.calls] == [
            delivery_of("first"),
            delivery_of("receipt"),
        ]
        story = await process.story(send_id("/campaigns/spring", "receipt"))
        assert story["deliveries"][0]["attempt"] == 1, "to be withheld is no attempt"


async def test_c6_a_yes_after_the_no_lets_out_again(world: World) -> None:
    """After a yes the next request goes out."""
    async with world.process() as process:
        await world.ask(ada("first", "email"))
        await world.until(lambda: world.facts("message.sent"), "the first is sent")
        await process.engage.refuse(delivery_of("first"), channels=("email",), how="preferences")
        await world.clock.advance(1)
        await process.engage.allow(delivery_of("first"), channels=("email",))
        await world.ask(ada("second", "email"))
        await world.until(
            lambda: world.facts("message.sent", request_id="second"), "the second is sent"
        )


# --- channels in order ----------------------------------------------------------------------


async def test_a_refused_address_is_suppressed_and_the_next_channel_tried(world: World) -> None:
    """Refused for good on e-mail: bounced, then SMS; the next request goes to SMS at once."""
    world.channels["email"].answers[ADA["email"]] = [Refused("no such user", Scope.ADDRESS)]
    async with world.process():
        await world.ask(ada("first", "email", "sms"))
        await world.until(
            lambda: world.facts("message.sent", request_id="first", channel="sms"), "SMS is sent"
        )
        (bounce,) = world.facts("message.bounced")
        assert bounce["data"]["channel"] == "email"
        await world.ask(ada("second", "email", "sms"), ada("third", "email"))
        await world.until(
            lambda: world.facts("message.sent", request_id="second", channel="sms"), "SMS again"
        )
        await world.until(
            lambda: world.facts("send.suppressed", request_id="third"), "nothing is left"
        )
    assert world.facts("send.suppressed")[0]["data"]["reason"] == "suppressed_address"
    assert len(world.channels["email"].calls) == 1


async def test_a_refused_message_fails_and_closes_no_address(world: World) -> None:
    """Refused for its content: failed; the address stays good."""
    world.channels["email"].answers[ADA["email"]] = [Refused("too long", Scope.MESSAGE)]
    async with world.process():
        await world.ask(ada("first", "email"))
        await world.until(lambda: world.facts("message.failed", request_id="first"), "it failed")
        await world.ask(ada("second", "email"))
        await world.until(lambda: world.facts("message.sent", request_id="second"), "it is sent")
    assert not world.facts("message.sent", request_id="first")


# --- when -----------------------------------------------------------------------------------


async def test_nothing_goes_out_before_not_before(world: World) -> None:
    """A request waits in the store for its time, and over a restart of that time."""
    async with world.process():
        await world.ask(ada("first", "email", not_before=at(60)))
        await world.later(50)
        assert not world.channels["email"].calls
        await world.later(10)
        await world.until(lambda: world.facts("message.sent"), "it is sent at its time")


async def test_nothing_goes_out_after_expires_at(world: World) -> None:
    """A request that is late, on arrival or while it waits, ends as expired and is told so."""
    world.channels["email"].answers["slow@mbox7.example"] = [Deferred("later")]
    late = {"not_before": at(60), "expires_at": at(100)}
    async with world.process():
        await world.ask(
            ada("past", "email", expires_at=at(-1)),
            other("slow", "email", expires_at=at(10)),
            other("waits", "email", **late),
        )
        await world.until(
            lambda: world.facts("send.suppressed", request_id="past", reason="expired"), "past"
        )
        await world.until(
            lambda: world.facts("message.failed", request_id="slow", reason="given_up"), "slow"
        )
        await world.later(120)
        await world.until(
            lambda: world.facts("send.suppressed", request_id="waits", reason="expired"), "waits"
        )
    assert world.channels["email"].addresses() == ["slow@mbox7.example"]


async def test_the_best_priority_goes_first(catalog: Catalog) -> None:
    """Of what waits for a place in the lane, high goes before normal before low."""
    world = World(catalog, concurrency=1)
    email = world.channels["email"]
    email.may_answer.clear()
    async with world.process() as process:
        await world.ask(other("first", "email"))
        await world.until(lambda: len(email.calls) == 1, "the lane is full")
        for name in ("low", "normal", "high"):
            await world.ask(other(name, "email", priority=name))
            await world.settle_down()
        email.may_answer.set()
        await world.until(lambda: len(world.facts("message.sent")) == 4, "all are sent")
        await world.until(lambda: process.lanes["email"].in_flight == 0, "the lane is empty")
    names = [address.partition("@")[0] for address in email.addresses()]
    assert names == ["first", "high", "normal", "low"]


# --- holding --------------------------------------------------------------------------------


async def test_retry_after_holds_the_lane_and_no_other(world: World) -> None:
    """After a 429 nothing leaves on this lane before its time; other lanes go on."""
    email, sms = world.channels["email"], world.channels["sms"]
    email.answers["first@mbox7.example"] = [Throttled(retry_after_s=40)]
    async with world.process():
        await world.ask(other("first", "email"))
        await world.until(lambda: len(email.calls) == 1, "the first is out")
        await world.settle_down()
        await world.ask(other("second", "email"), other("third", "sms"))
        await world.until(lambda: len(sms.calls) == 1, "SMS is out")
        await world.later(35)
        assert len(email.calls) == 1, "the lane went on before its time"
        await world.later(10)
        await world.until(lambda: len(world.facts("message.sent")) == 3, "all are sent")


async def test_a_wrong_key_costs_no_attempt(world: World) -> None:
    """Misconfigured keeps the delivery and counts no attempt; once it is right, it is sent."""
    email = world.channels["email"]
    email.answers[ADA["email"]] = [Misconfigured("401"), Misconfigured("401")]
    async with world.process():
        await world.ask(ada("first", "email"))
        await world.until(lambda: len(email.calls) == 1, "the first is out")
        await world.later(61)
        await world.until(lambda: len(email.calls) == 2, "it is tried again")
        await world.later(61)
        await world.until(lambda: world.facts("message.sent"), "it is sent")
    (sent,) = world.facts("message.sent")
    assert sent["data"]["attempt"] == 1
    assert len(email.calls) == 3


# --- parts that are away --------------------------------------------------------------------


async def test_an_outcome_outlives_a_store_that_is_away(world: World) -> None:
    """While the store cannot settle, the outcome waits; it is told once, and the call is one."""
    wire = Wire()
    wire.faults["store.settle before"] = StoreUnavailable("locked")
    async with world.process(wire):
        await world.ask(ada("first", "email"))
        await world.until(lambda: "store.settle before" in wire.passed, "it tried to settle")
        assert not world.facts("message.sent")
        del wire.faults["store.settle before"]
        await world.later(1)
        await world.until(lambda: world.facts("message.sent"), "it is told")
    assert len(world.channels["email"].calls) == 1


async def test_requests_wait_while_the_store_is_away(world: World) -> None:
    """What cannot be admitted is not committed, and is admitted once when the store is back."""
    wire = Wire()
    wire.faults["store.admit before"] = StoreUnavailable("locked")
    async with world.process(wire):
        await world.ask(ada("first", "email"))
        await world.until(lambda: "store.admit before" in wire.passed, "it tried to admit")
        assert not any(world.bus.committed("gateway").values())
        del wire.faults["store.admit before"]
        await world.later(1)
        await world.until(lambda: world.facts("message.sent"), "it is sent")
        await world.until(lambda: any(world.bus.committed("gateway").values()), "committed")
    assert len(world.channels["email"].calls) == 1


async def test_facts_wait_while_the_bus_is_away(world: World) -> None:
    """While no broker answers messages go out and their facts stay; afterwards each is there."""
    async with world.process():
        await world.ask(ada("first", "email"))
        world.bus.is_down = True
        await world.until(lambda: world.channels["email"].calls, "the message is out")
        await world.settle_down()
        assert not world.facts("message.sent")
        world.bus.is_down = False
        await world.later(2)
        await world.until(lambda: world.facts("message.sent"), "the fact is there")


# --- the end --------------------------------------------------------------------------------


async def test_drain_waits_for_a_claim_that_was_under_way(catalog: Catalog) -> None:
    """A claim that the store answers after the end began is sent or given back, never left open."""
    world, wire = World(catalog, concurrency=1), Wire()
    email = world.channels["email"]
    async with world.process(wire) as process:
        email.may_answer.clear()
        await world.ask(other("first", "email"))
        await world.until(lambda: len(email.calls) == 1, "the lane is full")
        await world.ask(other("second", "email"))
        await world.settle_down()
        held = wire.holds["store.claim after"] = asyncio.Event()
        email.may_answer.set()

        async def is_claimed() -> bool:
            return await state_of(process, "second") == "claimed"

        await until_told(is_claimed, within_s=5, what="the second is claimed")
        draining = asyncio.create_task(process.lanes["email"].drain(5.0))
        await world.settle_down()
        assert not draining.done()
        assert len(email.calls) == 1
        held.set()
        await draining
        ends = (await state_of(process, "second"), len(email.calls))
        assert ends in (("sent", 2), ("queued", 1))


async def state_of(process: Process, name: str) -> str:
    """The state of a request."""
    return str((await process.story(send_id("/campaigns/spring", name)))["state"])


@pytest.mark.parametrize("answer", [Accepted("id"), Refused("no", Scope.ADDRESS)])
async def test_a_repeat_is_never_sent_again(world: World, answer: Accepted | Refused) -> None:
    """The same identity leads to one call, however it ended and however often it comes."""
    world.channels["email"].answers[ADA["email"]] = [answer]
    async with world.process():
        for _ in range(3):
            await world.ask(ada("first", "email"))
            await world.settle_down()
    assert len(world.channels["email"].calls) == 1
    assert len(world.facts("message.sent")) + len(world.facts("message.bounced")) == 1
