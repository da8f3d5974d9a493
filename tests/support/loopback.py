"""The guard that keeps tests on this machine (requirement F-10).

Invariant: while `watch` is open, a Python-level connect or datagram to anything but a loopback
address or a local socket raises, and is remembered in case the code under test swallows that.
Child processes and C libraries with their own sockets are out of its sight.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from contextlib import contextmanager

GUARDED = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


class NotLoopbackError(RuntimeError):
    """A test tried to leave this machine."""


class LoopbackGuard:
    """Refuses to leave this machine while it watches; an audit hook cannot be removed again."""

    def __init__(self) -> None:
        self._watching = False
        self._refused: list[str] = []
        sys.addaudithook(self._on_event)

    @contextmanager
    def watch(self) -> Iterator[list[str]]:
        """Watch; yields the list of addresses refused so far."""
        self._refused = []
        self._watching = True
        try:
            yield self._refused
        finally:
            self._watching = False

    def _on_event(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._watching or event not in GUARDED:
            return
        address = arguments[1]
        if not is_local(address):
            self._refused.append(f"{event} {address!r}")
            raise NotLoopbackError(f"tests stay on this machine: {event} {address!r}")


def is_local(address: object) -> bool:
    """Whether a socket address is on this machine: loopback, a path, or not an internet one."""
    if not isinstance(address, tuple) or not address or not isinstance(address[0], str):
        return True
    host = address[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
