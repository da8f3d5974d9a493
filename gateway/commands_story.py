"""A decision record as a timeline, and a campaign's results as rows and a sentence.

Invariant: pure functions from what the store tells to lines; nothing is left out of a story that
says why a send went out, waited or stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

COLUMNS: Final = (
    "people",
    "targeted",
    "sent",
    "delivered",
    "opened",
    "clicked",
    "unsubscribed",
    "returned",
    "rate",
    "revenue",
)
COUNTED: Final = COLUMNS[1:8]
TOLD: Final = ("channel", "provider", "reason", "detail", "actor", "url", "coupon_code", "value")
GROUPS: Final = ("variant", "channel", "reason", "offer")


# --- explain --------------------------------------------------------------------------------


def timeline(story: Mapping[str, Any]) -> Iterator[str]:
    """The story of a send, line by line, in the order in which it happened."""
    request = story["request"]
    yield f"send {story['send_id']}: {story['state']}{_test(story)}"
    yield f"  request    {request['source']} {request['id']}"
    yield f"  recipient  {story['recipient_id']}"
    yield f"  campaign   {story['campaign']}, {story['purpose']}"
    yield f"  template   {story['template']} ({story['template_version']})"
    yield f"  route      {_route(story['routes'])}"
    yield ""
    for at, what in sorted(_moments(story), key=lambda one: one[0]):
        yield f"{_clock(at)}  {what}"
    waits = list(_waits(story))
    if waits:
        yield ""
        yield from waits


def _test(story: Mapping[str, Any]) -> str:
    return ", a test" if story.get("is_test") else ""


def _route(routes: Sequence[Mapping[str, Any]]) -> str:
    return ", then ".join(f"{one['channel']} ({one['locale']})" for one in routes) or "none"


def _moments(story: Mapping[str, Any]) -> Iterator[tuple[datetime, str]]:
    yield story["accepted_at"], "accepted"
    for gate in story["gates"]:
        # Gates are asked one after the other when the send is decided on; they carry no time.
        detail = f" ({gate['detail']})" if gate["detail"] else ""
        yield story["accepted_at"], f"  gate {gate['gate']}: {gate['answer']}{detail}"
    for delivery in story["deliveries"]:
        yield delivery["queued_at"], f"{delivery['channel']} queued ({delivery['delivery_id']})"
        for number, attempt in enumerate(delivery["attempts"], start=1):
            reason = f" ({attempt['reason']})" if attempt["reason"] else ""
            text = f"attempt {number} by {attempt['provider']}: {attempt['outcome']}{reason}"
            yield attempt["ended_at"], f"{delivery['channel']} {text}"
    for event in story["events"]:
        yield _instant(event), f"published {_short(event['type'])}{_told(event['data'])}"


def _instant(event: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(event["data"].get("occurred_at") or event["time"])


def _short(kind: str) -> str:
    return kind.removeprefix("winback.").removesuffix(".v1")


def _told(data: Mapping[str, Any]) -> str:
    parts = [f"{name} {data[name]}" for name in TOLD if data.get(name) is not None]
    return f": {', '.join(parts)}" if parts else ""


def _waits(story: Mapping[str, Any]) -> Iterator[str]:
    for delivery in story["deliveries"]:
        for name, text in (
            ("due_at", "is due"),
            ("claimed_until", "is under way, at the latest until"),
            ("in_doubt_until", "is in doubt and waits for proof until"),
        ):
            if delivery[name] is not None:
                yield f"{delivery['channel']} {delivery['state']}: {text} {_clock(delivery[name])}"
        if delivery["reason"]:
            detail = f" ({delivery['detail']})" if delivery["detail"] else ""
            yield f"{delivery['channel']} {delivery['state']}: {delivery['reason']}{detail}"


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


# --- results --------------------------------------------------------------------------------


def result_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """The groups of people as rows under `COLUMNS`."""
    rows = [_row("all but the hold-out", results["total"]), _row("hold-out", results["holdout"])]
    for group in GROUPS:
        leaves = results[f"by_{group}"]
        rows += [_row(f"{group} {name}", leaf) for name, leaf in leaves.items()]
    return rows


def _row(name: str, leaf: Mapping[str, Any]) -> list[str]:
    revenue = ", ".join(f"{amount} {currency}" for currency, amount in leaf["revenue"].items())
    counts = [str(leaf[counted]) for counted in COUNTED]
    return [name, *counts, f"{leaf['reactivation_rate']:.1%}", revenue or "-"]


def lift_sentence(results: Mapping[str, Any]) -> str:
    """What the campaign changed, in a sentence that does not promise more than is known."""
    if not results["total"]["targeted"] and not results["holdout"]["targeted"]:
        return f"No request of campaign {results['campaign']} has come yet."
    lift = results["total"]["lift"]
    if lift is None:
        return "Lift: not known, because nobody was held out."
    low, high = lift["interval"]
    relative = "" if lift["relative"] is None else f", {lift['relative']:+.0%} in relation to it"
    verdict = (
        " This may be chance: the interval holds zero."
        if low <= 0 <= high
        else " The interval does not hold zero."
    )
    return (
        f"Lift: {lift['absolute'] * 100:+.1f} percentage points against the hold-out"
        f" (95 % interval {low * 100:+.1f} to {high * 100:+.1f}){relative}.{verdict}"
    )
