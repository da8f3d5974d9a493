"""The Kafka side of the contract as an AsyncAPI 3.0 document.

Invariant: topics and the types that belong on them are those of the settings and the wire. Input
comes in both Kafka content modes of CloudEvents, output is structured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract import examples, schemas
from contract.schemas import INPUTS, Schema, ref
from gateway.config import variables
from gateway.core import wire, wire_careful
from gateway.core.engagement import EventType
from gateway.core.wire_shape import READINGS

STRUCTURED = "application/cloudevents+json"
BINARY = "application/json"
KAFKA = "0.5.0"
DLQ_REASONS = (
    "not_json",
    "not_a_cloudevent",
    "unknown_type",
    "invalid_field",
    "too_large",
    "unknown_template",
    "missing_variable",
    "identity_conflict",
)
_TEXT: Schema = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that the gateway reads."""

    name: str
    setting: str
    summary: str
    types: frozenset[str]


READ = (
    Topic("sends", "sends_topic", "What upstream asks for", wire.SENDS),
    Topic("presence", "presence_topic", "Where people were seen", wire.PRESENCE),
    Topic("conversions", "conversions_topic", "What people did", wire.CONVERSIONS),
    Topic("consent", "consent_topic", "What people said", wire.CONSENT),
)


def document(version: str) -> dict[str, Any]:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "winback-gateway",
            "version": version,
            "description": "Win-back messages: the Kafka side. Every record is a CloudEvent 1.0.\n"
            "The record key is the recipient id, in and out: all that concerns one person is in\n"
            "order on one partition. Topic names are settings; the defaults stand here.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": STRUCTURED,
        "servers": {
            "kafka": {
                "host": "localhost:9092",
                "protocol": "kafka",
                "description": "WINBACK_KAFKA__BOOTSTRAP_SERVERS",
            }
        },
        "channels": {
            **{topic.name: _read(topic) for topic in READ},
            "engagement": _engagement(),
            "deadLetters": _dead_letters(),
        },
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": schemas_of_events()},
    }


def schemas_of_events() -> dict[str, Schema]:
    """The schemas that records need."""
    bodies = {"Fence", "Pool", "Generate", "Redeem", "SwitchState", "ConsentChange"}
    return {name: one for name, one in schemas.named().items() if name not in bodies}


def topic_of(setting: str) -> str:
    """The default name of a topic."""
    (found,) = [
        one.row.default for one in variables() if one.name == f"WINBACK_KAFKA__{setting.upper()}"
    ]
    return str(found)


# --- topics -------------------------------------------------------------------------------------


def _channel(setting: str, summary: str, messages: Sequence[str]) -> dict[str, Any]:
    return {
        "address": topic_of(setting),
        "summary": summary,
        "description": f"Named by WINBACK_KAFKA__{setting.upper()}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _names(types: frozenset[str]) -> list[str]:
    kinds = [kind for kind in INPUTS if kind in types]
    return [f"{INPUTS[kind]}{mode}" for kind in kinds for mode in ("", "Binary")]


def _read(topic: Topic) -> dict[str, Any]:
    return _channel(topic.setting, topic.summary, _names(topic.types))


def _engagement() -> dict[str, Any]:
    names = [schemas.fact_name(kind) for kind in EventType]
    return _channel("engagement_topic", "What became of it", names)


def _dead_letters() -> dict[str, Any]:
    return _channel("dlq_topic", "Records that cannot be taken", ["DeadLetter"])


def _operations() -> dict[str, Any]:
    reads = {f"take{topic.name.capitalize()}": ("receive", topic.name) for topic in READ}
    writes = {"tell": ("send", "engagement"), "refuse": ("send", "deadLetters")}
    return {
        name: {"action": action, "channel": {"$ref": f"#/channels/{channel}"}}
        for name, (action, channel) in {**reads, **writes}.items()
    }


# --- messages -----------------------------------------------------------------------------------


def _messages() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, name in INPUTS.items():
        found[name] = _structured(kind, ref(name), examples.event(kind), _CONTENT_TYPE)
        found[f"{name}Binary"] = _binary(kind)
    for event in EventType:
        name = schemas.fact_name(event)
        found[name] = _structured(event.value, ref(name), examples.fact(event), _CONTENT_TYPE)
        found[name]["summary"] = schemas.TOLD[event]
    found["DeadLetter"] = _dead_letter()
    return found


def _bindings() -> dict[str, Any]:
    key = {"type": "string", "description": "The recipient id; of input it is not checked"}
    return {"kafka": {"key": key, "bindingVersion": KAFKA}}


_CONTENT_TYPE: Schema = {
    "type": "object",
    "properties": {"content-type": {"description": f"{STRUCTURED}, with or without a charset"}},
}


def _structured(
    kind: str, payload: Schema, example: Mapping[str, Any], headers: Schema
) -> dict[str, Any]:
    return {
        "name": kind,
        "title": f"{kind}, structured",
        "contentType": STRUCTURED,
        "headers": headers,
        "payload": payload,
        "bindings": _bindings(),
        "examples": [{"payload": dict(example)}],
    }


def _binary(kind: str) -> dict[str, Any]:
    example = examples.event(kind)
    names = ("specversion", "type", "source", "id", "time")
    return {
        "name": kind,
        "title": f"{kind}, binary",
        "contentType": BINARY,
        "headers": _attributes(kind),
        "payload": ref(READINGS[kind].struct.__name__),
        "bindings": _bindings(),
        "examples": [
            {
                "headers": {
                    **{f"ce_{name}": example[name] for name in names},
                    "content-type": BINARY,
                },
                "payload": example["data"],
            }
        ],
    }


def _attributes(kind: str) -> Schema:
    text = {"type": "string", "minLength": 1, "maxLength": wire_careful.ATTRIBUTE_MAX}
    return {
        "type": "object",
        "properties": {
            "ce_specversion": {"const": "1.0"},
            "ce_type": {"const": kind},
            "ce_source": text,
            "ce_id": text,
            "ce_time": {"type": "string", "format": "date-time"},
            "content-type": {"const": BINARY},
        },
        "required": ["ce_specversion", "ce_type", "ce_source", "ce_id"],
    }


def _dead_letter() -> dict[str, Any]:
    number = {"type": "string", "pattern": "^-?[0-9]+$"}
    return {
        "name": "dead letter",
        "title": "A record that cannot be taken, unchanged",
        "summary": "The original value, key and headers, and why it was refused",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {
                "dlq-reason": {"enum": list(DLQ_REASONS)},
                "dlq-detail": {"description": "A JSON path, and what is wrong there", **_TEXT},
                "dlq-topic": {"description": "Where it came from", **_TEXT},
                "dlq-partition": number,
                "dlq-offset": number,
                "dlq-timestamp": {"description": "The record's own, in milliseconds", **number},
                "dlq-truncated": {
                    "description": "The broker refused the record for its size: the value is null",
                    "const": "true",
                },
            },
            "required": [
                "dlq-reason", "dlq-detail", "dlq-topic", "dlq-partition", "dlq-offset",
                "dlq-timestamp",
            ],
        },
        "payload": {"description": "Whatever it was"},
        "bindings": {"kafka": {"key": {"description": "As it came"}, "bindingVersion": KAFKA}},
        "examples": [
            {
                "headers": {
                    "dlq-reason": "invalid_field",
                    "dlq-detail": "$.data.recipient.id: is required",
                    "dlq-topic": topic_of("sends_topic"),
                    "dlq-partition": "3",
                    "dlq-offset": "1204",
                    "dlq-timestamp": "1777629600000",
                },
                "payload": "the original bytes",
            }
        ],
    }  # fmt: skip
