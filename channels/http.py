"""How a channel speaks HTTP: the `Transport` contract.

Invariant: one `request` puts at most one request on the wire, and says which of three things
happened: a whole answer came, no byte was written, or the request may have arrived.
This file knows no provider and no HTTP library; `http_lean` and `http_aiohttp` implement it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

BODY_BYTES_MAX = 1 << 20
HEAD_BYTES_MAX = 1 << 15


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `may_start` is asked once the connection is ready, in the step that writes.

    `timeout_s` covers everything; `connect_timeout_s` the connection with its TLS handshake.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    may_start: Callable[[], bool]
    timeout_s: float = 15.0
    connect_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Header names are in lower case; of repeated ones the first counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class NeverLeft:
    """No byte of the request was written. `withheld`: because `may_start` said no."""

    reason: str
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class MayHaveArrived:
    """Bytes were written and no whole answer came."""

    reason: str


Result = Answer | NeverLeft | MayHaveArrived


class Transport(Protocol):
    """Puts one request on the wire; a fault of network or peer is a value, never raised."""

    async def request(self, request: Request) -> Result: ...

    async def aclose(self) -> None: ...
