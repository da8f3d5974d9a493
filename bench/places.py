"""Where things run: what is measured alone on one core, all that serves it on another.

Invariant: threads and children inherit the core that was chosen when they were started, so nothing
is moved after it has begun.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from bench.figures import Rate

ROOT = Path(__file__).resolve().parents[1]
CHILD_TIMEOUT_S = 180.0
_TOLD_BYTES = 4000


class MeasurementError(Exception):
    """A run that does not count, and why."""


class Stopwatch:
    """Wall and processor time from `start` to `stop`."""

    def __init__(self) -> None:
        self.is_running = False
        self._wall_s = self._cpu_s = 0.0

    def start(self) -> None:
        """Begin, unless begun."""
        if not self.is_running:
            self.is_running = True
            self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def stop(self, count: int) -> Rate:
        """What was done since the start."""
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        return Rate(count, wall_s - self._wall_s, cpu_s - self._cpu_s)


def measured_core() -> int | None:
    """The core of what is measured; None on a machine that cannot keep things apart."""
    return _core(0)


def serving_core() -> int | None:
    """The core of broker, sink and everything else."""
    return _core(1)


def _core(place: int) -> int | None:
    if not hasattr(os, "sched_setaffinity"):
        return None
    cores = sorted(_ALL)
    return cores[place] if len(cores) > 1 else None


# Read at import, before anything is pinned.
_ALL = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset()


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started in here runs on that core for as long as it lives."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def measured(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Run a measurement of `bench.child` alone in a fresh process, and give back what it found."""
    with TemporaryFile() as said:
        with on_core(measured_core()):
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench.child", name,
                cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=said,
            )  # fmt: skip
        try:
            async with asyncio.timeout(CHILD_TIMEOUT_S):
                out, _ = await child.communicate(json.dumps(arguments).encode())
        except TimeoutError:
            child.kill()
            await child.wait()
            out = b""
        if child.returncode != 0:
            raise MeasurementError(f"{name} ended with {child.returncode}:\n{_tail(said)}")
    found: dict[str, Any] = json.loads(out)
    return found


def _tail(said: Any) -> str:
    said.seek(0)
    return str(said.read()[-_TOLD_BYTES:].decode(errors="replace"))


def rate_of(found: Mapping[str, Any]) -> Rate:
    """A rate as a child told it."""
    return Rate(found["count"], found["seconds"], found["cpu_s"])
