"""The fences in memory, as the store has them; other processes' changes are read again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from gateway.core import fences as geo
from gateway.core.fence_features import read_feature
from gateway.core.fences import Fence, FenceIndex
from gateway.store.contract import Business, Switch


class Watcher(Protocol):
    """What looks at the switches."""

    async def watch_switches(self) -> Sequence[Switch]: ...


class Places:
    """An index of all fences."""

    def __init__(self, store: Business, *, zones: frozenset[str]) -> None:
        self._store = store
        self._zones = zones
        self._age: tuple[int, int] | None = None
        self.index = FenceIndex.of()

    async def refresh(self) -> None:
        """Read the fences again if they changed."""
        age = await self._store.fences_age()
        if age == self._age:
            return
        found = await self._store.fences()
        self.index = FenceIndex.of(
            read_feature(text, fence_id, zones=self._zones) for fence_id, text in found
        )
        self._age = age

    def add(self, fence: Fence) -> None:
        """A fence was kept by this process."""
        self.index = self.index.with_fence(fence)

    def drop(self, fence_id: str) -> None:
        """A fence was forgotten by this process."""
        self.index = self.index.without(fence_id)

    def named(self, name: str) -> list[Fence]:
        """The fences of an id or a group."""
        one = self.index.fences.get(name)
        if one is not None:
            return [one]
        return [fence for fence in self.index.fences.values() if name in fence.groups]


def names_of(found: Sequence[Fence], now: datetime) -> dict[str, bool]:
    """Ids and groups of fences; a group is open where one of its fences here is."""
    inside: dict[str, bool] = {}
    for fence in found:
        for name in geo.ids_and_groups(fence):
            inside[name] = inside.get(name, False) or geo.is_open(fence, now)
    return inside


class Watch:
    """Looks now and then at what other processes may have changed: fences and switches."""

    def __init__(self, *, places: Places, desk: Watcher) -> None:
        self._places = places
        self._desk = desk

    async def refresh(self) -> None:
        """Look once."""
        await self._places.refresh()
        await self._desk.watch_switches()
