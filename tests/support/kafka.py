"""A real Apache Kafka on this machine, one node or three, for tests.

Invariant: it listens on loopback only, keeps its data in a folder of its own, and every process
started here is ended here, by its process id.
Broker and controller are one process (KRaft). Ready means that an admin client answers.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import signal
import socket
import tempfile
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from support.topics import wait_until_ready

_STOP_TIMEOUT_S = 15.0
_FORMAT_TIMEOUT_S = 60.0


@dataclass(slots=True)
class _Node:
    number: int
    port: int
    controller_port: int
    folder: Path
    process: asyncio.subprocess.Process | None = None

    @property
    def settings_file(self) -> Path:
        return self.folder / "server.properties"


class RealKafka:
    """A cluster. `async with RealKafka(libs) as kafka: … kafka.bootstrap`.

    `libs` is a folder with Kafka's jars. `stop` and `start` keep ports and data.
    """

    def __init__(self, libs: Path, *, nodes: int = 1) -> None:
        self._libs = libs
        self._folder = Path(tempfile.mkdtemp(prefix="winback-kafka-"))
        ports = _free_ports(2 * nodes)
        self._nodes = [
            _Node(i + 1, ports[2 * i], ports[2 * i + 1], self._folder / str(i + 1))
            for i in range(nodes)
        ]
        self._cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    @property
    def bootstrap(self) -> str:
        """Where clients connect."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self._nodes)

    async def __aenter__(self) -> Self:
        try:
            for node in self._nodes:
                node.folder.mkdir(parents=True)
                node.settings_file.write_text(self._settings(node))
                await self._format(node)
            await self.start()
        except BaseException:
            await self._remove()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._remove()

    async def start(self) -> None:
        """Start every node that does not run and wait until all are ready."""
        for number in range(len(self._nodes)):
            await self.start_node(number)
        await wait_until_ready(self.bootstrap, brokers=len(self._nodes))

    async def stop(self, *, kill: bool = False) -> None:
        """Stop every node, as an operator does (SIGTERM) or as a power cut does (SIGKILL)."""
        await asyncio.gather(*(self.stop_node(i, kill=kill) for i in range(len(self._nodes))))

    async def start_node(self, number: int) -> None:
        """Start one node, without waiting for it."""
        node = self._nodes[number]
        if node.process is not None:
            return
        with (node.folder / "log.txt").open("ab") as log:
            node.process = await asyncio.create_subprocess_exec(
                "java",
                "-Xms256m",
                "-Xmx512m" if len(self._nodes) == 1 else "-Xmx384m",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-cp",
                f"{self._libs}/*",
                "kafka.Kafka",
                str(node.settings_file),
                stdout=log,
                stderr=log,
                cwd=node.folder,
            )

    async def stop_node(self, number: int, *, kill: bool = False) -> None:
        """Stop one node; one that does not end by itself is killed."""
        node = self._nodes[number]
        process, node.process = node.process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _remove(self) -> None:
        await self.stop(kill=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _format(self, node: _Node) -> None:
        process = await asyncio.create_subprocess_exec(
            "java",
            "-Xmx128m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-cp",
            f"{self._libs}/*",
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={self._cluster_id}",  # an id may begin with a dash
            "-c",
            str(node.settings_file),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=node.folder,
        )
        output, _ = await asyncio.wait_for(process.communicate(), _FORMAT_TIMEOUT_S)
        if process.returncode:
            raise RuntimeError(
                f"Kafka's storage cannot be formatted ({process.returncode}): {output.decode()}"
            )

    def _settings(self, node: _Node) -> str:
        voters = ",".join(f"{n.number}@127.0.0.1:{n.controller_port}" for n in self._nodes)
        several = len(self._nodes) > 1
        settings = {
            "process.roles": "broker,controller",
            "node.id": node.number,
            "controller.quorum.voters": voters,
            "listeners": f"PLAINTEXT://127.0.0.1:{node.port},"
            f"CONTROLLER://127.0.0.1:{node.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{node.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": node.folder / "data",
            "offsets.topic.replication.factor": 3 if several else 1,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 3 if several else 1,
            "transaction.state.log.min.isr": 2 if several else 1,
            "default.replication.factor": 3 if several else 1,
            "min.insync.replicas": 2 if several else 1,
            "group.initial.rebalance.delay.ms": 0,
            "group.coordinator.append.linger.ms": 0,
            "auto.create.topics.enable": "false",
        }
        if several:
            settings["broker.session.timeout.ms"] = 3000
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; all are held together so that none is given twice."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
