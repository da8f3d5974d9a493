r"""What upstream asks for: the events that come in, as values.

These structs are both the decoded events and the schema of the contract (section 1.1 and 1.2);
`wire.py` turns bytes into them and names the first fault. Money is exact: a decimal string.
Patterns end in `$(?!\n)`, because a bare `$` also matches before a last newline.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field, structs

ChannelName = Literal["email", "sms", "push"]
Purpose = Literal["promotional", "transactional"]
Priority = Literal["low", "normal", "high"]
ChurnReason = Literal[
    "price", "service", "product", "competitor", "forgot", "outgrown", "payment", "other"
]
OfferKind = Literal["amount_off", "percent_off", "free_shipping", "gift", "consultation", "points"]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Text = Annotated[str, Meta(min_length=1, max_length=1024)]
Duration = Annotated[
    str,
    Meta(
        pattern=r"^P(?!$)([0-9]+W|([0-9]+D)?(T(?=[0-9])([0-9]+H)?([0-9]+M)?([0-9]+S)?)?)$(?!\n)",
        max_length=32,
    ),
]
Locale = Annotated[
    str, Meta(pattern=r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$(?!\n)", max_length=35)
]
Instant = Annotated[datetime, Meta(tz=True)]


class Money(Struct, frozen=True, forbid_unknown_fields=False):
    """An exact amount: `amount` is a decimal string, `currency` an ISO 4217 code."""

    amount: Annotated[str, Meta(pattern=r"^-?[0-9]{1,18}(\.[0-9]{1,6})?$(?!\n)")]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")]


class PushAddress(Struct, frozen=True):
    """One device of a person."""

    platform: Literal["fcm", "apns", "webpush"]
    token: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    subscription: dict[str, Any] | None = None


class Recipient(Struct, frozen=True):
    """The person: one id, any number of addresses."""

    id: Name
    email: Annotated[str, Meta(max_length=254)] | None = None
    phone: Annotated[str, Meta(pattern=r"^\+[1-9][0-9]{6,14}$(?!\n)")] | None = None
    push: Annotated[list[PushAddress], Meta(max_length=20)] = field(default_factory=list)
    locale: Locale | None = None
    timezone: Annotated[str, Meta(max_length=64)] | None = None
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$(?!\n)")] | None = None
    name: Annotated[str, Meta(max_length=256)] | None = None
    preferred_channels: Annotated[list[ChannelName], Meta(max_length=3)] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


class Churn(Struct, frozen=True):
    """Why and when the person left."""

    reason: ChurnReason | None = None
    last_active: date | None = None
    segment: Annotated[str, Meta(max_length=128)] | None = None
    lifetime_value: Money | None = None


class Offer(Struct, frozen=True):
    """What the person gets for coming back."""

    kind: OfferKind
    amount: Money | None = None
    percent: Annotated[float, Meta(gt=0, le=100)] | None = None
    expires_in: Duration | None = None
    expires_at: Instant | None = None
    pool: Name | None = None


class Geo(Struct, frozen=True):
    """Where the person must be seen before the message goes out."""

    fences: Annotated[list[Name], Meta(min_length=1, max_length=1000)]
    expires_at: Instant | None = None


class Fallback(Struct, frozen=True):
    """When to try the next channel."""

    after: Duration
    unless: Literal["delivered", "opened", "clicked"]


class Variant(Struct, frozen=True):
    """One arm of an experiment."""

    name: Name
    weight: Annotated[float, Meta(ge=0)]
    template: Text | None = None
    variables: dict[str, Any] | None = None
    offer: Offer | None = None


class Experiment(Struct, frozen=True):
    """Arms and a hold-out; who falls where depends on `name` and the person alone."""

    name: Name
    variants: Annotated[list[Variant], Meta(max_length=100)] = field(default_factory=list)
    holdout: Annotated[float, Meta(ge=0, le=1)] = 0.0


class SendData(Struct, frozen=True):
    """`data` of `winback.send.requested.v1`."""

    campaign: Name
    template: Text
    recipient: Recipient
    channels: Annotated[list[ChannelName], Meta(min_length=1, max_length=3)] | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    churn: Churn | None = None
    offer: Offer | None = None
    not_before: Instant | None = None
    expires_at: Instant | None = None
    purpose: Purpose | None = None
    priority: Priority = "normal"
    geo: Geo | None = None
    fallback: Fallback | None = None
    experiment: Experiment | None = None
    test: bool = False


class CancelData(Struct, frozen=True):
    """`data` of `winback.send.cancelled.v1`: one request, or a campaign (of one person)."""

    source: Text | None = None
    id: Text | None = None
    campaign: Name | None = None
    recipient_id: Name | None = None


class PresenceData(Struct, frozen=True):
    """`data` of `winback.presence.observed.v1`."""

    recipient_id: Name
    observed_at: Instant
    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    accuracy_m: Annotated[float, Meta(ge=0)] | None = None
    fence: Name | None = None


class ConversionData(Struct, frozen=True):
    """`data` of `winback.conversion.observed.v1`; without `occurred_at` it is now."""

    recipient_id: Name
    kind: Name
    occurred_at: Instant | None = None
    value: Money | None = None
    order_id: Name | None = None
    coupon_code: Name | None = None


class ConsentData(Struct, frozen=True):
    """`data` of `winback.consent.changed.v1`: about a person, an address, or both."""

    channel: Literal["email", "sms", "push", "all"]
    state: Literal["granted", "revoked"]
    source: Text = "unspecified"
    occurred_at: Instant | None = None
    recipient_id: Name | None = None
    email: Annotated[str, Meta(max_length=254)] | None = None
    phone: Annotated[str, Meta(pattern=r"^\+[1-9][0-9]{6,14}$(?!\n)")] | None = None
    topic: Name | None = None
    evidence: Annotated[str, Meta(max_length=4096)] | None = None


Data = SendData | CancelData | PresenceData | ConversionData | ConsentData


class Event(Struct, frozen=True):
    """One decoded input event. `source` and `id` are its identity.

    `digest` is 16 bytes over the data as JSON values; `unknown_fields` counts what was left out.
    """

    type: str
    source: str
    id: str
    data: Data
    digest: bytes
    unknown_fields: int


def with_offer(data: SendData, offer: Offer | None) -> SendData:
    """The same request with another offer."""
    return structs.replace(data, offer=offer)
