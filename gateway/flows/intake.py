"""From records to sends: decode, plan, admit, and only then commit.

A record that we cannot take becomes a dead letter in the same transaction; the partition goes on.
Requests are admitted in batches; other events of a batch are applied one by one, in their order.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import structlog

from gateway.bus.contract import Batch, Record, Source
from gateway.clock import Clock
from gateway.core.plan import Plan
from gateway.core.request import Event, SendData
from gateway.core.wire import decode
from gateway.core.wire_http import FaultsError, decode_http
from gateway.errors import EventsConflict, EventsRefused, RefusedError, StoreUnavailable
from gateway.flows.changes import Changes
from gateway.flows.contract import Taken
from gateway.flows.dispatch import Lane
from gateway.flows.planner import Planner
from gateway.flows.wake import Bell
from gateway.store.contract import Admission, Admissions, Admitted, Claimed, Refusal
from gateway.telemetry import Metrics

log = structlog.get_logger()

RETRY_S = 0.5
PACE_S_MAX = 0.1
CONFLICT = RefusedError(
    "identity_conflict", "$.id", "this source and id came before with other data"
)


class Offered(NamedTuple):
    """An admission with the data it came from, for the lane that gets its first claim."""

    admission: Admission
    data: SendData
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class IntakeOptions:
    """Which event types belong on which topic, the zones that are known, how long a claim lives."""

    types: Mapping[str, frozenset[str]]
    zones: frozenset[str]
    claim_for: timedelta


class Intake:
    """Takes events in, from Kafka and from HTTP."""

    def __init__(
        self,
        options: IntakeOptions,
        *,
        store: Admissions,
        planner: Planner,
        changes: Changes,
        lanes: Mapping[str, Lane],
        clock: Clock,
        metrics: Metrics,
        outbox_bell: Bell,
        room_bell: Bell,
    ) -> None:
        self._options = options
        self._store = store
        self._planner = planner
        self._changes = changes
        self._lanes = lanes
        self._clock = clock
        self._metrics = metrics
        self._outbox_bell = outbox_bell
        self._room_bell = room_bell

    # --- from Kafka -------------------------------------------------------------------------

    async def run(self, source: Source) -> None:
        """Take batches until the source ends; commit each once it is durable."""
        async with source:
            async for batch in source.batches():
                await self._take_batch(batch)
                await source.commit(batch)
                await self._pace()

    async def _pace(self) -> None:
        """Wait a moment for room: what can be claimed as it is admitted costs the store half.

        A lane that stands still holds nobody up for more than that moment: the store has room.
        """
        if self._is_ahead():
            await self._room_bell.wait(PACE_S_MAX)

    def _is_ahead(self) -> bool:
        return any(lane.is_crowded for lane in self._lanes.values())

    async def _take_batch(self, batch: Batch) -> None:
        """Admit runs of requests together; what stands between them is applied in its turn."""
        offered: list[Offered] = []
        refusals: list[Refusal] = []
        changes: list[Event] = []
        for record in batch.records:
            try:
                types = self._options.types.get(record.topic, frozenset())
                event = decode(record.value, record.headers, types, zones=self._options.zones)
                if not isinstance(event.data, SendData):
                    await self._admit_records(offered, refusals)
                    offered, refusals = [], []
                    changes.append(event)
                    continue
                if changes:
                    await self._apply_all(changes)
                    changes = []
                offered.append(Offered(*self._planner.admission(event), record))
            except RefusedError as refused:
                refusals.append(refusal(record, refused))
        if changes:
            await self._apply_all(changes)
        await self._admit_records(offered, refusals)

    async def _apply_all(self, events: Sequence[Event]) -> None:
        """Apply a run of changes: those of one person in order, those of many side by side."""
        by_person: defaultdict[str, list[Event]] = defaultdict(list)
        for event in events:
            by_person[getattr(event.data, "recipient_id", None) or ""].append(event)
        async with asyncio.TaskGroup() as group:
            for mine in by_person.values():
                group.create_task(self._apply_in_turn(mine), name="intake-changes")

    async def _apply_in_turn(self, events: Sequence[Event]) -> None:
        for event in events:
            await self._apply_for_sure(event)

    async def _admit_records(self, offered: Sequence[Offered], refusals: Sequence[Refusal]) -> None:
        if not offered and not refusals:
            return
        admitted = await self._admit_for_sure(offered, refusals)
        conflicts = [
            refusal(one.record, CONFLICT)
            for one, answer in zip(offered, admitted, strict=True)
            if answer.status == "conflict" and one.record is not None
        ]
        if conflicts:
            await self._admit_for_sure([], conflicts)
        self._metrics.records["refused"].inc(len(refusals))

    async def _apply_for_sure(self, event: Event) -> None:
        is_done = False
        while not is_done:
            try:
                await self._changes.apply(event)
                is_done = True
            except StoreUnavailable as away:
                await self._wait_for_store(away)

    async def _admit_for_sure(
        self, offered: Sequence[Offered], refusals: Sequence[Refusal]
    ) -> Sequence[Admitted]:
        """Admit; while the store is away the source waits with us."""
        while True:
            try:
                return await self._admit(offered, refusals, is_whole=False)
            except StoreUnavailable as away:
                await self._wait_for_store(away)

    async def _wait_for_store(self, away: StoreUnavailable) -> None:
        log.warning("intake.store_unavailable", what=str(away))
        await self._clock.sleep(RETRY_S)

    # --- from HTTP --------------------------------------------------------------------------

    async def take(self, body: bytes, *, types: frozenset[str]) -> list[Taken]:
        """Take a CloudEvent or a JSON array of them, all or none; durable when it returns.

        Raises EventsRefused, EventsConflict or StoreUnavailable.
        """
        events = self._decoded(body, types)
        if not any(isinstance(event.data, SendData) for event in events):
            return [await self._taken_change(event) for event in events]
        root = "$[{}]" if body.lstrip().startswith(b"[") else "$"
        offered = self._offered(events, root)
        admitted = await self._admit(offered, [], is_whole=True)
        conflicts = [
            (f"{root.format(place)}.id", CONFLICT.what)
            for place, answer in enumerate(admitted)
            if answer.status == "conflict"
        ]
        if conflicts:
            raise EventsConflict(conflicts)
        return [_taken(event, answer) for event, answer in zip(events, admitted, strict=True)]

    def _decoded(self, body: bytes, types: frozenset[str]) -> list[Event]:
        try:
            return decode_http(body, types, zones=self._options.zones)
        except FaultsError as error:
            malformed = any(fault.reason == "not_json" for fault in error.faults)
            raise EventsRefused(self._all_faults(error), malformed=malformed) from error

    def _all_faults(self, error: FaultsError) -> list[tuple[str, str]]:
        """The first fault of each event of an array, in their order: also of those that it hid."""
        unread = iter(error.faults)
        faults: list[tuple[str, str]] = []
        for place in range(len(error.good) + len(error.faults)):
            event = error.good.get(place)
            if event is None:
                fault = next(unread)
                faults.append((fault.path, fault.detail))
            elif isinstance(event.data, SendData):
                faults += self._faults_of(event, f"$[{place}]")
        return faults

    def _faults_of(self, event: Event, root: str) -> Sequence[tuple[str, str]]:
        try:
            self._offered([event], root)
        except EventsRefused as refused:
            return refused.faults
        return ()

    def _offered(self, events: Sequence[Event], root: str) -> list[Offered]:
        offered: list[Offered] = []
        faults: list[tuple[str, str]] = []
        for place, event in enumerate(events):
            if not isinstance(event.data, SendData):
                faults.append((root.format(place) + ".type", "requests and others do not mix"))
                continue
            try:
                offered.append(Offered(*self._planner.admission(event)))
            except RefusedError as refused:
                faults.append((root.format(place) + refused.path[1:], refused.what))
        if faults:
            raise EventsRefused(faults)
        return offered

    async def _taken_change(self, event: Event) -> Taken:
        is_new = await self._changes.apply(event)
        return Taken(event.source, event.id, "", "accepted" if is_new else "duplicate")

    # --- a batch into the store -------------------------------------------------------------

    async def _admit(
        self, offered: Sequence[Offered], refusals: Sequence[Refusal], *, is_whole: bool
    ) -> Sequence[Admitted]:
        wanted = Counter(_first_channel(one.admission.plan) for one in offered)
        room = {channel: lane.reserve(wanted[channel]) for channel, lane in self._lanes.items()}
        marks = {channel: lane.mark() for channel, lane in self._lanes.items()}
        claimed: Counter[str] = Counter()
        try:
            admitted = await self._store.admit(
                [one.admission for one in offered],
                refusals,
                room=room,
                claim_for=self._options.claim_for,
                now=self._clock.now(),
                is_whole=is_whole,
            )
            claimed = self._hand_over(offered, admitted, marks)
        finally:
            for channel, lane in self._lanes.items():
                lane.give_back(room[channel] - claimed[channel])
        return admitted

    def _hand_over(
        self, offered: Sequence[Offered], admitted: Sequence[Admitted], marks: Mapping[str, int]
    ) -> Counter[str]:
        """Give claims to their lanes, and wake lanes and relay for the rest."""
        claimed: Counter[str] = Counter()
        for one, answer in zip(offered, admitted, strict=True):
            self._metrics.records[answer.status].inc()
            if answer.claim is not None:
                channel = answer.claim.channel
                claimed[channel] += 1
                self._lanes[channel].start(Claimed(answer.claim, one.data), marks[channel])
        waiting = Counter(
            _first_channel(one.admission.plan)
            for one, answer in zip(offered, admitted, strict=True)
            if answer.status == "accepted" and answer.claim is None
        )
        for channel, lane in self._lanes.items():
            lane.expect(waiting[channel])
        self._outbox_bell.ring()
        return claimed


def _first_channel(plan: Plan) -> str:
    return plan.routes[0].channel if plan.routes else ""


def refusal(record: Record, refused: RefusedError) -> Refusal:
    """A record on its way to the dead-letter topic: unchanged, with the contract's headers."""
    place = (record.topic, str(record.partition), str(record.offset))
    headers = (
        *record.headers,
        ("dlq-reason", refused.reason.encode()),
        ("dlq-detail", str(refused).encode()),
        ("dlq-topic", record.topic.encode()),
        ("dlq-partition", place[1].encode()),
        ("dlq-offset", place[2].encode()),
        ("dlq-timestamp", str(record.timestamp_ms).encode()),
    )
    # A topic that was made anew counts its offsets from zero: the time tells the records apart.
    name = ":".join(("dlq", *place, str(record.timestamp_ms)))
    return Refusal(name, record.key, record.value, headers)


def _taken(event: Event, answer: Admitted) -> Taken:
    is_new = answer.status == "accepted"
    return Taken(event.source, event.id, answer.send_id, "accepted" if is_new else "duplicate")
