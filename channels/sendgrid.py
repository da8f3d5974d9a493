"""SendGrid: e-mail out by `POST /v3/mail/send`, one recipient per call, and its event webhook.

Invariant: each personalization carries our ids in `custom_args`, so that every event finds its
delivery; all of SendGrid's own tracking is off, because the tracking is ours.
This file knows nothing of the gateway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from types import MappingProxyType

from sendgrid.helpers.eventwebhook import EventWebhook

from channels.answers import (
    Finding,
    Now,
    Verdict,
    control_fault,
    json_object,
    json_value,
    opted_out,
    outcome_without_answer,
    retry_after_s,
    scrubbed,
    text_at,
    to_json,
    verdict_of_status,
)
from channels.contract import (
    HEADERS_ALLOWED,
    Accepted,
    BadReceiptError,
    BadSignatureError,
    EmailContent,
    Kind,
    Message,
    Outcome,
    Reading,
    Receipt,
    ReceiptType,
    Refused,
    WebhookRequest,
)
from channels.http import Answer, Request, Transport

PROVIDER = "sendgrid"
CATEGORY_CHARACTERS_MAX = 255
TRACKING_OFF: Mapping[str, Mapping[str, bool]] = MappingProxyType(
    {
        "click_tracking": {"enable": False, "enable_text": False},
        "open_tracking": {"enable": False},
        "subscription_tracking": {"enable": False},
        "ganalytics": {"enable": False},
    }
)
_HEADERS_WRITTEN = frozenset({"List-Unsubscribe", "List-Unsubscribe-Post"})
"""The headers that our own mails have: the common case needs no look at each."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_ODD_NAME = re.compile(r"[,;]|\s\s|^\s|\s$|[^\S ]")
_ADDRESS_FIELD = re.compile(r"personalizations(\.\d+)?\.to\b.*")


@dataclass(frozen=True, slots=True)
class SendGridOptions:
    """`base_url` has no path; `webhook_public_key` is base64 as SendGrid shows it, or empty."""

    api_key: str = field(repr=False)
    from_address: str
    from_name: str = ""
    base_url: str = "https://api.sendgrid.com"
    webhook_public_key: str = ""
    timeout_s: float = 15.0


class SendGridChannel:
    """E-mail through SendGrid."""

    name = PROVIDER
    kind = Kind.EMAIL

    def __init__(self, options: SendGridOptions, transport: Transport, *, now: Now) -> None:
        self._options = options
        self._transport = transport
        self._now = now
        self._url = f"{options.base_url.rstrip('/')}/v3/mail/send"
        self._sender = _mailbox(options.from_address, options.from_name)
        self._headers = {
            "authorization": f"Bearer {options.api_key}",
            "content-type": "application/json",
            "user-agent": "winback-gateway",
        }

    async def send(self, message: Message) -> Outcome:
        if not isinstance(message.content, EmailContent) or not isinstance(message.to, str):
            raise TypeError("SendGrid sends e-mail to an address")
        fault = _fault(message.to, message.to_name, message.content)
        if fault:
            return Refused(fault)
        body = to_json(_mail(message, message.to, message.content, self._sender))
        if body is None:
            return Refused("a text of the message cannot be written as UTF-8")
        result = await self._transport.request(
            Request(
                "POST",
                self._url,
                self._headers,
                body,
                message.may_start,
                timeout_s=self._options.timeout_s,
            )
        )
        if isinstance(result, Answer):
            return outcome_of(result, self._now)
        return outcome_without_answer(result)

    async def aclose(self) -> None:
        """Nothing is ours to close: the transport belongs to who made it."""


def _fault(to: str, to_name: str, content: EmailContent) -> str:
    headers = content.headers
    together = "".join((to, to_name, content.subject, *headers.values()))
    is_plain = not control_fault("", together) and headers.keys() <= _HEADERS_WRITTEN
    if is_plain and content.subject and (content.text or content.html):
        return ""
    return _named_fault(to, to_name, content)


def _named_fault(to: str, to_name: str, content: EmailContent) -> str:
    values = {"to": to, "to_name": to_name, "subject": content.subject, **content.headers}
    faults = [control_fault(name, value) for name, value in values.items()]
    faults += [
        "a header that is not allowed"
        for name in content.headers
        if not _HEADER_NAME.fullmatch(name) or name.lower() not in HEADERS_ALLOWED
    ]
    if not content.subject:
        faults.append("subject is empty")
    if not content.text and not content.html:
        faults.append("there is neither text nor HTML")
    return next((fault for fault in faults if fault), "")


def _mail(
    message: Message, to: str, content: EmailContent, sender: Mapping[str, str]
) -> dict[str, object]:
    personalization: dict[str, object] = {
        "to": [_mailbox(to, message.to_name)],
        "custom_args": {
            "attempt_id": message.attempt_id,
            "delivery_id": message.delivery_id,
            "send_id": message.send_id,
        },
    }
    if content.headers:
        personalization["headers"] = dict(content.headers)
    parts = (("text/plain", content.text), ("text/html", content.html))
    return {
        "personalizations": [personalization],
        "from": sender,
        "subject": content.subject,
        "content": [{"type": kind, "value": text} for kind, text in parts if text],
        "categories": [message.campaign[:CATEGORY_CHARACTERS_MAX]],
        "tracking_settings": dict(TRACKING_OFF),
    }


def _mailbox(address: str, name: str) -> dict[str, str]:
    # SendGrid refuses the whole call for a comma or semicolon in a name.
    if name and _ODD_NAME.search(name):
        name = " ".join(re.split(r"[,;\s]+", name)).strip()
    return {"email": address, "name": name} if name else {"email": address}


def outcome_of(answer: Answer, now: Now) -> Outcome:
    """What SendGrid's answer means: `X-Message-Id` names the whole call."""
    if answer.status == HTTPStatus.ACCEPTED:
        return Accepted(answer.headers.get("x-message-id", ""))
    body = json_object(answer.body)
    field = text_at(body, "errors", 0, "field")
    words = text_at(body, "errors", 0, "message")
    verdict = verdict_of_status(answer.status)
    if verdict is Verdict.REFUSED:
        verdict = _refusal(field, words)
    reason = scrubbed(" ".join(filter(None, (str(answer.status), field, words))))
    return Finding(verdict, reason, retry_after_s(answer, now)).outcome()


def _refusal(field: str, words: str) -> Verdict:
    if _ADDRESS_FIELD.fullmatch(field) or "invalid email" in words.lower():
        return Verdict.REFUSED_ADDRESS
    # A bad sender is the same for every message: it must not burn a whole campaign.
    if field == "from" or field.startswith("from."):
        return Verdict.MISCONFIGURED
    return Verdict.REFUSED


# --- the event webhook ----------------------------------------------------------------------

TIMESTAMP_AHEAD_MAX = timedelta(minutes=5)
TIMESTAMP_AGE_MAX = timedelta(hours=26)  # SendGrid tries again for 24 hours
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{16,256}={0,2}")
_TEXT_CHARACTERS_MAX = 2048

EVENTS: Mapping[str, ReceiptType] = MappingProxyType(
    {
        "processed": ReceiptType.ACCEPTED,
        "deferred": ReceiptType.ACCEPTED,
        "delivered": ReceiptType.DELIVERED,
        "bounce": ReceiptType.BOUNCED,
        "blocked": ReceiptType.FAILED,
        "dropped": ReceiptType.FAILED,
        "open": ReceiptType.OPENED,
        "click": ReceiptType.CLICKED,
        "spamreport": ReceiptType.COMPLAINED,
        "unsubscribe": ReceiptType.UNSUBSCRIBED,
        "group_unsubscribe": ReceiptType.UNSUBSCRIBED,
        "group_resubscribe": ReceiptType.RESUBSCRIBED,
    }
)
DROPPED_FOR: Mapping[str, ReceiptType] = MappingProxyType(
    {
        "bounced address": ReceiptType.BOUNCED,
        "invalid": ReceiptType.BOUNCED,
        "invalid address": ReceiptType.BOUNCED,
        "unsubscribed address": ReceiptType.UNSUBSCRIBED,
        "spam reporting address": ReceiptType.FAILED,
    }
)


class SendGridWebhook:
    """Reads SendGrid's event webhook; give the previous key as well while keys change.

    Raises ValueError at once for a key that is missing or is none.
    """

    def __init__(self, *public_keys: str) -> None:
        if not public_keys or not all(public_keys):
            raise ValueError("the event webhook needs its public key")
        self._verifiers = [EventWebhook(key) for key in public_keys]
        if any(getattr(v.public_key, "curve", None) is None for v in self._verifiers):
            raise ValueError("the event webhook's public key is not an elliptic curve key")

    def read(self, request: WebhookRequest) -> Reading:
        self._check(request)
        elements = json_value(request.body)
        if not isinstance(elements, list):
            raise BadReceiptError("not a JSON array")
        found = [_receipts(element) for element in elements]
        understood = tuple(receipt for receipts in found for receipt in receipts)
        return Reading(understood, unread=sum(not receipts for receipts in found))

    def _check(self, request: WebhookRequest) -> None:
        signature = request.headers.get("x-twilio-email-event-webhook-signature", "")
        timestamp = request.headers.get("x-twilio-email-event-webhook-timestamp", "")
        if not _SIGNATURE.fullmatch(signature) or not re.fullmatch(r"[0-9]{10}", timestamp):
            raise BadSignatureError
        age = request.received_at - datetime.fromtimestamp(int(timestamp), UTC)
        if not -TIMESTAMP_AHEAD_MAX <= age <= TIMESTAMP_AGE_MAX:
            raise BadSignatureError
        try:
            # The helper wants text; UTF-8 there and back is the raw bytes again, or an error.
            payload = request.body.decode()
            valid = [v.verify_signature(payload, signature, timestamp) for v in self._verifiers]
        except ValueError as fault:
            raise BadSignatureError from fault
        if not any(valid):
            raise BadSignatureError


def _receipts(element: object) -> tuple[Receipt, ...]:
    """What one event says; a mail dropped for an opt-out says two things."""
    receipt = _receipt(element)
    if receipt is None:
        return ()
    is_dropped = text_at(element, "event") == "dropped"
    return opted_out(receipt) if is_dropped else (receipt,)


def _receipt(element: object) -> Receipt | None:
    name = text_at(element, "event")
    if not isinstance(element, dict) or name not in EVENTS:
        return None
    at, at_ok = _occurred_at(element.get("timestamp"))
    message_id = text_at(element, "sg_message_id")
    key = text_at(element, "sg_event_id")
    if not at_ok or not (key or message_id):
        return None
    machine = element.get("sg_machine_open")
    return Receipt(
        type=_type(name, element),
        provider=PROVIDER,
        delivery_id=text_at(element, "delivery_id")[:128],
        attempt_id=text_at(element, "attempt_id")[:128],
        provider_message_id=message_id[:256],
        occurred_at=at,
        dedupe_key=(key or f"{message_id}:{name}:{element.get('timestamp')}")[:256],
        reason=scrubbed(text_at(element, "reason")),
        url=text_at(element, "url")[:_TEXT_CHARACTERS_MAX],
        machine=machine if isinstance(machine, bool) else None,
        user_agent=text_at(element, "useragent")[:512],
    )


def _type(name: str, element: object) -> ReceiptType:
    if name == "bounce" and text_at(element, "type") == "blocked":
        return ReceiptType.FAILED
    if name == "dropped":
        reason = text_at(element, "reason").strip().lower()
        return DROPPED_FOR.get(reason, ReceiptType.FAILED)
    return EVENTS[name]


def _occurred_at(value: object) -> tuple[datetime | None, bool]:
    if value is None:
        return None, True
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 32:
        return None, False
    return datetime.fromtimestamp(value, UTC), True
