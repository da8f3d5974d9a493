"""What the dashboard asks: how often campaigns are counted, and where a list goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from support.sends import NOW, admission

from gateway.clock import ManualClock
from gateway.core.listing import Wanted
from gateway.flows import overview
from gateway.flows.overview import Overview
from gateway.store.scripted import Conduct
from gateway.store.sqlite import MEMORY, SqliteStore


class Counting(SqliteStore):
    """A store that counts how often it counts, and takes a stated time for it."""

    counts = 0
    takes_s = 0.0

    async def results(self, campaign: str) -> Any:
        self.counts += 1
        await self.clock.advance(self.takes_s)
        return await super().results(campaign)

    clock: ManualClock


@pytest.fixture
async def store() -> AsyncIterator[Counting]:
    """A store with one campaign of three people."""
    clock = ManualClock(NOW)
    opened = Counting(MEMORY, clock=clock, conduct=Conduct(timedelta(minutes=15)))
    opened.clock = clock
    async with opened:
        batch = [admission(secret=opened.secret, name=one, person=one) for one in "abc"]
        await opened.admit(batch, room={}, claim_for=timedelta(seconds=90), now=NOW)
        yield opened


async def test_however_many_look_one_counts(store: Counting) -> None:
    """Two screens at once count once, and again only when the count is old."""
    seen = Overview(store=store, clock=store.clock)
    first, second = await asyncio.gather(seen.overview(), seen.overview())
    assert store.counts == 1
    assert first["campaigns"] is second["campaigns"]
    assert first["campaigns"][0]["total"]["targeted"] == 3
    await store.clock.advance(overview.FRESH_S + 1)
    await seen.overview()
    assert store.counts == 2


async def test_what_takes_long_is_done_seldom(store: Counting) -> None:
    """A count of two seconds is good for forty."""
    store.takes_s = 2.0
    seen = Overview(store=store, clock=store.clock)
    await seen.overview()
    await store.clock.advance(2.0 * overview.REST - 1)
    await seen.overview()
    assert store.counts == 1
    await store.clock.advance(2)
    await seen.overview()
    assert store.counts == 2


async def test_a_list_ends_where_it_is_whole(
    store: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next page begins after the last send of this one; the last page says that it is."""
    monkeypatch.setattr(overview, "PAGE", 2)
    seen = Overview(store=store, clock=store.clock)
    page = await seen.sends(Wanted())
    assert [one.recipient_id for one in page.sends] == ["c", "b"]
    assert page.following == page.sends[-1].seq
    rest = await seen.sends(Wanted(before=page.following))
    assert ([one.recipient_id for one in rest.sends], rest.following) == (["a"], None)
