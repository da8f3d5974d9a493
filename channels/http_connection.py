"""One kept HTTP/1.1 connection of the lean transport; the only user of httptools.

Invariant: whoever waits on `send` gets exactly one result, and a connection is free again only
after a whole answer that leaves nothing behind, neither unread bytes nor unsent ones.
This file knows nothing of pools, deadlines and providers.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import cast

import httptools

from channels.http import BODY_BYTES_MAX, HEAD_BYTES_MAX, Answer, MayHaveArrived, Result

READ_BYTES = 1 << 14
WIRE_BYTES_MAX = 4 << 20  # chunk framing and trailers cannot make a small body endless
CONTINUE_STATUS_MAX = 199
SWITCHING_PROTOCOLS = 101

Owner = Callable[["Connection"], None]


class Connection(asyncio.BufferedProtocol):
    """One connection: at most one request at a time, its answer parsed as it comes.

    `on_free` is called when it can carry another request, `on_lost` when it is gone.
    """

    def __init__(self, on_free: Owner, on_lost: Owner) -> None:
        self._on_free = on_free
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._readable: select.poll | None = None
        # A view: TLS reads a second record into a slice of it, and a slice of bytes is a copy.
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._waiter: asyncio.Future[Result] | None = None
        self._used = False
        self._clear()
        self.idle_since_s = 0.0

    def _clear(self) -> None:
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._head_bytes = self._body_bytes = self._wire_bytes = 0
        self._headers_done = self._complete = self._until_eof = False
        self._keep_alive = True

    # --- what the pool asks and does

    def is_usable(self) -> bool:
        """Whether nothing says that the peer has closed; a used one is looked at once more."""
        if self._transport is None or self._transport.is_closing():
            return False
        if not self._used:
            return True
        # Bytes or a close that the loop has not read yet: in both cases the peer is done with us.
        return self._readable is not None and not self._readable.poll(0)

    def send(self, data: bytes) -> asyncio.Future[Result]:
        """Write a request; the future ends with an `Answer` or `MayHaveArrived`."""
        transport = cast("asyncio.Transport", self._transport)
        self._used = True
        self._clear()
        self._waiter = asyncio.get_running_loop().create_future()
        transport.write(data)
        return self._waiter

    def release(self) -> None:
        """Free for the next request."""
        self._on_free(self)

    def give_up_on(self, waiter: asyncio.Future[Result], reason: str) -> None:
        """Cut the connection, unless it has gone on to serve somebody else."""
        if self._waiter is waiter:
            self.give_up(reason)

    def give_up(self, reason: str) -> None:
        """Cut the connection; whoever waits learns that the request may have arrived."""
        if self._transport is not None:
            self._transport.abort()
        self._settle(MayHaveArrived(reason))

    # --- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._readable = select.poll()
        self._readable.register(sock.fileno(), select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's name
        # A buffer of our own saves the allocation of 256 KiB that asyncio makes for each read.
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._take(bytes(self._buffer[:nbytes]))

    def _take(self, data: bytes) -> None:
        if self._waiter is None:
            self.give_up("bytes that nobody asked for")
            return
        self._wire_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._keep_alive = False
            if not self._complete:
                self.give_up("unreadable answer")
        else:
            self._check_bounds()
        if self._complete:
            self._finish()

    def _check_bounds(self) -> None:
        endless_head = not self._headers_done and self._wire_bytes > HEAD_BYTES_MAX
        if not self._complete and (endless_head or self._wire_bytes > WIRE_BYTES_MAX):
            self.give_up("oversized answer")

    def eof_received(self) -> bool:
        if self._until_eof and self._waiter is not None:
            self._finish()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self._settle(MayHaveArrived("connection lost before a whole answer"))
        self._on_lost(self)
        # Parser and protocol hold each other; without this they wait for the cycle collector.
        self._parser = None

    # --- what the parser calls

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_BYTES_MAX:
            raise ValueError("head too large")
        if not self._headers_done:
            self._headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        self._headers_done = True
        self._keep_alive = self._parser.should_keep_alive()
        sized = "content-length" in self._headers or "transfer-encoding" in self._headers
        self._until_eof = not self._keep_alive and not sized

    def on_body(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes > BODY_BYTES_MAX:
            raise ValueError("body too large")
        self._body.append(data)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status <= CONTINUE_STATUS_MAX and status != SWITCHING_PROTOCOLS:
            self._headers, self._headers_done = {}, False
            return
        self._complete = True

    # --- ends

    def _finish(self) -> None:
        transport = cast("asyncio.Transport", self._transport)
        answer = Answer(self._parser.get_status_code(), self._headers, b"".join(self._body))
        unsent = transport.get_write_buffer_size()
        keep = self._keep_alive and not self._until_eof and not unsent
        self._settle(answer)
        if keep and not transport.is_closing():
            self.release()
        else:
            transport.abort()

    def _settle(self, result: Result) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(result)
