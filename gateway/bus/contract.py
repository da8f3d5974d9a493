"""Records in, events out.

Invariant: a `Source` gives each record of a partition in order and never skips one by itself;
`Sink.publish` returns only when the broker has acknowledged every event.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record as it came. `timestamp_ms` is the record's own."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one poll, in order per partition. `epoch` changes with every assignment."""

    records: Sequence[Record]
    epoch: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to publish. Records with equal keys keep their order."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Source(Protocol):
    """Where batches come from. Entering joins the group, and waits while no broker answers."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def batches(self) -> AsyncIterator[Batch]:
        """Batches, for ever; never empty. Ends after `stop`."""
        ...

    async def commit(self, batch: Batch) -> None:
        """All of this batch is durable here: its offsets may be committed, soon.

        A partition that was lost since is reported in the log, not raised.
        """
        ...

    def stop(self) -> None:
        """Give no further batch. What was committed is flushed when the source is closed."""
        ...

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Records not yet committed, per assigned partition, as last seen."""
        ...


class Sink(Protocol):
    """Where records go. An async context manager."""

    async def publish(self, records: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Publish all, in order per key; one answer per record.

        None when the broker has acknowledged it; `RecordRefused` when it never will.
        Raises `BusUnavailable` when no broker answered in time: then publish all of them again.
        """
        ...


class RecordRefused(Exception):  # noqa: N818 - a state of the world
    """The broker will never take this record. `too_large` says that its size is the reason."""

    def __init__(self, what: str, *, too_large: bool) -> None:
        super().__init__(what)
        self.too_large = too_large
