"""National rules on when promotional messages may go out, read from the packaged table.

Invariant: every row says where it comes from and as of when, and a row that is marked as not
applied is checked like the others and then left out. Knows the form of the rows, no country's
content: that is data for a lawyer to edit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from gateway.core.hours import DAY_MINUTES, Holidays, Hours, Minutes, joined
from gateway.core.policy import CHANNELS, clock_time
from gateway.core.toml_tables import Table, TomlFault, read

_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_KEYS: Final = (
    "countries",
    "region",
    "zones",
    "channels",
    "allowed",
    "holidays",
    "applied",
    "source",
    "as_of",
    "note",
)
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_YEARLY: Final = re.compile(r"(\d\d)-(\d\d)")
_AFTER_EASTER: Final = re.compile(r"easter([+-]\d{1,3})")
_LEAP_YEAR: Final = 2024


@dataclass(frozen=True, slots=True)
class Law:
    """When messages on `channels` may go out in `countries`, or in one region of one country.

    `zones` are those in which the region lies: where nobody says which region a person is in, the
    law holds on the clocks of these zones.
    """

    countries: frozenset[str]
    region: str
    zones: frozenset[str]
    channels: frozenset[str]
    hours: Hours


@dataclass(frozen=True, slots=True)
class Laws:
    """All laws that are applied, and the regions (`US`: `AL`, `AK`, …) whose names are known."""

    rows: tuple[Law, ...]
    regions: Mapping[str, frozenset[str]]


def parse_laws(text: str) -> Laws:
    """The table of national rules; `TomlFault` names the first key at fault."""
    whole = read(text)
    whole.only(("regions", "law"))
    regions = _regions(whole.table("regions"))
    rows = [_law(table, regions) for table in whole.tables("law")]
    return Laws(tuple(row for row in rows if row is not None), regions)


def _regions(table: Table) -> Mapping[str, frozenset[str]]:
    for country in table.values:
        if not _COUNTRY.fullmatch(country):
            raise table.fault(country, "is no ISO 3166-1 code")
    return {country: frozenset(table.texts(country)) for country in table.values}


def _law(table: Table, regions: Mapping[str, frozenset[str]]) -> Law | None:
    table.only(_KEYS)
    table.needs("countries", "channels", "allowed", "source", "as_of")
    _sourced(table)
    region = table.text("region")
    law = Law(
        countries=_countries(table),
        region=region,
        zones=frozenset(table.texts("zones")),
        channels=table.some_of("channels", CHANNELS),
        hours=Hours(_days(table.table("allowed")), _holidays(table)),
    )
    if region and not all(region in regions.get(country, ()) for country in law.countries):
        raise table.fault("region", "is not listed in [regions]")
    if bool(region) != bool(law.zones):
        raise table.fault("zones", "are named where a region is, and only there")
    return law if table.yes("applied", default=True) else None


def _sourced(table: Table) -> None:
    if not table.text("source").strip():
        raise table.fault("source", "must say where the rule comes from")
    if type(table.values["as_of"]) is not date:
        raise table.fault("as_of", "must be a date: 2026-01-31")
    table.text("note")


def _countries(table: Table) -> frozenset[str]:
    countries = table.texts("countries")
    if not countries or not all(map(_COUNTRY.fullmatch, countries)):
        raise table.fault("countries", "must be a list of ISO 3166-1 codes")
    return frozenset(countries)


def _days(table: Table) -> tuple[tuple[Minutes, ...], ...]:
    days: dict[int, tuple[Minutes, ...]] = {}
    for key, value in table.values.items():
        for day in _weekdays(table, key):
            if day in days:
                raise table.fault(key, f"names {_WEEKDAYS[day]} twice")
            days[day] = joined(_spans(table, key, value))
    return tuple(days.get(day, ()) for day in range(7))


def _weekdays(table: Table, key: str) -> range:
    first, dash, last = key.partition("-")
    last = last if dash else first
    if first not in _WEEKDAYS or last not in _WEEKDAYS:
        raise table.fault(key, f"must be a day or days such as mon-fri, of {', '.join(_WEEKDAYS)}")
    days = range(_WEEKDAYS.index(first), _WEEKDAYS.index(last) + 1)
    if not days:
        raise table.fault(key, "ends before it starts: a week is mon to sun")
    return days


def _spans(table: Table, key: str, value: Any) -> Iterator[Minutes]:
    if not isinstance(value, list):
        raise table.fault(key, 'must be a list of spans such as [["08:00", "20:00"]]')
    for span in value:
        if not isinstance(span, list) or len(span) != 2:  # noqa: PLR2004 - from and to
            raise table.fault(key, 'must be a list of spans such as [["08:00", "20:00"]]')
        start, end = _minute(table, key, span[0]), _minute(table, key, span[1])
        if start >= end:
            raise table.fault(key, "a span ends before it starts; a day ends at 24:00")
        yield start, end


def _minute(table: Table, key: str, text: Any) -> int:
    if text == "24:00":
        return DAY_MINUTES
    at = clock_time(table, key, text)
    return at.hour * 60 + at.minute


def _holidays(table: Table) -> Holidays:
    yearly, dates, after_easter = set(), set(), set()
    for item in table.texts("holidays"):
        try:
            if found := _AFTER_EASTER.fullmatch(item):
                after_easter.add(int(found.group(1)))
            elif found := _YEARLY.fullmatch(item):
                on = date(_LEAP_YEAR, int(found.group(1)), int(found.group(2)))
                yearly.add((on.month, on.day))
            else:
                dates.add(date.fromisoformat(item))
        except ValueError as error:
            what = f"{item} is none of 12-25, 2026-12-25 and easter+1"
            raise table.fault("holidays", what) from error
    return Holidays(frozenset(yearly), frozenset(dates), frozenset(after_easter))


__all__ = ["Law", "Laws", "TomlFault", "parse_laws"]
