"""The HTTP server: handlers put together, faults turned into answers, the listening socket.

Invariant: whatever a handler does, the client gets an answer that says nothing of our insides;
`/v1` answers nobody without a key. This file knows no store and builds no port.
"""

from __future__ import annotations

import asyncio
import traceback
from types import TracebackType
from typing import Self

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.errors import StoreUnavailable
from gateway.web.answers import Problem, add_security_headers, problem_answer, unavailable
from gateway.web.api import Api
from gateway.web.board import load_board
from gateway.web.dashboard import Dashboard
from gateway.web.door import Door
from gateway.web.guard import Crowd, Wire
from gateway.web.health import Draining, Probes
from gateway.web.keys import Keys
from gateway.web.options import WebOptions
from gateway.web.pages import Pages, load_pages
from gateway.web.ports import Ports
from gateway.web.receipts import Receipts
from gateway.web.tracking import Tracking, wished

log = structlog.get_logger(__name__)
_DRAINING = web.AppKey("draining", Draining)
_OPTIONS = web.AppKey("options", WebOptions)


def build(ports: Ports, options: WebOptions) -> web.Application:
    """The application over `ports`; serve it with `Server`."""
    keys, pages, draining = Keys(options.api_keys), load_pages(options), Draining()
    app = web.Application(
        client_max_size=options.body_bytes_max,
        middlewares=[
            _close_when_draining(draining),
            _answer_faults(pages, options),
            _ask_for_key(keys),
        ],
    )
    app[_DRAINING], app[_OPTIONS] = draining, options
    door = Door(keys, ports.clock, pages, options)
    app.on_response_prepare.append(add_security_headers)
    app.add_routes(
        [
            *Tracking(ports.engage, ports.tokens, ports.clock, pages, options).routes(),
            *Receipts(ports.engage, ports.webhooks, ports.clock, options).routes(),
            *Api(ports.intake, ports.stories, ports.consent, ports.desk, options).routes(),
            *Probes(ports.health, draining).routes(),
            *door.routes(),
            *Dashboard(
                ports.overview, ports.stories, ports.health, draining, door, load_board()
            ).routes(),
        ]
    )
    return app


class Server:
    """An application on a socket, from entering to leaving; port 0 takes a free one."""

    def __init__(self, app: web.Application, *, host: str, port: int) -> None:
        self._app = app
        self._host = host
        self._wanted_port = port
        self._crowd = Crowd(app[_OPTIONS])
        self._runner = web.AppRunner(app, shutdown_timeout=app[_OPTIONS].close_timeout_s)
        self._listener: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that answers."""
        if self._listener is None:
            raise RuntimeError("the server has not started")
        return int(self._listener.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._crowd)

    def drain(self) -> None:
        """From now on `/readyz` says 503 and answers close their connections."""
        self._app[_DRAINING].begun = True

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        self._listener = await asyncio.get_running_loop().create_server(
            self._wire, self._host, self._wanted_port, backlog=1024
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.drain()
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()

    def _wire(self) -> Wire:
        served_by = self._runner.server
        if served_by is None:
            raise RuntimeError("the server has not started")
        return Wire(
            served_by,
            loop=asyncio.get_running_loop(),
            crowd=self._crowd,
            keepalive_timeout=self._app[_OPTIONS].keepalive_timeout_s,
            lingering_time=self._app[_OPTIONS].body_timeout_s / 3,
            access_log=None,
            auto_decompress=False,
        )


def _answer_faults(pages: Pages, options: WebOptions) -> Middleware:
    """Marks the connection, and turns every fault into an answer."""

    @web.middleware
    async def answer_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
        if isinstance(request.protocol, Wire):
            request.protocol.answering()
        try:
            return await handler(request)
        except Problem as problem:
            return _shaped(request, problem, pages=pages, options=options)
        except web.HTTPException as fault:
            allow = {"Allow": fault.headers["Allow"]} if "Allow" in fault.headers else {}
            told = Problem(fault.status, headers=allow)
            return _shaped(request, told, pages=pages, options=options)
        except StoreUnavailable:
            return _shaped(request, unavailable(options), pages=pages, options=options)
        except Exception as fault:
            if isinstance(fault, ConnectionError) and request.transport is None:
                raise  # the client has gone, nobody is there to answer
            _log_fault(request, fault)
            return _shaped(request, Problem(500), pages=pages, options=options)

    return answer_faults


def _log_fault(request: web.Request, fault: Exception) -> None:
    # Kind and place, not the text: an exception's text may hold an address.
    place = traceback.extract_tb(fault.__traceback__)[-1]
    resource = request.match_info.route.resource
    log.error(
        "web_fault",
        route="none" if resource is None else resource.canonical,
        kind=type(fault).__name__,
        place=f"{place.filename}:{place.lineno}",
    )


def _shaped(
    request: web.Request, problem: Problem, *, pages: Pages, options: WebOptions
) -> web.Response:
    """A page for people (`/t/*`), a problem document for programs."""
    if not request.path.startswith("/t/"):
        return problem_answer(problem)
    locales = wished(request)
    if problem.status == 404:  # noqa: PLR2004 - the number is the name
        answer = pages.missing(locales)
    elif problem.status >= 500:  # noqa: PLR2004 - as above
        answer = pages.unavailable(locales, retry_after_s=options.retry_after_s)
    else:
        answer = pages.refused(locales, status=problem.status)
    answer.headers.update(problem.headers)
    if problem.closing:
        answer.force_close()
    return answer


def _close_when_draining(draining: Draining) -> Middleware:
    @web.middleware
    async def close_when_draining(request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = await handler(request)
        if draining.begun:
            answer.force_close()
        return answer

    return close_when_draining


def _ask_for_key(keys: Keys) -> Middleware:
    @web.middleware
    async def ask_for_key(request: web.Request, handler: Handler) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "")
        if _is_api(request) and not keys.opens_header(shown):
            raise Problem(401, headers={"WWW-Authenticate": 'Bearer realm="winback"'})
        return await handler(request)

    return ask_for_key


def _is_api(request: web.Request) -> bool:
    # The route decides, whatever way its path was written; unknown paths go by how they look.
    resource = request.match_info.route.resource
    path = request.path if resource is None else resource.canonical
    return path == "/v1" or path.startswith("/v1/")
