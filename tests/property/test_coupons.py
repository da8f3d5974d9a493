from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.core.coupons import ALPHABET, RANDOM_BYTES, RANDOM_CHARS, is_well_formed, new_code

codes = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES).map(
    lambda drawn: new_code(lambda _: drawn)
)
places = st.integers(0, RANDOM_CHARS)


@given(codes, places, st.sampled_from(ALPHABET))
def test_one_wrong_character_is_always_caught(code: str, place: int, other: str) -> None:
    """Wherever it stands, the check character included."""
    assert is_well_formed(code)
    assume(code[place] != other)
    assert not is_well_formed(code[:place] + other + code[place + 1 :])


@given(codes, places, places)
def test_a_swap_of_two_characters_is_always_caught(code: str, first: int, second: int) -> None:
    """Neighbours or not, the check character included."""
    assume(code[first] != code[second])
    swapped = list(code)
    swapped[first], swapped[second] = code[second], code[first]
    assert not is_well_formed("".join(swapped))


def test_a_swap_of_neighbours_is_caught_for_every_pair_of_characters() -> None:
    """All 32 x 31 pairs at the two ends and in the middle, where chance would miss the one."""
    body = bytes(RANDOM_BYTES)
    zero = new_code(lambda _: body)
    for place in (0, RANDOM_CHARS // 2, RANDOM_CHARS - 2):
        for first in range(32):
            for second in range(32):
                number = (first << 5 * place) | (second << 5 * (place + 1))
                code = new_code(lambda count, number=number: number.to_bytes(count, "big"))
                swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
                assert is_well_formed(swapped) is (first == second)
    assert is_well_formed(zero)
