"""Twilio's error codes as one table: what each means for a message, when sending and later.

Invariant: data only. Twilio adds and splits codes, so a code that is not here is no fault: the
HTTP status decides instead. This file knows no SDK and no HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from channels.answers import Verdict
from channels.contract import ReceiptType


@dataclass(frozen=True, slots=True)
class Code:
    """One error code: its meaning in our words, its verdict when the API answers with it."""

    number: int
    meaning: str
    verdict: Verdict

    @property
    def receipt(self) -> ReceiptType:
        """What the code means in a delivery callback: the message is lost in any case."""
        return _RECEIPTS.get(self.verdict, ReceiptType.FAILED)


_RECEIPTS: Mapping[Verdict, ReceiptType] = MappingProxyType(
    {
        Verdict.REFUSED_ADDRESS: ReceiptType.BOUNCED,
        Verdict.REFUSED_CONSENT: ReceiptType.UNSUBSCRIBED,
    }
)

_V = Verdict
_ALL = (
    Code(20003, "authentication failed", _V.MISCONFIGURED),
    Code(20404, "no such resource", _V.MISCONFIGURED),
    Code(20429, "too many requests at once", _V.THROTTLED),
    Code(20500, "internal error", _V.UNCERTAIN),
    Code(20503, "service unavailable, perhaps taken", _V.UNCERTAIN),
    Code(21211, "not a phone number", _V.REFUSED_ADDRESS),
    Code(21212, "sender is not valid", _V.MISCONFIGURED),
    Code(21408, "account may not message that region", _V.REFUSED),
    Code(21601, "number takes no SMS", _V.MISCONFIGURED),
    Code(21602, "body missing", _V.REFUSED),
    Code(21604, "recipient missing", _V.REFUSED),
    Code(21606, "sender cannot message", _V.MISCONFIGURED),
    Code(21608, "trial account, recipient not verified", _V.MISCONFIGURED),
    Code(21610, "recipient opted out", _V.REFUSED_CONSENT),
    Code(21611, "sender's queue is full", _V.THROTTLED),
    Code(21612, "no route from sender to recipient", _V.REFUSED),
    Code(21614, "not a mobile number", _V.REFUSED_ADDRESS),
    Code(21617, "body too long", _V.REFUSED),
    Code(21635, "landline", _V.REFUSED_ADDRESS),
    Code(21703, "messaging service has no sender", _V.MISCONFIGURED),
    Code(30001, "queue overflow", _V.THROTTLED),
    Code(30002, "account suspended", _V.MISCONFIGURED),
    Code(30003, "handset unreachable", _V.DEFERRED),
    Code(30004, "blocked", _V.REFUSED),
    Code(30005, "unknown or inactive number", _V.REFUSED_ADDRESS),
    Code(30006, "landline or unreachable carrier", _V.REFUSED_ADDRESS),
    Code(30007, "filtered by the carrier", _V.REFUSED),
    Code(30008, "unknown delivery error", _V.DEFERRED),
    Code(30022, "campaign rate exceeded", _V.THROTTLED),
    Code(30023, "daily cap reached", _V.THROTTLED),
    Code(30034, "sender is not registered", _V.MISCONFIGURED),
    Code(30036, "validity period ran out", _V.REFUSED),
    Code(30410, "provider timeout", _V.DEFERRED),
    Code(30450, "stopped by pumping protection", _V.REFUSED),
    Code(35114, "send time outside the window", _V.REFUSED),
    Code(35115, "send time outside the window", _V.REFUSED),
    Code(35117, "send time outside the window", _V.REFUSED),
    Code(63017, "account rate exceeded", _V.THROTTLED),
    Code(63038, "account's daily limit reached", _V.THROTTLED),
)

CODES: Mapping[int, Code] = MappingProxyType({code.number: code for code in _ALL})
