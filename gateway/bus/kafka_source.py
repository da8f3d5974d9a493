"""Records in from Kafka: one member of a consumer group.

Invariant: an offset is committed only when its batch, and every batch before it on that
partition, was reported durable in the epoch it was given out in.
A revoke drains first and fences second: what is in hand may finish, then the epoch changes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_never
from tenacity import wait_random_exponential as wait_jittered

from gateway.bus.contract import Batch
from gateway.bus.kafka_close import close_consumer
from gateway.bus.kafka_errors import LOST_PARTITION, as_unavailable
from gateway.bus.kafka_options import KafkaOptions, consumer_settings
from gateway.bus.kafka_poll import Poller
from gateway.bus.kafka_topics import present_topics
from gateway.bus.positions import Positions
from gateway.clock import Clock
from gateway.errors import BusUnavailable

_REPLACE_AFTER = 5
_RETRY_GAP_S_MAX = 10.0

log = structlog.get_logger(__name__)


class KafkaSource:
    """The input topics, as one group member. Entering waits, for ever, until it has joined."""

    def __init__(self, options: KafkaOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._positions = Positions()
        self._consumer: Any = None
        self._poller: Poller | None = None
        self._stopped = asyncio.Event()
        self._idle = asyncio.Event()
        self._committing = asyncio.Lock()
        self._committer: asyncio.Task[None] | None = None
        self._missing: list[str] = []
        self._looked_s = 0.0

    async def __aenter__(self) -> Self:
        # Entering may wait for ever while no broker answers, so it hears `stop` as well.
        opening = asyncio.create_task(self._open(), name="bus-open")
        if await self._finished_before_stop(opening):
            opening.result()
        self._committer = asyncio.create_task(self._commit_forever(), name="bus-committer")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._committer is not None:
            self._committer.cancel()
            await asyncio.wait({self._committer})
        await asyncio.shield(self._close())

    @property
    def offset_gaps(self) -> int:
        """How often offsets jumped (compaction and transaction markers do that too)."""
        return self._positions.offset_gaps

    @property
    def poll_failures(self) -> int:
        """How many polls of the present consumer failed."""
        return 0 if self._poller is None else self._poller.failures

    async def batches(self) -> AsyncIterator[Batch]:
        while not self._stopped.is_set():
            poller = self._poller
            if poller is None or poller.failures_in_row >= _REPLACE_AFTER:
                await self._reopen()
                continue
            if await self._found_topic():
                await self._reopen()
                continue
            poll = asyncio.create_task(poller.poll(), name="bus-poll")
            if not await self._finished_before_stop(poll):
                return
            batch = poller.take()
            if batch is not None:
                self._idle.clear()
                yield batch
            error = poll.exception()
            if error is not None:
                await poller.recover(error)

    async def commit(self, batch: Batch) -> None:
        if not self._positions.finish(batch.records, epoch=batch.epoch):
            log.info("commit_of_earlier_epoch", epoch=batch.epoch, records=len(batch.records))
        if self._positions.is_idle():
            self._idle.set()

    def stop(self) -> None:
        self._stopped.set()

    def lag(self) -> Mapping[tuple[str, int], int]:
        if self._consumer is None:
            return {}
        behind: dict[tuple[str, int], int] = {}
        for partition in self._consumer.assignment():
            end = self._consumer.highwater(partition)
            committed = self._positions.committed(tuple(partition))
            if end is not None and committed is not None:
                behind[partition.topic, partition.partition] = max(0, end - committed)
        return behind

    # --- joining and leaving ---------------------------------------------------------------

    async def _open(self) -> None:
        async for attempt in AsyncRetrying(
            stop=stop_never,
            wait=wait_jittered(multiplier=0.5, max=_RETRY_GAP_S_MAX),
            retry=retry_if_exception_type(BusUnavailable),
            sleep=self._clock.sleep,
            before_sleep=_log_retry,
        ):
            with attempt:
                await self._join()

    async def _join(self) -> None:
        present = await present_topics(self._options, self._options.topics)
        self._missing = [topic for topic in self._options.topics if topic not in present]
        self._looked_s = self._clock.monotonic()
        if self._missing:
            log.error("topics_missing", topics=self._missing)
        consumer = AIOKafkaConsumer(**consumer_settings(self._options))
        consumer.subscribe(topics=present, listener=_Listener(self))
        self._consumer = consumer
        self._poller = Poller(consumer, self._positions, options=self._options, clock=self._clock)
        try:
            async with asyncio.timeout(self._options.start_timeout_s):
                await consumer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._leave()
            raise as_unavailable(error) from error
        except BaseException:
            await asyncio.shield(self._leave())
            raise
        log.info("bus_joined", group=self._options.group_id, partitions=len(consumer.assignment()))

    async def _found_topic(self) -> bool:
        """Whether a topic that was missing exists by now; looked for once in a while."""
        now_s = self._clock.monotonic()
        if not self._missing or now_s - self._looked_s < self._options.look_every_s:
            return False
        self._looked_s = now_s
        try:
            return bool(await present_topics(self._options, self._missing))
        except BusUnavailable:
            return False

    async def _leave(self) -> None:
        consumer, self._consumer, self._poller = self._consumer, None, None
        self._positions.begin_epoch()
        if consumer is not None:
            await close_consumer(consumer, timeout_s=self._options.close_timeout_s)

    async def _close(self) -> None:
        await self._flush()
        await self._leave()

    async def _reopen(self) -> None:
        log.error("consumer_replaced")
        await self._leave()
        opening = asyncio.create_task(self._open(), name="bus-reopen")
        if await self._finished_before_stop(opening):
            opening.result()

    async def _finished_before_stop(self, work: asyncio.Task[None]) -> bool:
        """Wait for it or for `stop`; False, and it is cancelled, when stop came first."""
        stop = asyncio.create_task(self._stopped.wait(), name="bus-stop")
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            return work.done() and not self._stopped.is_set()
        finally:
            stop.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
            elif self._stopped.is_set() and not work.cancelled():
                work.exception()

    # --- offsets ---------------------------------------------------------------------------

    async def on_revoked(self) -> None:
        """Let what is in hand finish, commit it, and close the epoch."""
        if not self._positions.is_idle() and not self._stopped.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), self._options.drain_s)
        await self._flush()
        self._positions.begin_epoch()

    async def _commit_forever(self) -> None:
        while True:
            await self._clock.sleep(self._options.commit_interval_s)
            await asyncio.shield(self._flush())

    async def _flush(self) -> None:
        """Commit what is due, under a deadline. Lost partitions are logged and dropped."""
        async with self._committing:
            due, epoch = self._positions.due(), self._positions.epoch
            if not due or self._consumer is None:
                return
            offsets = {TopicPartition(*partition): end for partition, end in due.items()}
            commit = asyncio.ensure_future(self._consumer.commit(offsets))
            await asyncio.wait({commit}, timeout=self._options.commit_timeout_s)
            if not commit.done():
                commit.cancel()
                await asyncio.wait({commit}, timeout=1.0)
                log.warning("commit_late", timeout_s=self._options.commit_timeout_s)
                return
            error = None if commit.cancelled() else commit.exception()
            if error is None or isinstance(error, LOST_PARTITION):
                self._positions.note_committed(due, epoch=epoch)
            if error is not None:
                log.warning("commit_failed", error=type(error).__name__, partitions=len(due))


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Tells the source about rebalances. aiokafka waits for it and logs what it raises."""

    def __init__(self, source: KafkaSource) -> None:
        self._source = source

    async def on_partitions_revoked(self, revoked: Any) -> None:
        log.info("partitions_revoked", count=len(revoked))
        await self._source.on_revoked()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        log.info("partitions_assigned", count=len(assigned))


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    log.warning("bus_not_reached", attempt=state.attempt_number, reason=str(error))
