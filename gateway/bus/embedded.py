"""A Kafka broker without Kafka, for the demo and for fast tests: librdkafka's mock cluster.

Invariant: it runs in a child process that ends with its parent, however the parent ends.
Run as a program (`python -m gateway.bus.embedded NAME=PARTITIONS …`) it is that child: it prints
its bootstrap address in one line and serves until its input is closed.

What to know: it keeps about 5 MB per partition and silently drops what is over; it refuses no
record for its size; a group holds one member (a second one's SyncGroup is refused).
`EMBEDDED` are the options that suit it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, NoReturn

from confluent_kafka import cimpl

from gateway.errors import BusUnavailable

EMBEDDED: Mapping[str, Any] = MappingProxyType(
    {
        # It does not wake a waiting fetch when data arrives: latency is half of this.
        "fetch_wait_ms": 10,
        # It lets a group rest for the session timeout after its member has left.
        "session_timeout_s": 1.5,
        "heartbeat_s": 0.5,
    }
)
"""For `KafkaOptions(bootstrap, …, **EMBEDDED)`."""

_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 3.0
_PR_SET_PDEATHSIG = 1
_RD_KAFKA_PRODUCER = 0
_REBALANCE_DELAY_MS = 50
_TEXT_BYTES = 512


class EmbeddedBroker:
    """A broker on a free loopback port with these topics, each with its number of partitions.

    Entering gives its bootstrap address. Raises `BusUnavailable` when it does not start.
    """

    def __init__(self, topics: Mapping[str, int]) -> None:
        if min(topics.values(), default=1) < 1:
            raise ValueError("a topic has at least one partition")
        self._topics = dict(topics)
        self._child: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> str:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> str:
        """Start it; the bootstrap address, `127.0.0.1:port`."""
        arguments = [f"{name}={partitions}" for name, partitions in self._topics.items()]
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.bus.embedded",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            return await asyncio.wait_for(self._first_line(self._child), _START_TIMEOUT_S)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close its input, which ends it; kill it when that does not."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is not None:
            child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), _STOP_TIMEOUT_S)
        except TimeoutError:
            child.kill()
            await child.wait()

    async def _first_line(self, child: asyncio.subprocess.Process) -> str:
        if child.stdout is None:
            raise BusUnavailable("the embedded broker has no output")
        line = await child.stdout.readline()
        if not line:
            raise BusUnavailable("the embedded broker did not start")
        return line.decode().strip()


class _MockCluster:
    """The few functions of librdkafka's mock cluster that we call, by ctypes.

    They are found through the extension module that links against the wheel's own librdkafka.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(cimpl.__file__)
        text = ctypes.create_string_buffer(_TEXT_BYTES)
        settings = _function(library, "rd_kafka_conf_new", ctypes.c_void_p, "")()
        # Else it warns that a client without brokers is of no use, which is what we want.
        quiet = _function(library, "rd_kafka_conf_set", ctypes.c_int, "psssn")
        quiet(settings, b"log_level", b"0", text, len(text))
        handle = _function(library, "rd_kafka_new", ctypes.c_void_p, "ipsn")(
            _RD_KAFKA_PRODUCER, settings, text, len(text)
        )
        if not handle:
            raise BusUnavailable(f"librdkafka did not start: {text.value.decode()}")
        create = _function(library, "rd_kafka_mock_cluster_new", ctypes.c_void_p, "pi")
        self._cluster = create(handle, 1)
        self._library = library

    def hasten_rebalances(self) -> None:
        """Do not wait three seconds for more members when a group forms."""
        name = "rd_kafka_mock_group_initial_rebalance_delay_ms"
        _function(self._library, name, None, "pi")(self._cluster, _REBALANCE_DELAY_MS)

    def create_topic(self, name: str, partitions: int) -> None:
        create = _function(self._library, "rd_kafka_mock_topic_create", ctypes.c_int, "psii")
        if create(self._cluster, name.encode(), partitions, 1) != 0:
            raise BusUnavailable(f"the embedded broker refused the topic {name}")

    def bootstrap(self) -> str:
        read = _function(self._library, "rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p, "p")
        address: bytes = read(self._cluster)
        return address.decode()


def _function(library: ctypes.CDLL, name: str, result: Any, arguments: str) -> Any:
    kinds = {
        "i": ctypes.c_int,
        "n": ctypes.c_size_t,
        "p": ctypes.c_void_p,
        "s": ctypes.c_char_p,
    }
    function = getattr(library, name)
    function.restype = result
    function.argtypes = [kinds[letter] for letter in arguments]
    return function


def _end_with_parent(parent: int) -> None:
    """Ask Linux to kill us when the parent dies; elsewhere the closed input does it."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _serve(arguments: Sequence[str]) -> NoReturn:
    _end_with_parent(os.getppid())
    # Ctrl-C goes to the whole group: the parent decides when the broker ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cluster = _MockCluster()
    cluster.hasten_rebalances()
    for argument in arguments:
        name, _, partitions = argument.rpartition("=")
        cluster.create_topic(name, int(partitions))
    sys.stdout.write(cluster.bootstrap() + "\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    # Destroying a mock cluster may wait for its clients: there is nothing to save here.
    os._exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1:])
