"""How fast a lane goes: a token bucket, a pace that yields to throttling, and a breaker.

Invariant: in any window of w seconds a bucket grants at most `rate * w + burst`.
All of it is frozen state in, frozen state out; time is a monotonic number of seconds that the
caller passes in, so nothing here waits and nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, assert_never

from channels.contract import (
    Accepted,
    Deferred,
    Misconfigured,
    Outcome,
    Refused,
    Throttled,
    Uncertain,
    Withheld,
)

# A level that is short of a whole token by less than this is a rounding error, not a debt.
_ROUNDING: Final = 1e-9

SHARE_MIN: Final = 1 / 64
RECOVERY_PER_S: Final = 0.01
HOLD_S: Final = 5.0
HOLD_S_MAX: Final = 25 * 3600.0

FAILURES_MAX: Final = 10
OPEN_S_FIRST: Final = 15.0
OPEN_S_MAX: Final = 300.0
PROBE_S_MAX: Final = 60.0


# --- the bucket -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens at `at_s`: `rate_per_s` flow in, `burst` is the most it holds; rate 0 is no limit."""

    rate_per_s: float
    burst: float
    level: float
    at_s: float


def bucket(rate_per_s: float, now_s: float, *, burst: float | None = None) -> Bucket:
    """A full bucket; without `burst` it holds a tenth of a second's tokens, at least one."""
    size = max(1.0, rate_per_s / 10 if burst is None else burst)
    return Bucket(rate_per_s, size, size, now_s)


def take(state: Bucket, now_s: float, n: int) -> tuple[Bucket, int, float]:
    """Take up to `n` tokens: the new state, how many were granted, seconds until the next one.

    The wait is 0 when all `n` were granted.
    """
    if state.rate_per_s <= 0:
        return state, max(n, 0), 0.0
    full = _refilled(state, now_s)
    granted = max(0, min(n, int(full.level + _ROUNDING)))
    left = replace(full, level=max(0.0, full.level - granted))
    if granted >= n:
        return left, granted, 0.0
    return left, granted, max(0.0, (1.0 - left.level) / left.rate_per_s)


def put_back(state: Bucket, n: int) -> Bucket:
    """The bucket with tokens that were granted and not used; it never holds more than its size."""
    return replace(state, level=min(state.burst, state.level + max(n, 0)))


def _refilled(state: Bucket, now_s: float) -> Bucket:
    # A clock that went back gives nothing and takes nothing; `at_s` never goes back, or the
    # same second would be paid out twice.
    if now_s <= state.at_s:
        return state
    level = min(state.burst, state.level + (now_s - state.at_s) * state.rate_per_s)
    return replace(state, level=level, at_s=now_s)


# --- the pace -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pace:
    """How a lane yields: nothing before `held_until_s`, then a `share` of its rate and places."""

    held_until_s: float = 0.0
    share: float = 1.0
    at_s: float = 0.0


def throttled(pace: Pace, now_s: float, *, retry_after_s: float | None) -> Pace:
    """The pace after the provider said *too fast*: held, and half as fast from then on.

    Many answers to one burst count as one: while a lane is held its share is not halved again.
    """
    hold_s = HOLD_S if retry_after_s is None else min(max(retry_after_s, 0.0), HOLD_S_MAX)
    held_until_s = max(pace.held_until_s, now_s + hold_s)
    if is_held(pace, now_s):
        return replace(pace, held_until_s=held_until_s)
    halved = max(SHARE_MIN, share_now(pace, now_s) / 2)
    return Pace(held_until_s, halved, now_s)


def is_held(pace: Pace, now_s: float) -> bool:
    """Whether the whole lane waits."""
    return now_s < pace.held_until_s


def share_now(pace: Pace, now_s: float) -> float:
    """The part of its full rate a lane may use: it climbs back 1 % a second after the hold."""
    calm_s = max(0.0, now_s - max(pace.at_s, pace.held_until_s))
    return min(1.0, pace.share + calm_s * RECOVERY_PER_S)


# --- the breaker ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Breaker:
    """Whether a provider is worth calling.

    Closed while `open_until_s` is None; then no call before it, and after it one probe at a
    time. `probe_until_s` is when the probe under way counts as lost.
    """

    failures: int = 0
    openings: int = 0
    open_until_s: float | None = None
    probe_until_s: float | None = None


def admit(breaker: Breaker, now_s: float) -> tuple[Breaker, bool]:
    """Ask for one call: the new state, and whether it may be made."""
    if breaker.open_until_s is None:
        return breaker, True
    if now_s < breaker.open_until_s:
        return breaker, False
    if breaker.probe_until_s is not None and now_s < breaker.probe_until_s:
        return breaker, False
    return replace(breaker, probe_until_s=now_s + PROBE_S_MAX), True


def unasked(breaker: Breaker) -> Breaker:
    """The breaker after a probe that was allowed and not made: the next one need not wait."""
    return replace(breaker, probe_until_s=None) if breaker.probe_until_s is not None else breaker


def heard(breaker: Breaker, outcome: Outcome, *, now_s: float) -> Breaker:
    """The breaker after an outcome.

    It opens at once when our own side is misconfigured, after `FAILURES_MAX` deferrals and
    doubts in a row, and again after a failed probe, each time for twice as long.
    """
    match outcome:
        case Accepted() | Refused():
            return Breaker()
        case Throttled() | Withheld():
            # Neither says that the provider is ill; a probe that ended so leaves its place.
            return replace(breaker, probe_until_s=None)
        case Misconfigured():
            return _opened(breaker, now_s)
        case Deferred() | Uncertain():
            return _failed(breaker, now_s)
        case _:
            assert_never(outcome)


def is_open(breaker: Breaker) -> bool:
    """Whether anything but a probe is kept back."""
    return breaker.open_until_s is not None


def _failed(breaker: Breaker, now_s: float) -> Breaker:
    if breaker.open_until_s is None:
        counted = replace(breaker, failures=breaker.failures + 1)
        return _opened(counted, now_s) if counted.failures >= FAILURES_MAX else counted
    return _opened(breaker, now_s)


def _opened(breaker: Breaker, now_s: float) -> Breaker:
    # Answers to calls made before it opened arrive late; they must not lengthen the wait.
    if breaker.open_until_s is not None and now_s < breaker.open_until_s:
        return breaker
    open_s = min(OPEN_S_MAX, OPEN_S_FIRST * 2 ** min(breaker.openings, 10))
    return Breaker(breaker.failures, breaker.openings + 1, now_s + open_s, None)
