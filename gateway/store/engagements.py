"""What people and providers tell us later: opens, clicks, receipts, replies, yes and no.

Each is one fact, however often it is reported. A receipt moves its delivery forward by rank, and
is proof for an attempt in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from channels.contract import Receipt, ReceiptType
from gateway.core import facts, gates, ids
from gateway.core.actors import Actor, actor_of
from gateway.core.delivery import RANK, State
from gateway.core.facts import EventType, Fact
from gateway.core.gates import Cause, Standing
from gateway.core.plan import Plan, unpack
from gateway.store import coupons
from gateway.store.claims import plan_fallback
from gateway.store.consent import CHANNELS, Told, tell_change, tell_changes
from gateway.store.contract import Answer, Change, Hit
from gateway.store.rows import standings_for, tell_facts
from gateway.store.script import Ask, Row, Script, Tell, from_ms, to_ms, to_ms_or_none

MOVES = {
    ReceiptType.ACCEPTED: State.SENT,
    ReceiptType.DELIVERED: State.DELIVERED,
    ReceiptType.BOUNCED: State.BOUNCED,
    ReceiptType.FAILED: State.FAILED,
}
TOLD = {
    ReceiptType.DELIVERED: EventType.DELIVERED,
    ReceiptType.BOUNCED: EventType.BOUNCED,
    ReceiptType.FAILED: EventType.FAILED,
}
SLOT_MS = 10_000
"""Hits of one actor on one link within the same ten seconds are one fact: people double-click."""

HITS = {"opened": EventType.OPENED, "clicked": EventType.CLICKED}


@dataclass(slots=True)
class Known:
    """A delivery as the store has it; moved forward while receipts of one call are read."""

    seq: int
    send_seq: int
    position: int
    state: State
    attempts: int
    provider: str | None
    provider_message_id: str | None
    sent_at: int | None
    plan: Plan


def record(
    *,
    now: datetime,
    hits: Sequence[Hit],
    receipts: Sequence[Receipt],
    changes: Sequence[Change],
    answers: Sequence[Answer],
    secret: bytes,
) -> Script[Sequence[Sequence[bytes] | None]]:
    """Record all with their facts; one answer per change: the subjects that it is about."""
    named = {one.delivery_id for one in hits} | {one.delivery_id for one in receipts}
    named |= {one.delivery_id for one in changes}
    known = yield from deliveries(sorted(named))
    yield from _take_receipts([one for one in receipts if one.delivery_id in known], known, now=now)
    yield from _take_hits([hit for hit in hits if hit.delivery_id in known], known, now=now)
    yield from _take_answers(answers, now=now)
    return (yield from _take_changes(changes, known, now=now, secret=secret))


def _take_changes(
    changes: Sequence[Change], known: Mapping[str, Known], *, now: datetime, secret: bytes
) -> Script[Sequence[Sequence[bytes] | None]]:
    answers: list[Sequence[bytes] | None] = []
    for change in changes:
        one = known.get(change.delivery_id)
        if change.delivery_id and one is None:
            answers.append(None)
            continue
        about = change if one is None else _about(change, one)
        told, delivery_seq = yield from _answered(change, one)
        answers.append((yield from tell_change(about, now=now, secret=secret, told=told)))
        if delivery_seq is not None and change.fact is EventType.UNSUBSCRIBED:
            yield Tell("mark_unsubscribed", [(delivery_seq, to_ms(now))])
    return answers


def _answered(change: Change, one: Known | None) -> Script[tuple[Told | None, int | None]]:
    """The delivery that a change answers, and its number: the one it names, or the last SMS."""
    if one is not None:
        return (one.plan, one.position, one.send_seq), one.seq
    if change.cause is not Cause.STOP:
        return None, None
    people = yield Ask("recipients_of", [(subject,) for subject in change.subjects])
    found = yield Ask("last_delivery_on", [(person, "sms") for _, person in people])
    if not found:
        return None, None
    last = max(found, key=lambda row: row[5])
    return (unpack(last[6]), last[1], last[5]), last[7]


def deliveries(delivery_ids: Sequence[str]) -> Script[dict[str, Known]]:
    """Those of these deliveries that are ours."""
    asked: list[Row] = []
    for one in delivery_ids:
        try:
            asked.append(ids.split_delivery(one))
        except ValueError:
            continue
    found = yield Ask("deliveries_by_id", asked)
    return {
        ids.delivery_id(send_id, position): Known(
            seq=seq,
            send_seq=send_seq,
            position=position,
            state=State(state),
            attempts=attempts,
            provider=provider,
            provider_message_id=provider_message_id,
            sent_at=sent_at,
            plan=unpack(plan),
        )
        for (
            send_id, position, seq, send_seq, state, attempts, provider, provider_message_id,
            sent_at, plan,
        ) in found
    }  # fmt: skip


def _take_hits(hits: Sequence[Hit], known: Mapping[str, Known], *, now: datetime) -> Script[None]:
    told: dict[str, tuple[int | None, Fact]] = {}
    marks: list[Row] = []
    for hit in hits:
        one = known[hit.delivery_id]
        since_s = (hit.occurred_at - from_ms(one.sent_at)).total_seconds() if one.sent_at else None
        actor, reasons = actor_of(
            hit.user_agent,
            method="HEAD" if hit.is_prefetch else "GET",
            seconds_since_sent=since_s,
            machine=hit.machine,
        )
        fact = facts.of_delivery(
            one.plan,
            one.position,
            HITS[hit.type],
            at=hit.occurred_at,
            name=(hit.key or f"{hit.link}:{actor}:{to_ms(hit.occurred_at) // SLOT_MS}",),
            provider=one.provider,
            provider_message_id=one.provider_message_id,
            attempt=one.attempts or None,
            url=hit.url,
            link=hit.link,
            actor=actor,
            actor_reasons=reasons,
        )
        told.setdefault(fact.id, (one.send_seq, fact))
        if actor is Actor.HUMAN:
            at = to_ms(hit.occurred_at)
            marks.append((one.seq, at, at if hit.type == "clicked" else None))
    yield Tell("mark_hits", marks)
    yield from _tell_once(told, now=now)


def _tell_once(told: Mapping[str, tuple[int | None, Fact]], *, now: datetime) -> Script[set[str]]:
    """Tell those facts that were not told before; their ids."""
    if not told:
        return set()
    before = {name for (name,) in (yield Ask("seen", [(name,) for name in sorted(told)]))}
    fresh = [name for name in told if name not in before]
    yield Tell("insert_seen", [(name, to_ms(now)) for name in sorted(fresh)])
    yield from tell_facts([told[name] for name in fresh])
    return set(fresh)


def _take_receipts(
    receipts: Sequence[Receipt], known: Mapping[str, Known], *, now: datetime
) -> Script[None]:
    told: dict[str, tuple[int | None, Fact]] = {}
    moved: dict[str, _Move] = {}
    bounced: list[Change] = []
    for receipt in receipts:
        one = known[receipt.delivery_id]
        at = receipt.occurred_at or now
        for fact in _facts_of(one, receipt, at=at):
            told.setdefault(fact.id, (one.send_seq, fact))
        if receipt.type is ReceiptType.BOUNCED:
            bounced.append(_bounce(one, receipt, at=at))
        move = moved.setdefault(receipt.delivery_id, _Move(one, one.state))
        _forward(move, receipt, at=at)
    yield Tell("move_deliveries", [_move_row(move, now=now) for move in moved.values()])
    for move in moved.values():
        yield from _after_move(move, now=now)
    yield from _tell_once(told, now=now)
    yield from tell_changes(bounced, now=now)


@dataclass(slots=True)
class _Move:
    """A delivery on its way forward through the receipts of one call."""

    one: Known
    before: State
    delivered_at: datetime | None = None
    reason: str = ""


def _forward(move: _Move, receipt: Receipt, *, at: datetime) -> None:
    """Move a delivery forward by rank; a receipt of lower rank still says when it arrived."""
    one, after = move.one, MOVES[receipt.type]
    if receipt.type is ReceiptType.DELIVERED:
        move.delivered_at = move.delivered_at or at
    if RANK[one.state] < RANK[after]:
        one.state = after
        move.reason = receipt.reason
    one.sent_at = one.sent_at or to_ms(at)
    one.provider = one.provider or receipt.provider
    one.provider_message_id = one.provider_message_id or receipt.provider_message_id


def _facts_of(one: Known, receipt: Receipt, *, at: datetime) -> list[Fact]:
    """What a receipt tells: that the message was sent, where nobody told it yet, and itself."""
    told = []
    if RANK[one.state] < RANK[State.SENT]:
        told.append(_receipt_fact(one, receipt, EventType.SENT, at=at))
    if receipt.type in TOLD:
        told.append(_receipt_fact(one, receipt, TOLD[receipt.type], at=at))
    return told


def _after_move(move: _Move, *, now: datetime) -> Script[None]:
    """Proof has the consequences of acceptance; a bounce takes the coupon back."""
    one = move.one
    if RANK[move.before] < RANK[State.SENT] <= RANK[one.state]:
        yield from coupons.issue_of(one.plan, one.send_seq, one.position, at=now)
        yield from plan_fallback(one.plan, one.position, one.seq, now=now)
    if one.state is State.BOUNCED and move.before is not State.BOUNCED:
        yield from coupons.return_bounced(one.plan, one.seq)


def _receipt_fact(one: Known, receipt: Receipt, event: EventType, *, at: datetime) -> Fact:
    is_end = event in (EventType.BOUNCED, EventType.FAILED)
    return facts.of_delivery(
        one.plan,
        one.position,
        event,
        at=at,
        provider=one.provider or receipt.provider,
        provider_message_id=one.provider_message_id or receipt.provider_message_id,
        attempt=max(one.attempts, 1),
        reason="receipt" if is_end else None,
        detail=receipt.reason if is_end else None,
    )


def _bounce(one: Known, receipt: Receipt, *, at: datetime) -> Change:
    route = one.plan.routes[one.position]
    return Change(
        cause=Cause.BOUNCE,
        channel=route.channel,
        is_revoked=True,
        occurred_at=at,
        source=receipt.provider,
        subjects=route.subjects,
        evidence=receipt.reason,
    )


def _move_row(move: _Move, *, now: datetime) -> Row:
    one = move.one
    return (
        one.seq, one.state.value, to_ms(now), one.provider, one.provider_message_id,
        move.reason or None, to_ms_or_none(move.delivered_at),
    )  # fmt: skip


def _take_answers(answers: Sequence[Answer], *, now: datetime) -> Script[None]:
    told: dict[str, tuple[int | None, Fact]] = {}
    for answer in answers:
        people = [person for _, person in (yield Ask("recipients_of", [(answer.subject,)]))]
        found = yield Ask("last_delivery_on", [(person, "sms") for person in people])
        fact, send_seq = _reply_fact(answer, max(found, key=lambda row: row[5], default=None))
        told[fact.id] = (send_seq, fact)
    yield from _tell_once(told, now=now)


def _reply_fact(answer: Answer, last: Row | None) -> tuple[Fact, int | None]:
    """A reply belongs to the newest SMS that its sender got, if we know one."""
    if last is None:
        fact = facts.of_person(
            EventType.REPLIED, name=(answer.key,), recipient_id=None, subject=answer.subject,
            channel="sms", at=answer.occurred_at, reason=answer.said, provider=answer.provider,
        )  # fmt: skip
        return fact, None
    _, position, provider, provider_message_id, attempts, send_seq, plan, _ = last
    fact = facts.of_delivery(
        unpack(plan), position, EventType.REPLIED, at=answer.occurred_at, name=(answer.key,),
        provider=provider, provider_message_id=provider_message_id, attempt=attempts,
        reason=answer.said, actor="human", actor_reasons=(),
    )  # fmt: skip
    return fact, send_seq


def _about(change: Change, one: Known) -> Change:
    """A change with the person and the addresses of the delivery that it names."""
    plan = one.plan
    wanted = CHANNELS if change.channel == "all" else (change.channel,)
    places = [key for route in plan.routes if route.channel in wanted for key in route.subjects]
    return replace(
        change,
        recipient_id=plan.recipient_id,
        subjects=(plan.person, *places, *change.subjects),
    )


def stands(
    delivery_id: str,
) -> Script[tuple[Plan, str, Mapping[str, bool]] | None]:
    """Plan, channel and, per channel, whether promotional messages still reach the person.

    Beside the channels stands `campaign`: whether the plan's own still has a channel left.
    """
    known = yield from deliveries([delivery_id])
    if delivery_id not in known:
        return None
    one = known[delivery_id]
    found = yield from standings_for(gates.subjects(one.plan))
    standings = [standing for of_subject in found.values() for standing in of_subject]
    of_campaign = [standing for standing in standings if standing.topic]
    reaches = {channel: not _forbid(standings, channel, "") for channel in CHANNELS}
    reaches["campaign"] = not all(
        _forbid(of_campaign, channel, one.plan.campaign) for channel in CHANNELS
    )
    return one.plan, one.plan.routes[one.position].channel, reaches


def _forbid(standings: Sequence[Standing], channel: str, campaign: str) -> bool:
    return any(one.forbids(channel, is_promotional=True, campaign=campaign) for one in standings)
