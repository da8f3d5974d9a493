"""Coupon codes: unguessable, easy to read aloud, and wrong when mistyped; and how one is redeemed.

The alphabet has no letter that looks like a digit. Invariant: one wrong character behind the prefix
and one swap of neighbours there are always caught by the last character, and a code that is made
here is in the form in which codes are kept. Knows no pool and no person.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
RANDOM_CHARS = 13
"""Thirteen of 32 characters: 65 random bits."""
RANDOM_BYTES = 9
CODE_CHARS_MAX = 128
PREFIX_CHARS_MAX = CODE_CHARS_MAX - RANDOM_CHARS - 1


class Redeemed(StrEnum):
    """What comes of redeeming a code."""

    NOW = "now"
    BEFORE = "before"  # by the same order: the same answer again
    BY_ANOTHER = "by_another"
    OVER = "over"
    UNKNOWN = "unknown"


def redeemed(
    state: str,
    *,
    order_before: str | None,
    order_id: str,
    expires_at: datetime | None,
    now: datetime,
) -> Redeemed:
    """Whether an order may redeem a code that stands like this."""
    if state == "redeemed":
        return Redeemed.BEFORE if order_before == order_id else Redeemed.BY_ANOTHER
    if state in ("expired", "returned"):
        return Redeemed.OVER
    if state != "issued":
        return Redeemed.UNKNOWN
    if expires_at is not None and expires_at <= now:
        return Redeemed.OVER
    return Redeemed.NOW


def new_code(draw: Callable[[int], bytes], prefix: str = "") -> str:
    """A new code from random bytes: prefix, 65 random bits, check character.

    ValueError for a prefix over `PREFIX_CHARS_MAX`, and for a source that gives too few bytes.
    """
    kept, drawn = as_typed(prefix), draw(RANDOM_BYTES)
    if len(kept) > PREFIX_CHARS_MAX:
        raise ValueError(f"a prefix has at most {PREFIX_CHARS_MAX} characters")
    if len(drawn) != RANDOM_BYTES:
        raise ValueError(f"a code needs {RANDOM_BYTES} random bytes")
    number = int.from_bytes(drawn, "big")
    body = "".join(ALPHABET[(number >> (5 * place)) & 31] for place in range(RANDOM_CHARS))
    return f"{kept}{body}{check_character(body)}"


def check_character(body: str) -> str:
    """The character that makes a body right: a polynomial over the field of 32 elements.

    Each character counts with its own power of x, modulo x^5 + x^2 + 1, which is primitive: 31
    places have 31 different factors. So a single wrong character shows, and so does a swap of any
    two that differ.
    """
    total = 0
    for one in body:
        total = _times_x(total ^ ALPHABET.index(one))
    return ALPHABET[total]


def _times_x(element: int) -> int:
    doubled = element << 1
    return doubled ^ 0b100101 if doubled & 0b100000 else doubled


def is_well_formed(code: str, prefix: str = "") -> bool:
    """Whether a code has the prefix and form of the generated ones, and a right check character."""
    kept = as_typed(prefix)
    body = code.removeprefix(kept)
    if not code.startswith(kept) or len(body) != RANDOM_CHARS + 1:
        return False
    if any(one not in ALPHABET for one in body):
        return False
    return check_character(body[:-1]) == body[-1]


def as_typed(code: str) -> str:
    """A code as people type it, in the form in which it is kept: no spaces, upper case."""
    return "".join(code.split()).upper()
