from __future__ import annotations

import os
import random
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.laws import Laws
from gateway.core.places import Atlas, Place, place_of
from gateway.core.policy import Quiet
from gateway.core.quiet import HORIZON, QuietRules, quiet_until
from gateway.policies import load_atlas, load_policy, quiet_rules

ATLAS = load_atlas()
MINUTE = timedelta(minutes=1)
ODD_ZONES = (
    "UTC",
    "Africa/Casablanca",  # stands still for Ramadan
    "America/New_York",
    "America/Phoenix",
    "America/St_Johns",
    "Antarctica/Troll",  # two hours of summer time
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # half an hour of it
    "Europe/London",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
)
CHANGES = (  # instants at which one of them changes
    "2026-02-15T02:00",
    "2026-03-08T05:30",
    "2026-03-08T07:00",
    "2026-03-29T01:00",
    "2026-04-04T14:00",
    "2026-04-04T15:00",
    "2026-10-03T15:30",
    "2026-10-25T01:00",
    "2026-11-01T04:30",
    "2026-11-01T06:00",
)
minutes = st.integers(0, 1439).map(lambda m: time(*divmod(m, 60)))
anywhen = st.datetimes(datetime(2025, 1, 1), datetime(2029, 1, 1))  # noqa: DTZ001 - made aware below
near_a_change = st.builds(
    lambda text, s: datetime.fromisoformat(text) + timedelta(seconds=s),
    st.sampled_from(CHANGES),
    st.integers(-130_000, 8000),
)
instants = (anywhen | near_a_change).map(lambda at: at.replace(tzinfo=UTC))
spans = st.tuples(minutes, minutes).filter(lambda span: span[0] != span[1])
some_zones = st.lists(st.sampled_from(ODD_ZONES), min_size=1, max_size=3, unique=True).map(tuple)


def is_quiet(span: tuple[time, time], local: datetime) -> bool:
    """What quiet hours mean, said once more in other words."""
    start, end = span
    if start < end:
        return start <= local.time() < end
    return local.time() >= start or local.time() < end


@given(spans, some_zones, instants)
@example(
    (time(1, 30), time(0, 30)), ("America/New_York",), datetime(2026, 11, 1, 5, 45, tzinfo=UTC)
)
@example((time(22), time(2, 30)), ("Europe/London",), datetime(2026, 3, 29, 0, 59, tzinfo=UTC))
@settings(deadline=None)
def test_c12_the_answer_is_the_earliest_that_is_quiet_nowhere(
    span: tuple[time, time], zones: tuple[str, ...], now: datetime
) -> None:
    """C12: quiet on no clock, no earlier minute would do, and asked again it stays."""
    rules = QuietRules(Quiet({"sms": span}, jurisdictions=False), Laws((), {}), ATLAS)
    place = Place(zones, ())
    clocks = [ZoneInfo(zone) for zone in zones]

    def held(at: datetime) -> bool:
        return any(is_quiet(span, at.astimezone(clock)) for clock in clocks)

    until = quiet_until(rules, place, channel="sms", now=now)
    assert (until is not None) == held(now)
    if until is None:
        return
    assert now < until <= now + HORIZON
    if until < now + HORIZON:
        assert not held(until)
        assert quiet_until(rules, place, channel="sms", now=until) is None
    at = now.replace(second=0, microsecond=0) + MINUTE
    while at < until:
        assert held(at)
        at += MINUTE


# --- a year of sends ----------------------------------------------------------------------------

SENDS = int(os.environ.get("QUIET_SENDS", "1000000"))
EASTERN_STATES = frozenset({"America/New_York"})
CENTRAL_STATES = frozenset({"America/Chicago", "America/Denver"})
FRENCH_HOLIDAYS = frozenset(
    date(2026, month, day)
    for month, days in {
        1: [1],
        4: [6],
        5: [1, 8, 14, 25],
        7: [14],
        8: [15],
        11: [1, 11],
        12: [25],
    }.items()
    for day in days
) | {date(2027, 1, 1)}


def window(country: str, zone: str, channel: str, day: date) -> tuple[time, time] | None:
    """The packaged policy and laws for one day of 2026, worked out by hand."""
    if channel == "push":
        return (time(8), time(21)) if country == "KR" else (time(8), time(22))
    if country == "US":
        return american_window(zone, day.weekday())
    if country in {"FR", "GF", "GP", "MQ", "RE", "YT"}:
        closed = day.weekday() == 6 or day in FRENCH_HOLIDAYS
        return None if closed else (time(8, 30), time(20))
    return time(9 if country == "IN" else 8), time(21)


def american_window(zone: str, weekday: int) -> tuple[time, time]:
    """The strictest of the states on one clock."""
    if zone in EASTERN_STATES:
        return (time(9), time(18)) if weekday < 5 else (time(10), time(17))
    if zone in CENTRAL_STATES:
        return (time(9), time(20)) if weekday < 6 else (time(12), time(20))
    return time(8), time(20) if zone == "America/Los_Angeles" else time(21)


def places(atlas: Atlas) -> list[tuple[str, Place]]:
    """Everybody's zone there is, and countries with several zones once each."""
    found = []
    for country, zones in sorted(atlas.zones_by_country.items()):
        asked = [*zones, None] if len(zones) > 1 else zones
        for zone in asked:
            place = place_of(atlas, timezone=zone, country=country, phone=None, region=None)
            found.append((country, place))
    return found


def test_c12_of_a_year_of_sends_none_is_outside_the_window() -> None:
    """C12: over all zones and channels and every hour of 2026, 0 sends outside.

    A million takes some 15 s on a quiet core; QUIET_SENDS makes it fewer.
    """
    rules, draw = quiet_rules(load_policy(None), load_atlas()), random.Random(12)  # noqa: S311 - no secret
    people, start = places(ATLAS), datetime(2026, 1, 1, tzinfo=UTC)
    outside, waited, mails = [], 0, 0
    for _ in range(SENDS):
        country, place = people[int(draw.random() * len(people))]
        channel = ("sms", "push", "email")[int(draw.random() * 2.1)]
        now = start + timedelta(seconds=draw.random() * 31_500_000)
        until = quiet_until(rules, place, channel=channel, now=now)
        if channel == "email":
            mails += 1
            assert until is None
            continue
        waited += until is not None
        if until == now + HORIZON:
            # Antarctica's zones have no common day: who gives no zone there is asked for again.
            assert (country, len(place.zones) > 1) == ("AQ", True)
            continue
        sent_at = until or now
        for zone in place.zones:
            local = sent_at.astimezone(ATLAS.zone_of(zone))
            allowed = window(country, zone, channel, local.date())
            if allowed is None or not allowed[0] <= local.time() < allowed[1]:
                outside.append((country, zone, channel, now, until))
    assert outside[:5] == []
    assert SENDS * 0.02 < mails < SENDS * 0.1
    assert SENDS * 0.3 < waited < SENDS * 0.7
