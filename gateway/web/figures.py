"""How figures, times, shares and states look on the team's pages.

Invariant: everything that comes in as text goes out escaped; a figure that has a list behind it is
a link. Pure: this file knows no page and no port.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

GOOD = frozenset({"sent", "delivered"})
POOR = frozenset({"bounced", "failed", "unknown", "in_doubt"})
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def words(value: str) -> str:
    """A state or reason as words."""
    return escape(value.replace("_", " "))


def figure(number: int) -> str:
    """A count, its thousands apart."""
    return f"{number:,}".replace(",", "\u202f")


def percent(share: float) -> str:
    """A share with one decimal."""
    return f"{share * 100:.1f}\u202f%"


def points(share: float) -> str:
    """A difference of shares, with its sign."""
    return f"{share * 100:+.1f}".replace("-", "\u2212")


def age(seconds: float) -> str:
    """How long, in the largest unit that says enough."""
    if seconds < MINUTE_S:
        return f"{seconds:.0f}\u202fs"
    if seconds < HOUR_S:
        return f"{seconds / MINUTE_S:.0f}\u202fmin"
    return (
        f"{seconds / HOUR_S:.0f}\u202fh" if seconds < 2 * DAY_S else f"{seconds / DAY_S:.0f}\u202fd"
    )


def moment(at: datetime | None) -> str:
    """An instant in UTC; the script makes it the reader's own time."""
    if at is None:
        return ""
    return f'<time datetime="{at.isoformat()}">{at:%Y-%m-%d %H:%M:%S} UTC</time>'


def sends(**wanted: str) -> str:
    """The address of a list of sends."""
    said = {name: value for name, value in wanted.items() if value}
    return escape(f"/sends?{urlencode(said, quote_via=quote)}" if said else "/sends")


def campaign(name: str) -> str:
    """The address of a campaign's page."""
    return escape(f"/campaigns/{quote(name, safe='')}")


def counted(number: int, href: str) -> str:
    """A count that opens its list; a zero is quiet."""
    quiet = "" if number else ' class="zero"'
    return f'<a href="{href}"{quiet}>{figure(number)}</a>'


def state(name: str) -> str:
    """A state as a mark."""
    kind = " fine" if name in GOOD else " poor" if name in POOR else ""
    return f'<span class="state{kind}">{words(name)}</span>'


def bar(parts: Sequence[tuple[float, str]]) -> str:
    """A bar of shares (0 to 1) one after the other, each with the name of its colour."""
    drawn, at = [], 0.0
    for share, kind in parts:
        width = min(max(share, 0.0), 1.0) * 100
        drawn.append(f'<rect x="{at:.2f}" width="{width:.2f}" height="8" class="{kind}"></rect>')
        at += width
    return (
        '<svg class="share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(drawn)}</svg>"
    )


def money(revenue: Mapping[str, Any]) -> str:
    """Revenue per currency."""
    return escape(", ".join(f"{sum_} {currency}" for currency, sum_ in revenue.items()))
