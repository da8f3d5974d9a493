from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.core import retry

START = datetime(2026, 5, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "ceiling_s"), [(0, 30), (1, 60), (2, 120), (3, 240), (4, 480), (5, 900), (99, 900)]
)
def test_d9_the_ceiling_doubles_from_30_s_to_15_min(before: int, ceiling_s: float) -> None:
    """D9: the gap lies in the upper half of its ceiling."""
    assert retry.next_gap(before, 0.0, None) == ceiling_s / 2
    assert ceiling_s * 0.99 < retry.next_gap(before, 0.999, None) < ceiling_s


@pytest.mark.parametrize(
    ("asked_s", "least_s"), [(120.0, 120.0), (1.0, 15.0), (0.0, 15.0), (-5.0, 15.0)]
)
def test_d9_retry_after_is_not_undercut(asked_s: float, least_s: float) -> None:
    """D9: the provider's word is a lower bound, our own gap another."""
    assert retry.next_gap(0, 0.0, asked_s) == least_s


@pytest.mark.parametrize("asked_s", [float("nan"), float("inf"), 1e300])
def test_a_mad_retry_after_does_no_harm(asked_s: float) -> None:
    """Whatever a header says, the gap can be added to a time."""
    assert START + timedelta(seconds=retry.next_gap(0, 0.5, asked_s)) > START


def test_a_cut_retry_after_always_ends_in_giving_up() -> None:
    """The bound on Retry-After lies above the age limit: a cut one never comes early."""
    due = START + timedelta(seconds=retry.next_gap(0, 0.0, 7 * 86_400.0))
    assert retry.gives_up(START, due, None)


@pytest.mark.parametrize(
    ("due_in", "expires_in", "ends"),
    [
        (timedelta(hours=1), None, False),
        (timedelta(hours=24), None, False),
        (timedelta(hours=24, seconds=1), None, True),
        (timedelta(hours=1), timedelta(hours=2), False),
        (timedelta(hours=2), timedelta(hours=2), True),
    ],
)
def test_d9_given_up_by_age_or_expiry(
    due_in: timedelta, expires_in: timedelta | None, *, ends: bool
) -> None:
    """D9: no attempt after 24 h, none at or after expiry."""
    expires_at = None if expires_in is None else START + expires_in
    assert retry.gives_up(START, START + due_in, expires_at) is ends
