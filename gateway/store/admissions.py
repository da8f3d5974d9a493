"""How requests become sends: identity, gates, the first claim, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from gateway.core import facts, gates
from gateway.core.delivery import Claim, State
from gateway.core.gates import End, Go
from gateway.core.plan import pack
from gateway.store.contract import Admission, Admitted, Refusal
from gateway.store.rows import (
    first_targets,
    gates_bytes,
    letter_row,
    standings_for,
    tell_facts,
)
from gateway.store.script import Ask, Row, Script, Tell, to_ms


def admit(
    batch: Sequence[Admission],
    refusals: Sequence[Refusal],
    *,
    room: Mapping[str, int],
    claim_for: timedelta,
    now: datetime,
    is_whole: bool,
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
    claims = yield from _make_sends(fresh, room=room, claim_for=claim_for, now=now)
    return [
        replace(answer, claim=claims.get(answer.send_id)) if answer.status == "accepted" else answer
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


def _make_sends(
    fresh: Sequence[Admission], *, room: Mapping[str, int], claim_for: timedelta, now: datetime
) -> Script[Mapping[str, Claim]]:
    if not fresh:
        return {}
    standings = yield from standings_for(key for one in fresh for key in gates.subjects(one.plan))
    answers = [gates.ask(one.plan, standings, now=now) for one in fresh]
    send_seqs = [seq for (seq,) in (yield Ask("new_send_seqs", [(len(fresh),)]))]
    going = sum(isinstance(answer, Go) for answer in answers)
    numbers = (yield Ask("new_delivery_seqs", [(going,)])) if going else []
    delivery_seqs = iter([seq for (seq,) in numbers])
    sends: list[Row] = []
    deliveries: list[Row] = []
    claims: dict[str, Claim] = {}
    ended: list[tuple[int | None, facts.Fact]] = []
    free = dict(room)
    for one, answer, send_seq in zip(fresh, answers, send_seqs, strict=True):
        sends.append(_send_row(one, answer, send_seq, now=now))
        if isinstance(answer, End):
            ended.append((send_seq, suppressed(one, answer, now=now)))
            continue
        claim = _claim(one, answer, (send_seq, next(delivery_seqs)), claim_for=claim_for, now=now)
        is_claimed = answer.due_at <= now and free.get(claim.channel, 0) > 0
        if is_claimed:
            free[claim.channel] -= 1
            claims[one.plan.send_id] = claim
        deliveries.append(_delivery_row(claim, answer, is_claimed=is_claimed))
    yield Tell("insert_sends", sends)
    yield Tell("insert_deliveries", deliveries)
    yield Tell("insert_addresses", _address_rows(fresh))
    yield from tell_facts(ended)
    return claims


def suppressed(one: Admission, answer: End, *, now: datetime) -> facts.Fact:
    """The fact that a request ends without a message."""
    event = facts.EventType.SUPPRESSED
    return facts.of_send(one.plan, event, at=now, reason=answer.reason, detail=answer.detail)


def _send_row(one: Admission, answer: Go | End, seq: int, *, now: datetime) -> Row:
    plan = one.plan
    ended = answer.reason.value if isinstance(answer, End) else None
    return (
        seq, plan.send_id, one.digest, plan.recipient_id, plan.campaign, pack(plan), one.request,
        gates_bytes(answer.gates), to_ms(now), ended,
    )  # fmt: skip


def _claim(
    one: Admission, answer: Go, seqs: tuple[int, int], *, claim_for: timedelta, now: datetime
) -> Claim:
    return Claim(
        delivery_seq=seqs[1],
        send_seq=seqs[0],
        plan=one.plan,
        position=answer.position,
        claim_no=1,
        attempts=0,
        queued_at=answer.due_at,
        until=now + claim_for,
        targets=first_targets(one.plan, answer.position),
    )


def _delivery_row(claim: Claim, answer: Go, *, is_claimed: bool) -> Row:
    due = to_ms(answer.due_at)
    state = State.CLAIMED if is_claimed else State.QUEUED
    return (
        claim.delivery_seq, claim.send_seq, claim.position, claim.channel, state.value,
        claim.plan.priority, due, None if is_claimed else due, int(is_claimed),
        to_ms(claim.until) if is_claimed else None, claim.targets,
    )  # fmt: skip


def _address_rows(fresh: Sequence[Admission]) -> list[Row]:
    return sorted(
        {
            (key, one.plan.recipient_id, route.channel)
            for one in fresh
            for route in one.plan.routes
            for key in route.subjects
        }
    )
