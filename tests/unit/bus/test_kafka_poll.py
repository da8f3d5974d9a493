from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, GroupAuthorizationFailedError
from unit.bus.fake_consumer import FakeConsumer

from gateway.bus.contract import Record
from gateway.bus.kafka_options import KafkaOptions
from gateway.bus.kafka_poll import Poller
from gateway.bus.positions import Positions
from gateway.clock import ManualClock

A, B, C = (TopicPartition("t", number) for number in range(3))
CORRUPT = CorruptRecordException("Invalid CRC")


class Reader:
    """What the source does with a poller, on a clock moved by hand."""

    def __init__(self, consumer: object) -> None:
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.positions = Positions()
        options = KafkaOptions("127.0.0.1:1", batch_records_max=64)
        self.poller = Poller(consumer, self.positions, options=options, clock=self.clock)
        self.records: list[Record] = []

    async def turn(self) -> None:
        """One poll, with recovery; time moves only as far as somebody sleeps."""
        try:
            await self._on_the_clock(self.poller.poll())
            error = None
        except Exception as caught:  # noqa: BLE001 - the source recovers from anything
            error = caught
        batch = self.poller.take()
        if batch is not None:
            self.records.extend(batch.records)
        if error is not None:
            await self._on_the_clock(self.poller.recover(error))

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await self.turn()

    async def _on_the_clock(self, work: object) -> None:
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0)
        while not task.done():
            await self.clock.advance(0.1)
        task.result()

    def values(self, partition: TopicPartition) -> list[bytes | None]:
        own = [r for r in self.records if (r.topic, r.partition) == tuple(partition)]
        return [record.value for record in own]


def values(name: str, count: int) -> list[bytes | Exception]:
    return [f"{name}{i}".encode() for i in range(count)]


@pytest.mark.parametrize("order", [(A, B, C), (B, A, C), (C, A, B)])
async def test_k7_a_corrupt_batch_costs_no_record_of_any_partition(
    order: tuple[TopicPartition, ...],
) -> None:
    """Whatever is drained first, every readable record before the fault comes exactly once."""
    logs = {
        A: values("a", 200),
        B: [*values("b", 30), CORRUPT, *values("later", 5)],
        C: values("c", 10),
    }
    consumer = FakeConsumer({partition: logs[partition] for partition in order})
    reader = Reader(consumer)
    await reader.turns(60)
    assert reader.values(A) == logs[A]
    assert reader.values(B) == logs[B][:30]
    assert reader.values(C) == logs[C]
    assert max(Counter((r.partition, r.offset) for r in reader.records).values()) == 1
    assert reader.positions.offset_gaps == 0


async def test_k7_the_others_go_on_while_one_is_held() -> None:
    """Records that arrive elsewhere while a partition is held are handed out."""
    consumer = FakeConsumer({A: values("a", 3), B: [CORRUPT]})
    reader = Reader(consumer)
    await reader.turns(20)
    assert B in consumer.paused
    consumer.logs[A].extend(values("new", 100))
    await reader.turns(10)
    assert len(reader.values(A)) == 103


async def test_k8_after_a_failure_every_partition_is_sought_to_our_own_book() -> None:
    """Also those that did not fail, and before anything else is polled."""
    consumer = FakeConsumer({A: values("a", 3), B: [*values("b", 2), CORRUPT], C: []})
    reader = Reader(consumer)
    while not reader.poller.failures:
        await reader.turn()
    expected = {p: reader.positions.expected(tuple(p)) for p in (A, B, C)}
    polls, consumer.seeks = consumer.polls, []
    original = consumer.getmany

    async def getmany(*args: object, **kwargs: object) -> object:
        if consumer.polls == polls:
            assert dict(consumer.seeks) == expected
        return await original(*args, **kwargs)

    consumer.getmany = getmany
    await reader.turn()
    assert dict(consumer.seeks) == expected


async def test_k9_a_batch_that_stays_corrupt_is_looked_at_ever_more_rarely() -> None:
    """Never a tight loop: below five attempts a second, and in the end one a minute at most."""
    consumer = FakeConsumer({B: [CORRUPT]})
    reader = Reader(consumer)
    began_s = reader.clock.monotonic()
    while reader.poller.failures < 20:
        await reader.turn()
    elapsed_s = reader.clock.monotonic() - began_s
    assert reader.poller.failures / elapsed_s < 5
    last_s = reader.clock.monotonic()
    failures = reader.poller.failures
    while reader.poller.failures == failures:
        await reader.turn()
    assert 25 < reader.clock.monotonic() - last_s < 65


async def test_k9_a_repaired_partition_is_read_on() -> None:
    """When the broker's copy is whole again, nothing is skipped and full batches come back."""
    consumer = FakeConsumer({B: [*values("b", 2), CORRUPT, *values("later", 400)]})
    reader = Reader(consumer)
    await reader.turns(20)
    assert reader.values(B) == values("b", 2)
    consumer.logs[B][2] = b"repaired"
    await reader.clock.advance(60)
    while len(reader.values(B)) < 403:
        await reader.turn()
    assert reader.values(B) == consumer.logs[B]


async def test_a_failure_of_the_whole_source_holds_no_partition() -> None:
    """An authorisation that is missing for the group is retried with growing gaps."""
    consumer = FakeConsumer({A: values("a", 3)})
    consumer.broken = GroupAuthorizationFailedError("g")
    reader = Reader(consumer)
    await reader.turns(4)
    assert reader.poller.failures_in_row == 4
    assert consumer.paused == set()
    assert reader.clock.monotonic() > 0.25 + 0.5 + 1.0 + 2.0
    consumer.broken = None
    await reader.turns(5)
    assert reader.values(A) == values("a", 3)
    assert reader.poller.failures_in_row == 0


async def test_records_of_a_lost_epoch_are_not_handed_out() -> None:
    """A rebalance between drain and hand-out leaves the records to their new owner."""
    consumer = FakeConsumer({A: values("a", 5)})
    reader = Reader(consumer)
    await reader.poller.poll()
    reader.positions.begin_epoch()
    assert reader.poller.take() is None


async def test_a_busy_partition_does_not_starve_the_others() -> None:
    """With more waiting than a batch holds, every partition gets its turn."""
    consumer = FakeConsumer({A: values("a", 10_000), B: values("b", 5), C: values("c", 5)})
    reader = Reader(consumer)
    await reader.turns(6)
    assert len(reader.values(B)) == 5
    assert len(reader.values(C)) == 5
