"""Coupon codes: unguessable, easy to read aloud, and wrong when mistyped; and how one is redeemed.

The alphabet has no letter that looks like a digit. The last one is a check character
: one wrong character is always caught, a swap of neighbours nearly always.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
RANDOM_CHARS = 13
"""Thirteen of 32 characters: 65 random bits."""


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
    """A new code from random bytes: prefix, 65 random bits, check character."""
    number = int.from_bytes(draw(9), "big")
    body = "".join(ALPHABET[(number >> (5 * place)) & 31] for place in range(RANDOM_CHARS))
    return f"{prefix}{body}{check_character(body)}"


def check_character(body: str) -> str:
    """The character that makes a body right: a weighted sum with odd weights modulo 32.

    An odd weight moves with every single wrong character; neighbours' weights differ by two, so a
    swap shows unless the two differ by exactly sixteen places, which one in 31 pairs does.
    """
    total = sum((2 * place + 1) * ALPHABET.index(one) for place, one in enumerate(body))
    return ALPHABET[total % 32]


def is_well_formed(code: str, prefix: str = "") -> bool:
    """Whether a generated code's check character is right."""
    body = code.removeprefix(prefix)
    if len(body) != RANDOM_CHARS + 1 or any(one not in ALPHABET for one in body):
        return False
    return check_character(body[:-1]) == body[-1]


def as_typed(code: str) -> str:
    """A code as people type it, in the form in which it is kept: no spaces, upper case."""
    return "".join(code.split()).upper()
