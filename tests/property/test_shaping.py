from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from channels.contract import Accepted, Deferred, Misconfigured, Throttled, Uncertain, Withheld
from gateway.core import shaping

steps = st.lists(st.tuples(st.floats(0, 2), st.integers(0, 50)), min_size=1, max_size=60)
rates = st.floats(0.1, 500)


@given(rates, st.floats(1, 20), steps)
def test_a_bucket_never_exceeds_its_rate_over_any_window(
    rate: float, burst: float, calls: list[tuple[float, int]]
) -> None:
    """In every window between two calls at most `rate * w + burst` tokens are granted."""
    now_s, state = 0.0, shaping.bucket(rate, 0.0, burst=burst)
    granted_at: list[tuple[float, int]] = []
    for gap_s, wanted in calls:
        now_s += gap_s
        state, granted, wait_s = shaping.take(state, now_s, wanted)
        assert 0 <= granted <= wanted
        assert (wait_s == 0) is (granted == wanted) or wait_s < 1e-6
        granted_at.append((now_s, granted))
    for first, (start_s, _) in enumerate(granted_at):
        total = 0
        for end_s, granted in granted_at[first:]:
            total += granted
            assert total <= rate * (end_s - start_s) + burst + 1e-6


@given(rates, steps)
def test_the_wait_is_long_enough_and_not_too_long(
    rate: float, calls: list[tuple[float, int]]
) -> None:
    """After the wait there is a token; half the wait before, there is none."""
    now_s, state = 0.0, shaping.bucket(rate, 0.0)
    for gap_s, wanted in calls:
        now_s += gap_s
        state, _, wait_s = shaping.take(state, now_s, wanted)
        if wait_s > 1e-6:
            assert shaping.take(state, now_s + wait_s, 1)[1] == 1
            assert shaping.take(state, now_s + wait_s / 2, 1)[1] == 0


OUTCOMES = (
    Accepted("id"),
    Deferred("503"),
    Uncertain("504"),
    Misconfigured("401"),
    Throttled(),
    Withheld(),
)


@given(st.lists(st.tuples(st.floats(0, 400), st.sampled_from(OUTCOMES)), max_size=60))
def test_d16_a_breaker_always_lets_a_probe_through_in_the_end(
    told: list[tuple[float, shaping.Outcome]],
) -> None:
    """D16: whatever was heard, a call is admitted again after the longest wait, and only one."""
    now_s, breaker = 0.0, shaping.Breaker()
    for gap_s, outcome in told:
        now_s += gap_s
        breaker, _ = shaping.admit(breaker, now_s)
        breaker = shaping.heard(breaker, outcome, now_s=now_s)
    later_s = now_s + shaping.OPEN_S_MAX + shaping.PROBE_S_MAX
    breaker, admitted = shaping.admit(breaker, later_s)
    assert admitted
    assert shaping.admit(breaker, later_s)[1] is not shaping.is_open(breaker)
