"""A list of sends: which ones are wanted, and one line of it.

Invariant: a line holds no address. These are values and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

NEWEST = 2**62
"""A number above that of every send."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sends a list shows: those of a person, else of a campaign, an outcome, a state, or all.

    `stage` is how far a campaign's sends came (`sent`, `delivered`, `opened`, `clicked`,
    `unsubscribed`, `returned`), `is_holdout` of which people; `outcome` is that of an attempt;
    `state`, of a `channel` or of all, is that of an open delivery. `before` is where a page
    begins: the number of the last send of the page before.
    """

    recipient_id: str = ""
    campaign: str = ""
    stage: str = ""
    is_holdout: bool | None = None
    outcome: str = ""
    channel: str = ""
    state: str = ""
    before: int = NEWEST


@dataclass(frozen=True, slots=True)
class Listed:
    """One send as a list shows it; `channel` and `state` are those of its newest delivery."""

    seq: int
    send_id: str
    recipient_id: str
    campaign: str
    template: str
    variant: str | None
    channel: str | None
    state: str
    reason: str | None
    accepted_at: datetime
    due_at: datetime | None
    is_test: bool
    is_holdout: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list; `following` is where the next one begins, None at the end."""

    sends: tuple[Listed, ...]
    following: int | None = None
