"""What goes in: requests as upstream publishes them, and a topic full of them.

Invariant: every request is another person and another identity, so nothing is a duplicate; no
partition gets more than the embedded broker keeps, beyond which it drops without a word.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
from aiokafka import AIOKafkaProducer

PARTITIONS = 16
PARTITION_BYTES_MAX = 4_000_000
_BATCH_BYTES = 900_000
_RECORD_OVERHEAD_BYTES = 100

PRODUCTS = [
    {
        "name": f"Roast no. {number}",
        "text": "Cocoa and plum, from a slope that you liked before.",
        "url": f"https://shop.example/p/{number}",
    }
    for number in (11, 12, 13)
]


def request(run: str, number: int) -> tuple[bytes, bytes]:
    """Key and value of one structured CloudEvent of about 1.1 KB."""
    person = f"{run}-{number:07d}"
    event = {
        "specversion": "1.0",
        "id": person,
        "source": "/bench/campaigns",
        "type": "winback.send.requested.v1",
        "time": "2026-03-02T10:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "campaign": "spring",
            "template": "comeback",
            "recipient": {
                "id": person,
                "email": f"{person}@people.example",
                "name": "Ada",
                "locale": "en",
                "country": "DK",
                "timezone": "Europe/Copenhagen",
            },
            "churn": {"reason": "price", "last_active": "2025-10-01", "segment": "regulars"},
            "variables": {
                "first_name": "Ada",
                "shop": "Copenhagen",
                "news": "Orders placed before noon now arrive the next day.",
                "points": 240 + number % 100,
                "credit": {"amount": "12.50", "currency": "EUR"},
                "until": "2030-01-31",
                "offer_url": "https://shop.example/offer",
                "products": PRODUCTS,
            },
        },
    }
    return person.encode(), msgspec.json.encode(event)


def records_max() -> int:
    """How many requests a topic holds without loss."""
    key, value = request("00000000", 0)
    return PARTITIONS * (PARTITION_BYTES_MAX // (len(key) + len(value) + _RECORD_OVERHEAD_BYTES))


async def fill(bootstrap: str, topic: str, count: int) -> None:
    """Put `count` fresh requests into a topic of `PARTITIONS` partitions."""
    if count > records_max():
        raise ValueError(f"a topic holds {records_max()} requests, not {count}")
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=_BATCH_BYTES) as out:
        share = math.ceil(count / PARTITIONS)
        for partition in range(PARTITIONS):
            numbers = range(partition * share, min((partition + 1) * share, count))
            await _fill_partition(out, topic, partition, _requests(topic, numbers))


def _requests(run: str, numbers: range) -> Iterator[tuple[bytes, bytes]]:
    return (request(run, number) for number in numbers)


async def _fill_partition(
    out: AIOKafkaProducer, topic: str, partition: int, requests: Iterator[tuple[bytes, bytes]]
) -> None:
    batch = out.create_batch()
    for key, value in requests:
        if batch.append(key=key, value=value, timestamp=None) is None:
            await (await out.send_batch(batch, topic, partition=partition))
            batch = out.create_batch()
            batch.append(key=key, value=value, timestamp=None)
    if batch.record_count():
        await (await out.send_batch(batch, topic, partition=partition))
