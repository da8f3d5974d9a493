"""The sandbox and the table of providers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.messages import AT, EMAIL, PUSH, SMS, now
from support.recorder import RecordingTransport

from channels.contract import (
    Accepted,
    Channel,
    Deferred,
    Kind,
    Message,
    PushTarget,
    Receipt,
    ReceiptType,
    Refused,
    Scope,
    Throttled,
    Uncertain,
    Withheld,
)
from channels.registry import REGISTRY, Provider, Registry
from channels.sandbox import SandboxChannel, SandboxOptions
from channels.sendgrid import SendGridOptions
from channels.twilio import TwilioOptions


def sandbox(kind: Kind = Kind.EMAIL) -> tuple[SandboxChannel, list[Receipt]]:
    """A sandbox and the receipts that it gives."""
    receipts: list[Receipt] = []
    return SandboxChannel(SandboxOptions(kind, receipts.append), now=now), receipts


async def test_a_message_is_accepted_kept_and_then_delivered() -> None:
    """The receipt follows the outcome."""
    made, receipts = sandbox()
    assert await made.send(EMAIL) == Accepted("sandbox-at-1")
    assert receipts == []
    await asyncio.sleep(0)
    (receipt,) = receipts
    assert receipt.type is ReceiptType.DELIVERED
    assert (receipt.delivery_id, receipt.attempt_id) == ("de-1", "at-1")
    (kept,) = made.captured()
    assert (kept.to, kept.content, kept.captured_at) == (EMAIL.to, EMAIL.content, AT)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (replace(EMAIL, to="defer@example.com"), Deferred),
        (replace(EMAIL, to="throttle@example.com"), Throttled),
        (replace(EMAIL, to="Refuse+7@example.com"), Refused),
        (replace(EMAIL, to="doubt@example.com"), Uncertain),
        (replace(EMAIL, to="refuser@example.com"), Accepted),
        (replace(SMS, to="+15550000002"), Deferred),
        (replace(SMS, to="+15550000003"), Throttled),
        (replace(SMS, to="+15550000004"), Refused),
        (replace(SMS, to="+15550000005"), Uncertain),
        (replace(SMS, to="+15550000006"), Accepted),
        (replace(PUSH, to=PushTarget("fcm", "dead-1")), Refused),
        (replace(PUSH, to=PushTarget("fcm", "defer-1")), Deferred),
        (replace(PUSH, to=PushTarget("fcm", "throttle-1")), Throttled),
        (replace(PUSH, to=PushTarget("fcm", "doubt-1")), Uncertain),
        (replace(PUSH, to=PushTarget("webpush", subscription={})), Accepted),
    ],
)
async def test_some_destinations_have_another_fate(message: Message, expected: type) -> None:
    """The documented destinations, row by row; only what was accepted has a receipt."""
    made, receipts = sandbox()
    outcome = await made.send(message)
    await asyncio.sleep(0)
    assert isinstance(outcome, expected)
    assert bool(receipts) is isinstance(outcome, Accepted)
    if isinstance(outcome, Refused):
        assert outcome.scope is Scope.ADDRESS


@pytest.mark.parametrize(
    "message",
    [
        replace(EMAIL, to="bounce@example.com"),
        replace(SMS, to="+15550000001"),
        replace(PUSH, to=PushTarget("fcm", "bounce-1")),
    ],
)
async def test_a_bounce_is_accepted_first(message: Message) -> None:
    """As real providers do."""
    made, receipts = sandbox()
    assert isinstance(await made.send(message), Accepted)
    await asyncio.sleep(0)
    assert [receipt.type for receipt in receipts] == [ReceiptType.BOUNCED]


async def test_may_start_no_keeps_nothing() -> None:
    """The sandbox obeys like a real provider."""
    made, receipts = sandbox()
    assert await made.send(replace(EMAIL, may_start=lambda: False)) == Withheld()
    await asyncio.sleep(0)
    assert (made.captured(), receipts) == ((), [])


async def test_only_the_newest_500_are_kept() -> None:
    """Memory is bounded, and the newest comes first."""
    made, _ = sandbox()
    for number in range(510):
        await made.send(replace(EMAIL, attempt_id=str(number)))
    kept = made.captured()
    assert [kept[0].attempt_id, kept[-1].attempt_id, len(kept)] == ["509", "10", 500]
    assert len(made.captured(3)) == 3


# --- the table of providers


def test_each_kind_has_its_providers_in_order() -> None:
    """What a setting may choose from."""
    assert REGISTRY.names(Kind.EMAIL) == ("sendgrid", "smtp", "sandbox")
    assert REGISTRY.names(Kind.SMS) == ("twilio", "sandbox")
    assert REGISTRY.names(Kind.PUSH) == ("fcm", "sandbox")


def test_a_name_that_stands_twice_is_refused() -> None:
    """Per kind; the sandbox stands for all three."""
    one = Provider("sandbox", Kind.SMS, SandboxOptions, SandboxChannel)
    with pytest.raises(ValueError, match="two providers named sandbox"):
        Registry((one, one))


def test_a_provider_is_built_from_its_own_options_only() -> None:
    """Options of another provider are a bug, an unknown name too."""
    transport = RecordingTransport()
    built: Channel = REGISTRY.build(
        Kind.EMAIL, "sendgrid", options=SendGridOptions("k", "a@b.c"), transport=transport, now=now
    )
    assert (built.name, built.kind) == ("sendgrid", Kind.EMAIL)
    with pytest.raises(TypeError):
        REGISTRY.build(
            Kind.EMAIL, "sendgrid", options=TwilioOptions("a", "b"), transport=transport, now=now
        )
    with pytest.raises(KeyError):
        REGISTRY.build(Kind.SMS, "fcm", options=None, transport=transport, now=now)


@pytest.mark.parametrize("kind", list(Kind))
def test_the_sandbox_is_built_for_each_kind(kind: Kind) -> None:
    """One class, three lines."""
    transport = RecordingTransport()
    built = REGISTRY.build(
        kind, "sandbox", options=SandboxOptions(kind), transport=transport, now=now
    )
    assert (built.name, built.kind) == ("sandbox", kind)


def test_secrets_do_not_show_in_options() -> None:
    """Keys and tokens are not part of what the options look like."""
    assert "SECRET" not in repr(SendGridOptions("SECRET", "a@b.c"))
    assert "SECRET" not in repr(TwilioOptions("AC1", "SECRET"))
