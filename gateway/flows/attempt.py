"""One attempt: render, ask the last gate, call the provider; the outcome is a value.

What is about to be sent is checked for the last time in the same loop step as its first byte.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from channels.contract import (
    Channel,
    Deferred,
    Destination,
    Message,
    Outcome,
    PushTarget,
    Refused,
    Scope,
    SmsContent,
)
from gateway.catalog import Catalog
from gateway.clock import Clock
from gateway.core import delivery
from gateway.core.delivery import Claim, Tried
from gateway.core.ids import attempt_id
from gateway.core.links import TrackedLinks
from gateway.core.plan import address_of
from gateway.core.render import Rendered, with_opt_out
from gateway.core.request import PushAddress
from gateway.core.tokens import Tokens
from gateway.core.variables import facts_of
from gateway.errors import GatewayError, StoreUnavailable
from gateway.flows.drafts import Drafts
from gateway.flows.settle import Settler
from gateway.flows.stops import Stops
from gateway.flows.valve import Valve
from gateway.flows.wake import Bell
from gateway.store.contract import Claimed, Claims, Engagements
from gateway.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class LaneParts:
    """What all lanes share."""

    store: Claims
    links: Engagements
    catalog: Catalog
    tokens: Tokens
    drafts: Drafts
    stops: Stops
    settler: Settler
    clock: Clock
    metrics: Metrics
    room_bell: Bell
    draw: Callable[[], float] = random.random


class _Began(NamedTuple):
    """When an attempt began, and the noes that its claim knew of."""

    at_s: float
    mark: int


class Attempts:
    """Makes attempts on one channel. `providers` maps a platform to its channel; `""` is any."""

    def __init__(
        self,
        providers: Mapping[str, Channel],
        parts: LaneParts,
        *,
        valve: Valve,
        start_within_s: float,
    ) -> None:
        self._providers = providers
        self._parts = parts
        self._valve = valve
        self._start_within_s = start_within_s
        self.is_shut = False

    async def make(self, claimed: Claimed, mark: int) -> Tried:
        """Make one attempt; `mark` says which noes its claim knows of."""
        claim, clock = claimed.claim, self._parts.clock
        started_at, began = clock.now(), _Began(clock.monotonic(), mark)
        try:
            rendered = await self._render(claimed)
        except StoreUnavailable:
            away = Deferred("our store is away")
            return self._tried(claimed, away, started_at, provider="", targets=claim.targets)
        except GatewayError as fault:
            refused = Refused(f"render: {fault}", Scope.MESSAGE)
            closed = claim.targets.replace(delivery.PENDING, delivery.REFUSED)
            return self._tried(claimed, refused, started_at, provider="", targets=closed)
        if claim.channel == "push":
            outcome, targets, provider = await self._push(claimed, rendered, began)
        else:
            place = address_of(claimed.data, claim.channel)[0]
            outcome, provider = await self._send(claimed, rendered, str(place), began)
            targets = ""
        self._parts.metrics.attempt_seconds[claim.channel].observe(clock.monotonic() - began.at_s)
        segments = rendered.content.segments if isinstance(rendered.content, SmsContent) else None
        return self._tried(
            claimed, outcome, started_at, provider=provider, targets=targets, segments=segments
        )

    def _tried(
        self,
        claimed: Claimed,
        outcome: Outcome,
        started_at: datetime,
        *,
        provider: str,
        targets: str = "",
        segments: int | None = None,
    ) -> Tried:
        claim = claimed.claim
        self._parts.metrics.attempts[claim.channel, type(outcome).__name__.lower()].inc()
        return Tried(
            claim=claim,
            outcome=outcome,
            provider=provider,
            started_at=started_at,
            ended_at=self._parts.clock.now(),
            draw=self._parts.draw(),
            locale=claim.plan.routes[claim.position].locale,
            segments=segments,
            targets=targets,
        )

    async def _render(self, claimed: Claimed) -> Rendered:
        claim, parts = claimed.claim, self._parts
        template = parts.catalog.get(claim.plan.template)
        if template is None:
            raise GatewayError("the template is gone")
        rendered = parts.drafts.take(claim.delivery_id, claimed.data)
        if rendered is None or claimed.coupon is not None:
            links = TrackedLinks(parts.tokens, claim.delivery_id)
            facts = facts_of(claimed.data, _coupon(claimed))
            rendered = template.render(claim.channel, facts, links)
        if claimed.is_first_sms:
            rendered = with_opt_out(rendered)
        if rendered.links:
            await parts.links.keep_links(
                [(code, claim.delivery_id, link, url) for code, link, url in rendered.links]
            )
        return rendered

    async def _send(
        self, claimed: Claimed, rendered: Rendered, to: Destination, began: _Began
    ) -> tuple[Outcome, str]:
        platform = to.platform if isinstance(to, PushTarget) else ""
        channel = self._providers.get(platform) or self._providers.get("")
        if channel is None:
            return Refused(f"no provider for {platform}"), platform
        if claimed.data.test:
            channel = self._providers["test"]
        outcome = await channel.send(self._message(claimed, rendered, to, began))
        if not claimed.data.test:
            self._valve.hear(outcome)
        return outcome, channel.name

    def _message(
        self, claimed: Claimed, rendered: Rendered, to: Destination, began: _Began
    ) -> Message:
        claim, data = claimed.claim, claimed.data
        return Message(
            attempt_id=attempt_id(claim.delivery_id, claim.claim_no),
            send_id=claim.plan.send_id,
            delivery_id=claim.delivery_id,
            to=to,
            to_name=data.recipient.name or "",
            content=rendered.content,
            collapse_id=claim.plan.send_id,
            campaign=claim.plan.campaign,
            expires_in_s=self._expires_in_s(claim),
            may_start=self._may_start(claim, began),
        )

    def _expires_in_s(self, claim: Claim) -> float | None:
        if claim.plan.expires_at is None:
            return None
        return (claim.plan.expires_at - self._parts.clock.now()).total_seconds()

    def _may_start(self, claim: Claim, began: _Began) -> Callable[[], bool]:
        clock, stops = self._parts.clock, self._parts.stops
        subjects = claim.plan.routes[claim.position].subjects
        start_by_s = began.at_s + self._start_within_s

        def may_start() -> bool:
            now_s = clock.monotonic()
            return (
                not self.is_shut
                and now_s < start_by_s
                and not self._valve.is_held(now_s)
                and stops.let_out(claim.plan, claim.channel, subjects, mark=began.mark)
            )

        return may_start

    # --- a push: one delivery, many devices -------------------------------------------------

    async def _push(
        self, claimed: Claimed, rendered: Rendered, began: _Began
    ) -> tuple[Outcome, str, str]:
        claim = claimed.claim
        targets = "".join(
            delivery.REFUSED if place in claimed.closed and mark == delivery.PENDING else mark
            for place, mark in enumerate(claim.targets)
        )
        devices = address_of(claimed.data, "push")
        pending = [place for place, mark in enumerate(targets) if mark == delivery.PENDING]
        answers = await asyncio.gather(
            *(self._send(claimed, rendered, _target(devices[place]), began) for place in pending)
        )
        outcomes = {place: answer[0] for place, answer in zip(pending, answers, strict=True)}
        if not outcomes:
            return Refused("no device left", Scope.MESSAGE), targets, ""
        outcome, after = delivery.together(outcomes, targets)
        provider = next(name for answer, name in answers if type(answer) is type(outcome))
        return outcome, after, provider


def _coupon(claimed: Claimed) -> Mapping[str, str | None] | None:
    """The reserved code as a template sees it."""
    coupon = claimed.coupon
    if coupon is None:
        return None
    ends = coupon.expires_at
    return {"code": coupon.code, "expires_at": ends.isoformat() if ends else None}


def _target(address: str | PushAddress) -> PushTarget:
    if isinstance(address, str):
        raise TypeError("a push goes to devices")
    return PushTarget(address.platform, address.token or "", address.subscription)
