"""Bytes to events: CloudEvents 1.0 in both Kafka content modes and over HTTP, or a refusal.

Invariant: for any bytes and headers `decode` returns an event or raises RefusedError, and it
refuses the same event for the same reason in every content mode. There are two ways through: a
fast one that decodes straight into structs and only ever accepts, and, for all that it leaves, a
careful one over plain values that names the first fault. What both accept, both answer alike.

Faults are named in this order: size, JSON, depth, CloudEvents attributes, type, data. In data,
wrong types come first, then the rules of `wire_rules.py`, each in the order of the schema.
Known zones are an argument, because reading them is I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.core import json_values, wire_careful, wire_rules
from gateway.core.request import (
    CancelData,
    ConsentData,
    ConversionData,
    Data,
    Event,
    Instant,
    PresenceData,
    SendData,
)
from gateway.core.wire_shape import (
    CONSENT_CHANGED,
    CONVERSION_OBSERVED,
    PRESENCE_OBSERVED,
    READINGS,
    SEND_CANCELLED,
    SEND_REQUESTED,
    Reading,
)
from gateway.errors import RefusedError

D = TypeVar("D", SendData, CancelData, PresenceData, ConversionData, ConsentData)

SENDS: Final = frozenset({SEND_REQUESTED, SEND_CANCELLED})
PRESENCE: Final = frozenset({PRESENCE_OBSERVED})
CONVERSIONS: Final = frozenset({CONVERSION_OBSERVED})
CONSENT: Final = frozenset({CONSENT_CHANGED})

EVENT_BYTES_MAX: Final = 1024 * 1024

_BY_STRUCT: Final[Mapping[type, Reading[Any]]] = MappingProxyType(
    {reading.struct: reading for reading in READINGS.values()}
)
_encoder: Final = msgspec.json.Encoder()

_Attribute = Annotated[str, Meta(min_length=1, max_length=wire_careful.ATTRIBUTE_MAX)]


class _Envelope(Struct, frozen=True, forbid_unknown_fields=True):
    """A structured event as nearly all of them are; any other attribute takes the careful way."""

    specversion: str
    id: _Attribute
    source: _Attribute
    type: str
    data: Raw
    time: Instant | None = None
    datacontenttype: Any = None
    dataschema: Any = None
    subject: Any = None
    traceparent: Any = None
    tracestate: Any = None


_envelopes: Final = msgspec.json.Decoder(_Envelope)


class _NeedsCareError(Exception):
    """The fast way leaves this event to the careful one."""


# What msgspec raises on bytes of any kind, and the packer on an integer over 64 bits.
_NOT_FAST: Final = (
    msgspec.MsgspecError,
    UnicodeDecodeError,
    OverflowError,
    RecursionError,
    _NeedsCareError,
)


# --- from Kafka -----------------------------------------------------------------------------


def decode(
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    accepted: frozenset[str],
    *,
    zones: frozenset[str],
) -> Event:
    """One record as an event; RefusedError, and nothing else, for any that cannot be taken.

    `accepted` are the types that belong on the record's topic, `zones` the IANA names that are
    known. Header values are UTF-8 and not percent-encoded, as the Kafka binding has it.
    """
    if value is None:
        raise RefusedError("not_json", "$", "no value")
    if len(value) > EVENT_BYTES_MAX:
        raise RefusedError("too_large", "$", f"over {EVENT_BYTES_MAX} bytes")
    attributes = _binary_attributes(headers)
    if attributes is None:
        return _structured(value, accepted, zones)
    return _binary(value, attributes, accepted, zones)


def _binary_attributes(headers: Sequence[tuple[str, bytes]]) -> dict[str, bytes] | None:
    """The `ce_` headers of a record in binary mode; None where the value is the whole event."""
    attributes: dict[str, bytes] = {}
    for name, value in headers:
        lower = name.lower()
        if lower == "content-type" and (value or b"").lower().startswith(
            b"application/cloudevents"
        ):
            return None
        if lower.startswith("ce_"):
            attributes[lower[3:]] = value or b""
    return attributes or None


def _structured(value: bytes, accepted: frozenset[str], zones: frozenset[str]) -> Event:
    try:
        _keep_odd_out(value, json_values.DEPTH_MAX)
        envelope = _envelopes.decode(value)
        if envelope.specversion == "1.0" and envelope.type in accepted:
            return _fast((envelope.type, envelope.source, envelope.id), envelope.data, zones)
    except _NOT_FAST:
        pass
    found = json_values.read(value)
    if not isinstance(found, dict):
        raise RefusedError("not_a_cloudevent", "$", "is not a JSON object")
    identity = wire_careful.attributes(found, accepted)
    if "data" not in found:
        raise RefusedError("invalid_field", "$.data", "is required")
    return wire_careful.event(*identity, value=found["data"], zones=zones)


def _binary(
    value: bytes, headers: dict[str, bytes], accepted: frozenset[str], zones: frozenset[str]
) -> Event:
    # The value stands where `$.data` does in structured mode: one level down.
    depth = json_values.DEPTH_MAX - 1
    try:
        _keep_odd_out(value, depth)
        return _fast(wire_careful.attributes(_texts(headers), accepted), value, zones)
    except (*_NOT_FAST, RefusedError):
        pass
    found = json_values.read(value, root="$.data", depth=depth)
    identity = wire_careful.attributes(_texts(headers), accepted)
    return wire_careful.event(*identity, value=found, zones=zones)


def _texts(headers: dict[str, bytes]) -> dict[str, str]:
    """The attributes that are looked at, as text."""
    texts = {}
    for name in wire_careful.LOOKED_AT & headers.keys():
        try:
            texts[name] = headers[name].decode()
        except UnicodeDecodeError as error:
            raise RefusedError("not_a_cloudevent", f"$.{name}", "is not UTF-8") from error
    return texts


# --- the fast way ---------------------------------------------------------------------------


def _keep_odd_out(value: bytes, depth: int) -> None:
    """Keep from the fast way what msgspec does not look at: bytes it skips, depth, U+0000."""
    value.decode()
    if (b"\\" in value and b"\\u0000" in value) or not json_values.is_shallow(value, depth):
        raise _NeedsCareError


def _fast(identity: tuple[str, str, str], raw: Raw | bytes, zones: frozenset[str]) -> Event:
    reading = READINGS[identity[0]]
    data = reading.typed(raw)
    digest = reading.digest(raw)
    is_large = len(memoryview(raw)) > wire_rules.VARIABLES_BYTES_MAX
    broken = wire_rules.first_broken(data, zones=zones, is_large=is_large)
    if broken is not None or not wire_rules.is_settled(data):
        raise _NeedsCareError
    return Event(*identity, data, digest, 0)


# --- for the store --------------------------------------------------------------------------


def encode_data(data: Data) -> bytes:
    """Data as JSON for the store."""
    return _encoder.encode(data)


def decode_stored(struct: type[D], stored: bytes) -> D:
    """What `encode_data` wrote, without looking at it again beyond its types."""
    data: D = _BY_STRUCT[struct].typed(stored)
    return data
