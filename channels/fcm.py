"""Firebase Cloud Messaging: push out by its HTTP v1 API, one message per request.

Invariant: every message carries the send id as its collapse id on each platform, so that a second
copy replaces the first; a payload is at most 4096 bytes. A token is dropped only when FCM says
that the token is at fault. This file knows nothing of the gateway.
"""

from __future__ import annotations

import base64
import hashlib
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from types import MappingProxyType

from channels.answers import (
    Finding,
    Now,
    Verdict,
    json_object,
    outcome_without_answer,
    retry_after_s,
    text_at,
    to_json,
    verdict_of_status,
)
from channels.contract import (
    Accepted,
    Deferred,
    Kind,
    Message,
    Misconfigured,
    Outcome,
    PushContent,
    PushTarget,
    Refused,
    Scope,
    Uncertain,
)
from channels.google_auth import GoogleTokens
from channels.http import Answer, Request, Transport

PROVIDER = "fcm"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
PAYLOAD_BYTES_MAX = 4096
TTL_S_MAX = 2_419_200
QUOTA_WAIT_S = 60.0  # FCM's own advice where it names no time
ELLIPSIS = "…"

BY_ERROR_CODE: Mapping[str, Verdict] = MappingProxyType(
    {
        "UNREGISTERED": Verdict.REFUSED_ADDRESS,
        "SENDER_ID_MISMATCH": Verdict.REFUSED_ADDRESS,
        "INVALID_ARGUMENT": Verdict.REFUSED,
        "THIRD_PARTY_AUTH_ERROR": Verdict.MISCONFIGURED,
        "QUOTA_EXCEEDED": Verdict.THROTTLED,
        "UNAVAILABLE": Verdict.DEFERRED,
        "INTERNAL": Verdict.UNCERTAIN,
    }
)


@dataclass(frozen=True, slots=True)
class FcmOptions:
    """`credentials` is the loaded service account file; `base_url` has no path."""

    credentials: Mapping[str, object] = field(repr=False)
    base_url: str = "https://fcm.googleapis.com"
    timeout_s: float = 15.0


class FcmChannel:
    """Push through FCM. Raises ValueError at once for a service account file that will not do."""

    name = PROVIDER
    kind = Kind.PUSH

    def __init__(self, options: FcmOptions, transport: Transport, *, now: Now) -> None:
        project = text_at(dict(options.credentials), "project_id")
        if not re.fullmatch(r"[a-z0-9.:\-]{1,64}", project):
            raise ValueError("the service account file lacks project_id")
        self._url = f"{options.base_url.rstrip('/')}/v1/projects/{project}/messages:send"
        self._transport = transport
        self._timeout_s = options.timeout_s
        self._now = now
        self._refused_token = ""
        self._tokens = GoogleTokens(
            options.credentials, transport, scope=SCOPE, now=now, timeout_s=options.timeout_s
        )

    async def send(self, message: Message) -> Outcome:
        if not isinstance(message.content, PushContent) or not isinstance(message.to, PushTarget):
            raise TypeError("FCM sends push to a device")
        if not message.to.token:
            return Refused("the device has no token", Scope.ADDRESS)
        body = _payload(message, message.to.token, message.content, self._now)
        if body is None:
            return Refused("the push does not fit into 4096 bytes, or is not UTF-8")
        token = await self._tokens.current()
        if not isinstance(token, str):
            return token
        result = await self._transport.request(
            Request(
                "POST",
                self._url,
                {"authorization": f"Bearer {token}", "content-type": "application/json"},
                body,
                message.may_start,
                timeout_s=self._timeout_s,
            )
        )
        if not isinstance(result, Answer):
            return outcome_without_answer(result)
        return self._outcome(result, token)

    def _outcome(self, answer: Answer, token: str) -> Outcome:
        code = error_code(answer)
        if answer.status == HTTPStatus.UNAUTHORIZED and code != "THIRD_PARTY_AUTH_ERROR":
            return self._on_refused_token(token)
        self._refused_token = ""
        return outcome_of(answer, self._now)

    def _on_refused_token(self, token: str) -> Outcome:
        # The first refusal may be a token that was revoked early; a fresh one is tried once.
        if self._refused_token not in ("", token):
            return Misconfigured("401 a fresh token is refused as well")
        self._refused_token = token
        self._tokens.forget(token)
        return Deferred("401 the token is refused, the next attempt gets a fresh one")

    async def aclose(self) -> None:
        """Nothing is ours to close: the transport belongs to who made it."""


def outcome_of(answer: Answer, now: Now) -> Outcome:
    """What FCM's answer means, a refused bearer token apart."""
    body = json_object(answer.body)
    if answer.status == HTTPStatus.OK:
        name = text_at(body, "name")
        return Accepted(name) if name else Uncertain("200 without a name")
    code = error_code(answer)
    verdict = BY_ERROR_CODE.get(code) or verdict_of_status(answer.status)
    if answer.status == HTTPStatus.BAD_REQUEST and _names_token(body):
        verdict = Verdict.REFUSED_ADDRESS
    wait_s = retry_after_s(answer, now)
    if verdict is Verdict.THROTTLED and wait_s is None:
        wait_s = QUOTA_WAIT_S
    return Finding(verdict, f"{answer.status} {code}".strip(), wait_s).outcome()


def error_code(answer: Answer) -> str:
    """FCM's own error code, or an empty text."""
    codes = (text_at(detail, "errorCode") for detail in _details(json_object(answer.body)))
    return next((code for code in codes if re.fullmatch(r"[A-Z_]{1,40}", code)), "")


def _details(body: Mapping[str, object]) -> list[object]:
    error = body.get("error")
    details = error.get("details") if isinstance(error, dict) else None
    return details if isinstance(details, list) else []


def _names_token(body: Mapping[str, object]) -> bool:
    violations: list[object] = []
    for detail in _details(body):
        found = detail.get("fieldViolations") if isinstance(detail, dict) else None
        violations += found if isinstance(found, list) else []
    if violations:
        return any(text_at(violation, "field") == "message.token" for violation in violations)
    return "registration token" in text_at(dict(body), "error", "message").lower()


def _payload(message: Message, token: str, content: PushContent, now: Now) -> bytes | None:
    whole = to_json(_message(message, token, content, content.body, now))
    if whole is None or len(whole) <= PAYLOAD_BYTES_MAX:
        return whole
    text = content.body[:PAYLOAD_BYTES_MAX]

    def cut(length: int) -> bytes:
        # The whole text could be written, so a part of it can.
        shorter = text[:length].rstrip() + ELLIPSIS
        return to_json(_message(message, token, content, shorter, now)) or b""

    lengths = range(len(text) + 1)
    fits = bisect_right(lengths, PAYLOAD_BYTES_MAX, key=lambda length: len(cut(length))) - 1
    return cut(fits) if fits > 0 else None


def _message(
    message: Message, token: str, content: PushContent, body: str, now: Now
) -> dict[str, object]:
    seen = {"title": content.title, "body": body}
    if content.image:
        seen["image"] = content.image
    android: dict[str, object] = {"notification": {"tag": message.collapse_id}}
    apns = {"apns-collapse-id": message.collapse_id[:64]}
    web = {"Topic": _topic(message.collapse_id)}
    if message.expires_in_s is not None:
        ttl_s = min(max(int(message.expires_in_s), 0), TTL_S_MAX)
        android["ttl"] = f"{ttl_s}s"
        web["TTL"] = str(ttl_s)
        apns["apns-expiration"] = str(int((now() + timedelta(seconds=ttl_s)).timestamp()))
    webpush: dict[str, object] = {"headers": web}
    if content.url.startswith("https://"):
        webpush["fcm_options"] = {"link": content.url}
    return {
        "message": {
            "token": token,
            "notification": seen,
            "data": {
                "send_id": message.send_id,
                "delivery_id": message.delivery_id,
                "attempt_id": message.attempt_id,
                "url": content.url,
            },
            "android": android,
            "apns": {"headers": apns},
            "webpush": webpush,
        }
    }


def _topic(collapse_id: str) -> str:
    # Web push takes at most 32 characters of the URL-safe alphabet.
    if re.fullmatch(r"[A-Za-z0-9_-]{1,32}", collapse_id):
        return collapse_id
    digest = hashlib.sha256(collapse_id.encode()).digest()
    return base64.urlsafe_b64encode(digest[:24]).decode()
