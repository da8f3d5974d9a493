"""The gates: whether a send may go out now, and on which channel.

One pure answer for admission, for every claim and for the next channel after a refusal. The store
asks inside the transaction that makes the claim, so an answer is never older than the claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from gateway.core.places import Place
from gateway.core.plan import Plan, Route
from gateway.core.policy import Cap, Touch, capped
from gateway.core.quiet import QuietRules, quiet_until


class Cause(StrEnum):
    """Where a yes or a no came from. A later yes undoes only what its own cause allows."""

    UNSUBSCRIBE = "unsubscribe"
    STOP = "stop"
    COMPLAINT = "complaint"
    BOUNCE = "bounce"
    DEAD_TOKEN = "dead_token"  # noqa: S105 - a device, not a secret
    PROVIDER = "provider"
    CONSENT = "consent"
    ERASED = "erased"


class Reason(StrEnum):
    """Why a request ends without a message (contract 1.3)."""

    CONSENT = "consent"
    SUPPRESSED_ADDRESS = "suppressed_address"
    FREQUENCY_CAP = "frequency_cap"
    EXPIRED = "expired"
    NO_ROUTE = "no_route"
    NO_COUPON = "no_coupon"
    HELD_OUT = "held_out"
    CANCELLED = "cancelled"
    CONVERTED = "converted"
    KILLED = "killed"


WEIGHT = (
    Reason.CONSENT,
    Reason.SUPPRESSED_ADDRESS,
    Reason.FREQUENCY_CAP,
    Reason.EXPIRED,
    Reason.NO_ROUTE,
)
"""Of several closed routes' reasons the first of these is the request's."""


ADDRESS_CAUSES = frozenset({Cause.BOUNCE, Cause.DEAD_TOKEN, Cause.COMPLAINT})
"""Causes that speak of the address, not of what the person wants."""

EVERYTHING = frozenset({Cause.STOP, Cause.PROVIDER, Cause.BOUNCE, Cause.DEAD_TOKEN, Cause.ERASED})
"""Causes that also hold back transactional messages."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one subject on one channel: `granted` or `revoked`, and by what.

    A standing with a `topic` speaks of the sends of the campaign of that name, and of no others.
    """

    subject: bytes
    channel: str
    topic: str
    cause: Cause
    is_revoked: bool
    occurred_at: datetime

    def forbids(self, channel: str, *, is_promotional: bool, campaign: str = "") -> bool:
        """Whether this standing closes the channel for a message of that purpose and campaign."""
        if not self.is_revoked or self.channel not in (channel, "all"):
            return False
        if self.topic not in ("", campaign):
            return False
        return is_promotional or self.cause in EVERYTHING

    @property
    def reason(self) -> Reason:
        """The reason that an end by this standing is published with."""
        return Reason.SUPPRESSED_ADDRESS if self.cause in ADDRESS_CAUSES else Reason.CONSENT


Standings = Mapping[bytes, Sequence[Standing]]


class Gate(NamedTuple):
    """One gate's answer, for the decision record."""

    gate: str
    answer: str
    detail: str = ""


class Go(NamedTuple):
    """The delivery at `position` may go out, not before `due_at`."""

    position: int
    due_at: datetime
    gates: tuple[Gate, ...]


class End(NamedTuple):
    """No message may go out, for this reason."""

    reason: Reason
    detail: str
    gates: tuple[Gate, ...]


Answer = Go | End


@dataclass(frozen=True, slots=True)
class Rules:
    """What the gates go by: the policy's caps and quiet hours, and whether SMS needs proof."""

    caps: tuple[Cap, ...] = ()
    quiet: QuietRules | None = None
    needs_sms_proof: bool = False


class Known(NamedTuple):
    """What the store knows of a plan's person: standings, and recent promotional messages."""

    standings: Standings
    touches: Sequence[Touch] = ()


def subjects(plan: Plan) -> tuple[bytes, ...]:
    """All subjects whose standings the gates of this plan need."""
    return (plan.person, *(key for route in plan.routes for key in route.subjects))


def ask(plan: Plan, known: Known, rules: Rules, *, now: datetime, position: int = 0) -> Answer:
    """Pass the gates in order for the routes from `position` on."""
    if plan.expires_at is not None and plan.expires_at <= now:
        at = plan.expires_at.isoformat()
        return End(Reason.EXPIRED, at, (Gate("expiry", "expired", at),))
    passed = [Gate("expiry", "passed")]
    reasons: list[Reason] = []
    for place, route in enumerate(plan.routes[position:], start=position):
        shut = _shut(plan, route, known, rules, now=now)
        if shut is not None:
            passed.append(shut[1])
            reasons.append(shut[0])
            continue
        due = _due(plan, route, rules, now=now)
        if plan.expires_at is not None and due >= plan.expires_at:
            passed.append(Gate("quiet", "too_late", f"{route.channel}: {due.isoformat()}"))
            reasons.append(Reason.EXPIRED)
            continue
        passed += (
            Gate("consent", "passed", route.channel),
            Gate("cap", "passed", route.channel),
            Gate("quiet", "passed" if due <= now else "wait", due.isoformat()),
            Gate("route", route.channel),
        )
        return Go(place, due, tuple(passed))
    passed.append(Gate("route", "none"))
    reason = min(reasons, key=WEIGHT.index, default=Reason.NO_ROUTE)
    return End(reason, _why(passed, reason), tuple(passed))


def _why(passed: Sequence[Gate], reason: Reason) -> str:
    return ", ".join(gate.detail for gate in passed if gate.answer in (reason.value, "too_late"))


def _shut(
    plan: Plan, route: Route, known: Known, rules: Rules, *, now: datetime
) -> tuple[Reason, Gate] | None:
    """Why a route is closed, or None."""
    standing = closed(plan, route, known.standings)
    if standing is not None:
        gate = Gate("consent", standing.reason.value, f"{route.channel}: {standing.cause}")
        return standing.reason, gate
    if not plan.is_promotional:
        return None
    if rules.needs_sms_proof and route.channel == "sms" and not _proven(plan, route, known):
        return Reason.CONSENT, Gate("consent", Reason.CONSENT.value, "sms: no proof of consent")
    cap = capped(rules.caps, known.touches, channel=route.channel, now=now)
    if cap is not None:
        detail = f"{route.channel}: {cap.max} in {cap.window}"
        return Reason.FREQUENCY_CAP, Gate("cap", Reason.FREQUENCY_CAP.value, detail)
    return None


def _proven(plan: Plan, route: Route, known: Known) -> bool:
    # A yes to one campaign is no proof for a whole channel, nor is a START that undoes a STOP.
    return any(
        standing.cause is Cause.CONSENT
        and not standing.is_revoked
        and not standing.topic
        and standing.channel == route.channel
        for subject in (plan.person, *route.subjects)
        for standing in known.standings.get(subject, ())
    )


def _due(plan: Plan, route: Route, rules: Rules, *, now: datetime) -> datetime:
    """When a message may go out on an open route: after `not_before`, outside quiet hours."""
    due = max(now, plan.not_before or now)
    if rules.quiet is None or not plan.is_promotional:
        return due
    place = Place(plan.zones, plan.countries, plan.region)
    return quiet_until(rules.quiet, place, channel=route.channel, now=due) or due


def closed(plan: Plan, route: Route, standings: Standings) -> Standing | None:
    """The standing that closes a route, or None. A push route is closed when every device is."""
    if not standings:
        return None
    person = address_closed(plan, route.channel, plan.person, standings)
    if person is not None:
        return person
    first: Standing | None = None
    for key in route.subjects:
        found = address_closed(plan, route.channel, key, standings)
        if found is None:
            return None
        first = first or found
    return first


def address_closed(
    plan: Plan, channel: str, subject: bytes, standings: Standings
) -> Standing | None:
    """The standing that closes one address, or None."""
    for standing in standings.get(subject, ()):
        if standing.forbids(channel, is_promotional=plan.is_promotional, campaign=plan.campaign):
            return standing
    return None
