"""The last gate, in memory: who said no, and what was stopped, since open claims were made.

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
        self._noes = 0
        self._closed: dict[tuple[bytes, str], tuple[int, float]] = {}
        self._sends: dict[str, float] = {}
        self._switched_off: frozenset[str] = frozenset()

    def mark(self) -> int:
        """How many noes there were: taken before a claim is asked for, handed to `let_out`."""
        return self._noes

    def close(self, subjects: Iterable[bytes], channels: Iterable[str]) -> None:
        """Nothing that is claimed by now starts for these subjects on these channels."""
        now_s = self._clock.monotonic()
        self._forget(now_s)
        self._noes += 1
        wanted = tuple(channels)
        for subject in subjects:
            for channel in wanted:
                self._closed[subject, channel] = self._noes, now_s

    def close_sends(self, send_ids: Iterable[str]) -> None:
        """These sends were stopped: cancelled, converted, killed."""
        now_s = self._clock.monotonic()
        self._forget(now_s)
        for send_id in send_ids:
            self._sends[send_id] = now_s

    def switch_off(self, scopes: Iterable[str]) -> None:
        """The scopes that are stopped now; all others run."""
        self._switched_off = frozenset(scopes)

    def let_out(self, plan: Plan, channel: str, subjects: Sequence[bytes], *, mark: int) -> bool:
        """Whether none of these said no since `mark`. A no withholds; the store then decides.

        It is the store that knows whom a no is about: a transactional message, withheld once,
        is let out by the next claim, which the store makes knowing the no.
        """
        if plan.send_id in self._sends or self._is_off(plan, channel):
            return False
        if not self._closed:
            return True
        return not any(
            self._closed.get((subject, channel), (0, 0.0))[0] > mark
            for subject in (plan.person, *subjects)
        )

    def _is_off(self, plan: Plan, channel: str) -> bool:
        off = self._switched_off
        return bool(off) and not off.isdisjoint(
            ("global", f"channel:{channel}", f"campaign:{plan.campaign}")
        )

    def _forget(self, now_s: float) -> None:
        old_s = now_s - KEEP.total_seconds()
        old = [what for what, (_, said_s) in self._closed.items() if said_s < old_s]
        for what in old:
            del self._closed[what]
        over = [send_id for send_id, said_s in self._sends.items() if said_s < old_s]
        for send_id in over:
            del self._sends[send_id]
