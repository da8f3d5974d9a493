"""Reads a topic from its beginning, and writes to one, as a peer of the gateway's would.

Invariant: it speaks to Kafka through aiokafka itself and shares no code with the gateway's bus.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from support.waiting import GAP_S

RECORD_BYTES_MAX = 16 * 1024 * 1024
WAIT_MS = 50


@dataclass(frozen=True, slots=True)
class In:
    """A record to publish."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class At:
    """Where a record came to stand."""

    partition: int
    offset: int
    timestamp_ms: int


async def publish(bootstrap: str, topic: str, records: Sequence[In]) -> list[At]:
    """Publish all, in order per key; where each came to stand."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", max_request_size=RECORD_BYTES_MAX, linger_ms=5
    )
    await producer.start()
    try:
        at_ms = int(time.time() * 1000)
        waits = [
            await producer.send(
                topic, one.value, key=one.key, headers=list(one.headers), timestamp_ms=at_ms
            )
            for one in records
        ]
        taken = await asyncio.gather(*waits)
    finally:
        await producer.stop()
    return [At(one.partition, one.offset, at_ms) for one in taken]


class TopicReader:
    """`async with TopicReader(bootstrap, topic) as reader:`; `records` grows by itself."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.topic = topic
        self.records: list[Any] = []
        self._values: list[dict[str, Any]] = []
        self._by_type: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=WAIT_MS,
            max_partition_fetch_bytes=RECORD_BYTES_MAX,
            fetch_max_bytes=4 * RECORD_BYTES_MAX,
        )
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        numbers = self._consumer.partitions_for_topic(self.topic)
        while not numbers:
            await self._consumer._client.force_metadata_update()
            await self._consumer._client.add_topic(self.topic)
            numbers = self._consumer.partitions_for_topic(self.topic)
        self._consumer.assign([TopicPartition(self.topic, number) for number in sorted(numbers)])
        self._reading = asyncio.create_task(self._read(), name=f"read {self.topic}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading
        await self._consumer.stop()

    async def _read(self) -> None:
        while True:
            try:
                found = await self._consumer.getmany(timeout_ms=WAIT_MS)
            except KafkaError:
                await asyncio.sleep(0.2)
                continue
            for records in found.values():
                self.records.extend(records)

    # --- as events --------------------------------------------------------------------------

    @property
    def events(self) -> list[dict[str, Any]]:
        """All values as JSON, each decoded once; repeats are among them."""
        for record in self.records[len(self._values) :]:
            event = json.loads(record.value)
            self._values.append(event)
            self._by_type[event["type"]].setdefault(event["id"], event)
        return self._values

    def of(self, kind: str, **data: Any) -> list[dict[str, Any]]:
        """Events of a type (`message.sent`) whose data has these values, repeats left out."""
        assert self.events is self._values
        found = self._by_type[f"winback.{kind}.v1"].values()
        return [
            event
            for event in found
            if all(event["data"][name] == value for name, value in data.items())
        ]

    async def see(
        self, kind: str, count: int = 1, *, within_s: float = 15.0, **data: Any
    ) -> list[dict[str, Any]]:
        """Wait for this many such events."""
        deadline_s = time.monotonic() + within_s
        while len(found := self.of(kind, **data)) < count:
            assert time.monotonic() < deadline_s, (
                f"{len(found)} of {count} events {kind} with {data} within {within_s:g} s"
            )
            await asyncio.sleep(GAP_S)
        return found
