"""What campaign services, shops, support and SRE ask for over HTTP, beside messages.

A bad body raises EventsRefused with the JSON path; what is asked for and not there is None.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.catalog import Catalog
from gateway.clock import Clock
from gateway.core import bodies, coupons
from gateway.core.fence_features import feature_of, read_feature, write_feature
from gateway.core.fences import Fence
from gateway.errors import EventsRefused, RefusedError
from gateway.flows.drafts import Drafts
from gateway.flows.engage import ALL
from gateway.flows.places import Places
from gateway.flows.stops import Stops
from gateway.flows.wake import Bell
from gateway.store.contract import Business, Redemption, Switch

SCOPE = re.compile(r"global|channel:(email|sms|push)|campaign:.{1,128}", re.DOTALL)
CHUNK = 5000


class Desk:
    """The verbs behind `/v1`, except for requests and events."""

    def __init__(
        self,
        *,
        store: Business,
        places: Places,
        stops: Stops,
        clock: Clock,
        bells: Sequence[Bell],
        catalog: Catalog,
        drafts: Drafts,
        zones: frozenset[str],
        draw: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._places = places
        self._stops = stops
        self._clock = clock
        self._bells = tuple(bells)
        self._catalog = catalog
        self._drafts = drafts
        self._zones = zones
        self._draw = draw

    # --- coupons ----------------------------------------------------------------------------

    async def redeem(self, code: str, body: bytes) -> Redemption:
        """Redeem a code for an order."""
        wanted = bodies.read(bodies.Redeem, body)
        now = self._clock.now()
        found = await self._store.redeem(
            code, order_id=wanted.order_id, value=wanted.value, now=now
        )
        typed = coupons.as_typed(code)
        if found.verdict == "unknown" and typed != code:
            found = await self._store.redeem(
                typed, order_id=wanted.order_id, value=wanted.value, now=now
            )
        self._ring()
        return found

    async def fill_pool(self, pool: str, body: bytes) -> Mapping[str, int]:
        """Add codes to a pool, or make some; the pool's counts."""
        wanted = bodies.read(bodies.Pool, body)
        if (wanted.codes is None) == (wanted.generate is None):
            raise EventsRefused([("$", "one of codes and generate")])
        codes = wanted.codes or []
        if wanted.generate is not None:
            prefix = wanted.generate.prefix
            codes = [coupons.new_code(self._draw, prefix) for _ in range(wanted.generate.count)]
        for start in range(0, len(codes), CHUNK):
            await self._store.add_codes(pool, codes[start : start + CHUNK])
        return await self.pool(pool)

    async def pool(self, pool: str) -> Mapping[str, int]:
        """How many codes of a pool there are, by state."""
        return await self._store.count_codes(pool)

    # --- fences -----------------------------------------------------------------------------

    async def put_fence(self, fence_id: str, body: bytes) -> Mapping[str, Any]:
        """Keep a fence; as it is kept."""
        try:
            fence = read_feature(body, fence_id, zones=self._zones)
        except RefusedError as error:
            malformed = error.reason == "not_json"
            raise EventsRefused([(error.path, error.what)], malformed=malformed) from error
        await self.keep_fence(fence)
        return feature_of(fence)

    async def keep_fence(self, fence: Fence) -> None:
        """Keep a fence that was read already."""
        await self._store.put_fence(fence.id, write_feature(fence), now=self._clock.now())
        self._places.add(fence)

    def fences(self) -> Sequence[Mapping[str, Any]]:
        """All fences, by id."""
        found = self._places.index.fences
        return [feature_of(found[fence_id]) for fence_id in sorted(found)]

    async def drop_fence(self, fence_id: str) -> bool:
        """Forget a fence; False where there was none."""
        is_known = fence_id in self._places.index.fences
        await self._store.drop_fence(fence_id)
        self._places.drop(fence_id)
        return is_known

    # --- switches ---------------------------------------------------------------------------

    async def switch(self, scope: str, body: bytes) -> Sequence[Switch]:
        """Stop a scope or let it run; None of a wrong scope's doing is kept."""
        if not SCOPE.fullmatch(scope):
            raise EventsRefused([("$", "scope: global, channel:sms or campaign:<name>")])
        wanted = bodies.read(bodies.SwitchState, body)
        is_stopped = wanted.state == "stopped"
        await self._store.switch(
            scope, is_stopped=is_stopped, reason=wanted.reason, now=self._clock.now()
        )
        found = await self.watch_switches()
        if wanted.discard and is_stopped:
            await self._discard(scope)
        self._ring()
        return found

    async def _discard(self, scope: str) -> None:
        while stopped := await self._store.discard(scope, now=self._clock.now()):
            self._stops.close_sends(stopped)
            await asyncio.sleep(0)

    async def watch_switches(self) -> Sequence[Switch]:
        """All switches; the last gate hears of them, also of those another process set."""
        found = await self._store.switches()
        self._stops.switch_off(one.scope for one in found if one.is_stopped)
        return found

    # --- people and campaigns ---------------------------------------------------------------

    async def person(self, recipient_id: str) -> Mapping[str, Any] | None:
        """Everything held about one person."""
        return await self._store.person(recipient_id)

    async def erase(self, recipient_id: str) -> None:
        """Forget a person, in memory too; nothing starts for them any more."""
        subjects = await self._store.erase(recipient_id, now=self._clock.now())
        self._stops.close(subjects, ALL)
        self._drafts.forget()
        self._catalog.forget()

    async def results(self, campaign: str) -> Mapping[str, Any]:
        """What a campaign brought."""
        return await self._store.results(campaign)

    def _ring(self) -> None:
        for bell in self._bells:
            bell.ring()
