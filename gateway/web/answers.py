"""How the web reads a body and how it answers.

Invariant: an answer says what is wrong and never how we are built; every answer carries the
same security headers. This file knows no route and no port.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any

from aiohttp import web

from gateway.web.options import WebOptions
from gateway.web.ports import EventsConflict, EventsRefused, Fault

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SERVER_NAME = "winback"
NAME_CHARS_MAX = 128
PROBLEM_TYPE = "application/problem+json"
JSON_TYPES = frozenset(
    {"application/json", "application/cloudevents+json", "application/cloudevents-batch+json"}
)
SECURITY_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Robots-Tag", "noindex, nofollow"),
)


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """An answer other than success, raised by a handler and written by the middleware.

    `errors` are JSON paths and what is wrong there; `closing` ends the connection.
    """

    def __init__(
        self,
        status: int,
        detail: str = "",
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        closing: bool = False,
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.closing = closing


def problem_answer(problem: Problem) -> web.Response:
    """The problem as an RFC 9457 document."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
    }
    if problem.detail:
        document["detail"] = problem.detail
    if problem.errors:
        document["errors"] = [{"path": path, "detail": what} for path, what in problem.errors]
    answer = web.Response(
        status=problem.status,
        body=json.dumps(document, ensure_ascii=False).encode(),
        content_type=PROBLEM_TYPE,
        headers=problem.headers,
    )
    if problem.closing:
        answer.force_close()
    return answer


def json_answer(value: Any, *, status: int = 200) -> web.Response:
    """The value as JSON."""
    return web.Response(
        status=status,
        body=json.dumps(value, ensure_ascii=False, default=_as_text).encode(),
        content_type="application/json",
    )


def _as_text(value: object) -> str:
    """RFC 3339 for instants, as in the events; `str` of one has a space where the `T` belongs."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def unavailable(options: WebOptions) -> Problem:
    """The store does not answer: nothing was kept, ask again."""
    return Problem(
        503,
        "Nothing was kept; please try again.",
        headers={"Retry-After": str(options.retry_after_s)},
    )


def name_in(request: web.Request, name: str, *, chars_max: int = NAME_CHARS_MAX) -> str:
    """A name out of the address; raises `Problem` 404 for one that nothing can have."""
    found = request.match_info[name]
    if len(found) > chars_max:
        raise Problem(404, f"A name has at most {chars_max} characters.")
    if "\0" in found:
        # No database column takes it, so nothing has this name.
        raise Problem(404, "A name has no null character.")
    return found


async def read_body(request: web.Request, options: WebOptions) -> bytes:
    """The raw body, bounded in size and time; raises `Problem` 400, 408, 413 or 415."""
    if (request.content_length or 0) > options.body_bytes_max:
        raise _too_large(options)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        # Signatures are over the bytes as sent, and a small body must not unfold to a large one.
        raise Problem(415, "Send the body without Content-Encoding.", closing=True)
    try:
        async with asyncio.timeout(options.body_timeout_s):
            return await request.read()
    except TimeoutError:
        raise Problem(408, "The body did not arrive in time.", closing=True) from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(options) from None
    except web.RequestPayloadError:
        raise Problem(400, "The body is not what its headers say.", closing=True) from None


async def read_json_body(request: web.Request, options: WebOptions) -> bytes:
    """The raw body of a request that says it is JSON; raises `Problem` 415 for any other."""
    if request.content_type not in JSON_TYPES:
        raise Problem(415, "Send application/json or application/cloudevents+json.")
    return await read_body(request, options)


async def add_security_headers(_request: web.Request, answer: web.StreamResponse) -> None:
    """Put on every answer what no handler has to think of."""
    for name, value in SECURITY_HEADERS:
        answer.headers.setdefault(name, value)
    answer.headers["Server"] = SERVER_NAME


def _too_large(options: WebOptions) -> Problem:
    return Problem(413, f"A body may have {options.body_bytes_max} bytes.", closing=True)


def named(handler: Handler) -> Handler:
    """The handler, with refused events turned into problems that name the paths."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except EventsRefused as refused:
            status = 400 if refused.malformed else 422
            raise Problem(status, "Nothing was taken.", errors=refused.faults) from refused
        except EventsConflict as conflict:
            detail = "The same identity came before with other data; nothing was taken."
            raise Problem(409, detail, errors=conflict.faults) from conflict

    return answer
