"""What the edge hands to the flows and gets back, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody or something fetched a link of one delivery, at `at` (aware UTC)."""

    delivery_id: str
    at: datetime
    user_agent: str
    method: str
    prefetch: bool


@dataclass(frozen=True, slots=True)
class ShortLink:
    """Where a short link leads: `link` is its position in the message."""

    delivery_id: str
    link: int
    url: str


@dataclass(frozen=True, slots=True)
class Topic:
    """A campaign by its name, and whether its messages still reach the person."""

    name: str
    is_on: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person gets now; True means promotional messages go there.

    `locale` is that of the text they got, `channel` the one it came on; `topics` are the
    campaigns that can be stopped alone: the one that the text belongs to.
    """

    locale: str
    channel: str
    email: bool
    sms: bool
    push: bool
    topics: tuple[Topic, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """One event taken in. `send_id` is empty for events that are no request."""

    source: str
    id: str
    send_id: str
    status: Literal["accepted", "duplicate"]


@dataclass(frozen=True, slots=True)
class Report:
    """How the process is: one answer, and what it rests on."""

    ok: bool
    details: Mapping[str, Any] = field(default_factory=dict)
