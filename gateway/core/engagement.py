"""What the gateway tells the world: facts, as CloudEvents on the engagement topic.

Invariant: every event has every field of the contract's section 1.3, null where it does not
apply, and no field can hold an address, a number, a device token or a link token of ours.
Ids and times are given by the caller; who acted is judged in `actors.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec

SOURCE: Final = "/winback-gateway"
URL_MAX: Final = 2048


class EventType(StrEnum):
    """Every event type of the engagement topic."""

    SUPPRESSED = "winback.send.suppressed.v1"
    ARMED = "winback.send.armed.v1"
    SENT = "winback.message.sent.v1"
    DELIVERED = "winback.message.delivered.v1"
    BOUNCED = "winback.message.bounced.v1"
    FAILED = "winback.message.failed.v1"
    UNKNOWN = "winback.message.unknown.v1"
    OPENED = "winback.message.opened.v1"
    CLICKED = "winback.message.clicked.v1"
    REPLIED = "winback.message.replied.v1"
    UNSUBSCRIBED = "winback.recipient.unsubscribed.v1"
    RESUBSCRIBED = "winback.recipient.resubscribed.v1"
    COMPLAINED = "winback.recipient.complained.v1"
    COUPON_ISSUED = "winback.coupon.issued.v1"
    COUPON_REDEEMED = "winback.coupon.redeemed.v1"
    COUPON_EXPIRED = "winback.coupon.expired.v1"
    ATTRIBUTED = "winback.conversion.attributed.v1"


Type = EventType


class FactData(msgspec.Struct, frozen=True, kw_only=True):
    """`data` of every output event, flat, in the contract's order.

    `value` and `cost` are decimal strings, `currency` is ISO 4217 and speaks of both; `window`
    is an ISO 8601 duration; `link` is the number of the link in its message, from 0.
    `is_holdout` and `is_test` are always true or false, so that a filter needs no null case.
    """

    send_id: str | None = None
    delivery_id: str | None = None
    request_source: str | None = None
    request_id: str | None = None
    campaign: str | None = None
    template: str | None = None
    template_version: str | None = None
    variant: str | None = None
    locale: str | None = None
    channel: str | None = None
    provider: str | None = None
    provider_message_id: str | None = None
    recipient_id: str | None = None
    occurred_at: datetime
    attempt: int | None = None
    reason: str | None = None
    detail: str | None = None
    url: str | None = None
    link: int | None = None
    actor: str | None = None
    actor_reasons: list[str] | None = None
    segments: int | None = None
    cost: str | None = None
    coupon_code: str | None = None
    offer_kind: str | None = None
    value: str | None = None
    currency: str | None = None
    attributed_to: str | None = None
    window: str | None = None
    is_holdout: bool = False
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """One output event: `id` makes it one fact, `key` puts it in order with its person's others.

    `id` comes from `ids.fact_id`; `key` is the recipient id, or the keyed hash in hexadecimal
    where nobody is known; `occurred_at` is aware and the one in `data` too.
    """

    type: EventType
    id: str
    key: str
    occurred_at: datetime
    data: FactData


class _Envelope(msgspec.Struct, frozen=True):
    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str
    data: FactData


_encoder: Final = msgspec.json.Encoder()


def encode(fact: Fact, source: str = SOURCE) -> bytes:
    """A fact as a structured CloudEvent; times in UTC, subject the send id, else the key."""
    data = fact.data
    if fact.occurred_at.tzinfo is not UTC or data.occurred_at.tzinfo is not UTC:
        at = fact.occurred_at.astimezone(UTC)
        data = msgspec.structs.replace(data, occurred_at=data.occurred_at.astimezone(UTC))
    else:
        at = fact.occurred_at
    subject = data.send_id or fact.key
    envelope = _Envelope(
        "1.0", fact.id, source, fact.type.value, subject, at, "application/json", data
    )
    return _encoder.encode(envelope)


# --- what may stand in `url` ----------------------------------------------------------------

# An address, or a number in international form, anywhere in a destination. Both are bounded, so
# that a long run of letters is read once and not once per letter.
_PERSONAL: Final = re.compile(r"[^\s/?&=#;@]{1,64}@[^\s/?&=#;@]{1,253}|(?<!\d)\+\d{7,15}(?!\d)")


def publishable(url: str, *, public_url: str) -> str | None:
    """A destination as it may be published: None for our own links, addresses and numbers cut.

    `public_url` is the base of the gateway's links: whatever lies under it carries a token.
    The fragment goes, and so does `user:password@`; the path and query are kept but for parts
    that are an address or an international number, plain or percent-encoded.
    """
    if len(url) > URL_MAX:
        return None
    try:
        parts, own = urlsplit(url), urlsplit(public_url)
        host, own_host = parts.hostname, own.hostname
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    if host == own_host and parts.path.startswith(f"{own.path.rstrip('/')}/t/"):
        return None
    netloc = parts.netloc.rpartition("@")[2]
    path = "/".join(_without_person(step) for step in parts.path.split("/"))
    query = "&".join(_without_person(pair) for pair in parts.query.split("&"))
    return urlunsplit((parts.scheme, netloc, path, query, ""))


def _without_person(part: str) -> str:
    """One path step or one query pair; its value is cut where it shows an address or a number."""
    if not _PERSONAL.search(unquote(part)):
        return part
    name, is_pair, _ = part.partition("=")
    return f"{name}=-" if is_pair and not _PERSONAL.search(unquote(name)) else "-"
