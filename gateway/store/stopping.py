"""Stopping what has not gone out: cancelled, converted, killed; and the switches that hold back.

What waits ends in this transaction. What is claimed is marked, so that its claim cannot be made
again, and named to the caller, who tells the last gate in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from gateway.core import ids
from gateway.core.delivery import State
from gateway.core.gates import Reason
from gateway.core.plan import Plan
from gateway.store.claims import close, due_of, ended
from gateway.store.contract import Switch
from gateway.store.script import Ask, Row, Script, Tell, from_ms, to_ms

SOME = 500
LATE_NEWS = timedelta(days=1)
"""How long after a return its news may still be on its way to whoever plans the touches."""

CLAIMED = frozenset({State.CLAIMED})
CHANNELS = ("email", "sms", "push")


def stop(rows: Iterable[Row], reason: Reason, *, now: datetime) -> Script[list[str]]:
    """Stop these open deliveries' sends; the ids of all that were still open."""
    stopped: list[str] = []
    for row in rows:
        one = due_of(row, until=now)
        stopped.append(one.claim.plan.send_id)
        yield Tell("stop_sends", [(one.claim.send_seq, reason.value)])
        yield Tell("fall_back_at", [(one.claim.delivery_seq, None)])
        if one.state in (State.QUEUED, State.HELD, State.ARMED):
            yield from close(one, ended(reason), now=now)
    return stopped


def stop_person(recipient_id: str, *, at: datetime, now: datetime) -> Script[list[str]]:
    """Stop every promotion that waits for a person who came back at that moment.

    What was asked for long after it is for somebody who left again: it goes on.
    """
    rows = [
        row
        for row in (yield Ask("open_of_person", [(recipient_id,)]))
        if _is_stopped_by(due_of(row, until=now).claim.plan, at)
    ]
    return (yield from stop(rows, Reason.CONVERTED, now=now))


def _is_stopped_by(plan: Plan, at: datetime) -> bool:
    return plan.is_promotional and plan.accepted_at <= at + LATE_NEWS


def cancel_request(source: str, request_id: str, *, now: datetime) -> Script[list[str]]:
    """Stop one request, whether it has come yet or not."""
    send_id = ids.send_id(source, request_id)
    yield Tell("insert_cancels", [(send_id, to_ms(now))])
    rows = yield Ask("open_of_send", [(send_id,)])
    return (yield from stop(rows, Reason.CANCELLED, now=now))


def cancel_campaign(campaign: str, recipient_id: str | None, *, now: datetime) -> Script[list[str]]:
    """Stop what waits of a campaign: all of it, or one person's part. Some at a time."""
    if recipient_id is None:
        rows = yield Ask("open_of_campaign", [(campaign, SOME)])
    else:
        found = yield Ask("open_of_person", [(recipient_id,)])
        rows = [row for row in found if due_of(row, until=now).claim.plan.campaign == campaign]
    return (yield from stop(rows, Reason.CANCELLED, now=now))


def discard(scope: str, *, now: datetime) -> Script[list[str]]:
    """Kill what waits in a scope, some at a time; empty when nothing is left."""
    kind, _, name = scope.partition(":")
    if kind == "campaign":
        rows = yield Ask("open_of_campaign", [(name, SOME)])
    else:
        channels = (name,) if kind == "channel" else CHANNELS
        rows = yield Ask("open_on_channel", [(channel, SOME) for channel in channels])
    return (yield from stop(rows, Reason.KILLED, now=now))


def switch(scope: str, *, is_stopped: bool, reason: str, now: datetime) -> Script[None]:
    """Stop a scope or let it run; what a campaign's switch held is due again."""
    yield Tell("upsert_switches", [(scope, int(is_stopped), reason, to_ms(now))])
    kind, _, name = scope.partition(":")
    if not is_stopped and kind == "campaign":
        yield Tell("release_held", [(name, to_ms(now))])


def switches() -> Script[Sequence[Switch]]:
    """All switches that were ever set."""
    return [
        Switch(scope, bool(is_stopped), reason, from_ms(at))
        for scope, is_stopped, reason, at in (yield Ask("switches"))
    ]
