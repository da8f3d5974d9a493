"""When to try again, and when to stop trying.

Invariant: a wait is never shorter than the provider asked for; jitter only adds to its word.
Randomness and time are arguments: the same arguments give the same answer.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Final

FIRST_CEILING_S: Final = 30.0
LAST_CEILING_S: Final = 900.0
AGE_MAX: Final = timedelta(hours=24)

# A longer word is of no use: the delivery is given up by age before. It must lie above AGE_MAX,
# so that cutting a huge Retry-After down to it never makes an attempt come early.
RETRY_AFTER_S_MAX: Final = 25 * 3600.0


def next_gap(n_deferrals: int, draw: float, retry_after_s: float | None) -> float:
    """Seconds until the next attempt; `n_deferrals` came before the one just had (first: 0).

    The gap lies in the upper half of a ceiling that doubles from 30 s to 15 min; `draw` in [0, 1)
    says where. With `retry_after_s` the gap is at least that, plus up to a tenth as jitter, so
    that a held lane does not wake in one instant.
    """
    doublings = min(max(n_deferrals, 0), 5)
    ceiling_s = min(FIRST_CEILING_S * 2.0**doublings, LAST_CEILING_S)
    gap_s = ceiling_s / 2 * (1 + draw)
    if retry_after_s is None or math.isnan(retry_after_s) or retry_after_s <= 0:
        return gap_s
    asked_s = min(retry_after_s, RETRY_AFTER_S_MAX)
    return max(gap_s, asked_s * (1 + draw / 10))


def gives_up(
    first_attempt_at: datetime, next_due_at: datetime, expires_at: datetime | None
) -> bool:
    """Whether an attempt at `next_due_at` would come too late: after 24 h, or at expiry."""
    if expires_at is not None and next_due_at >= expires_at:
        return True
    return next_due_at - first_attempt_at > AGE_MAX
