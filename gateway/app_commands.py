"""What commands need built: a store beside a running gateway, a sink, a look at the dead letters.

Invariant: everything opened here is closed when its command ends, and no store is ever made by
looking at it. Decides nothing about what is shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from gateway.app_parts import kafka_options, store_of, zones
from gateway.bus.contract import Outgoing, Record, Sink
from gateway.bus.kafka import KafkaOptions, KafkaSink, TopicLook, topic_look
from gateway.clock import SystemClock
from gateway.commands_file import Ready, read_events
from gateway.commands_letters import Letter, letter_of, masked_letter, original, subjects_of
from gateway.errors import BusUnavailable, EventsRefused, SettingsError
from gateway.flows.desk import SCOPE
from gateway.settings import Settings
from gateway.store.contract import Store
from gateway.store.scripted import Conduct, ScriptedStore

START_WITHIN_S = 15.0
CHUNK = 100
STRUCTURED = (("content-type", b"application/cloudevents+json; charset=utf-8"),)

Place = tuple[int, int]
"""Where a dead letter stands: partition and offset."""


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[ScriptedStore]:
    """The store, also beside a running gateway. Raises SettingsError where there is none."""
    path = settings.store.url.path
    if path is not None and not path.is_file():
        raise SettingsError(
            f"WINBACK_STORE__URL: there is no store at {path}; `winback migrate` makes one"
        )
    # The policy is not asked for: nothing that a command does in the store goes by it.
    conduct = Conduct(timedelta())
    async with store_of(settings, clock=SystemClock(), conduct=conduct, owns=False) as store:
        yield store


def patient_options(settings: Settings) -> KafkaOptions:
    """How a command speaks to Kafka: somebody waits, so it gives up sooner than a gateway."""
    return replace(kafka_options(settings), start_timeout_s=START_WITHIN_S)


# --- sends and campaigns --------------------------------------------------------------------


async def story(settings: Settings, send_id: str) -> Mapping[str, Any] | None:
    """The decision record of a send."""
    async with opened_store(settings) as store:
        return await store.story(send_id)


async def results(settings: Settings, campaign: str) -> Mapping[str, Any]:
    """What a campaign brought."""
    async with opened_store(settings) as store:
        return await store.results(campaign)


async def switch(
    settings: Settings, scope: str, *, is_stopped: bool, discard: bool, reason: str
) -> int:
    """Stop a scope or let it run; how many sends were killed. Raises EventsRefused."""
    if not SCOPE.fullmatch(scope):
        raise EventsRefused([("SCOPE", "is global, channel:email|sms|push or campaign:NAME")])
    async with opened_store(settings) as store:
        now = SystemClock().now()
        await store.switch(scope, is_stopped=is_stopped, reason=reason, now=now)
        return await _discard(store, scope) if discard else 0


async def _discard(store: Store, scope: str) -> int:
    killed: set[str] = set()
    while stopped := await store.discard(scope, now=SystemClock().now()):
        killed.update(stopped)
    return len(killed)


# --- publishing -----------------------------------------------------------------------------


def events_of(body: bytes) -> tuple[Sequence[Ready], Sequence[str]]:
    """The events of a file, and the faults of those that cannot be taken."""
    return read_events(body, zones=zones())


async def publish(settings: Settings, events: Sequence[Ready], tell: Callable[[int], None]) -> None:
    """Publish all to the sends topic; `tell` hears how many are. Raises BusUnavailable."""
    topic = settings.kafka.sends_topic
    records = [Outgoing(topic, event.key, event.value, STRUCTURED) for event in events]
    async with KafkaSink(patient_options(settings), SystemClock()) as sink:
        for start in range(0, len(records), CHUNK):
            await _publish_some(sink, records[start : start + CHUNK])
            tell(min(start + CHUNK, len(records)))


async def _publish_some(sink: Sink, records: Sequence[Outgoing]) -> None:
    """Publish, or raise BusUnavailable for the first record that the broker did not take."""
    for record, answer in zip(records, await sink.publish(records), strict=True):
        if answer is not None:
            raise BusUnavailable(f"{record.topic}: {answer}") from answer


# --- dead letters ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters: these places, or all; of one reason, or any."""

    places: Sequence[Place] = ()
    reason: str | None = None


@dataclass(slots=True)
class Replayed:
    """What became of a replay: how many went back, and why others did not."""

    published: int = 0
    left: list[tuple[str, str]] = field(default_factory=list)


class DeadLetters:
    """The dead-letter topic without those of erased people, who are nowhere to be seen."""

    def __init__(self, look: TopicLook, store: ScriptedStore, settings: Settings) -> None:
        self._look = look
        self._store = store
        self._kafka = settings.kafka

    @property
    def size(self) -> int:
        """How many there are at most."""
        return self._look.size

    async def listed(self, wanted: Wanted) -> Sequence[Letter]:
        """What is known of each, oldest first."""
        found = [letter_of(record) async for record in self._records(wanted)]
        return sorted(found, key=lambda one: (one.refused_at, one.partition, one.offset))

    async def shown(self, place: Place) -> Mapping[str, Any] | None:
        """One of them, masked."""
        async for record in self._records(Wanted([place])):
            return masked_letter(record)
        return None

    async def replay(self, wanted: Wanted, sink: Sink, tell: Callable[[int], None]) -> Replayed:
        """Publish the originals to where they came from; `tell` hears how many are done."""
        done, waiting = Replayed(), list[Outgoing]()
        missing = {f"{partition}:{offset}" for partition, offset in wanted.places}
        async for record in self._records(wanted):
            letter = letter_of(record)
            missing.discard(letter.place)
            if why := self._why_not(letter):
                done.left.append((letter.place, why))
                continue
            waiting.append(original(record))
            if len(waiting) >= CHUNK:
                await self._publish(sink, waiting, done, tell)
        await self._publish(sink, waiting, done, tell)
        done.left += [(place, "is no dead letter that is there") for place in sorted(missing)]
        return done

    def _why_not(self, letter: Letter) -> str:
        kafka = self._kafka
        inputs = (
            kafka.sends_topic,
            kafka.presence_topic,
            kafka.conversions_topic,
            kafka.consent_topic,
        )
        if letter.is_truncated:
            return "was too large to be kept here: publish it again from where it was made"
        if letter.topic not in inputs:
            return f"came from {letter.topic or 'nowhere'}, which is no input topic of this gateway"
        return ""

    async def _publish(
        self, sink: Sink, waiting: list[Outgoing], done: Replayed, tell: Callable[[int], None]
    ) -> None:
        if not waiting:
            return
        await _publish_some(sink, waiting)
        done.published += len(waiting)
        tell(done.published)
        waiting.clear()

    async def _records(self, wanted: Wanted) -> AsyncIterator[Record]:
        async for batch in self._batches(wanted):
            people = [subjects_of(record, self._store.secret) for record in batch]
            erased = await self._store.erased(frozenset().union(*people))
            for record, subjects in zip(batch, people, strict=True):
                is_wanted = wanted.reason is None or letter_of(record).reason == wanted.reason
                if is_wanted and erased.isdisjoint(subjects):
                    yield record

    async def _batches(self, wanted: Wanted) -> AsyncIterator[Sequence[Record]]:
        if not wanted.places:
            async for batch in self._look.everything():
                yield batch
            return
        found = [await self._look.at(*place) for place in dict.fromkeys(wanted.places)]
        yield [record for record in found if record is not None]


@asynccontextmanager
async def dead_letters(settings: Settings) -> AsyncIterator[DeadLetters]:
    """The dead letters as they stand now."""
    async with (
        opened_store(settings) as store,
        topic_look(patient_options(settings), settings.kafka.dlq_topic) as look,
    ):
        yield DeadLetters(look, store, settings)


@asynccontextmanager
async def opened_sink(settings: Settings) -> AsyncIterator[Sink]:
    """Where records are published."""
    async with KafkaSink(patient_options(settings), SystemClock()) as sink:
        yield sink
