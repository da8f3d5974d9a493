"""What time does: claims run out, doubts end, old facts are forgotten, backlogs are measured."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import structlog

from gateway.clock import Clock
from gateway.errors import StoreUnavailable
from gateway.flows.wake import Bell
from gateway.store.contract import Backlog, Upkeep
from gateway.telemetry import Metrics

log = structlog.get_logger()

TICK_S = 1.0
MEASURE_EVERY_S = 5.0
SWEEP_MAX = 500
PURGE_EVERY_S = 600.0
PURGE_MAX = 5000
PURGE_GAP_S = 0.05


class Clockwork:
    """Ticks once a second, measures now and then; rings `bells` when a sweep made something due."""

    def __init__(
        self,
        *,
        store: Upkeep,
        clock: Clock,
        metrics: Metrics,
        bells: Iterable[Bell],
        keep_for: timedelta,
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._bells = tuple(bells)
        self._keep_for = keep_for
        self._purged_s = clock.monotonic()
        self._measured_s = clock.monotonic()
        self.backlog: Backlog | None = None
        self.store_is_up = True

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            try:
                await self.tick()
                self._saw_store(is_up=True)
            except StoreUnavailable as away:
                log.warning("clockwork.store_unavailable", what=str(away))
                self._saw_store(is_up=False)
            await self._clock.sleep(TICK_S)

    async def tick(self) -> None:
        """One round."""
        while await self._store.sweep(now=self._clock.now(), limit=SWEEP_MAX):
            for bell in self._bells:
                bell.ring()
        now_s = self._clock.monotonic()
        if self.backlog is None or now_s - self._measured_s >= MEASURE_EVERY_S:
            self._measured_s = now_s
            self.backlog = await self._store.backlog(now=self._clock.now())
            self._measure(self.backlog)
        if self._clock.monotonic() - self._purged_s >= PURGE_EVERY_S:
            self._purged_s = self._clock.monotonic()
            before = self._clock.now() - self._keep_for
            while await self._store.purge(before=before, limit=PURGE_MAX) == PURGE_MAX:
                await self._clock.sleep(PURGE_GAP_S)

    def _measure(self, backlog: Backlog) -> None:
        self._metrics.outbox.set(backlog.outbox)
        self._metrics.oldest_due_s.set(backlog.oldest_due_s)
        self._metrics.deliveries.clear()
        for channel, states in backlog.by_channel.items():
            for state, count in states.items():
                self._metrics.deliveries.labels(channel, state).set(count)

    def _saw_store(self, *, is_up: bool) -> None:
        self.store_is_up = is_up
        self._metrics.store_up.set(int(is_up))
