"""Dead letters as values: where one came from, why it was refused, and whom it may be about.

Invariant: of a letter nothing is shown but through the masks of `commands_mask`; what is sent again
is the original record to the byte. Knows no broker and no store.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateway.bus.contract import Outgoing, Record
from gateway.commands_mask import masked, masked_header, scrubbed, shown
from gateway.core import ids
from gateway.core.plan import normal_address

OURS: Final = "dlq-"
REASONS: Final = (
    "not_json",
    "not_a_cloudevent",
    "unknown_type",
    "invalid_field",
    "too_large",
    "unknown_template",
    "missing_variable",
    "identity_conflict",
)
NAMES_PEOPLE: Final = frozenset({"id", "recipient_id", "recipient", "subject", "user_id"})
_EMAIL: Final = re.compile(r"[^\s@<>\"',;:]+@[^\s@<>\"',;:]+")
_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_QUOTED: Final = re.compile(r'"([^"\\]{1,4096})"')
_BETWEEN_DIGITS: Final = re.compile(r"[\s().-]")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `detail`, `event_id` and `event_source` are already masked."""

    partition: int
    offset: int
    refused_at: datetime
    reason: str
    detail: str
    topic: str
    source_partition: int | None
    source_offset: int | None
    source_at: datetime | None
    event_id: str | None
    event_source: str | None
    is_truncated: bool

    @property
    def place(self) -> str:
        """Where it stands in the dead-letter topic: `PARTITION:OFFSET`."""
        return f"{self.partition}:{self.offset}"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {name: getattr(self, name) for name in self.__slots__}


def letter_of(record: Record) -> Letter:
    """What is known of a dead letter by its headers, and its event's identity."""
    headers = {name: value or b"" for name, value in record.headers}
    texts = {name: value.decode(errors="replace") for name, value in headers.items()}
    source_ms = _number(texts.get("dlq-timestamp"))
    event_id, event_source = _identity(record, texts)
    return Letter(
        partition=record.partition,
        offset=record.offset,
        refused_at=_at(record.timestamp_ms),
        reason=scrubbed(texts.get("dlq-reason", "")),
        detail=scrubbed(texts.get("dlq-detail", "")),
        topic=texts.get("dlq-topic", ""),
        source_partition=_number(texts.get("dlq-partition")),
        source_offset=_number(texts.get("dlq-offset")),
        source_at=None if source_ms is None else _at(source_ms),
        event_id=event_id,
        event_source=event_source,
        is_truncated=texts.get("dlq-truncated") == "true",
    )


def original(record: Record) -> Outgoing:
    """The record as it was published first: key, value and headers, back to its topic."""
    topic = letter_of(record).topic
    headers = [(name, value) for name, value in record.headers if not name.startswith(OURS)]
    return Outgoing(topic, record.key, record.value, headers)


def masked_letter(record: Record) -> dict[str, Any]:
    """All of a letter that may be shown: what it is, and of personal data only the shape."""
    found = _json(record.value)
    return {
        **letter_of(record).as_dict(),
        "key": masked_header("key", record.key),
        "headers": {
            name: masked_header(name, value)
            for name, value in record.headers
            if not name.startswith(OURS)
        },
        "value": masked(found, root="data" if _is_binary(record) else "")
        if found is not None
        else (None if record.value is None else f"<{len(record.value)} bytes, not JSON>"),
    }


# --- whom it is about -----------------------------------------------------------------------


def subjects_of(record: Record, secret: bytes) -> frozenset[bytes]:
    """Keyed hashes of all people and addresses that a record may be about.

    A refused record may have them in the wrong place, so every text of it is taken for one.
    """
    found = set(_candidates(record))
    return frozenset(ids.subject_key(secret, kind, value) for kind, value in found)


def _candidates(record: Record) -> Iterator[tuple[str, str]]:
    if record.key is not None:
        yield from _person(record.key.decode(errors="replace"))
    for name, value in record.headers:
        if name.lower().startswith("ce_") and name.lower() not in {"ce_id", "ce_type"}:
            yield from _person((value or b"").decode(errors="replace"))
    found = _json(record.value)
    if found is not None:
        yield from _in_json(found)
    elif record.value is not None:
        text = record.value.decode(errors="replace")
        for quoted in _QUOTED.findall(text):
            yield from _person(quoted)
        yield from _addresses(text)


def _in_json(found: Any) -> Iterator[tuple[str, str]]:
    # A stack, not recursion: a refused record may be nested as deep as it likes.
    left: list[tuple[str, Any]] = [("", found)]
    while left:
        name, value = left.pop()
        if isinstance(value, dict):
            left += value.items()
            left += [("", inner) for inner in value]
        elif isinstance(value, list):
            left += [(name, inner) for inner in value]
        elif name in NAMES_PEOPLE and value is not None:
            yield from _person(str(value))
        elif isinstance(value, str):
            yield from _addresses(value)


def _person(text: str) -> Iterator[tuple[str, str]]:
    yield "person", text
    yield from _addresses(text)


def _addresses(text: str) -> Iterator[tuple[str, str]]:
    yield "push", text
    for address in (text, *_EMAIL.findall(text)):
        yield "email", normal_address("email", address)
    for number in (_BETWEEN_DIGITS.sub("", text), *_PHONE.findall(text)):
        yield "sms", number


# --- reading --------------------------------------------------------------------------------


def _identity(record: Record, texts: Mapping[str, str]) -> tuple[str | None, str | None]:
    if _is_binary(record):
        lower = {name.lower(): text for name, text in texts.items()}
        return _shown(lower.get("ce_id")), _shown(lower.get("ce_source"))
    found = _json(record.value)
    if not isinstance(found, dict):
        return None, None
    return _shown(found.get("id")), _shown(found.get("source"))


def _shown(value: Any) -> str | None:
    return None if value is None else str(shown(value))


def _is_binary(record: Record) -> bool:
    """As the decoder has it: `ce_` headers, unless the content type says structured."""
    headers = [(name.lower(), (value or b"").lower()) for name, value in record.headers]
    if any(
        name == "content-type" and value.startswith(b"application/cloudevents")
        for name, value in headers
    ):
        return False
    return any(name.startswith("ce_") for name, _ in headers)


def _json(value: bytes | None) -> Any:
    """The value as JSON; None where it is none."""
    if value is None:
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() else None


def _at(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=max(0, ms))
