"""The routes of the contract as values: who calls them, with what, and what they answer.

Invariant: a route stands here once. Statuses are those that its handler can give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract import examples
from contract.schemas import Schema, batch_of, ref
from gateway.web.answers import JSON_TYPES, NAME_CHARS_MAX
from gateway.web.counter import SCOPE_CHARS_MAX
from gateway.web.keys import COOKIE
from gateway.web.wishes import FORM_TYPE

JSON = "application/json"
HTML = "text/html"
TEXT: Schema = {"type": "string"}

TAGS = {
    "links": "What people and mail clients follow out of messages",
    "webhooks": "What providers tell; 2xx only once it is durable",
    "events": "The same events as on Kafka",
    "support": "Why a send went out, what is held about a person",
    "campaigns": "Coupons, places and results",
    "operations": "Kill switches, probes",
    "dashboard": "Pages for the team",
}
SECURITY: Mapping[str, Any] = {
    "key": {"type": "http", "scheme": "bearer", "description": "One of WINBACK_API__KEYS"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "What the dashboard keeps once a key was shown",
    },
    "sendgrid": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Twilio-Email-Event-Webhook-Signature",
        "description": "SendGrid's signature over timestamp and body",
    },
    "twilio": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Twilio-Signature",
        "description": "Twilio's signature over address and form",
    },
}


@dataclass(frozen=True, slots=True)
class Place:
    """A name in an address."""

    meaning: str
    example: str
    schema: Schema = field(
        default_factory=lambda: {"type": "string", "minLength": 1, "maxLength": NAME_CHARS_MAX}
    )


@dataclass(frozen=True, slots=True)
class Says:
    """An answer that is no problem document; without `kind` it has no body."""

    told: str
    kind: str = ""
    schema: Schema = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    also: str = ""
    """A second content type, of a text."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. `security` None is the document's own: a bearer key."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answers: Mapping[int, Says]
    more: str = ""
    problems: Sequence[int] = ()
    places: Mapping[str, Place] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    security: Sequence[Mapping[str, Any]] | None = None
    is_page: bool = False
    body: Sequence[str] = ()
    body_schema: Schema = field(default_factory=dict)
    body_example: Mapping[str, Any] | None = None
    body_required: bool = True
    event: str = ""


OPEN: Sequence[Mapping[str, Any]] = ()
READ = (401, 503)
WRITE = (400, 401, 408, 413, 415, 422, 503)
_LONG: Schema = {"type": "string", "minLength": 1}


def _json(schema: str, told: str = "As asked") -> Says:
    return Says(told, JSON, ref(schema))


def _page(told: str) -> Says:
    return Says(told, HTML, TEXT)


def _body(name: str) -> dict[str, Any]:
    return {
        "body": (JSON,),
        "body_schema": ref(name),
        "body_example": examples.BODIES[name],
    }


def _events(kind: str, name: str) -> dict[str, Any]:
    return {"body": sorted(JSON_TYPES), "body_schema": batch_of(name), "event": kind}


# --- links ----------------------------------------------------------------------------------------

_TOKEN = Place("Signed by this gateway", "not-a-token", _LONG)
_CODE = Place("A code out of an SMS", "abcdefghijkl", _LONG)
_THERE = {302: Says("To the destination", headers={"Location": "The signed destination"})}
_LINKS = (
    Route(
        "get", "/t/o/{token}.gif", "open", "links", "Open pixel",
        {200: Says("43 bytes, whatever the token", "image/gif", TEXT)},
        places={"token": _TOKEN}, security=OPEN,
    ),
    Route(
        "get", "/t/c/{token}", "click", "links", "Click", _THERE,
        more="Works with store and Kafka down.",
        problems=(404,), places={"token": _TOKEN}, security=OPEN, is_page=True,
    ),
    Route(
        "get", "/t/s/{code}", "shortLink", "links", "Short link out of an SMS", _THERE,
        problems=(404, 503), places={"code": _CODE}, security=OPEN, is_page=True,
    ),
    Route(
        "get", "/t/u/{token}", "preferences", "links", "Preference page; changes nothing",
        {200: _page("What the person gets, and buttons to change it")},
        problems=(404, 503), places={"token": _TOKEN}, security=OPEN, is_page=True,
    ),
    Route(
        "post", "/t/u/{token}", "unsubscribe", "links", "Unsubscribe, or change preferences",
        {200: Says("A page that says what is true now; to a one-click, one line",
                   HTML, TEXT, also="text/plain")},
        more="RFC 8058 one-click with List-Unsubscribe=One-Click. Any body that is not a form of "
        "the preference page is a no to promotional e-mail. No redirect, no cookie.",
        problems=(404, 408, 413, 415, 503), places={"token": _TOKEN}, security=OPEN, is_page=True,
        body=(FORM_TYPE,), body_required=False,
        body_schema={"type": "object", "properties": {"List-Unsubscribe": {"const": "One-Click"}}},
        body_example={"List-Unsubscribe": "One-Click"},
    ),
)  # fmt: skip

# --- webhooks -------------------------------------------------------------------------------------

_HOOK = (400, 403, 408, 413, 415, 503)
_FORM: dict[str, Any] = {"body": (FORM_TYPE,), "body_schema": {"type": "object"}}
_WEBHOOKS = (
    Route(
        "post", "/webhooks/sendgrid", "sendgridEvents", "webhooks", "Signed receipts of SendGrid",
        {200: Says("Durable")}, more="There where SendGrid is the e-mail provider.",
        problems=_HOOK, security=({"sendgrid": []},),
        body=(JSON,), body_schema={"type": "array", "items": {"type": "object"}},
    ),
    Route(
        "post", "/webhooks/twilio/status", "twilioStatus", "webhooks", "Signed receipts of Twilio",
        {200: Says("Durable")}, more="There where Twilio is the SMS provider.",
        problems=_HOOK, security=({"twilio": []},), **_FORM,
    ),
    Route(
        "post", "/webhooks/twilio/inbound", "twilioInbound", "webhooks", "Signed inbound SMS",
        {200: Says("Durable; nothing to say back", "text/xml", TEXT)},
        more="There where Twilio is the SMS provider. STOP and START are obeyed.",
        problems=_HOOK, security=({"twilio": []},), **_FORM,
    ),
)  # fmt: skip

# --- events ---------------------------------------------------------------------------------------

_LATER = "A CloudEvent, or a list of them; a list is taken whole or not at all."
_EVENTS = (
    Route(
        "post", "/v1/sends", "takeSends", "events", "Take requests",
        {202: _json("TakenSends", "Durable")},
        more=f"{_LATER} 422 names the path of each event's first fault: an unknown template at "
        "$.data.template, a missing variable at $.data.variables.<name>, and under $[1] inside a "
        "list.",
        problems=(*WRITE, 409), **_events("winback.send.requested.v1", "SendRequested"),
    ),
    Route(
        "post", "/v1/presence", "takePresence", "events", "Take sightings of people",
        {202: _json("TakenEvents", "Durable")}, more=_LATER,
        problems=WRITE, **_events("winback.presence.observed.v1", "PresenceObserved"),
    ),
    Route(
        "post", "/v1/conversions", "takeConversions", "events", "Take conversions",
        {202: _json("TakenEvents", "Durable")}, more=_LATER,
        problems=WRITE, **_events("winback.conversion.observed.v1", "ConversionObserved"),
    ),
)  # fmt: skip

# --- support --------------------------------------------------------------------------------------

_PERSON = Place("The person's id", "cust-000123")
_SUPPORT = (
    Route(
        "get", "/v1/sends/{send_id}", "explainSend", "support", "The decision record of one send",
        {200: _json("Decision")}, problems=(*READ, 404),
        places={"send_id": Place("As answered when it was taken", examples.SEND, _LONG)},
    ),
    Route(
        "get", "/v1/recipients/{recipient_id}", "showPerson", "support",
        "Everything held about one person",
        {200: _json("Person")}, problems=(*READ, 404), places={"recipient_id": _PERSON},
    ),
    Route(
        "delete", "/v1/recipients/{recipient_id}", "erasePerson", "support", "Erase a person",
        {204: Says("Erased; a keyed hash stays in suppression")},
        problems=(*READ, 404), places={"recipient_id": _PERSON},
    ),
    Route(
        "put", "/v1/recipients/{recipient_id}/consent", "changeConsent", "support",
        "Keep an opt-out, or an opt-in, that arrived any other way",
        {204: Says("Durable, also for a person not seen before")},
        problems=(*WRITE, 404), places={"recipient_id": _PERSON}, **_body("ConsentChange"),
    ),
)  # fmt: skip

# --- campaigns ------------------------------------------------------------------------------------

_POOL = Place("Id of the pool", "spring")
_FENCE = Place("Id of the fence", "copenhagen-central")
_CAMPAIGNS = (
    Route(
        "post", "/v1/coupons/{code}/redeem", "redeemCoupon", "campaigns", "Redeem a code once",
        {200: _json("Redeemed")},
        more="Idempotent by order. 404 unknown or never issued, 409 redeemed by another order, "
        "410 expired or returned.",
        problems=(*WRITE, 404, 409, 410),
        places={"code": Place("The code, as typed", "SPRING-7QK2M9XWC4TBNP")}, **_body("Redeem"),
    ),
    Route(
        "put", "/v1/coupon-pools/{pool}", "fillPool", "campaigns", "Add codes, or make some",
        {200: _json("CodeCounts")}, problems=(*WRITE, 404), places={"pool": _POOL},
        **_body("Pool"),
    ),
    Route(
        "get", "/v1/coupon-pools/{pool}", "countPool", "campaigns", "Count codes by state",
        {200: _json("CodeCounts")}, problems=(*READ, 404), places={"pool": _POOL},
    ),
    Route(
        "put", "/v1/fences/{fence_id}", "putFence", "campaigns", "Keep a fence",
        {200: _json("Fence", "As it is kept")}, problems=(*WRITE, 404),
        places={"fence_id": _FENCE}, **_body("Fence"),
    ),
    Route(
        "delete", "/v1/fences/{fence_id}", "dropFence", "campaigns", "Forget a fence",
        {204: Says("Forgotten")}, problems=(*READ, 404), places={"fence_id": _FENCE},
    ),
    Route(
        "get", "/v1/fences", "listFences", "campaigns", "All fences",
        {200: _json("Fences")}, problems=READ,
    ),
    Route(
        "get", "/v1/campaigns/{campaign}/results", "results", "campaigns",
        "What a campaign brought",
        {200: _json("Campaign", "All but holdout leave the hold-out's people out")},
        problems=(*READ, 404), places={"campaign": Place("The campaign", "spring-2026")},
    ),
)  # fmt: skip

# --- operations -----------------------------------------------------------------------------------

_SCOPE = Place(
    "global, channel:sms, campaign:spring-2026",
    "campaign:autumn-2031",
    {
        "type": "string",
        "maxLength": SCOPE_CHARS_MAX,
        "pattern": r"^(global|channel:(email|sms|push)|campaign:[\s\S]{1,128})$",
    },
)
_PROBE = {200: _json("Probe", "Yes"), 503: _json("Probe", "No")}
_OPERATIONS = (
    Route(
        "put", "/v1/switches/{scope}", "setSwitch", "operations", "Stop a scope or let it run",
        {200: _json("Switches", "All switches")},
        more="Stopped holds sends back; with discard, what is queued in the scope ends as killed.",
        problems=(*WRITE, 404), places={"scope": _SCOPE}, **_body("SwitchState"),
    ),
    Route(
        "get", "/v1/switches", "listSwitches", "operations", "All switches that were ever set",
        {200: _json("Switches")}, problems=READ,
    ),
    Route(
        "get", "/livez", "livez", "operations", "Whether the process should live on", _PROBE,
        security=OPEN,
    ),
    Route(
        "get", "/readyz", "readyz", "operations", "Whether traffic should come here", _PROBE,
        security=OPEN,
    ),
    Route(
        "get", "/startupz", "startupz", "operations", "Whether the start is done", _PROBE,
        security=OPEN,
    ),
    Route(
        "get", "/metrics", "metrics", "operations", "Everything measured",
        {200: Says("Prometheus text", "text/plain", TEXT)}, security=OPEN,
    ),
)  # fmt: skip

# --- dashboard ------------------------------------------------------------------------------------

_FORM_PAGE = _page("A form that asks for a key")
_BEHIND: dict[str, Any] = {"security": ({"key": []}, {"session": []}), "is_page": True}
_SENDS_QUERY = {
    "recipient": "Only to this person",
    "campaign": "Only of this campaign",
    "stage": "Only those that came so far",
    "people": "held_out, all, or else those who were written to",
    "outcome": "Only those that ended so",
    "channel": "email, sms, push",
    "state": "Only deliveries in this state",
    "before": "Number of the last one on the page before",
}


def _shown(told: str) -> dict[int, Says]:
    return {200: _page(told), 401: _FORM_PAGE}


_DASHBOARD = (
    Route(
        "get", "/", "dashboard", "dashboard", "Is it well, and did it work",
        _shown("Also when the store is away"), **_BEHIND,
    ),
    Route(
        "post", "/", "enter", "dashboard", "Take a key once and keep a cookie, or forget it",
        {
            303: Says("To the page that was wanted", headers={
                "Location": "A page of the dashboard",
                "Set-Cookie": "Proof that a key was shown, until a stated time",
            }),
            401: _page("That was no key"),
        },
        problems=(408, 413, 415), security=OPEN, body=(FORM_TYPE,), body_required=False,
        body_schema={
            "type": "object", "properties": {"key": TEXT, "next": TEXT, "leave": TEXT},
        },
    ),
    Route(
        "get", "/sends", "showSends", "dashboard", "A list of sends", _shown("Newest first"),
        problems=(503,), query=_SENDS_QUERY, **_BEHIND,
    ),
    Route(
        "get", "/sends/{send_id}", "showSend", "dashboard", "The story of a send",
        _shown("As in GET /v1/sends/{send_id}"), problems=(404, 503),
        places={"send_id": Place("As answered when it was taken", examples.SEND, _LONG)}, **_BEHIND,
    ),
    Route(
        "get", "/campaigns/{campaign}", "showCampaign", "dashboard", "What a campaign brought",
        _shown("As in GET /v1/campaigns/{campaign}/results"), problems=(503,),
        places={"campaign": Place("The campaign", "spring-2026", _LONG)}, **_BEHIND,
    ),
    Route(
        "get", "/dead-letters", "showDeadLetters", "dashboard", "The newest dead letters",
        _shown("Newest first"), problems=(503,), **_BEHIND,
    ),
    Route(
        "get", "/outbox", "showOutbox", "dashboard", "Events that are not published yet",
        _shown("Oldest first"), problems=(503,), **_BEHIND,
    ),
)  # fmt: skip

ROUTES = (*_LINKS, *_WEBHOOKS, *_EVENTS, *_SUPPORT, *_CAMPAIGNS, *_OPERATIONS, *_DASHBOARD)
