"""What the dashboard shows of the store: how it goes, and the list behind each number.

Invariant: every script only asks, and stops at a bound: the newest attempts, the newest facts, a
page of sends. What is shown of a send holds no address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.core.listing import Listed, Wanted
from gateway.core.plan import unpack
from gateway.store.script import Ask, Row, Script, from_ms
from gateway.store.upkeep import pending, state_of

ATTEMPTS_MAX = 500
FACTS_MAX = 10_000
_headers = msgspec.msgpack.Decoder(list[tuple[str, bytes]])
_json = msgspec.json.decode


def campaigns(limit: int) -> Script[Sequence[str]]:
    """The campaigns with the newest sends, newest first."""
    return [name for name, _ in (yield Ask("campaigns_newest", [(limit,)]))]


def outcomes() -> Script[Mapping[str, int]]:
    """What became of the newest attempts, by outcome."""
    return dict((yield Ask("attempts_newest", [(ATTEMPTS_MAX,)])))


def letters(limit: int) -> Script[Sequence[Mapping[str, Any]]]:
    """Dead letters among the newest facts, newest first."""
    found = yield Ask("letters_newest", [(FACTS_MAX, limit)])
    return [_letter(headers, at) for _, headers, at in found]


def _letter(headers: bytes | None, at: int) -> dict[str, Any]:
    said = dict(_headers.decode(headers)) if headers else {}
    told = {
        name: said.get(f"dlq-{name}", b"").decode(errors="replace")
        for name in ("reason", "detail", "topic", "partition", "offset")
    }
    # What follows the path may repeat what upstream wrote, and so an address.
    path = told["detail"].partition(" ")[0].rstrip(":")
    told["detail"] = path if path.startswith("$") else ""
    return {**told, "at": from_ms(at)}


def unpublished(limit: int) -> Script[Sequence[Mapping[str, Any]]]:
    """The oldest facts that are not on Kafka yet."""
    return [
        {"topic": topic, **_fact(value if topic == "engagement" else None)}
        for _, topic, _, value, _ in (yield from pending(limit))
    ]


def _fact(value: bytes | None) -> dict[str, Any]:
    fact = _json(value) if value else {}
    data = fact.get("data", {})
    names = ("send_id", "recipient_id", "channel", "occurred_at")
    return {"type": fact.get("type", ""), **{name: data.get(name) for name in names}}


def listed(wanted: Wanted, *, limit: int) -> Script[Sequence[Listed]]:
    """A page of sends, by the first of what is wanted that is said."""
    if wanted.recipient_id:
        row: Row = (wanted.recipient_id, wanted.before, limit)
        found = yield Ask("listed_of_person", [row])
    elif wanted.campaign:
        held = None if wanted.is_holdout is None else int(wanted.is_holdout)
        row = (wanted.campaign, wanted.before, limit, wanted.stage, held)
        found = yield Ask("listed_of_campaign", [row])
    elif wanted.outcome:
        found = yield Ask("listed_by_outcome", [(wanted.outcome, ATTEMPTS_MAX, limit)])
    elif wanted.state:
        channels = (wanted.channel,) if wanted.channel else ("email", "sms", "push")
        found = yield Ask("listed_open", [(one, wanted.state, limit) for one in channels])
        found.sort(key=lambda row: (row[7] is None, row[7]))
    else:
        found = yield Ask("listed_newest", [(wanted.before, limit)])
    return [_listed(row) for row in found[:limit]]


def _listed(row: Row) -> Listed:
    seq, packed, ended, accepted_at, channel, state, reason, due_at = row
    plan = unpack(packed)
    first = plan.routes[0].channel if plan.routes else None
    return Listed(
        seq=seq,
        send_id=plan.send_id,
        recipient_id=plan.recipient_id,
        campaign=plan.campaign,
        template=plan.template,
        variant=plan.variant,
        channel=channel or first,
        state=state_of(ended, state),
        reason=reason or ended,
        accepted_at=from_ms(accepted_at),
        due_at=None if due_at is None else from_ms(due_at),
        is_test=plan.is_test,
        is_holdout=plan.is_holdout,
    )
