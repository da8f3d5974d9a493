"""The lean transport, which is the default: HTTP/1.1 with kept connections and little else.

Invariant: a request is written once, whole, in the loop step in which `may_start` said yes,
and never on a connection that the peer is known to have closed.
This file knows no provider, follows no redirect, uses no proxy and never tries again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from channels.http import NeverLeft, Request, Result
from channels.http_connection import Connection


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    host: str
    port: int
    authority: str
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port


def _target(url: str) -> _Target:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("a provider URL is http(s)://host[:port]/path without credentials")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Target(parts.scheme, parts.hostname, port, parts.netloc, path)


def _head(request: Request, target: _Target) -> bytes:
    lines = [f"{request.method} {target.path} HTTP/1.1", f"host: {target.authority}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    lines.append(f"content-length: {len(request.body)}")
    head = "\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count("\n") != breaks or head.count("\r") != breaks:
        raise ValueError("a request header holds a line break")
    return (head + "\r\n\r\n").encode("latin-1")


class _Pool:
    """The connections of one origin: idle ones, newest first, and a fair queue for the rest."""

    def __init__(self, target: _Target, *, connections_max: int, idle_s_max: float) -> None:
        self.target = target
        self._max = connections_max
        self._idle_s_max = idle_s_max
        self._idle: deque[Connection] = deque()
        self._queue: deque[asyncio.Future[Connection | None]] = deque()
        self._all: set[Connection] = set()
        self._opening = 0
        self._sweep: asyncio.TimerHandle | None = None

    def take(self) -> Connection | None:
        """The idle connection used last, if the peer has not closed it."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.give_up("stale")
        return None

    async def wait_or_open(self, context: ssl.SSLContext | None) -> Connection:
        """A connection, sooner or later: the caller sets the deadline. Raises `OSError`."""
        waited = False
        while len(self._all) + self._opening >= self._max:
            connection = await self._turn(waited)
            if connection is not None and connection.is_usable():
                return connection
            if connection is not None:
                connection.give_up("stale")
            waited = True
        return await self._open(context)

    async def _turn(self, waited: bool) -> Connection | None:  # noqa: FBT001
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        # Who was woken in vain keeps the place at the head of the queue.
        (self._queue.appendleft if waited else self._queue.append)(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            # A turn that came in the moment that we left goes to the next.
            if turn.done() and not turn.cancelled():
                self._return(turn.result())
            raise

    async def _open(self, context: ssl.SSLContext | None) -> Connection:
        loop = asyncio.get_running_loop()
        self._opening += 1
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self.give_back, self.forget),
                self.target.host,
                self.target.port,
                ssl=context,
            )
        except BaseException:
            self._opening -= 1
            self._pass_on(None)
            raise
        self._opening -= 1
        if not connection.is_usable():
            self._pass_on(None)
            raise ConnectionResetError("closed before it was used")
        self._all.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """A connection is free again: for who waits, else it idles."""
        if self._pass_on(connection):
            return
        loop = asyncio.get_running_loop()
        connection.idle_since_s = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(self._idle_s_max, self._close_idle, loop)

    def _return(self, connection: Connection | None) -> None:
        if connection is None:
            self._pass_on(None)
        else:
            self.give_back(connection)

    def forget(self, connection: Connection) -> None:
        """A connection is gone, and its place is free."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._pass_on(None)

    def _pass_on(self, connection: Connection | None) -> bool:
        """Give a connection, or the place for one, to the first in the queue."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False

    def _close_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweep = None
        horizon_s = loop.time() - self._idle_s_max
        while self._idle and self._idle[0].idle_since_s <= horizon_s:
            self._idle.popleft().give_up("idle")
        if self._idle:
            due_s = self._idle[0].idle_since_s + self._idle_s_max
            self._sweep = loop.call_at(due_s, self._close_idle, loop)

    async def aclose(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in tuple(self._all):
            connection.give_up("transport closed")
        # An aborted connection is gone a step or two later; nobody is waited for on the network.
        for _ in range(10):
            if not self._all:
                break
            await asyncio.sleep(0)


class LeanTransport:
    """HTTP/1.1 with kept connections, as little of it as providers need.

    `connections_max` is per origin. `idle_s_max` stays under what servers allow, so that a
    connection is seldom closed by the peer while we write. `tls_ca_file` replaces the
    machine's certificate authorities.
    """

    def __init__(
        self,
        *,
        connections_max: int = 256,
        idle_s_max: float = 4.0,
        tls_ca_file: str | None = None,
    ) -> None:
        self._tls = ssl.create_default_context(cafile=tls_ca_file)
        self._connections_max = connections_max
        self._idle_s_max = idle_s_max
        self._pools: dict[tuple[str, str, int], _Pool] = {}
        self._target = lru_cache(maxsize=256)(_target)
        self._closed = False

    async def request(self, request: Request) -> Result:
        """Put one request on the wire.

        Raises ValueError for a URL or header that no request may carry: that is a bug of ours.
        """
        target = self._target(request.url)
        data = _head(request, target) + request.body
        if self._closed:
            return NeverLeft("transport closed")
        deadline_s = asyncio.get_running_loop().time() + request.timeout_s
        connection = self._pool(target).take()
        if connection is None:
            ready = await self._connection(request, target)
            if isinstance(ready, NeverLeft):
                return ready
            connection = ready
        return await self._exchange(connection, request, data=data, deadline_s=deadline_s)

    async def _exchange(
        self, connection: Connection, request: Request, *, data: bytes, deadline_s: float
    ) -> Result:
        if not request.may_start():
            connection.release()
            return NeverLeft("withheld", withheld=True)
        answer = connection.send(data)
        loop = asyncio.get_running_loop()
        timer = loop.call_at(deadline_s, connection.give_up_on, answer, "no whole answer in time")
        try:
            return await answer
        except asyncio.CancelledError:
            connection.give_up_on(answer, "cancelled")
            raise
        finally:
            timer.cancel()

    async def _connection(self, request: Request, target: _Target) -> Connection | NeverLeft:
        context = self._tls if target.scheme == "https" else None
        try:
            async with asyncio.timeout(min(request.connect_timeout_s, request.timeout_s)):
                return await self._pool(target).wait_or_open(context)
        except TimeoutError:
            return NeverLeft("no connection in time")
        except OSError as fault:
            return NeverLeft(f"no connection: {type(fault).__name__}")

    def _pool(self, target: _Target) -> _Pool:
        pool = self._pools.get(target.origin)
        if pool is None:
            pool = _Pool(target, connections_max=self._connections_max, idle_s_max=self._idle_s_max)
            self._pools[target.origin] = pool
        return pool

    async def aclose(self) -> None:
        self._closed = True
        for pool in self._pools.values():
            await pool.aclose()
