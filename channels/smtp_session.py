"""One kept connection to a mail relay, after its greeting: one mail transaction after another.

Invariant: `may_start` is asked in the loop step that writes the first byte of a transaction, and
an outcome is in doubt only if the mail's final dot was written. Where the relay offers it, MAIL,
RCPT and DATA go out in one write (RFC 2920). This file knows nothing of how connections are opened.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from channels.contract import Accepted, Deferred, Outcome, Uncertain, Withheld
from channels.smtp_answers import (
    CLOSING,
    DONE,
    GO_ON,
    PERMANENT,
    TRANSIENT,
    Reply,
    Stage,
    outcome_of,
    queue_id,
)

REPLY_OCTETS_MAX = 32 * 1024
TEXT_CHARACTERS_MAX = 1024
_LINE = re.compile(rb"([0-9]{3})(?:([ -])(.*))?")

Command = tuple[Stage, bytes]


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail in its envelope: addresses in ASCII, `content` with CRLF and 7-bit.

    `message_id` is what the mail is called when the relay gives it no name of its own.
    """

    sender: str
    to: str
    content: bytes
    message_id: str


class LostError(Exception):
    """The connection is over."""


class Session(asyncio.BufferedProtocol):
    """Speaks SMTP on a transport that is handed over; `features` are EHLO words in lower case."""

    def __init__(self, features: frozenset[str] = frozenset()) -> None:
        self._pipelines = "pipelining" in features
        self._tells_size = "size" in features
        self._buffer = memoryview(bytearray(4096))
        self._unread = bytearray()
        self._texts: list[str] = []
        self._replies: deque[Reply] = deque()
        self._awaited = 0
        self._waiter: asyncio.Future[None] | None = None
        self._over = ""
        self._closed = asyncio.Event()
        self._is_between = True
        self._must_reset = False
        self._dot_written = False
        self._refusal: Outcome | None = None
        self.transactions = 0
        self.idle_since_s = 0.0

    @property
    def is_ready(self) -> bool:
        """Whether the next transaction can start."""
        return self._is_between and not self._over and not self._transport.is_closing()

    async def transact(
        self, letter: Letter, *, may_start: Callable[[], bool], deadline_s: float
    ) -> Outcome:
        """One mail, once. `deadline_s` is a time of the loop; afterwards look at `is_ready`."""
        if not self.is_ready:
            return Deferred("the relay closed the connection")
        if not may_start():
            return Withheld()
        self._is_between, self._dot_written, self._refusal = False, False, None
        self.transactions += 1
        try:
            async with asyncio.timeout_at(deadline_s):
                return await self._transaction(letter)
        except TimeoutError:
            return self._broken("no reply in time")
        except LostError as lost:
            return self._broken(str(lost))

    def give_up(self, reason: str = "given up") -> None:
        """Cut the connection; whoever waits learns why."""
        self._over = self._over or reason
        self._transport.abort()
        self._wake()

    def dismiss(self) -> None:
        """Say goodbye without waiting for an answer."""
        if not self.is_ready:
            self.give_up()
            return
        self._over = "dismissed"
        self._transport.write(b"QUIT\r\n")
        self._transport.close()

    async def closed(self, timeout_s: float) -> None:
        """Wait until the connection is gone; cut it after the timeout."""
        try:
            await asyncio.wait_for(self._closed.wait(), timeout_s)
        except TimeoutError:
            self.give_up()

    # --- a transaction

    async def _transaction(self, letter: Letter) -> Outcome:
        reply = await self._envelope(self._commands(letter))
        if self._refusal is not None:
            # DATA taken although the envelope was refused: a dot now could make an empty mail.
            return self._ended(self._refusal, keep=_goes_on(reply))
        self._write(letter.content.replace(b"\r\n.", b"\r\n..") + b".\r\n", is_content=True)
        reply = await self._reply()
        if reply.code // 100 == DONE:
            return self._ended(Accepted(queue_id(reply) or letter.message_id), keep=True)
        refused = outcome_of(Stage.CONTENT, reply)
        return self._ended(refused, keep=_goes_on(reply))

    def _commands(self, letter: Letter) -> list[Command]:
        size = f" SIZE={len(letter.content)}" if self._tells_size else ""
        commands: list[Command] = [
            (Stage.MAIL, f"MAIL FROM:<{letter.sender}>{size}\r\n".encode("ascii")),
            (Stage.RCPT, f"RCPT TO:<{letter.to}>\r\n".encode("ascii")),
            (Stage.DATA, b"DATA\r\n"),
        ]
        # What an earlier refusal left in the relay is wiped on the way of the next mail.
        return [(Stage.RESET, b"RSET\r\n"), *commands] if self._must_reset else commands

    async def _envelope(self, commands: Sequence[Command]) -> Reply:
        """The last reply; the first refusal is kept in `_refusal`, and no command follows it."""
        if self._pipelines:
            self._write(*(octets for _, octets in commands))
        reply = Reply(0, "")
        for stage, octets in commands:
            if not self._pipelines:
                self._write(octets)
            reply = await self._reply()
            if self._refusal is None and reply.code // 100 != (
                GO_ON if stage is Stage.DATA else DONE
            ):
                self._refusal = outcome_of(stage, reply)
            if reply.code == CLOSING or (self._refusal is not None and not self._pipelines):
                break
        return reply

    def _ended(self, outcome: Outcome, *, keep: bool) -> Outcome:
        self._must_reset = not isinstance(outcome, Accepted)
        self._is_between = True
        if not keep:
            self.give_up()
        return outcome

    def _broken(self, reason: str) -> Outcome:
        self.give_up(reason)
        if self._refusal is not None:
            return self._refusal
        return Uncertain(reason) if self._dot_written else Deferred(reason)

    # --- lines

    def _write(self, *commands: bytes, is_content: bool = False) -> None:
        if self._over or self._transport.is_closing():
            raise LostError(self._over or "connection lost")
        self._awaited += len(commands)
        self._dot_written = is_content
        self._transport.write(b"".join(commands))

    async def _reply(self) -> Reply:
        while not self._replies:
            if self._over:
                raise LostError(self._over)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._replies.popleft()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take(self, line: bytes) -> None:
        found = _LINE.fullmatch(line.rstrip(b"\r"))
        if found is None or self._awaited == 0:
            self.give_up(
                "an unreadable reply" if found is None else "a reply that nobody asked for"
            )
            return
        self._texts.append((found[3] or b"").decode("utf-8", "replace"))
        if found[2] == b"-":
            return
        text = " ".join(self._texts)[:TEXT_CHARACTERS_MAX]
        self._texts.clear()
        self._awaited -= 1
        self._replies.append(Reply(int(found[1]), text))
        self._wake()

    # --- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's name
        # Under TLS asyncio reads into slices of this: a slice of a bytearray would be a copy.
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._unread += self._buffer[:nbytes]
        *lines, rest = self._unread.split(b"\n")
        self._unread = rest
        for line in lines:
            if not self._over:
                self._take(bytes(line))
        if len(rest) + sum(map(len, self._texts)) > REPLY_OCTETS_MAX:
            self.give_up("an endless reply")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self._over = self._over or "connection lost"
        self._closed.set()
        self._wake()


def _goes_on(last: Reply) -> bool:
    """Whether the relay is ready for another mail after a refusal that ended with this reply."""
    return last.code != CLOSING and last.code // 100 in {TRANSIENT, PERMANENT}
