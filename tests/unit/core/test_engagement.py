from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.core.engagement import EventType, Fact, FactData, encode, publishable

AT = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))
FIELDS = (
    "send_id delivery_id request_source request_id campaign template template_version variant "
    "locale channel provider provider_message_id recipient_id occurred_at attempt reason detail "
    "url link actor actor_reasons segments cost coupon_code offer_kind value currency "
    "attributed_to window is_holdout is_test"
)
TYPES = (
    "winback.send.suppressed.v1 winback.send.armed.v1 winback.message.sent.v1 "
    "winback.message.delivered.v1 winback.message.bounced.v1 winback.message.failed.v1 "
    "winback.message.unknown.v1 winback.message.opened.v1 winback.message.clicked.v1 "
    "winback.message.replied.v1 winback.recipient.unsubscribed.v1 "
    "winback.recipient.resubscribed.v1 winback.recipient.complained.v1 winback.coupon.issued.v1 "
    "winback.coupon.redeemed.v1 winback.coupon.expired.v1 winback.conversion.attributed.v1"
)


def fact(**fields: object) -> Fact:
    data = FactData(occurred_at=AT, **fields)  # type: ignore[arg-type]
    return Fact(EventType.SENT, "0f" * 16, "cust-1", AT, data)


def test_the_types_are_those_of_the_contract() -> None:
    """Section 1.3, name by name."""
    assert [event_type.value for event_type in EventType] == TYPES.split()


def test_an_event_has_every_field_in_order() -> None:
    """Fields that do not apply are null; the two marks are false; times are UTC."""
    event = json.loads(encode(fact(send_id="s1", attempt=1)))
    assert list(event["data"]) == FIELDS.split()
    told = {name: value for name, value in event["data"].items() if value is not None}
    assert told == {
        "send_id": "s1",
        "occurred_at": "2026-05-01T10:00:00.250000Z",
        "attempt": 1,
        "is_holdout": False,
        "is_test": False,
    }


def test_the_envelope_is_a_structured_cloudevent() -> None:
    """All required attributes, the send as subject, the same time as the data."""
    event = json.loads(encode(fact(send_id="s1"), source="/winback"))
    del event["data"]
    assert event == {
        "specversion": "1.0",
        "id": "0f" * 16,
        "source": "/winback",
        "type": "winback.message.sent.v1",
        "subject": "s1",
        "time": "2026-05-01T10:00:00.250000Z",
        "datacontenttype": "application/json",
    }


def test_without_a_send_the_subject_is_the_key() -> None:
    """A fact about a person alone is about that person."""
    assert json.loads(encode(fact()))["subject"] == "cust-1"


def test_the_same_fact_is_the_same_bytes() -> None:
    """Whatever zone the time came in: published twice, it is the same event."""
    utc = AT.astimezone(UTC)
    same = Fact(EventType.SENT, "0f" * 16, "cust-1", utc, FactData(occurred_at=utc))
    assert encode(same) == encode(fact())


OWN = "https://go.shop.example/mail"


@pytest.mark.parametrize(
    ("url", "published"),
    [
        ("https://shop.example/a?b=1&c=2", "https://shop.example/a?b=1&c=2"),
        ("https://shop.example/a#anna@example.dk", "https://shop.example/a"),
        ("https://anna:secret@shop.example/", "https://shop.example/"),
        ("https://shop.example/?e=anna@example.dk&x=1", "https://shop.example/?e=-&x=1"),
        ("https://shop.example/?e=anna%40example.dk", "https://shop.example/?e=-"),
        ("https://shop.example/u/anna%40example.dk/x", "https://shop.example/u/-/x"),
        ("https://shop.example/?p=%2B4520123456", "https://shop.example/?p=-"),
        ("https://shop.example/?a%40b=1", "https://shop.example/?-"),
        (f"{OWN}/t/c/token", None),
        (f"{OWN}/t/u/token", None),
        (f"{OWN}/other", f"{OWN}/other"),
        ("javascript:alert(1)", None),
        ("mailto:anna@example.dk", None),
        ("https://[broken", None),
        ("/relative", None),
        ("https://shop.example/" + "a" * 3000, None),
    ],
)
def test_what_may_stand_in_a_url(url: str, published: str | None) -> None:
    """No address, no number and no token of ours is published in a destination."""
    assert publishable(url, public_url=OWN) == published
