"""What a channel is: one attempt in, one outcome out; and what a provider tells us later.

Invariant: a provider can do nothing that `Channel.send` answers with an exception.
Everything a provider does is a value of the closed family `Outcome`; only bugs raise.
This file knows no provider and nothing of the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable


class Kind(StrEnum):
    """A channel as people know it; also the name of its lane."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"


# --- what a channel sends -------------------------------------------------------------------


HEADERS_ALLOWED = frozenset(
    {
        "auto-submitted",
        "feedback-id",
        "in-reply-to",
        "list-help",
        "list-id",
        "list-unsubscribe",
        "list-unsubscribe-post",
        "precedence",
        "references",
        "x-entity-ref-id",
    }
)
"""Headers that an e-mail may bring along, in lower case; all others are the provider's."""


@dataclass(frozen=True, slots=True)
class EmailContent:
    """One rendered e-mail. `headers` are extra ones (`List-Unsubscribe`, …), already checked."""

    subject: str
    html: str
    text: str
    preheader: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SmsContent:
    """One rendered SMS and what it costs: `segments` is counted on the final text."""

    text: str
    segments: int
    encoding: str


@dataclass(frozen=True, slots=True)
class PushContent:
    """One rendered push. `url` is already the tracked link; `image` may be empty."""

    title: str
    body: str
    url: str
    image: str = ""


Content = EmailContent | SmsContent | PushContent


@dataclass(frozen=True, slots=True)
class PushTarget:
    """One device: `token` for fcm and apns, `subscription` (endpoint and keys) for webpush."""

    platform: str
    token: str = ""
    subscription: Mapping[str, object] | None = None


Destination = str | PushTarget
"""An e-mail address, an E.164 number, or a device."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one destination, for one attempt.

    `attempt_id` goes to the provider and comes back in receipts; it holds no personal data.
    `collapse_id` is the send id: a push under the same one replaces the earlier.
    `expires_in_s` is how long the message is still worth delivering, None for ever.
    `may_start` is asked in the same loop step as the first byte: a False means *do not write*.
    """

    attempt_id: str
    send_id: str
    delivery_id: str
    to: Destination
    to_name: str
    content: Content
    collapse_id: str
    campaign: str
    expires_in_s: float | None
    may_start: Callable[[], bool]


# --- what a provider did: the outcome family ------------------------------------------------


class Scope(StrEnum):
    """What a permanent refusal is about."""

    MESSAGE = "message"
    ADDRESS = "address"
    CONSENT = "consent"  # the provider holds an opt-out of this address (Twilio 21610)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took it. `provider_id` is the provider's name for the message."""

    provider_id: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """Surely not taken, worth trying again: connect failed, 503, "later"."""

    reason: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too fast. With `retry_after_s` the provider's whole lane holds that long."""

    retry_after_s: float | None = None
    reason: str = "throttled"


@dataclass(frozen=True, slots=True)
class Refused:
    """Permanent. With scope ADDRESS the address is suppressed; the next channel is tried."""

    reason: str
    scope: Scope = Scope.MESSAGE


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """Our key, sender or project is wrong: no attempt is counted, a human is told."""

    reason: str


@dataclass(frozen=True, slots=True)
class Uncertain:
    """Bytes were written and no clear answer came: the message may or may not exist."""

    reason: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """`may_start` said no: nothing was written, no attempt was made."""


Outcome = Accepted | Deferred | Throttled | Refused | Misconfigured | Uncertain | Withheld


class Channel(Protocol):
    """One provider for one kind: one attempt per `send`; no retry, no sleep."""

    @property
    def name(self) -> str:
        """The provider's name in events: `sendgrid`, `twilio`, `fcm`, and so on."""
        ...

    @property
    def kind(self) -> Kind: ...

    async def send(self, message: Message) -> Outcome: ...

    async def aclose(self) -> None: ...


# --- what the provider tells us later -------------------------------------------------------


class ReceiptType(StrEnum):
    """What a receipt can say. The values are our words, not the provider's."""

    ACCEPTED = "accepted"  # proof that the provider has it; settles an attempt in doubt
    DELIVERED = "delivered"
    BOUNCED = "bounced"  # refused for good by the receiver; the address is at fault
    FAILED = "failed"  # given up by the provider; the address is not at fault
    OPENED = "opened"
    CLICKED = "clicked"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    RESUBSCRIBED = "resubscribed"


@dataclass(frozen=True, slots=True)
class Receipt:
    """One thing a provider says about one message.

    `delivery_id` and `attempt_id` are ours, as sent with the message, or empty.
    `dedupe_key` is equal for repeats of the same statement (`sg_event_id`, …).
    `machine` is True where the provider says that a machine opened, None where it does not say.
    """

    type: ReceiptType
    provider: str
    delivery_id: str
    attempt_id: str
    provider_message_id: str
    occurred_at: datetime | None
    dedupe_key: str
    reason: str = ""
    url: str = ""
    machine: bool | None = None
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An inbound text from a person. `text` is as they wrote it."""

    provider: str
    address: str
    text: str
    provider_message_id: str


class BadSignatureError(Exception):
    """The caller of a webhook is not the provider: answer 403 and say nothing more."""


class BadReceiptError(Exception):
    """The signature is right, but the body cannot be read."""


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook call as it arrived: `url` is the public one with its query, `body` is raw."""

    url: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Reading:
    """What one webhook call said. `unread` counts elements that could not be understood."""

    receipts: Sequence[Receipt] = ()
    replies: Sequence[Reply] = ()
    unread: int = 0


@runtime_checkable
class WebhookReader(Protocol):
    """Reads one provider webhook. Verifies the signature over the raw bytes before it parses.

    Raises `BadSignatureError` or `BadReceiptError`, nothing else.
    """

    def read(self, request: WebhookRequest) -> Reading: ...
