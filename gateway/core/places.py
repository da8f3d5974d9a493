"""Where a person is, as far as clocks and laws go. The home of the library of phone numbers.

Invariant: what is not known widens the answer: all zones that are possible, never a guess at one.
An area code is no evidence of a place, because numbers move with people; the number's country is.
Knows zones by name and hands them out as they were given to it; reading them is I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final

import phonenumbers
from phonenumbers import timezone as number_zones

NOWHERE: Final = ("UTC",)
REGION_LENGTH_MAX: Final = 3  # as ISO 3166-2 has it


@dataclass(frozen=True, slots=True)
class Atlas:
    """The zones of the world.

    `zones_by_country` follows tzdata's zone.tab (IANA names by ISO 3166-1 code), `names` are all
    zones that `zone_of` can open, links such as `US/Eastern` among them.
    """

    zones_by_country: Mapping[str, tuple[str, ...]]
    country_of: Mapping[str, str]
    names: frozenset[str]
    zone_of: Callable[[str], tzinfo]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a person may be: all possible zones, the countries whose law holds, a region's code."""

    zones: tuple[str, ...]
    countries: tuple[str, ...]
    region: str = ""


def atlas_of(zone_tab: str, names: Iterable[str], zone_of: Callable[[str], tzinfo]) -> Atlas:
    """The atlas that the text of zone.tab describes; zones that cannot be opened are left out."""
    known = frozenset(names) | {*NOWHERE}
    by_country: dict[str, tuple[str, ...]] = {}
    for line in zone_tab.splitlines():
        columns = line.split("\t")
        if line.startswith("#") or columns[2:3] == [] or columns[2] not in known:
            continue
        by_country[columns[0]] = (*by_country.get(columns[0], ()), columns[2])
    country_of = {zone: country for country, zones in by_country.items() for zone in zones}
    return Atlas(by_country, country_of, known, zone_of)


def place_of(
    atlas: Atlas, *, timezone: str | None, country: str | None, phone: str | None, region: object
) -> Place:
    """The place of a recipient; `region` is `attributes.region` as it came (`TX`, `US-TX`).

    The zones are the stated one, else all of the country, else all of the number's, else UTC.
    The law is that of the stated country, else of the number's, else of the time zone's.
    """
    stated = (country,) if country else ()
    countries = stated or countries_of_number(atlas, phone)
    zones = _stated_zones(atlas, timezone, country) or _possible_zones(atlas, countries, phone)
    if not countries and timezone is not None and timezone in atlas.country_of:
        countries = (atlas.country_of[timezone],)
    return Place(zones, countries, _region(region))


def countries_of_number(atlas: Atlas, phone: str | None) -> tuple[str, ...]:
    """The country of an E.164 number; all that share its calling code when it is undecided."""
    number = _parsed(phone)
    if number is None:
        return ()
    code = phonenumbers.region_code_for_number(number)
    if code is not None and code in atlas.zones_by_country:
        return (code,)
    sharing = phonenumbers.region_codes_for_country_code(number.country_code or 0)
    return tuple(code for code in sharing if code in atlas.zones_by_country)


def _stated_zones(atlas: Atlas, timezone: str | None, country: str | None) -> tuple[str, ...]:
    if timezone is not None and timezone in atlas.names:
        return (timezone,)
    return atlas.zones_by_country.get(country or "", ())


def _possible_zones(atlas: Atlas, countries: Iterable[str], phone: str | None) -> tuple[str, ...]:
    zones = tuple(zone for code in countries for zone in atlas.zones_by_country.get(code, ()))
    return zones or _zones_of_number(atlas, phone) or NOWHERE


def _zones_of_number(atlas: Atlas, phone: str | None) -> tuple[str, ...]:
    # Kosovo, Ascension and Tristan da Cunha have numbers but no row in zone.tab.
    number = _parsed(phone)
    zones = number_zones.time_zones_for_number(number) if number is not None else ()
    return tuple(zone for zone in zones if zone in atlas.names)


def _parsed(phone: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(phone, None) if phone else None
    except phonenumbers.NumberParseException:
        return None


def _region(value: object) -> str:
    code = value.strip().upper().rpartition("-")[2] if isinstance(value, str) else ""
    return code if len(code) <= REGION_LENGTH_MAX else ""
