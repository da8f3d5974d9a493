"""One poll of an aiokafka consumer that loses nothing when a partition cannot be read.

Invariant: what a poll drained is handed out even if the same poll fails; after a failure every
assigned partition is sought to the next offset of our own book before the next poll.
Why: an exception inside `getmany` throws away what it had drained (also of other partitions)
while their positions have moved on. So only one record is drained while waiting, then each
partition is asked alone. A partition that fails is read record by record up to the fault, then
held and looked at again ever more rarely; the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import Any

import structlog

from gateway.bus.contract import Batch, Record
from gateway.bus.kafka_errors import is_partition_fault
from gateway.bus.kafka_options import KafkaOptions
from gateway.bus.positions import Partition, Positions
from gateway.clock import Clock

_HOLD_S_FIRST = 0.5
_HOLD_S_MAX = 60.0
_HALTED_AFTER = 10
_CAREFUL_WAIT_MS = 100
_CAREFUL_POLLS = 3
_SEED_TIMEOUT_S = 2.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Care:
    """A partition that failed: how many records at once, and until when it is held."""

    limit: int
    failures: int = 0
    held_until_s: float = 0.0
    held: bool = False


class Poller:
    """Polls one consumer. `poll` may raise anything; `recover` must follow, with what it raised.

    `failures` counts polls that raised, `failures_in_row` those that no partition explains.
    """

    def __init__(
        self, consumer: Any, positions: Positions, *, options: KafkaOptions, clock: Clock
    ) -> None:
        self.failures = 0
        self.failures_in_row = 0
        self._consumer = consumer
        self._positions = positions
        self._options = options
        self._clock = clock
        self._care: dict[Partition, _Care] = {}
        self._taken: list[Record] = []
        self._taken_epoch = -1
        self._seeded_epoch = -1
        self._asking: Any = None
        self._must_rewind = False
        self._careful_polls = 0
        self._turn = 0

    async def poll(self) -> None:
        """Wait for records and drain up to a batch of them; `take` gives them."""
        self._asking = None
        if self._taken_epoch != self._positions.epoch:
            self._begin_epoch()
        if self._must_rewind:
            await self._rewind()
        await self._seed()
        await self._wait()
        if self._taken or self._care or self._careful_polls:
            await self._drain_each()
        self._careful_polls = max(0, self._careful_polls - 1)
        self.failures_in_row = 0

    def take(self) -> Batch | None:
        """What was drained since, noted as handed out; None when nothing was."""
        records, self._taken = self._taken, []
        # What a rebalance has taken from us is left to whoever owns it now.
        if not records or self._taken_epoch != self._positions.epoch:
            return None
        self._positions.hand_out(records)
        return Batch(records, self._taken_epoch)

    async def recover(self, error: BaseException) -> None:
        """Make the next poll start from our own book; wait when no partition is at fault."""
        self.failures += 1
        self._must_rewind = True
        partition = self._asking
        if partition is not None and is_partition_fault(error):
            self._treat(partition, error)
            return
        self.failures_in_row += 1
        self._careful_polls = _CAREFUL_POLLS
        log.warning("poll_failed", error=type(error).__name__, in_row=self.failures_in_row)
        await self._clock.sleep(_backoff_s(self.failures_in_row))

    # --- one poll, step by step ------------------------------------------------------------

    def _begin_epoch(self) -> None:
        # Pauses are forgotten by aiokafka on each rebalance, and so is our reason for them.
        self._care.clear()
        self._taken.clear()
        self._taken_epoch = self._positions.epoch
        self._must_rewind = False

    async def _seed(self) -> None:
        """Learn where each partition starts: lag and rewinding need it before any record."""
        epoch = self._positions.epoch
        if self._seeded_epoch == epoch:
            return
        # A partition without a leader has no position: it must not keep us from the others.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._learn_starts(epoch), _SEED_TIMEOUT_S)
        if self._positions.epoch != epoch:
            return
        self._seeded_epoch = epoch if self._consumer.assignment() else -1

    async def _learn_starts(self, epoch: int) -> None:
        for partition in sorted(self._consumer.assignment()):
            offset = await self._consumer.position(partition)
            if self._positions.epoch != epoch:
                return
            self._positions.start_at(tuple(partition), offset)

    async def _wait(self) -> None:
        """Wait for the first record, where that cannot hide which partition fails."""
        self._release_due()
        healthy = [p for p in self._consumer.assignment() if tuple(p) not in self._care]
        if self._careful_polls or (self._care and not healthy):
            await self._clock.sleep(_CAREFUL_WAIT_MS / 1000)
            return
        wait_ms = min(self._options.fetch_wait_ms, _CAREFUL_WAIT_MS) if self._care else None
        drained = await self._consumer.getmany(
            *(healthy if self._care else ()),
            timeout_ms=self._options.fetch_wait_ms if wait_ms is None else wait_ms,
            max_records=1,
        )
        self._keep(drained)

    async def _drain_each(self) -> None:
        for partition in self._in_turn():
            room = self._options.batch_records_max - len(self._taken)
            if room <= 0:
                return
            care = self._care.get(tuple(partition))
            if care is not None and care.held:
                continue
            self._asking = partition
            limit = room if care is None else min(room, care.limit)
            drained = await self._consumer.getmany(partition, timeout_ms=0, max_records=limit)
            self._keep(drained)
            if care is not None and any(drained.values()):
                self._relax(tuple(partition), care)
        self._asking = None

    def _in_turn(self) -> list[Any]:
        """The partitions, each time beginning with another, so that none starves."""
        partitions = sorted(self._consumer.assignment())
        self._turn = (self._turn + 1) % max(1, len(partitions))
        return partitions[self._turn :] + partitions[: self._turn]

    def _keep(self, drained: Any) -> None:
        # A rebalance came while we waited: what was drained before it is not ours any more.
        if self._taken_epoch != self._positions.epoch:
            self._begin_epoch()
        for records in drained.values():
            self._taken.extend(map(_as_record, records))

    # --- after a failure -------------------------------------------------------------------

    async def _rewind(self) -> None:
        for partition in self._consumer.assignment():
            expected = self._positions.expected(tuple(partition))
            if expected is None:
                expected = await self._start_of(partition)
            if expected is not None:
                self._consumer.seek(partition, expected)
        self._must_rewind = False

    async def _start_of(self, partition: Any) -> int | None:
        """Where it starts; None when nobody tells, and then nothing was drained from it."""
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self._bookmark_of(partition), _SEED_TIMEOUT_S)
        return None

    async def _bookmark_of(self, partition: Any) -> int:
        committed = await self._consumer.committed(partition)
        if committed is not None:
            return int(committed)
        beginnings = await self._consumer.beginning_offsets([partition])
        return int(beginnings[partition])

    def _treat(self, partition: Any, error: BaseException) -> None:
        care = self._care.setdefault(tuple(partition), _Care(self._options.batch_records_max))
        where = {"topic": partition[0], "partition": partition[1]}
        if care.limit > 1:
            care.limit = 1
            log.warning("partition_read_carefully", error=type(error).__name__, **where)
            return
        care.failures += 1
        hold_s = _backoff_s(care.failures)
        care.held_until_s = self._clock.monotonic() + hold_s
        care.held = True
        self._consumer.pause(partition)
        event = "partition_halted" if care.failures >= _HALTED_AFTER else "partition_held"
        log.error(
            event,
            error=type(error).__name__,
            offset=self._positions.expected(tuple(partition)),
            failures=care.failures,
            hold_s=round(hold_s, 1),
            **where,
        )

    def _release_due(self) -> None:
        now_s = self._clock.monotonic()
        for partition in self._consumer.assignment():
            care = self._care.get(tuple(partition))
            if care is not None and care.held and care.held_until_s <= now_s:
                care.held = False
                self._consumer.resume(partition)

    def _relax(self, partition: Partition, care: _Care) -> None:
        care.failures = 0
        care.limit *= 2
        if care.limit >= self._options.batch_records_max:
            self._care.pop(partition, None)


def _backoff_s(failures: int) -> float:
    ceiling_s = min(_HOLD_S_MAX, _HOLD_S_FIRST * 2.0 ** min(failures - 1, 10))
    return ceiling_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter keeps no secret


def _as_record(record: Any) -> Record:
    return Record(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=record.headers,
    )
