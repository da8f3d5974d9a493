"""What the scripts share: standings, facts and the rows they are made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from gateway.bus.contract import Headers, Outgoing
from gateway.core.delivery import Claim, State
from gateway.core.engagement import Fact, encode
from gateway.core.gates import Cause, Gate, Standing, Standings
from gateway.store.contract import DLQ, ENGAGEMENT
from gateway.store.script import Ask, Row, Script, Tell, from_ms, to_ms, to_ms_or_none

_headers = msgspec.msgpack.Decoder(list[tuple[str, bytes]])
_pack = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode


def standings_for(subjects: Iterable[bytes]) -> Script[Standings]:
    """All that is known of these subjects, by subject."""
    found = yield Ask("standings", [(subject,) for subject in sorted(set(subjects))])
    by_subject: defaultdict[bytes, list[Standing]] = defaultdict(list)
    for subject, channel, topic, cause, is_revoked, occurred_at in found:
        by_subject[subject].append(
            Standing(subject, channel, topic, Cause(cause), bool(is_revoked), from_ms(occurred_at))
        )
    return by_subject


def tell_facts(facts: Sequence[tuple[int | None, Fact]]) -> Script[None]:
    """Write facts into the outbox, each with the send it belongs to."""
    if facts:
        yield Tell("insert_facts", [fact_row(send_seq, fact) for send_seq, fact in facts])


def fact_row(send_seq: int | None, fact: Fact) -> Row:
    """A fact as a row of the outbox."""
    return (send_seq, ENGAGEMENT, fact.key.encode(), encode(fact), None, to_ms(fact.occurred_at))


def letter_row(key: bytes | None, value: bytes | None, headers: Headers, *, now: datetime) -> Row:
    """A dead letter as a row of the outbox."""
    return (None, DLQ, key, value, _pack([(name, text) for name, text in headers]), to_ms(now))


def outgoing(topic: str, key: bytes | None, value: bytes | None, headers: bytes | None) -> Outgoing:
    """A row of the outbox as a record to publish."""
    return Outgoing(topic, key, value, _headers.decode(headers) if headers else ())


def gates_bytes(gates: Sequence[Gate]) -> bytes:
    """Gates as they are kept in a decision record."""
    return _json([(gate.gate, gate.answer, gate.detail) for gate in gates])


def delivery_row(claim: Claim, state: State, *, due: datetime | None) -> Row:
    """A new delivery; claimed at once where `state` says so, else due then."""
    plan, is_claimed = claim.plan, state is State.CLAIMED
    return (
        claim.delivery_seq, claim.send_seq, claim.position, claim.channel, state.value,
        plan.priority, to_ms(claim.queued_at), None if due is None else to_ms(due),
        to_ms_or_none(plan.expires_at), int(is_claimed),
        to_ms(claim.until) if is_claimed else None, claim.targets,
    )  # fmt: skip
