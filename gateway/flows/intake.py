"""From records to sends: decode, check against the template, admit, and only then commit.

A record that we cannot take becomes a dead letter in the same transaction; the partition goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from gateway.bus.contract import Batch, Record, Source
from gateway.catalog import Catalog
from gateway.clock import Clock
from gateway.core import plan as plans
from gateway.core.plan import Plan, Route
from gateway.core.request import Event, SendData
from gateway.core.variables import facts_of
from gateway.core.wire import decode, encode_data
from gateway.core.wire_http import FaultsError, decode_http
from gateway.errors import EventsConflict, EventsRefused, RefusedError, StoreUnavailable
from gateway.flows.contract import Taken
from gateway.flows.dispatch import Lane
from gateway.flows.wake import Bell
from gateway.store.contract import Admission, Admissions, Admitted, Claimed, Refusal
from gateway.telemetry import Metrics

log = structlog.get_logger()

SEND_TYPES = frozenset({"winback.send.requested.v1"})
RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Offered:
    """An admission with the data it came from, for the lane that gets its first claim."""

    admission: Admission
    data: SendData
    record: Record | None = None


class Intake:
    """Takes requests in, from Kafka and from HTTP."""

    def __init__(
        self,
        *,
        store: Admissions,
        secret: bytes,
        zones: frozenset[str],
        catalog: Catalog,
        lanes: Mapping[str, Lane],
        clock: Clock,
        metrics: Metrics,
        claim_for: timedelta,
        outbox_bell: Bell,
    ) -> None:
        self._store = store
        self._secret = secret
        self._zones = zones
        self._catalog = catalog
        self._lanes = lanes
        self._clock = clock
        self._metrics = metrics
        self._claim_for = claim_for
        self._outbox_bell = outbox_bell

    async def run(self, source: Source) -> None:
        """Take batches until the source ends; commit each once it is durable."""
        async with source:
            async for batch in source.batches():
                await self._take_batch(batch)
                await source.commit(batch)

    async def _take_batch(self, batch: Batch) -> None:
        offered: list[Offered] = []
        refusals: list[Refusal] = []
        for record in batch.records:
            try:
                event = decode(record.value, record.headers, SEND_TYPES, zones=self._zones)
                offered.append(Offered(*self._admission(event), record))
            except RefusedError as refused:
                refusals.append(refusal(record, refused))
        admitted = await self._admit_for_sure(offered, refusals)
        conflicts = [
            refusal(one.record, _conflict())
            for one, answer in zip(offered, admitted, strict=True)
            if answer.status == "conflict" and one.record is not None
        ]
        if conflicts:
            await self._admit_for_sure([], conflicts)
        if refusals or conflicts:
            self._metrics.records["refused"].inc(len(refusals))
            self._outbox_bell.ring()

    async def take(self, body: bytes, *, types: frozenset[str]) -> list[Taken]:
        """Take a CloudEvent or a JSON array of them, all or none; durable when it returns.

        Raises EventsRefused, EventsConflict or StoreUnavailable.
        """
        events = self._decoded(body, types)
        root = "$[{}]" if body.lstrip().startswith(b"[") else "$"
        offered: list[Offered] = []
        faults: list[tuple[str, str]] = []
        for place, event in enumerate(events):
            try:
                offered.append(Offered(*self._admission(event)))
            except RefusedError as refused:
                faults.append((root.format(place) + refused.path[1:], refused.what))
        if faults:
            raise EventsRefused(faults)
        admitted = await self._admit(offered, [], is_whole=True)
        conflicts = [
            (f"{root.format(place)}.id", "this source and id came before with other data")
            for place, answer in enumerate(admitted)
            if answer.status == "conflict"
        ]
        if conflicts:
            raise EventsConflict(conflicts)
        return [_taken(event, answer) for event, answer in zip(events, admitted, strict=True)]

    def _decoded(self, body: bytes, types: frozenset[str]) -> list[Event]:
        try:
            return decode_http(body, types, zones=self._zones)
        except FaultsError as error:
            faults = [(fault.path, fault.detail) for fault in error.faults]
            malformed = any(fault.reason == "not_json" for fault in error.faults)
            raise EventsRefused(faults, malformed=malformed) from error

    # --- one request ------------------------------------------------------------------------

    def _admission(self, event: Event) -> tuple[Admission, SendData]:
        """A request that passed the contract and its template. Raises RefusedError."""
        data = event.data
        if not isinstance(data, SendData):
            raise TypeError(event.type)
        if event.unknown_fields:
            self._metrics.unknown_fields.inc(event.unknown_fields)
        template = self._catalog.get(data.template)
        if template is None:
            raise RefusedError(
                "unknown_template", "$.data.template", f"no template {data.template!r}"
            )
        wanted = data.channels or data.recipient.preferred_channels or template.channels
        allowed = [channel for channel in dict.fromkeys(wanted) if template.has(channel)]
        for fault in template.faults(facts_of(data), allowed):
            raise RefusedError(fault.reason, fault.path, fault.what)
        routes = tuple(
            Route(channel, template.locale_for(channel, data.recipient.locale), subjects)
            for channel in allowed
            if (subjects := plans.subjects_of(data, channel, self._secret))
        )
        plan = plans.plan_of(
            event,
            routes=routes,
            template_version=template.version,
            purpose=data.purpose or template.purpose,
            secret=self._secret,
            now=self._clock.now(),
        )
        return Admission(plan, event.digest, encode_data(data)), data

    # --- a batch into the store -------------------------------------------------------------

    async def _admit_for_sure(
        self, offered: Sequence[Offered], refusals: Sequence[Refusal]
    ) -> Sequence[Admitted]:
        """Admit; while the store is away the source waits with us."""
        while True:
            try:
                return await self._admit(offered, refusals, is_whole=False)
            except StoreUnavailable as away:
                log.warning("intake.store_unavailable", what=str(away))
                await self._clock.sleep(RETRY_S)

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
                claim_for=self._claim_for,
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
        for lane in self._lanes.values():
            lane.bell.ring()
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
    return Refusal("dlq:" + ":".join(place), record.key, record.value, headers)


def _conflict() -> RefusedError:
    what = "this source and id came before with other data"
    return RefusedError("identity_conflict", "$.id", what)


def _taken(event: Event, answer: Admitted) -> Taken:
    is_new = answer.status == "accepted"
    return Taken(event.source, event.id, answer.send_id, "accepted" if is_new else "duplicate")
