"""What the demo hears on the output topics: facts in the order they came, and who waits for more.

Invariant: a fact is told once, however often it is published; what is kept is bounded.
This file knows records and nothing of how they are shown.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from gateway.bus.contract import Record

KEPT_MAX = 2000
DEAD_LETTER = "dead_letter"
DETAILS = ("reason", "detail", "url", "coupon_code")


@dataclass(frozen=True, slots=True)
class Told:
    """One fact. `type` is the event's without `winback.` and version, or `dead_letter`.

    What does not apply is empty; `detail` is a line for people.
    """

    id: str
    type: str
    at: datetime
    recipient_id: str
    request_id: str = ""
    send_id: str = ""
    delivery_id: str = ""
    channel: str = ""
    actor: str = ""
    detail: str = ""
    reason: str = ""
    coupon_code: str = ""
    number: int = 0


def told_of(record: Record, *, dlq_topic: str) -> Told:
    """A record of an output topic as a fact."""
    if record.topic == dlq_topic:
        return _dead_letter(record)
    event: Mapping[str, Any] = json.loads(record.value or b"{}")
    data: Mapping[str, Any] = event.get("data", {})
    texts = [str(data[name]) for name in DETAILS if data.get(name)]
    if data.get("value"):
        texts.append(f"{data['value']} {data.get('currency') or ''}".rstrip())
    return Told(
        id=str(event.get("id")),
        type=str(event.get("type")).removeprefix("winback.").removesuffix(".v1"),
        at=datetime.fromisoformat(str(event.get("time"))),
        recipient_id=data.get("recipient_id") or "",
        request_id=data.get("request_id") or "",
        send_id=data.get("send_id") or "",
        delivery_id=data.get("delivery_id") or "",
        channel=data.get("channel") or "",
        actor=data.get("actor") or "",
        detail=", ".join(texts),
        reason=data.get("reason") or "",
        coupon_code=data.get("coupon_code") or "",
    )


def _dead_letter(record: Record) -> Told:
    headers = dict(record.headers)
    reason = headers.get("dlq-reason", b"").decode(errors="replace")
    detail = headers.get("dlq-detail", b"").decode(errors="replace")
    return Told(
        id=f"{record.topic}:{record.partition}:{record.offset}",
        type=DEAD_LETTER,
        at=datetime.fromtimestamp(record.timestamp_ms / 1000, UTC),
        recipient_id=(record.key or b"").decode(errors="replace"),
        request_id=_request_id(record.value),
        detail=f"{reason}, {detail}",
    )


def _request_id(value: bytes | None) -> str:
    """The id of an event that was refused; empty where the record is no event at all."""
    try:
        event = json.loads(value or b"")
    except ValueError:
        return ""
    return str(event.get("id", "")) if isinstance(event, dict) else ""


class Stream:
    """The newest facts, numbered from 1 in the order they came."""

    def __init__(self) -> None:
        self._kept: deque[Told] = deque(maxlen=KEPT_MAX)
        self._ids: set[str] = set()
        self._count = 0
        self._more = asyncio.Event()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing will be told any more."""
        return self._closed

    def tell(self, facts: Sequence[Told]) -> None:
        """Add what has not been told yet, and wake whoever waits."""
        for fact in facts:
            if fact.id not in self._ids:
                self._keep(fact)
        self._wake()

    def recent(self, after: int = 0) -> Sequence[Told]:
        """What came after that number, oldest first."""
        return [fact for fact in self._kept if fact.number > after]

    async def wait(self, after: int) -> None:
        """Until something came after that number, or the stream is closed."""
        while self._count <= after and not self._closed:
            await self._more.wait()

    def close(self) -> None:
        """Nothing more: whoever waits goes on."""
        self._closed = True
        self._wake()

    def _keep(self, fact: Told) -> None:
        self._count += 1
        if len(self._kept) == KEPT_MAX:
            self._ids.discard(self._kept[0].id)
        self._ids.add(fact.id)
        self._kept.append(replace(fact, number=self._count))

    def _wake(self) -> None:
        # Everyone who waits holds the old event; whoever comes later gets a new one.
        more, self._more = self._more, asyncio.Event()
        more.set()
