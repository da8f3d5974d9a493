"""A look into a topic, from outside every consumer group.

Invariant: looking changes nothing: no group is joined and no offset is committed. A look ends where
the topic ended when it began. Knows records, and not what they mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from gateway.bus.contract import Record
from gateway.bus.kafka_close import close_consumer
from gateway.bus.kafka_errors import as_unavailable
from gateway.bus.kafka_options import KafkaOptions, connection_settings
from gateway.bus.kafka_topics import present_topics
from gateway.errors import BusUnavailable

_POLL_MS = 200


class TopicLook:
    """What a topic holds now: all of it, or one record. `topic_look` makes one."""

    def __init__(
        self,
        consumer: Any,
        options: KafkaOptions,
        *,
        begins: Mapping[Any, int],
        ends: Mapping[Any, int],
    ) -> None:
        self._consumer = consumer
        self._options = options
        self._begins = begins
        self._ends = ends

    @property
    def size(self) -> int:
        """How many offsets there are to look at."""
        return sum(self._ends.values()) - sum(self._begins.values())

    async def everything(self) -> AsyncIterator[Sequence[Record]]:
        """All records, some at a time, in order per partition.

        Raises `BusUnavailable` when the brokers give nothing more before the end is reached.
        """
        left = {place for place, end in self._ends.items() if self._begins[place] < end}
        self._consumer.pause(*(self._ends.keys() - left))
        self._consumer.resume(*left)
        for place in left:
            self._consumer.seek(place, self._begins[place])
        while left:
            yield await self._some(left)
            for place in list(left):
                if await self._consumer.position(place) >= self._ends[place]:
                    self._consumer.pause(place)
                    left.discard(place)

    async def at(self, partition: int, offset: int) -> Record | None:
        """The record that stands there, or None."""
        place = next((one for one in self._ends if one.partition == partition), None)
        if place is None or not self._begins[place] <= offset < self._ends[place]:
            return None
        self._consumer.resume(place)
        self._consumer.seek(place, offset)
        (found, *_) = await self._some({place}, records_max=1) or (None,)
        return found if found is not None and found.offset == offset else None

    async def _some(self, places: set[Any], *, records_max: int | None = None) -> list[Record]:
        """The next records of these partitions; empty where what came holds none for us."""
        waited_s = 0.0
        before = [await self._consumer.position(place) for place in sorted(places)]
        while waited_s < self._options.publish_timeout_s:
            drained = await self._consumer.getmany(
                *places, timeout_ms=_POLL_MS, max_records=records_max
            )
            found = [
                _as_record(record)
                for place, records in drained.items()
                for record in records
                if record.offset < self._ends[place]
            ]
            # Markers of transactions move the position and are no records.
            if found or [await self._consumer.position(place) for place in sorted(places)] > before:
                return found
            waited_s += _POLL_MS / 1000
        raise BusUnavailable(
            f"no broker gave a record within {self._options.publish_timeout_s:g} s"
        )


@asynccontextmanager
async def topic_look(options: KafkaOptions, topic: str) -> AsyncIterator[TopicLook]:
    """A look into a topic as it stands now.

    Raises `TopicMissing` for one that does not exist, `BusUnavailable` when no broker answers.
    """
    await present_topics(options, [topic])
    consumer = AIOKafkaConsumer(topic, **_settings(options))
    try:
        async with asyncio.timeout(options.start_timeout_s):
            await consumer.start()
            places = [TopicPartition(*place) for place in sorted(consumer.assignment())]
            begins = await consumer.beginning_offsets(places)
            ends = await consumer.end_offsets(places)
        yield TopicLook(consumer, options, begins=begins, ends=ends)
    except (KafkaError, OSError, TimeoutError) as error:
        raise as_unavailable(error) from error
    finally:
        await close_consumer(consumer, timeout_s=options.close_timeout_s)


def _settings(options: KafkaOptions) -> dict[str, Any]:
    return connection_settings(options) | {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "max_poll_records": options.batch_records_max,
        # A dead letter is its original with headers: it may be as large as what we publish.
        "max_partition_fetch_bytes": options.record_bytes_max,
        "fetch_max_wait_ms": options.fetch_wait_ms,
        "request_timeout_ms": int(options.request_timeout_s * 1000),
    }


def _as_record(record: Any) -> Record:
    return Record(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=record.headers,
    )
