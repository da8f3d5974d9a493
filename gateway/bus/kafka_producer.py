"""The producer in use, and its replacement.

Invariant: a producer that failed in any way is never used for another batch. A rejected batch
leaves a gap in the idempotent producer's sequence numbers that only a new producer closes.
The old one ends as soon as nobody waits for its answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from gateway.bus.kafka_close import close_producer
from gateway.bus.kafka_errors import TopicMissing, as_unavailable
from gateway.bus.kafka_options import KafkaOptions, producer_settings
from gateway.errors import BusUnavailable

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Line:
    """One started producer and the number of those who wait for its answers."""

    producer: Any
    users: int = 0
    is_broken: bool = False
    known_topics: set[str] = field(default_factory=set)

    async def partitions(self, topic: str) -> Sequence[int]:
        """The topic's partitions, sorted. Raises `TopicMissing`; creates nothing."""
        if topic not in self.known_topics:
            cluster = await self.producer.client.fetch_all_metadata()
            if topic not in cluster.topics():
                raise TopicMissing(f"no such topic: {topic}")
            self.known_topics.add(topic)
        return sorted(await self.producer.partitions_for(topic))


class Lines:
    """Gives out the present producer, starting one when there is none."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._current: Line | None = None
        self._starting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self.replaced = 0

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Line]:
        """A producer for one batch; when this is left by an exception it is not used again."""
        line = await self._get()
        line.users += 1
        try:
            yield line
        except TopicMissing:
            raise
        except BaseException:
            self.spoil(line)
            raise
        finally:
            line.users -= 1
            self._end_if_unused(line)

    def spoil(self, line: Line) -> None:
        """Never use this one for another batch."""
        if not line.is_broken:
            line.is_broken = True
            self.replaced += 1
            log.warning("producer_replaced", count=self.replaced)
        if self._current is line:
            self._current = None

    async def close(self) -> None:
        """End the present one and wait for those that are ending."""
        if self._current is not None:
            line, self._current = self._current, None
            await close_producer(line.producer, timeout_s=self._options.close_timeout_s)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _get(self) -> Line:
        async with self._starting:
            if self._current is None:
                self._current = Line(await self._start())
            return self._current

    async def _start(self) -> Any:
        producer = AIOKafkaProducer(**producer_settings(self._options))
        try:
            async with asyncio.timeout(self._options.publish_timeout_s):
                await producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            self._end(producer)
            raise as_unavailable(error) from error
        except BaseException:
            self._end(producer)
            raise
        return producer

    def _end_if_unused(self, line: Line) -> None:
        if line.is_broken and line.users == 0:
            self._end(line.producer)

    def _end(self, producer: Any) -> None:
        closing = asyncio.create_task(
            close_producer(producer, timeout_s=self._options.close_timeout_s),
            name="bus-producer-close",
        )
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def no_answer(timeout_s: float) -> BusUnavailable:
    """What a publish raises when its deadline passed."""
    return BusUnavailable(f"no broker answered within {timeout_s:g} s")
