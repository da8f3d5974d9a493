from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.reader import In, publish

from gateway.bus.embedded import EMBEDDED, EmbeddedBroker
from gateway.bus.kafka import KafkaOptions, TopicMissing, topic_look
from gateway.errors import BusUnavailable

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNT = 1200
LARGE_BYTES = 1_500_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def options() -> AsyncIterator[KafkaOptions]:
    """A broker with a topic of many records, one with nothing, one with a large record."""
    async with EmbeddedBroker({"many": 3, "none": 2, "large": 1}) as bootstrap:
        await publish(bootstrap, "many", [In(b"%d" % n, b"k%d" % n) for n in range(COUNT)])
        await publish(bootstrap, "large", [In(b"x" * LARGE_BYTES), In(b"last")])
        yield KafkaOptions(bootstrap, start_timeout_s=10, **EMBEDDED)


async def test_everything_is_all_there_was_and_then_ends(options: KafkaOptions) -> None:
    """Each record once, in order per partition; what comes while we look is not waited for."""
    found = []
    async with topic_look(options, "many") as look:
        assert look.size == COUNT
        async for batch in look.everything():
            if not found:
                await publish(options.bootstrap_servers, "many", [In(b"late", b"late")])
            found += batch
    assert sorted(int(record.value or b"") for record in found) == list(range(COUNT))
    for partition in range(3):
        offsets = [record.offset for record in found if record.partition == partition]
        assert offsets == list(range(len(offsets)))


async def test_looking_twice_sees_the_same(options: KafkaOptions) -> None:
    """Nothing is committed: a second look begins at the beginning, also in one look."""
    async with topic_look(options, "large") as look:
        first = [record.value async for batch in look.everything() for record in batch]
        second = [record.value async for batch in look.everything() for record in batch]
    assert first == second == [b"x" * LARGE_BYTES, b"last"]


async def test_an_empty_topic_ends_at_once(options: KafkaOptions) -> None:
    """No record, no wait."""
    async with topic_look(options, "none") as look:
        assert [batch async for batch in look.everything()] == []
        assert look.size == 0


async def test_one_record_is_found_by_its_place(options: KafkaOptions) -> None:
    """The record that stands there, in any order of asking; None where none stands."""
    async with topic_look(options, "many") as look:
        for place in ((2, 5), (0, 7), (2, 4)):
            record = await look.at(*place)
            assert record is not None
            assert (record.partition, record.offset) == place
        for nowhere in ((0, COUNT), (9, 0)):
            assert await look.at(*nowhere) is None


async def test_a_topic_that_is_not_there_is_said_and_not_made(options: KafkaOptions) -> None:
    """Looking creates nothing."""
    for _ in range(2):
        with pytest.raises(TopicMissing, match="nowhere"):
            async with topic_look(options, "nowhere"):
                pass


async def test_no_broker_is_said_soon() -> None:
    """In our own words, within the deadline."""
    with pytest.raises(BusUnavailable):
        async with topic_look(KafkaOptions("127.0.0.1:1", start_timeout_s=2), "many"):
            pass
