from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from support.topics import admin_client

from gateway.bus.embedded import EmbeddedBroker
from gateway.errors import BusUnavailable

PARENT = """
import asyncio, sys
from gateway.bus.embedded import EmbeddedBroker

async def main():
    broker = EmbeddedBroker({"t": 1})
    await broker.start()
    print(broker._child.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def partitions_of(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


async def test_it_has_the_topics_it_was_asked_for() -> None:
    """Names and numbers of partitions are as given."""
    async with EmbeddedBroker({"one": 1, "with=sign": 3, "many": 12}) as bootstrap:
        assert bootstrap.startswith("127.0.0.1:")
        async with admin_client(bootstrap) as admin:
            assert await partitions_of(admin) == {"one": 1, "with=sign": 3, "many": 12}


async def test_it_ends_when_it_is_left() -> None:
    """No process stays behind, and it was not necessary to kill it."""
    broker = EmbeddedBroker({"t": 1})
    await broker.start()
    child = broker._child
    assert child is not None
    await broker.stop()
    assert child.returncode == 0
    await broker.stop()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_it_ends_with_its_parent(end: signal.Signals) -> None:
    """A parent that is killed takes the broker with it."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child_pid = int(await asyncio.wait_for(parent.stdout.readline(), 30))
    os.kill(child_pid, 0)
    parent.send_signal(end)
    await parent.wait()
    async with asyncio.timeout(10):
        while is_running(child_pid):  # noqa: ASYNC110 - an orphan sends no event
            await asyncio.sleep(0.01)


async def test_a_topic_without_partitions_is_refused() -> None:
    """A wrong topic is an error at once, not a broker that cannot be written to."""
    with pytest.raises(ValueError, match="at least one partition"):
        EmbeddedBroker({"t": 0})


async def test_a_broker_that_does_not_start_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ends without an address is reported, and nothing stays behind."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BusUnavailable):
        await EmbeddedBroker({"t": 1}).start()


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet collected does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
