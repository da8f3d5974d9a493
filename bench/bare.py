"""The bare loops: what the same machine does when it does next to nothing.

Consume, one POST of a ready body per record, one outcome per record, commit. No decoding, no
store, no rendering, no link, no rule. One is made of aiohttp and `send`, as most people would
write it; the other of our lean transport and `send_batch`, as the state of the machine.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.figures import Rate
from bench.places import Stopwatch
from channels.http import Answer, Request
from channels.http_lean import LeanTransport

IN_FLIGHT = 64
BATCH = 500
ACCEPTED = 202
OUTCOME = b"o" * 600
HEADERS = {"authorization": "Bearer bench", "content-type": "application/json"}

Post = Callable[[bytes], Awaitable[None]]
Records = Mapping[TopicPartition, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which topic to empty, where to, and how many records it holds."""

    bootstrap: str
    topic: str
    outcomes: str
    sink_url: str
    count: int
    body_bytes: int = 5000


@asynccontextmanager
async def aiohttp_post(url: str) -> AsyncIterator[Post]:
    """One POST by a plain aiohttp session."""
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post(body: bytes) -> None:
            async with session.post(url, data=body, headers=HEADERS) as answer:
                await answer.read()
                assert answer.status == ACCEPTED

        yield post


@asynccontextmanager
async def lean_post(url: str) -> AsyncIterator[Post]:
    """One POST by the transport that the gateway uses."""
    transport = LeanTransport(connections_max=IN_FLIGHT)

    async def post(body: bytes) -> None:
        answer = await transport.request(Request("POST", url, HEADERS, body, _always))
        assert isinstance(answer, Answer)
        assert answer.status == ACCEPTED

    yield post
    await transport.aclose()


def _always() -> bool:
    return True


async def post_all(post: Post, bodies: Sequence[bytes]) -> None:
    """All bodies, `IN_FLIGHT` at a time."""
    left = iter(bodies)

    async def work() -> None:
        for body in left:
            await post(body)

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def empty_by_aiohttp(wanted: Wanted) -> Rate:
    """The bare loop that ratios are made with."""
    async with aiohttp_post(f"{wanted.sink_url}/v3/mail/send") as post:
        return await _empty(wanted, post, _send_each)


async def empty_by_lean(wanted: Wanted) -> Rate:
    """The bare loop that says how the machine is."""
    async with lean_post(f"{wanted.sink_url}/v3/mail/send") as post:
        return await _empty(wanted, post, _send_batches)


async def _empty(
    wanted: Wanted,
    post: Post,
    publish: Callable[[AIOKafkaProducer, str, Records], Awaitable[list[Any]]],
) -> Rate:
    body = b"b" * wanted.body_bytes
    watch, done = Stopwatch(), 0
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(_producer(wanted.bootstrap))
        consumer = await stack.enter_async_context(_consumer(wanted))
        closing: asyncio.Task[None] | None = None
        while done < wanted.count:
            found = await consumer.getmany(timeout_ms=1000, max_records=BATCH)
            if not found:
                continue
            watch.start()
            count = sum(map(len, found.values()))
            await post_all(post, [body] * count)
            answers = await publish(producer, wanted.outcomes, found)
            done += count
            # The broker's answers and the commit go on beside the next batch.
            if closing is not None:
                await closing
            closing = asyncio.create_task(_close(consumer, found, answers))
        if closing is not None:
            await closing
        return watch.stop(done)


async def _close(consumer: AIOKafkaConsumer, found: Records, answers: list[Any]) -> None:
    await asyncio.gather(*answers)
    await consumer.commit({where: records[-1].offset + 1 for where, records in found.items()})


async def _send_each(producer: AIOKafkaProducer, topic: str, found: Records) -> list[Any]:
    return [
        await producer.send(topic, OUTCOME, key=record.key)
        for records in found.values()
        for record in records
    ]


async def _send_batches(producer: AIOKafkaProducer, topic: str, found: Records) -> list[Any]:
    shares: dict[int, list[Any]] = defaultdict(list)
    for where, records in found.items():
        shares[where.partition] += records
    answers = []
    for partition, records in shares.items():
        batch = producer.create_batch()
        for record in records:
            assert batch.append(key=record.key, value=OUTCOME, timestamp=None) is not None
        answers.append(await producer.send_batch(batch, topic, partition=partition))
    return answers


def _producer(bootstrap: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_batch_size=1 << 20
    )


def _consumer(wanted: Wanted) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        wanted.topic,
        bootstrap_servers=wanted.bootstrap,
        group_id=f"{wanted.topic}.group",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        # The embedded broker does not wake a waiting fetch.
        fetch_max_wait_ms=10,
    )
