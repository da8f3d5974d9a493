from __future__ import annotations

import random
from math import sqrt

import pytest

from gateway.core.lift import Lift, lift, wilson

# R. G. Newcombe, Statistics in Medicine 17 (1998), 873-890, table II, method 10.
PUBLISHED = [
    ((56, 70, 48, 80), (0.0524, 0.3339)),
    ((9, 10, 3, 10), (0.1705, 0.8090)),
    ((6, 7, 2, 7), (0.0582, 0.8062)),
    ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ((0, 10, 0, 20), (-0.1611, 0.2775)),
    ((0, 10, 0, 10), (-0.2775, 0.2775)),
    ((10, 10, 0, 20), (0.6791, 1.0000)),
    ((10, 10, 0, 10), (0.6075, 1.0000)),
]


def some(counts: tuple[int, int, int, int]) -> Lift:
    """The lift of counts that have one."""
    found = lift(*counts)
    assert found is not None
    return found


@pytest.mark.parametrize(("counts", "interval"), PUBLISHED)
def test_the_interval_is_the_published_one(
    counts: tuple[int, int, int, int], interval: tuple[float, float]
) -> None:
    """The examples of the paper that the method comes from, to its four places."""
    found = some(counts)
    assert (found.low, found.high) == pytest.approx(interval, abs=5e-5)


def test_the_lift_is_a_difference_and_a_ratio() -> None:
    """15 % of the written to and 10 % of the held out: 5 points, half as much again."""
    found = some((150, 1000, 10, 100))
    assert found.absolute == pytest.approx(0.05)
    assert found.relative == pytest.approx(0.5)
    assert found.as_dict() == {
        "absolute": found.absolute,
        "interval": [found.low, found.high],
        "confidence": 0.95,
        "relative": found.relative,
    }


def test_a_message_that_drives_people_away_has_a_negative_lift() -> None:
    """The sign is that of the messages, and sides that change places change it."""
    found, other = some((10, 100, 150, 1000)), some((150, 1000, 10, 100))
    assert found.absolute == pytest.approx(-0.05)
    assert (found.low, found.high) == pytest.approx((-other.high, -other.low))


@pytest.mark.parametrize("counts", [(0, 0, 0, 0), (3, 10, 0, 0), (0, 0, 3, 10)])
def test_without_somebody_on_both_sides_there_is_no_lift(counts: tuple[int, int, int, int]) -> None:
    """Nothing is compared with nobody."""
    assert lift(*counts) is None


def test_no_ratio_to_nothing() -> None:
    """Where nobody who was held out returned, only the difference is known."""
    assert some((5, 100, 0, 50)).relative is None
    assert some((0, 100, 0, 50)).relative is None


def test_one_person_held_out_tells_next_to_nothing() -> None:
    """A hold-out that is too small shows in its interval, not in a bold figure."""
    found = some((500, 1000, 0, 1))
    assert found.high - found.low > 0.7


def test_four_times_the_people_halve_the_interval() -> None:
    """The interval is no wider than it must be."""
    few, many = some((150, 1000, 100, 1000)), some((600, 4000, 400, 4000))
    ratio = (few.high - few.low) / (many.high - many.low)
    assert ratio == pytest.approx(2, rel=0.01)
    normal = 2 * 1.96 * sqrt(0.15 * 0.85 / 4000 + 0.1 * 0.9 / 4000)
    assert many.high - many.low == pytest.approx(normal, rel=0.01)


def test_the_difference_is_inside_and_the_interval_possible() -> None:
    """For all small counts: low <= difference <= high, within -1 and 1."""
    for targeted in range(1, 9):
        for held in range(1, 9):
            for returned in range(targeted + 1):
                for came_back in range(held + 1):
                    found = some((returned, targeted, came_back, held))
                    assert -1 - 1e-12 <= found.low <= found.absolute <= found.high <= 1 + 1e-12


def test_a_share_is_inside_its_own_interval() -> None:
    """Wilson's interval of none and of all begins and ends where shares do."""
    assert wilson(0, 20)[0] == 0
    assert wilson(20, 20)[1] == pytest.approx(1)
    assert wilson(0, 20)[1] == pytest.approx(1 - wilson(20, 20)[0])


def test_a_simulated_lift_is_found_in_19_of_20_runs() -> None:
    """Five points of lift, a tenth held out: the interval holds them in about 95 % of 1,000 runs.

    1,000 runs at 95 % vary by 0.7 points (one standard deviation); three of them are allowed.
    """
    source = random.Random(20261125)  # noqa: S311 - the same people in every run

    def came(people: int, rate: float) -> int:
        return sum(source.random() < rate for _ in range(people))

    held = 0
    for _ in range(1000):
        found = some((came(1800, 0.15), 1800, came(200, 0.10), 200))
        held += found.low <= 0.05 <= found.high
    spread = sqrt(0.95 * 0.05 / 1000)
    assert abs(held / 1000 - 0.95) <= 3 * spread
