from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from gateway.core.coupons import (
    ALPHABET,
    CODE_CHARS_MAX,
    PREFIX_CHARS_MAX,
    RANDOM_BYTES,
    RANDOM_CHARS,
    Redeemed,
    as_typed,
    is_well_formed,
    new_code,
    redeemed,
)

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def code_of(number: int, prefix: str = "") -> str:
    """The code that these random bits make."""
    return new_code(lambda count: number.to_bytes(count, "big"), prefix)


# --- codes --------------------------------------------------------------------------------------


def test_s15_each_of_65_random_bits_counts() -> None:
    """S15: as many bits as are drawn are in the code: at least 60, and no two draws meet."""
    zero = code_of(0)
    one_bit = {code_of(1 << bit) for bit in range(5 * RANDOM_CHARS)}
    assert len(one_bit) == 5 * RANDOM_CHARS >= 60
    assert zero not in one_bit


def test_s15_guesses_meet_no_code() -> None:
    """S15: whoever guesses well-formed codes finds none of many; codes do not repeat."""
    source = random.Random(15)  # noqa: S311 - the same codes in every run
    codes = {new_code(source.randbytes) for _ in range(20_000)}
    assert len(codes) == 20_000
    assert codes.isdisjoint({new_code(source.randbytes) for _ in range(50_000)})


def test_a_code_is_easy_to_read_aloud() -> None:
    """No letter that looks like a digit or like another, and all of 32 are used."""
    assert len(set(ALPHABET)) == len(ALPHABET) == 32
    assert not set(ALPHABET) & set("01OI")
    source = random.Random(1)  # noqa: S311 - as above
    assert set("".join(new_code(source.randbytes) for _ in range(500))) == set(ALPHABET)


def test_a_prefix_stands_before_the_code_in_the_form_in_which_codes_are_kept() -> None:
    """What is typed is brought to upper case, so the prefix is made so."""
    code = code_of(12345, "spring-")
    assert code.startswith("SPRING-")
    assert code == as_typed(code)
    assert is_well_formed(code, "spring-")
    assert is_well_formed(code, "SPRING-")


def test_a_code_without_its_prefix_is_not_well_formed() -> None:
    """The same characters under another prefix, or none, are another code."""
    assert is_well_formed(code_of(7))
    assert not is_well_formed(code_of(7), "SPRING")
    assert not is_well_formed(code_of(7, "SPRING"))
    assert not is_well_formed(code_of(7, "AUTUMN"), "SPRING")


@pytest.mark.parametrize("cut", [slice(1, None), slice(None, -1), slice(0, 0)])
def test_a_code_that_is_cut_is_not_well_formed(cut: slice) -> None:
    """A character that is missing shows."""
    assert not is_well_formed(code_of(99)[cut])


@pytest.mark.parametrize("odd", ["0", "O", "1", "I", "a", " ", "Ä", "٢"])
def test_a_character_of_no_code_is_not_well_formed(odd: str) -> None:
    """Only the alphabet is."""
    assert not is_well_formed(odd + code_of(99)[1:])


def test_a_code_fits_where_the_contract_has_it() -> None:
    """The longest prefix makes the longest code; one more is refused."""
    assert len(code_of(1, "P" * PREFIX_CHARS_MAX)) == CODE_CHARS_MAX == 128
    with pytest.raises(ValueError, match="prefix"):
        code_of(1, "P" * (PREFIX_CHARS_MAX + 1))


@pytest.mark.parametrize("count", [0, RANDOM_BYTES - 1, RANDOM_BYTES + 1])
def test_a_source_that_gives_too_little_makes_no_code(count: int) -> None:
    """Fewer random bytes would be codes that can be guessed."""
    with pytest.raises(ValueError, match="random bytes"):
        new_code(lambda _: bytes(count))


@pytest.mark.parametrize("typed", ["ab2-cd", " AB2-CD\n", "A b2 -Cd"])
def test_what_people_type_is_brought_to_one_form(typed: str) -> None:
    """Spaces and small letters are typed, not meant."""
    assert as_typed(typed) == "AB2-CD"


# --- redeeming ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "order_before", "expires_at", "verdict"),
    [
        ("issued", None, None, Redeemed.NOW),
        ("issued", None, NOW + SECOND, Redeemed.NOW),
        ("issued", None, NOW, Redeemed.OVER),
        ("issued", None, NOW - SECOND, Redeemed.OVER),
        ("redeemed", "o-1", None, Redeemed.BEFORE),
        ("redeemed", "o-1", NOW - SECOND, Redeemed.BEFORE),
        ("redeemed", "o-2", None, Redeemed.BY_ANOTHER),
        ("redeemed", None, None, Redeemed.BY_ANOTHER),
        ("expired", None, NOW - SECOND, Redeemed.OVER),
        ("returned", None, NOW + SECOND, Redeemed.OVER),
        ("free", None, None, Redeemed.UNKNOWN),
        ("reserved", None, NOW + SECOND, Redeemed.UNKNOWN),
    ],
)
def test_a_code_is_redeemed_once(
    state: str, order_before: str | None, expires_at: datetime | None, verdict: Redeemed
) -> None:
    """The same order hears the same answer; nobody else, and nobody too late or too early."""
    found = redeemed(
        state, order_before=order_before, order_id="o-1", expires_at=expires_at, now=NOW
    )
    assert found is verdict
