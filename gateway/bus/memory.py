"""A bus in memory, for tests and for flows without a broker: same contract, same suite as Kafka.

Invariant: as the contract says, in one process: order per partition, a batch is given again
until it is committed, and a rebalance moves partitions between the members of a group.
It knows nothing of Kafka's client; keys are spread by CRC-32, which is not Kafka's way.
"""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from gateway.bus.contract import Batch, Outgoing, Record, RecordRefused
from gateway.bus.positions import Partition, Positions
from gateway.clock import Clock
from gateway.errors import BusUnavailable

BATCH_RECORDS_MAX = 500
RECORD_BYTES_MAX = 1024 * 1024


@dataclass(slots=True)
class _Group:
    members: list[MemorySource] = field(default_factory=list)
    committed: dict[Partition, int] = field(default_factory=dict)


class MemoryBus:
    """Topics with partitions, and groups that read them.

    `is_down` is for tests: while it is True every publish raises `BusUnavailable`.
    """

    def __init__(
        self,
        topics: Mapping[str, int],
        clock: Clock,
        *,
        record_bytes_max: int = RECORD_BYTES_MAX,
    ) -> None:
        self.is_down = False
        self._clock = clock
        self._record_bytes_max = record_bytes_max
        self._topics = dict(topics)
        self._logs: dict[Partition, list[Record]] = {
            (topic, number): [] for topic, count in topics.items() for number in range(count)
        }
        self._groups: dict[str, _Group] = {}
        self._spread = itertools.count()
        self._news = asyncio.Event()

    def source(
        self,
        topics: Sequence[str],
        group_id: str,
        *,
        batch_records_max: int = BATCH_RECORDS_MAX,
    ) -> MemorySource:
        """A member of a group, once entered."""
        return MemorySource(self, topics, group_id, batch_records_max=batch_records_max)

    def sink(self) -> MemorySink:
        """A way to publish."""
        return MemorySink(self)

    def records(self, topic: str) -> list[Record]:
        """Everything in a topic, partition by partition."""
        partitions = range(self._topics[topic])
        return [record for number in partitions for record in self._logs[topic, number]]

    def committed(self, group_id: str) -> Mapping[Partition, int]:
        """The next offsets that a group has committed."""
        return dict(self._groups[group_id].committed) if group_id in self._groups else {}

    def rebalance(self, group_id: str) -> None:
        """Give the group's partitions out anew: every member starts from what is committed."""
        group = self._groups.setdefault(group_id, _Group())
        for member in group.members:
            member.revoke()
        for index, partition in enumerate(sorted(self._logs)):
            takers = [member for member in group.members if partition[0] in member.topics]
            if takers:
                start = group.committed.get(partition, 0)
                takers[index % len(takers)].assign(partition, start)
        self.wake()

    # --- for source and sink ---------------------------------------------------------------

    def join(self, member: MemorySource) -> None:
        """Add a member to its group."""
        self._groups.setdefault(member.group_id, _Group()).members.append(member)
        self.rebalance(member.group_id)

    def leave(self, member: MemorySource) -> None:
        """Take a member out of its group."""
        self._groups[member.group_id].members.remove(member)
        self.rebalance(member.group_id)

    def commit(self, group_id: str, offsets: Mapping[Partition, int]) -> None:
        """Note how far a group has come."""
        self._groups[group_id].committed.update(offsets)

    def read(self, partition: Partition, offset: int, *, count: int) -> Sequence[Record]:
        """Up to `count` records from an offset on."""
        return self._logs[partition][offset : offset + count]

    def end(self, partition: Partition) -> int:
        """The offset of the record to come."""
        return len(self._logs[partition])

    def append(self, outgoing: Outgoing) -> Exception | None:
        """Take one record, or say why not."""
        if self.is_down:
            raise BusUnavailable("the bus in memory is down")
        if outgoing.topic not in self._topics:
            raise BusUnavailable(f"no such topic: {outgoing.topic}")
        headers = sum(len(name) + len(value) for name, value in outgoing.headers)
        size_bytes = len(outgoing.key or b"") + len(outgoing.value or b"") + headers
        if size_bytes > self._record_bytes_max:
            return RecordRefused(f"{size_bytes} bytes", too_large=True)
        number = self._number_for(outgoing)
        log = self._logs[outgoing.topic, number]
        log.append(
            Record(
                topic=outgoing.topic,
                partition=number,
                offset=len(log),
                timestamp_ms=int(self._clock.now().timestamp() * 1000),
                key=outgoing.key,
                value=outgoing.value,
                headers=tuple(outgoing.headers),
            )
        )
        return None

    def wake(self) -> None:
        """Wake every source that waits."""
        self._news.set()
        self._news = asyncio.Event()

    async def wait(self) -> None:
        """Wait until something happens on the bus."""
        await self._news.wait()

    def _number_for(self, outgoing: Outgoing) -> int:
        spread = next(self._spread) if outgoing.key is None else zlib.crc32(outgoing.key)
        return spread % self._topics[outgoing.topic]


class MemorySource:
    """A group member on a `MemoryBus`. What is committed counts at once."""

    def __init__(
        self, bus: MemoryBus, topics: Sequence[str], group_id: str, *, batch_records_max: int
    ) -> None:
        self.topics = frozenset(topics)
        self.group_id = group_id
        self._bus = bus
        self._batch_records_max = batch_records_max
        self._positions = Positions()
        self._assigned: list[Partition] = []
        self._is_stopped = False

    async def __aenter__(self) -> Self:
        self._bus.join(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._bus.leave(self)

    async def batches(self) -> AsyncIterator[Batch]:
        while not self._is_stopped:
            records = self._drain()
            if not records:
                await self._bus.wait()
                continue
            self._positions.hand_out(records)
            yield Batch(records, self._positions.epoch)

    async def commit(self, batch: Batch) -> None:
        if self._positions.finish(batch.records, epoch=batch.epoch):
            due = self._positions.due()
            self._bus.commit(self.group_id, due)
            self._positions.note_committed(due, epoch=batch.epoch)

    def stop(self) -> None:
        self._is_stopped = True
        self._bus.wake()

    def lag(self) -> Mapping[tuple[str, int], int]:
        return {
            partition: self._bus.end(partition) - (self._positions.committed(partition) or 0)
            for partition in self._assigned
        }

    def revoke(self) -> None:
        """Lose every partition."""
        self._assigned.clear()
        self._positions.begin_epoch()

    def assign(self, partition: Partition, offset: int) -> None:
        """Own a partition from an offset on."""
        self._assigned.append(partition)
        self._positions.start_at(partition, offset)

    def _drain(self) -> list[Record]:
        records: list[Record] = []
        for partition in self._assigned:
            room = self._batch_records_max - len(records)
            start = self._positions.expected(partition) or 0
            records.extend(self._bus.read(partition, start, count=room))
        return records


class MemorySink:
    """Publishes to a `MemoryBus`."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    async def publish(self, records: Sequence[Outgoing]) -> Sequence[Exception | None]:
        answers = [self._bus.append(record) for record in records]
        self._bus.wake()
        return answers
