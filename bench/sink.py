"""The provider's stand-in: takes every POST and counts it.

It is a small C program, compiled when it is needed, because one in Python would be slower than
what is measured. Where there is no C compiler, a Python one takes its place and says so.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.places import ROOT, MeasurementError, on_core, serving_core

SOURCE = Path(__file__).with_name("sink.c")
_END_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Sink:
    """A running sink."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def taken(self) -> tuple[int, int]:
        """POSTs and bytes of their bodies, since it started."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /count HTTP/1.1\r\nhost: sink\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        posts, body_bytes = (await reader.readexactly(length)).split()
        writer.close()
        await writer.wait_closed()
        return int(posts), int(body_bytes)


@asynccontextmanager
async def running_sink() -> AsyncIterator[Sink]:
    """A sink on a free loopback port, on the serving core."""
    with TemporaryDirectory(prefix="bench-sink-") as folder:
        command = await _compiled(Path(folder) / "sink")
        with on_core(serving_core()):
            child = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
        try:
            yield Sink(await _port(child))
        finally:
            await _end(child)


async def _compiled(target: Path) -> Sequence[str]:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or sys.platform != "linux":
        print("warning: no C compiler: the sink is Python, and fast figures are its own")
        return (sys.executable, "-m", "bench.plain_sink")
    child = await asyncio.create_subprocess_exec(
        compiler, "-O2", "-D_GNU_SOURCE", "-o", str(target), str(SOURCE)
    )
    if await child.wait() != 0:
        raise MeasurementError("the sink does not compile")
    return (str(target),)


async def _port(child: asyncio.subprocess.Process) -> int:
    assert child.stdout is not None
    line = await child.stdout.readline()
    if not line:
        raise MeasurementError("the sink did not start")
    return int(line)


async def _end(child: asyncio.subprocess.Process) -> None:
    assert child.stdin is not None
    child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), _END_TIMEOUT_S)
    except TimeoutError:
        child.kill()
        await child.wait()
