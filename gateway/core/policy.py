"""The policy: caps, quiet hours, the wait in doubt, attribution windows and geo, as values.

Invariant: a table that somebody wrote replaces the packaged one of its name whole, so a key left
out of it is off; a table left out is the packaged one. Nothing unknown is let pass. Knows texts,
not files, and nothing of national law (`laws.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final

from gateway.core.toml_tables import Table, TomlFault, read

CHANNELS: Final = ("email", "sms", "push")

Span = tuple[time, time]
"""Quiet from the first wall-clock time to before the second, over midnight if that is earlier."""

Touch = tuple[str, datetime]
"""A promotional message that a person got: its channel and when."""


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `max` promotional messages to a person in any `window`, over all `channels`."""

    window: timedelta
    max: int
    channels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Quiet hours by channel (absent is none), and whether national rules apply as well."""

    by_channel: Mapping[str, Span]
    jurisdictions: bool


@dataclass(frozen=True, slots=True)
class GeoPolicy:
    """What makes a presence count; None is no such condition."""

    freshness: timedelta | None
    accuracy_m: float | None
    cooldown: timedelta | None


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds sends back, and how results are credited.

    A channel that is absent from `attribution` credits nothing.
    """

    caps: tuple[Cap, ...]
    quiet: Quiet
    doubt_wait: timedelta
    attribution: Mapping[str, timedelta]
    geo: GeoPolicy


def parse(text: str, packaged_text: str) -> Policy:
    """The policy of a file over the packaged one; `TomlFault` names the first key at fault."""
    packaged, written = read(packaged_text), read(text)
    written.only(TABLES)
    whole = Table("", {**packaged.values, **written.values})
    whole.only(TABLES)
    found: dict[str, Any] = {field: reader(whole) for field, reader in TABLES.values()}
    return Policy(**found)


def capped(
    caps: Iterable[Cap], touches: Sequence[Touch], *, channel: str, now: datetime
) -> Cap | None:
    """The first cap that one more message on `channel` would break now, else None.

    Windows roll: what went out exactly a window ago no longer counts. A touch that lies ahead of
    `now` (another replica's clock) counts.
    """
    for cap in caps:
        if channel not in cap.channels:
            continue
        since = now - cap.window
        count = sum(1 for name, at in touches if at > since and name in cap.channels)
        if count >= cap.max:
            return cap
    return None


def lookback(caps: Iterable[Cap]) -> timedelta:
    """How far back touches are needed; nothing without caps."""
    return max((cap.window for cap in caps), default=timedelta(0))


def clock_time(table: Table, key: str, text: Any) -> time:
    """A wall-clock time as `HH:MM`."""
    parts = text.split(":") if isinstance(text, str) else ()
    if [len(part) for part in parts] == [2, 2] and all(p.isascii() and p.isdigit() for p in parts):
        hour, minute = map(int, parts)
        if hour < 24 and minute < 60:  # noqa: PLR2004 - as clocks have it
            return time(hour, minute)
    raise table.fault(key, 'must hold times of the day as "HH:MM"')


# --- one reader per table -----------------------------------------------------------------------


def _caps(whole: Table) -> tuple[Cap, ...]:
    return tuple(map(_cap, whole.tables("caps")))


def _cap(table: Table) -> Cap:
    # A cap with a part missing would limit nothing, silently: that is a slip, not a wish.
    table.only(("window", "max", "channels"))
    table.needs("window", "max", "channels")
    window = table.duration("window")
    if window is None:
        raise table.fault("window", "is missing")
    return Cap(window, table.whole("max", least=1), table.some_of("channels", CHANNELS))


def _quiet(whole: Table) -> Quiet:
    table = whole.table("quiet_hours")
    table.only((*CHANNELS, "jurisdictions"))
    spans = {name: _span(table, name) for name in CHANNELS if name in table.values}
    return Quiet(spans, table.yes("jurisdictions", default=False))


def _span(table: Table, key: str) -> Span:
    value = table.values[key]
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - from and to
        raise table.fault(key, 'must be two times, such as ["21:00", "08:00"]')
    start, end = (clock_time(table, key, text) for text in value)
    if start == end:
        raise table.fault(key, "starts and ends at the same time; leave it out for no quiet hours")
    return start, end


def _doubt_wait(whole: Table) -> timedelta:
    table = whole.table("in_doubt")
    table.only(("wait",))
    return table.duration("wait", is_zero_allowed=True) or timedelta(0)


def _attribution(whole: Table) -> Mapping[str, timedelta]:
    table = whole.table("attribution")
    table.only(CHANNELS)
    windows = ((name, table.duration(name)) for name in CHANNELS)
    return {name: window for name, window in windows if window is not None}


def _geo(whole: Table) -> GeoPolicy:
    table = whole.table("geo")
    table.only(("freshness", "accuracy_m", "cooldown"))
    cooldown = table.duration("cooldown", is_zero_allowed=True)
    return GeoPolicy(table.duration("freshness"), table.number("accuracy_m"), cooldown)


TABLES: Final[Mapping[str, tuple[str, Callable[[Table], Any]]]] = {
    "caps": ("caps", _caps),
    "quiet_hours": ("quiet", _quiet),
    "in_doubt": ("doubt_wait", _doubt_wait),
    "attribution": ("attribution", _attribution),
    "geo": ("geo", _geo),
}
"""Every table of a policy file: the field of `Policy` it becomes, and who reads it."""

__all__ = [
    "CHANNELS",
    "TABLES",
    "Cap",
    "GeoPolicy",
    "Policy",
    "Quiet",
    "Span",
    "TomlFault",
    "Touch",
    "capped",
    "clock_time",
    "lookback",
    "parse",
]
