"""What happens around the demo's campaign: a pool and a fence before it, people after it.

Invariant: what people do goes through the contract's own doors: links of their messages, topics,
the API. This file only says what is sent; it is pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import unescape
from typing import Any

from channels.contract import Content, EmailContent, PushContent, SmsContent
from gateway.demo_campaign import Run, event
from gateway.demo_people import OPTED_OUT, PASSES_BY, RETURNS

CODES = 40
LATITUDE, LONGITUDE, RADIUS_M = 55.6761, 12.5683, 150
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PIXEL = re.compile(r'src="([^"]+/t/o/[^"]+)"')
_CLICK = re.compile(r'href="([^"]+/t/c/[^"]+)"')
_SHORT = re.compile(r"https?://\S+/t/s/\S+")
_ONE_CLICK = re.compile(r"<(https?://[^>]+/t/u/[^>]+)>")


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request: to the API where `url` is a path, else a link of a message."""

    method: str
    url: str
    body: Mapping[str, Any] | str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """One event on an input topic that is no request. `topic` is the contract's word for it."""

    topic: str
    key: str
    value: bytes


# --- before the campaign ----------------------------------------------------------------------


def pool_call(run: Run) -> Call:
    """A pool of codes that nobody can guess."""
    generate = {"count": CODES, "prefix": "COFFEE-"}
    return Call("PUT", f"/v1/coupon-pools/{run.pool}", {"generate": generate})


def fence_call(run: Run) -> Call:
    """A fence around the shop, and when it is open."""
    properties = {
        "name": "Vestergade 12",
        "radius_m": RADIUS_M,
        "timezone": "Europe/Copenhagen",
        "opening_hours": {day: [["09:00", "18:00"]] for day in DAYS},
    }
    point = {"type": "Point", "coordinates": [LONGITUDE, LATITUDE]}
    feature = {"type": "Feature", "id": run.fence, "geometry": point, "properties": properties}
    return Call("PUT", f"/v1/fences/{run.fence}", feature)


def opt_out(run: Run, *, now: datetime) -> Observed:
    """One of them has answered STOP to an earlier SMS."""
    data = {
        "recipient_id": OPTED_OUT,
        "channel": "sms",
        "state": "revoked",
        "source": "inbound-sms",
        "evidence": "STOP",
        "occurred_at": now.isoformat(),
    }
    return _observed("consent", OPTED_OUT, "winback.consent.changed.v1", data, run)


# --- after it ---------------------------------------------------------------------------------


def shop_visit(run: Run, *, now: datetime) -> Observed:
    """Somebody walks past the shop, as their phone tells."""
    data = {
        "recipient_id": PASSES_BY,
        "latitude": LATITUDE + 0.0003,
        "longitude": LONGITUDE,
        "accuracy_m": 12,
        "observed_at": now.isoformat(),
    }
    return _observed("presence", PASSES_BY, "winback.presence.observed.v1", data, run)


def redemption(key: str, code: str, run: Run) -> Call:
    """The shop redeems a code at the till."""
    body = {"order_id": _order(key, run), "value": _money(key)}
    return Call("POST", f"/v1/coupons/{code}/redeem", body)


def returned(key: str, code: str, run: Run, *, now: datetime) -> Observed:
    """Somebody is a customer again; with the code that they redeemed, if any."""
    data = {
        "recipient_id": key,
        "kind": RETURNS[key].kind,
        "value": _money(key),
        "order_id": _order(key, run),
        "occurred_at": now.isoformat(),
    }
    if code:
        data["coupon_code"] = code
    return _observed("conversions", key, "winback.conversion.observed.v1", data, run)


def deed_calls(content: Content, does: str) -> Sequence[Call]:
    """What a mail client or a browser asks for when somebody does that with a message."""
    return list(_deed_calls(content, does))


def _deed_calls(content: Content, does: str) -> Iterator[Call]:
    match content:
        case EmailContent(html=html, headers=headers):
            yield from _gets(_PIXEL, html)
            if does == "clicks":
                yield from _gets(_CLICK, html)
            if does == "leaves":
                found = _ONE_CLICK.search(headers.get("List-Unsubscribe", ""))
                if found is not None:
                    yield Call("POST", found[1], "List-Unsubscribe=One-Click")
        case SmsContent(text=text):
            yield from _gets(_SHORT, text)
        case PushContent(url=url) if "/t/c/" in url:
            yield Call("GET", url)


def _gets(pattern: re.Pattern[str], text: str) -> Iterator[Call]:
    """The first match as a request."""
    found = pattern.search(text)
    if found is not None:
        yield Call("GET", unescape(found[found.lastindex or 0]))


def _observed(topic: str, key: str, kind: str, data: Mapping[str, Any], run: Run) -> Observed:
    return Observed(topic, key, event(kind, f"{run.name}-{topic}-{key}", data, "/shop"))


def _order(key: str, run: Run) -> str:
    return f"{run.name}-{key}"


def _money(key: str) -> dict[str, str]:
    amount, currency = RETURNS[key].value
    return {"amount": amount, "currency": currency}
