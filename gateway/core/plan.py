"""The plan of a send: all that its gates and its facts need to know of the request.

It is made once, when the request is taken in, and never changes. It holds no address: where the
gates must know one, it holds the keyed hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from gateway.core import durations, ids
from gateway.core.places import Place
from gateway.core.request import Event, PushAddress, SendData

PRIORITIES = {"high": 0, "normal": 1, "low": 2}


class Route(Struct, frozen=True, array_like=True):
    """One allowed channel of a send: the language of its text, the keys of its addresses."""

    channel: str
    locale: str
    subjects: tuple[bytes, ...]


class Plan(Struct, frozen=True, array_like=True):
    """What a send is, where it may go, and until when. `routes` are in order of preference."""

    send_id: str
    source: str
    request_id: str
    recipient_id: str
    campaign: str
    template: str
    template_version: str
    purpose: str
    priority: int
    routes: tuple[Route, ...]
    person: bytes
    accepted_at: datetime
    not_before: datetime | None = None
    expires_at: datetime | None = None
    variant: str | None = None
    is_test: bool = False
    is_holdout: bool = False
    zones: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    region: str = ""
    churn_reason: str | None = None
    offer_kind: str | None = None
    pool: str | None = None
    coupon_expires_in_s: float | None = None
    coupon_expires_at: datetime | None = None
    fences: tuple[str, ...] = ()
    armed_until: datetime | None = None
    fallback_after_s: float | None = None
    fallback_unless: str | None = None

    @property
    def is_promotional(self) -> bool:
        """Promotional and transactional differ in consent and in what happens in doubt."""
        return self.purpose == "promotional"

    def delivery_id(self, position: int) -> str:
        """The id of the delivery on the route at `position`."""
        return ids.delivery_id(self.send_id, position)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Plan)


def pack(plan: Plan) -> bytes:
    """A plan as bytes for the store."""
    return _encoder.encode(plan)


def unpack(packed: bytes) -> Plan:
    """The plan of bytes from the store."""
    return _decoder.decode(packed)


def normal_address(channel: str, address: str) -> str:
    """An address in the form under which suppressions are kept: e-mail in lower case."""
    return address.strip().lower() if channel == "email" else address


def address_of(data: SendData, channel: str) -> tuple[str | PushAddress, ...]:
    """Where a request can reach the person on a channel; empty where it cannot."""
    who = data.recipient
    if channel == "email":
        return (who.email,) if who.email else ()
    if channel == "sms":
        return (who.phone,) if who.phone else ()
    return tuple(who.push)


def push_name(target: PushAddress) -> str:
    """What identifies a device: its token, or its subscription's endpoint."""
    return target.token or str((target.subscription or {}).get("endpoint", ""))


def subjects_of(data: SendData, channel: str, secret: bytes) -> tuple[bytes, ...]:
    """The keys of the addresses that a request has for a channel."""
    return tuple(
        ids.subject_key(
            secret,
            channel,
            push_name(place) if isinstance(place, PushAddress) else normal_address(channel, place),
        )
        for place in address_of(data, channel)
    )


NOWHERE = Place((), ())


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was decided about a request before its plan is made."""

    routes: tuple[Route, ...]
    template_version: str
    purpose: str
    place: Place = NOWHERE
    variant: str | None = None
    is_holdout: bool = False


def plan_of(event: Event, data: SendData, chosen: Chosen, *, secret: bytes, now: datetime) -> Plan:
    """The plan of a request; `data` is what its message is made of, after arm and offer."""
    offer, geo, fallback = data.offer, data.geo, data.fallback
    return Plan(
        send_id=ids.send_id(event.source, event.id),
        source=event.source,
        request_id=event.id,
        recipient_id=data.recipient.id,
        campaign=data.campaign,
        template=data.template,
        template_version=chosen.template_version,
        purpose=chosen.purpose,
        priority=PRIORITIES[data.priority],
        routes=chosen.routes,
        person=ids.subject_key(secret, "person", data.recipient.id),
        accepted_at=now,
        not_before=utc(data.not_before),
        expires_at=utc(data.expires_at),
        variant=chosen.variant,
        is_test=data.test,
        is_holdout=chosen.is_holdout,
        zones=chosen.place.zones,
        countries=chosen.place.countries,
        region=chosen.place.region,
        churn_reason=data.churn.reason if data.churn else None,
        offer_kind=offer.kind if offer else None,
        pool=offer.pool if offer else None,
        coupon_expires_in_s=_seconds(offer.expires_in if offer else None),
        coupon_expires_at=utc(offer.expires_at if offer else None),
        fences=tuple(geo.fences) if geo else (),
        armed_until=utc(geo.expires_at if geo else None),
        fallback_after_s=_seconds(fallback.after if fallback else None),
        fallback_unless=fallback.unless if fallback else None,
    )


def _seconds(duration: str | None) -> float | None:
    return None if duration is None else durations.parse(duration).total_seconds()


def utc(at: datetime | None) -> datetime | None:
    """The same instant in UTC."""
    return at.astimezone(UTC) if at is not None else None
