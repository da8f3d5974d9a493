"""Prism, a mock server that checks requests against an OpenAPI document.

Invariant: it binds to 127.0.0.1 only, and the process that was started here is ended here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

START_S_MAX = 30.0


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@asynccontextmanager
async def serving(prism: Path, document: Path) -> AsyncIterator[str]:
    """Run prism over a document; yields its base URL once it listens."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(str(prism), "mock", "-v", "info", "-h", "127.0.0.1", "-p", str(port), str(document)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    drain = asyncio.create_task(_drain(process.stdout), name="prism output")
    try:
        async with asyncio.timeout(START_S_MAX):
            while not await _listens(port):
                assert process.returncode is None, "prism ended before it listened"
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await drain


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(1 << 16):
        pass
