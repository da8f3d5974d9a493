"""Ending aiokafka clients in bounded time.

Invariant: closing takes a few seconds at most, whatever the brokers do.
Why a file of its own: `stop` of both clients waits for ever while no broker answers, and once
cancelled it leaves tasks behind that would go on connecting; aiokafka has no public way to end
those, so its insides are touched here and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import structlog
from aiokafka.errors import KafkaTimeoutError

log = structlog.get_logger(__name__)

_GRACE_S = 1.0
_CANCELS_MAX = 10


async def close_consumer(consumer: Any, *, timeout_s: float) -> None:
    """Leave the group and close, within about `timeout_s` seconds."""
    if await _within(consumer.stop(), timeout_s=timeout_s):
        return
    log.warning("consumer_close_forced", timeout_s=timeout_s)
    await _cancel_all(_consumer_tasks(consumer))
    await _within(consumer._client.close(), timeout_s=_GRACE_S)  # noqa: SLF001 - see above


async def close_producer(producer: Any, *, timeout_s: float) -> None:
    """Close at once; what is still waiting for a broker fails.

    The sender ends first, so that a batch we gave up cannot arrive after its second copy.
    """
    sender = producer._sender  # noqa: SLF001 - see above
    await _cancel_all([sender.sender_task])
    accumulator = producer._message_accumulator  # noqa: SLF001 - see above
    given_up = _batches_of(accumulator)
    accumulator.fail_all(KafkaTimeoutError("given up"))
    for batch in given_up:
        # Nobody waits for these any more; asyncio would report what nobody has looked at.
        for future in (batch.future, batch._drain_waiter):  # noqa: SLF001 - see above
            if future.done() and not future.cancelled():
                future.exception()
    if not await _within(producer.stop(), timeout_s=timeout_s):
        log.warning("producer_close_forced", timeout_s=timeout_s)
        await _within(producer.client.close(), timeout_s=_GRACE_S)


async def close_admin(admin: Any, *, timeout_s: float) -> None:
    """Close an admin client, within about `timeout_s` seconds."""
    await _within(admin.close(), timeout_s=timeout_s)


async def _within(work: Coroutine[Any, Any, None], *, timeout_s: float) -> bool:
    """Run it to its end or the deadline; whether it ended well. Its own errors are logged."""
    task = asyncio.create_task(work, name="bus-close")
    await asyncio.wait({task}, timeout=timeout_s)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_GRACE_S)
        return False
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.warning("close_failed", error=type(error).__name__)
    return error is None and not task.cancelled()


async def _cancel_all(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    """Cancel until they have ended: aiokafka's tasks catch a first cancel to tidy up."""
    left = {task for task in tasks if task is not None and not task.done()}
    for _ in range(_CANCELS_MAX):
        if not left:
            return
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_GRACE_S / _CANCELS_MAX)


def _batches_of(accumulator: Any) -> list[Any]:
    queued = accumulator._batches.values()  # noqa: SLF001 - see above
    pending = accumulator._pending_batches  # noqa: SLF001 - see above
    return [*pending, *(batch for batches in queued for batch in batches)]


def _consumer_tasks(consumer: Any) -> list[asyncio.Task[Any] | None]:
    tasks: list[asyncio.Task[Any] | None] = []
    coordinator = consumer._coordinator  # noqa: SLF001 - see above
    if coordinator is not None:
        names = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task")
        tasks.extend(getattr(coordinator, name, None) for name in names)
    fetcher = consumer._fetcher  # noqa: SLF001 - see above
    if fetcher is not None:
        tasks.extend([fetcher._fetch_task, *fetcher._pending_tasks])  # noqa: SLF001 - see above
    return tasks
