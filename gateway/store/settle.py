"""Outcomes become states and facts, compare-and-set on the claim; doubts end, or go again.

A process that lost its claim cannot settle; that the provider took the message after all is proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import structs

from channels.contract import Accepted, Uncertain, Withheld
from gateway.core import delivery, facts, gates
from gateway.core.delivery import State, Tried, Verdict, judge
from gateway.core.facts import EventType, Fact
from gateway.core.gates import Cause, Go, Rules
from gateway.core.plan import Plan, unpack
from gateway.store import coupons
from gateway.store.claims import known_of, next_delivery, plan_fallback
from gateway.store.consent import tell_change
from gateway.store.contract import Change
from gateway.store.rows import tell_facts
from gateway.store.script import Ask, Row, Script, Tell, to_ms, to_ms_or_none

Told = list[tuple[int | None, Fact]]


def settle(
    batch: Sequence[Tried], *, doubt_wait: timedelta, now: datetime, rules: Rules
) -> Script[int]:
    """Record outcomes whose claims are still ours; the others count as stale."""
    keys = [(one.claim.delivery_seq, one.claim.claim_no) for one in batch]
    found = yield Ask("open_claims", keys)
    open_now = {(seq, no): (State(state), bool(is_open)) for seq, no, state, is_open in found}
    rows: list[Row] = []
    made: list[Row] = []
    told: Told = []
    after: list[tuple[Tried, Verdict]] = []
    for tried, key in zip(batch, keys, strict=True):
        state, is_open = open_now.pop(key, (None, False))
        if state is None or not (is_open or _answers(state, tried)):
            continue
        verdict = judge(tried, doubt_wait=doubt_wait)
        if not is_open:  # the sweep that put it in doubt has counted the attempt
            verdict = structs.replace(verdict, counts=False)
        rows.append(_settled_row(tried, verdict))
        told += _facts_of(tried, verdict, before=state)
        if not isinstance(tried.outcome, Withheld):
            made.append(_attempt_row(tried))
        if _has_more(tried, verdict):
            after.append((tried, verdict))
    yield Tell("settle_deliveries", rows)
    yield Tell("insert_attempts", made)
    for tried, verdict in after:
        for change in _suppressions(tried, verdict):
            one = tried.claim
            about = (one.plan, one.position, one.send_seq)
            yield from tell_change(change, now=now, secret=None, told=about)
            if change.fact is EventType.UNSUBSCRIBED:
                yield Tell("mark_unsubscribed", [(one.delivery_seq, to_ms(now))])
    yield from tell_facts(told)
    for tried, verdict in after:
        yield from _after(tried, verdict, now=now, rules=rules)
    return len(batch) - len(rows)


def _has_more(tried: Tried, verdict: Verdict) -> bool:
    """Whether an outcome has consequences beyond its own delivery."""
    plan = tried.claim.plan
    is_end = verdict.tries_next or verdict.cause is not None or delivery.DEAD in tried.targets
    return is_end or plan.pool is not None or plan.fallback_unless is not None


def _answers(state: State, tried: Tried) -> bool:
    """Whether an answer that comes after its claim ran out still decides: no other claim was made.

    Any clear answer ends a doubt; that the provider took it is proof at any time.
    """
    if isinstance(tried.outcome, Accepted):
        return state in (State.IN_DOUBT, State.UNKNOWN, State.QUEUED)
    return state is State.IN_DOUBT and not isinstance(tried.outcome, Uncertain)


def _settled_row(tried: Tried, verdict: Verdict) -> Row:
    is_doubt = verdict.state is State.IN_DOUBT
    due = to_ms_or_none(verdict.due_at)
    sent_at = to_ms(tried.ended_at) if verdict.state is State.SENT else None
    return (
        tried.claim.delivery_seq, verdict.state.value, None if is_doubt else due,
        due if is_doubt else None, int(verdict.counts), tried.targets, tried.provider,
        verdict.provider_id or None, sent_at, verdict.reason or None, verdict.detail or None,
    )  # fmt: skip


def _attempt_row(tried: Tried) -> Row:
    outcome = tried.outcome
    return (
        tried.claim.delivery_seq, tried.claim.claim_no, to_ms(tried.started_at),
        to_ms(tried.ended_at), tried.provider, type(outcome).__name__.lower(),
        getattr(outcome, "reason", ""),
    )  # fmt: skip


TOLD = {
    State.SENT: EventType.SENT,
    State.BOUNCED: EventType.BOUNCED,
    State.FAILED: EventType.FAILED,
    State.UNKNOWN: EventType.UNKNOWN,
}


def _facts_of(tried: Tried, verdict: Verdict, *, before: State) -> Told:
    event = TOLD.get(verdict.state)
    if event is None or before in (State.SENT, State.DELIVERED):
        return []
    one = tried.claim
    fact = facts.of_delivery(
        one.plan, one.position, event, at=tried.ended_at, provider=tried.provider or None,
        provider_message_id=verdict.provider_id, attempt=one.attempts + int(verdict.counts),
        reason=verdict.reason, detail=verdict.detail, segments=tried.segments,
    )  # fmt: skip
    return [(one.send_seq, fact)]


def _after(tried: Tried, verdict: Verdict, *, now: datetime, rules: Rules) -> Script[None]:
    """Give the next channel its turn, and see to the coupon."""
    one = tried.claim
    goes_on = False
    if verdict.tries_next and one.position + 1 < len(one.plan.routes):
        known = yield from known_of([one.plan], rules, now=now)
        mine = known[one.plan.send_id]
        answer = gates.ask(one.plan, mine, rules, now=now, position=one.position + 1)
        if isinstance(answer, Go):
            goes_on = True
            yield from next_delivery(one, answer)
    if verdict.state is State.SENT:
        yield from _after_sent(tried, now=now)
    elif verdict.state is State.UNKNOWN:
        yield from coupons.issue_of(one.plan, one.send_seq, one.position, at=tried.ended_at)
    elif verdict.tries_next and not goes_on:
        yield from coupons.give_back(one.plan, one.delivery_seq)


def _after_sent(tried: Tried, *, now: datetime) -> Script[None]:
    one = tried.claim
    yield from coupons.issue_of(one.plan, one.send_seq, one.position, at=tried.ended_at)
    yield from plan_fallback(one.plan, one.position, one.delivery_seq, now=now)


def _suppressions(tried: Tried, verdict: Verdict) -> list[Change]:
    one = tried.claim
    subjects = one.plan.routes[one.position].subjects
    if tried.targets:
        gone = [subjects[place] for place in delivery.died(one.targets, tried.targets)]
        cause = Cause.DEAD_TOKEN
    else:
        gone, cause = list(subjects), verdict.cause or Cause.BOUNCE
        if verdict.cause is None:
            return []
    if not gone:
        return []
    by_provider = cause is Cause.PROVIDER
    return [
        Change(
            cause=cause,
            channel=one.channel,
            is_revoked=True,
            occurred_at=tried.ended_at,
            source=tried.provider,
            subjects=gone,
            evidence=verdict.detail,
            fact=EventType.UNSUBSCRIBED if by_provider else None,
        )
    ]


def sweep(
    *, doubt_wait: timedelta, lost_before: datetime, now: datetime, limit: int
) -> Script[int]:
    """Claims that ran out are in doubt; doubts whose wait is over end, or go again."""
    lost = yield Ask("ran_out", [(to_ms(lost_before), limit)])
    yield Tell("doubt_deliveries", [_doubted(row, now + doubt_wait) for row in lost])
    over = yield Ask("doubts_over", [(to_ms(now), limit)])
    rows: list[Row] = []
    told: Told = []
    gone: list[tuple[Plan, int, int]] = []
    for seq, send_seq, position, attempts, targets, provider, packed in over:
        plan = unpack(packed)
        row, fact = _doubt_end(plan, position, (seq, attempts, targets, provider), now=now)
        rows.append(row)
        if fact is not None:
            told.append((send_seq, fact))
        gone.append((plan, send_seq, position))  # the person may have it, and so its code
    yield Tell("end_doubts", rows)
    yield from tell_facts(told)
    for plan, send_seq, position in gone:
        yield from coupons.issue_of(plan, send_seq, position, at=now)
    return len(lost) + len(over)


def _doubted(row: Row, until: datetime) -> Row:
    seq, _, targets, state = row
    held = State.IN_DOUBT if state == State.CLAIMED else State(state)
    wait = to_ms(until) if held is State.IN_DOUBT else None
    return (seq, wait, targets.replace(delivery.PENDING, delivery.DOUBTFUL), held.value)


def _doubt_end(
    plan: Plan, position: int, row: tuple[int, int, str, str | None], *, now: datetime
) -> tuple[Row, Fact | None]:
    seq, attempts, targets, provider = row
    again = targets if plan.is_promotional else targets.replace(delivery.DOUBTFUL, delivery.PENDING)
    if not plan.is_promotional or delivery.PENDING in again:
        return (seq, State.QUEUED.value, to_ms(now), again, "in_doubt"), None
    fact = facts.of_delivery(
        plan, position, EventType.UNKNOWN, at=now, provider=provider, attempt=attempts,
        reason="in_doubt",
    )  # fmt: skip
    return (seq, State.UNKNOWN.value, None, targets, "in_doubt"), fact
