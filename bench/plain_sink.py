"""The sink for machines without a C compiler: the same answers as `sink.c`, slower.

Run as a program it prints its port in one line and serves until its input is closed.
"""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class _Taken:
    posts: int = 0
    body_bytes: int = 0


class _Peer(asyncio.Protocol):
    """One connection: answers each whole request as it comes."""

    def __init__(self, taken: _Taken) -> None:
        self._taken = taken
        self._held = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._held, 0, end + 2)
            length = int(found.group(1)) if found else 0
            if len(self._held) < end + 4 + length:
                return
            self._answer(length)
            del self._held[: end + 4 + length]

    def _answer(self, length: int) -> None:
        assert self._transport is not None
        if not self._held.startswith(b"POST "):
            text = f"{self._taken.posts} {self._taken.body_bytes}"
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n"
            self._transport.write((head + text).encode())
            return
        self._taken.posts += 1
        self._taken.body_bytes += length
        self._transport.write(
            b"HTTP/1.1 202 Accepted\r\nServer: sink\r\nX-Message-Id: bench-%d\r\n"
            b"Content-Length: 0\r\n\r\n" % self._taken.posts
        )


async def _serve() -> None:
    loop, taken = asyncio.get_running_loop(), _Taken()
    server = await loop.create_server(lambda: _Peer(taken), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
