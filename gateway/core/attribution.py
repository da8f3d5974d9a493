"""Which message a conversion is credited to, and where a person stands.

The redeemed coupon's delivery, else the last click by a person, else the last delivered, else the
last accepted delivery, each inside its channel's window. A held-out person's conversion is credited
to nobody, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.core.durations import text_of
from gateway.core.plan import Plan


@dataclass(frozen=True, slots=True)
class Touched:
    """A delivery that was accepted, or the moment at which a held-out person got none."""

    send_seq: int
    position: int
    plan: Plan
    channel: str
    sent_at: datetime
    delivered_at: datetime | None
    clicked_at: datetime | None
    coupon_code: str | None
    is_holdout: bool


@dataclass(frozen=True, slots=True)
class Credit:
    """What a conversion is credited to, by which rule, inside which window (ISO 8601)."""

    touched: Touched
    by: str
    window: str


def credit(
    touched: Sequence[Touched],
    windows: Mapping[str, timedelta],
    *,
    at: datetime,
    coupon_code: str | None = None,
) -> Credit | None:
    """The credit of a conversion at `at`, or None where nothing was in its window."""
    held = [one for one in touched if one.is_holdout]
    sent = [one for one in touched if not one.is_holdout]
    for one in sent:
        if coupon_code is not None and one.coupon_code == coupon_code:
            return Credit(one, "coupon", _window(one, windows))
    rules: tuple[tuple[str, Callable[[Touched], datetime | None]], ...] = (
        ("click", lambda one: one.clicked_at),
        ("delivered", lambda one: one.delivered_at),
        ("accepted", lambda one: one.sent_at),
    )
    for by, when in rules:
        last = _last(sent, when, windows, at=at)
        if last is not None:
            return Credit(last, by, _window(last, windows))
    last = _last(held, lambda one: one.sent_at, windows, at=at)
    return Credit(last, "holdout", _window(last, windows)) if last is not None else None


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
        if (moment := when(one)) is not None
        and moment <= at <= moment + windows.get(one.channel, timedelta())
    ]
    return max(inside, key=lambda found: found[:3])[3] if inside else None


def _window(one: Touched, windows: Mapping[str, timedelta]) -> str:
    return text_of(windows.get(one.channel, timedelta()))


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
