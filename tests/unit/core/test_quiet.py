from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest

import gateway
from gateway.core.hours import Holidays, Hours, easter
from gateway.core.laws import Laws, parse_laws
from gateway.core.places import Atlas, Place, place_of
from gateway.core.policy import Quiet
from gateway.core.quiet import HORIZON, QuietRules, quiet_until
from gateway.core.toml_tables import TomlFault
from gateway.policies import load_atlas, load_laws, load_policy, quiet_rules

NO_LAWS = Laws((), {})


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return load_atlas()


@pytest.fixture(scope="module")
def packaged() -> QuietRules:
    return quiet_rules(load_policy(None), load_atlas())


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def own(atlas: Atlas, start: str, end: str) -> QuietRules:
    """Rules of a policy that keeps SMS quiet, without national law."""
    span = (time.fromisoformat(start), time.fromisoformat(end))
    return QuietRules(Quiet({"sms": span}, jurisdictions=False), NO_LAWS, atlas)


NIGHT = ("21:00", "08:00")


@pytest.mark.parametrize(
    ("zone", "quiet", "now", "until"),
    [
        # The edges: quiet begins at its first minute and is over at its last.
        ("UTC", NIGHT, "2026-05-13T20:59:59.999999", None),
        ("UTC", NIGHT, "2026-05-13T21:00", "2026-05-14T08:00"),
        ("UTC", NIGHT, "2026-05-14T07:59:59.999", "2026-05-14T08:00"),
        ("UTC", NIGHT, "2026-05-14T08:00", None),
        # Around midnight, and within the day.
        ("UTC", ("00:00", "08:00"), "2026-05-13T23:59", None),
        ("UTC", ("00:00", "08:00"), "2026-05-14T00:00", "2026-05-14T08:00"),
        ("UTC", ("22:00", "00:00"), "2026-05-13T23:59", "2026-05-14T00:00"),
        ("UTC", ("12:00", "14:00"), "2026-05-13T13:00", "2026-05-13T14:00"),
        ("UTC", ("12:00", "14:00"), "2026-05-13T11:59", None),
        ("UTC", ("14:00", "13:59"), "2026-12-31T14:00", "2027-01-01T13:59"),
        # The night in which clocks change is an hour shorter or longer.
        ("Europe/Berlin", NIGHT, "2026-03-28T22:00", "2026-03-29T06:00"),
        ("Europe/Berlin", NIGHT, "2026-10-24T20:00", "2026-10-25T07:00"),
        # The gap: 02:30 does not exist, the next minute that does is 03:00.
        ("America/New_York", ("22:00", "02:30"), "2026-03-08T06:30", "2026-03-08T07:00"),
        ("Australia/Lord_Howe", ("20:00", "02:15"), "2026-10-03T15:00", "2026-10-03T15:30"),
        # Quiet hours that lie in the gap altogether do not happen.
        ("America/New_York", ("02:10", "02:50"), "2026-03-08T07:00", None),
        # The overlap: 01:30 comes twice, and 01:10 is quiet twice.
        ("America/New_York", ("22:00", "01:30"), "2026-11-01T05:00", "2026-11-01T05:30"),
        ("America/New_York", ("22:00", "01:30"), "2026-11-01T05:45", None),
        ("America/New_York", ("22:00", "01:30"), "2026-11-01T06:10", "2026-11-01T06:30"),
        # Clocks go back into the allowed hour: the earliest instant is the change itself.
        ("America/New_York", ("01:30", "00:30"), "2026-11-01T05:45:07.5", "2026-11-01T06:00"),
        # Zones off by :30 and :45.
        ("Asia/Kathmandu", NIGHT, "2026-05-13T20:00", "2026-05-14T02:15"),
        ("Asia/Kolkata", NIGHT, "2026-05-13T20:00", "2026-05-14T02:30"),
        ("America/St_Johns", NIGHT, "2026-01-13T03:00", "2026-01-13T11:30"),
        ("Pacific/Chatham", NIGHT, "2026-06-13T12:00", "2026-06-13T19:15"),
        ("Pacific/Chatham", NIGHT, "2026-01-13T12:00", "2026-01-13T18:15"),
        # Arizona has no summer time, its neighbours have.
        ("America/Phoenix", NIGHT, "2026-01-13T10:00", "2026-01-13T15:00"),
        ("America/Phoenix", NIGHT, "2026-07-13T10:00", "2026-07-13T15:00"),
        ("America/Denver", NIGHT, "2026-07-13T10:00", "2026-07-13T14:00"),
        # The far ends of the day.
        ("Pacific/Kiritimati", NIGHT, "2026-05-13T07:00", "2026-05-13T18:00"),
        ("Pacific/Pago_Pago", NIGHT, "2026-05-13T08:00", "2026-05-13T19:00"),
    ],
)
def test_c12_quiet_hours_on_one_clock(
    atlas: Atlas, zone: str, quiet: tuple[str, str], now: str, until: str | None
) -> None:
    """C12: gaps, overlaps, odd offsets and midnight, to the minute."""
    found = quiet_until(own(atlas, *quiet), Place((zone,), ()), channel="sms", now=utc(now))
    assert found == (None if until is None else utc(until))


@pytest.mark.parametrize(
    ("person", "now", "until"),
    [
        # Texas on a Sunday: from noon. Half past nine in the evening: the next morning at nine.
        ({"timezone": "America/Chicago", "region": "TX"}, "2026-05-17T14:00", "2026-05-17T17:00"),
        ({"timezone": "America/Chicago", "region": "US-TX"}, "2026-05-18T14:00", None),
        ({"timezone": "America/Chicago", "region": "tx"}, "2026-05-19T02:30", "2026-05-19T14:00"),
        # Illinois shares that clock and has no rule of its own.
        ({"timezone": "America/Chicago", "region": "IL"}, "2026-05-17T14:00", None),
        # Who does not say where on that clock: the strictest of its states.
        ({"timezone": "America/Chicago"}, "2026-05-17T14:00", "2026-05-17T17:00"),
        ({"timezone": "America/Chicago"}, "2026-05-19T01:30", "2026-05-19T14:00"),
        # A region that nobody knows is no region.
        (
            {"timezone": "America/Chicago", "region": "Texas"},
            "2026-05-17T14:00",
            "2026-05-17T17:00",
        ),
        # Rhode Island: to 18 on weekdays, 10 to 17 at weekends.
        ({"timezone": "America/New_York", "region": "RI"}, "2026-05-15T22:00", "2026-05-16T14:00"),
        ({"timezone": "America/New_York", "region": "NY"}, "2026-05-15T22:00", None),
        ({"timezone": "America/New_York", "region": "FL"}, "2026-05-16T00:30", "2026-05-16T12:00"),
        ({"timezone": "America/New_York", "region": "CT"}, "2026-05-15T12:30", "2026-05-15T13:00"),
        # Washington ends at 20, Arizona at 21; a link's name tells no state, so all hold.
        ({"timezone": "America/Los_Angeles"}, "2026-05-16T03:30", "2026-05-16T15:00"),
        ({"timezone": "America/Phoenix"}, "2026-05-16T03:30", None),
        ({"timezone": "US/Arizona"}, "2026-05-16T03:30", "2026-05-16T17:00"),
        # A traveller is ruled by his country's law on the clock he lives by.
        ({"timezone": "Europe/Paris"}, "2026-05-15T16:30", "2026-05-16T08:00"),
    ],
)
def test_c12_states_are_strict_where_the_state_is_not_known(
    atlas: Atlas, packaged: QuietRules, person: dict[str, str], now: str, until: str | None
) -> None:
    """C12: Sunday rules, weekday rules, and the strictest state where none is given."""
    place = place_of(
        atlas,
        timezone=person["timezone"],
        country="US",
        phone="+12125550123",
        region=person.get("region"),
    )
    found = quiet_until(packaged, place, channel="sms", now=utc(now))
    assert found == (None if until is None else utc(until))


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-04-04T17:59", None),  # the Saturday before Easter
        ("2026-04-04T18:00", "2026-04-07T06:30"),  # Sunday, then Easter Monday
        ("2026-04-30T18:30", "2026-05-02T06:30"),  # 1 May
        ("2026-05-13T20:00", "2026-05-15T06:30"),  # Ascension
        ("2026-05-25T10:00", "2026-05-26T06:30"),  # Whit Monday
        ("2026-07-14T10:00", "2026-07-15T06:30"),
        ("2026-12-24T23:30", "2026-12-26T07:30"),
        ("2027-03-29T10:00", "2027-03-30T06:30"),  # Easter Monday a year on, first day of summer
        ("2026-05-17T10:00", "2026-05-18T06:30"),  # a Sunday
        ("2026-05-18T06:29", "2026-05-18T06:30"),
    ],
)
def test_c12_holidays_and_sundays_are_kept(
    atlas: Atlas, packaged: QuietRules, now: str, until: str | None
) -> None:
    """C12: in France no SMS on Sundays and public holidays, movable ones included."""
    place = place_of(atlas, timezone=None, country="FR", phone="+33612345678", region=None)
    found = quiet_until(packaged, place, channel="sms", now=utc(now))
    assert found == (None if until is None else utc(until))


def test_c12_a_law_on_push_holds_push(atlas: Atlas, packaged: QuietRules) -> None:
    """Korea's night holds for push from 21 on, an hour before the policy's own."""
    place = place_of(atlas, timezone="Asia/Seoul", country="KR", phone=None, region=None)
    now = utc("2026-05-13T12:30")
    assert quiet_until(packaged, place, channel="push", now=now) == utc("2026-05-13T23:00")
    elsewhere = place_of(atlas, timezone="Asia/Tokyo", country="JP", phone=None, region=None)
    assert quiet_until(packaged, elsewhere, channel="push", now=now) is None


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-05-13T03:00", "2026-05-13T06:00"),
        ("2026-05-13T06:00", None),
        ("2026-05-13T08:59", None),
        ("2026-05-13T09:00", "2026-05-14T06:00"),
    ],
)
def test_c12_a_country_with_many_zones_waits_for_all(
    atlas: Atlas, packaged: QuietRules, now: str, until: str | None
) -> None:
    """C12: from Kaliningrad's morning to Kamchatka's evening, for who gives only a number."""
    for country, phone in (("RU", None), (None, "+79161234567")):
        place = place_of(atlas, timezone=None, country=country, phone=phone, region=None)
        found = quiet_until(packaged, place, channel="sms", now=utc(now))
        assert found == (None if until is None else utc(until))


def test_where_no_instant_is_allowed_the_question_comes_again(atlas: Atlas) -> None:
    """One hour a day on clocks ten hours apart never fits: ask again at the horizon."""
    rules = own(atlas, "12:00", "11:00")
    place = place_of(atlas, timezone=None, country="RU", phone=None, region=None)
    now = utc("2026-05-13T03:00")
    assert quiet_until(rules, place, channel="sms", now=now) == now + HORIZON


def test_email_has_no_quiet_hours_but_those_it_is_given(atlas: Atlas, packaged: QuietRules) -> None:
    """Mail may go at three in the morning unless the policy names it."""
    place, now = Place(("Europe/Paris",), ("FR",)), utc("2026-05-17T01:00")
    assert quiet_until(packaged, place, channel="email", now=now) is None
    named = QuietRules(Quiet({"email": (time(21), time(8))}, jurisdictions=True), NO_LAWS, atlas)
    assert quiet_until(named, place, channel="email", now=now) == utc("2026-05-17T06:00")


def test_without_jurisdictions_no_law_is_applied(atlas: Atlas) -> None:
    """The policy's word is the last one."""
    rules = QuietRules(Quiet({}, jurisdictions=False), load_laws(), atlas)
    place = Place(("Europe/Paris",), ("FR",))
    assert quiet_until(rules, place, channel="sms", now=utc("2026-05-17T01:00")) is None


def test_a_kept_yes_ends_with_the_hour_it_was_given_for(atlas: Atlas) -> None:
    """A yes is remembered, and not a minute too long, nor over a change of the clock."""
    night = own(atlas, *NIGHT)
    place = Place(("Europe/Berlin",), ())
    assert quiet_until(night, place, channel="sms", now=utc("2026-05-13T18:59")) is None
    assert quiet_until(night, place, channel="sms", now=utc("2026-05-13T19:00")) is not None
    far = Place(("America/New_York", "Europe/Berlin"), ())
    assert quiet_until(night, far, channel="sms", now=utc("2026-05-13T18:58")) is None
    assert quiet_until(night, far, channel="sms", now=utc("2026-05-13T19:01")) is not None
    turned = Place(far.zones[::-1], ())
    assert quiet_until(night, turned, channel="sms", now=utc("2026-05-13T18:58")) is None
    assert quiet_until(night, turned, channel="sms", now=utc("2026-05-13T19:01")) is not None
    late = own(atlas, "02:30", "01:00")  # allowed from 01:00 to 02:30, which the gap cuts short
    assert quiet_until(late, place, channel="sms", now=utc("2026-03-29T00:30")) is None
    assert quiet_until(late, place, channel="sms", now=utc("2026-03-29T01:10")) is not None


@pytest.mark.parametrize(
    ("person", "zones"),
    [
        (("Asia/Tokyo", "DE", "+12125550123"), ("Asia/Tokyo",)),
        (("US/Eastern", None, None), ("US/Eastern",)),
        (("Mars/Olympus", "JP", None), ("Asia/Tokyo",)),  # an unknown zone is none
        ((None, "DE", "+12125550123"), ("Europe/Berlin", "Europe/Busingen")),
        ((None, "ZZ", "+81312345678"), ("Asia/Tokyo",)),  # so is an unknown country
        ((None, None, "+81312345678"), ("Asia/Tokyo",)),
        ((None, None, "+9999999999"), ("UTC",)),
        ((None, None, "+870773111632"), ("UTC",)),  # a satellite telephone
        ((None, None, None), ("UTC",)),
        (("", "", ""), ("UTC",)),
    ],
)
def test_c12_zones_are_the_persons_else_all_that_are_possible(
    atlas: Atlas, person: tuple[str | None, str | None, str | None], zones: tuple[str, ...]
) -> None:
    """C12: zone, else country, else the number's country, else UTC."""
    timezone, country, phone = person
    assert zones_of(atlas, timezone=timezone, country=country, phone=phone) == zones


def zones_of(
    atlas: Atlas, *, timezone: str | None = None, country: str | None = None, phone: str | None
) -> tuple[str, ...]:
    return place_of(atlas, timezone=timezone, country=country, phone=phone, region=None).zones


def test_c12_a_number_stands_for_its_whole_country(atlas: Atlas) -> None:
    """C12: an area code moves with its owner, so a New York number has all American zones."""
    zones = zones_of(atlas, timezone=None, country=None, phone="+12125550123")
    assert {"Pacific/Honolulu", "America/New_York", "America/Adak"} <= set(zones)
    assert "America/Toronto" not in zones
    assert "America/Toronto" in zones_of(atlas, timezone=None, country=None, phone="+14165550123")
    shared = zones_of(atlas, timezone=None, country=None, phone="+10005550123")
    assert {"Pacific/Honolulu", "America/Toronto", "America/Jamaica"} <= set(shared)
    assert zones_of(atlas, timezone=None, country=None, phone="+38344123456")  # no row in zone.tab


def test_the_law_is_that_of_the_country_else_the_number_else_the_zone(atlas: Atlas) -> None:
    """Who says where he lives is believed."""
    ask = {"timezone": "Europe/Paris", "country": "US", "phone": "+919812345678", "region": 7}
    assert place_of(atlas, **ask) == Place(("Europe/Paris",), ("US",))
    assert place_of(atlas, **{**ask, "country": None}).countries == ("IN",)
    assert place_of(atlas, **{**ask, "country": None, "phone": None}).countries == ("FR",)
    unknown = {"timezone": None, "country": None, "phone": None, "region": "IDF"}
    assert place_of(atlas, **unknown) == Place(("UTC",), (), "IDF")


def test_easter_falls_on_its_sundays() -> None:
    """The rule against dates from the calendar, the extremes among them."""
    known = ["1818-03-22", "1943-04-25", "2000-04-23", "2024-03-31", "2025-04-20", "2026-04-05"]
    known += ["2027-03-28", "2028-04-16", "2038-04-25"]
    for text in known:
        day = date.fromisoformat(text)
        assert easter(day.year) == day


def test_every_packaged_rule_says_where_it_comes_from() -> None:
    """The table is checked when read, and rules for voice calls in it are not applied."""
    laws = load_laws()
    countries = {country for row in laws.rows for country in row.countries}
    assert {"US", "FR", "IN", "KR"} <= countries
    assert not {"AU", "CA"} & countries
    assert len(laws.regions["US"]) == 51
    text = (Path(gateway.__file__).parent / "jurisdictions.toml").read_text()
    assert "A LAWYER MUST READ AND EDIT THIS FILE" in text.split("[[law]]")[0]
    assert len(tomllib.loads(text)["law"]) > len(laws.rows)


def test_the_zones_of_a_region_are_zones_of_its_country(atlas: Atlas) -> None:
    """A slip in a zone's name would switch a state's rule off in silence."""
    for row in load_laws().rows:
        for zone in row.zones:
            assert atlas.country_of[zone] in row.countries


LAW = """
[regions]
US = ["TX"]
[[law]]
countries = ["US"]
channels = ["sms"]
allowed = { mon-sat = [["08:00", "20:00"]] }
source = "a statute"
as_of = 2026-01-01
"""


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('source = "a statute"', "", "law[0].source"),
        ('"a statute"', '" "', "law[0].source"),
        ("2026-01-01", '"2026"', "law[0].as_of"),
        ('["US"]\nchannels', '["USA"]\nchannels', "law[0].countries"),
        ('["sms"]', '["voice"]', "law[0].channels"),
        ("mon-sat", "mon-sut", "law[0].allowed.mon-sut"),
        ("mon-sat", "sat-mon", "law[0].allowed.sat-mon"),
        ("mon-sat =", 'sat = [["08:00", "20:00"]], mon-sat =', "law[0].allowed.mon-sat"),
        ('"20:00"', '"07:00"', "law[0].allowed.mon-sat"),
        ('"20:00"', '"24:01"', "law[0].allowed.mon-sat"),
        ('[["08:00", "20:00"]]', '["08:00", "20:00"]', "law[0].allowed.mon-sat"),
        ("as_of", 'holidays = ["02-30"]\nas_of', "law[0].holidays"),
        ("as_of", 'holidays = ["xmas"]\nas_of', "law[0].holidays"),
        ("as_of", 'region = "NY"\nzones = ["America/New_York"]\nas_of', "law[0].region"),
        ("as_of", 'region = "TX"\nas_of', "law[0].zones"),
        ("as_of", 'applied = "no"\nas_of', "law[0].applied"),
        ("as_of", 'hours = ""\nas_of', "law[0].hours"),
        ("[regions]", "[states]", "states"),
        ("US =", "USA =", "regions.USA"),
    ],
)
def test_a_slip_in_the_table_of_rules_is_told(old: str, new: str, key: str) -> None:
    """Who edits the table is told the key; nothing unknown is passed over."""
    assert parse_laws(LAW).rows
    with pytest.raises(TomlFault) as raised:
        parse_laws(LAW.replace(old, new, 1))
    assert raised.value.key == key


def test_one_date_is_a_holiday_once(atlas: Atlas) -> None:
    """A date with its year holds in that year only."""
    laws = parse_laws(LAW.replace("as_of", 'holidays = ["2026-05-13"]\nas_of'))
    rules = QuietRules(Quiet({}, jurisdictions=True), laws, atlas)
    place = Place(("UTC",), ("US",))
    noon = utc("2026-05-13T12:00")
    assert quiet_until(rules, place, channel="sms", now=noon) == utc("2026-05-14T08:00")
    assert quiet_until(rules, place, channel="sms", now=noon.replace(year=2027)) is None


def test_hours_that_hold_together_keep_the_holidays_of_both() -> None:
    """Two laws: a day that either closes is closed, and the next allowed time is past both."""
    day = ((480, 1200),)
    first = Hours((day,) * 7, Holidays(yearly=frozenset({(5, 13)})))
    second = Hours((day,) * 7, Holidays(dates=frozenset({date(2026, 5, 14)})))
    for both in (first & second, second & first):
        local = datetime(2026, 5, 13, 7)  # noqa: DTZ001 - hours know only the wall clock
        assert both.next_allowed(local) == datetime(2026, 5, 15, 8)  # noqa: DTZ001 - as above
        assert both.next_allowed(local.replace(year=2027)) == datetime(2027, 5, 14, 8)  # noqa: DTZ001
