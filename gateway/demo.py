"""`winback demo`: the main path of the gateway, live, on a machine with nothing but Python.

Invariant: it goes the way that production goes (topic, store, lanes, topic), only the broker and
the providers are inside this process; with `is_once` it ends well only when every request has.
This file knows the order of things and no part's inside.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from gateway import __version__ as version
from gateway import app_demo, app_run, demo_people
from gateway.app_demo import Stage
from gateway.clock import Clock, ShiftedClock, SystemClock
from gateway.demo_people import Asked
from gateway.demo_tally import Tally, tally
from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.telemetry import log_to_stderr
from gateway.terminal_demo import Screen

ENDS_WITHIN_S = 60.0
QUIET_S = 1.5
DAY = range(9, 20)
MORNING = 10
HOME = ZoneInfo("Europe/Copenhagen")


async def show(settings: Settings, *, is_once: bool) -> None:
    """Run the demo until Ctrl-C or SIGTERM, with `is_once` until all requests have ended.

    Raises GatewayError when they have not within 60 seconds.
    """
    # Between the lines of a demo, only what is wrong is worth a line.
    level = "warning" if settings.log.level == "info" else settings.log.level
    log_to_stderr(level, is_json=False)
    screen, stop = Screen(), asyncio.Event()
    app_run.end_on_signal(stop.set)
    clock = daytime(SystemClock())
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="winback-demo-"))
        bootstrap = await stack.enter_async_context(app_demo.broker(settings))
        placed = app_demo.settings_for_demo(settings, bootstrap=bootstrap, folder=Path(folder))
        staged = app_demo.staged(placed, clock, demo_people.names())
        stage = await stack.enter_async_context(staged)
        screen.opened(placed, wanted_port=settings.http.port)
        if isinstance(clock, ShiftedClock):
            screen.shifted(clock.now().astimezone(HOME))
        # The real time, for a shifted clock says the same at every start.
        run = f"{SystemClock().now():%Y%m%dT%H%M%S}"
        await _run(stage, Play(stage, screen, clock, run=run, is_once=is_once), stop)
    screen.ended()


def daytime(clock: Clock) -> Clock:
    """The clock itself by day in Copenhagen; else one on which it is ten in the morning.

    So that quiet hours hold nothing back while somebody watches.
    """
    local = clock.now().astimezone(HOME)
    if local.hour in DAY:
        return clock
    morning = local.replace(hour=MORNING, minute=0, second=0, microsecond=0)
    return ShiftedClock(morning - local)


async def _run(stage: Stage, play: Play, stop: asyncio.Event) -> None:
    """All at once, until the play is over, somebody stops it, or a part breaks."""
    supervisor, port = stage.gateway.supervisor, stage.gateway.server.port
    running = asyncio.create_task(
        supervisor.run(role="demo", port=port, version=version), name="demo-gateway"
    )
    listening = asyncio.create_task(stage.listen(), name="demo-stream")
    playing = asyncio.create_task(play.run(), name="demo-play")
    stopping = asyncio.create_task(stop.wait(), name="demo-stop")
    parts = {running, listening, playing, stopping}
    await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    stage.stop()
    for task in (playing, stopping):
        if not task.done():
            task.cancel()
    ended = await asyncio.gather(*parts, return_exceptions=True)
    for fault in ended:
        if isinstance(fault, Exception):
            raise fault


class Play:
    """What happens on the stage: a campaign goes in, and what becomes of it is shown."""

    def __init__(
        self,
        stage: Stage,
        screen: Screen,
        clock: Clock,
        *,
        run: str,
        is_once: bool,
        ends_within_s: float = ENDS_WITHIN_S,
    ) -> None:
        self._stage = stage
        self._screen = screen
        self._clock = clock
        self._run = run
        self._is_once = is_once
        self._ends_within_s = ends_within_s

    async def run(self) -> None:
        """Publish, watch, sum up; then tell what people do until the stream is closed."""
        now = self._clock.now()
        asked = demo_people.campaign(now=now, run=self._run, is_once=self._is_once)
        await self._opt_out()
        await self._stage.publish(asked)
        self._screen.published(len(asked), len(demo_people.PEOPLE))
        state = await self._watch(asked)
        last_at = max((fact.at for fact in self._stage.stream.recent()), default=now)
        self._screen.summary(state, took_s=(last_at - now).total_seconds())
        self._screen.repeated(self._sent_to_the_one_asked_twice(asked))
        if not self._is_once:
            settings = self._stage.gateway.settings
            self._screen.next_steps(settings, json.dumps(demo_people.own_event()))
            await self._narrate()

    async def _opt_out(self) -> None:
        """One of them has said no before."""
        change = {
            "channel": "email",
            "state": "revoked",
            "source": "demo",
            "occurred_at": self._clock.now().isoformat(),
        }
        await self._stage.gateway.engage.change(demo_people.OPTED_OUT, json.dumps(change).encode())

    async def _watch(self, asked: Sequence[Asked]) -> Tally:
        """How all requests ended; what only waits for its next attempt is not waited for."""
        with self._screen.progress(len(asked)) as advance:
            try:
                async with asyncio.timeout(self._ends_within_s):
                    return await self._until_ended(asked, advance)
            except TimeoutError:
                state = tally(asked, self._stage.stream.recent())
        late = ", ".join(sorted({one.key for one in state.waiting}))
        raise GatewayError(f"after {self._ends_within_s:g} s requests have not ended: {late}")

    async def _until_ended(self, asked: Sequence[Asked], advance: Callable[[int], None]) -> Tally:
        stream = self._stage.stream
        while True:
            told = stream.recent()
            state = tally(asked, told)
            advance(state.ended)
            if not state.waiting or stream.closed:
                return state
            more = stream.wait(told[-1].number if told else 0)
            try:
                await asyncio.wait_for(more, None if self._is_once else QUIET_S)
            except TimeoutError:
                if state.ended:
                    return state

    def _sent_to_the_one_asked_twice(self, asked: Sequence[Asked]) -> int:
        twice = next(one.request_id for one in asked if one.key == demo_people.TWICE)
        told = self._stage.stream.recent()
        return sum(one.type == "message.sent" and one.request_id == twice for one in told)

    async def _narrate(self) -> None:
        """A line for each fact from now on."""
        stream, names = self._stage.stream, demo_people.names()
        told = stream.recent()
        last = told[-1].number if told else 0
        while not stream.closed:
            for fact in stream.recent(last):
                last = fact.number
                self._screen.told(fact, names.get(fact.recipient_id, fact.recipient_id))
            await stream.wait(last)
