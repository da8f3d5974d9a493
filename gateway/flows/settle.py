"""Outcomes become durable: what waits while a transaction runs shares the next one.

An outcome is never dropped: while the store is away it waits here, and its lane waits with it,
because a place in flight is free only once its outcome is settled.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from gateway.clock import Clock
from gateway.core.delivery import Tried
from gateway.errors import StoreUnavailable
from gateway.flows.wake import Bell
from gateway.store.contract import Claims
from gateway.telemetry import Metrics

log = structlog.get_logger()

BATCH_MAX = 500
RETRY_S = 0.5
GATHER_S = 0.002


@dataclass(frozen=True, slots=True)
class _Waiting:
    tried: Tried
    settled: asyncio.Future[None]


class Settler:
    """Settles outcomes in batches, in order of arrival."""

    def __init__(self, *, store: Claims, clock: Clock, metrics: Metrics, outbox_bell: Bell) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._outbox_bell = outbox_bell
        self._waiting: list[_Waiting] = []
        self._bell = Bell()

    async def put(self, tried: Tried) -> None:
        """Return when the outcome is durable. Cancelling the caller does not lose it."""
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(tried, settled))
        self._bell.ring()
        await settled

    async def run(self) -> None:
        """Settle for ever."""
        while True:
            await self._bell.wait(1.0)
            if self._waiting:
                await asyncio.sleep(GATHER_S)
                await self.flush()

    async def flush(self) -> None:
        """Settle all that waits now."""
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            await asyncio.shield(self._settle(batch))

    async def _settle(self, batch: list[_Waiting]) -> None:
        while True:
            try:
                stale = await self._store.settle(
                    [one.tried for one in batch], now=self._clock.now()
                )
                break
            except StoreUnavailable as away:
                log.warning("settle.store_unavailable", what=str(away))
                await self._clock.sleep(RETRY_S)
        if stale:
            self._metrics.stale.inc(stale)
            log.warning("settle.stale", count=stale)
        for one in batch:
            if not one.settled.done():
                one.settled.set_result(None)
        self._outbox_bell.ring()
