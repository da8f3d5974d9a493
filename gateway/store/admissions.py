"""How requests become sends: identity, gates, the first claim, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import structs

from gateway.core import facts, gates
from gateway.core.delivery import Claim, State, first_targets
from gateway.core.gates import End, Go, Reason, Rules
from gateway.core.plan import Plan, pack
from gateway.store.claims import ended, known_of, stopped_scopes, suppressed
from gateway.store.contract import Admission, Admitted, Refusal
from gateway.store.places import armed_until
from gateway.store.rows import delivery_row, gates_bytes, letter_row, tell_facts
from gateway.store.script import Ask, Row, Script, Tell, from_ms, to_ms


def admit(
    batch: Sequence[Admission],
    refusals: Sequence[Refusal],
    *,
    room: Mapping[str, int],
    claim_for: timedelta,
    now: datetime,
    is_whole: bool,
    rules: Rules,
) -> Script[Sequence[Admitted]]:
    """Make sends of new requests; the rest is duplicate or conflict."""
    if refusals:
        yield from _bury(refusals, now=now)
    found = yield Ask("known_sends", [(one.plan.send_id,) for one in batch])
    known: dict[str, bytes] = {send_id: bytes(digest) for send_id, digest in found}
    fresh: list[Admission] = []
    answers: list[Admitted] = []
    for one in batch:
        before = known.get(one.plan.send_id)
        if before is None:
            known[one.plan.send_id] = one.digest
            fresh.append(one)
        answers.append(Admitted(one.plan.send_id, _status(before, one.digest)))
    if is_whole and any(answer.status == "conflict" for answer in answers):
        return answers
    stopped = yield from stopped_scopes()
    free = (
        {}
        if "global" in stopped
        else {
            channel: places
            for channel, places in room.items()
            if f"channel:{channel}" not in stopped
        }
    )
    claims = yield from _make_sends(
        fresh, rules, stopped=stopped, room=free, claim_for=claim_for, now=now
    )
    return [
        answer._replace(claim=claims.get(answer.send_id)) if answer.status == "accepted" else answer
        for answer in answers
    ]


def _status(before: bytes | None, digest: bytes) -> str:
    if before is None:
        return "accepted"
    return "duplicate" if before == digest else "conflict"


def _bury(refusals: Sequence[Refusal], *, now: datetime) -> Script[None]:
    """Write dead letters into the outbox, each place in a topic once."""
    buried = {name for (name,) in (yield Ask("seen", [(one.name,) for one in refusals]))}
    fresh = {one.name: one for one in refusals if one.name not in buried}
    yield Tell("insert_seen", [(name, to_ms(now)) for name in fresh])
    yield Tell(
        "insert_facts",
        [letter_row(one.key, one.value, one.headers, now=now) for one in fresh.values()],
    )


class _Made(NamedTuple):
    """A request, the gates' answer to it, and the number of its send."""

    one: Admission
    answer: Go | End
    send_seq: int
    has_closed: bool = False  # a device of its push must not be written to


def _make_sends(
    fresh: Sequence[Admission],
    rules: Rules,
    *,
    stopped: set[str],
    room: Mapping[str, int],
    claim_for: timedelta,
    now: datetime,
) -> Script[Mapping[str, Claim]]:
    if not fresh:
        return {}
    made = yield from _answered(fresh, rules, now=now)
    going = [one for one in made if isinstance(one.answer, Go)]
    numbers = (yield Ask("new_delivery_seqs", [(len(going),)])) if going else []
    claims: dict[str, Claim] = {}
    deliveries: list[Row] = []
    free = dict(room)
    for one, (seq,) in zip(sorted(going, key=_priority), numbers, strict=True):
        claim = _claim(one, seq, claim_for=claim_for, now=now)
        state = _first_state(one, rules, free, now=now)
        if state is State.CLAIMED and f"campaign:{claim.plan.campaign}" in stopped:
            state = State.QUEUED
        if state is State.CLAIMED:
            free[claim.channel] -= 1
            claims[one.one.plan.send_id] = claim
        deliveries.append(_first_row(claim, state))
    yield Tell("insert_sends", [_send_row(one, now=now) for one in made])
    yield Tell("insert_deliveries", deliveries)
    yield Tell("insert_addresses", _address_rows(fresh))
    yield from tell_facts(_first_facts(made, now=now))
    return claims


def _answered(fresh: Sequence[Admission], rules: Rules, *, now: datetime) -> Script[list[_Made]]:
    """The gates' answers; a request that was cancelled before it came ends here."""
    early = _without_caps(rules)
    known = yield from known_of([one.plan for one in fresh], early, now=now)
    cancelled = yield Ask("cancels", [(one.plan.send_id,) for one in fresh])
    gone = {send_id for (send_id,) in cancelled}
    numbers = yield Ask("new_send_seqs", [(len(fresh),)])
    made: list[_Made] = []
    for one, (seq,) in zip(fresh, numbers, strict=True):
        mine = known[one.plan.send_id]
        answer: Go | End = gates.ask(one.plan, mine, early, now=now)
        if one.plan.send_id in gone:
            answer = ended(Reason.CANCELLED)
        made.append(_Made(one, answer, seq, _has_closed(one.plan, answer, mine)))
    return made


def _has_closed(plan: Plan, answer: Go | End, known: gates.Known) -> bool:
    if isinstance(answer, End) or plan.routes[answer.position].channel != "push":
        return False
    keys = plan.routes[answer.position].subjects
    return any(gates.address_closed(plan, "push", key, known.standings) for key in keys)


def _without_caps(rules: Rules) -> Rules:
    """The rules of admission: caps count when a message goes out, not when it is asked for."""
    return replace(rules, caps=())


def _priority(made: _Made) -> int:
    return made.one.plan.priority


def _first_state(made: _Made, rules: Rules, free: Mapping[str, int], *, now: datetime) -> State:
    """Claimed at once where only the gates that were asked decide, else to be claimed."""
    plan, answer = made.one.plan, made.answer
    if plan.fences:
        return State.ARMED
    needs_more = plan.pool is not None or plan.is_holdout or made.has_closed
    needs_more = needs_more or (plan.is_promotional and _is_sms(answer, plan))
    needs_more = needs_more or (plan.is_promotional and bool(rules.caps))
    if needs_more or not isinstance(answer, Go) or answer.due_at > now:
        return State.QUEUED
    channel = plan.routes[answer.position].channel
    return State.CLAIMED if free.get(channel, 0) > 0 else State.QUEUED


def _is_sms(answer: Go | End, plan: Plan) -> bool:
    """A promotional SMS asks the store whether it is the person's first."""
    return isinstance(answer, Go) and plan.routes[answer.position].channel == "sms"


def _first_row(claim: Claim, state: State) -> Row:
    if state is State.CLAIMED:
        return delivery_row(claim, state, due=None)
    if state is State.ARMED:
        return delivery_row(claim, state, due=from_ms(armed_until(claim.plan)))
    return delivery_row(structs.replace(claim, claim_no=0), state, due=claim.queued_at)


def _first_facts(made: Sequence[_Made], *, now: datetime) -> list[tuple[int | None, facts.Fact]]:
    told: list[tuple[int | None, facts.Fact]] = []
    for one in made:
        plan = one.one.plan
        if isinstance(one.answer, End):
            told.append((one.send_seq, suppressed(plan, one.answer, now=now)))
        elif plan.fences:
            detail = ", ".join(plan.fences)[:1000]
            fact = facts.of_send(plan, facts.EventType.ARMED, at=now, reason=None, detail=detail)
            told.append((one.send_seq, fact))
    return told


def _send_row(made: _Made, *, now: datetime) -> Row:
    plan, answer = made.one.plan, made.answer
    end = answer.reason.value if isinstance(answer, End) else None
    return (
        made.send_seq, plan.send_id, made.one.digest, plan.recipient_id, plan.campaign,
        int(plan.is_promotional and not plan.is_test), pack(plan), made.one.request,
        gates_bytes((*made.one.gates, *answer.gates)), to_ms(now), end,
    )  # fmt: skip


def _claim(made: _Made, seq: int, *, claim_for: timedelta, now: datetime) -> Claim:
    plan, answer = made.one.plan, made.answer
    assert isinstance(answer, Go)  # noqa: S101 - only what goes is claimed
    return Claim(
        delivery_seq=seq,
        send_seq=made.send_seq,
        plan=plan,
        position=answer.position,
        claim_no=1,
        attempts=0,
        queued_at=answer.due_at,
        until=now + claim_for,
        targets=first_targets(plan, answer.position),
    )


def _address_rows(fresh: Sequence[Admission]) -> list[Row]:
    return sorted(
        {
            (key, one.plan.recipient_id, route.channel)
            for one in fresh
            for route in one.plan.routes
            for key in route.subjects
        }
    )
