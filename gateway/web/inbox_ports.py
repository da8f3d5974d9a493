"""What the demo's inbox asks for: messages that a sandbox caught, and facts as they come.

Invariant: these are shapes and nothing else; whoever builds the demo brings the things.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from channels.contract import Content, Destination, Kind


class Captured(Protocol):
    """A message that went nowhere. `fate` is what became of it, as `delivered`."""

    @property
    def captured_at(self) -> datetime: ...

    @property
    def kind(self) -> Kind: ...

    @property
    def to(self) -> Destination: ...

    @property
    def to_name(self) -> str: ...

    @property
    def content(self) -> Content: ...

    @property
    def send_id(self) -> str: ...

    @property
    def delivery_id(self) -> str: ...

    @property
    def campaign(self) -> str: ...

    @property
    def fate(self) -> str: ...


class Told(Protocol):
    """A fact of the engagement topic, or a dead letter. Numbers rise; empty is *does not apply*."""

    @property
    def number(self) -> int: ...

    @property
    def type(self) -> str: ...

    @property
    def at(self) -> datetime: ...

    @property
    def recipient_id(self) -> str: ...

    @property
    def send_id(self) -> str: ...

    @property
    def delivery_id(self) -> str: ...

    @property
    def channel(self) -> str: ...

    @property
    def actor(self) -> str: ...

    @property
    def detail(self) -> str: ...


class Stream(Protocol):
    """Facts in the order they came."""

    @property
    def closed(self) -> bool: ...

    def recent(self, after: int = 0) -> Sequence[Told]:
        """What came after that number, oldest first."""
        ...

    async def wait(self, after: int) -> None:
        """Until something came after that number, or nothing will any more."""
        ...
