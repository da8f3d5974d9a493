"""The careful way: an event out of plain values, with its first fault or its unknown fields.

Invariant: it takes and refuses what the fast way of `wire.py` does, for the same reasons, and
makes the same data and digest of it; it is slower because it can say why. Knows no bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.core import json_values, wire_rules, wire_shape
from gateway.core.request import Event, Instant
from gateway.errors import RefusedError

ATTRIBUTE_MAX: Final = 512
LOOKED_AT: Final = frozenset({"specversion", "id", "source", "type", "time"})
_encoder: Final = msgspec.json.Encoder()


def attributes(found: Mapping[str, Any], accepted: frozenset[str]) -> tuple[str, str, str]:
    """Type, source and id of a CloudEvent whose required attributes are right.

    Each is 1 to 512 characters long. Raises RefusedError: `not_a_cloudevent`, or `unknown_type`
    where the type is none of the contract's or not among `accepted`.
    """
    for name in ("specversion", "id", "source", "type"):
        fault = _attribute_fault(name, found)
        if fault:
            raise RefusedError("not_a_cloudevent", f"$.{name}", fault)
    if found["specversion"] != "1.0":
        raise RefusedError("not_a_cloudevent", "$.specversion", "is not 1.0")
    if found.get("time") is not None and not _is_instant(found["time"]):
        raise RefusedError("not_a_cloudevent", "$.time", "is not an RFC 3339 time")
    kind = found["type"]
    if kind not in wire_shape.READINGS:
        raise RefusedError("unknown_type", "$.type", "is not a type that the contract names")
    if kind not in accepted:
        raise RefusedError("unknown_type", "$.type", "does not belong here")
    return kind, found["source"], found["id"]


def _attribute_fault(name: str, found: Mapping[str, Any]) -> str:
    if name not in found:
        return "is required"
    value = found[name]
    if not isinstance(value, str):
        return "is not a string"
    if not 0 < len(value) <= ATTRIBUTE_MAX:
        return f"is not 1 to {ATTRIBUTE_MAX} characters long"
    return "holds a null character" if "\0" in value else ""


def _is_instant(value: Any) -> bool:
    try:
        msgspec.convert(value, Instant)
    except msgspec.ValidationError:
        return False
    return isinstance(value, str)


def event(kind: str, source: str, name: str, *, value: Any, zones: frozenset[str]) -> Event:
    """The event of type `kind` whose `data` is `value`; RefusedError with its first fault."""
    reading = wire_shape.READINGS[kind]
    fields, unknown = _known(reading.struct, value)
    data = _converted(reading.struct, fields)
    unfit = json_values.first_unfit(fields, "$.data")
    if unfit is not None:
        raise RefusedError("invalid_field", *unfit)
    raw = _encoder.encode(fields)
    digest = reading.digest(raw)
    is_large = len(raw) > wire_rules.VARIABLES_BYTES_MAX
    broken = wire_rules.first_broken(data, zones=zones, is_large=is_large)
    broken = broken or wire_rules.odd_instant(data)
    if broken is not None:
        raise RefusedError(broken.reason, f"$.data.{broken.path}", broken.what)
    if not wire_rules.is_settled(data):
        data = msgspec.convert(wire_shape.in_utc(reading.struct, fields), reading.struct)
    return Event(kind, source, name, data, digest, unknown)


def _known(struct: type[Struct], value: Any) -> tuple[dict[str, Any], int]:
    fault = None if isinstance(value, dict) else wire_shape.first_fault(struct, value, "$.data")
    if fault is not None:
        raise RefusedError("invalid_field", *fault)
    return wire_shape.known(struct, value)


def _converted(struct: type[Struct], fields: dict[str, Any]) -> Any:
    try:
        return msgspec.convert(fields, struct)
    except msgspec.ValidationError as error:
        fault = wire_shape.first_fault(struct, fields, "$.data") or wire_shape.said(error, "$.data")
        raise RefusedError("invalid_field", *fault) from error
