"""Waiting for what nobody tells: a state of another process, asked for again and again.

Invariant: every wait has a deadline and says what it was for when that passes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

GAP_S = 0.05


async def until(is_so: Callable[[], object], *, within_s: float, what: str) -> None:
    """Return once `is_so()` is true; AssertionError with `what` after `within_s`."""
    deadline_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline_s, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(GAP_S)


async def until_told(
    is_so: Callable[[], Awaitable[object]], *, within_s: float, what: str, gap_s: float = 0.1
) -> None:
    """The same for a question whose answer takes a call."""
    deadline_s = time.monotonic() + within_s
    while not await is_so():
        assert time.monotonic() < deadline_s, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(gap_s)
