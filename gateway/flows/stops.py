"""The last gate, in memory: who said no since the claims now open were made.

A no is durable before it is here, and here before it is acknowledged. A claim made earlier asks
this gate in the same loop step as its first byte; a claim made later met the no in the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from gateway.clock import Clock
from gateway.core.plan import Plan

KEEP = timedelta(minutes=10)
"""Longer than any claim lives."""


class Stops:
    """Subjects that are closed on a channel for claims made before the no."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._closed: dict[tuple[bytes, str], float] = {}

    def close(self, subjects: Iterable[bytes], channels: Iterable[str]) -> None:
        """From now on nothing starts for these subjects on these channels."""
        now_s = self._clock.monotonic()
        self._forget(now_s)
        wanted = tuple(channels)
        for subject in subjects:
            for channel in wanted:
                self._closed[subject, channel] = now_s + KEEP.total_seconds()

    def open(self, subjects: Iterable[bytes], channels: Iterable[str]) -> None:
        """They said yes again."""
        wanted = tuple(channels)
        for subject in subjects:
            for channel in wanted:
                self._closed.pop((subject, channel), None)

    def let_out(self, plan: Plan, channel: str, subjects: Sequence[bytes]) -> bool:
        """Whether nobody of these said no lately. A no withholds; the store then decides."""
        if not self._closed:
            return True
        closed = self._closed
        return (plan.person, channel) not in closed and not any(
            (subject, channel) in closed for subject in subjects
        )

    def _forget(self, now_s: float) -> None:
        old = [what for what, until_s in self._closed.items() if until_s < now_s]
        for what in old:
            del self._closed[what]
