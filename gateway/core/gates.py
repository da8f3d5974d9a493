"""The gates: whether a send may go out now, and on which channel.

One pure answer for admission, for every claim and for the next channel after a refusal. The store
asks inside the transaction that makes the claim, so an answer is never older than the claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.core.plan import Plan, Route


class Cause(StrEnum):
    """Where a yes or a no came from. A later yes undoes only what its own cause allows."""

    UNSUBSCRIBE = "unsubscribe"
    STOP = "stop"
    COMPLAINT = "complaint"
    BOUNCE = "bounce"
    DEAD_TOKEN = "dead_token"  # noqa: S105 - a device, not a secret
    PROVIDER = "provider"
    CONSENT = "consent"


class Reason(StrEnum):
    """Why a request ends without a message (contract 1.3)."""

    CONSENT = "consent"
    SUPPRESSED_ADDRESS = "suppressed_address"
    EXPIRED = "expired"
    NO_ROUTE = "no_route"


ADDRESS_CAUSES = frozenset({Cause.BOUNCE, Cause.DEAD_TOKEN, Cause.COMPLAINT})
"""Causes that speak of the address, not of what the person wants."""

EVERYTHING = frozenset({Cause.STOP, Cause.PROVIDER, Cause.BOUNCE, Cause.DEAD_TOKEN})
"""Causes that also hold back transactional messages."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one subject on one channel: `granted` or `revoked`, and by what."""

    subject: bytes
    channel: str
    topic: str
    cause: Cause
    is_revoked: bool
    occurred_at: datetime

    def forbids(self, channel: str, *, is_promotional: bool) -> bool:
        """Whether this standing closes the channel for a message of that purpose."""
        if not self.is_revoked or self.topic or self.channel not in (channel, "all"):
            return False
        return is_promotional or self.cause in EVERYTHING

    @property
    def reason(self) -> Reason:
        """The reason that an end by this standing is published with."""
        return Reason.SUPPRESSED_ADDRESS if self.cause in ADDRESS_CAUSES else Reason.CONSENT


Standings = Mapping[bytes, Sequence[Standing]]


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate's answer, for the decision record."""

    gate: str
    answer: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Go:
    """The delivery at `position` may be claimed, not before `due_at`."""

    position: int
    due_at: datetime
    gates: tuple[Gate, ...]


@dataclass(frozen=True, slots=True)
class End:
    """No message may go out, for this reason."""

    reason: Reason
    detail: str
    gates: tuple[Gate, ...]


Answer = Go | End


def subjects(plan: Plan) -> tuple[bytes, ...]:
    """All subjects whose standings the gates of this plan need."""
    return (plan.person, *(key for route in plan.routes for key in route.subjects))


def ask(plan: Plan, standings: Standings, *, now: datetime, position: int = 0) -> Answer:
    """Pass the gates in order for the routes from `position` on."""
    if plan.expires_at is not None and plan.expires_at <= now:
        at = plan.expires_at.isoformat()
        return End(Reason.EXPIRED, at, (Gate("expiry", "expired", at),))
    passed = [Gate("expiry", "passed")]
    closed_by: Reason | None = None
    for place, route in enumerate(plan.routes[position:], start=position):
        standing = closed(plan, route, standings)
        if standing is None:
            passed += (Gate("consent", "passed", route.channel), Gate("route", route.channel))
            return Go(place, max(now, plan.not_before or now), tuple(passed))
        passed.append(Gate("consent", standing.reason.value, f"{route.channel}: {standing.cause}"))
        closed_by = standing.reason if closed_by in (None, standing.reason) else Reason.CONSENT
    passed.append(Gate("route", "none"))
    detail = ", ".join(gate.detail for gate in passed if gate.gate == "consent")
    return End(closed_by or Reason.NO_ROUTE, detail, tuple(passed))


def closed(plan: Plan, route: Route, standings: Standings) -> Standing | None:
    """The standing that closes a route, or None. A push route is closed when every device is."""
    for standing in standings.get(plan.person, ()):
        if standing.forbids(route.channel, is_promotional=plan.is_promotional):
            return standing
    found = [address_closed(plan, route.channel, key, standings) for key in route.subjects]
    if found and all(standing is not None for standing in found):
        return found[0]
    return None


def address_closed(
    plan: Plan, channel: str, subject: bytes, standings: Standings
) -> Standing | None:
    """The standing that closes one address, or None."""
    for standing in standings.get(subject, ()):
        if standing.forbids(channel, is_promotional=plan.is_promotional):
            return standing
    return None
