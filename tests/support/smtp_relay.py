"""A real local mail relay that says what a test's table says, line by line.

Invariant: it records every command and every whole mail that arrived; it binds to 127.0.0.1 only.
What it says to a verb (`CONNECT`, `EHLO`, `MAIL`, `.` for the end of a mail) is a reply, or an act;
of several, each is used once and the last for ever.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from enum import Enum
from types import TracebackType
from typing import Self


class Act(Enum):
    """What a relay can do instead of answering."""

    HANG = "hang"
    CLOSE = "close"


Said = str | Act
PIPELINING = ("PIPELINING", "SIZE 10000000")
USUAL: Mapping[str, Said] = {"CONNECT": "220 relay", "DATA": "354 go on", "QUIT": "221 bye"}


class Relay:
    """`async with Relay({"RCPT": "550 no"}) as relay`: a relay on a free port."""

    def __init__(
        self,
        says: Mapping[str, Said | tuple[Said, ...]] | None = None,
        *,
        features: tuple[str, ...] = PIPELINING,
        context: ssl.SSLContext | None = None,
        tls: bool = False,
    ) -> None:
        self._says = {k: list(v) if isinstance(v, tuple) else [v] for k, v in (says or {}).items()}
        self._features = features
        self._context = context
        self._tls = tls
        self._callers: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.commands: list[str] = []
        self.mails: list[bytes] = []
        self.connections = 0
        self.arrived = asyncio.Event()  # set when a mail arrived whole
        self.port = 0

    @property
    def verbs(self) -> list[str]:
        """The first word of each command, in order."""
        return [line.split(" ")[0].partition(":")[0] for line in self.commands]

    def disconnect(self) -> None:
        """Close every connection, as a relay does with idle ones."""
        for writer in self._writers:
            writer.close()

    async def __aenter__(self) -> Self:
        context = self._context if self._tls else None
        self._server = await asyncio.start_server(
            self._on_caller, "127.0.0.1", 0, ssl=context, limit=1 << 22
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
        self._writers.add(writer)
        try:
            await self._talk(reader, writer)
        except (asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._say(writer, "CONNECT")
        while True:
            line = (await reader.readuntil(b"\r\n")).decode().rstrip("\r\n")
            self.commands.append(line)
            verb = line.split(" ")[0].upper()
            said = await self._say(writer, verb)
            if verb == "STARTTLS" and said.startswith("220") and self._context is not None:
                await writer.start_tls(self._context)
            if verb == "DATA" and said.startswith("354"):
                self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
                self.arrived.set()
                await self._say(writer, ".")
            if verb == "QUIT":
                return

    async def _say(self, writer: asyncio.StreamWriter, verb: str) -> str:
        said = self._next(verb)
        if said is Act.HANG:
            await asyncio.Event().wait()
        if isinstance(said, Act):
            raise ConnectionError
        writer.write(said.encode() + b"\r\n")
        await writer.drain()
        return said

    def _next(self, verb: str) -> Said:
        if verb in self._says:
            said = self._says[verb]
            return said.pop(0) if len(said) > 1 else said[0]
        if verb == "EHLO":
            lines = ("relay", *self._features)
            ends = ["-"] * (len(lines) - 1) + [" "]
            return "\r\n".join(f"250{end}{line}" for end, line in zip(ends, lines, strict=True))
        return USUAL.get(verb, "250 2.0.0 Ok: queued as 4TfQ2z" if verb == "." else "250 Ok")
