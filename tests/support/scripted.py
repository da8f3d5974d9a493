"""A real local HTTP server that does what a test's script says, byte by byte.

Invariant: it records every request that arrived whole, every byte that arrived at all, and every
connection; it binds to 127.0.0.1 only and leaves no connection open.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

Script = Callable[["Caller"], Awaitable[None]]


class Caller:
    """One connection, as the script sees it."""

    def __init__(
        self, server: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """The next whole request, or b"" when the peer has closed."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"(?i)content-length: *(\d+)", head)
            body = await self._reader.readexactly(int(size[1]) if size else 0)
        except (asyncio.IncompleteReadError, ConnectionError) as fault:
            self._server.stray += getattr(fault, "partial", b"")
            return b""
        self._server.requests.append(head + body)
        self._server.arrived.set()
        return head + body

    async def say(self, data: bytes) -> None:
        """Write raw bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Write a whole answer; `_` in header names stands for `-`."""
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.say("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def hang(self) -> None:
        """Say nothing until the test is over."""
        await asyncio.Event().wait()


class ScriptedServer:
    """`async with ScriptedServer(script) as server`: runs `script` for every connection."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._context = context
        self._callers: set[asyncio.Task[None]] = set()
        self.requests: list[bytes] = []
        self.arrived = asyncio.Event()  # set by the first whole request
        self.stray = b""
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        """The server's base URL."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._on_caller, "127.0.0.1", 0, ssl=self._context
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._callers:
            task.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)
        await self._server.wait_closed()

    async def _on_caller(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._callers.add(task)
        try:
            await self._script(Caller(self, reader, writer))
        except (asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.transport.abort()


def always(status: int, body: bytes = b"", **headers: str) -> Script:
    """A script that answers every request alike and keeps the connection."""

    async def script(caller: Caller) -> None:
        while await caller.request():
            await caller.answer(status, body, **headers)

    return script
