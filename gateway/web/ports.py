"""What the web asks of the rest of the gateway, as protocols that it owns.

Invariant: a handler reaches state through a port and through nothing else.
This file knows neither the store nor the bus; `gateway/flows` fulfils the ports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from channels.contract import Reading, WebhookReader
from gateway.clock import Clock
from gateway.core.listing import Page, Wanted
from gateway.errors import EventsConflict, EventsRefused, Fault
from gateway.flows.contract import Report, Seen, ShortLink, Standing, Taken

Stop = Literal["one_click", "preferences"]
"""How a person said no."""

LinkPurpose = Literal["open", "click", "preferences"]
"""What a signed link is for."""


class SignedLink(Protocol):
    """What a token of ours says."""

    @property
    def delivery_id(self) -> str: ...

    @property
    def link(self) -> int: ...

    @property
    def url(self) -> str: ...


class Tokens(Protocol):
    """Reads signed links; raises `gateway.errors.TokenError` and nothing else."""

    def read(self, purpose: LinkPurpose, token: str) -> SignedLink: ...


class Engage(Protocol):
    """Engagement and consent, as people and providers tell us."""

    def opened(self, seen: Seen) -> None:
        """Note an open: buffered, never blocks, never raises."""
        ...

    def clicked(self, seen: Seen, *, link: int, url: str) -> None:
        """Note a click: buffered, never blocks, never raises."""
        ...

    async def short_link(self, code: str) -> ShortLink | None:
        """Where a short link leads; raises `StoreUnavailable`."""
        ...

    async def standing(self, delivery_id: str) -> Standing | None:
        """What the person behind a delivery gets; raises `StoreUnavailable`."""
        ...

    async def refuse(
        self, delivery_id: str, *, channels: tuple[str, ...], how: Stop, topic: str | None = None
    ) -> bool:
        """Keep a no (`email`, `sms`, `push`, `all`): durable when it returns.

        With a `topic` it is about that campaign alone. False when the delivery is not known;
        raises `StoreUnavailable`.
        """
        ...

    async def allow(
        self, delivery_id: str, *, channels: tuple[str, ...], topic: str | None = None
    ) -> bool:
        """Keep a yes, the way back from `refuse`; the same answers."""
        ...

    async def receive(self, reading: Reading) -> None:
        """Keep what a provider said: durable when it returns; raises `StoreUnavailable`."""
        ...


class Intake(Protocol):
    """The way in for events that come by HTTP."""

    async def take(self, body: bytes, *, types: frozenset[str]) -> list[Taken]:
        """Take a CloudEvent or a JSON array of them, all or none, durable when it returns.

        Raises `EventsRefused`, `EventsConflict` or `StoreUnavailable`.
        """
        ...


class Stories(Protocol):
    """Why a send went out, waited or stopped."""

    async def story(self, send_id: str) -> Mapping[str, Any] | None: ...


class Consent(Protocol):
    """Opt-outs that arrive any other way."""

    async def change(self, recipient_id: str, body: bytes) -> None:
        """Keep a change of consent, durable when it returns.

        Raises `EventsRefused` or `StoreUnavailable`.
        """
        ...


class Desk(Protocol):
    """Coupons, fences, switches, people, results. A bad body raises `EventsRefused`."""

    async def redeem(self, code: str, body: bytes) -> Redemption: ...

    async def fill_pool(self, pool: str, body: bytes) -> Mapping[str, int]: ...

    async def pool(self, pool: str) -> Mapping[str, int]: ...

    async def put_fence(self, fence_id: str, body: bytes) -> Mapping[str, Any]: ...

    def fences(self) -> Sequence[Mapping[str, Any]]: ...

    async def drop_fence(self, fence_id: str) -> bool: ...

    async def switch(self, scope: str, body: bytes) -> Sequence[Switch]: ...

    async def watch_switches(self) -> Sequence[Switch]: ...

    async def person(self, recipient_id: str) -> Mapping[str, Any] | None: ...

    async def erase(self, recipient_id: str) -> None: ...

    async def results(self, campaign: str) -> Mapping[str, Any]: ...


class Overview(Protocol):
    """What the dashboard asks; every method raises `StoreUnavailable`."""

    async def overview(self) -> Mapping[str, Any]:
        """All of the first screen, as `gateway.flows.overview.Overview.overview` says."""
        ...

    async def results(self, campaign: str) -> Mapping[str, Any]: ...

    async def sends(self, wanted: Wanted) -> Page: ...

    async def letters(self) -> Sequence[Mapping[str, Any]]: ...

    async def unpublished(self) -> Sequence[Mapping[str, Any]]: ...


class Redemption(Protocol):
    """What came of redeeming a code: `now`, `before`, `by_another`, `over` or `unknown`."""

    @property
    def verdict(self) -> str: ...

    @property
    def delivery_id(self) -> str: ...

    @property
    def code(self) -> str: ...


class Switch(Protocol):
    """One kill switch."""

    @property
    def scope(self) -> str: ...

    @property
    def is_stopped(self) -> bool: ...

    @property
    def reason(self) -> str: ...

    @property
    def at(self) -> datetime: ...


class Health(Protocol):
    """How the process is; no answer waits for anything."""

    def live(self) -> Report: ...

    def ready(self) -> Report: ...

    def started(self) -> Report: ...

    def metrics(self) -> bytes:
        """Everything measured, as Prometheus text."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything that the web needs from the rest, as one value.

    `webhooks` holds readers by route: `sendgrid`, `twilio/status`, `twilio/inbound`.
    """

    engage: Engage
    intake: Intake
    stories: Stories
    consent: Consent
    desk: Desk
    overview: Overview
    health: Health
    tokens: Tokens
    clock: Clock
    webhooks: Mapping[str, WebhookReader] = field(default_factory=dict)


__all__ = [
    "Consent",
    "Desk",
    "Engage",
    "EventsConflict",
    "EventsRefused",
    "Fault",
    "Health",
    "Intake",
    "Overview",
    "Ports",
    "Redemption",
    "Report",
    "Seen",
    "ShortLink",
    "SignedLink",
    "Standing",
    "Stories",
    "Switch",
    "Taken",
    "Tokens",
]
