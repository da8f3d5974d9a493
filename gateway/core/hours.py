"""The hours of a week in which something is allowed, on one wall clock.

Invariant: hours are exact to the minute, closed-open, and know nothing of zones: they are asked
with the local time and answer in it. What makes local times jump is `quiet.py`'s matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

DAY_MINUTES: Final = 1440
LOOKAHEAD_DAYS: Final = 14
_MIDNIGHT: Final = time()

Minutes = tuple[int, int]
"""From a minute of the day to before another, 0 to 1440."""

Day = tuple[Minutes, ...]
"""What is allowed on one weekday, in order and apart."""


@dataclass(frozen=True, slots=True)
class Holidays:
    """Days without any allowed hour: every year, on one date, or days after Easter Sunday."""

    yearly: frozenset[tuple[int, int]] = frozenset()
    dates: frozenset[date] = frozenset()
    after_easter: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.yearly or self.dates or self.after_easter)

    def has(self, day: date) -> bool:
        """Whether `day` is one of them."""
        if (day.month, day.day) in self.yearly or day in self.dates:
            return True
        return bool(self.after_easter) and (day - easter(day.year)).days in self.after_easter

    def __or__(self, other: Holidays) -> Holidays:
        return Holidays(
            self.yearly | other.yearly,
            self.dates | other.dates,
            self.after_easter | other.after_easter,
        )


@dataclass(frozen=True, slots=True)
class Hours:
    """Allowed hours: seven days from Monday, and the days that have none."""

    days: tuple[Day, ...]
    holidays: Holidays = Holidays()

    def allow(self, local: datetime) -> bool:
        """Whether a local time is allowed; of the time only the wall clock counts."""
        return self.closes(local) is not None

    def closes(self, local: datetime) -> int | None:
        """The minute of its day at which an allowed local time ends to be so; None in quiet."""
        minute = local.hour * 60 + local.minute
        for start, end in self.days[local.weekday()]:
            if start <= minute < end:
                return None if self.holidays and self.holidays.has(local.date()) else end
        return None

    def next_allowed(self, local: datetime) -> datetime | None:
        """The first allowed naive local time from `local` on; None within `LOOKAHEAD_DAYS`."""
        if self.allow(local):
            return local
        minute = local.hour * 60 + local.minute
        for ahead in range(LOOKAHEAD_DAYS):
            day = local.date() + timedelta(days=ahead)
            starts = [start for start, _ in self.days[day.weekday()] if ahead or start > minute]
            if starts and not self.holidays.has(day):
                return datetime.combine(day, _MIDNIGHT) + timedelta(minutes=starts[0])
        return None

    def __and__(self, other: Hours) -> Hours:
        """What both allow."""
        days = tuple(map(_both, self.days, other.days))
        return Hours(days, self.holidays | other.holidays)


def all_but(start: time, end: time) -> Hours:
    """Every day but from `start` to before `end`, over midnight when `end` is not later."""
    quiet_from, quiet_to = _minute(start), _minute(end)
    day: Day = ((quiet_to, quiet_from),)
    if quiet_from < quiet_to:
        day = ((0, quiet_from), (quiet_to, DAY_MINUTES))
    return Hours((tuple(span for span in day if span[0] < span[1]),) * 7)


def joined(spans: Iterable[Minutes]) -> Day:
    """Spans of one day in order, those that touch or overlap made one."""
    out: list[Minutes] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return tuple(out)


def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (the rule of Meeus, Jones and Butcher)."""
    century, of_century = divmod(year, 100)
    moon = (
        19 * (year % 19) + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15
    ) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (of_century // 4) - moon - of_century % 4) % 7
    late = (year % 19 + 11 * moon + 22 * weekday) // 451
    month, day = divmod(moon + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def _both(one: Day, other: Day) -> Day:
    shared = (
        (max(a_start, b_start), min(a_end, b_end))
        for a_start, a_end in one
        for b_start, b_end in other
    )
    return joined(span for span in shared if span[0] < span[1])


def _minute(at: time) -> int:
    return at.hour * 60 + at.minute
