"""Who runs, who watches, and in which order all of it ends.

Start: intake last. End: no new work, drain lanes to a deadline, settle, publish, close.
A flow that ends by a fault takes the process down with it: Kubernetes starts a sound one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from gateway.bus.contract import Source
from gateway.clock import Clock
from gateway.errors import GatewayError, StoreUnavailable
from gateway.flows.clockwork import Clockwork
from gateway.flows.contract import Report
from gateway.flows.dispatch import Lane
from gateway.flows.engage import Engage
from gateway.flows.intake import Intake
from gateway.flows.places import Watch
from gateway.flows.relay import Relay
from gateway.flows.settle import Settler
from gateway.telemetry import Metrics

log = structlog.get_logger()

LOOP_LAG_MAX_S = 5.0
WATCH_EVERY_S = 0.5
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Crew:
    """All flows of a process, ready to run. `source` is None where nothing is consumed."""

    intake: Intake
    lanes: Mapping[str, Lane]
    settler: Settler
    relay: Relay
    engage: Engage
    clockwork: Clockwork
    watch: Watch
    source: Source | None


@dataclass(slots=True)
class _Watch:
    started: bool = False
    draining: bool = False
    faulty: str = ""
    beat_s: float = 0.0
    flows: dict[str, asyncio.Task[None]] = field(default_factory=dict)


class Supervisor:
    """Runs a crew until it is told to stop or a flow breaks."""

    def __init__(self, crew: Crew, *, clock: Clock, metrics: Metrics, drain_s: float) -> None:
        self._crew = crew
        self._clock = clock
        self._metrics = metrics
        self._drain_s = drain_s
        self._watch = _Watch()
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Begin to end: from now on not ready."""
        self._watch.draining = True
        if self._crew.source is not None:
            self._crew.source.stop()
        self._stop.set()

    async def run(self, **about: object) -> None:
        """Run all flows; return after a clean end, raise what broke. `about` is for the log."""
        crew = self._crew
        flows: dict[str, Callable[[], Awaitable[None]]] = {
            "pulse": self._beat,
            "settler": crew.settler.run,
            "relay": crew.relay.run,
            "engage": crew.engage.run,
            "clockwork": crew.clockwork.run,
            "watch": self._look,
            **{f"lane-{name}": lane.run for name, lane in crew.lanes.items()},
        }
        if crew.source is not None:
            source = crew.source
            flows["intake"] = lambda: crew.intake.run(source)
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        self._watch.flows = {
            name: asyncio.create_task(self._flow(name, run), name=name)
            for name, run in flows.items()
        }
        self._watch.started = True
        log.info("gateway.started", **about)
        try:
            await asyncio.wait([stopping, *self._endless()], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.stop()
            await self._end()
            stopping.cancel()
        log.info("gateway.ended", broken=self._watch.faulty)
        if self._watch.faulty:
            raise GatewayError(self._watch.faulty)

    def _endless(self) -> Sequence[asyncio.Task[None]]:
        return list(self._watch.flows.values())

    async def _flow(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
            if not self._watch.draining:
                self._watch.faulty = f"{name}: ended by itself"
        except Exception as fault:
            log.exception("supervisor.flow_broke", flow=name)
            self._watch.faulty = f"{name}: {type(fault).__name__}: {fault}"

    async def _end(self) -> None:
        """Stop intake, drain lanes, settle, publish; each within what is left of the time."""
        crew, flows = self._crew, self._watch.flows
        deadline_s = self._clock.monotonic() + self._drain_s
        if (intake := flows.get("intake")) is not None:
            await asyncio.wait([intake], timeout=self._left(deadline_s))
        await asyncio.gather(*(lane.drain(self._left(deadline_s)) for lane in crew.lanes.values()))
        await self._last("settle", crew.settler.flush, deadline_s)
        await self._last("engage", crew.engage.flush, deadline_s)
        await _ended(flows["relay"])  # two that publish would tell some facts twice
        await self._last("publish", crew.relay.flush, deadline_s)
        for task in flows.values():
            task.cancel()
        await asyncio.gather(*flows.values(), return_exceptions=True)

    async def _last(self, what: str, work: Callable[[], Awaitable[None]], until_s: float) -> None:
        try:
            async with asyncio.timeout(max(1.0, self._left(until_s))):
                await work()
        except (TimeoutError, GatewayError) as late:
            log.warning("supervisor.left_for_next_start", what=what, kind=type(late).__name__)

    def _left(self, deadline_s: float) -> float:
        return max(0.1, deadline_s - self._clock.monotonic())

    async def _beat(self) -> None:
        """The loop's own pulse, and how far the source is behind."""
        while True:
            self._watch.beat_s = self._clock.monotonic()
            if self._crew.source is not None:
                for (topic, partition), lag in self._crew.source.lag().items():
                    self._metrics.lag.labels(topic, str(partition)).set(lag)
            await self._clock.sleep(WATCH_EVERY_S)

    async def _look(self) -> None:
        """Switches and fences that another process changed."""
        while True:
            try:
                await self._crew.watch.refresh()
            except StoreUnavailable as away:
                log.warning("watch.store_unavailable", what=str(away))
            await self._clock.sleep(LOOK_EVERY_S)

    # --- health -----------------------------------------------------------------------------

    def live(self) -> Report:
        """Broken only when a restart would help: a flow broke, or the loop is stuck."""
        lag_s = self._clock.monotonic() - self._watch.beat_s if self._watch.beat_s else 0.0
        is_well = not self._watch.faulty and lag_s < LOOP_LAG_MAX_S
        return Report(is_well, {"loop_lag_s": round(lag_s, 3), "broken": self._watch.faulty})

    def ready(self) -> Report:
        """Ready to take requests and a no: the store answers and we are not ending."""
        watch, crew = self._watch, self._crew
        is_ready = watch.started and not watch.draining and crew.clockwork.store_is_up
        details = {
            "draining": watch.draining,
            "store": "up" if crew.clockwork.store_is_up else "down",
            "lanes": {name: lane.health() for name, lane in crew.lanes.items()},
        }
        return Report(is_ready, details)

    def started(self) -> Report:
        """Settings, migrations and templates were in order, and all flows run."""
        return Report(self._watch.started, {})

    def metrics(self) -> bytes:
        """Everything measured, as Prometheus text."""
        return self._metrics.text()


async def _ended(flow: asyncio.Task[None]) -> None:
    flow.cancel()
    await asyncio.wait([flow])
