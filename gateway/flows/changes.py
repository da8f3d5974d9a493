"""Events that are no requests: cancellations, conversions, consent, presence.

Each is durable when it returns, and may come again: a repeat changes nothing. Coordinates are
matched and dropped; nothing here keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from gateway.clock import Clock
from gateway.core import fences as geo
from gateway.core import ids
from gateway.core.fence_features import parse_feature
from gateway.core.fences import Fence, FenceIndex
from gateway.core.policy import GeoPolicy
from gateway.core.request import (
    CancelData,
    ConsentData,
    ConversionData,
    Event,
    PresenceData,
)
from gateway.flows.engage import Engage
from gateway.flows.stops import Stops
from gateway.flows.wake import Bell
from gateway.store.contract import Business
from gateway.telemetry import Metrics

log = structlog.get_logger()


class Places:
    """The fences in memory, as the store has them."""

    def __init__(self, store: Business, *, zones: frozenset[str]) -> None:
        self._store = store
        self._zones = zones
        self._age: tuple[int, int] | None = None
        self.index = FenceIndex.of()

    async def refresh(self) -> None:
        """Read the fences again if they changed: another process may have changed them."""
        age = await self._store.fences_age()
        if age != self._age:
            found = await self._store.fences()
            self.index = FenceIndex.of(self._parsed(fence_id, text) for fence_id, text in found)
            self._age = age

    def _parsed(self, fence_id: str, text: bytes) -> Fence:
        return parse_feature(msgspec_json(text), fence_id, zones=self._zones)

    def named(self, name: str) -> list[Fence]:
        """The fences of an id or a group."""
        return [one for one in self.index.fences.values() if name in geo.ids_and_groups(one)]


class Changes:
    """What to do with each event that is no request."""

    def __init__(
        self,
        *,
        store: Business,
        engage: Engage,
        places: Places,
        stops: Stops,
        clock: Clock,
        metrics: Metrics,
        policy: GeoPolicy,
        outbox_bell: Bell,
        lane_bells: Sequence[Bell],
    ) -> None:
        self._store = store
        self._engage = engage
        self._places = places
        self._stops = stops
        self._clock = clock
        self._metrics = metrics
        self._policy = policy
        self._outbox_bell = outbox_bell
        self._lane_bells = lane_bells

    async def apply(self, event: Event) -> bool:
        """Do what the event says; False where it was done before. Raises StoreUnavailable."""
        data = event.data
        is_new = True
        match data:
            case CancelData():
                await self._cancel(data)
            case ConversionData():
                is_new = await self._convert(ids.send_id(event.source, event.id), data)
            case ConsentData():
                await self._engage.consent(data)
            case PresenceData():
                await self._seen(data)
            case _:
                raise TypeError(event.type)
        self._metrics.records["change"].inc()
        self._outbox_bell.ring()
        return is_new

    async def _cancel(self, data: CancelData) -> None:
        now = self._clock.now()
        if data.source is not None and data.id is not None:
            self._stops.close_sends(await self._store.cancel(now=now, request=(data.source, data.id)))
            return
        while stopped := await self._store.cancel(
            now=now, campaign=data.campaign, recipient_id=data.recipient_id
        ):
            self._stops.close_sends(stopped)
            if data.recipient_id is not None:
                return

    async def _convert(self, name: str, data: ConversionData) -> bool:
        stopped = await self._store.convert(name, data, now=self._clock.now())
        self._stops.close_sends(stopped or ())
        return stopped is not None

    async def _seen(self, data: PresenceData) -> None:
        inside = self._inside(data)
        if not inside:
            return
        going = await self._store.seen_at(data.recipient_id, inside, now=self._clock.now())
        if going:
            for bell in self._lane_bells:
                bell.ring()

    def _inside(self, data: PresenceData) -> Mapping[str, bool]:
        """The fences and groups that a presence is inside, and whether each is open now."""
        now = self._clock.now()
        if data.fence is not None:
            found = self._places.named(data.fence)
            inside = {data.fence: not found or any(geo.is_open(one, now) for one in found)}
            if len(found) == 1 and found[0].id == data.fence:
                inside |= _names(found, now)
            return inside
        if data.latitude is None or data.longitude is None or self._is_unfit(data):
            return {}
        return _names(self._places.index.containing(data.latitude, data.longitude), now)

    def _is_unfit(self, data: PresenceData) -> bool:
        policy = self._policy
        if policy.freshness is None:
            return False
        reason = geo.unfit_reason(
            data.observed_at,
            self._clock.now(),
            freshness=policy.freshness,
            accuracy_m=data.accuracy_m,
            accuracy_m_max=policy.accuracy_m,
        )
        return reason is not None


def _names(found: Sequence[Fence], now: datetime) -> dict[str, bool]:
    """Ids and groups of fences; a group is open where one of its fences here is."""
    inside: dict[str, bool] = {}
    for fence in found:
        for name in geo.ids_and_groups(fence):
            inside[name] = inside.get(name, False) or geo.is_open(fence, now)
    return inside
