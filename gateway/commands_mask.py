"""Masks: what of an event may be shown to somebody who mends it, and only the shape of the rest.

Invariant: a value is shown only where this file names its path as free of personal data and the
value does not look like an address; everything else, known or not, is a shape such as `<text 12>`.
"""

from __future__ import annotations

import re
from typing import Any, Final

DEPTH_MAX: Final = 32
CHARS_MAX: Final = 256
OPEN_PATHS: Final = frozenset(
    {
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "datacontenttype",
        "data.campaign",
        "data.template",
        "data.channels",
        "data.purpose",
        "data.priority",
        "data.test",
        "data.not_before",
        "data.expires_at",
        "data.recipient.id",
        "data.recipient.locale",
        "data.recipient.timezone",
        "data.recipient.country",
        "data.recipient.preferred_channels",
        "data.recipient.push.platform",
        "data.churn.reason",
        "data.offer.kind",
        "data.offer.amount.amount",
        "data.offer.amount.currency",
        "data.offer.percent",
        "data.offer.expires_in",
        "data.offer.expires_at",
        "data.offer.pool",
        "data.geo.fences",
        "data.geo.expires_at",
        "data.fallback.after",
        "data.fallback.unless",
        "data.experiment.name",
        "data.experiment.holdout",
        "data.experiment.variants.name",
        "data.experiment.variants.weight",
        "data.experiment.variants.template",
        "data.source",
        "data.id",
        "data.recipient_id",
        "data.observed_at",
        "data.occurred_at",
        "data.kind",
        "data.channel",
        "data.topic",
        "data.state",
    }
)
OPEN_HEADERS: Final = frozenset(
    {
        "key",
        "content-type",
        "ce_specversion",
        "ce_id",
        "ce_source",
        "ce_type",
        "ce_time",
        "traceparent",
    }
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_ADDRESS: Final = re.compile(r"[^\s@\"']+@[^\s@\"']+")
_PHONE: Final = re.compile(r"\+\s?[0-9][0-9\s().-]{5,}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def masked(value: Any, *, root: str = "") -> Any:
    """A JSON value of the same form, with shapes in place of whatever may be personal.

    `root` is the path that the value stands at: empty for a whole event, `data` for its data.
    """
    return _masked(value, root, 0)


def _masked(value: Any, path: str, depth: int) -> Any:
    if depth > DEPTH_MAX:
        return "<nested deeper>"
    match value:
        case dict():
            return {
                _name(name): _masked(inner, _below(path, name), depth + 1)
                for name, inner in value.items()
            }
        case list():
            return [_masked(inner, path, depth + 1) for inner in value]
        case None:
            return None
        case _:
            return shown(value) if path in OPEN_PATHS else shape(value)


def shown(value: Any) -> Any:
    """A scalar that may be shown, unless it looks like an address or is no scalar at all."""
    if isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str) or _ADDRESS.search(value) or _PHONE.search(value):
        return shape(value)
    text = _CONTROL.sub("�", value)
    return text if len(text) <= CHARS_MAX else f"{text[:CHARS_MAX]}…"


def shape(value: Any) -> str:
    """What kind of value it is, and how long."""
    match value:
        case bool():
            return "<boolean>"
        case str():
            return f"<text {len(value)}>"
        case int() | float():
            return "<number>"
        case _:
            return f"<{type(value).__name__} {len(value)}>"


def masked_header(name: str, value: bytes | None) -> Any:
    """A record's header, or its key, as far as it may be shown."""
    if value is None:
        return None
    if name.lower() not in OPEN_HEADERS:
        return f"<{len(value)} bytes>"
    return shown(value.decode(errors="replace"))


def scrubbed(text: str) -> str:
    """A line of our own about an event, without the addresses that it may repeat."""
    text = _PHONE.sub("<number>", _ADDRESS.sub("<address>", text))
    return _CONTROL.sub("�", text)


def _below(path: str, name: str) -> str:
    # A name with a dot in it must not pass for the path of another field.
    step = name if _NAME.fullmatch(name) else "?"
    return f"{path}.{step}" if path else step


def _name(name: str) -> str:
    # A variable's name is upstream's to choose, and may be a value that went astray.
    return name if _NAME.fullmatch(name) else shape(name)
