"""Messages and a fixed time for tests of channels, and a place that test data comes from."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from channels.contract import EmailContent, Message, PushContent, PushTarget, SmsContent

DATA = Path(__file__).resolve().parents[1] / "data"
AT = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC)


def now() -> datetime:
    """The time in these tests."""
    return AT


def data(name: str) -> Any:
    """A JSON file of `tests/data`."""
    return json.loads((DATA / name).read_text())


EMAIL = Message(
    attempt_id="at-1",
    send_id="se-1",
    delivery_id="de-1",
    to="ana@example.com",
    to_name="Ana",
    content=EmailContent(
        subject="We miss you",
        html="<p>Hello</p>",
        text="Hello",
        headers={
            "List-Unsubscribe": "<https://gw.example.com/t/u/token>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    ),
    collapse_id="se-1",
    campaign="spring-2026",
    expires_in_s=None,
    may_start=lambda: True,
)
SMS = replace(
    EMAIL,
    to="+15558675310",
    content=SmsContent("Hello, come back ✓", segments=1, encoding="UCS-2"),
)
PUSH = replace(
    EMAIL,
    to=PushTarget("fcm", token="token-1"),
    content=PushContent("We miss you", "Hello", "https://gw.example.com/t/c/x"),
)


def email(**changes: Any) -> Message:
    """An e-mail whose content differs in some fields."""
    return replace(EMAIL, content=replace(EMAIL.content, **changes))


def push(**changes: Any) -> Message:
    """A push whose content differs in some fields."""
    return replace(PUSH, content=replace(PUSH.content, **changes))
