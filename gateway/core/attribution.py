"""Which message a conversion is credited to, and where a person stands.

The redeemed coupon's delivery, else the last click by a person, else the last delivered, else the
last accepted delivery inside its channel's window; a window counts from that moment. A code proves
by itself what it is credited to, also after the window. A held-out person's conversion is credited
to nobody, and says so. Invariant: the order in which touches are given makes no difference, and a
test is credited only where nothing real is. Knows no store and no fact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.core.coupons import as_typed
from gateway.core.durations import text_of
from gateway.core.plan import Plan


@dataclass(frozen=True, slots=True)
class Touched:
    """A delivery that was accepted, or the moment at which a held-out person got none.

    `sent_at` is None for one that is in doubt: only its coupon shows that it arrived.
    """

    send_seq: int
    position: int
    plan: Plan
    channel: str
    sent_at: datetime | None
    delivered_at: datetime | None
    clicked_at: datetime | None
    coupon_code: str | None
    is_holdout: bool


@dataclass(frozen=True, slots=True)
class Credit:
    """What a conversion is credited to, by which rule, inside which window (ISO 8601).

    `window` is None where only the code tells: the channel's window is over, or there is none.
    """

    touched: Touched
    by: str
    window: str | None


def credit(
    touched: Sequence[Touched],
    windows: Mapping[str, timedelta],
    *,
    at: datetime,
    coupon_code: str | None = None,
) -> Credit | None:
    """The credit of a conversion at `at`, or None where nothing was in its window.

    A channel without a window credits nothing but codes. Of equal moments the later send counts,
    then its later delivery.
    """
    real = [one for one in touched if not one.plan.is_test]
    tests = [one for one in touched if one.plan.is_test]
    code = as_typed(coupon_code) if coupon_code else None
    return _credit(real, windows, at, code) or _credit(tests, windows, at, code)


def _credit(
    touched: Sequence[Touched],
    windows: Mapping[str, timedelta],
    at: datetime,
    code: str | None,
) -> Credit | None:
    sent = [one for one in touched if not one.is_holdout]
    held = [one for one in touched if one.is_holdout]
    carriers = [
        one for one in sent if code and one.coupon_code and as_typed(one.coupon_code) == code
    ]
    if carriers:
        # The same code may go out again: the delivery that issued it is the first, as it is
        # in the facts about the coupon.
        first = min(carriers, key=lambda one: (one.send_seq, one.position))
        inside = _last([first], _sent_at, windows, at=at)
        return Credit(first, "coupon", _window(first, windows) if inside else None)
    rules: tuple[tuple[str, Callable[[Touched], datetime | None], Sequence[Touched]], ...] = (
        ("click", lambda one: one.clicked_at, sent),
        ("delivered", lambda one: one.delivered_at, sent),
        ("accepted", _sent_at, sent),
        ("holdout", _sent_at, held),
    )
    for by, when, among in rules:
        last = _last(among, when, windows, at=at)
        if last is not None:
            return Credit(last, by, _window(last, windows))
    return None


def _sent_at(one: Touched) -> datetime | None:
    return one.sent_at


def _last(
    touched: Sequence[Touched],
    when: Callable[[Touched], datetime | None],
    windows: Mapping[str, timedelta],
    *,
    at: datetime,
) -> Touched | None:
    """The touch whose moment is the last one before `at` and inside its channel's window."""
    inside = [
        (moment, one.send_seq, one.position, one)
        for one in touched
        if one.channel in windows
        and (moment := when(one)) is not None
        and moment <= at <= moment + windows[one.channel]
    ]
    return max(inside, key=lambda found: found[:3])[3] if inside else None


def _window(one: Touched, windows: Mapping[str, timedelta]) -> str:
    return text_of(windows[one.channel])


def state_of(*, is_opted_out: bool, has_returned: bool, has_clicked: bool, has_open: bool) -> str:
    """Where a person stands: returned, opted_out, interested, silent or exhausted.

    Silent is being written to without an answer; exhausted is that nothing more is planned.
    """
    if has_returned:
        return "returned"
    if is_opted_out:
        return "opted_out"
    if has_clicked:
        return "interested"
    return "silent" if has_open else "exhausted"
