"""Twilio: SMS out through its SDK, and its two webhooks, message status and inbound texts.

Invariant: one `send` is one POST. The SDK builds the request and checks signatures; the answer is
read here, from status and headers, before the SDK can turn it into an exception without headers.
This file knows nothing of the gateway.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from twilio.base.exceptions import TwilioException
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator, get_signature_algorithm
from twilio.rest import Client

from channels.answers import (
    Finding,
    Now,
    json_object,
    json_value,
    opted_out,
    outcome_without_answer,
    retry_after_s,
    text_at,
    verdict_of_status,
)
from channels.contract import (
    Accepted,
    BadReceiptError,
    BadSignatureError,
    Kind,
    Message,
    Outcome,
    Reading,
    Receipt,
    ReceiptType,
    Refused,
    Reply,
    SmsContent,
    Uncertain,
    WebhookRequest,
)
from channels.http import Answer, Request, Transport
from channels.twilio_codes import CODES

PROVIDER = "twilio"
STATUS_PATH = "/webhooks/twilio/status"
VALIDITY_S_MIN = 5
VALIDITY_S_MAX = 36_000  # also the default: then nothing is said
FORM_FIELDS_MAX = 200


@dataclass(frozen=True, slots=True)
class TwilioOptions:
    """`public_url` is our own base URL, for status callbacks; without it there are none.

    Of `from_number` and `messaging_service_sid` one is needed; the service wins.
    """

    account_sid: str
    auth_token: str = field(repr=False)
    from_number: str = ""
    messaging_service_sid: str = ""
    base_url: str = "https://api.twilio.com"
    public_url: str = ""
    timeout_s: float = 15.0


class _SettledError(Exception):
    """Carries the outcome out through the SDK, past its own reading of the answer."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("settled")
        self.outcome = outcome


_MAY_START: ContextVar[Callable[[], bool]] = ContextVar("may_start")


class _OneShotClient(AsyncHttpClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's HTTP client over our transport: one POST, a deadline, no retry."""

    def __init__(self, transport: Transport, timeout_s: float, now: Now) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self._transport = transport
        self._timeout_s = timeout_s
        self._now = now

    async def request(  # noqa: PLR0917 - the SDK's signature
        self,
        method: str,
        uri: str,
        params: object = None,  # noqa: ARG002
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
        allow_redirects: bool = False,  # noqa: ARG002, FBT001, FBT002
    ) -> Response:
        credentials = base64.b64encode(":".join(auth or ()).encode()).decode()
        result = await self._transport.request(
            Request(
                method,
                uri,
                {**(headers or {}), "authorization": f"Basic {credentials}"},
                _form(data or {}),
                _MAY_START.get(),
                timeout_s=self._timeout_s,
            )
        )
        outcome = (
            outcome_of(result, self._now)
            if isinstance(result, Answer)
            else outcome_without_answer(result)
        )
        raise _SettledError(outcome)


def _form(data: Mapping[str, object]) -> bytes:
    try:
        return urlencode(data, doseq=True).encode()
    except UnicodeEncodeError as fault:
        raise _SettledError(Refused("the text cannot be written as UTF-8")) from fault


class TwilioChannel:
    """SMS through Twilio."""

    name = PROVIDER
    kind = Kind.SMS

    def __init__(self, options: TwilioOptions, transport: Transport, *, now: Now) -> None:
        if not options.from_number and not options.messaging_service_sid:
            raise ValueError("Twilio needs a sender: a number or a messaging service")
        self._public_url = options.public_url.rstrip("/")
        self._sender = (
            {"messaging_service_sid": options.messaging_service_sid}
            if options.messaging_service_sid
            else {"from_": options.from_number}
        )
        self._client = Client(
            options.account_sid,
            options.auth_token,
            http_client=_OneShotClient(transport, options.timeout_s, now),
            # Else the SDK reads region and edge from our environment and rewrites the host.
            environment={"TWILIO_REGION": "", "TWILIO_EDGE": ""},
        )
        self._client.api.base_url = options.base_url.rstrip("/")

    async def send(self, message: Message) -> Outcome:
        if not isinstance(message.content, SmsContent) or not isinstance(message.to, str):
            raise TypeError("Twilio sends SMS to a phone number")
        token = _MAY_START.set(message.may_start)
        try:
            await self._client.messages.create_async(
                to=message.to,
                body=message.content.text,
                **self._sender,
                **self._callback(message),
                **_validity(message.expires_in_s),
            )
        except _SettledError as settled:
            return settled.outcome
        except TwilioException as fault:
            return Uncertain(f"SDK: {type(fault).__name__}")
        finally:
            _MAY_START.reset(token)
        return Uncertain("the SDK made no request")

    def _callback(self, message: Message) -> dict[str, str]:
        if not self._public_url:
            return {}
        ids = urlencode({"delivery": message.delivery_id, "attempt": message.attempt_id})
        return {"status_callback": f"{self._public_url}{STATUS_PATH}?{ids}"}

    async def aclose(self) -> None:
        """Nothing is ours to close: the transport belongs to who made it."""


def _validity(expires_in_s: float | None) -> dict[str, int]:
    if expires_in_s is None or expires_in_s >= VALIDITY_S_MAX:
        return {}
    return {"validity_period": max(VALIDITY_S_MIN, int(expires_in_s))}


def outcome_of(answer: Answer, now: Now) -> Outcome:
    """What Twilio's answer means: a known code decides, else the status."""
    body = json_object(answer.body)
    sid = text_at(body, "sid")
    if answer.status in (200, 201) and sid:
        return Accepted(sid)
    number = body.get("code")
    code = CODES.get(number) if isinstance(number, int) else None
    if code is None or answer.status < 400:  # noqa: PLR2004 - an error starts at 400
        verdict, reason = verdict_of_status(answer.status), str(answer.status)
        reason = f"{reason} {number}" if isinstance(number, int) else reason
    else:
        verdict, reason = code.verdict, f"{code.number} {code.meaning}"
    return Finding(verdict, reason, retry_after_s(answer, now)).outcome()


# --- webhooks -------------------------------------------------------------------------------

STATUSES: Mapping[str, ReceiptType] = MappingProxyType(
    {
        "accepted": ReceiptType.ACCEPTED,
        "queued": ReceiptType.ACCEPTED,
        "scheduled": ReceiptType.ACCEPTED,
        "sending": ReceiptType.ACCEPTED,
        "sent": ReceiptType.ACCEPTED,
        "delivered": ReceiptType.DELIVERED,
        "partially_delivered": ReceiptType.DELIVERED,
        "read": ReceiptType.DELIVERED,
        "canceled": ReceiptType.FAILED,
        "failed": ReceiptType.FAILED,
        "undelivered": ReceiptType.FAILED,
    }
)


class _Form(dict[str, list[str]]):
    """A form with repeated names, in the shape that the SDK's validator asks for."""

    def getall(self, name: str) -> list[str]:
        return self[name]


class _Verified:
    """What both webhooks share: the signature over the public URL and the body."""

    def __init__(self, *auth_tokens: str, shared_key: str = "") -> None:
        if not auth_tokens or not all(auth_tokens):
            raise ValueError("Twilio's webhooks need the auth token")
        self._validators = {
            "HMAC_SHA1": [RequestValidator(token) for token in auth_tokens],
            "HMAC_SHA256": [RequestValidator(shared_key)] if shared_key else [],
        }

    def fields(self, request: WebhookRequest) -> Mapping[str, str]:
        """The fields of a call that Twilio signed; raises BadSignatureError or BadReceiptError."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            hashes = parse_qs(urlsplit(request.url).query).get("bodySHA256", [])
            form = _form_of(request.body) if kind == "application/x-www-form-urlencoded" else None
        except ValueError as fault:
            raise BadSignatureError from fault
        # The content type decides what is signed: JSON by its hash in the URL, a form itself.
        if form is None and (kind != "application/json" or not hashes):
            raise BadSignatureError
        digest = hashlib.sha256(request.body).hexdigest()
        if hashes and not (len(hashes) == 1 and _equal(hashes[0].lower(), digest)):
            raise BadSignatureError
        self._check(request, form or _Form())
        if form is None:
            return _texts(json_value(request.body))
        return {name: values[0] for name, values in form.items()}

    def _check(self, request: WebhookRequest, form: _Form) -> None:
        signature = request.headers.get("x-twilio-signature", "")
        settings = request.headers.get("x-twilio-webhooks-signature-settings", "")
        algorithm = get_signature_algorithm(settings).upper()
        try:
            valid = [
                validator.validate(request.url, form, signature, algorithm)
                for validator in self._validators.get(algorithm, ())
            ]
        except ValueError as fault:
            raise BadSignatureError from fault
        if not signature or not any(valid):
            raise BadSignatureError


def _form_of(body: bytes) -> _Form:
    form = _Form()
    text = body.decode("ascii")
    pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX)
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    return form


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _texts(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise BadReceiptError("not a JSON object")
    return {
        name: text if isinstance(text, str) else json.dumps(text) for name, text in value.items()
    }


class TwilioStatusWebhook(_Verified):
    """Reads message status callbacks; give the previous auth token as well while it changes.

    Our ids come from the query of the callback's URL. Twilio does not say when it happened.
    """

    def read(self, request: WebhookRequest) -> Reading:
        fields = self.fields(request)
        sid = fields.get("MessageSid") or fields.get("SmsSid", "")
        status = fields.get("MessageStatus") or fields.get("SmsStatus", "")
        if not sid or not status:
            raise BadReceiptError("no message id or no status")
        kind = STATUSES.get(status.lower())
        if kind is None:
            return Reading(unread=1)
        query = parse_qs(urlsplit(request.url).query)
        error = fields.get("ErrorCode", "")
        code = CODES.get(int(error)) if re.fullmatch(r"[0-9]{1,6}", error) else None
        if kind is ReceiptType.FAILED and code is not None:
            kind = code.receipt
        token = request.headers.get("i-twilio-idempotency-token", "")
        receipt = Receipt(
            type=kind,
            provider=PROVIDER,
            delivery_id=query.get("delivery", [""])[0][:128],
            attempt_id=query.get("attempt", [""])[0][:128],
            provider_message_id=sid[:64],
            occurred_at=None,
            dedupe_key=(token or f"{sid}:{status}:{error}")[:256],
            reason=f"{code.number} {code.meaning}" if code else error[:16],
        )
        return Reading(opted_out(receipt))


class TwilioInboundWebhook(_Verified):
    """Reads inbound texts.

    Where Twilio itself took the text for STOP, START or HELP (`OptOutType`), in whatever
    language, the reply's text is that word: Twilio has already acted on it.
    """

    def read(self, request: WebhookRequest) -> Reading:
        fields = self.fields(request)
        sid = fields.get("MessageSid") or fields.get("SmsSid", "")
        address = fields.get("From", "")
        if not sid or not address:
            raise BadReceiptError("no message id or no sender")
        text = fields.get("OptOutType") or fields.get("Body", "")
        return Reading(replies=(Reply(PROVIDER, address, text, sid),))
