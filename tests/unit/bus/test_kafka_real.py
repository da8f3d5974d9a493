"""What only a real Apache Kafka shows: refusals, restarts, a partition without a leader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest
import pytest_asyncio
from support.kafka import RealKafka
from support.parts import Parts
from support.topics import change_topic, create_topics, unique

from gateway.bus.contract import Outgoing, Record, RecordRefused
from gateway.bus.kafka import KafkaOptions, KafkaSink, KafkaSource, check_topics
from gateway.clock import SystemClock
from gateway.errors import BusUnavailable

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]

DEADLINE_S = 90.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kafka(parts: Parts) -> AsyncIterator[RealKafka]:
    async with RealKafka(parts.kafka_libs) as cluster:
        yield cluster


async def read(options: KafkaOptions, count: int) -> list[Record]:
    records: list[Record] = []
    async with (
        asyncio.timeout(DEADLINE_S),
        KafkaSource(options, SystemClock()) as source,
        aclosing(source.batches()) as batches,
    ):
        async for batch in batches:
            records.extend(batch.records)
            await source.commit(batch)
            if len(records) >= count:
                break
    return records


def options_for(kafka: RealKafka, topic: str) -> KafkaOptions:
    return KafkaOptions(
        kafka.bootstrap,
        group_id=unique("group"),
        topics=(topic,),
        commit_interval_s=0.05,
        fetch_wait_ms=100,
    )


async def publish_until_taken(sink: KafkaSink, records: list[Outgoing]) -> None:
    """What the relay does: all of them again until the broker has them."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                assert set(await sink.publish(records)) == {None}
            except BusUnavailable:
                await asyncio.sleep(0.1)
            else:
                return


async def test_k14_after_a_refusal_the_same_partition_goes_on(kafka: RealKafka) -> None:
    """One record over the topic's limit is refused, then 1,000 on its partition arrive in order."""
    topic = unique("out")
    await create_topics(kafka.bootstrap, {topic: 1})
    options = options_for(kafka, topic)
    async with KafkaSink(options, SystemClock()) as sink:
        await publish_until_taken(sink, [Outgoing(topic, b"k", b"before")])
        await change_topic(kafka.bootstrap, topic, {"max.message.bytes": "10000"})
        answers = await sink.publish(
            [
                Outgoing(topic, b"k", b"first"),
                Outgoing(topic, b"k", b"x" * 20_000),
                Outgoing(topic, b"k", b"last"),
            ]
        )
        assert [type(answer) for answer in answers] == [type(None), RecordRefused, type(None)]
        assert sink.producers_replaced > 0
        more = [Outgoing(topic, b"k", f"{i}".encode()) for i in range(1000)]
        assert set(await sink.publish(more)) == {None}
    came = [record.value for record in await read(options, 1003)]
    assert came == [b"before", b"first", b"last", *(record.value for record in more)]


async def test_k14_a_record_the_broker_refuses_for_another_reason(kafka: RealKafka) -> None:
    """A compacted topic takes no record without a key: refused, not too large, others pass."""
    topic = unique("compacted")
    await create_topics(kafka.bootstrap, {topic: 1}, settings={"cleanup.policy": "compact"})
    async with KafkaSink(options_for(kafka, topic), SystemClock()) as sink:
        answers = await sink.publish(
            [Outgoing(topic, b"a", b"1"), Outgoing(topic, None, b"2"), Outgoing(topic, b"b", b"3")]
        )
        assert answers[0] is None
        assert isinstance(answers[1], RecordRefused)
        assert not answers[1].too_large
        assert answers[2] is None


async def test_k19_a_topic_that_cannot_be_written_is_named(kafka: RealKafka) -> None:
    """More replicas in sync than there are replicas: said at start, not found out at night."""
    good, bad = unique("good"), unique("bad")
    await create_topics(kafka.bootstrap, {good: 1})
    await create_topics(kafka.bootstrap, {bad: 1}, settings={"min.insync.replicas": "2"})
    problems = await check_topics(options_for(kafka, good), [good, bad])
    assert len(problems) == 1
    assert bad in problems[0]
    assert "nothing can be published" in problems[0]


@pytest.mark.parametrize("kill", [False, True])
async def test_k18_consumption_and_publishing_go_on_after_a_broker_restart(
    kafka: RealKafka, *, kill: bool
) -> None:
    """Over a restart, gentle or not, nothing is lost and what was committed stays committed."""
    topic = unique("in")
    await create_topics(kafka.bootstrap, {topic: 3})
    options = options_for(kafka, topic)
    seen: list[bytes | None] = []
    is_first_half_in = asyncio.Event()

    async def consume(source: KafkaSource) -> None:
        async for batch in source.batches():
            seen.extend(record.value for record in batch.records)
            await source.commit(batch)
            if len(set(seen)) >= 100:
                is_first_half_in.set()
            if len(set(seen)) >= 200:
                source.stop()

    def part(start: int) -> list[Outgoing]:
        return [
            Outgoing(topic, f"{i % 9}".encode(), f"{i}".encode()) for i in range(start, start + 100)
        ]

    async with (
        asyncio.timeout(DEADLINE_S),
        KafkaSink(options, SystemClock()) as sink,
        KafkaSource(options, SystemClock()) as source,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(consume(source))
        await publish_until_taken(sink, part(0))
        await is_first_half_in.wait()
        await kafka.stop(kill=kill)
        with pytest.raises(BusUnavailable):
            await sink.publish(part(100))
        await kafka.start()
        await publish_until_taken(sink, part(100))
    assert set(seen) == {f"{i}".encode() for i in range(200)}


async def test_k14_publishing_goes_on_after_a_time_without_a_leader(parts: Parts) -> None:
    """Two of three nodes down: no acknowledgement, an outage; back again: all arrives once more."""
    async with RealKafka(parts.kafka_libs, nodes=3) as cluster:
        topic = unique("out")
        await create_topics(cluster.bootstrap, {topic: 1}, replicas=3)
        options = KafkaOptions(
            cluster.bootstrap, topics=(topic,), publish_timeout_s=3.0, commit_interval_s=0.05
        )
        records = [Outgoing(topic, b"k", f"{i}".encode()) for i in range(50)]
        async with KafkaSink(options, SystemClock()) as sink:
            await publish_until_taken(sink, records[:10])
            await asyncio.gather(cluster.stop_node(0, kill=True), cluster.stop_node(1, kill=True))
            with pytest.raises(BusUnavailable):
                await sink.publish(records[10:])
            await cluster.start()
            await publish_until_taken(sink, records[10:])
        values = [record.value for record in await read(options, 50)]
        # The outage may have left a first copy of a batch; in order, and whole at the end.
        assert values[:10] == [record.value for record in records[:10]]
        assert values[-40:] == [record.value for record in records[10:]]


async def test_k19_a_topic_that_comes_later_is_read(kafka: RealKafka) -> None:
    """An input topic that was missing at start is found by and by, and read from its beginning."""
    first, second = unique("first"), unique("second")
    await create_topics(kafka.bootstrap, {first: 1})
    options = replace(options_for(kafka, first), topics=(first, second), look_every_s=0.5)
    came: list[bytes | None] = []
    async with (
        asyncio.timeout(DEADLINE_S),
        KafkaSink(options, SystemClock()) as sink,
        KafkaSource(options, SystemClock()) as source,
        aclosing(source.batches()) as batches,
    ):
        await publish_until_taken(sink, [Outgoing(first, b"k", b"1")])
        async for batch in batches:
            came += [record.value for record in batch.records]
            await source.commit(batch)
            if came == [b"1"]:
                await create_topics(kafka.bootstrap, {second: 1})
                await publish_until_taken(sink, [Outgoing(second, b"k", b"2")])
            if b"2" in came:
                break
    assert came == [b"1", b"2"]
