"""Events that are no requests: cancellations, conversions, consent, presence.

Each is durable when it returns, and may come again: a repeat changes nothing. Coordinates are
matched and dropped; nothing here keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from gateway.clock import Clock
from gateway.core import fences as geo
from gateway.core import ids
from gateway.core.policy import GeoPolicy
from gateway.core.request import (
    CancelData,
    ConsentData,
    ConversionData,
    Event,
    PresenceData,
)
from gateway.flows.engage import Engage
from gateway.flows.places import Places, names_of
from gateway.flows.stops import Stops
from gateway.flows.wake import Bell
from gateway.store.contract import Business
from gateway.telemetry import Metrics

log = structlog.get_logger()


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
        bells: Sequence[Bell],
    ) -> None:
        self._store = store
        self._engage = engage
        self._places = places
        self._stops = stops
        self._clock = clock
        self._metrics = metrics
        self._policy = policy
        self._bells = tuple(bells)

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
        for bell in self._bells:
            bell.ring()
        return is_new

    async def _cancel(self, data: CancelData) -> None:
        now = self._clock.now()
        if data.source is not None and data.id is not None:
            self._stops.close_sends(
                await self._store.cancel(now=now, request=(data.source, data.id))
            )
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
        fences = self._places.index.fences
        groups = {name: fences[name].groups for name in inside if name in fences}
        now = self._clock.now()
        await self._store.seen_at(data.recipient_id, inside, groups=groups, now=now)

    def _inside(self, data: PresenceData) -> Mapping[str, bool]:
        """The fences and groups that a presence is inside, and whether each is open now."""
        now = self._clock.now()
        if self._is_unfit(data):
            return {}
        if data.fence is not None:
            return self._matched(data.fence, now)
        if data.latitude is None or data.longitude is None:
            return {}
        return names_of(self._places.index.containing(data.latitude, data.longitude), now)

    def _matched(self, name: str, now: datetime) -> Mapping[str, bool]:
        """What a device matched by itself: a fence of ours, a group, or what it alone knows.

        A group says that the person is inside one of its fences, not in which.
        """
        inside = names_of(self._places.named(name), now)
        if name in self._places.index.fences:
            return inside
        return {name: inside.get(name, True)}

    def _is_unfit(self, data: PresenceData) -> bool:
        policy = self._policy
        reason = geo.unfit_reason(
            data.observed_at,
            self._clock.now(),
            freshness=policy.freshness or timedelta.max,
            accuracy_m=data.accuracy_m,
            accuracy_m_max=policy.accuracy_m,
        )
        return reason is not None
