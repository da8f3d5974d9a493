"""The flows of a gateway process, over parts that outlive it: for crashes, restarts and time.

Invariant: a process that is left stops where it stands, as a kill does: nothing is drained, and
what its store and bus have is all that the next process finds. Time moves only by hand.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from channels.contract import Accepted, Kind, Message, Outcome, PushTarget, Withheld
from gateway.bus.contract import Outgoing
from gateway.bus.memory import MemoryBus
from gateway.catalog import Catalog, load_catalog
from gateway.clock import ManualClock
from gateway.core.tokens import Tokens
from gateway.core.variables import Brand
from gateway.core.wire import SENDS
from gateway.flows.attempt import LaneParts
from gateway.flows.changes import Changes
from gateway.flows.clockwork import Clockwork
from gateway.flows.dispatch import Lane, LaneOptions
from gateway.flows.drafts import Drafts
from gateway.flows.engage import Engage
from gateway.flows.intake import Intake, IntakeOptions
from gateway.flows.places import Places
from gateway.flows.planner import Planner
from gateway.flows.relay import Relay
from gateway.flows.settle import Settler
from gateway.flows.stops import Stops
from gateway.flows.wake import Bell
from gateway.policies import load_atlas, load_offers, load_policy
from gateway.store.scripted import Conduct
from gateway.store.sqlite import MEMORY, SqliteStore
from gateway.telemetry import Metrics
from support.events import ZONES, encoded
from support.sends import NOW
from support.stage import DATA, SITE
from support.waiting import until

CLAIM_FOR = timedelta(seconds=90)
DOUBT_WAIT = timedelta(minutes=15)
GROUP = "gateway"
URL = "https://links.example"


class ScriptedChannel:
    """A provider that does what a test says: `answers` per address, in order; then it takes all.

    `may_begin` holds calls before their first byte, `may_answer` after it.
    """

    name = "scripted"

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.calls: list[Message] = []
        self.answers: dict[str, list[Outcome]] = {}
        self.waiting = 0
        self.may_begin, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_begin.set()
        self.may_answer.set()

    async def send(self, message: Message) -> Outcome:
        self.waiting += 1
        await self.may_begin.wait()
        self.waiting -= 1
        if not message.may_start():
            return Withheld()
        self.calls.append(message)
        await self.may_answer.wait()
        waiting = self.answers.get(_address(message))
        return waiting.pop(0) if waiting else Accepted(f"id-{message.attempt_id}")

    async def aclose(self) -> None:
        """Nothing is open."""

    def addresses(self) -> list[str]:
        """Who was written to, in order."""
        return [_address(message) for message in self.calls]


def _address(message: Message) -> str:
    return message.to.token if isinstance(message.to, PushTarget) else message.to


class Wire:
    """Stands between the flows and their parts: it can stop, hold or fail any step.

    A step is a call, before or after it was carried out: `store.settle before`.
    """

    def __init__(self, stop_at: str = "") -> None:
        self._stop_at = stop_at
        self.stopped = asyncio.Event()
        self.holds: dict[str, asyncio.Event] = {}
        self.faults: dict[str, Exception] = {}
        self.passed: list[str] = []

    async def at(self, step: str) -> None:
        """Pass a step, or never come back from it."""
        if self.stopped.is_set() or step == self._stop_at:
            self.stopped.set()
            await asyncio.Event().wait()
        self.passed.append(step)
        if step in self.holds:
            await self.holds[step].wait()
        if step in self.faults:
            raise self.faults[step]


class Wired:
    """A part behind a wire; what is no coroutine passes freely."""

    def __init__(self, name: str, part: Any, wire: Wire) -> None:
        self._name = name
        self._part = part
        self._wire = wire

    async def __aenter__(self) -> Self:
        await self._part.__aenter__()
        return self

    async def __aexit__(self, *fault: object) -> None:
        await self._part.__aexit__(*fault)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **named: Any) -> Any:
            await self._wire.at(f"{self._name}.{name} before")
            answer = await found(*arguments, **named)
            await self._wire.at(f"{self._name}.{name} after")
            return answer

        return call


@dataclass(frozen=True, slots=True)
class Process:
    """What a test may touch of a running process."""

    store: SqliteStore
    engage: Engage
    lanes: Mapping[str, Lane]
    metrics: Metrics

    async def story(self, send_id: str) -> Mapping[str, Any]:
        """The decision record of a send."""
        found = await self.store.story(send_id)
        assert found is not None, "no such send"
        return found


class World:
    """Everything outside a process: time, Kafka, the store's file, providers."""

    def __init__(self, catalog: Catalog, *, store: str = MEMORY, concurrency: int = 8) -> None:
        self.clock = ManualClock(NOW)
        self.bus = MemoryBus({"sends": 2, "engagement": 2, "dlq": 1}, self.clock)
        self.channels = {kind.value: ScriptedChannel(kind) for kind in Kind}
        self._catalog = catalog
        self._store = store
        self._concurrency = concurrency

    # --- upstream and downstream ------------------------------------------------------------

    async def ask(self, *wholes: dict[str, Any]) -> None:
        """Publish requests."""
        async with self.bus.sink() as sink:
            await sink.publish(
                [
                    Outgoing("sends", whole["data"]["recipient"]["id"].encode(), encoded(whole))
                    for whole in wholes
                ]
            )

    def facts(self, kind: str, **data: Any) -> list[dict[str, Any]]:
        """Facts of a type that are on the bus, repeats left out."""
        found = [json.loads(record.value or b"") for record in self.bus.records("engagement")]
        return list(
            {
                fact["id"]: fact
                for fact in found
                if fact["type"] == f"winback.{kind}.v1"
                and all(fact["data"][name] == value for name, value in data.items())
            }.values()
        )

    # --- time -------------------------------------------------------------------------------

    async def until(self, is_so: Callable[[], object], what: str) -> None:
        """Let the flows work, without letting time pass, until something is so."""
        await until(is_so, within_s=10, what=what)

    async def settle_down(self) -> None:
        """Let the flows do all they can at this moment: each polls at least twice a second."""
        await asyncio.sleep(0.7)

    async def later(self, seconds: float) -> None:
        """Let time pass, and the flows notice it."""
        await self.clock.advance(seconds)
        await self.settle_down()
        await self.clock.advance(1.1)  # one more tick of the clockwork at the new time
        await self.settle_down()

    # --- a process --------------------------------------------------------------------------

    @asynccontextmanager
    async def process(self, wire: Wire | None = None) -> AsyncIterator[Process]:
        """A process that runs until it is left, and then stops dead."""
        wire = wire or Wire()
        before = asyncio.all_tasks()
        async with AsyncExitStack() as stack:
            store = SqliteStore(self._store, clock=self.clock, conduct=Conduct(DOUBT_WAIT))
            await stack.enter_async_context(store)
            source = Wired("source", self.bus.source(["sends"], GROUP), wire)
            made, flows = self._flows(store, source, wire)
            for name, flow in flows.items():
                task = asyncio.create_task(flow, name=name)
                task.add_done_callback(_say_fault)
            try:
                yield made
            finally:
                left = asyncio.all_tasks() - before
                for task in left:
                    task.cancel()
                await asyncio.gather(*left, return_exceptions=True)

    def _flows(self, store: SqliteStore, source: Any, wire: Wire) -> tuple[Process, Any]:
        clock, metrics, bell, stops = self.clock, Metrics(), Bell(), Stops(self.clock)
        wired: Any = Wired("store", store, wire)
        room = Bell()
        tokens, drafts = Tokens(["a-secret-for-tests"], URL), Drafts()
        settler = Settler(store=wired, clock=clock, metrics=metrics, outbox_bell=bell)
        shared = LaneParts(
            store=wired,
            links=wired,
            catalog=self._catalog,
            tokens=tokens,
            drafts=drafts,
            stops=stops,
            settler=settler,
            clock=clock,
            metrics=metrics,
            room_bell=room,
            draw=lambda: 0.5,
        )
        lanes = {name: self._lane(name, shared, wire) for name in self.channels}
        common: dict[str, Any] = {"store": wired, "clock": clock, "metrics": metrics}
        secret, zones = store.secret, ZONES
        engage = Engage(
            **common, secret=secret, zones=zones, stops=stops, outbox_bell=bell, public_url=URL
        )
        planner = Planner(
            catalog=self._catalog,
            secret=secret,
            clock=clock,
            metrics=metrics,
            atlas=load_atlas(),
            offers=load_offers(),
            tokens=tokens,
            drafts=drafts,
        )
        changes = Changes(
            **common,
            engage=engage,
            places=Places(wired, zones=zones),
            stops=stops,
            policy=load_policy(None).geo,
            bells=[bell],
        )
        intake = Intake(
            IntakeOptions({"sends": SENDS}, zones, CLAIM_FOR),
            **common,
            planner=planner,
            changes=changes,
            lanes=lanes,
            outbox_bell=bell,
            room_bell=room,
        )
        sink: Any = Wired("sink", self.bus.sink(), wire)
        topics = {"engagement": "engagement", "dlq": "dlq"}
        relay = Relay(**common, sink=sink, topics=topics, bell=bell)
        bells: Sequence[Bell] = [*(lane.bell for lane in lanes.values()), bell]
        clockwork = Clockwork(**common, bells=bells, keep_for=timedelta(days=180))
        flows = {
            "settler": settler.run(),
            "relay": relay.run(),
            "engage": engage.run(),
            "clockwork": clockwork.run(),
            "intake": intake.run(source),
            **{f"lane-{name}": lane.run() for name, lane in lanes.items()},
        }
        return Process(store, engage, lanes, metrics), flows

    def _lane(self, name: str, shared: LaneParts, wire: Wire) -> Lane:
        channel: Any = Wired("channel", self.channels[name], wire)
        options = LaneOptions(name, self._concurrency, 0, CLAIM_FOR, 20.0)
        return Lane(options, {"": channel}, shared)


def _say_fault(task: asyncio.Task[None]) -> None:
    """A flow that breaks is a fault of the test, and must be seen."""
    if not task.cancelled() and task.exception() is not None:
        task.get_loop().call_exception_handler(
            {"message": f"{task.get_name()} broke", "exception": task.exception()}
        )


def catalog_for_tests() -> Catalog:
    """The templates of tests, compiled."""
    folder: Path = DATA / "templates"
    return load_catalog(folder, Brand("Example Coffee", SITE, "1 Example Street"))
