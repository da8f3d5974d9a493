"""`winback demo`: the main path of the gateway, live, on a machine with nothing but Python.

Invariant: it goes the way that production goes (topic, store, lanes, topic), only the broker and
the providers are inside this process; with `is_once` it ends well only when every request has.
This file knows the order of things and no part's inside.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway import __version__ as version
from gateway import app_demo, app_run, demo_people
from gateway.app_demo import Stage
from gateway.clock import Clock, ShiftedClock, SystemClock
from gateway.demo_campaign import Run
from gateway.demo_people import HOME
from gateway.demo_play import Play
from gateway.settings import Settings
from gateway.telemetry import log_to_stderr
from gateway.terminal_demo import Screen

MORNING = 10


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
    # The real time names the run, for a shifted clock says the same at every start.
    name = f"{SystemClock().now():%Y%m%dT%H%M%S}"
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="winback-demo-")))
        bootstrap = await stack.enter_async_context(app_demo.broker(settings))
        placed = app_demo.settings_for_demo(settings, bootstrap=bootstrap, folder=folder)
        path = placed.store.url.path
        is_new = path is not None and path.parent == folder
        run = Run(name, clock.now(), is_once=is_once, tag="" if is_new else f"-{name}")
        staged = app_demo.staged(placed, clock, demo_people.names(), campaign=run.campaign)
        stage = await stack.enter_async_context(staged)
        screen.opened(placed, wanted_port=settings.http.port)
        screen.shifted(clock.now().astimezone(HOME))
        await _run(stage, Play(stage, screen, clock, run), stop)
    screen.ended()


def daytime(clock: Clock) -> Clock:
    """A clock on which it is ten in the morning where the demo's people live, on the same day.

    So quiet hours hold nothing back, whenever and wherever somebody looks.
    """
    now = clock.now()
    morning = now.astimezone(HOME).replace(hour=MORNING, minute=0, second=0, microsecond=0)
    # In UTC: two times of one zone are subtracted as clocks on a wall, which may have been changed.
    return ShiftedClock(morning.astimezone(UTC) - now)


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
