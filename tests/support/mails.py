"""What a person finds in a message that a stand-in wrote down."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from support.journal import Call


@dataclass(frozen=True, slots=True)
class Mail:
    """One e-mail as SendGrid got it: links stand in the HTML, the one-click in a header."""

    subject: str
    html: str
    text: str
    clicks: list[str]
    pixel: str
    one_click: str


def mail_of(call: Call) -> Mail:
    """The mail of a SendGrid call."""
    whole: dict[str, Any] = json.loads(call.body)
    personal = whole["personalizations"][0]
    parts = {part["type"]: part["value"] for part in whole["content"]}
    links = [
        html.unescape(link) for link in re.findall(r'(?:href|src)="([^"]+)"', parts["text/html"])
    ]
    pixels = [link for link in links if "/t/o/" in link]
    return Mail(
        subject=personal.get("subject", whole.get("subject", "")),
        html=parts["text/html"],
        text=parts["text/plain"],
        clicks=[link for link in links if "/t/c/" in link],
        pixel=pixels[0] if pixels else "",
        one_click=personal.get("headers", {}).get("List-Unsubscribe", "").strip("<>"),
    )


def sms_of(call: Call) -> str:
    """The text of a Twilio call."""
    return parse_qs(call.body.decode())["Body"][0]


def short_links_of(call: Call) -> list[str]:
    """The short links in the text of a Twilio call."""
    return re.findall(r"https?://\S+/t/s/[0-9A-Za-z]+", sms_of(call))
