from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core import retry

draws = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 10_000), draws, st.none() | st.floats(0, 86_400))
def test_d9_gaps_are_bounded_and_honour_the_provider(
    before: int, draw: float, asked_s: float | None
) -> None:
    """D9: never under Retry-After, never over what both ceilings allow."""
    gap_s = retry.next_gap(before, draw, asked_s)
    assert gap_s >= (asked_s or 0)
    assert 15 <= gap_s <= max(900, (asked_s or 0) * 1.1)


@given(draws, draws)
def test_d9_the_first_retry_comes_within_30_s(first: float, second: float) -> None:
    """D9: the first gap is at most 30 s; a later gap is never under an earlier one's least."""
    assert retry.next_gap(0, first, None) <= 30
    for before in range(8):
        assert retry.next_gap(before + 1, second, None) >= retry.next_gap(before, 0.0, None)
