"""What the team sees first: is it well, did it work, and the list behind each number.

How it goes is asked anew each time. What campaigns brought is counted from every send of theirs,
so it is counted at most once in a while, the longer it takes the more seldom, whoever looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from gateway.clock import Clock
from gateway.core.listing import Listed, Page, Wanted
from gateway.store.contract import Backlog, Switch

CAMPAIGNS_MAX = 6
SENDS_NEWEST = 8
PAGE = 100
LETTERS_MAX = 100
FRESH_S = 4.0
REST = 20
"""Counting takes at most one part in so many of the time."""


class Looks(Protocol):
    """What is asked of the store here."""

    async def backlog(self, *, now: datetime) -> Backlog: ...

    async def switches(self) -> Sequence[Switch]: ...

    async def results(self, campaign: str) -> Mapping[str, Any]: ...

    async def newest_campaigns(self, limit: int) -> Sequence[str]: ...

    async def newest_outcomes(self) -> Mapping[str, int]: ...

    async def newest_letters(self, limit: int) -> Sequence[Mapping[str, Any]]: ...

    async def unpublished(self, limit: int) -> Sequence[Mapping[str, Any]]: ...

    async def listed(self, wanted: Wanted, *, limit: int) -> Sequence[Listed]: ...


@dataclass(frozen=True, slots=True)
class _Counted:
    """What campaigns brought, when it was counted, and until when (monotonic) that will do."""

    campaigns: Sequence[Mapping[str, Any]]
    at: datetime
    good_until_s: float


class Overview:
    """The dashboard's questions, answered from the store."""

    def __init__(self, *, store: Looks, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._counted: _Counted | None = None
        self._counting = asyncio.Lock()

    async def overview(self) -> Mapping[str, Any]:
        """All of the first screen.

        `lanes` are counts by channel and state; `campaigns` are results as of `counted_at`,
        newest first. Raises StoreUnavailable.
        """
        now = self._clock.now()
        backlog = await self._store.backlog(now=now)
        counted = await self._campaigns()
        return {
            "at": now,
            "lanes": backlog.by_channel,
            "outbox": backlog.outbox,
            "oldest_due_s": backlog.oldest_due_s,
            "outcomes": await self._store.newest_outcomes(),
            "letters": len(await self._store.newest_letters(LETTERS_MAX)),
            "switches": [one for one in await self._store.switches() if one.is_stopped],
            "campaigns": counted.campaigns,
            "counted_at": counted.at,
            "newest": await self._store.listed(Wanted(), limit=SENDS_NEWEST),
        }

    async def _campaigns(self) -> _Counted:
        async with self._counting:  # however many look, one counts
            if self._counted is None or self._counted.good_until_s <= self._clock.monotonic():
                self._counted = await self._count()
            return self._counted

    async def _count(self) -> _Counted:
        began_s, at = self._clock.monotonic(), self._clock.now()
        names = await self._store.newest_campaigns(CAMPAIGNS_MAX)
        # One after the other: between two campaigns the store answers others.
        campaigns = [await self._store.results(name) for name in names]
        ended_s = self._clock.monotonic()
        return _Counted(campaigns, at, ended_s + max(FRESH_S, (ended_s - began_s) * REST))

    async def results(self, campaign: str) -> Mapping[str, Any]:
        """What one campaign brought, counted now. Raises StoreUnavailable."""
        return await self._store.results(campaign)

    async def sends(self, wanted: Wanted) -> Page:
        """A page of a list. Raises StoreUnavailable."""
        found = await self._store.listed(wanted, limit=PAGE + 1)
        is_paged = not (wanted.state or wanted.outcome)
        following = found[PAGE - 1].seq if is_paged and len(found) > PAGE else None
        # Results do not count tests, so the list behind a number of theirs does not show them.
        shown = [one for one in found[:PAGE] if not (wanted.stage and one.is_test)]
        return Page(tuple(shown), following)

    async def letters(self) -> Sequence[Mapping[str, Any]]:
        """The newest dead letters. Raises StoreUnavailable."""
        return await self._store.newest_letters(LETTERS_MAX)

    async def unpublished(self) -> Sequence[Mapping[str, Any]]:
        """The oldest facts that are not on Kafka yet. Raises StoreUnavailable."""
        return await self._store.unpublished(PAGE)
