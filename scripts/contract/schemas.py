"""JSON Schemas (2020-12) of events and bodies, taken from the structs that decode them.

Invariant: names, types and bounds come from the code; added are sentences, the rules that a struct
cannot hold, and the CloudEvents envelope. What a schema here refuses, the gateway refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from contract.meanings import FIELDS
from gateway.core import bodies, engagement, fence_features, opening, request, wire_careful
from gateway.core.actors import Actor
from gateway.core.engagement import EventType
from gateway.core.gates import Reason
from gateway.core.wire_http import EVENTS_MAX
from gateway.core.wire_shape import READINGS

Schema = dict[str, Any]

NO_LINE_END = r"(?!\n)"
"""Python's `$` also matches before a last newline; the `$` of JSON Schema does not."""

INPUTS = {
    "winback.send.requested.v1": "SendRequested",
    "winback.send.cancelled.v1": "SendCancelled",
    "winback.presence.observed.v1": "PresenceObserved",
    "winback.conversion.observed.v1": "ConversionObserved",
    "winback.consent.changed.v1": "ConsentChanged",
}
STRUCTS = (
    *(reading.struct for reading in READINGS.values()),
    bodies.Redeem,
    bodies.Pool,
    bodies.SwitchState,
    engagement.FactData,
)
PROVIDERS = ("sendgrid", "smtp", "twilio", "fcm", "apns", "webpush", "sandbox")
_ACTORS = (EventType.OPENED, EventType.CLICKED, EventType.REPLIED)


def ref(name: str) -> Schema:
    """A reference to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def named() -> dict[str, Schema]:
    """All schemas of events and bodies by name, each referring to others by `ref`."""
    found = _structs()
    for kind, name in INPUTS.items():
        found[name] = _input(kind, READINGS[kind].struct.__name__)
    found["ConsentChange"] = _consent_change(found["ConsentData"])
    found["Fence"] = _fence()
    found["Engagement"] = _engagement()
    for kind in EventType:
        found[fact_name(kind)] = _fact(kind)
    return dict(sorted(found.items()))


def fact_name(kind: EventType) -> str:
    """The name of an output event's schema: `MessageSent`."""
    return "".join(word.capitalize() for word in kind.value.split(".")[1:3])


def batch_of(name: str) -> Schema:
    """One event, or a list of them."""
    return {"oneOf": [ref(name), {"type": "array", "items": ref(name), "maxItems": EVENTS_MAX}]}


def alone(name: str, among: Mapping[str, Schema]) -> Schema:
    """A schema with everything it refers to inside it, for a file of its own."""
    wanted, waiting = set[str](), [name]
    while waiting:
        one = waiting.pop()
        inner = {found.rpartition("/")[2] for found in _refs(among[one])}
        waiting += inner - wanted
        wanted |= inner
    definitions = {one: _moved(among[one]) for one in sorted(wanted)}
    return {**_moved(among[name]), **({"$defs": definitions} if definitions else {})}


def _refs(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for one in value.values() for found in _refs(one)]
    return [found for one in value for found in _refs(one)] if isinstance(value, list) else []


def _moved(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _moved(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_moved(one) for one in value]
    is_ref = isinstance(value, str) and value.startswith("#/components/schemas/")
    return value.replace("#/components/schemas/", "#/$defs/") if is_ref else value


# --- structs ----------------------------------------------------------------------------------


def _structs() -> dict[str, Schema]:
    _, found = msgspec.json.schema_components(STRUCTS, ref_template="#/components/schemas/{name}")
    for name, schema in found.items():
        fields = FIELDS.get(name, {})
        if unknown := fields.keys() - schema["properties"].keys():
            raise ValueError(f"meanings.py: {name} has no {', '.join(sorted(unknown))}")
        schema.pop("title")
        schema["description"] = schema["description"].replace("`", "").replace("\n", " ")
        schema["properties"] = {
            field: _property(own, fields.get(field, ""))
            for field, own in schema["properties"].items()
        }
    for name, rule in RULES.items():
        found[name].update(rule)
    _as_published(found["FactData"])
    return found


def _property(schema: Schema, meaning: str) -> Schema:
    plain = _without_line_end(schema)
    if plain.get("default", ...) in (None, [], {}):
        del plain["default"]
    return {**({"description": meaning} if meaning else {}), **plain}


def _without_line_end(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: one.removesuffix(NO_LINE_END) if name == "pattern" else _without_line_end(one)
            for name, one in value.items()
        }
    return [_without_line_end(one) for one in value] if isinstance(value, list) else value


def _given(*names: str, kind: str = "string") -> Schema:
    """Names that are there and not null."""
    return {"required": list(names), "properties": {name: {"type": kind} for name in names}}


RULES: Mapping[str, Schema] = {
    "CancelData": {"anyOf": [_given("campaign"), _given("source", "id")]},
    "PresenceData": {"anyOf": [_given("latitude", "longitude", kind="number"), _given("fence")]},
    "ConsentData": {"anyOf": [_given("recipient_id"), _given("email"), _given("phone")]},
    "Pool": {"oneOf": [_given("codes", kind="array"), _given("generate", kind="object")]},
}
"""What must hold beyond types, as far as a schema can say it."""


def _as_published(facts: Schema) -> None:
    """Every field is there; those that are words of ours are one of a list."""
    words = {
        "channel": [*request.ChannelName.__args__, "all"],
        "provider": list(PROVIDERS),
        "actor": [one.value for one in Actor],
        "offer_kind": list(request.OfferKind.__args__),
    }
    for field, allowed in words.items():
        meaning = facts["properties"][field].get("description")
        described = {"description": meaning} if meaning else {}
        facts["properties"][field] = {**described, "enum": [*allowed, None]}
    facts["required"] = list(facts["properties"])


# --- events -----------------------------------------------------------------------------------


def _input(kind: str, data: str) -> Schema:
    text = {"type": "string", "minLength": 1, "maxLength": wire_careful.ATTRIBUTE_MAX}
    return {
        "description": f"CloudEvents 1.0 of type {kind}. Source and id are its identity.",
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "type": {"const": kind},
            "source": {"description": "Who published it; a URI-reference", **text},
            "id": {"description": "Unique within the source", **text},
            "time": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
            "datacontenttype": {"description": "application/json, if anything"},
            "data": ref(data),
        },
        "required": ["specversion", "type", "source", "id", "data"],
    }


def _consent_change(whole: Schema) -> Schema:
    properties = {name: one for name, one in whole["properties"].items() if name != "recipient_id"}
    return {
        "description": "Data of winback.consent.changed.v1 about the person of the address",
        "type": "object",
        "properties": properties,
        "required": whole["required"],
    }


def _engagement() -> Schema:
    return {
        "description": "What the gateway publishes: structured CloudEvents, flat data, null where "
        "a field does not apply. The same fact has the same id however often it is published.",
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"description": "The fact; deduplicate by it", "type": "string"},
            "source": {"const": engagement.SOURCE},
            "type": {"enum": [kind.value for kind in EventType]},
            "subject": {"description": "The send, else the record's key", "type": "string"},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "data": ref("FactData"),
        },
        "required": [
            "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data",
        ],
    }  # fmt: skip


def _fact(kind: EventType) -> Schema:
    """One type of output event: the engagement event with what is narrower for it."""
    own: Schema = {}
    if kind is EventType.SUPPRESSED:
        own["reason"] = {"enum": [reason.value for reason in Reason]}
    if kind in _ACTORS:
        own["actor"] = {"enum": [one.value for one in Actor]}
    data = {"data": {"properties": own}} if own else {}
    return {
        "description": f"{kind.value}: {TOLD[kind]}",
        "allOf": [ref("Engagement")],
        "properties": {"type": {"const": kind.value}, **data},
    }


TOLD: Mapping[EventType, str] = {
    EventType.SUPPRESSED: "a request ends without a message",
    EventType.ARMED: "a request waits until the person is seen at the place",
    EventType.SENT: "the provider took the message",
    EventType.DELIVERED: "the provider's receipt says it arrived",
    EventType.BOUNCED: "the receiver refuses for good",
    EventType.FAILED: "given up",
    EventType.UNKNOWN: "in doubt and abandoned",
    EventType.OPENED: "a message was opened",
    EventType.CLICKED: "a link was followed",
    EventType.REPLIED: "a person wrote back",
    EventType.UNSUBSCRIBED: "a person said no",
    EventType.RESUBSCRIBED: "a person said yes again",
    EventType.COMPLAINED: "a person reported the message as spam",
    EventType.COUPON_ISSUED: "a code went out with a message",
    EventType.COUPON_REDEEMED: "a code was used for an order",
    EventType.COUPON_EXPIRED: "a code was not used in time",
    EventType.ATTRIBUTED: "a conversion, credited",
}


# --- fences -----------------------------------------------------------------------------------

_TIME_OF_DAY = {"type": "string", "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"}


def _fence() -> Schema:
    return {
        "description": "A place: a GeoJSON Feature (RFC 7946), longitude first. Its id is the one "
        "in the address, said again or left out.",
        "type": "object",
        "properties": {
            "type": {"const": "Feature"},
            "id": {"type": ["string", "null"], "maxLength": fence_features.NAME_MAX},
            "geometry": {
                "oneOf": [
                    _geometry("Point", _position()),
                    _geometry("Polygon", _polygon()),
                    _geometry(
                        "MultiPolygon", {"type": "array", "minItems": 1, "items": _polygon()}
                    ),
                ]
            },
            "properties": _fence_properties(),
        },
        "required": ["type", "geometry"],
    }


def _geometry(kind: str, coordinates: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {"type": {"const": kind}, "coordinates": coordinates},
        "required": ["type", "coordinates"],
    }


def _polygon() -> Schema:
    ring = {"type": "array", "minItems": fence_features.RING_MIN, "items": _position()}
    return {"type": "array", "minItems": 1, "items": ring}


def _position() -> Schema:
    return {
        "description": "Longitude (-180 to 180), latitude (-90 to 90), and an altitude that says "
        "nothing",
        "type": "array",
        "items": {"type": "number"},
        "minItems": 2,
        "maxItems": 3,
    }


def _fence_properties() -> Schema:
    spans = {
        "type": "array",
        "maxItems": fence_features.SPANS_MAX,
        "items": {"type": "array", "minItems": 2, "maxItems": 2, "items": _TIME_OF_DAY},
    }
    name = {"type": "string", "minLength": 1, "maxLength": fence_features.NAME_MAX}
    return {
        "type": ["object", "null"],
        "properties": {
            "name": {
                "type": ["string", "null"], "minLength": 1, "maxLength": fence_features.TITLE_MAX,
            },
            "groups": {
                "type": ["array", "null"], "maxItems": fence_features.GROUPS_MAX, "items": name,
            },
            "radius_m": {
                "description": "Needed by a Point: metres, above 0 and up to "
                f"{fence_features.RADIUS_M_MAX}",
            },
            "timezone": {"description": "IANA name; default UTC", "type": ["string", "null"]},
            "opening_hours": {
                "description": "Spans by day; a day that is not named is closed, and without "
                "opening_hours the place is always open",
                "type": ["object", "null"],
                "properties": dict.fromkeys(opening.DAYS, spans),
                "additionalProperties": False,
            },
        },
    }  # fmt: skip
