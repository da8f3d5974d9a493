"""What the dashboard asks for, as a class that has one campaign."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway.core.listing import Listed, Page, Wanted
from gateway.errors import StoreUnavailable

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
LEAF = {
    "targeted": 1200,
    "sent": 1100,
    "delivered": 1000,
    "opened": 400,
    "clicked": 90,
    "unsubscribed": 3,
    "returned": 60,
    "revenue": {"EUR": "1240.50"},
    "reactivation_rate": 0.05,
}
LIFT = {"absolute": 0.02, "interval": [-0.01, 0.05], "confidence": 0.95, "relative": 0.6}


def results_of(campaign: str) -> dict[str, Any]:
    """Results as the store gives them."""
    held = {**LEAF, "targeted": 100, "returned": 3, "reactivation_rate": 0.03}
    leaves: dict[str, Any] = {"by_channel": {"email": LEAF}, "by_variant": {"<i>": LEAF}}
    return {
        "campaign": campaign,
        "total": {**LEAF, "lift": LIFT},
        "holdout": held,
        **{name: leaves.get(name, {}) for name in ("by_reason", "by_offer")},
        **leaves,
    }


def listed(seq: int = 7, **more: Any) -> Listed:
    """One send of a list."""
    fields: dict[str, Any] = {
        "send_id": "s1",
        "recipient_id": "مريم",
        "campaign": "<spring>",
        "template": "hello",
        "variant": None,
        "channel": "email",
        "state": "delivered",
        "reason": None,
        "accepted_at": NOW,
        "due_at": None,
        "is_test": False,
        "is_holdout": False,
    }
    return Listed(seq=seq, **{**fields, **more})


@dataclass
class FakeOverview:
    """A store with one campaign; `down` means that it does not answer."""

    down: bool = False
    empty: bool = False
    asked: list[Wanted] = field(default_factory=list)
    page: Page = field(default_factory=lambda: Page((listed(),), following=7))

    async def overview(self) -> dict[str, Any]:
        self._answer()
        return {
            "at": NOW,
            "lanes": {} if self.empty else {"email": {"queued": 1234, "in_doubt": 2}},
            "outbox": 0,
            "oldest_due_s": 12.0,
            "outcomes": {} if self.empty else {"accepted": 90, "refused": 10},
            "letters": 0,
            "switches": [],
            "campaigns": [] if self.empty else [results_of("<spring>")],
            "counted_at": NOW,
            "newest": [] if self.empty else [listed()],
        }

    async def results(self, campaign: str) -> dict[str, Any]:
        self._answer()
        return results_of(campaign)

    async def sends(self, wanted: Wanted) -> Page:
        self._answer()
        self.asked.append(wanted)
        return self.page

    async def letters(self) -> list[dict[str, Any]]:
        self._answer()
        names = ("reason", "detail", "topic", "partition", "offset")
        told = dict(zip(names, ("invalid_field", "$.data", "t", "0", "9"), strict=True))
        return [] if self.empty else [{**told, "at": NOW}]

    async def unpublished(self) -> list[dict[str, Any]]:
        self._answer()
        fact = {"topic": "engagement", "type": "winback.message.sent.v1", "send_id": "s1"}
        more = {"recipient_id": "ada", "channel": "email", "occurred_at": NOW.isoformat()}
        return [] if self.empty else [{**fact, **more}]

    def _answer(self) -> None:
        if self.down:
            raise StoreUnavailable
