"""A consumer that loses records exactly as aiokafka 0.14 does when a batch cannot be read.

Invariant: `getmany` drains partition by partition; when one raises, what it had drained from
the others is gone and their positions have moved; what the failing one had drained is gone with
its next call. The real Fetcher is used in `test_kafka_corrupt.py`; this one makes every case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord


@dataclass
class FakeConsumer:
    """`logs` maps a partition to values; an exception among them is raised at that offset."""

    logs: dict[TopicPartition, list[bytes | Exception]]
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    paused: set[TopicPartition] = field(default_factory=set)
    seeks: list[tuple[TopicPartition, int]] = field(default_factory=list)
    broken: Exception | None = None
    polls: int = 0

    def assignment(self) -> set[TopicPartition]:
        return set(self.logs)

    async def position(self, partition: TopicPartition) -> int:
        return self.positions.setdefault(partition, 0)

    async def committed(self, _partition: TopicPartition) -> int | None:
        return None

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 0)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.seeks.append((partition, offset))
        self.positions[partition] = offset

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused.difference_update(partitions)

    async def getmany(
        self,
        *partitions: TopicPartition,
        timeout_ms: int = 0,  # noqa: ARG002 - aiokafka's signature
        max_records: int = 500,
    ) -> dict[TopicPartition, list[Any]]:
        self.polls += 1
        if self.broken is not None:
            raise self.broken
        drained: dict[TopicPartition, list[Any]] = {}
        for partition in self.logs:
            if partition in self.paused or (partitions and partition not in partitions):
                continue
            taken = list(self._drain(partition, max_records))
            if taken:
                drained[partition] = taken
                max_records -= len(taken)
            if max_records <= 0:
                break
        return drained

    def _drain(self, partition: TopicPartition, count: int) -> Iterator[Any]:
        start = self.positions.setdefault(partition, 0)
        for offset, value in enumerate(self.logs[partition][start : start + count], start):
            # The position moves although the caller never sees what came before the fault.
            self.positions[partition] = offset
            if isinstance(value, Exception):
                raise value
            self.positions[partition] = offset + 1
            yield ConsumerRecord(
                partition.topic, partition.partition, offset, 0, 0, None, value, None, -1, -1, ()
            )
