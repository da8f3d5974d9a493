"""The life of a delivery: the transition table, and what each outcome makes of a claim.

States only move forward by rank, so late, repeated and early receipts are harmless. A delivery
whose attempt has no clear answer is in doubt: a promotional one is abandoned after the wait, a
transactional one is repeated. `docs/lifecycle.md` draws this table; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from msgspec import Struct, structs

from channels.contract import (
    Accepted,
    Deferred,
    Misconfigured,
    Outcome,
    Refused,
    Scope,
    Throttled,
    Uncertain,
    Withheld,
)
from gateway.core import retry
from gateway.core.gates import Cause
from gateway.core.plan import Plan

MISCONFIGURED_GAP_S = 60.0
WITHHELD_GAP_S = 1.0
"""By then the store and the gate in memory agree again."""


class State(StrEnum):
    """Where a delivery is."""

    ARMED = "armed"
    HELD = "held"
    QUEUED = "queued"
    CLAIMED = "claimed"
    IN_DOUBT = "in_doubt"
    UNKNOWN = "unknown"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    FAILED = "failed"
    SUPPRESSED = "suppressed"


RANK: Mapping[State, int] = {
    State.ARMED: 0,
    State.HELD: 0,
    State.QUEUED: 0,
    State.CLAIMED: 1,
    State.IN_DOUBT: 2,
    State.UNKNOWN: 3,
    State.SENT: 4,
    State.DELIVERED: 5,
    State.FAILED: 6,
    State.BOUNCED: 7,
    State.SUPPRESSED: 8,
}
"""A receipt moves a delivery to a higher rank or not at all."""

TRANSITIONS: Mapping[tuple[State, str], State] = {
    (State.ARMED, "seen at the place"): State.QUEUED,
    (State.ARMED, "geo.expires_at"): State.SUPPRESSED,
    (State.HELD, "switch: running"): State.QUEUED,
    (State.HELD, "expired, killed"): State.SUPPRESSED,
    (State.QUEUED, "switch: stopped"): State.HELD,
    (State.QUEUED, "claim"): State.CLAIMED,
    (State.QUEUED, "closed gate"): State.SUPPRESSED,
    (State.QUEUED, "expired after an attempt"): State.FAILED,
    (State.CLAIMED, "accepted"): State.SENT,
    (State.CLAIMED, "deferred, throttled"): State.QUEUED,
    (State.CLAIMED, "misconfigured, withheld"): State.QUEUED,
    (State.CLAIMED, "too old"): State.FAILED,
    (State.CLAIMED, "address refused"): State.BOUNCED,
    (State.CLAIMED, "message refused"): State.FAILED,
    (State.CLAIMED, "no clear answer, crash"): State.IN_DOUBT,
    (State.CLAIMED, "devices: refused and in doubt"): State.UNKNOWN,
    (State.IN_DOUBT, "proof"): State.SENT,
    (State.IN_DOUBT, "wait over, promotional"): State.UNKNOWN,
    (State.IN_DOUBT, "wait over, transactional"): State.QUEUED,
    (State.UNKNOWN, "proof"): State.SENT,
    (State.SENT, "receipt: delivered"): State.DELIVERED,
    (State.SENT, "receipt: bounced"): State.BOUNCED,
    (State.SENT, "receipt: failed"): State.FAILED,
    (State.DELIVERED, "receipt: bounced"): State.BOUNCED,
    (State.DELIVERED, "receipt: failed"): State.FAILED,
}


class Claim(Struct, frozen=True):
    """The right to make one attempt, until `until`. `targets` says how each device stands."""

    delivery_seq: int
    send_seq: int
    plan: Plan
    position: int
    claim_no: int
    attempts: int
    queued_at: datetime
    until: datetime
    targets: str = ""

    @property
    def delivery_id(self) -> str:
        return self.plan.delivery_id(self.position)

    @property
    def channel(self) -> str:
        return self.plan.routes[self.position].channel


class Tried(Struct, frozen=True):
    """An attempt and its outcome. `draw` is a random number in [0, 1) for the next gap.

    `targets` is how each device stands after it; empty for e-mail and SMS.
    """

    claim: Claim
    outcome: Outcome
    provider: str
    started_at: datetime
    ended_at: datetime
    draw: float
    locale: str
    segments: int | None = None
    targets: str = ""


class Verdict(Struct, frozen=True):
    """What an outcome makes of a delivery.

    `due_at` is set while there is more to do; `tries_next` says that the next channel's turn has
    come; `cause` suppresses the address for that cause.
    """

    state: State
    counts: bool
    due_at: datetime | None = None
    reason: str = ""
    detail: str = ""
    provider_id: str = ""
    tries_next: bool = False
    cause: Cause | None = None


def judge(tried: Tried, *, doubt_wait: timedelta) -> Verdict:
    """The verdict on one attempt."""
    verdict = _judge(tried, doubt_wait=doubt_wait)
    return _for_devices(tried, verdict) if tried.targets else verdict


def _judge(tried: Tried, *, doubt_wait: timedelta) -> Verdict:  # noqa: PLR0911 - one per outcome
    outcome, now = tried.outcome, tried.ended_at
    match outcome:
        case Accepted():
            return Verdict(State.SENT, counts=True, provider_id=outcome.provider_id)
        case Deferred():
            return _again(tried, outcome.reason, outcome.retry_after_s)
        case Throttled():
            return _again(tried, outcome.reason, outcome.retry_after_s, counts=False)
        case Refused():
            return _refused(tried.claim.channel, outcome)
        case Misconfigured():
            due = now + timedelta(seconds=MISCONFIGURED_GAP_S)
            return _unless_too_old(
                tried,
                due,
                Verdict(
                    State.QUEUED,
                    counts=False,
                    due_at=due,
                    reason="misconfigured",
                    detail=outcome.reason,
                ),
            )
        case Uncertain():
            return Verdict(
                State.IN_DOUBT, counts=True, due_at=now + doubt_wait, reason=outcome.reason
            )
        case Withheld():
            due = now + timedelta(seconds=WITHHELD_GAP_S)
            return Verdict(State.QUEUED, counts=False, due_at=due, reason="withheld")
        case _:
            assert_never(outcome)


def _again(
    tried: Tried, reason: str, retry_after_s: float | None, *, counts: bool = True
) -> Verdict:
    gap_s = retry.next_gap(tried.claim.attempts, tried.draw, retry_after_s)
    due = tried.ended_at + timedelta(seconds=gap_s)
    return _unless_too_old(
        tried, due, Verdict(State.QUEUED, counts=counts, due_at=due, reason=reason)
    )


def _unless_too_old(tried: Tried, due: datetime, otherwise: Verdict) -> Verdict:
    """The same verdict, or given up: by age, or because the offer ends before the next attempt."""
    plan = tried.claim.plan
    if not retry.gives_up(tried.claim.queued_at, due, plan.expires_at):
        return otherwise
    return Verdict(
        State.FAILED,
        counts=otherwise.counts,
        reason="given_up",
        detail=otherwise.detail or otherwise.reason,
        tries_next=True,
    )


def _refused(channel: str, outcome: Refused) -> Verdict:
    if outcome.scope is Scope.ADDRESS:
        cause = Cause.DEAD_TOKEN if channel == "push" else Cause.BOUNCE
        return Verdict(
            State.BOUNCED,
            counts=True,
            reason="refused",
            detail=outcome.reason,
            tries_next=True,
            cause=cause,
        )
    if outcome.scope is Scope.CONSENT:
        return Verdict(
            State.FAILED,
            counts=True,
            reason="consent",
            detail=outcome.reason,
            tries_next=True,
            cause=Cause.PROVIDER,
        )
    return Verdict(
        State.FAILED, counts=True, reason="refused", detail=outcome.reason, tries_next=True
    )


# --- pushes: one delivery, many devices -----------------------------------------------------

PENDING, TAKEN, DEAD, REFUSED, DOUBTFUL = ".", "a", "d", "r", "u"


def first_targets(plan: Plan, position: int) -> str:
    """How the devices of a push stand before the first attempt; empty for e-mail and SMS."""
    route = plan.routes[position]
    return PENDING * len(route.subjects) if route.channel == "push" else ""


def target_after(outcome: Outcome) -> str:
    """How one device stands after its attempt, as one letter."""
    match outcome:
        case Accepted():
            return TAKEN
        case Refused(scope=Scope.ADDRESS):
            return DEAD
        case Refused():
            return REFUSED
        case Uncertain():
            return DOUBTFUL
        case Deferred() | Throttled() | Misconfigured() | Withheld():
            return PENDING
        case _:
            assert_never(outcome)


def _for_devices(tried: Tried, verdict: Verdict) -> Verdict:
    """The verdict on a push, given how each of its devices stands.

    Once one device took it, it is sent, and only devices that asked to wait are tried again.
    With a device in doubt and none that took it, an end is an end in doubt.
    """
    if TAKEN in tried.targets:
        due = _again(tried, "", None).due_at if PENDING in tried.targets else None
        return structs.replace(verdict, state=State.SENT, due_at=due, tries_next=False, cause=None)
    if verdict.tries_next and DOUBTFUL in tried.targets:
        return structs.replace(verdict, state=State.UNKNOWN, tries_next=False, cause=None)
    return verdict


def died(before: str, after: str) -> tuple[int, ...]:
    """The places of the devices that this attempt showed to be dead."""
    return tuple(
        place
        for place, mark in enumerate(after)
        if mark == DEAD and before[place : place + 1] != DEAD
    )


def together(outcomes: Mapping[int, Outcome], targets: str) -> tuple[Outcome, str]:
    """One outcome for all devices of a push, and how each stands now.

    Sent when the first device takes it; refused when all refuse; in doubt when nothing better is
    known. A device that only asked to wait is tried again as long as no device is in doubt.
    """
    marks = list(targets)
    for place, outcome in outcomes.items():
        marks[place] = target_after(outcome)
    after = "".join(marks)
    order = (Accepted, Uncertain, Withheld, Throttled, Deferred, Misconfigured, Refused)
    first = min(outcomes.values(), key=lambda outcome: order.index(type(outcome)))
    dead = [o for o in outcomes.values() if isinstance(o, Refused) and o.scope is Scope.ADDRESS]
    if isinstance(first, Refused) and dead:
        return dead[0], after
    return first, after
