"""Records out to Kafka, a batch per partition.

Invariant: an answer None means that all in-sync replicas have the record; records with equal
keys are sent one after the other, also while a refused batch is divided to find its fault.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import structlog
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from gateway.bus.contract import Outgoing, RecordRefused
from gateway.bus.kafka_errors import Answer, answer_of, as_unavailable
from gateway.bus.kafka_options import KafkaOptions
from gateway.bus.kafka_producer import Line, Lines, no_answer
from gateway.bus.positions import Partition
from gateway.clock import Clock

_AGAIN_MAX = 5
_REFUSED_TRIES = 2
_HEADER_BYTES = 10

log = structlog.get_logger(__name__)


class KafkaSink:
    """The output topics. Entering connects to nothing: the first publish does.

    So a process that must answer without Kafka can start without it.
    """

    def __init__(self, options: KafkaOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._lines = Lines(options)
        self._spread = itertools.count()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.shield(self._lines.close())

    @property
    def producers_replaced(self) -> int:
        """How often a producer was given up for a new one."""
        return self._lines.replaced

    async def publish(self, records: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """As the contract says; the deadline counts from the last answer of a broker."""
        timeout_s = self._options.publish_timeout_s
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                return await _Publication(self, records, deadline).run()
        except TimeoutError as error:
            raise no_answer(timeout_s) from error
        except KafkaError as error:
            raise as_unavailable(error) from error

    # --- used by a publication -------------------------------------------------------------

    @property
    def options(self) -> KafkaOptions:
        """The settings it was made with."""
        return self._options

    @property
    def lines(self) -> Lines:
        """Its producers."""
        return self._lines

    def now_ms(self) -> int:
        """The timestamp for what is sent now."""
        return int(self._clock.now().timestamp() * 1000)

    def partition_for(self, key: bytes | None, partitions: Sequence[int]) -> int:
        """Java's default: murmur2 of the key; without one, one partition after the other."""
        if key is None:
            return partitions[next(self._spread) % len(partitions)]
        return int(DefaultPartitioner()(key, list(partitions), list(partitions)))


class _Publication:
    """One call of `publish`: the records, and the answers as they come."""

    def __init__(
        self, sink: KafkaSink, records: Sequence[Outgoing], deadline: asyncio.Timeout
    ) -> None:
        self._sink = sink
        self._records = records
        self._deadline = deadline
        self._answers: list[Exception | None] = [None] * len(records)

    async def run(self) -> Sequence[Exception | None]:
        shares = await self._shares()
        ended = await asyncio.gather(
            *(self._publish_share(partition, share) for partition, share in shares.items()),
            return_exceptions=True,
        )
        for error in ended:
            if error is not None:
                raise error
        return self._answers

    async def _shares(self) -> Mapping[Partition, list[int]]:
        """The numbers of the records, by partition, in order; oversized ones are refused here."""
        shares: dict[Partition, list[int]] = defaultdict(list)
        fitting = [i for i in range(len(self._records)) if self._is_fitting(i)]
        topics = dict.fromkeys(self._records[i].topic for i in fitting)
        if not topics:
            return shares
        async with self._sink.lines.use() as line:
            partitions = {topic: await line.partitions(topic) for topic in topics}
        for i in fitting:
            topic = self._records[i].topic
            number = self._sink.partition_for(self._records[i].key, partitions[topic])
            shares[topic, number].append(i)
        return shares

    def _is_fitting(self, i: int) -> bool:
        size_bytes = _size_bytes(self._records[i])
        if size_bytes <= self._sink.options.record_bytes_max:
            return True
        self._refuse(i, f"{size_bytes} bytes, over our own limit", too_large=True)
        return False

    async def _publish_share(self, partition: Partition, share: list[int]) -> None:
        """Publish one partition's records in order, dividing what is refused."""
        left = [share]
        spent = 0
        refused = 0
        while left:
            chunk, error = await self._send_some(partition, left)
            if error is None:
                refused = 0
                continue
            answer = answer_of(error)
            if answer is Answer.UNAVAILABLE:
                raise as_unavailable(error) from error
            if answer is Answer.AGAIN:
                spent += 1
                if spent > _AGAIN_MAX:
                    raise as_unavailable(error) from error
                left.append(chunk)
            elif len(chunk) > 1:
                middle = len(chunk) // 2
                left.extend((chunk[middle:], chunk[:middle]))
            elif answer is Answer.REFUSED and (refused := refused + 1) < _REFUSED_TRIES:
                # "Unknown error" is also what a stumbling broker says: ask once more.
                left.append(chunk)
            else:
                too_large = answer is Answer.TOO_LARGE
                self._refuse(chunk[0], type(error).__name__, too_large=too_large)
                refused = 0

    async def _send_some(
        self, partition: Partition, left: list[list[int]]
    ) -> tuple[list[int], KafkaError | None]:
        """Send as many of the next as fit a batch; what does not fit stays in `left`."""
        topic, number = partition
        chunk = left.pop()
        try:
            async with self._sink.lines.use() as line:
                batch, chunk, rest = self._fill(line, chunk)
                if rest:
                    left.append(rest)
                acknowledged = await line.producer.send_batch(batch, topic, partition=number)
                await acknowledged
        except KafkaError as error:
            self._heard()
            return chunk, error
        self._heard()
        return chunk, None

    def _fill(self, line: Line, chunk: list[int]) -> tuple[Any, list[int], list[int]]:
        batch = line.producer.create_batch()
        now_ms = self._sink.now_ms()
        for taken, i in enumerate(chunk):
            record = self._records[i]
            added = batch.append(
                timestamp=now_ms,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
            )
            if added is None:
                return batch, chunk[:taken], chunk[taken:]
        batch.close()
        return batch, chunk, []

    def _heard(self) -> None:
        """A broker has answered: the deadline counts anew."""
        if not self._deadline.expired():
            now_s = asyncio.get_running_loop().time()
            self._deadline.reschedule(now_s + self._sink.options.publish_timeout_s)

    def _refuse(self, i: int, what: str, *, too_large: bool) -> None:
        record = self._records[i]
        self._answers[i] = RecordRefused(what, too_large=too_large)
        log.warning(
            "record_refused",
            topic=record.topic,
            bytes=_size_bytes(record),
            what=what,
            too_large=too_large,
        )


def _size_bytes(record: Outgoing) -> int:
    headers = sum(len(name) * 4 + len(value) + _HEADER_BYTES for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers
