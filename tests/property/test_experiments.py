from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.experiments import Arm, arm
from gateway.core.request import Experiment, Variant

PEOPLE: Sequence[bytes] = [f"person-{number}".encode() for number in range(20_000)]
NAMES = ("spring", "spring-2", "s", "prøve", "a:b")
# Draws are hashes: a test that passes once passes always. 1 in 10,000 would fail by bad luck of
# the names; with two degrees of freedom, chi-square is over -2 ln p with probability p.
CHI_SQUARE_MAX = -2 * log(1e-4)

weights = st.floats(0.01, 100)
people = st.lists(st.binary(min_size=1, max_size=16), min_size=1, max_size=60, unique=True)
shares = st.dictionaries(st.text(min_size=1, max_size=8), weights, min_size=1, max_size=6)


def of(name: str, shares: Mapping[str, float], holdout: float = 0.0) -> Experiment:
    """An experiment with these weights."""
    return Experiment(name, [Variant(one, weight) for one, weight in shares.items()], holdout)


def chi_square(counts: Counter[str | None], expected: Mapping[str, float]) -> float:
    """How far counts are from what weights let expect."""
    people, total = sum(counts.values()), sum(expected.values())
    return sum(
        (counts[one] - people * weight / total) ** 2 / (people * weight / total)
        for one, weight in expected.items()
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ratio", [(1, 1, 1), (5, 3, 2), (90, 9, 1), (0.1, 0.1, 0.8)])
def test_weights_are_respected(name: str, ratio: tuple[float, float, float]) -> None:
    """Of 20,000 people each arm gets its share, also beside a hold-out."""
    expected = dict(zip("abc", ratio, strict=True))
    for holdout in (0.0, 0.3):
        experiment = of(name, expected, holdout)
        drawn = [arm(experiment, person) for person in PEOPLE]
        counts = Counter(one.variant for one in drawn if not one.is_holdout)
        assert chi_square(counts, expected) < CHI_SQUARE_MAX
        held = sum(one.is_holdout for one in drawn)
        assert abs(held - holdout * len(PEOPLE)) <= 4 * sqrt(len(PEOPLE) * holdout * (1 - holdout))


def test_experiments_with_other_names_draw_on_their_own() -> None:
    """Who has one arm here has any arm there: nine cells, each a ninth."""
    even = {"a": 1.0, "b": 1.0, "c": 1.0}
    first, second = of("spring", even), of("autumn", even)
    of_first: dict[str | None, Counter[str | None]] = {one: Counter() for one in even}
    for person in PEOPLE:
        of_first[arm(first, person).variant][arm(second, person).variant] += 1
    assert all(chi_square(counts, even) < CHI_SQUARE_MAX for counts in of_first.values())


@given(st.text(min_size=1, max_size=16), shares, st.floats(0, 1), people)
def test_an_arm_depends_on_the_name_the_weights_and_the_person_alone(
    name: str, shares: dict[str, float], holdout: float, people: list[bytes]
) -> None:
    """Not on the order of variants, nor on what they hold, nor on the scale of their weights."""
    experiment = of(name, shares, holdout)
    turned = Experiment(
        name,
        [Variant(one, weight * 4, template="t") for one, weight in reversed(shares.items())],
        holdout,
    )
    for person in people:
        drawn = arm(experiment, person)
        assert drawn == arm(turned, person)
        assert drawn.is_holdout is (drawn.variant is None)


@given(shares, st.floats(0, 1), st.floats(0, 1), people)
def test_a_larger_holdout_only_takes_people_in(
    shares: dict[str, float], one: float, other: float, people: list[bytes]
) -> None:
    """Who was held out stays so; who is not keeps the arm."""
    small, large = of("spring", shares, min(one, other)), of("spring", shares, max(one, other))
    for person in people:
        before, after = arm(small, person), arm(large, person)
        assert after == before or after == Arm(None, is_holdout=True)


@given(shares, st.text(min_size=1, max_size=8), st.floats(1.01, 50), people)
def test_more_weight_or_a_new_variant_only_draws_people_to_itself(
    shares: dict[str, float], grown: str, factor: float, people: list[bytes]
) -> None:
    """Nobody is moved between the other arms."""
    before = of("spring", shares)
    after = of("spring", {**shares, grown: shares.get(grown, 1.0) * factor})
    for person in people:
        was, now = arm(before, person), arm(after, person)
        assert now == was or now.variant == grown


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 0.95))
def test_no_more_people_move_than_must(share: float) -> None:
    """A new variant takes its share from each of the others, and not more."""
    some = PEOPLE[:4000]
    before = of("spring", {"a": 1, "b": 1})
    after = of("spring", {"a": 1, "b": 1, "new": 2 * share / (1 - share)})
    moved = Counter(
        arm(before, person).variant for person in some if arm(before, person) != arm(after, person)
    )
    spread = sqrt(len(some) * share * (1 - share))
    assert abs(sum(moved.values()) - share * len(some)) <= 6 * spread
    assert abs(moved["a"] - moved["b"]) <= 6 * spread
