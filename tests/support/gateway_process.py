"""The gateway as an operator runs it: `winback run` in a process of its own.

Invariant: it gets exactly the `WINBACK_*` settings it is given, its log is kept in a file, and it
is ended here by its process id; when a test fails, the end of its log is part of the report.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from support.waiting import until_told

START_WITHIN_S = 40.0
END_WITHIN_S = 30.0
LOG_TAIL_CHARS = 6000
KEY = "test-key-0001"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class GatewayProcess:
    """`async with GatewayProcess(folder, settings) as gateway:`; stopped when left.

    `settings` are without HTTP host and port, which are chosen here and stay over restarts.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder = folder
        self._log_file = folder / "gateway.log"
        self._process: asyncio.subprocess.Process | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = {
            "WINBACK_HTTP__HOST": "127.0.0.1",
            "WINBACK_HTTP__PORT": str(self.port),
            "WINBACK_HTTP__PUBLIC_URL": self.url,
            **settings,
        }
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15))
        try:
            await self.start()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.kill()
        if self._session is not None:
            await self._session.close()
        # What is printed is shown only when the test fails; a fixture is not told whether it did.
        self.show_log()

    # --- life -------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything it has logged so far, over restarts."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def show_log(self) -> None:
        """Print the end of the log into the report of the test."""
        sys.stdout.write(f"--- end of the gateway's log ---\n{self.log[-LOG_TAIL_CHARS:]}\n")

    async def start(self) -> None:
        """Start it and wait until it has started and is ready."""
        await self.launch()
        await until_told(self._is_up, within_s=START_WITHIN_S, what="the gateway is ready")

    async def launch(self) -> None:
        """Start it without waiting."""
        outside = {name: text for name, text in os.environ.items() if "WINBACK_" not in name}
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway",
                "run",
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**outside, **self._settings},
            )

    async def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> int:
        """SIGKILL, as the kernel does when memory is short."""
        self.signal(signal.SIGKILL)
        return await self.ended()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        assert self._process is not None, "not started"
        return await asyncio.wait_for(self._process.wait(), END_WITHIN_S)

    async def _is_up(self) -> bool:
        assert self._process is not None, "not started"
        if self._process.returncode is not None:
            raise AssertionError(f"the gateway ended with {self._process.returncode}")
        return [await self.probe("startupz"), await self.probe("readyz")] == [200, 200]

    # --- HTTP -------------------------------------------------------------------------------

    @property
    def session(self) -> aiohttp.ClientSession:
        """A client for what has no method here."""
        assert self._session is not None, "not entered"
        return self._session

    async def probe(self, name: str) -> int:
        """The status of a probe; 0 while nobody listens."""
        try:
            async with self.session.get(f"{self.url}/{name}") as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0

    async def get(self, path: str, **headers: str) -> tuple[int, bytes, Mapping[str, str]]:
        """A GET without following redirects, by path or by a link of this gateway."""
        return await self.ask("GET", path, headers=headers)

    async def ask(
        self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """One request: status, body and headers of its answer."""
        url = path if path.startswith(self.url) else f"{self.url}{path}"
        async with self.session.request(
            method, url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            return answer.status, await answer.read(), answer.headers

    async def api(self, method: str, path: str, value: Any = None) -> tuple[int, Any]:
        """A call of `/v1` with the key: status and JSON."""
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        body = None if value is None else json.dumps(value).encode()
        status, answer, _ = await self.ask(method, path, body=body, headers=headers)
        return status, json.loads(answer) if answer else None

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        _, text, _ = await self.get("/metrics")
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = [
            line
            for line in text.decode().splitlines()
            if line.startswith((f"{name}{{", f"{name} "))
        ]
        return sum(
            float(line.rpartition(" ")[2]) for line in lines if all(w in line for w in wanted)
        )
