"""The guard at the door: one connection may not hold us up, nor many of them.

Invariant: every stage of a connection (waiting for a head, being answered, idle) has a deadline,
and the number of connections a bound; when it is reached, the one that has waited longest without
a request makes room. aiohttp has no guard of its own. This file knows no route and no port.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from gateway.web.answers import SECURITY_HEADERS, SERVER_NAME, Problem, problem_answer
from gateway.web.options import WebOptions

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest

log = structlog.get_logger(__name__)
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


class Stage(Enum):
    """What a connection is doing."""

    HEAD = "head"
    ANSWER = "answer"
    IDLE = "idle"


class Crowd:
    """All connections of one server."""

    def __init__(self, options: WebOptions) -> None:
        self._connections_max = options.connections_max
        self._limits_s = {
            Stage.HEAD: options.head_timeout_s,
            Stage.ANSWER: options.answer_timeout_s,
            Stage.IDLE: options.keepalive_timeout_s,
        }
        self.look_s = min(self._limits_s.values())
        self._present: set[Wire] = set()
        # In the order in which they began to wait: the first has waited longest.
        self._waiting: dict[Wire, None] = {}

    def __len__(self) -> int:
        return len(self._present)

    def limit_s(self, stage: Stage) -> float:
        """How long a connection may stay in a stage."""
        return self._limits_s[stage]

    def admit(self, wire: Wire) -> bool:
        """Let a connection in, if need be in place of the one that has waited longest."""
        if len(self._present) >= self._connections_max and not self._make_room():
            return False
        self._present.add(wire)
        return True

    def note(self, wire: Wire, stage: Stage) -> None:
        """Keep in mind which connections have no request."""
        self._waiting.pop(wire, None)
        if stage is not Stage.ANSWER and wire in self._present:
            self._waiting[wire] = None

    def leave(self, wire: Wire) -> None:
        """Forget a connection."""
        self._present.discard(wire)
        self._waiting.pop(wire, None)

    def _make_room(self) -> bool:
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        self.leave(longest)
        longest.cut()
        return True


class Wire(web.RequestHandler):
    """One connection, with a deadline for what it is doing."""

    __slots__ = ("_crowd", "_look_handle", "_since_s", "_stage")

    def __init__(
        self, served_by: web.Server, *, loop: asyncio.AbstractEventLoop, crowd: Crowd, **kwargs: Any
    ) -> None:
        super().__init__(served_by, loop=loop, **kwargs)
        self._crowd = crowd
        self._stage = Stage.HEAD
        self._since_s = loop.time()
        self._look_handle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._crowd.admit(self):
            _turn_away(transport)
            return
        super().connection_made(transport)
        self._enter(Stage.HEAD)
        self._look()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._crowd.leave(self)
        if self._look_handle is not None:
            self._look_handle.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if data and self._stage is Stage.IDLE:
            self._enter(Stage.HEAD)
        super().data_received(data)

    def answering(self) -> None:
        """A whole head has arrived; called by the outermost middleware."""
        self._enter(Stage.ANSWER)

    def log_access(
        self, request: BaseRequest, response: web.StreamResponse, time: float | None
    ) -> None:
        # aiohttp calls this when the last byte of an answer is written, also after a fault.
        super().log_access(request, response, time)
        self._enter(Stage.IDLE)

    def cut(self) -> None:
        """End the connection now, with whatever is unsent."""
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What no handler saw: a head that cannot be read. aiohttp's own answer repeats it."""
        del message
        if self.transport is not None:
            log.info("web_unreadable", status=status, kind=type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun")
        answer = problem_answer(Problem(status, closing=True))
        answer.headers.extend((*SECURITY_HEADERS, ("Server", SERVER_NAME)))
        return answer

    def _enter(self, stage: Stage) -> None:
        self._stage = stage
        self._since_s = self._loop.time()
        self._crowd.note(self, stage)

    def _look(self) -> None:
        # One timer for a connection that looks now and then costs less than one for a request.
        now_s = self._loop.time()
        due_s = self._since_s + self._crowd.limit_s(self._stage)
        if now_s >= due_s:
            self.cut()
            return
        self._look_handle = self._loop.call_at(min(due_s, now_s + self._crowd.look_s), self._look)


def _turn_away(transport: asyncio.BaseTransport) -> None:
    if isinstance(transport, asyncio.WriteTransport):
        transport.write(_FULL)
    transport.close()
