"""One lane per channel: claim, render, attempt; its outcome goes to settlement.

A lane never holds more claims than it can have in flight, so a crash leaves no more in doubt.
It waits where waiting costs nothing: in the store, as a due time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from channels.contract import (
    Channel,
    Destination,
    Message,
    Misconfigured,
    Outcome,
    PushTarget,
    Refused,
    Scope,
    SmsContent,
    Throttled,
)
from gateway.catalog import Catalog
from gateway.clock import Clock
from gateway.core import delivery, shaping
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
from gateway.flows.wake import Bell
from gateway.store.contract import Claimed, Claims, Engagements
from gateway.telemetry import Metrics

log = structlog.get_logger()

IDLE_S = 0.5
STORE_AWAY_S = 1.0
GIVE_BACK_S = 0.5


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """How a lane goes: `concurrency` attempts in flight, `rate_per_s` (0 is no limit).

    A claim is good for `claim_for`, and its first byte must leave within `start_within_s`.
    """

    channel: str
    concurrency: int
    rate_per_s: float
    claim_for: timedelta
    start_within_s: float


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


@dataclass(frozen=True, slots=True)
class _Began:
    """When an attempt began, and the noes that its claim knew of."""

    at_s: float
    mark: int


class Lane:
    """The dispatcher of one channel. `providers` maps a platform to its channel; `""` is any."""

    def __init__(
        self, options: LaneOptions, providers: Mapping[str, Channel], parts: LaneParts
    ) -> None:
        self._options = options
        self._providers = providers
        self._parts = parts
        self._in_flight = 0
        self._bucket = shaping.bucket(options.rate_per_s, parts.clock.monotonic())
        self._pace = shaping.Pace()
        self._breaker = shaping.Breaker()
        self._attempts: set[asyncio.Task[None]] = set()
        self._behind = 0
        self._draining = False
        self._shut = False
        self._resting = asyncio.Event()
        self._resting.set()
        self.bell = Bell()

    # --- capacity ---------------------------------------------------------------------------

    def reserve(self, wanted: int) -> int:
        """Take up to `wanted` places in flight, within rate, pace and breaker."""
        now_s = self._parts.clock.monotonic()
        if self._draining or wanted <= 0 or shaping.is_held(self._pace, now_s):
            return 0
        places = int(self._options.concurrency * shaping.share_now(self._pace, now_s)) or 1
        free = min(wanted, places - self._in_flight)
        if free <= 0:
            return 0
        if shaping.is_open(self._breaker):
            self._breaker, may_probe = shaping.admit(self._breaker, now_s)
            free = int(may_probe)
        self._bucket, granted, _ = shaping.take(self._bucket, now_s, free)
        self._in_flight += granted
        return granted

    def give_back(self, places: int) -> None:
        """Places that were reserved and not used. Their tokens are spent: a lane errs to slow."""
        self._in_flight -= places

    @property
    def is_crowded(self) -> bool:
        """Whether deliveries wait for this lane, or more than half of its places are taken."""
        return self._behind > 0 or self._in_flight > self._options.concurrency // 4

    def expect(self, count: int) -> None:
        """So many deliveries were admitted for this lane and wait in the store."""
        self._behind += count
        self.bell.ring()

    @property
    def settler(self) -> Settler:
        """Where this lane's outcomes become durable; all lanes share one."""
        return self._parts.settler

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def health(self) -> Mapping[str, object]:
        """How the lane is, for probes and the dashboard."""
        now_s = self._parts.clock.monotonic()
        return {
            "in_flight": self._in_flight,
            "held": shaping.is_held(self._pace, now_s),
            "breaker": "open" if shaping.is_open(self._breaker) else "closed",
        }

    # --- the loop ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Claim what is due as long as there is room; attempts go on beside."""
        self._resting.clear()
        try:
            while not self._draining:
                await self._claim_some()
        finally:
            self._resting.set()

    async def _claim_some(self) -> None:
        """Claim once, or wait where there is no room or nothing is due."""
        clock = self._parts.clock
        room = self.reserve(self._options.concurrency)
        if room == 0:
            await self.bell.wait(IDLE_S / 5)
            return
        mark = self.mark()
        try:
            claimed = await self._parts.store.claim(
                self._options.channel, room, claim_for=self._options.claim_for, now=clock.now()
            )
        except StoreUnavailable as away:
            self.give_back(room)
            log.warning("lane.store_unavailable", lane=self._options.channel, what=str(away))
            await clock.sleep(STORE_AWAY_S)
            return
        self.give_back(room - len(claimed))
        self._behind = max(0, self._behind - len(claimed)) if claimed else 0
        for one in claimed:
            self.start(one, mark)
        if not claimed:
            await self.bell.wait(IDLE_S)

    def mark(self) -> int:
        """Take this before a claim is asked for: it says which noes the claim knows of."""
        return self._parts.stops.mark()

    def start(self, claimed: Claimed, mark: int) -> None:
        """Begin an attempt; its place in flight was reserved, `mark` taken before the claim."""
        task = asyncio.get_running_loop().create_task(
            self._attempt(claimed, mark), name=f"attempt-{self._options.channel}"
        )
        self._attempts.add(task)
        task.add_done_callback(self._attempts.discard)

    async def drain(self, timeout_s: float) -> None:
        """Claim no more and wait for attempts under way.

        At the deadline those that have not written a byte are given back; the rest is left to
        doubt.
        """
        self._draining = True
        self.bell.ring()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                # A claim that the loop was asking for when the end began is an attempt as well.
                await self._resting.wait()
                while self._attempts:
                    await asyncio.wait(self._attempts)
        self._shut = True
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=GIVE_BACK_S)
        for task in self._attempts:
            task.cancel()

    # --- one attempt ------------------------------------------------------------------------

    async def _attempt(self, claimed: Claimed, mark: int) -> None:
        try:
            await self._parts.settler.put(await self._try(claimed, mark))
        except Exception as fault:
            # A bug with one delivery must not stop the lane: its claim runs out into doubt.
            log.exception(
                "lane.attempt_broke",
                lane=self._options.channel,
                delivery_id=claimed.claim.delivery_id,
                kind=type(fault).__name__,
            )
        finally:
            self._in_flight -= 1
            # One claim for many places costs the store less than one for each.
            if self._in_flight <= self._options.concurrency // 2:
                self.bell.ring()
            if not self.is_crowded:
                self._parts.room_bell.ring()

    async def _try(self, claimed: Claimed, mark: int) -> Tried:
        claim, clock = claimed.claim, self._parts.clock
        started_at, began = clock.now(), _Began(clock.monotonic(), mark)
        try:
            rendered = await self._render(claimed)
        except GatewayError as fault:
            refused = Refused(f"render: {fault}", Scope.MESSAGE)
            return self._tried(claimed, refused, started_at, provider="")
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
        rendered = parts.drafts.take(claim.delivery_id)
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
        self._hear(outcome)
        return outcome, channel.name

    def _hear(self, outcome: Outcome) -> None:
        now_s = self._parts.clock.monotonic()
        self._breaker = shaping.heard(self._breaker, outcome, now_s=now_s)
        if isinstance(outcome, Throttled):
            self._pace = shaping.throttled(self._pace, now_s, retry_after_s=outcome.retry_after_s)
        if isinstance(outcome, Misconfigured):
            log.error("lane.misconfigured", lane=self._options.channel, what=outcome.reason)

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
        start_by_s = began.at_s + self._options.start_within_s

        def may_start() -> bool:
            now_s = clock.monotonic()
            return (
                not self._shut
                and now_s < start_by_s
                and not shaping.is_held(self._pace, now_s)
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
