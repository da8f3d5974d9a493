"""Reading what HTTP providers answer: what all of them have in common.

Invariant: every status and every body, also one that no provider would send, becomes an outcome;
nothing here raises. No reason that leaves this file holds an address, a number or a token.
This file knows no provider by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType

import msgspec

from channels.contract import (
    Deferred,
    Misconfigured,
    Outcome,
    Receipt,
    ReceiptType,
    Refused,
    Scope,
    Throttled,
    Uncertain,
    Withheld,
)
from channels.http import Answer, MayHaveArrived, NeverLeft

RETRY_AFTER_S_MAX = 24 * 3600.0
REASON_CHARACTERS_MAX = 200

Now = Callable[[], datetime]


class Verdict(StrEnum):
    """What an answer means for the message, before reason and waiting time are filled in."""

    UNCERTAIN = "uncertain"
    DEFERRED = "deferred"
    THROTTLED = "throttled"
    MISCONFIGURED = "misconfigured"
    REFUSED = "refused"
    REFUSED_ADDRESS = "refused_address"
    REFUSED_CONSENT = "refused_consent"


BY_STATUS: Mapping[int, Verdict] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: Verdict.MISCONFIGURED,
        HTTPStatus.PAYMENT_REQUIRED: Verdict.MISCONFIGURED,
        HTTPStatus.FORBIDDEN: Verdict.MISCONFIGURED,
        HTTPStatus.NOT_FOUND: Verdict.MISCONFIGURED,  # the base URL or an account in it is wrong
        HTTPStatus.METHOD_NOT_ALLOWED: Verdict.MISCONFIGURED,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: Verdict.MISCONFIGURED,
        HTTPStatus.REQUEST_TIMEOUT: Verdict.UNCERTAIN,
        HTTPStatus.TOO_MANY_REQUESTS: Verdict.THROTTLED,
        HTTPStatus.SERVICE_UNAVAILABLE: Verdict.DEFERRED,
    }
)

BY_STATUS_CLASS: Mapping[int, Verdict] = MappingProxyType(
    {
        2: Verdict.UNCERTAIN,  # taken, perhaps, but not in words that we can read
        3: Verdict.MISCONFIGURED,  # we follow no redirect: the base URL is wrong
        4: Verdict.REFUSED,
        5: Verdict.UNCERTAIN,
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with its words: `reason` is short and free of personal data."""

    verdict: Verdict
    reason: str
    retry_after_s: float | None = None

    def outcome(self) -> Outcome:
        """The finding as an outcome."""
        scope = _SCOPES.get(self.verdict)
        if scope is not None:
            return Refused(self.reason, scope)
        if self.verdict is Verdict.DEFERRED:
            return Deferred(self.reason, self.retry_after_s)
        if self.verdict is Verdict.THROTTLED:
            return Throttled(self.retry_after_s, self.reason)
        if self.verdict is Verdict.MISCONFIGURED:
            return Misconfigured(self.reason)
        return Uncertain(self.reason)


_SCOPES: Mapping[Verdict, Scope] = MappingProxyType(
    {
        Verdict.REFUSED: Scope.MESSAGE,
        Verdict.REFUSED_ADDRESS: Scope.ADDRESS,
        Verdict.REFUSED_CONSENT: Scope.CONSENT,
    }
)


def verdict_of_status(status: int) -> Verdict:
    """What a status means when the provider's own words say nothing more exact."""
    return BY_STATUS.get(status) or BY_STATUS_CLASS.get(status // 100, Verdict.UNCERTAIN)


def outcome_without_answer(result: NeverLeft | MayHaveArrived) -> Outcome:
    """The outcome of an attempt that got no answer."""
    if isinstance(result, MayHaveArrived):
        return Uncertain(result.reason)
    return Withheld() if result.withheld else Deferred(result.reason)


def retry_after_s(answer: Answer, now: Now) -> float | None:
    """How long the provider asks us to wait, in seconds, 0 to a day; None when it does not say.

    Reads `Retry-After` as seconds or as an HTTP date, else `X-RateLimit-Reset` (Unix seconds).
    """
    value = answer.headers.get("retry-after", "").strip()
    wait_s = _seconds(value) if value else None
    if wait_s is None and value:
        wait_s = _until(value, now)
    if wait_s is None:
        reset_s = _seconds(answer.headers.get("x-ratelimit-reset", "").strip())
        wait_s = None if reset_s is None else reset_s - now().timestamp()
    return None if wait_s is None else min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)


def _seconds(value: str) -> float | None:
    return float(value) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", value) else None


def _until(value: str, now: Now) -> float | None:
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, IndexError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return (at - now()).total_seconds()


def json_object(body: bytes) -> Mapping[str, object]:
    """A JSON object, or an empty one when the body is anything else."""
    value = json_value(body)
    return value if isinstance(value, dict) else {}


def json_value(body: bytes) -> object:
    """A JSON value, or None when the body is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def to_json(value: object) -> bytes | None:
    """The value as JSON, or None when a text in it cannot be written as UTF-8."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return None


def text_at(value: object, *path: str | int) -> str:
    """The text at a path inside JSON, or an empty one."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return ""
    return value if isinstance(value, str) else ""


def opted_out(receipt: Receipt) -> tuple[Receipt, ...]:
    """A receipt; one of a message that an opt-out kept back also says that the message is lost."""
    if receipt.type is not ReceiptType.UNSUBSCRIBED:
        return (receipt,)
    lost = replace(
        receipt,
        type=ReceiptType.FAILED,
        reason="consent",
        dedupe_key=f"{receipt.dedupe_key[:240]}:failed",
    )
    return (receipt, lost)


def scrubbed(text: str) -> str:
    """A provider's words without what could be an address, a number or a token; bounded."""
    text = re.sub(r"\S*@\S*", "<address>", text[: 4 * REASON_CHARACTERS_MAX])
    text = re.sub(r"\+?\d[\d\-(). ]{5,}\d", "<number>", text)
    text = re.sub(r"[\w:\-]{33,}", "<token>", text)
    return "".join(c if c.isprintable() else " " for c in text)[:REASON_CHARACTERS_MAX]


def control_fault(name: str, value: str) -> str:
    """Why a value may not stand in a header (S1), or an empty text.

    Refused are C0 and C1 controls, line and paragraph separators, and lone surrogates.
    """
    found = _CONTROL.search(value)
    return f"{name} holds a control character" if found else ""


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
