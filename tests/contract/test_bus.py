"""What every bus keeps, whatever it is made of: memory, the embedded broker, Apache Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from support.kafka import RealKafka
from support.parts import Parts
from support.topics import create_topics, unique

from gateway.bus.contract import Batch, Outgoing, Record, RecordRefused
from gateway.bus.embedded import EMBEDDED, EmbeddedBroker
from gateway.bus.kafka import KafkaOptions, KafkaSink, KafkaSource
from gateway.bus.memory import MemoryBus
from gateway.clock import SystemClock
from gateway.errors import BusUnavailable

RECORD_BYTES_MAX = 64 * 1024
PARTITIONS = 4
DEADLINE_S = 60.0
KAFKA = pytest.param("kafka", marks=pytest.mark.kafka)

with_groups = pytest.mark.parametrize("kind", ["memory", KAFKA], indirect=True)
"""For tests with two members: the embedded broker's groups hold one."""


@dataclass(frozen=True)
class Bus:
    """One implementation under test: a topic of four partitions, sources and sinks on it."""

    topic: str
    source: Callable[..., Any]
    sink: Callable[[], Any]


def memory_bus() -> Bus:
    topic = unique("in")
    memory = MemoryBus({topic: PARTITIONS}, SystemClock(), record_bytes_max=RECORD_BYTES_MAX)

    def source(batch_records_max: int = 500) -> Any:
        return memory.source([topic], "group", batch_records_max=batch_records_max)

    return Bus(topic, source, memory.sink)


def kafka_bus(bootstrap: str, topic: str, **settings: Any) -> Bus:
    group = unique("group")

    def options(batch_records_max: int = 500) -> KafkaOptions:
        return KafkaOptions(
            bootstrap,
            group_id=group,
            topics=(topic,),
            batch_records_max=batch_records_max,
            commit_interval_s=0.05,
            drain_s=0.3,
            **settings,
        )

    def source(batch_records_max: int = 500) -> Any:
        return KafkaSource(options(batch_records_max), SystemClock())

    return Bus(topic, source, lambda: KafkaSink(options(), SystemClock()))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real_kafka(parts: Parts) -> AsyncIterator[RealKafka]:
    async with RealKafka(parts.kafka_libs) as kafka:
        yield kafka


@pytest.fixture(params=["memory", "embedded", KAFKA])
def kind(request: pytest.FixtureRequest) -> RealKafka | str:
    """Which implementation; the real broker is started only for tests that use it."""
    if request.param == "kafka":
        kafka: RealKafka = request.getfixturevalue("real_kafka")
        return kafka
    return str(request.param)


@pytest_asyncio.fixture
async def bus(kind: RealKafka | str) -> AsyncIterator[Bus]:
    """Each implementation in turn, on a topic of its own."""
    topic = unique("in")
    if isinstance(kind, RealKafka):
        limit = {"max.message.bytes": str(RECORD_BYTES_MAX)}
        await create_topics(kind.bootstrap, {topic: PARTITIONS}, settings=limit)
        yield kafka_bus(kind.bootstrap, topic)
    elif kind == "embedded":
        async with EmbeddedBroker({topic: PARTITIONS}) as bootstrap:
            # The mock cluster refuses nothing for its size, so our own limit is the one tested.
            limit_of_ours = {"record_bytes_max": RECORD_BYTES_MAX}
            yield kafka_bus(bootstrap, topic, **limit_of_ours, **EMBEDDED)
    else:
        yield memory_bus()


def numbered(bus: Bus, count: int, *, keys: int = 7, first: int = 0) -> list[Outgoing]:
    return [
        Outgoing(bus.topic, f"key-{i % keys}".encode(), f"{i}".encode())
        for i in range(first, first + count)
    ]


async def publish(bus: Bus, records: Sequence[Outgoing]) -> Sequence[Exception | None]:
    async with bus.sink() as sink:
        return await sink.publish(records)


async def read(source: Any, count: int, *, commit: bool = True) -> list[Record]:
    """Batches until `count` records have come."""
    records: list[Record] = []
    async with asyncio.timeout(DEADLINE_S), aclosing(source.batches()) as batches:
        async for batch in batches:
            records.extend(batch.records)
            if commit:
                await source.commit(batch)
            if len(records) >= count:
                return records
    raise AssertionError(f"the source ended after {len(records)} of {count} records")


def numbers(records: Sequence[Record]) -> list[int]:
    return [int(record.value or b"-1") for record in records]


async def test_records_of_one_key_come_on_one_partition_in_order(bus: Bus) -> None:
    """All that concerns one key is on one partition, in the order of publishing."""
    await publish(bus, numbered(bus, 300))
    await publish(bus, numbered(bus, 300, first=300))
    async with bus.source() as source:
        records = await read(source, 600)
    assert sorted(numbers(records)) == list(range(600))
    for key in {record.key for record in records}:
        own = [record for record in records if record.key == key]
        assert numbers(own) == sorted(numbers(own))
        assert len({record.partition for record in own}) == 1
    assert len({record.partition for record in records}) > 1


async def test_key_value_headers_and_time_come_as_they_were_sent(bus: Bus) -> None:
    """Null keys, null values, repeated headers and every byte survive the way."""
    headers = (("ce_id", b"1"), ("ce_id", b"2"), ("naïve", b"\x00\xff"), ("empty", b""))
    before_ms = int(time.time() * 1000) - 1
    sent = [
        Outgoing(bus.topic, b"k", b"\x00\xffvalue", headers),
        Outgoing(bus.topic, b"k", None),
        Outgoing(bus.topic, b"k", b""),
        Outgoing(bus.topic, None, b"no key"),
    ]
    assert await publish(bus, sent) == [None] * 4
    async with bus.source() as source:
        came = await read(source, 4)
    as_sent = sorted((r.topic, r.key or b"", repr(r.value), repr(tuple(r.headers))) for r in sent)
    as_came = sorted((r.topic, r.key or b"", repr(r.value), repr(tuple(r.headers))) for r in came)
    assert as_came == as_sent
    assert {record.key for record in came} == {b"k", None}
    assert all(before_ms <= record.timestamp_ms <= time.time() * 1000 + 1 for record in came)


async def test_records_without_key_are_spread(bus: Bus) -> None:
    """Without a key the partitions take turns."""
    await publish(bus, [Outgoing(bus.topic, None, b"%d" % i) for i in range(PARTITIONS)])
    async with bus.source() as source:
        records = await read(source, PARTITIONS)
    assert {record.partition for record in records} == set(range(PARTITIONS))


async def test_what_was_committed_does_not_come_again(bus: Bus) -> None:
    """After a restart the group goes on where it was."""
    await publish(bus, numbered(bus, 50))
    async with bus.source() as source:
        await read(source, 50)
    await publish(bus, numbered(bus, 5, first=50))
    async with bus.source() as source:
        assert sorted(numbers(await read(source, 5))) == list(range(50, 55))


async def test_what_was_not_committed_comes_again(bus: Bus) -> None:
    """A crash before the commit costs a second delivery and nothing else."""
    await publish(bus, numbered(bus, 50))
    async with bus.source() as source:
        await read(source, 50, commit=False)
    async with bus.source() as source:
        assert sorted(numbers(await read(source, 50))) == list(range(50))


async def test_k2_a_later_commit_does_not_cover_an_earlier_batch(bus: Bus) -> None:
    """Batches may be done in any order; only what is done from the start on is committed."""
    await publish(bus, numbered(bus, 20, keys=1))
    async with bus.source(batch_records_max=5) as source, asyncio.timeout(DEADLINE_S):
        taken: list[Batch] = []
        async with aclosing(source.batches()) as batches:
            while len(taken) < 3:
                taken.append(await anext(batches))
        await source.commit(taken[0])
        await source.commit(taken[2])
    first_open = numbers(taken[1].records)[0]
    async with bus.source() as source:
        again = numbers(await read(source, 20 - first_open))
    assert again == list(range(first_open, 20))


@with_groups
async def test_k4_a_commit_of_an_earlier_epoch_moves_nothing(bus: Bus) -> None:
    """Work that ends after its partitions were given out anew does not touch their offsets."""
    await publish(bus, numbered(bus, 40))
    async with bus.source() as first, asyncio.timeout(DEADLINE_S):
        early: list[Batch] = []
        async with aclosing(first.batches()) as batches:
            while sum(len(batch.records) for batch in early) < 40:
                early.append(await anext(batches))
        async with bus.source():
            for batch in early:
                await first.commit(batch)
    async with bus.source() as third:
        assert sorted(numbers(await read(third, 40))) == list(range(40))


@with_groups
async def test_nothing_is_lost_when_a_second_member_joins(bus: Bus) -> None:
    """Over a rebalance every record is handled by one of the members, and then committed."""
    total = 2000
    handled: list[int] = []
    are_all_in = asyncio.Event()

    async def work(source: Any) -> None:
        async for batch in source.batches():
            handled.extend(numbers(batch.records))
            await source.commit(batch)
            if set(handled) >= set(range(total)):
                are_all_in.set()

    async with AsyncExitStack() as stack, asyncio.timeout(DEADLINE_S):
        sink = await stack.enter_async_context(bus.sink())
        first = await stack.enter_async_context(bus.source(batch_records_max=50))
        async with asyncio.TaskGroup() as group:
            group.create_task(work(first))
            await sink.publish(numbered(bus, total // 2, keys=40))
            second = await stack.enter_async_context(bus.source(batch_records_max=50))
            group.create_task(work(second))
            await sink.publish(numbered(bus, total // 2, keys=40, first=total // 2))
            await are_all_in.wait()
            first.stop()
            second.stop()
    assert set(handled) == set(range(total))
    await publish(bus, [Outgoing(bus.topic, b"k", b"-7")])
    async with bus.source() as source:
        assert numbers(await read(source, 1)) == [-7]


async def test_a_record_too_large_is_refused_and_the_others_pass(bus: Bus) -> None:
    """One oversized record costs no other its place, nor its order."""
    records = numbered(bus, 100, keys=3)
    big = Outgoing(bus.topic, b"key-0", b"x" * (RECORD_BYTES_MAX + 1))
    answers = await publish(bus, [*records[:50], big, *records[50:]])
    refused = answers[50]
    assert isinstance(refused, RecordRefused)
    assert refused.too_large
    assert [answer for i, answer in enumerate(answers) if i != 50] == [None] * 100
    async with bus.source() as source:
        came = await read(source, 100)
    assert sorted(numbers(came)) == list(range(100))
    own = [record for record in came if record.key == b"key-0"]
    assert numbers(own) == sorted(numbers(own))


async def test_an_unknown_topic_is_an_outage_and_is_not_created(bus: Bus) -> None:
    """Publishing to a topic that nobody made fails clearly, twice."""
    record = Outgoing(unique("nobody-made-this"), b"k", b"v")
    async with bus.sink() as sink:
        for _ in range(2):
            with pytest.raises(BusUnavailable, match="no such topic"):
                await sink.publish([record])


async def test_stop_ends_an_idle_source(bus: Bus) -> None:
    """A source that waits for records ends as soon as it is told to."""
    async with bus.source() as source, asyncio.timeout(DEADLINE_S):

        async def drain() -> list[Batch]:
            return [batch async for batch in source.batches()]

        waiting = asyncio.create_task(drain())
        await asyncio.sleep(0)
        source.stop()
        assert await waiting == []


async def test_k21_lag_counts_what_is_not_committed(bus: Bus) -> None:
    """Lag is there before the commit and gone after it."""
    await publish(bus, numbered(bus, 30, keys=1))
    async with bus.source() as source, asyncio.timeout(DEADLINE_S):
        async with aclosing(source.batches()) as batches:
            batch = await anext(batches)
            assert sum(source.lag().values()) >= len(batch.records)
            assert set(source.lag()) <= {(bus.topic, n) for n in range(PARTITIONS)}
            await source.commit(batch)
        left = 30 - len(batch.records)
        while sum(source.lag().values()) > left:  # noqa: ASYNC110 - commits are lazy
            await asyncio.sleep(0.01)


async def test_many_publishers_do_not_disturb_each_other(bus: Bus) -> None:
    """Calls at the same time, one with a refused record, all get their own answers."""
    big = Outgoing(bus.topic, b"k", b"x" * (RECORD_BYTES_MAX + 1))
    async with bus.sink() as sink:
        answers = await asyncio.gather(
            *(sink.publish(numbered(bus, 50, first=50 * i)) for i in range(5)),
            sink.publish([big]),
        )
    assert [answer for each in answers[:5] for answer in each] == [None] * 250
    assert isinstance(answers[5][0], RecordRefused)
    async with bus.source() as source:
        assert sorted(numbers(await read(source, 250))) == list(range(250))
