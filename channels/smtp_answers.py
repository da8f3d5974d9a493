"""What a mail relay's replies mean.

Invariant: every reply at every stage, also one that no relay would give, becomes an outcome, and
no reason that leaves this file holds an address. This file knows nothing of connections.
Sources: RFC 5321 section 4.2 and 4.5.3.1.10 (552), RFC 4954 section 6, RFC 3463 (5.x.y).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from channels.answers import Finding, Verdict, scrubbed
from channels.contract import Outcome


class Stage(StrEnum):
    """How far an attempt had come."""

    CONNECT = "connect"  # greeting, EHLO, STARTTLS
    LOGIN = "login"
    RESET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"  # the mail itself, up to its final dot


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: `text` is all its lines as one, without their codes."""

    code: int
    text: str


CLOSING = 421
SIZE = 552
DONE, GO_ON, TRANSIENT, PERMANENT = 2, 3, 4, 5  # first digits
NOT_LOGGED_IN = frozenset({530, 534, 535, 538})
ABOUT_THE_ADDRESS = frozenset({550, 551, 553})
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})\b\s*")
_TOO_FAST = re.compile(r"too many|too fast|too quickly|rate|throttl|slow down", re.IGNORECASE)
_POLICY = re.compile(r"spam|policy|reputation|blocked|block list|bl[ao]cklist", re.IGNORECASE)
_NO_RELAY = re.compile(
    r"relay(ing)?( access)? (is )?(denied|prohibited|not permitted)|(unable|not) to relay",
    re.IGNORECASE,
)
_QUEUE_ID = re.compile(r"(?:queued as |id=)([\w.-]{4,64})", re.IGNORECASE)


def outcome_of(stage: Stage, reply: Reply) -> Outcome:
    """The outcome of a reply that is not the one that was hoped for."""
    enhanced, text = _split(reply.text)
    reason = " ".join(filter(None, (stage.value, str(reply.code), enhanced, scrubbed(text))))
    return Finding(_verdict(stage, reply.code, enhanced=enhanced, text=text), reason).outcome()


def queue_id(reply: Reply) -> str:
    """The relay's own name for the mail it took, or an empty text: `queued as …`, `id=…`."""
    found = _QUEUE_ID.search(reply.text)
    return found[1] if found else ""


def _split(text: str) -> tuple[str, str]:
    found = _ENHANCED.match(text)
    return (found[1], text[found.end() :]) if found else ("", text)


def _verdict(stage: Stage, code: int, *, enhanced: str, text: str) -> Verdict:
    if code // 100 == TRANSIENT:
        too_fast = code == CLOSING and _TOO_FAST.search(text)
        return Verdict.THROTTLED if too_fast else Verdict.DEFERRED
    if code // 100 != PERMANENT:
        # Not in words that we can read: only after the content may it mean that it was taken.
        return Verdict.UNCERTAIN if stage is Stage.CONTENT else Verdict.DEFERRED
    if stage in {Stage.CONNECT, Stage.RESET}:
        return Verdict.DEFERRED
    if stage is Stage.LOGIN or code in NOT_LOGGED_IN:
        return Verdict.MISCONFIGURED
    return _refusal(stage, code, enhanced=enhanced, text=text)


def _refusal(stage: Stage, code: int, *, enhanced: str, text: str) -> Verdict:
    if stage is Stage.MAIL:
        # A bad sender is the same for every message: it must not burn a whole campaign.
        return Verdict.REFUSED if code == SIZE else Verdict.MISCONFIGURED
    if stage is Stage.RCPT and _NO_RELAY.search(text):
        return Verdict.MISCONFIGURED
    if stage is Stage.RCPT and code == SIZE and enhanced in {"", "5.2.2"}:
        return Verdict.DEFERRED  # RFC 5321: 552 to a recipient is to be read as 452
    return (
        Verdict.REFUSED_ADDRESS
        if _blames_address(stage, code, enhanced, text)
        else (Verdict.REFUSED)
    )


def _blames_address(stage: Stage, code: int, enhanced: str, text: str) -> bool:
    if enhanced.startswith("5.1."):
        return True
    if stage is not Stage.RCPT or code not in ABOUT_THE_ADDRESS:
        return False
    if enhanced:
        # A full mailbox is not a dead one; 5.3 is the system, 5.6 the content, 5.7 policy.
        return enhanced != "5.2.2" and not enhanced.startswith(("5.3.", "5.6.", "5.7."))
    return not _POLICY.search(text)
