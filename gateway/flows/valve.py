"""How much a lane may do now: places in flight, rate, pace and breaker, as one valve."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from channels.contract import Misconfigured, Outcome, Throttled
from gateway.clock import Clock
from gateway.core import shaping

log = structlog.get_logger()


class Valve:
    """Counts what is in flight on a channel, and hears what its provider says."""

    def __init__(self, channel: str, *, concurrency: int, rate_per_s: float, clock: Clock) -> None:
        self._channel = channel
        self._concurrency = concurrency
        self._clock = clock
        self._bucket = shaping.bucket(rate_per_s, clock.monotonic())
        self._pace = shaping.Pace()
        self._breaker = shaping.Breaker()
        self.in_flight = 0

    def reserve(self, wanted: int) -> int:
        """Take up to `wanted` places in flight, within rate, pace and breaker."""
        now_s = self._clock.monotonic()
        if wanted <= 0 or shaping.is_held(self._pace, now_s):
            return 0
        places = int(self._concurrency * shaping.share_now(self._pace, now_s)) or 1
        free = min(wanted, places - self.in_flight)
        if free <= 0:
            return 0
        if shaping.is_open(self._breaker):
            self._breaker, may_probe = shaping.admit(self._breaker, now_s)
            free = int(may_probe)
        self._bucket, granted, _ = shaping.take(self._bucket, now_s, free)
        self.in_flight += granted
        if granted == 0:
            self._breaker = shaping.unasked(self._breaker)
        return granted

    def give_back(self, places: int) -> None:
        """Places that were reserved and not used, with their tokens."""
        self.in_flight -= places
        self._bucket = shaping.put_back(self._bucket, places)
        if places:
            self._breaker = shaping.unasked(self._breaker)

    def end_one(self) -> None:
        """An attempt ended: its place is free."""
        self.in_flight -= 1

    def hear(self, outcome: Outcome) -> None:
        """What the provider did: it may open the breaker, or hold the lane."""
        now_s = self._clock.monotonic()
        self._breaker = shaping.heard(self._breaker, outcome, now_s=now_s)
        if isinstance(outcome, Throttled):
            self._pace = shaping.throttled(self._pace, now_s, retry_after_s=outcome.retry_after_s)
        if isinstance(outcome, Misconfigured):
            log.error("lane.misconfigured", lane=self._channel, what=outcome.reason)

    def is_held(self, now_s: float) -> bool:
        """Whether the provider asked for a pause that is not over."""
        return shaping.is_held(self._pace, now_s)

    def is_filled(self, share: float) -> bool:
        """Whether more than this share of all places is taken."""
        return self.in_flight > self._concurrency * share

    def health(self) -> Mapping[str, object]:
        """How the lane is, for probes and the dashboard."""
        return {
            "in_flight": self.in_flight,
            "held": self.is_held(self._clock.monotonic()),
            "breaker": "open" if shaping.is_open(self._breaker) else "closed",
        }
