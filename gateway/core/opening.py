"""Opening hours: when in the week a place is open, on its own clock.

Invariant: hours are read off the wall clock of the place's zone, so they keep their meaning when
the clocks change: a wall time that comes twice counts twice, one that is left out counts for
nothing. A span ends before its closing minute. The names of zones are data of the time-zone
database, like the locales of babel; nothing here reads the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN: Final = 24 * 60

Span = tuple[int, int]
"""Minutes of the day, opening and closing; closing before opening is on the day after."""


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """The spans of each day from Monday on; a day without spans is closed."""

    zone: ZoneInfo
    week: tuple[tuple[Span, ...], ...]


def opening_hours(zone: ZoneInfo, days: Mapping[str, Sequence[Span]]) -> OpeningHours:
    """Hours from days by name (`mon` to `sun`); a day that is not named is closed."""
    return OpeningHours(zone, tuple(tuple(days.get(day, ())) for day in DAYS))


def is_open_at(hours: OpeningHours, now: datetime) -> bool:
    """Whether the place is open at an aware instant."""
    local = now.astimezone(hours.zone)
    minute, today = local.hour * 60 + local.minute, local.weekday()
    return any(_is_in(span, minute) for span in hours.week[today]) or any(
        closes < opens and minute < closes for opens, closes in hours.week[today - 1]
    )


def _is_in(span: Span, minute: int) -> bool:
    opens, closes = span
    return opens <= minute and (minute < closes or closes < opens)
