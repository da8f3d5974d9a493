from __future__ import annotations

import math
import zoneinfo
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.core.fence_features import parse_feature
from gateway.core.fences import is_open, unfit_reason

ZONES = frozenset(zoneinfo.available_timezones())

# --- opening hours --------------------------------------------------------------------------


def open_at(now: str, zone: str | None, hours: Any) -> bool:
    """Whether a shop with these hours is open at an instant, written with its offset."""
    document = {
        "type": "Feature",
        "id": "shop-1",
        "geometry": {"type": "Point", "coordinates": [12, 55]},
        "properties": {"radius_m": 50, "timezone": zone, "opening_hours": hours},
    }
    return is_open(parse_feature(document, zones=ZONES), datetime.fromisoformat(now))


DAY = {"mon": [["09:00", "12:00"], ["13:00", "18:00"]]}
NIGHT = {"sun": [["22:00", "02:30"]]}
SMALL_HOURS = {"sun": [["02:00", "03:00"]]}
COPENHAGEN = "Europe/Copenhagen"


@pytest.mark.parametrize(
    ("now", "zone", "hours", "is_so"),
    [
        ("2026-06-01T03:00:00+00:00", None, None, True),  # no hours: always
        ("2026-06-01T03:00:00+00:00", None, {}, False),  # no day: never
        ("2026-06-01T08:59:59+02:00", COPENHAGEN, DAY, False),  # a Monday
        ("2026-06-01T09:00:00+02:00", COPENHAGEN, DAY, True),
        ("2026-06-01T11:59:59+02:00", COPENHAGEN, DAY, True),
        ("2026-06-01T12:00:00+02:00", COPENHAGEN, DAY, False),
        ("2026-06-01T13:00:00+02:00", COPENHAGEN, DAY, True),
        ("2026-06-02T10:00:00+02:00", COPENHAGEN, DAY, False),  # a Tuesday
        ("2026-06-01T09:00:00+00:00", None, DAY, True),  # without a zone: UTC
        ("2026-06-01T08:00:00+00:00", COPENHAGEN, DAY, True),  # the zone's day, not UTC's
        ("2026-01-05T08:00:00+00:00", COPENHAGEN, DAY, True),  # winter: one hour ahead
        ("2026-01-05T07:59:00+00:00", COPENHAGEN, DAY, False),
        ("2026-05-31T23:30:00+00:00", "Pacific/Auckland", DAY, True),  # already Monday there
        ("2026-05-31T21:59:00+02:00", COPENHAGEN, NIGHT, False),  # a Sunday
        ("2026-05-31T22:00:00+02:00", COPENHAGEN, NIGHT, True),
        ("2026-06-01T02:29:59+02:00", COPENHAGEN, NIGHT, True),  # and Monday's small hours
        ("2026-06-01T02:30:00+02:00", COPENHAGEN, NIGHT, False),
        ("2026-05-31T01:00:00+02:00", COPENHAGEN, NIGHT, False),  # not Sunday's own
        ("2026-06-01T23:00:00+02:00", COPENHAGEN, NIGHT, False),  # not Monday's night
        ("2026-05-31T23:59:59+02:00", COPENHAGEN, {"sun": [["00:00", "24:00"]]}, True),
        ("2026-06-01T00:00:00+02:00", COPENHAGEN, {"sun": [["00:00", "24:00"]]}, False),
        # Clocks go forward on 29 March at two: that hour never comes.
        ("2026-03-29T00:59:59+00:00", COPENHAGEN, SMALL_HOURS, False),
        ("2026-03-29T01:00:00+00:00", COPENHAGEN, SMALL_HOURS, False),
        ("2026-03-29T00:30:00+00:00", COPENHAGEN, {"sat": [["22:00", "03:30"]]}, True),
        ("2026-03-29T01:29:00+00:00", COPENHAGEN, {"sat": [["22:00", "03:30"]]}, True),
        ("2026-03-29T01:30:00+00:00", COPENHAGEN, {"sat": [["22:00", "03:30"]]}, False),
        # Clocks go back on 25 October at three: that hour comes twice.
        ("2026-10-24T23:59:00+00:00", COPENHAGEN, SMALL_HOURS, False),
        ("2026-10-25T00:30:00+00:00", COPENHAGEN, SMALL_HOURS, True),
        ("2026-10-25T01:30:00+00:00", COPENHAGEN, SMALL_HOURS, True),
        ("2026-10-25T02:00:00+00:00", COPENHAGEN, SMALL_HOURS, False),
    ],
)
def test_a_place_is_open_by_its_own_clock(
    now: str, zone: str | None, hours: Any, *, is_so: bool
) -> None:
    """Opening counts, closing does not; a night belongs to the day it began on."""
    assert open_at(now, zone, hours) is is_so


# --- presence -------------------------------------------------------------------------------

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("age_s", "accuracy_m", "accuracy_m_max", "reason"),
    [
        (0, 10.0, 100.0, None),
        (120, 100.0, 100.0, None),
        (120.001, 10.0, 100.0, "stale"),
        (-120, 10.0, 100.0, None),
        (-120.001, 10.0, 100.0, "future"),
        (0, 100.5, 100.0, "inaccurate"),
        (0, math.nan, 100.0, "inaccurate"),
        (0, None, 100.0, None),
        (0, 5_000.0, None, None),
        (999, 5_000.0, 100.0, "stale"),
    ],
)
def test_only_a_fresh_and_accurate_presence_is_matched(
    age_s: float, accuracy_m: float | None, accuracy_m_max: float | None, reason: str | None
) -> None:
    """Two minutes old, or ahead, is still now; what is not said is not held against it."""
    found_reason = unfit_reason(
        NOW - timedelta(seconds=age_s),
        NOW,
        freshness=timedelta(minutes=2),
        accuracy_m=accuracy_m,
        accuracy_m_max=accuracy_m_max,
    )
    assert found_reason == reason
