from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from gateway.bus.contract import Outgoing
from gateway.bus.embedded import EMBEDDED, EmbeddedBroker
from gateway.bus.kafka import KafkaOptions, KafkaSink, KafkaSource, check_topics
from gateway.clock import ManualClock, SystemClock
from gateway.errors import BusUnavailable

RECORD = Outgoing("t", b"k", b"v")


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An address where nobody listens, and nobody else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def silent_port() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen(16)
        yield f"127.0.0.1:{held.getsockname()[1]}"


async def test_k13_the_source_tries_for_ever_with_growing_gaps(closed_port: str) -> None:
    """With no broker the start neither fails nor hammers; every try is in the log."""
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    source = KafkaSource(KafkaOptions(closed_port, topics=("t",)), clock)
    with capture_logs() as logs:
        entering = asyncio.create_task(source.__aenter__())
        async with asyncio.timeout(30):
            while len([log for log in logs if log["event"] == "bus_not_reached"]) < 8:
                await asyncio.sleep(0.001)
                await clock.advance(0.5)
        assert not entering.done()
        entering.cancel()
        await asyncio.wait({entering}, timeout=10)
    assert entering.cancelled()
    # The first gaps are drawn below 0.5, 1, 2, … s: eight tries cannot all be immediate.
    assert clock.monotonic() > 3


async def test_k13_publishing_without_a_broker_fails_at_once(closed_port: str) -> None:
    """A refused connection is an answer: there is nothing to wait for."""
    async with KafkaSink(KafkaOptions(closed_port), SystemClock()) as sink:
        with pytest.raises(BusUnavailable):
            await sink.publish([RECORD])


async def test_k13_publishing_to_a_silent_broker_ends_by_its_deadline(silent_port: str) -> None:
    """A broker that takes the connection and says nothing does not hold us."""
    options = KafkaOptions(silent_port, publish_timeout_s=0.3, close_timeout_s=0.3)
    began_s = time.monotonic()
    async with KafkaSink(options, SystemClock()) as sink:
        with pytest.raises(BusUnavailable):
            await sink.publish([RECORD])
    assert time.monotonic() - began_s < 5


async def test_k13_the_check_says_that_nobody_answers(closed_port: str) -> None:
    """Without a broker the check fails as an outage, not as missing topics."""
    with pytest.raises(BusUnavailable):
        await check_topics(KafkaOptions(closed_port), ["t"])


async def test_k13_a_broker_that_goes_away_holds_neither_publish_nor_close() -> None:
    """The broker dies under a joined source and a used sink: all of it ends in seconds."""
    broker = EmbeddedBroker({"t": 1})
    bootstrap = await broker.start()
    options = KafkaOptions(
        bootstrap,
        topics=("t",),
        publish_timeout_s=1.0,
        commit_timeout_s=1.0,
        close_timeout_s=1.0,
        **EMBEDDED,
    )
    async with KafkaSink(options, SystemClock()) as sink:
        source = await KafkaSource(options, SystemClock()).__aenter__()
        assert await sink.publish([RECORD]) == [None]
        batch = await anext(source.batches())
        await broker.stop()
        with pytest.raises(BusUnavailable):
            await sink.publish([RECORD])
        await source.commit(batch)
        began_s = time.monotonic()
        await source.__aexit__(None, None, None)
    assert time.monotonic() - began_s < 10
    left = [t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith("bus-")]
    assert left == []


async def test_k19_a_missing_topic_is_named_and_the_others_are_read() -> None:
    """The source says which topic is missing, creates none, and reads what is there."""
    async with EmbeddedBroker({"there": 1}) as bootstrap:
        options = KafkaOptions(bootstrap, topics=("there", "missing"), **EMBEDDED)
        assert await check_topics(options, ["there", "missing"]) == ["topic missing does not exist"]
        with capture_logs() as logs:
            async with KafkaSink(options, SystemClock()) as sink:
                await sink.publish([Outgoing("there", b"k", b"1")])
            async with KafkaSource(options, SystemClock()) as source, asyncio.timeout(20):
                batch = await anext(aiter(source.batches()))
        assert [record.value for record in batch.records] == [b"1"]
        assert ["missing"] in [log.get("topics") for log in logs]
        assert await check_topics(options, ["missing"]) == ["topic missing does not exist"]


async def test_k19_without_any_topic_the_source_waits() -> None:
    """Where none of its topics exists, the source says so and waits for the first."""
    async with EmbeddedBroker({"other": 1}) as bootstrap:
        options = KafkaOptions(bootstrap, topics=("missing",), **EMBEDDED)
        with capture_logs() as logs:
            entering = asyncio.create_task(KafkaSource(options, SystemClock()).__aenter__())
            async with asyncio.timeout(20):
                while not any(  # noqa: ASYNC110 - a log line is no event
                    "missing" in str(log.get("reason")) for log in logs
                ):
                    await asyncio.sleep(0.01)
            entering.cancel()
            await asyncio.wait({entering})


async def test_a_record_over_our_own_limit_never_reaches_a_broker(closed_port: str) -> None:
    """It is refused for its size even while no broker is there."""
    options = replace(KafkaOptions(closed_port), record_bytes_max=10)
    async with KafkaSink(options, SystemClock()) as sink:
        (answer,) = await sink.publish([Outgoing("t", None, b"x" * 11)])
    assert getattr(answer, "too_large", False) is True
