"""Schemas of what the API answers: the decision record, people, results, lists.

Invariant: published schemas are open, so that a later version may say more; the tests close them
and hold real answers against them. Enumerations come from the code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from contract.schemas import PROVIDERS, Schema, ref
from gateway.core.delivery import State
from gateway.core.gates import Cause
from gateway.core.request import ChannelName, Purpose
from gateway.store.results import COUNTED

TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
INSTANT: Schema = {"type": "string", "format": "date-time"}
INSTANT_OR_NULL: Schema = {"anyOf": [INSTANT, {"type": "null"}]}
COUNT: Schema = {"type": "integer", "minimum": 0}
CODE_STATES = ("free", "reserved", "issued", "redeemed", "expired", "returned")
PERSON_STATES = ("returned", "opted_out", "interested", "silent", "exhausted")


def named() -> dict[str, Schema]:
    """All schemas of answers by name."""
    return {
        "Campaign": _campaign(),
        "CodeCounts": whole({"pool": TEXT, "codes": _counts()}),
        "Decision": _decision(),
        "Fences": whole({"type": {"const": "FeatureCollection"}, "features": _list(ref("Fence"))}),
        "Person": _person(),
        "Probe": whole({"status": {"enum": ["ok", "failing"]}, "details": {"type": "object"}}),
        "Problem": _problem(),
        "Redeemed": whole(
            {"code": TEXT, "status": {"const": "redeemed"}, "delivery_id": TEXT},
            "Redeemed, now or before by the same order",
        ),
        "Switches": whole({"switches": _list(_switch())}),
        "TakenEvents": whole({"events": _list(whole(_taken()))}),
        "TakenSends": whole({"sends": _list(whole({**_taken(), "send_id": TEXT}))}),
    }


def whole(properties: Mapping[str, Any], description: str = "") -> Schema:
    """An object that has all of these."""
    told = {"description": description} if description else {}
    return {
        **told,
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _words(values: Sequence[str], *, nullable: bool = False) -> Schema:
    return {"enum": [*values, *([None] if nullable else [])]}


def _problem() -> Schema:
    return {
        "description": "RFC 9457 problem details; errors where fields are at fault",
        "type": "object",
        "properties": {
            "type": {"const": "about:blank"},
            "title": {"description": "The status in words", **TEXT},
            "status": {"type": "integer"},
            "detail": {"description": "What can be done about it", **TEXT},
            "errors": _list(whole({"path": {"description": "JSON path", **TEXT}, "detail": TEXT})),
        },
        "required": ["type", "title", "status"],
    }


def _taken() -> dict[str, Schema]:
    return {"source": TEXT, "id": TEXT, "status": {"enum": ["accepted", "duplicate"]}}


def _counts() -> Schema:
    return {
        "description": "Codes by state; a state without codes is left out",
        "type": "object",
        "properties": dict.fromkeys(CODE_STATES, COUNT),
        "additionalProperties": False,
    }


def _switch() -> Schema:
    return whole(
        {
            "scope": TEXT,
            "state": {"enum": ["stopped", "running"]},
            "reason": TEXT,
            "at": INSTANT,
        }
    )


# --- the decision record ------------------------------------------------------------------------


def _decision_fields() -> dict[str, Schema]:
    return {
        "send_id": TEXT,
        "request": whole({"source": TEXT, "id": TEXT}),
        "recipient_id": TEXT,
        "campaign": TEXT,
        "template": TEXT,
        "template_version": TEXT,
        "purpose": _words(get_args(Purpose)),
        "accepted_at": INSTANT,
        "not_before": INSTANT_OR_NULL,
        "expires_at": INSTANT_OR_NULL,
        "routes": _list(whole({"channel": _words(get_args(ChannelName)), "locale": TEXT})),
        "state": _words([state.value for state in State]),
        "gates": _list(whole({"gate": TEXT, "answer": TEXT, "detail": TEXT_OR_NULL})),
        "deliveries": _list(_delivery()),
        "events": _list(ref("Engagement")),
        "is_test": {"type": "boolean"},
    }


def _decision() -> Schema:
    return whole(
        _decision_fields(),
        "Why a send went out, waited or stopped: every gate in order, the deliveries, the events",
    )


def _delivery() -> Schema:
    provider = _words(PROVIDERS, nullable=True)
    attempt = {
        "claim": COUNT,
        "started_at": INSTANT,
        "ended_at": INSTANT,
        "provider": provider,
        "outcome": TEXT,
        "reason": TEXT_OR_NULL,
    }
    return whole(
        {
            "delivery_id": TEXT,
            "channel": _words(get_args(ChannelName)),
            "state": _words([state.value for state in State]),
            "queued_at": INSTANT,
            "due_at": INSTANT_OR_NULL,
            "claimed_until": INSTANT_OR_NULL,
            "in_doubt_until": INSTANT_OR_NULL,
            "provider": provider,
            "provider_message_id": TEXT_OR_NULL,
            "sent_at": INSTANT_OR_NULL,
            "reason": TEXT_OR_NULL,
            "detail": TEXT_OR_NULL,
            "attempt": COUNT,
            "attempts": _list(whole(attempt)),
        }
    )


# --- people and campaigns -----------------------------------------------------------------------


def _person() -> Schema:
    consent = {
        "channel": _words([*get_args(ChannelName), "all"]),
        "topic": TEXT_OR_NULL,
        "state": _words(("granted", "revoked")),
        "cause": _words([cause.value for cause in Cause]),
        "source": TEXT,
        "evidence": TEXT_OR_NULL,
        "occurred_at": INSTANT,
        "recorded_at": INSTANT,
    }
    conversion = {
        "kind": TEXT,
        "value": {"anyOf": [ref("Money"), {"type": "null"}]},
        "order_id": TEXT_OR_NULL,
        "occurred_at": INSTANT,
        "attributed_to": TEXT_OR_NULL,
    }
    send = {**_decision_fields(), "request_data": {"type": ["object", "null"]}}
    coupon = {
        "code": TEXT,
        "pool": TEXT,
        "state": _words(CODE_STATES),
        "campaign": TEXT_OR_NULL,
    }
    return whole(
        {
            "recipient_id": TEXT,
            "state": _words(PERSON_STATES),
            "consent": _list(whole(consent)),
            "sends": _list(whole(send)),
            "conversions": _list(whole(conversion)),
            "revenue": _revenue(),
            "coupons": _list(whole(coupon)),
        },
        "Everything held about one person",
    )


def _revenue() -> Schema:
    return {
        "description": "Decimal strings by ISO 4217 code",
        "type": "object",
        "additionalProperties": TEXT,
    }


def _campaign() -> Schema:
    counts = dict.fromkeys(COUNTED, COUNT)
    rate = {"reactivation_rate": {"type": "number", "minimum": 0, "maximum": 1}}
    leaf = {**counts, "revenue": _revenue(), **rate}
    lift = whole(
        {
            "absolute": {"type": "number"},
            "interval": {
                "type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2,
            },
            "confidence": {"const": 0.95},
            "relative": {"type": ["number", "null"]},
        },
        "Against the hold-out, with its 95 % interval; null where nobody was held out or targeted",
    )  # fmt: skip
    groups = {"type": "object", "additionalProperties": whole(leaf)}
    return whole(
        {
            "campaign": TEXT,
            "total": whole({**leaf, "lift": {"anyOf": [lift, {"type": "null"}]}}),
            "holdout": whole(leaf),
            "by_variant": groups,
            "by_channel": groups,
            "by_reason": groups,
            "by_offer": groups,
        },
        "People counted once each, by what became of them; clicked counts people only",
    )
