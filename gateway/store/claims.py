"""How deliveries are claimed, and how they end without a message.

A claim is a number that grows with every claim of a delivery. Gates are asked in the claim's own
transaction, in order of priority, so the higher priority gets the last place under a cap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from msgspec import structs

from gateway.core import delivery, facts, gates
from gateway.core.delivery import Claim, State
from gateway.core.facts import EventType
from gateway.core.gates import Answer, End, Gate, Go, Known, Reason, Rules
from gateway.core.plan import Plan, unpack
from gateway.core.policy import Touch, lookback
from gateway.core.request import SendData
from gateway.core.wire import decode_stored
from gateway.store.contract import Claimed, Coupon
from gateway.store.coupons import give_back, issue_of, reserve
from gateway.store.rows import delivery_row, gates_bytes, standings_for, tell_facts
from gateway.store.script import Ask, Row, Script, Tell, from_ms, to_ms

LOOK_MAX = 500
"""How many due deliveries one claim looks at before it gives the writer to others."""

FAR = 253_402_300_799_000
"""The end of the year 9999 in milliseconds: due when something else rings."""

WENT_OUT = frozenset({State.SENT, State.DELIVERED, State.UNKNOWN, State.IN_DOUBT})


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that has not gone out, as a claim that might be made of it."""

    claim: Claim
    state: State
    stop: str | None
    request: bytes


def due_of(row: Row, *, until: datetime) -> Due:
    """A row of `due` and its like."""
    seq, send_seq, position, claim_no, attempts, queued_at, targets, state, plan, stop, request = (
        row[:11]
    )
    claim = Claim(
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
    return Due(claim, State(state), stop, request)


# --- claim ----------------------------------------------------------------------------------


def claim(
    channel: str, limit: int, *, claim_for: timedelta, now: datetime, rules: Rules
) -> Script[Sequence[Claimed]]:
    """Claim due deliveries that the gates let out; close or put off the others."""
    stopped = yield from stopped_scopes()
    if stopped & {"global", f"channel:{channel}"}:
        return []
    claimed: list[Claimed] = []
    looked = 0
    while len(claimed) < limit and looked < LOOK_MAX:
        taken = yield from _claim_round(
            channel, limit - len(claimed), rules, stopped, (now, claim_for)
        )
        claimed += taken[0]
        looked += taken[1]
        if taken[1] == 0:
            break
    return claimed


def _claim_round(
    channel: str, limit: int, rules: Rules, stopped: set[str], when: tuple[datetime, timedelta]
) -> Script[tuple[list[Claimed], int]]:
    """Look at the most urgent due deliveries: what was claimed, and how many were looked at.

    What is held, put off or closed makes room for the next, or a stopped campaign's deliveries
    would stand in everybody's way.
    """
    now, claim_for = when
    found: list[Row] = []
    for priority in range(3):
        left = limit - len(found)
        if left > 0:
            found += yield Ask("due", [(channel, priority, to_ms(now), left)])
    due = [due_of(row, until=now + claim_for) for row in found]
    known = yield from known_of([one.claim.plan for one in due], rules, now=now)
    claimed: list[Claimed] = []
    for one in due:
        taken = yield from _claim_one(one, known[one.claim.plan.send_id], rules, (stopped, now))
        if taken is not None:
            claimed.append(taken)
            _touch(known[one.claim.plan.send_id], one.claim, now)
    yield Tell("claim_deliveries", [_claim_row(one.claim) for one in claimed])
    return claimed, len(due)


def _claim_row(claim: Claim) -> Row:
    return (claim.delivery_seq, claim.claim_no, to_ms(claim.until), to_ms(claim.queued_at))


def stopped_scopes() -> Script[set[str]]:
    """The scopes whose switch is off."""
    return {scope for scope, is_stopped, _, _ in (yield Ask("switches")) if is_stopped}


def known_of(plans: Sequence[Plan], rules: Rules, *, now: datetime) -> Script[Mapping[str, Known]]:
    """What the gates must know of these sends; people share their touches."""
    standings = yield from standings_for(key for plan in plans for key in gates.subjects(plan))
    touches: defaultdict[str, list[Touch]] = defaultdict(list)
    if rules.caps:
        since = to_ms(now - lookback(rules.caps))
        people = sorted({plan.recipient_id for plan in plans if plan.is_promotional})
        for person, channel, at in (yield Ask("touches", [(one, since) for one in people])):
            touches[person].append((channel, from_ms(at)))
    return {plan.send_id: Known(standings, touches[plan.recipient_id]) for plan in plans}


def _touch(known: Known, one: Claim, now: datetime) -> None:
    """What was just claimed counts for the person's next delivery in this transaction."""
    if one.plan.is_promotional and isinstance(known.touches, list):
        known.touches.append((one.channel, now))


def _claim_one(
    one: Due, known: Known, rules: Rules, when: tuple[set[str], datetime]
) -> Script[Claimed | None]:
    stopped, now = when
    plan = one.claim.plan
    is_over = one.state is State.ARMED  # nobody came: no switch keeps that from ending
    if f"campaign:{plan.campaign}" in stopped and one.stop is None and not is_over:
        until = to_ms(plan.expires_at) if plan.expires_at else FAR
        yield Tell("hold_deliveries", [(one.claim.delivery_seq, until)])
        return None
    answer = yield from _answer(one, known, rules, now=now)
    if isinstance(answer, End) or answer.position != one.claim.position:
        yield from close(one, answer, now=now)
        return None
    if answer.due_at > now:
        row = (one.claim.delivery_seq, to_ms(answer.due_at), _waiting(one.state))
        yield Tell("requeue_deliveries", [row])
        return None
    coupon: Coupon | None = None
    if plan.pool is not None:
        kept = yield from reserve(one.claim, now=now)
        if isinstance(kept, End):
            yield from close(one, kept, now=now)
            return None
        coupon = kept
    data = decode_stored(SendData, one.request)
    is_first = yield from _is_first_sms(one.claim)
    return Claimed(one.claim, data, _closed_devices(one.claim, known), coupon, is_first)


def _is_first_sms(claim: Claim) -> Script[bool]:
    """Whether this is the first promotional SMS that the person gets."""
    if claim.channel != "sms" or not claim.plan.is_promotional:
        return False
    return not (yield Ask("last_delivery_on", [(claim.plan.recipient_id, "sms")]))


def _waiting(state: State) -> str:
    return State.QUEUED.value if state in (State.HELD, State.ARMED) else state.value


def _answer(one: Due, known: Known, rules: Rules, *, now: datetime) -> Script[Answer]:
    """The gates' answer, and what only this send's own history can say."""
    plan, position = one.claim.plan, one.claim.position
    if one.stop is not None:
        return ended(Reason(one.stop))
    if position > 0 and (yield from _has_reacted(one.claim)):
        return ended(Reason.NO_ROUTE, "an earlier channel reached the person")
    if one.state is State.ARMED:
        return ended(Reason.EXPIRED, "nobody came to the place")
    if one.state in (State.SENT, State.DELIVERED):  # its other devices: it counts already
        rules = replace(rules, caps=())
    answer = gates.ask(plan, known, rules, now=now, position=position)
    if isinstance(answer, Go) and plan.is_holdout and answer.due_at <= now:
        return ended(Reason.HELD_OUT, plan.variant or "")
    return answer


def ended(reason: Reason, detail: str = "") -> End:
    """An end that one gate alone decides."""
    return End(reason, detail, (Gate("stop", reason.value, detail),))


def _has_reacted(one: Claim) -> Script[bool]:
    """Whether the person reacted to an earlier channel, so that this one is not needed."""
    unless = one.plan.fallback_unless
    if unless is None:
        return False
    for _, state, delivered_at, opened_at, clicked_at in (
        yield Ask("reactions", [(one.send_seq, one.position)])
    ):
        if state in (State.SENT, State.DELIVERED) and reacted(
            unless, delivered_at, opened_at, clicked_at
        ):
            return True
    return False


def reacted(
    unless: str, delivered_at: int | None, opened_at: int | None, clicked_at: int | None
) -> bool:
    """Whether a delivery was taken as far as `fallback.unless` asks; a click implies an open."""
    if unless == "delivered":
        return any(at is not None for at in (delivered_at, opened_at, clicked_at))
    if unless == "opened":
        return opened_at is not None or clicked_at is not None
    return clicked_at is not None


def _closed_devices(one: Claim, known: Known) -> frozenset[int]:
    if one.channel != "push":
        return frozenset()
    return frozenset(
        place
        for place, key in enumerate(one.plan.routes[one.position].subjects)
        if gates.address_closed(one.plan, "push", key, known.standings) is not None
    )


# --- ends -----------------------------------------------------------------------------------


def close(one: Due, answer: Answer, *, now: datetime) -> Script[None]:
    """A delivery that may not go out (any more): the next channel's turn, or the end."""
    claim = one.claim
    if one.state in (State.SENT, State.DELIVERED):  # a push that other devices have already
        yield Tell("close_deliveries", [(claim.delivery_seq, one.state.value, None, None)])
        return
    if claim.plan.is_promotional and delivery.DOUBTFUL in claim.targets:
        yield from _end_in_doubt(claim, now=now)
        return
    if isinstance(answer, Go):
        shut = (claim.delivery_seq, State.SUPPRESSED.value, Reason.CONSENT.value, None)
        yield Tell("close_deliveries", [shut])
        yield from next_delivery(claim, answer)
        return
    has_failed = claim.attempts > 0 and answer.reason is Reason.EXPIRED
    after = State.FAILED if has_failed else State.SUPPRESSED
    row = (claim.delivery_seq, after.value, answer.reason.value, answer.detail)
    yield Tell("close_deliveries", [row])
    yield from _end_send(claim, answer, has_failed=has_failed, now=now)
    yield from give_back(claim.plan, claim.delivery_seq)


def _end_in_doubt(claim: Claim, *, now: datetime) -> Script[None]:
    """A push that a device may have: nothing else goes out for it, and its code stays out."""
    row = (claim.delivery_seq, State.UNKNOWN.value, "in_doubt", None)
    yield Tell("close_deliveries", [row])
    fact = facts.of_delivery(
        claim.plan, claim.position, EventType.UNKNOWN, at=now, attempt=claim.attempts,
        reason="in_doubt",
    )  # fmt: skip
    yield from tell_facts([(claim.send_seq, fact)])
    yield from issue_of(claim.plan, claim.send_seq, claim.position, at=now)


def _end_send(claim: Claim, answer: End, *, has_failed: bool, now: datetime) -> Script[None]:
    """Keep and tell the end; unless an earlier channel's message went out, which was the end."""
    if has_failed:
        fact = facts.of_delivery(
            claim.plan, claim.position, EventType.FAILED, at=now, attempt=claim.attempts,
            reason="given_up", detail="expired",
        )  # fmt: skip
    else:
        earlier = yield Ask("reactions", [(claim.send_seq, claim.position)])
        if any(State(row[1]) in WENT_OUT for row in earlier):
            return
        fact = suppressed(claim.plan, answer, now=now)
    end = (claim.send_seq, answer.reason.value, gates_bytes(answer.gates), to_ms(now))
    yield Tell("end_sends", [end])
    yield from tell_facts([(claim.send_seq, fact)])


def suppressed(plan: Plan, answer: End, *, now: datetime) -> facts.Fact:
    """The fact that a request ends without a message."""
    event = EventType.SUPPRESSED
    return facts.of_send(plan, event, at=now, reason=answer.reason, detail=answer.detail)


def next_delivery(before: Claim, answer: Go) -> Script[None]:
    """The next channel's turn, as the gates allow it."""
    ((seq,),) = yield Ask("new_delivery_seqs", [(1,)])
    claim = structs.replace(
        before,
        delivery_seq=seq,
        position=answer.position,
        claim_no=0,
        attempts=0,
        queued_at=answer.due_at,
        targets=delivery.first_targets(before.plan, answer.position),
    )
    row = delivery_row(claim, State.QUEUED, due=answer.due_at)
    yield Tell("insert_deliveries", [row])


# --- time -----------------------------------------------------------------------------------


def expire(*, now: datetime, limit: int) -> Script[int]:
    """End what waits past its request's end."""
    found = yield Ask("expired", [(to_ms(now), limit)])
    for row in found:
        one = due_of(row, until=now)
        yield from close(one, ended(Reason(one.stop or Reason.EXPIRED), "while it waited"), now=now)
    return len(found)


def plan_fallback(plan: Plan, position: int, delivery_seq: int, *, now: datetime) -> Script[None]:
    """Note when the next channel's turn comes, where the request asks for that."""
    if plan.fallback_after_s is None or position + 1 >= len(plan.routes):
        return
    due = now + timedelta(seconds=plan.fallback_after_s)
    yield Tell("fall_back_at", [(delivery_seq, to_ms(due))])


def fall_back(*, now: datetime, limit: int, rules: Rules) -> Script[int]:
    """Give the next channel its turn where the person did not react in time."""
    found = yield Ask("falling_back", [(to_ms(now), limit)])
    yield Tell("fall_back_at", [(row[0], None) for row in found])
    waiting = [due_of(row, until=now) for row in found]
    known = yield from known_of([one.claim.plan for one in waiting], rules, now=now)
    for row, one in zip(found, waiting, strict=True):
        claim = one.claim
        if one.stop is not None or reacted(claim.plan.fallback_unless or "", *row[11:14]):
            continue
        answer = gates.ask(
            claim.plan, known[claim.plan.send_id], rules, now=now, position=claim.position + 1
        )
        if isinstance(answer, Go):
            yield from next_delivery(claim, answer)
    return len(found)
