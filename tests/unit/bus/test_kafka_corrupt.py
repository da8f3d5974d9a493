from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from gateway.bus.contract import Outgoing, Record
from gateway.bus.embedded import EMBEDDED, EmbeddedBroker
from gateway.bus.kafka import KafkaOptions, KafkaSink, KafkaSource
from gateway.clock import SystemClock

DEADLINE_S = 60.0


async def plant_corrupt_batch(bootstrap: str, topic: str, partition: int) -> None:
    """Put a batch on the broker whose checksum is wrong; the mock cluster takes anything."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        batch = producer.create_batch()
        batch.append(timestamp=None, key=b"k", value=b"unreadable" * 5, headers=[])
        batch._build()[-1] ^= 0xFF
        await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()


def key_on(partition: int, partitions: int) -> bytes:
    """A key that Kafka's partitioner puts on this partition."""
    numbers = list(range(partitions))
    keys = (f"key-{i}".encode() for i in range(1000))
    return next(key for key in keys if DefaultPartitioner()(key, numbers, numbers) == partition)


async def test_k7_real_fetcher_a_corrupt_batch_on_one_partition_costs_no_record() -> None:
    """With aiokafka's own fetcher: all that can be read comes once, and nothing else stops."""
    async with EmbeddedBroker({"t": 3}) as bootstrap, asyncio.timeout(DEADLINE_S):
        options = KafkaOptions(bootstrap, topics=("t",), commit_interval_s=0.05, **EMBEDDED)
        keys = [key_on(partition, 3) for partition in range(3)]
        records = [Outgoing("t", keys[i % 3], f"{i}".encode()) for i in range(300)]
        came: list[Record] = []
        async with (
            KafkaSink(options, SystemClock()) as sink,
            KafkaSource(replace(options, batch_records_max=40), SystemClock()) as source,
        ):
            assert set(await sink.publish(records)) == {None}
            await plant_corrupt_batch(bootstrap, "t", 1)
            await sink.publish([Outgoing("t", keys[1], b"behind the fault")])
            was_late_sent = False
            async with aclosing(source.batches()) as batches:
                async for batch in batches:
                    came.extend(batch.records)
                    await source.commit(batch)
                    if len(came) >= 300 and source.poll_failures >= 3 and not was_late_sent:
                        was_late_sent = True
                        await sink.publish([Outgoing("t", keys[0], b"late")])
                    elif len(came) >= 300 and not was_late_sent:
                        await sink.publish([Outgoing("t", keys[2], b"more")])
                    if came[-1].value == b"late":
                        break
            assert source.offset_gaps == 0
        numbered = [int(r.value or b"") for r in came if (r.value or b"").isdigit()]
        assert sorted(numbered) == list(range(300))
        assert b"behind the fault" not in {record.value for record in came}


async def test_k7_the_bookmark_stays_before_the_fault() -> None:
    """A restart finds the partition where it was: in front of what cannot be read."""
    async with EmbeddedBroker({"t": 1}) as bootstrap, asyncio.timeout(DEADLINE_S):
        options = KafkaOptions(bootstrap, topics=("t",), commit_interval_s=0.05, **EMBEDDED)
        async with KafkaSink(options, SystemClock()) as sink:
            await sink.publish([Outgoing("t", b"k", b"%d" % i) for i in range(5)])
            await plant_corrupt_batch(bootstrap, "t", 0)
        for expected in (5, 0):
            values: list[bytes | None] = []
            async with KafkaSource(options, SystemClock()) as source:

                async def drain(source: KafkaSource, values: list[bytes | None]) -> None:
                    async for batch in source.batches():
                        values.extend(record.value for record in batch.records)
                        await source.commit(batch)

                reading = asyncio.create_task(drain(source, values))
                while source.poll_failures < 4:  # noqa: ASYNC110 - nothing announces a failure
                    await asyncio.sleep(0.01)
                source.stop()
                await reading
            assert len(values) == expected
