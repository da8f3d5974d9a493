from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.bus.contract import Batch, Outgoing
from gateway.bus.memory import MemoryBus, MemorySource
from gateway.clock import ManualClock
from gateway.errors import BusUnavailable

START = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus({"t": 2}, ManualClock(START))


async def fill(bus: MemoryBus, count: int) -> None:
    async with bus.sink() as sink:
        await sink.publish([Outgoing("t", None, b"%d" % i) for i in range(count)])


async def next_batch(source: MemorySource) -> Batch:
    async for batch in source.batches():
        return batch
    raise AssertionError("the source has ended")


async def test_a_rebalance_gives_uncommitted_records_again(bus: MemoryBus) -> None:
    """After `rebalance` the epoch is another and the old commit counts for nothing."""
    await fill(bus, 10)
    async with bus.source(["t"], "g") as source:
        first = await next_batch(source)
        bus.rebalance("g")
        await source.commit(first)
        assert bus.committed("g") == {}
        again = await next_batch(source)
        assert again.epoch != first.epoch
        assert list(again.records) == list(first.records)
        await source.commit(again)
    assert bus.committed("g") == {("t", 0): 5, ("t", 1): 5}


async def test_members_share_the_partitions(bus: MemoryBus) -> None:
    """Two members own one partition each; when one leaves, the other owns both."""
    async with bus.source(["t"], "g") as stays:
        async with bus.source(["t"], "g") as leaves:
            assert len(stays.lag()) == len(leaves.lag()) == 1
        assert set(stays.lag()) == {("t", 0), ("t", 1)}


async def test_time_is_the_clock_s(bus: MemoryBus) -> None:
    """A record's time is that of the clock the bus was made with."""
    await fill(bus, 1)
    assert bus.records("t")[0].timestamp_ms == int(START.timestamp() * 1000)


async def test_a_bus_that_is_down_takes_nothing(bus: MemoryBus) -> None:
    """`is_down` lets a test see what the gateway does in an outage."""
    bus.is_down = True
    with pytest.raises(BusUnavailable):
        await fill(bus, 1)
    bus.is_down = False
    await fill(bus, 1)
    assert len(bus.records("t")) == 1
