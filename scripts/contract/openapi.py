"""The HTTP side of the contract as an OpenAPI 3.1 document.

Invariant: every route of the router is here and no other; a status that a route can answer is
listed with it. HEAD is answered wherever GET is, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract import answers, examples, schemas
from contract.routes import ROUTES, SECURITY, TAGS, Route
from contract.schemas import Schema, ref
from gateway.web.answers import PROBLEM_TYPE

PROBLEMS: Mapping[int, tuple[str, str]] = {
    400: ("Malformed", "The body is not JSON, or not what its headers say"),
    401: ("NoKey", "No key was shown, or a wrong one"),
    403: ("NotSigned", "The signature is missing or wrong"),
    404: ("NotFound", "There is no such thing"),
    408: ("TooSlow", "The body did not arrive in time"),
    409: ("Conflict", "The same identity came before with other data; nothing was taken"),
    410: ("Gone", "The code has expired or was returned"),
    413: ("TooLarge", "The body is over 1 MiB"),
    415: ("NotJson", "The body is compressed, or not said to be JSON"),
    422: ("Refused", "Nothing was taken; errors name the JSON path of each first fault"),
    503: ("Unavailable", "The store does not answer; nothing was kept, try again"),
}
PAGES: Mapping[int, tuple[str, str]] = {
    404: ("NoSuchPage", "No such thing: a page that says so"),
    408: ("PageTooSlow", PROBLEMS[408][1]),
    413: ("PageTooLarge", PROBLEMS[413][1]),
    415: ("PageNotPlain", "The body is compressed"),
    503: ("PageUnavailable", "Nothing has changed: a page that asks to try again"),
}
PROBLEM_EXAMPLE = {
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "Nothing was taken.",
    "errors": [{"path": "$.data.recipient.id", "detail": "is required"}],
}


def document(version: str) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "winback-gateway",
            "version": version,
            "summary": "Win-back messages: the HTTP side",
            "description": "Links in messages, provider webhooks, the API, probes.\n"
            "Errors are RFC 9457 problem documents, but for the pages that people see.\n"
            "HEAD is answered wherever GET is, and changes nothing.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "WINBACK_HTTP__PUBLIC_URL"}],
        "tags": [{"name": name, "description": told} for name, told in TAGS.items()],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": dict(SECURITY),
            "responses": _responses(),
            "examples": _examples(),
            "schemas": _schemas(),
        },
    }


def _schemas() -> dict[str, Schema]:
    events = schemas.named()
    facts = {name for name, schema in events.items() if "allOf" in schema}
    inner = {"CancelData", "SendCancelled", "ConsentChanged", "ConsentData"}
    kept = {name: one for name, one in events.items() if name not in facts | inner}
    return dict(sorted({**kept, **answers.named()}.items()))


def _responses() -> dict[str, Any]:
    content = {PROBLEM_TYPE: {"schema": ref("Problem")}}
    found = {
        name: {
            "description": told,
            **_headers(status),
            "content": {PROBLEM_TYPE: {**content[PROBLEM_TYPE], **_problem_example(status)}},
        }
        for status, (name, told) in PROBLEMS.items()
    }
    for status, (name, told) in PAGES.items():
        found[name] = {"description": told, **_headers(status), "content": _page()}
    return found


def _problem_example(status: int) -> dict[str, Any]:
    return {"example": PROBLEM_EXAMPLE} if status == PROBLEM_EXAMPLE["status"] else {}


def _headers(status: int) -> dict[str, Any]:
    names = {503: ("Retry-After", "Seconds"), 401: ("WWW-Authenticate", "Bearer")}
    if status not in names:
        return {}
    name, told = names[status]
    return {"headers": {name: {"description": told, "schema": {"type": "string"}}}}


def _page() -> dict[str, Any]:
    return {"text/html": {"schema": {"type": "string"}}}


# --- one operation ------------------------------------------------------------------------------


def _operation(route: Route) -> dict[str, Any]:
    return {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        **({"description": route.more} if route.more else {}),
        **({"security": list(route.security)} if route.security is not None else {}),
        **_parameters(route),
        **_body(route),
        "responses": _answers(route),
    }


def _parameters(route: Route) -> dict[str, Any]:
    listed = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": place.meaning,
            "schema": place.schema,
            "example": place.example,
        }
        for name, place in route.places.items()
    ]
    listed += [
        {"name": name, "in": "query", "description": told, "schema": {"type": "string"}}
        for name, told in route.query.items()
    ]
    return {"parameters": listed} if listed else {}


def _body(route: Route) -> dict[str, Any]:
    if not route.body:
        return {}
    content = {kind: {"schema": route.body_schema, **_body_examples(route)} for kind in route.body}
    return {"requestBody": {"required": route.body_required, "content": content}}


def _body_examples(route: Route) -> dict[str, Any]:
    if route.event:
        return {"examples": _event_examples(route.event)}
    return {"example": dict(route.body_example)} if route.body_example is not None else {}


def _event_examples(kind: str) -> dict[str, Any]:
    name = schemas.INPUTS[kind]
    return {
        "one": {"$ref": f"#/components/examples/{name}"},
        "many": {"$ref": f"#/components/examples/{name}List"},
    }


def _examples() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in (route.event for route in ROUTES if route.event):
        first, second = (examples.event(kind, name) for name in ("r-1001", "r-1002"))
        name = schemas.INPUTS[kind]
        found[name] = {"summary": "One event", "value": first}
        found[f"{name}List"] = {
            "summary": "A list, taken whole or not at all",
            "value": [first, second],
        }
    return found


def _answers(route: Route) -> dict[str, Any]:
    found: dict[int, Any] = {}
    for status, answer in route.answers.items():
        found[status] = {"description": answer.told}
        if answer.headers:
            found[status]["headers"] = {
                name: {"description": told, "schema": {"type": "string"}}
                for name, told in answer.headers.items()
            }
        if answer.kind:
            found[status]["content"] = {answer.kind: {"schema": answer.schema}}
        if answer.also:
            found[status]["content"][answer.also] = {"schema": {"type": "string"}}
    for status in route.problems:
        told = PAGES if route.is_page and status in PAGES else PROBLEMS
        found[status] = {"$ref": f"#/components/responses/{told[status][0]}"}
    return {str(status): found[status] for status in sorted(found)}
