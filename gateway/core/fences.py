"""Fences: where a person must be seen, when that counts, and which fences hold a place.

Invariant: `FenceIndex.containing` gives exactly the fences whose shape covers the place, whatever
the index looks at to find them quickly. An index is a value: a change makes another one. What a
match leads to (cooldown, caps, sending) is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.core.opening import OpeningHours, is_open_at
from gateway.core.shapes import Box, Shape, boxes, covers, meridian_names

# Cells halve from level to level: level 0 is the whole map, level 22 is under ten metres.
LEVEL_MAX: Final = 22
_MAP_DEG: Final = 360.0
_COLUMN_BITS: Final = 24
_LEVEL_BITS: Final = 2 * _COLUMN_BITS


@dataclass(frozen=True, slots=True)
class Fence:
    """One place. `hours` None is always open; `timezone` is kept as it was written."""

    id: str
    shape: Shape
    name: str | None = None
    groups: tuple[str, ...] = ()
    timezone: str | None = None
    hours: OpeningHours | None = None


def ids_and_groups(fence: Fence) -> frozenset[str]:
    """Every name by which a request may mean this fence."""
    return frozenset((fence.id, *fence.groups))


def is_open(fence: Fence, now: datetime) -> bool:
    """Whether the place is open at an aware instant, on the clock of its own zone."""
    return fence.hours is None or is_open_at(fence.hours, now)


def unfit_reason(
    observed_at: datetime,
    now: datetime,
    *,
    freshness: timedelta,
    accuracy_m: float | None,
    accuracy_m_max: float | None,
) -> str | None:
    """Why a presence says nothing about where the person is now: `stale`, `future`, `inaccurate`.

    None is a presence to match. A clock may be ahead by as much as a presence may be old. A
    presence that does not say how accurate it is, is taken at its word; a limit of None is off.
    """
    if now - observed_at > freshness:
        return "stale"
    if observed_at - now > freshness:
        return "future"
    if accuracy_m is not None and accuracy_m_max is not None and not accuracy_m <= accuracy_m_max:
        return "inaccurate"
    return None


# --- the index ------------------------------------------------------------------------------

Entry = tuple[Box, Fence]
"""One box of a fence, as it lies in a cell."""


@dataclass(frozen=True, slots=True)
class FenceIndex:
    """Fences by id and by place; build it with `FenceIndex.of`.

    Each box of a fence lies in the at most four cells that it touches on the finest level whose
    cells are no smaller than the box. A look-up takes one cell per level in use, so it costs the
    same for a thousand fences and for a hundred thousand, and a country fills no more cells
    than a shop. `levels` counts the entries of each level.
    """

    fences: Mapping[str, Fence]
    cells: Mapping[int, tuple[Entry, ...]]
    levels: Mapping[int, int]

    @classmethod
    def of(cls, fences: Iterable[Fence] = ()) -> FenceIndex:
        """An index of many fences; of two with one id the last counts."""
        by_id = {fence.id: fence for fence in fences}
        cells: dict[int, tuple[Entry, ...]] = {}
        levels: dict[int, int] = {}
        for fence in by_id.values():
            _put(cells, levels, fence)
        return cls(by_id, cells, levels)

    def with_fence(self, fence: Fence) -> FenceIndex:
        """The same index and one fence more, in the place of one with the same id.

        It copies the tables of the index: some ten milliseconds at 100,000 fences; for many
        use `of`.
        """
        fences, cells, levels = dict(self.fences), dict(self.cells), dict(self.levels)
        if (former := fences.get(fence.id)) is not None:
            _take(cells, levels, former)
        fences[fence.id] = fence
        _put(cells, levels, fence)
        return FenceIndex(fences, cells, levels)

    def without(self, fence_id: str) -> FenceIndex:
        """The same index without one fence; itself where there is no such fence."""
        if fence_id not in self.fences:
            return self
        fences, cells, levels = dict(self.fences), dict(self.cells), dict(self.levels)
        _take(cells, levels, fences.pop(fence_id))
        return FenceIndex(fences, cells, levels)

    def containing(self, latitude: float, longitude: float) -> list[Fence]:
        """The fences that cover a place, in the order of their ids; degrees, inside their range.

        The reported place decides alone: how accurate it must be is asked before
        (`unfit_reason`), and makes a fence neither wider nor narrower.
        """
        # A place may lie in several boxes of one fence: by id it is one.
        near = {
            fence.id: fence
            for name in meridian_names(longitude)
            for level in self.levels
            for box, fence in self.cells.get(_cell(level, latitude, name), ())
            if box.south <= latitude <= box.north and box.west <= name <= box.east
        }
        return [
            near[fence_id]
            for fence_id in sorted(near)
            if covers(near[fence_id].shape, latitude, longitude)
        ]


def _put(cells: dict[int, tuple[Entry, ...]], levels: dict[int, int], fence: Fence) -> None:
    for box in boxes(fence.shape):
        entry, level = (box, fence), _level(box)
        for cell in _cells(box, level):
            cells[cell] = (*cells.get(cell, ()), entry)
            levels[level] = levels.get(level, 0) + 1


def _take(cells: dict[int, tuple[Entry, ...]], levels: dict[int, int], fence: Fence) -> None:
    for box in boxes(fence.shape):
        level = _level(box)
        for cell in _cells(box, level):
            _take_entry(cells, cell, (box, fence))
            levels[level] -= 1
        if not levels[level]:
            del levels[level]


def _take_entry(cells: dict[int, tuple[Entry, ...]], cell: int, entry: Entry) -> None:
    there = list(cells[cell])
    there.remove(entry)
    if there:
        cells[cell] = tuple(there)
    else:
        del cells[cell]


def _level(box: Box) -> int:
    """The finest level whose cells are about as wide and high as the box, or more."""
    size_deg = max(box.east - box.west, box.north - box.south)
    if size_deg <= _MAP_DEG / 2**LEVEL_MAX:
        return LEVEL_MAX
    return int(math.log2(_MAP_DEG / size_deg))


def _cells(box: Box, level: int) -> Iterator[int]:
    first, last = _cell(level, box.south, box.west), _cell(level, box.north, box.east)
    columns = (1 << _COLUMN_BITS) - 1
    for row in range(first >> _COLUMN_BITS, (last >> _COLUMN_BITS) + 1):
        for column in range(first & columns, (last & columns) + 1):
            yield row << _COLUMN_BITS | column


def _cell(level: int, latitude: float, longitude: float) -> int:
    """The one cell of a level that holds a place: level, row and column in one number.

    Both steps, scaling and rounding down, keep the order of places: what lies between the
    corners of a box lies in a row and a column between theirs.
    """
    per_deg = (1 << level) / _MAP_DEG
    row, column = int((latitude + 90.0) * per_deg), int((longitude + 180.0) * per_deg)
    return level << _LEVEL_BITS | row << _COLUMN_BITS | column
