"""ISO 8601 durations: text to an exact length of time, and back.

Invariant: a length that this file returns is never negative and at most `LONGEST`, so adding it
to a time of this century cannot overflow. Weeks, days, hours, minutes and seconds only: months
and years have no fixed length. Knows no event and no setting.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

LONGEST: Final = timedelta(days=3660)
LONGEST_S: Final = LONGEST.total_seconds()
TEXT_MAX: Final = 32

_UNITS_S: Final = (604_800, 86_400, 3600, 60, 1)
_FORM: Final = re.compile(
    r"P(?:([0-9]+)W"
    r"|(?:([0-9]+)D)?"
    r"(?:T(?=[0-9])(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?)?)"
)


def parse(text: str) -> timedelta:
    """The length that `text` (`P7D`, `PT15M`, `P1DT12H`) names; ValueError where it names none."""
    found = _FORM.fullmatch(text) if len(text) <= TEXT_MAX else None
    if found is None or not any(found.groups()):
        raise ValueError("not an ISO 8601 duration of weeks, days, hours, minutes and seconds")
    total_s = 0
    for digits, unit_s in zip(found.groups(), _UNITS_S, strict=True):
        if digits:
            total_s += int(digits) * unit_s
    if total_s > LONGEST_S:
        raise ValueError(f"longer than {LONGEST.days} days")
    return timedelta(seconds=total_s)


def text_of(length: timedelta) -> str:
    """The shortest text of a length in whole seconds; `parse` reads it back. ValueError below 0."""
    if length < timedelta(0) or length.microseconds:
        raise ValueError("a duration is not negative and has whole seconds")
    if length.days and length.days % 7 == 0 and not length.seconds:
        return f"P{length.days // 7}W"
    hours, rest = divmod(length.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    of_day = "".join(
        f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if n
    )
    days = f"{length.days}D" if length.days else ""
    if not (days or of_day):
        return "PT0S"
    return f"P{days}T{of_day}" if of_day else f"P{days}"
