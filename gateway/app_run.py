"""The long-running process: start, run until told to end, end clean."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from gateway import __version__, app
from gateway.errors import SettingsError
from gateway.settings import Settings
from gateway.store import sqlite


async def serve(settings: Settings, role: str) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    async with app.running(settings) as gateway:
        end_on_signal(gateway.stop)
        await gateway.supervisor.run(role=role, port=gateway.server.port, version=__version__)


def end_on_signal(stop: Callable[[], None]) -> None:
    """The first SIGTERM or Ctrl-C begins the end; a second one ends at once."""
    loop = asyncio.get_running_loop()

    def first(number: int) -> None:
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, os._exit, 128 + number)
        stop()

    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, first, one)


def migrate(settings: Settings) -> str:
    """Bring the store to this version's schema; what was done, in a line."""
    path = settings.store.url.path
    if path is None:
        raise SettingsError("WINBACK_STORE__URL: PostgreSQL is not built in yet; use sqlite:///…")
    return f"{path}: schema {sqlite.migrate(str(path))}"
