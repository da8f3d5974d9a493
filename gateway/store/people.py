"""Everything held about one person: shown, and erased.

After an erasure nothing of the person is left but the keyed hashes that keep them from being
written to, also when they are imported again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from gateway.core import ids
from gateway.core.attribution import state_of
from gateway.core.gates import Cause
from gateway.core.plan import subjects_of
from gateway.core.request import SendData
from gateway.core.wire import decode_stored
from gateway.store.rows import standings_for
from gateway.store.script import Ask, Row, Script, Tell, from_ms, to_ms
from gateway.store.upkeep import forget_sends, published_mark, story

CHANNELS = ("email", "sms", "push")
_decode = msgspec.json.decode


def person(recipient_id: str, *, secret: bytes) -> Script[Mapping[str, Any] | None]:
    """All that the store holds of a person; None for one it does not know."""
    sends = yield Ask("sends_of_person", [(recipient_id,)])
    key = ids.subject_key(secret, "person", recipient_id)
    subjects = yield from _subjects(recipient_id, sends, secret)
    standings = yield from standings_for(subjects)
    ledger = yield Ask("ledger_of_subject", [(subject,) for subject in subjects])
    conversions = yield Ask("conversions_of_person", [(recipient_id,)])
    coupons = yield Ask("coupons_of_person", [(recipient_id,)])
    if not sends and not ledger and not conversions:
        return None
    stories = []
    for row in sends:
        told = yield from story(row[1])
        stories.append({**(told or {}), "request_data": _decode(row[3])})
    flat = [one for of_subject in standings.values() for one in of_subject]
    return {
        "recipient_id": recipient_id,
        "state": state_of(
            is_opted_out=any(
                one.is_revoked and not one.topic and one.subject == key for one in flat
            ),
            has_returned=bool(conversions),
            has_clicked=any(row[4] for row in sends),
            has_open=any(row[5] for row in sends),
        ),
        "consent": [_consent(row) for row in ledger],
        "sends": stories,
        "conversions": [_conversion(row) for row in conversions],
        "revenue": _revenue(conversions),
        "coupons": [
            {"code": code, "pool": pool, "state": state, "campaign": campaign}
            for code, pool, state, campaign in coupons
        ],
    }


def _subjects(recipient_id: str, sends: Sequence[Row], secret: bytes) -> Script[list[bytes]]:
    """Keys of the person and of every address that was ever said to be theirs."""
    found = {ids.subject_key(secret, "person", recipient_id)}
    found |= {bytes(key) for (key,) in (yield Ask("addresses_of", [(recipient_id,)]))}
    for row in sends:
        data = decode_stored(SendData, row[3])
        found |= {key for channel in CHANNELS for key in subjects_of(data, channel, secret)}
    return sorted(found)


def _consent(row: Row) -> dict[str, Any]:
    channel, topic, cause, is_revoked, source, evidence, occurred_at, recorded_at = row
    return {
        "channel": channel,
        "topic": topic or None,
        "state": "revoked" if is_revoked else "granted",
        "cause": cause,
        "source": source,
        "evidence": evidence or None,
        "occurred_at": from_ms(occurred_at),
        "recorded_at": from_ms(recorded_at),
    }


def _conversion(row: Row) -> dict[str, Any]:
    kind, value, currency, order_id, occurred_at, delivery_id = row
    return {
        "kind": kind,
        "value": {"amount": value, "currency": currency} if value else None,
        "order_id": order_id,
        "occurred_at": from_ms(occurred_at),
        "attributed_to": delivery_id,
    }


def _revenue(conversions: Sequence[Row]) -> dict[str, str]:
    """Revenue since the person came back, per currency."""
    from_back: dict[str, Decimal] = {}
    for _, value, currency, *_ in conversions:
        if value is not None:
            from_back[currency] = from_back.get(currency, Decimal(0)) + Decimal(value)
    return {currency: str(total) for currency, total in sorted(from_back.items())}


def erase(recipient_id: str, *, secret: bytes, now: datetime) -> Script[Sequence[bytes]]:
    """Forget a person; the subjects that stay closed."""
    sends = yield Ask("sends_of_person", [(recipient_id,)])
    subjects = yield from _subjects(recipient_id, sends, secret)
    at = to_ms(now)
    rows = [
        (subject, channel, "", Cause.ERASED.value, 1, at)
        for subject in subjects
        for channel in CHANNELS
    ]
    yield Tell("upsert_standings", rows)
    yield Tell("erase_ledger", [(subject,) for subject in subjects])
    yield from forget_sends(sends)
    for query in ERASE_BY_PERSON:
        yield Tell(query, [(recipient_id,)])
    yield Tell("erase_facts_of_key", [(recipient_id.encode(),)])
    mark = yield from published_mark()
    yield Tell("erase_letters", [(mark,)])
    return subjects


ERASE_BY_PERSON = (
    "erase_addresses",
    "erase_conversions",
    "erase_cooldowns",
    "erase_coupons",
)
