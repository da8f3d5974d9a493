"""The composition root: the only file that builds objects, from settings to a running gateway.

It reads top to bottom: store, catalog, providers, flows, web. It decides nothing else.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from channels.contract import Kind, Reading, Receipt
from channels.http import Transport
from channels.http_lean import LeanTransport
from channels.sandbox import SandboxChannel
from gateway.app_parts import (
    CLAIM_FOR,
    catalog_of,
    conduct_of,
    kafka_options,
    lane_options,
    store_of,
    tokens_of,
    topics_of,
    types_of,
    web_options,
    zones,
)
from gateway.app_providers import Providers, inboxes_of, providers_of, webhooks_of
from gateway.bus.contract import Sink, Source
from gateway.bus.kafka import KafkaSink, KafkaSource
from gateway.catalog import Catalog
from gateway.clock import Clock, SystemClock
from gateway.core.offers import OfferTable
from gateway.core.places import Atlas
from gateway.core.policy import Policy
from gateway.core.tokens import Tokens
from gateway.flows.attempt import LaneParts
from gateway.flows.changes import Changes
from gateway.flows.clockwork import Clockwork
from gateway.flows.desk import Desk
from gateway.flows.dispatch import Lane
from gateway.flows.drafts import Drafts
from gateway.flows.engage import Engage
from gateway.flows.intake import Intake, IntakeOptions
from gateway.flows.overview import Overview
from gateway.flows.places import Places, Watch
from gateway.flows.planner import Planner
from gateway.flows.relay import Relay
from gateway.flows.settle import Settler
from gateway.flows.stops import Stops
from gateway.flows.supervisor import Crew, Supervisor
from gateway.flows.wake import Bell
from gateway.policies import fences_of, load_atlas, load_offers, load_policy
from gateway.settings import Settings
from gateway.store.contract import Store
from gateway.store.sqlite import SqliteStore
from gateway.telemetry import Metrics
from gateway.web.ports import Ports
from gateway.web.server import Server, build

RECEIPT_AFTER_S = 0.2


@dataclass(slots=True)
class Gateway:
    """A running gateway: what commands and the demo need of it."""

    settings: Settings
    store: Store
    catalog: Catalog
    supervisor: Supervisor
    server: Server
    engage: Engage
    intake: Intake
    desk: Desk
    watch: Watch
    inboxes: Mapping[Kind, SandboxChannel] = field(default_factory=dict)

    def stop(self) -> None:
        """Begin to end."""
        self.server.drain()
        self.supervisor.stop()


@dataclass(frozen=True, slots=True)
class Extra:
    """What the demo adds to a gateway: how its broker waits, its clock, more routes."""

    fetch_wait_ms: int = 500
    routes: Callable[[Gateway], Iterable[Any]] | None = None


@asynccontextmanager
async def running(
    settings: Settings, *, clock: Clock | None = None, extra: Extra | None = None
) -> AsyncIterator[Gateway]:
    """A gateway with everything open, not yet running: `supervisor.run()` is the caller's."""
    clock, extra = clock or SystemClock(), extra or Extra()
    catalog, policy, atlas = catalog_of(settings), load_policy(settings.policy.file), load_atlas()
    fences = fences_of(settings)
    conduct = conduct_of(settings, policy, atlas)
    options = kafka_options(settings, fetch_wait_ms=extra.fetch_wait_ms)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(store_of(settings, clock=clock, conduct=conduct))
        transport = LeanTransport()
        stack.push_async_callback(transport.aclose)
        sink = await stack.enter_async_context(KafkaSink(options, clock))
        source = KafkaSource(options, clock)
        world = _World(policy, atlas, load_offers())
        parts = _Parts(settings, store, catalog, clock, transport, source, sink, world)
        gateway = _assemble(parts, extra)
        for fence in fences:
            await gateway.desk.keep_fence(fence)
        await gateway.watch.refresh()
        await stack.enter_async_context(gateway.server)
        _spare_the_collector()
        yield gateway


def _spare_the_collector() -> None:
    """What start-up made lives as long as the process: the collector need not look at it again.

    A batch makes thousands of values that go by themselves; looking for cycles less often is a
    tenth of the processor time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


# --- flows and web --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _World:
    """What is read once at start: policy, zones, which offer follows which reason."""

    policy: Policy
    atlas: Atlas
    offers: OfferTable


@dataclass(frozen=True, slots=True)
class _Parts:
    """What flows and web are made of."""

    settings: Settings
    store: SqliteStore
    catalog: Catalog
    clock: Clock
    transport: Transport
    source: Source
    sink: Sink
    world: _World
    metrics: Metrics = field(default_factory=Metrics)
    outbox_bell: Bell = field(default_factory=Bell)
    room_bell: Bell = field(default_factory=Bell)
    drafts: Drafts = field(default_factory=Drafts)


def _assemble(parts: _Parts, extra: Extra) -> Gateway:
    settings, clock, store = parts.settings, parts.clock, parts.store
    stops, tokens, places = Stops(clock), tokens_of(settings), Places(store, zones=zones())
    engage = _engage(parts, stops)
    providers = providers_of(settings, parts.transport, clock, _Later(engage, clock))
    lanes = _lanes(parts, providers, stops=stops, tokens=tokens)
    bells = [*(lane.bell for lane in lanes.values()), parts.outbox_bell]
    desk = Desk(
        store=store,
        places=places,
        stops=stops,
        clock=clock,
        bells=bells,
        catalog=parts.catalog,
        drafts=parts.drafts,
        zones=zones(),
    )
    watch = Watch(places=places, desk=desk)
    changes = Changes(
        store=store,
        engage=engage,
        places=places,
        stops=stops,
        clock=clock,
        metrics=parts.metrics,
        policy=parts.world.policy.geo,
        bells=bells,
    )
    crew = _crew(parts, lanes, engage=engage, changes=changes, watch=watch)
    supervisor = Supervisor(
        crew, clock=clock, metrics=parts.metrics, drain_s=settings.shutdown.drain_s
    )
    ports = Ports(
        engage=engage,
        intake=crew.intake,
        stories=store,
        consent=engage,
        desk=desk,
        overview=Overview(store=store, clock=clock),
        health=supervisor,
        tokens=tokens,
        clock=clock,
        webhooks=webhooks_of(settings),
    )
    web = build(ports, web_options(settings))
    gateway = Gateway(
        settings=settings,
        store=store,
        catalog=parts.catalog,
        supervisor=supervisor,
        server=Server(web, host=settings.http.host, port=settings.http.port),
        engage=engage,
        intake=crew.intake,
        desk=desk,
        watch=watch,
        inboxes=inboxes_of(providers),
    )
    if extra.routes is not None:
        web.add_routes(extra.routes(gateway))
    return gateway


def _engage(parts: _Parts, stops: Stops) -> Engage:
    return Engage(
        store=parts.store,
        secret=parts.store.secret,
        stops=stops,
        clock=parts.clock,
        metrics=parts.metrics,
        outbox_bell=parts.outbox_bell,
        public_url=parts.settings.http.public_url,
        zones=zones(),
    )


def _lanes(
    parts: _Parts, providers: Providers, *, stops: Stops, tokens: Tokens
) -> Mapping[str, Lane]:
    shared = LaneParts(
        store=parts.store,
        links=parts.store,
        catalog=parts.catalog,
        tokens=tokens,
        drafts=parts.drafts,
        stops=stops,
        settler=Settler(
            store=parts.store,
            clock=parts.clock,
            metrics=parts.metrics,
            outbox_bell=parts.outbox_bell,
        ),
        clock=parts.clock,
        metrics=parts.metrics,
        room_bell=parts.room_bell,
    )
    return {
        kind.value: Lane(lane_options(parts.settings, kind), providers[kind], shared)
        for kind in Kind
    }


def _crew(
    parts: _Parts,
    lanes: Mapping[str, Lane],
    *,
    engage: Engage,
    changes: Changes,
    watch: Watch,
) -> Crew:
    store, clock, metrics, bell = parts.store, parts.clock, parts.metrics, parts.outbox_bell
    return Crew(
        intake=_intake(parts, lanes, changes),
        lanes=lanes,
        settler=next(iter(lanes.values())).settler,
        relay=Relay(
            store=store,
            sink=parts.sink,
            topics=topics_of(parts.settings),
            clock=clock,
            metrics=metrics,
            bell=bell,
        ),
        engage=engage,
        clockwork=Clockwork(
            store=store,
            clock=clock,
            metrics=metrics,
            bells=[*(lane.bell for lane in lanes.values()), bell],
            keep_for=timedelta(days=parts.settings.retention.days),
        ),
        watch=watch,
        source=parts.source,
    )


def _intake(parts: _Parts, lanes: Mapping[str, Lane], changes: Changes) -> Intake:
    planner = Planner(
        catalog=parts.catalog,
        secret=parts.store.secret,
        clock=parts.clock,
        metrics=parts.metrics,
        atlas=parts.world.atlas,
        offers=parts.world.offers,
        tokens=tokens_of(parts.settings),
        drafts=parts.drafts,
    )
    return Intake(
        IntakeOptions(types_of(parts.settings), zones(), CLAIM_FOR),
        store=parts.store,
        planner=planner,
        changes=changes,
        lanes=lanes,
        clock=parts.clock,
        metrics=parts.metrics,
        outbox_bell=parts.outbox_bell,
        room_bell=parts.room_bell,
    )


class _Later:
    """Hands the sandbox's receipts to the engage flow, as a webhook would: a little later."""

    def __init__(self, engage: Engage, clock: Clock) -> None:
        self._engage = engage
        self._clock = clock
        self._under_way: set[asyncio.Task[None]] = set()

    def __call__(self, receipt: Receipt) -> None:
        task = asyncio.get_running_loop().create_task(self._tell(receipt), name="sandbox-receipt")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _tell(self, receipt: Receipt) -> None:
        await self._clock.sleep(RECEIPT_AFTER_S)
        await self._engage.receive(Reading(receipts=(receipt,)))
