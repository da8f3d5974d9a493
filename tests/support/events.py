"""Input events for tests: whole, valid ones, as plain JSON values that a test may then break."""

from __future__ import annotations

import json
from typing import Any

ZONES = frozenset({"Europe/Copenhagen", "America/New_York", "UTC"})
"""The zones that tests know; the gateway is given the machine's."""

AT = "2026-05-01T10:00:00Z"


def send_data() -> dict[str, Any]:
    """A send request with every field that the contract names."""
    money = {"amount": "10.00", "currency": "EUR"}
    return {
        "campaign": "spring-2026",
        "template": "come_back",
        "recipient": {
            "id": "cust-000123",
            "email": "anna.larsen@example.dk",
            "phone": "+4520123456",
            "push": [
                {"platform": "fcm", "token": "fcm-token"},
                {"platform": "webpush", "subscription": {"endpoint": "https://push.example/1"}},
            ],
            "locale": "da-DK",
            "timezone": "Europe/Copenhagen",
            "country": "DK",
            "name": "Anna Larsen",
            "preferred_channels": ["push", "email"],
            "attributes": {"plan": "gold", "orders": 7},
        },
        "channels": ["email", "sms"],
        "variables": {"first_name": "Anna", "score": 0.5, "products": [{"name": "shoes"}]},
        "churn": {
            "reason": "price",
            "last_active": "2026-01-01",
            "segment": "dormant",
            "lifetime_value": dict(money),
        },
        "offer": {
            "kind": "percent_off",
            "amount": dict(money),
            "percent": 15,
            "expires_in": "P7D",
            "expires_at": "2026-07-01T00:00:00Z",
            "pool": "spring",
        },
        "not_before": "2026-05-02T00:00:00Z",
        "expires_at": "2026-06-01T00:00:00Z",
        "purpose": "promotional",
        "priority": "normal",
        "geo": {"fences": ["shop-1"], "expires_at": "2026-06-01T00:00:00Z"},
        "fallback": {"after": "PT2H", "unless": "opened"},
        "experiment": {
            "name": "spring",
            "variants": [
                {"name": "a", "weight": 1, "template": "come_back"},
                {"name": "b", "weight": 2.5, "variables": {"x": 1}, "offer": {"kind": "points"}},
            ],
            "holdout": 0.1,
        },
        "test": False,
    }


def event(data: object, **attributes: object) -> dict[str, Any]:
    """A structured CloudEvent around `data`; `attributes` replace or add."""
    return {
        "specversion": "1.0",
        "id": "req-1",
        "source": "/campaigns",
        "type": "winback.send.requested.v1",
        "time": AT,
        "datacontenttype": "application/json",
        "data": data,
        **attributes,
    }


def encoded(value: object) -> bytes:
    """JSON as most producers write it."""
    return json.dumps(value, ensure_ascii=False).encode()


def binary(whole: dict[str, Any]) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The same event in binary mode: value and headers."""
    names = ("specversion", "id", "source", "type", "time")
    headers = [(f"ce_{name}", str(whole[name]).encode()) for name in names if name in whole]
    return encoded(whole["data"]), [*headers, ("content-type", b"application/json")]
