from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from gateway import policies
from gateway.core.policy import Cap, GeoPolicy, Quiet, capped, lookback, parse
from gateway.errors import SettingsError

NOW = datetime(2026, 5, 13, 12, tzinfo=UTC)
MS = timedelta(milliseconds=1)
DAY = timedelta(days=1)
ALL = frozenset({"email", "sms", "push"})


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    return file


def test_the_packaged_policy_has_quiet_hours_and_no_caps() -> None:
    """What holds when nobody wrote a policy is what the contract prints."""
    policy = policies.load_policy(None)
    assert policy.caps == ()
    assert policy.quiet == Quiet(
        {"sms": (time(21), time(8)), "push": (time(22), time(8))}, jurisdictions=True
    )
    assert policy.doubt_wait == timedelta(minutes=15)
    assert policy.attribution == {"email": 5 * DAY, "sms": DAY, "push": DAY}
    assert policy.geo == GeoPolicy(timedelta(minutes=2), 100.0, DAY)


def test_a_written_table_replaces_the_packaged_one_whole(tmp_path: Path) -> None:
    """A key left out is off, a table left out is the packaged one."""
    text = '[quiet_hours]\nemail = ["22:30", "07:15"]\n[geo]\naccuracy_m = 50.5\n[in_doubt]\n'
    policy = policies.load_policy(written(tmp_path, text))
    assert policy.quiet == Quiet({"email": (time(22, 30), time(7, 15))}, jurisdictions=False)
    assert policy.geo == GeoPolicy(None, 50.5, None)
    assert policy.doubt_wait == timedelta(0)
    assert policy.attribution == policies.load_policy(None).attribution


def test_every_cap_of_the_file_is_read_in_order(tmp_path: Path) -> None:
    """Any number of caps, each with its own channels."""
    text = (
        '[[caps]]\nwindow = "P7D"\nmax = 3\nchannels = ["email", "sms", "push"]\n'
        '[[caps]]\nwindow = "PT1H"\nmax = 1\nchannels = ["sms"]\n'
    )
    assert policies.load_policy(written(tmp_path, text)).caps == (
        Cap(7 * DAY, 3, ALL),
        Cap(timedelta(hours=1), 1, frozenset({"sms"})),
    )


CAP = '[[caps]]\nwindow = "P7D"\nmax = 3\nchannels = ["sms"]\n'


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[quite_hours]\n", "quite_hours:"),
        ("max = 3\n", "max:"),
        ('[quiet_hours]\nsmss = ["21:00", "08:00"]\n', "quiet_hours.smss:"),
        (f"{CAP}per = 1\n", "caps[0].per:"),
        (f'{CAP}[[caps]]\nmax = 3\nchannels = ["sms"]\n', "caps[1].window: is missing"),
        ('[[caps]]\nwindow = "P7D"\nchannels = ["sms"]\n', "caps[0].max: is missing"),
        ('[[caps]]\nwindow = "P7D"\nmax = 3\n', "caps[0].channels: is missing"),
        (CAP.replace("3", "0"), "caps[0].max:"),
        (CAP.replace("3", "true"), "caps[0].max:"),
        (CAP.replace("P7D", "7 days"), "caps[0].window:"),
        (CAP.replace('"P7D"', "7"), "caps[0].window:"),
        (CAP.replace("P7D", "PT0S"), "caps[0].window:"),
        (CAP.replace('["sms"]', '["sms", "fax"]'), "caps[0].channels:"),
        (CAP.replace('["sms"]', '["sms", "sms"]'), "caps[0].channels:"),
        (CAP.replace('["sms"]', "[]"), "caps[0].channels:"),
        (CAP.replace('["sms"]', '"sms"'), "caps[0].channels:"),
        ("[caps]\nmax = 3\n", "caps: must be tables: [[caps]]"),
        ("quiet_hours = 1\n", "quiet_hours: must be a table"),
        ('[quiet_hours]\nsms = "21:00"\n', "quiet_hours.sms:"),
        ('[quiet_hours]\nsms = ["21:00"]\n', "quiet_hours.sms:"),
        ('[quiet_hours]\nsms = ["9:00", "08:00"]\n', "quiet_hours.sms:"),
        ('[quiet_hours]\nsms = ["24:00", "08:00"]\n', "quiet_hours.sms:"),
        ('[quiet_hours]\nsms = ["²1:00", "08:00"]\n', "quiet_hours.sms:"),
        ("[quiet_hours]\nsms = [21, 8]\n", "quiet_hours.sms:"),
        ('[quiet_hours]\nsms = ["08:00", "08:00"]\n', "quiet_hours.sms:"),
        ('[quiet_hours]\njurisdictions = "yes"\n', "quiet_hours.jurisdictions:"),
        ('[in_doubt]\nwait = "15m"\n', "in_doubt.wait:"),
        ('[in_doubt]\nwaits = "PT15M"\n', "in_doubt.waits:"),
        ('[attribution]\nfax = "P1D"\n', "attribution.fax:"),
        ('[attribution]\nsms = "P1M"\n', "attribution.sms:"),
        ("[geo]\naccuracy_m = -1\n", "geo.accuracy_m:"),
        ("[geo]\naccuracy_m = inf\n", "geo.accuracy_m:"),
        ("[geo]\nradius_m = 1\n", "geo.radius_m:"),
        ("[geo\n", "line 1"),
        ("[geo]\n[geo]\n", "line 2"),
    ],
)
def test_a_mistake_names_the_variable_the_file_and_the_key(
    tmp_path: Path, text: str, key: str
) -> None:
    """Unknown tables and keys and wrong values stop the start, in one line."""
    file = written(tmp_path, text)
    with pytest.raises(SettingsError) as raised:
        policies.load_policy(file)
    said = str(raised.value)
    assert said.startswith(f"WINBACK_POLICY__FILE: {file}: ")
    assert key in said
    assert "\n" not in said


def test_a_file_that_cannot_be_read_is_a_wrong_setting(tmp_path: Path) -> None:
    """Missing, a folder, not UTF-8, or far too large: the start stops with the file's name."""
    odd, large = tmp_path / "odd.toml", tmp_path / "large.toml"
    odd.write_bytes(b"\xff\xfe")
    large.write_bytes(b"#" * (policies.FILE_BYTES_MAX + 1))
    for file in (tmp_path / "none.toml", tmp_path, odd, large):
        with pytest.raises(SettingsError, match=f"WINBACK_POLICY__FILE: {file}: "):
            policies.load_policy(file)


def test_an_empty_policy_over_an_empty_one_holds_nothing_back() -> None:
    """Everything that is left out is off."""
    policy = parse("", "")
    assert policy.caps == ()
    assert policy.quiet == Quiet({}, jurisdictions=False)
    assert policy.attribution == {}


@pytest.mark.parametrize(
    ("ages", "is_capped"),
    [
        ([], False),
        ([timedelta(hours=1)], False),
        ([timedelta(hours=1), timedelta(0)], True),
        ([timedelta(hours=1), DAY - MS], True),
        ([timedelta(hours=1), DAY], False),
        ([DAY, DAY, DAY], False),
        ([timedelta(hours=1), -timedelta(seconds=2)], True),
    ],
)
def test_caps_roll_to_the_millisecond(ages: list[timedelta], is_capped: bool) -> None:  # noqa: FBT001
    """Two a day: a message of just under a day ago counts, one of exactly a day ago does not."""
    cap = Cap(DAY, 2, ALL)
    touches = [("email", NOW - age) for age in ages]
    assert capped([cap], touches, channel="sms", now=NOW) == (cap if is_capped else None)


def test_a_cap_counts_and_holds_its_own_channels_only() -> None:
    """A cap on two channels counts both together and lets the third pass."""
    cap = Cap(DAY, 2, frozenset({"sms", "push"}))
    mixed = [("sms", NOW - MS), ("push", NOW - MS)]
    assert capped([cap], mixed, channel="push", now=NOW) is cap
    assert capped([cap], mixed, channel="email", now=NOW) is None
    assert capped([cap], [("sms", NOW - MS), ("email", NOW)], channel="sms", now=NOW) is None


def test_the_first_cap_that_is_full_is_named() -> None:
    """Of several caps each holds; the decision record gets the one that stopped it."""
    wide, narrow = Cap(7 * DAY, 3, ALL), Cap(timedelta(hours=1), 1, ALL)
    touches = [("email", NOW - timedelta(minutes=5))]
    assert capped([wide, narrow], touches, channel="email", now=NOW) is narrow
    assert lookback([narrow, wide]) == 7 * DAY
    assert lookback([]) == timedelta(0)
