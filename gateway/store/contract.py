"""What the gateway asks of its store: small protocols in domain verbs.

Invariant: each method is one transaction over a whole batch, and may be called again with the same
batch. What is returned is durable. Times are aware UTC; addresses come as keyed hashes only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from channels.contract import Receipt
from gateway.bus.contract import Headers, Outgoing
from gateway.core.delivery import Claim, Tried
from gateway.core.gates import Cause, Gate
from gateway.core.listing import Listed, Wanted
from gateway.core.plan import Plan
from gateway.core.request import ConversionData, Money, SendData

# --- admissions -----------------------------------------------------------------------------


class Admission(NamedTuple):
    """A request that passed the contract. `request` is its data as stored JSON.

    `gates` are what was decided before the store was asked: variant, offer, template.
    """

    plan: Plan
    digest: bytes
    request: bytes
    gates: Sequence[Gate] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that we cannot take, on its way to the dead letters; named by where it stood."""

    name: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class Admitted(NamedTuple):
    """What became of one admission: `accepted`, `duplicate` or `conflict`.

    `claim` is set where its first delivery was claimed at once.
    """

    send_id: str
    status: str
    claim: Claim | None = None


class Admissions(Protocol):
    """How requests become sends."""

    async def admit(
        self,
        batch: Sequence[Admission],
        refusals: Sequence[Refusal] = (),
        *,
        room: Mapping[str, int],
        claim_for: timedelta,
        now: datetime,
        is_whole: bool = False,
    ) -> Sequence[Admitted]:
        """Make sends of new requests and claim up to `room` deliveries per channel at once.

        Answers are in the order of `batch`. A conflict leaves nothing behind: its dead letter
        comes with the next call's `refusals`. With `is_whole` a conflict means that nothing is
        taken.
        """
        ...


# --- claims ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Coupon:
    """The code that a message carries, and until when it is good."""

    code: str
    expires_at: datetime | None


class Claimed(NamedTuple):
    """A claim with the request it is for, and the coupon that was reserved for it."""

    claim: Claim
    data: SendData
    closed: frozenset[int] = frozenset()  # devices that must not be written to
    coupon: Coupon | None = None
    is_first_sms: bool = False  # it must say how to stop


class Claims(Protocol):
    """How deliveries are attempted."""

    async def claim(
        self, channel: str, limit: int, *, claim_for: timedelta, now: datetime
    ) -> Sequence[Claimed]:
        """Claim due deliveries, best priority and longest due first; the gates are asked again."""
        ...

    async def settle(self, tried: Sequence[Tried], *, now: datetime) -> int:
        """Record outcomes with their facts; how many were stale (their claim had been lost)."""
        ...


# --- outbox ---------------------------------------------------------------------------------


ENGAGEMENT, DLQ = "engagement", "dlq"
"""What a record of the outbox is for; settings say which topic that is."""


class Pending(NamedTuple):
    """A record of the outbox. `mark` grows with the order in which it must be published."""

    mark: int
    record: Outgoing


class Outbox(Protocol):
    """How facts reach Kafka."""

    async def pending(self, limit: int) -> Sequence[Pending]:
        """The oldest records not yet published, in order."""
        ...

    async def published(self, mark: int) -> None:
        """All records up to `mark` are acknowledged by the broker."""
        ...


# --- engagements ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hit:
    """An open or a click, and what its actor is judged by. The user agent is not kept.

    `key` tells repeated reports of one hit by a provider apart; without it, hits of one actor on
    one link within the same ten seconds are one fact.
    """

    type: str  # opened | clicked
    delivery_id: str
    occurred_at: datetime
    user_agent: str
    is_prefetch: bool = False
    machine: bool | None = None
    key: str = ""
    link: int | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A yes or a no. About the person of a delivery, a person by id, an address, or all of these.

    `subjects` are keys of addresses and persons beside those that the delivery names.
    `occurred_at` orders changes of one subject; an older one changes nothing.
    """

    cause: Cause
    channel: str  # email | sms | push | all
    is_revoked: bool
    occurred_at: datetime
    source: str
    delivery_id: str = ""
    recipient_id: str = ""
    subjects: Sequence[bytes] = ()
    topic: str = ""
    evidence: str = ""
    fact: str | None = None  # the event type that tells of it, None for none
    undoes: Sequence[Cause] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person wrote back. `said` is a class of answer, never their text."""

    subject: bytes
    said: str
    provider: str
    key: str
    occurred_at: datetime


class Engagements(Protocol):
    """What people and providers tell us later."""

    async def record(
        self,
        *,
        now: datetime,
        hits: Sequence[Hit] = (),
        receipts: Sequence[Receipt] = (),
        changes: Sequence[Change] = (),
        answers: Sequence[Answer] = (),
    ) -> Sequence[Sequence[bytes] | None]:
        """Record all with their facts.

        One answer per change: the subjects that it is about, None where its delivery is unknown.
        """
        ...

    async def keep_links(self, links: Sequence[tuple[str, str, int, str]]) -> None:
        """Make short links durable: code, delivery id, link number, destination."""
        ...

    async def link(self, code: str) -> tuple[str, int, str] | None:
        """Delivery id, link number and destination of a short link."""
        ...

    async def stands(self, delivery_id: str) -> tuple[Plan, str, Mapping[str, bool]] | None:
        """Plan, channel and, per channel, whether promotional messages still reach the person.

        `campaign` stands beside the channels, for the plan's own.
        """
        ...


# --- upkeep ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits: deliveries by channel and state, unpublished facts, age of the oldest due."""

    by_channel: Mapping[str, Mapping[str, int]]
    outbox: int
    oldest_due_s: float


class Upkeep(Protocol):
    """What time does."""

    async def sweep(self, *, now: datetime, limit: int) -> int:
        """Claims that ran out are in doubt; doubts whose wait is over end or go again; how many."""
        ...

    async def backlog(self, *, now: datetime) -> Backlog: ...

    async def story(self, send_id: str) -> Mapping[str, Any] | None:
        """The decision record of a send: gates, deliveries, attempts, events. No addresses."""
        ...

    async def purge(self, *, before: datetime, limit: int) -> int:
        """Forget published facts and dedupe keys older than that; how many."""
        ...


# --- business: who came back, who is where, what is stopped ---------------------------------


@dataclass(frozen=True, slots=True)
class Redemption:
    """What came of redeeming a code: `now`, `before`, `by_another`, `over` or `unknown`."""

    verdict: str
    delivery_id: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Switch:
    """One kill switch."""

    scope: str
    is_stopped: bool
    reason: str
    at: datetime


class Business(Protocol):
    """What a win-back program needs beside messages. Stopped sends come back by their ids."""

    async def cancel(
        self,
        *,
        now: datetime,
        request: tuple[str, str] | None = None,
        campaign: str | None = None,
        recipient_id: str | None = None,
    ) -> Sequence[str]:
        """Stop one request (source, id), or what waits of a campaign, some at a time."""
        ...

    async def convert(
        self, name: str, data: ConversionData, *, now: datetime
    ) -> Sequence[str] | None:
        """Take a conversion once; None for a repeat."""
        ...

    async def seen_at(
        self,
        recipient_id: str,
        places: Mapping[str, bool],
        *,
        groups: Mapping[str, Sequence[str]],
        now: datetime,
    ) -> Sequence[str]:
        """A person is inside these fences and groups, each open or not.

        `groups` are those of a fence: a message at one of their fences cools all of them.
        """
        ...

    async def put_fence(self, fence_id: str, feature: bytes, *, now: datetime) -> None: ...

    async def drop_fence(self, fence_id: str) -> None: ...

    async def fences(self) -> Sequence[tuple[str, bytes]]: ...

    async def fences_age(self) -> tuple[int, int]:
        """A value that changes with every change of a fence."""
        ...

    async def switch(self, scope: str, *, is_stopped: bool, reason: str, now: datetime) -> None: ...

    async def switches(self) -> Sequence[Switch]: ...

    async def discard(self, scope: str, *, now: datetime) -> Sequence[str]:
        """Kill what waits in a scope, some at a time; empty when nothing is left."""
        ...

    async def redeem(
        self, code: str, *, order_id: str, value: Money | None, now: datetime
    ) -> Redemption: ...

    async def add_codes(self, pool: str, codes: Sequence[str]) -> Mapping[str, int]: ...

    async def count_codes(self, pool: str) -> Mapping[str, int]: ...

    async def person(self, recipient_id: str) -> Mapping[str, Any] | None: ...

    async def erase(self, recipient_id: str, *, now: datetime) -> Sequence[bytes]:
        """Forget a person; the subjects that stay closed."""
        ...

    async def results(self, campaign: str) -> Mapping[str, Any]: ...

    async def newest_campaigns(self, limit: int) -> Sequence[str]: ...

    async def newest_outcomes(self) -> Mapping[str, int]: ...

    async def newest_letters(self, limit: int) -> Sequence[Mapping[str, Any]]: ...

    async def unpublished(self, limit: int) -> Sequence[Mapping[str, Any]]: ...

    async def listed(self, wanted: Wanted, *, limit: int) -> Sequence[Listed]: ...


class Store(Admissions, Claims, Outbox, Engagements, Upkeep, Business, Protocol):
    """All of them."""

    @property
    def secret(self) -> bytes:
        """The key under which this store hashes persons and addresses."""
        ...


__all__ = [
    "Admission",
    "Admissions",
    "Admitted",
    "Answer",
    "Backlog",
    "Business",
    "Change",
    "Claimed",
    "Claims",
    "Coupon",
    "Engagements",
    "Gate",
    "Hit",
    "Outbox",
    "Pending",
    "Redemption",
    "Refusal",
    "Store",
    "Switch",
    "Upkeep",
]
