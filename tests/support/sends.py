"""Plans and admissions for tests: one person, any channels."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.core import plan as plans
from gateway.core.plan import Chosen, Plan, Route
from gateway.core.request import Event, SendData
from gateway.core.wire import encode_data
from gateway.store.contract import Admission

NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)


def data(person: str = "ada", **more: Any) -> SendData:
    """Request data for a person who can be reached on every channel."""
    recipient = {
        "id": person,
        "email": f"{person}@example.com",
        "phone": "+4512345678",
        "push": [{"platform": "fcm", "token": f"{person}-phone"}],
        **more.pop("recipient", {}),
    }
    fields = {"campaign": "spring", "template": "hello", "recipient": recipient, **more}
    return msgspec.convert(fields, SendData)


def plan(
    request: SendData, *, secret: bytes, name: str = "r1", channels: tuple[str, ...] = ("email",)
) -> Plan:
    """The plan of a request on these channels."""
    event = Event("winback.send.requested.v1", "/crm", name, request, b"", 0)
    routes = tuple(
        Route(channel, "en", plans.subjects_of(request, channel, secret)) for channel in channels
    )
    chosen = Chosen(routes, "v1", request.purpose or "promotional")
    return plans.plan_of(event, request, chosen, secret=secret, now=NOW)


def admission(
    *,
    secret: bytes,
    name: str = "r1",
    channels: tuple[str, ...] = ("email",),
    digest: bytes = b"0" * 16,
    person: str = "ada",
    **more: Any,
) -> Admission:
    """A request on its way into the store."""
    request = data(person, **more)
    made = plan(request, secret=secret, name=name, channels=channels)
    return Admission(made, digest, encode_data(request))
