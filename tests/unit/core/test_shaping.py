from __future__ import annotations

import pytest

from channels.contract import (
    Accepted,
    Deferred,
    Misconfigured,
    Outcome,
    Refused,
    Throttled,
    Uncertain,
    Withheld,
)
from gateway.core import shaping
from gateway.core.shaping import Breaker, Pace

# --- bucket ---------------------------------------------------------------------------------


def test_a_bucket_grants_its_burst_then_its_rate() -> None:
    """A full bucket pays out its burst at once, then as much as flows in."""
    state = shaping.bucket(10, 0.0, burst=5)
    state, granted, wait_s = shaping.take(state, 0.0, 8)
    assert (granted, wait_s) == (5, pytest.approx(0.1))
    state, granted, _ = shaping.take(state, wait_s, 8)
    assert granted == 1
    state, granted, wait_s = shaping.take(state, 100.0, 5)
    assert (granted, wait_s) == (5, 0.0)


def test_rate_0_is_no_limit() -> None:
    """Nothing is held back and nothing is counted."""
    state = shaping.bucket(0, 0.0)
    assert shaping.take(state, 0.0, 10_000) == (state, 10_000, 0.0)


def test_a_slow_rate_waits_for_a_whole_token() -> None:
    """Less than one a second still grants one at a time."""
    state, granted, _ = shaping.take(shaping.bucket(0.5, 0.0), 0.0, 1)
    assert granted == 1
    _, granted, wait_s = shaping.take(state, 1.0, 1)
    assert (granted, wait_s) == (0, pytest.approx(1.0))


def test_a_clock_that_goes_back_pays_nothing_twice() -> None:
    """The same second is never paid out again."""
    state, _, _ = shaping.take(shaping.bucket(1, 10.0), 10.0, 1)
    state, granted, _ = shaping.take(state, 5.0, 1)
    assert granted == 0
    _, granted, _ = shaping.take(state, 10.5, 1)
    assert granted == 0


# --- pace -----------------------------------------------------------------------------------


def test_throttling_holds_the_lane_and_halves_its_share() -> None:
    """After *too fast* nothing goes until the hold ends, then half as much, then slowly more."""
    pace = shaping.throttled(Pace(), 100.0, retry_after_s=30)
    assert shaping.is_held(pace, 129.9)
    assert not shaping.is_held(pace, 130.0)
    assert shaping.share_now(pace, 130.0) == 0.5
    assert shaping.share_now(pace, 140.0) == pytest.approx(0.6)
    assert shaping.share_now(pace, 1000.0) == 1.0


def test_one_burst_halves_once() -> None:
    """Many answers to one burst are one sign, but the longest hold counts."""
    pace = shaping.throttled(Pace(), 100.0, retry_after_s=10)
    pace = shaping.throttled(pace, 100.1, retry_after_s=60)
    assert pace.held_until_s == pytest.approx(160.1)
    assert shaping.share_now(pace, 160.1) == 0.5
    again = shaping.throttled(pace, 161.0, retry_after_s=None)
    assert shaping.share_now(again, 161.0) == pytest.approx(0.2545)


def test_the_share_never_reaches_zero() -> None:
    """A lane that is always told off still tries."""
    pace = Pace()
    for second in range(0, 1000, 10):
        pace = shaping.throttled(pace, float(second), retry_after_s=1)
    assert shaping.share_now(pace, 991.0) >= shaping.SHARE_MIN


# --- breaker --------------------------------------------------------------------------------


def fail(breaker: Breaker, times: int, outcome: Outcome, now_s: float = 0.0) -> Breaker:
    for _ in range(times):
        breaker = shaping.heard(breaker, outcome, now_s=now_s)
    return breaker


@pytest.mark.parametrize("outcome", [Deferred("503"), Uncertain("timeout")])
def test_d16_failures_in_a_row_open_it(outcome: Outcome) -> None:
    """D16: deferrals and doubts count alike; one fewer than the limit leaves it closed."""
    almost = fail(Breaker(), shaping.FAILURES_MAX - 1, outcome)
    assert shaping.admit(almost, 0.0)[1]
    assert not shaping.admit(fail(almost, 1, outcome), 0.0)[1]


@pytest.mark.parametrize("outcome", [Accepted("id"), Refused("no such user")])
def test_a_clear_answer_starts_the_count_again(outcome: Outcome) -> None:
    """A provider that says yes or no is well."""
    almost = fail(Breaker(), shaping.FAILURES_MAX - 1, Deferred("503"))
    assert shaping.heard(almost, outcome, now_s=0.0) == Breaker()


def test_misconfigured_opens_it_at_once() -> None:
    """A wrong key is wrong for every message."""
    breaker = shaping.heard(Breaker(), Misconfigured("401"), now_s=0.0)
    assert shaping.is_open(breaker)


def test_d16_one_probe_at_a_time() -> None:
    """D16: after the wait a single call goes through, and its success closes the breaker."""
    breaker = shaping.heard(Breaker(), Misconfigured("401"), now_s=0.0)
    breaker, admitted = shaping.admit(breaker, shaping.OPEN_S_FIRST)
    assert admitted
    breaker, second = shaping.admit(breaker, shaping.OPEN_S_FIRST + 1)
    assert not second
    closed = shaping.heard(breaker, Accepted("id"), now_s=20.0)
    assert closed == Breaker()


def test_a_failed_probe_waits_twice_as_long() -> None:
    """Each failed probe doubles the wait, up to five minutes; late answers do not."""
    breaker = shaping.heard(Breaker(), Misconfigured("401"), now_s=0.0)
    assert shaping.heard(breaker, Deferred("late"), now_s=1.0) == breaker
    breaker, _ = shaping.admit(breaker, 15.0)
    breaker = shaping.heard(breaker, Deferred("503"), now_s=15.0)
    assert breaker.open_until_s == 45.0
    for _ in range(20):
        now_s = breaker.open_until_s or 0.0
        breaker, _ = shaping.admit(breaker, now_s)
        breaker = shaping.heard(breaker, Uncertain("504"), now_s=now_s)
        assert (breaker.open_until_s or 0.0) - now_s <= shaping.OPEN_S_MAX


@pytest.mark.parametrize("outcome", [Withheld(), Throttled()])
def test_a_probe_that_says_nothing_leaves_its_place(outcome: Outcome) -> None:
    """A probe that was withheld or throttled lets the next one go."""
    breaker = shaping.heard(Breaker(), Misconfigured("401"), now_s=0.0)
    breaker, _ = shaping.admit(breaker, 15.0)
    breaker = shaping.heard(breaker, outcome, now_s=15.0)
    assert shaping.admit(breaker, 15.0)[1]


def test_a_lost_probe_does_not_close_the_lane_for_ever() -> None:
    """A probe nobody heard of again counts as lost after a minute."""
    breaker = shaping.heard(Breaker(), Misconfigured("401"), now_s=0.0)
    breaker, _ = shaping.admit(breaker, 15.0)
    assert shaping.admit(breaker, 15.0 + shaping.PROBE_S_MAX)[1]
