"""Looking at the store, and forgetting what is old."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway.core.plan import unpack
from gateway.store.contract import Backlog
from gateway.store.script import Ask, Row, Script, Tell, from_ms, to_ms

_json = msgspec.json.decode
PENDING_BYTES_MAX = 8 * 1024 * 1024


def backlog(*, now: datetime) -> Script[Backlog]:
    """How much waits, and since when."""
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    oldest = now
    for channel, state, count, due_at in (yield Ask("backlog")):
        counts[channel][state] = count
        if due_at is not None:
            oldest = min(oldest, from_ms(due_at))
    mark = yield from published_mark()
    ((outbox,),) = yield Ask("outbox_depth", [(mark,)])
    return Backlog(counts, outbox, (now - oldest).total_seconds())


def pending(limit: int) -> Script[list[Row]]:
    """The oldest unpublished records: number, topic, key, value, headers."""
    mark = yield from published_mark()
    return (yield Ask("pending_facts", [(mark, limit, PENDING_BYTES_MAX)]))


def published_mark() -> Script[int]:
    """Up to where the outbox is published."""
    found = yield Ask("published_mark")
    return int(found[0][0]) if found else 0


def story(send_id: str) -> Script[Mapping[str, Any] | None]:
    """The decision record of a send."""
    found = yield Ask("story_send", [(send_id,)])
    if not found:
        return None
    seq, packed, gates, ended, accepted_at = found[0]
    plan = unpack(packed)
    deliveries = yield Ask("story_deliveries", [(seq,)])
    attempts = yield Ask("story_attempts", [(row[0],) for row in deliveries])
    facts = yield Ask("story_facts", [(seq,)])
    return {
        "send_id": plan.send_id,
        "request": {"source": plan.source, "id": plan.request_id},
        "recipient_id": plan.recipient_id,
        "campaign": plan.campaign,
        "template": plan.template,
        "template_version": plan.template_version,
        "purpose": plan.purpose,
        "accepted_at": from_ms(accepted_at),
        "not_before": plan.not_before,
        "expires_at": plan.expires_at,
        "routes": [{"channel": r.channel, "locale": r.locale} for r in plan.routes],
        "state": state_of(ended, deliveries[-1][3] if deliveries else None),
        "gates": [
            {"gate": gate, "answer": answer, "detail": detail or None}
            for gate, answer, detail in _json(gates)
        ],
        "deliveries": [_delivery(plan.delivery_id(row[1]), row, attempts) for row in deliveries],
        "events": [_json(value) for (value,) in facts],
        "is_test": plan.is_test,
    }


def state_of(ended: str | None, newest: str | None) -> str:
    """A send is where its newest delivery is, unless it ended without (another) one."""
    if newest is None or (ended and newest == "suppressed"):
        return "suppressed"
    return newest


def _delivery(delivery_id: str, row: Row, attempts: list[Row]) -> dict[str, Any]:
    (
        seq,
        _,
        channel,
        state,
        queued_at,
        due_at,
        until,
        doubt,
        count,
        provider,
        name,
        sent,
        why,
        detail,
    ) = row
    return {
        "delivery_id": delivery_id,
        "channel": channel,
        "state": state,
        "queued_at": from_ms(queued_at),
        "due_at": _at(due_at),
        "claimed_until": _at(until),
        "in_doubt_until": _at(doubt),
        "provider": provider,
        "provider_message_id": name,
        "sent_at": _at(sent),
        "reason": why,
        "detail": detail,
        "attempt": count,
        "attempts": [_attempt(one) for one in attempts if one[0] == seq],
    }


def _attempt(row: Row) -> dict[str, Any]:
    _, claim_no, started_at, ended_at, provider, outcome, reason = row
    return {
        "claim": claim_no,
        "started_at": from_ms(started_at),
        "ended_at": from_ms(ended_at),
        "provider": provider,
        "outcome": outcome,
        "reason": reason or None,
    }


def _at(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)


def purge(*, before: datetime, limit: int) -> Script[int]:
    """Forget finished sends, published facts and dedupe names older than that; how many sends."""
    mark = yield from published_mark()
    yield Tell("purge_facts", [(mark, to_ms(before), limit)])
    yield Tell("purge_seen", [(to_ms(before), limit)])
    old = yield Ask("old_sends", [(to_ms(before), limit)])
    yield from forget_sends(old)
    yield Tell("purge_cooldowns", [(to_ms(before),)])
    return len(old)


def forget_sends(sends: Sequence[Row]) -> Script[None]:
    """Forget sends (number, id) with all that belongs to them."""
    numbers = [(row[0],) for row in sends]
    for query in ("erase_attempts", "erase_deliveries", "erase_facts", "erase_sends"):
        yield Tell(query, numbers)
    yield Tell("erase_links", [(f"{row[1]}-%",) for row in sends])
