"""One lane per channel: claim, attempt, settle.

A lane never holds more claims than it can have in flight, so a crash leaves no more in doubt.
It waits where waiting costs nothing: in the store, as a due time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog

from channels.contract import Channel
from gateway.errors import StoreUnavailable
from gateway.flows.attempt import Attempts, LaneParts
from gateway.flows.settle import Settler
from gateway.flows.valve import Valve
from gateway.flows.wake import Bell
from gateway.store.contract import Claimed

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


class Lane:
    """The dispatcher of one channel."""

    def __init__(
        self, options: LaneOptions, providers: Mapping[str, Channel], parts: LaneParts
    ) -> None:
        self._options = options
        self._parts = parts
        self._valve = Valve(
            options.channel,
            concurrency=options.concurrency,
            rate_per_s=options.rate_per_s,
            clock=parts.clock,
        )
        self._maker = Attempts(
            providers, parts, valve=self._valve, start_within_s=options.start_within_s
        )
        self._attempts: set[asyncio.Task[None]] = set()
        self._behind = 0
        self._draining = False
        self._resting = asyncio.Event()
        self._resting.set()
        self.bell = Bell()

    # --- capacity ---------------------------------------------------------------------------

    def reserve(self, wanted: int) -> int:
        """Take up to `wanted` places in flight."""
        return 0 if self._draining else self._valve.reserve(wanted)

    def give_back(self, places: int) -> None:
        """Places that were reserved and not used."""
        self._valve.give_back(places)

    @property
    def is_crowded(self) -> bool:
        """Whether deliveries wait for this lane, or more than a fifth of its places are taken."""
        return self._behind > 0 or self._valve.is_filled(0.2)

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
        return self._valve.in_flight

    def health(self) -> Mapping[str, object]:
        """How the lane is, for probes and the dashboard."""
        return self._valve.health()

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
        self._maker.is_shut = True
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=GIVE_BACK_S)
        for task in self._attempts:
            task.cancel()

    # --- one attempt ------------------------------------------------------------------------

    async def _attempt(self, claimed: Claimed, mark: int) -> None:
        try:
            await self._parts.settler.put(await self._maker.make(claimed, mark))
        except Exception as fault:
            # A bug with one delivery must not stop the lane: its claim runs out into doubt.
            log.exception(
                "lane.attempt_broke",
                lane=self._options.channel,
                delivery_id=claimed.claim.delivery_id,
                kind=type(fault).__name__,
            )
        finally:
            self._valve.end_one()
            # One claim for many places costs the store less than one for each.
            if not self._valve.is_filled(0.5):
                self.bell.ring()
            if not self.is_crowded:
                self._parts.room_bell.ring()
