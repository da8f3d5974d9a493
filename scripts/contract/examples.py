"""Examples of events, bodies and facts: whole, valid, and of people who do not exist.

Invariant: a fact is written by the gateway's own encoder, so its form is the published one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.core import ids
from gateway.core.engagement import EventType, Fact, FactData, encode

AT = "2026-05-01T10:00:00Z"
SOURCE = "/campaigns/spring"
MONEY = {"amount": "10.00", "currency": "EUR"}

SEND_DATA: Mapping[str, Any] = {
    "campaign": "spring-2026",
    "template": "incentive",
    "recipient": {
        "id": "cust-000123",
        "name": "Anna",
        "email": "anna@shop.example",
        "phone": "+4520123456",
        "locale": "en-GB",
        "timezone": "Europe/Copenhagen",
    },
    "channels": ["email", "sms"],
    "churn": {"reason": "price", "last_active": "2026-01-15", "lifetime_value": MONEY},
    "offer": {"kind": "percent_off", "percent": 20, "expires_in": "P7D"},
    "variables": {"landing_url": "https://shop.example/welcome-back"},
    "fallback": {"after": "PT48H", "unless": "opened"},
    "test": True,
}
CONSENT_DATA: Mapping[str, Any] = {
    "channel": "email",
    "state": "revoked",
    "source": "support desk",
    "evidence": "ticket 4711",
    "occurred_at": AT,
}
DATA: Mapping[str, Mapping[str, Any]] = {
    "winback.send.requested.v1": SEND_DATA,
    "winback.send.cancelled.v1": {"campaign": "spring-2026", "recipient_id": "cust-000123"},
    "winback.presence.observed.v1": {
        "recipient_id": "cust-000123",
        "latitude": 55.6761,
        "longitude": 12.5683,
        "accuracy_m": 20,
        "observed_at": AT,
    },
    "winback.conversion.observed.v1": {
        "recipient_id": "cust-000123",
        "kind": "order",
        "value": {"amount": "49.90", "currency": "EUR"},
        "order_id": "o-2026-77",
        "occurred_at": AT,
    },
    "winback.consent.changed.v1": {"recipient_id": "cust-000123", **CONSENT_DATA},
}
FENCE: Mapping[str, Any] = {
    "type": "Feature",
    "id": "copenhagen-central",
    "geometry": {"type": "Point", "coordinates": [12.5683, 55.6761]},
    "properties": {
        "radius_m": 150,
        "name": "Copenhagen Central",
        "groups": ["denmark"],
        "timezone": "Europe/Copenhagen",
        "opening_hours": {"mon": [["09:00", "18:00"]], "sat": [["10:00", "14:00"]]},
    },
}
BODIES: Mapping[str, Mapping[str, Any]] = {
    "ConsentChange": CONSENT_DATA,
    "Fence": FENCE,
    "Pool": {"generate": {"count": 100, "prefix": "SPRING-"}},
    "Redeem": {"order_id": "o-2026-77", "value": {"amount": "49.90", "currency": "EUR"}},
    "SwitchState": {"state": "stopped", "reason": "the provider has an outage"},
}
"""One body by the name of its schema."""


def event(kind: str, name: str = "r-1001", source: str = SOURCE) -> dict[str, Any]:
    """An input event of a type, in structured mode."""
    return {
        "specversion": "1.0",
        "type": kind,
        "source": source,
        "id": name,
        "time": AT,
        "datacontenttype": "application/json",
        "data": DATA[kind],
    }


# --- what the gateway publishes ---------------------------------------------------------------

_AT = datetime(2026, 5, 1, 10, 0, 5, tzinfo=UTC)
SEND = ids.send_id(SOURCE, "r-1001")
DELIVERY = ids.delivery_id(SEND, 0)
_OF_SEND: Mapping[str, Any] = {
    "send_id": SEND,
    "request_source": SOURCE,
    "request_id": "r-1001",
    "campaign": "spring-2026",
    "template": "incentive",
    "template_version": "9f2c51d0a4b7",
    "recipient_id": "cust-000123",
    "offer_kind": "percent_off",
}
_OF_DELIVERY: Mapping[str, Any] = {
    **_OF_SEND,
    "delivery_id": DELIVERY,
    "locale": "en",
    "channel": "email",
    "provider": "sendgrid",
    "provider_message_id": "pm-14c5d75ce93",
}
_OF_PERSON: Mapping[str, Any] = {"recipient_id": "cust-000123", "channel": "email"}
_PAID = {"value": "49.90", "currency": "EUR"}
_FACTS: Mapping[EventType, Mapping[str, Any]] = {
    EventType.SUPPRESSED: {**_OF_SEND, "reason": "consent", "detail": "email: unsubscribe"},
    EventType.ARMED: {**_OF_SEND, "detail": "copenhagen-central"},
    EventType.SENT: {**_OF_DELIVERY, "attempt": 1},
    EventType.DELIVERED: _OF_DELIVERY,
    EventType.BOUNCED: {**_OF_DELIVERY, "reason": "receipt", "detail": "no such mailbox"},
    EventType.FAILED: {**_OF_DELIVERY, "attempt": 5, "reason": "given_up", "detail": "expired"},
    EventType.UNKNOWN: {**_OF_DELIVERY, "attempt": 1, "reason": "in_doubt"},
    EventType.OPENED: {
        **_OF_DELIVERY,
        "actor": "proxy",
        "actor_reasons": ["gmail_image_proxy"],
    },
    EventType.CLICKED: {
        **_OF_DELIVERY,
        "url": "https://shop.example/welcome-back",
        "link": 0,
        "actor": "human",
        "actor_reasons": [],
    },
    EventType.REPLIED: {
        **_OF_DELIVERY,
        "channel": "sms",
        "provider": "twilio",
        "reason": "reply",
        "actor": "human",
        "actor_reasons": [],
    },
    EventType.UNSUBSCRIBED: {**_OF_PERSON, "reason": "unsubscribe"},
    EventType.RESUBSCRIBED: {**_OF_PERSON, "reason": "consent"},
    EventType.COMPLAINED: {**_OF_PERSON, "provider": "sendgrid", "reason": "complaint"},
    EventType.COUPON_ISSUED: {**_OF_DELIVERY, "coupon_code": "SPRING-7QK2M9XWC4TBNP"},
    EventType.COUPON_REDEEMED: {
        **_OF_DELIVERY,
        "coupon_code": "SPRING-7QK2M9XWC4TBNP",
        **_PAID,
    },
    EventType.COUPON_EXPIRED: {**_OF_DELIVERY, "coupon_code": "SPRING-7QK2M9XWC4TBNP"},
    EventType.ATTRIBUTED: {
        **_OF_SEND,
        "delivery_id": DELIVERY,
        "locale": "en",
        "channel": "email",
        "reason": "order",
        "detail": "click",
        "attributed_to": DELIVERY,
        "window": "P5D",
        **_PAID,
    },
}


def fact(kind: EventType) -> dict[str, Any]:
    """An output event of a type, as it is published."""
    data = FactData(occurred_at=_AT, **_FACTS[kind])
    written = encode(Fact(kind, ids.fact_id(kind.value, "example"), "cust-000123", _AT, data))
    found: dict[str, Any] = msgspec.json.decode(written)
    return found
