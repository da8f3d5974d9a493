"""What a campaign brought: people counted once each, by what became of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from gateway.core.lift import lift
from gateway.core.plan import Plan, unpack
from gateway.store.script import Ask, Row, Script

PAGE = 2000
COUNTED = ("targeted", "sent", "delivered", "opened", "clicked", "unsubscribed", "returned")


@dataclass(slots=True)
class Leaf:
    """People of one group by what became of them, and what they spent."""

    people: dict[str, set[str]] = field(default_factory=lambda: {name: set() for name in COUNTED})
    revenue: dict[str, Decimal] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The leaf of the contract."""
        counts: dict[str, Any] = {name: len(self.people[name]) for name in COUNTED}
        targeted = counts["targeted"]
        return {
            **counts,
            "revenue": {currency: str(sum_) for currency, sum_ in sorted(self.revenue.items())},
            "reactivation_rate": counts["returned"] / targeted if targeted else 0.0,
        }


Groups = defaultdict[str, Leaf]


def results(campaign: str) -> Script[Mapping[str, Any]]:
    """The results of a campaign; empty leaves for one nobody heard of."""
    money: defaultdict[int, list[tuple[str | None, str | None]]] = defaultdict(list)
    for send_seq, value, currency, _ in (yield Ask("results_conversions", [(campaign,)])):
        money[send_seq].append((value, currency))
    total, holdout = Leaf(), Leaf()
    groups: dict[str, Groups] = {
        name: defaultdict(Leaf) for name in ("by_variant", "by_channel", "by_reason", "by_offer")
    }
    last = 0
    while rows := (yield Ask("results", [(campaign, last, PAGE)])):
        last = rows[-1][0]
        for row in rows:
            plan = unpack(row[3])
            if plan.is_test:
                continue
            if plan.is_holdout:
                _add([holdout], row, money)
            else:
                _add([total, *_leaves(groups, plan, row[8])], row, money)
    return {
        "campaign": campaign,
        "total": {**total.as_dict(), "lift": _lift(total, holdout)},
        "holdout": holdout.as_dict(),
        **{
            name: {key: leaf.as_dict() for key, leaf in sorted(found.items())}
            for name, found in groups.items()
        },
    }


def _leaves(groups: Mapping[str, Groups], plan: Plan, channel: str | None) -> Iterable[Leaf]:
    first = plan.routes[0].channel if plan.routes else None
    keys = {
        "by_variant": plan.variant,
        "by_channel": channel or first,
        "by_reason": plan.churn_reason,
        "by_offer": plan.offer_kind,
    }
    return [groups[name][key] for name, key in keys.items() if key is not None]


def _add(
    leaves: Iterable[Leaf],
    row: Row,
    money: Mapping[int, list[tuple[str | None, str | None]]],
) -> None:
    seq, person, _, _, sent, delivered, opened, clicked, _, unsubscribed = row
    paid = money.get(seq, [])
    happened = {
        "targeted": True,
        "sent": sent,
        "delivered": delivered,
        "opened": opened,
        "clicked": clicked,
        "unsubscribed": unsubscribed,
        "returned": bool(paid),
    }
    for leaf in leaves:
        for name, has_happened in happened.items():
            if has_happened:
                leaf.people[name].add(person)
        for value, currency in paid:
            if value is not None and currency is not None:
                leaf.revenue[currency] = leaf.revenue.get(currency, Decimal(0)) + Decimal(value)


def _lift(total: Leaf, holdout: Leaf) -> dict[str, Any] | None:
    found = lift(
        len(total.people["returned"]),
        len(total.people["targeted"]),
        len(holdout.people["returned"]),
        len(holdout.people["targeted"]),
    )
    return None if found is None else found.as_dict()
