"""How deliveries are attempted: claim, settle, release, and what time makes of open claims.

A claim is a number that grows with every claim of a delivery; settling is compare-and-set on it,
so a process that lost its claim cannot settle. Gates are asked in the claim's own transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from channels.contract import Accepted
from gateway.core import delivery, facts, gates
from gateway.core.delivery import Claim, State, Tried, Verdict, judge
from gateway.core.facts import EventType, Fact
from gateway.core.gates import Cause, End, Go, Reason
from gateway.core.plan import Plan, unpack
from gateway.core.request import SendData
from gateway.core.wire import decode_stored
from gateway.store.consent import tell_changes
from gateway.store.contract import Change, Claimed
from gateway.store.rows import first_targets, gates_bytes, standings_for, tell_facts
from gateway.store.script import Ask, Row, Script, Tell, from_ms, to_ms, to_ms_or_none

# --- claim ----------------------------------------------------------------------------------


def claim(
    channel: str, limit: int, *, claim_for: timedelta, now: datetime
) -> Script[Sequence[Claimed]]:
    """Claim due deliveries that the gates let out; close the others."""
    found: list[Row] = []
    for priority in range(3):
        left = limit - len(found)
        if left > 0:
            found += yield Ask("due", [(channel, priority, to_ms(now), left)])
    due = [(_due_claim(row, until=now + claim_for), State(row[7]), row[9]) for row in found]
    standings = yield from standings_for(
        key for one, _, _ in due for key in gates.subjects(one.plan)
    )
    claimed: list[Claimed] = []
    for one, state, request in due:
        answer = gates.ask(one.plan, standings, now=now, position=one.position)
        if isinstance(answer, Go) and answer.position == one.position:
            data = decode_stored(SendData, request)
            claimed.append(Claimed(one, data, _closed_devices(one, standings)))
        else:
            yield from _close(one, state, answer, now=now)
    yield Tell(
        "claim_deliveries",
        [(c.claim.delivery_seq, c.claim.claim_no, to_ms(c.claim.until)) for c in claimed],
    )
    return claimed


def _due_claim(row: Row, *, until: datetime) -> Claim:
    seq, send_seq, position, claim_no, attempts, queued_at, targets, _, plan, _ = row
    return Claim(
        delivery_seq=seq,
        send_seq=send_seq,
        plan=unpack(plan),
        position=position,
        claim_no=claim_no + 1,
        attempts=attempts,
        queued_at=from_ms(queued_at),
        until=until,
        targets=targets,
    )


def _closed_devices(one: Claim, standings: gates.Standings) -> frozenset[int]:
    if one.channel != "push":
        return frozenset()
    return frozenset(
        place
        for place, key in enumerate(one.plan.routes[one.position].subjects)
        if gates.address_closed(one.plan, "push", key, standings) is not None
    )


def _close(one: Claim, state: State, answer: Go | End, *, now: datetime) -> Script[None]:
    """A delivery that may not go out (any more): the next channel's turn, or the end."""
    if state in (State.SENT, State.DELIVERED):  # other devices of a push have it already
        yield Tell("close_deliveries", [(one.delivery_seq, state.value, None, None)])
        return
    if isinstance(answer, Go):
        closed = (one.delivery_seq, State.SUPPRESSED.value, Reason.CONSENT.value, None)
        yield Tell("close_deliveries", [closed])
        yield from _next_delivery(one, answer)
        return
    ends_tried = one.attempts > 0 and answer.reason is Reason.EXPIRED
    after = State.FAILED if ends_tried else State.SUPPRESSED
    row = (one.delivery_seq, after.value, answer.reason.value, answer.detail)
    yield Tell("close_deliveries", [row])
    yield Tell("end_sends", [(one.send_seq, answer.reason.value, gates_bytes(answer.gates))])
    if ends_tried:
        fact = facts.of_delivery(
            one.plan, one.position, EventType.FAILED, at=now, attempt=one.attempts,
            reason="given_up", detail="expired",
        )  # fmt: skip
        yield from tell_facts([(one.send_seq, fact)])
    elif one.position == 0:  # an earlier channel's end has been told, and was the end
        fact = facts.of_send(
            one.plan, EventType.SUPPRESSED, at=now, reason=answer.reason, detail=answer.detail
        )
        yield from tell_facts([(one.send_seq, fact)])


def _next_delivery(before: Claim, answer: Go) -> Script[None]:
    ((seq,),) = yield Ask("new_delivery_seqs", [(1,)])
    plan, due = before.plan, to_ms(answer.due_at)
    channel = plan.routes[answer.position].channel
    yield Tell(
        "insert_deliveries",
        [(
            seq, before.send_seq, answer.position, channel, State.QUEUED.value, plan.priority,
            due, due, 0, None, first_targets(plan, answer.position),
        )],
    )  # fmt: skip


# --- settle ---------------------------------------------------------------------------------


def settle(batch: Sequence[Tried], *, doubt_wait: timedelta, now: datetime) -> Script[int]:
    """Record outcomes whose claims are still ours; the others count as stale."""
    open_now = {
        seq: (State(state), is_open)
        for seq, state, is_open in (
            yield Ask("open_claims", [(t.claim.delivery_seq, t.claim.claim_no) for t in batch])
        )
    }
    rows: list[Row] = []
    told: list[tuple[int | None, Fact]] = []
    ends: list[tuple[Tried, Verdict]] = []
    stale = 0
    for tried in batch:
        state, is_open = open_now.get(tried.claim.delivery_seq, (None, False))
        if state is None or not (is_open or _proves(state, tried)):
            stale += 1
            continue
        verdict = judge(tried, doubt_wait=doubt_wait)
        rows.append(_settled_row(tried, verdict))
        told += _facts_of(tried, verdict, before=state)
        if verdict.tries_next or verdict.cause or delivery.DEAD in tried.targets:
            ends.append((tried, verdict))
    yield Tell("settle_deliveries", rows)
    yield Tell("insert_attempts", [_attempt_row(tried) for tried in batch])
    yield from tell_facts(told)
    for tried, verdict in ends:
        yield from _after_end(tried, verdict, now=now)
    return stale


def _proves(state: State, tried: Tried) -> bool:
    """An answer that comes after its claim ran out still proves that the provider took it."""
    return state in (State.IN_DOUBT, State.UNKNOWN) and isinstance(tried.outcome, Accepted)


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


def _facts_of(tried: Tried, verdict: Verdict, *, before: State) -> list[tuple[int | None, Fact]]:
    event = TOLD.get(verdict.state)
    if event is None or before in (State.SENT, State.DELIVERED):
        return []
    one = tried.claim
    fact = facts.of_delivery(
        one.plan, one.position, event, at=tried.ended_at, provider=tried.provider,
        provider_message_id=verdict.provider_id, attempt=one.attempts + int(verdict.counts),
        reason=verdict.reason, detail=verdict.detail, segments=tried.segments,
    )  # fmt: skip
    return [(one.send_seq, fact)]


def _after_end(tried: Tried, verdict: Verdict, *, now: datetime) -> Script[None]:
    """Suppress what was refused, then give the next allowed channel its turn."""
    one = tried.claim
    changes = _suppressions(tried, verdict)
    if changes:
        yield from tell_changes(changes, now=now)
    if verdict.tries_next and one.position + 1 < len(one.plan.routes):
        standings = yield from standings_for(gates.subjects(one.plan))
        answer = gates.ask(one.plan, standings, now=now, position=one.position + 1)
        if isinstance(answer, Go):
            yield from _next_delivery(one, answer)


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


# --- release and time -----------------------------------------------------------------------


def release(claims: Sequence[Claim], *, now: datetime) -> Script[None]:
    """Nothing was written under these claims: they are due again."""
    rows = [(one.delivery_seq, one.claim_no, to_ms(now)) for one in claims]
    yield Tell("release_claims", rows)


def sweep(
    *, doubt_wait: timedelta, lost_before: datetime, now: datetime, limit: int
) -> Script[int]:
    """Claims that ran out are in doubt; doubts whose wait is over end, or go again."""
    lost = yield Ask("ran_out", [(to_ms(lost_before), limit)])
    yield Tell("doubt_deliveries", [_doubted(row, now + doubt_wait) for row in lost])
    over = yield Ask("doubts_over", [(to_ms(now), limit)])
    rows: list[Row] = []
    told: list[tuple[int | None, Fact]] = []
    for seq, send_seq, position, attempts, targets, provider, packed in over:
        plan = unpack(packed)
        row, fact = _doubt_end(plan, position, (seq, attempts, targets, provider), now=now)
        rows.append(row)
        if fact is not None:
            told.append((send_seq, fact))
    yield Tell("end_doubts", rows)
    yield from tell_facts(told)
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
