"""What became of the campaign: counted from the facts on the topic and from nothing else.

Invariant: a request counts as ended only when a fact says so. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.demo_campaign import Asked
from gateway.demo_stream import DEAD_LETTER, Told

COLUMNS = ("sent", "delivered", "bounced", "failed", "suppressed", "dead letters")
ROWS = ("email", "sms", "push", "no channel")
_COLUMN_OF = {
    "message.sent": "sent",
    "message.delivered": "delivered",
    "message.bounced": "bounced",
    "message.failed": "failed",
    "message.unknown": "failed",
    "send.suppressed": "suppressed",
    DEAD_LETTER: "dead letters",
}
_LOST = frozenset({"message.bounced", "message.failed", "message.unknown"})
_OVER = frozenset({"message.delivered", "send.suppressed", DEAD_LETTER})


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts by row and column, why some got no message, and the records still to end."""

    counts: Counter[tuple[str, str]]
    reasons: Counter[str]
    waiting: Sequence[Asked]
    ended: int

    def row(self, name: str) -> list[int]:
        """One row of the table, in the order of `COLUMNS`."""
        return [self.counts[name, column] for column in COLUMNS]

    def total(self) -> list[int]:
        """The last row of the table."""
        return [sum(self.counts[row, column] for row in ROWS) for column in COLUMNS]


def tally(asked: Sequence[Asked], told: Sequence[Told]) -> Tally:
    """How a campaign stands. Facts about requests that are not of it count for nothing."""
    requests = {one.request_id for one in asked if one.request_id}
    keys = {one.key for one in asked if not one.request_id}
    ours = [fact for fact in told if fact.request_id in requests or _is_of(keys, fact)]
    counts: Counter[tuple[str, str]] = Counter()
    reasons = Counter(fact.reason for fact in ours if fact.type == "send.suppressed")
    over = {fact.recipient_id for fact in ours if _is_of(keys, fact)}
    lost: Counter[str] = Counter()
    for fact in ours:
        column = _COLUMN_OF.get(fact.type)
        if column is not None:
            counts[_row(fact), column] += 1
        if fact.type in _OVER:
            over.add(fact.request_id)
        lost[fact.request_id] += fact.type in _LOST
    waiting = [one for one in asked if not _is_over(one, over, lost)]
    return Tally(counts, reasons, waiting, len(asked) - len(waiting))


def _is_of(keys: set[str], fact: Told) -> bool:
    """Whether a fact is the dead letter of a record that was no request: its key tells."""
    return fact.type == DEAD_LETTER and fact.recipient_id in keys


def _row(fact: Told) -> str:
    is_delivery = fact.type.startswith("message.") and fact.channel in ROWS
    return fact.channel if is_delivery else "no channel"


def _is_over(one: Asked, over: set[str], lost: Counter[str]) -> bool:
    if not one.request_id:
        return one.key in over
    return one.request_id in over or lost[one.request_id] >= one.routes
