"""What a measurement gives, and how it is told: rates, pairs of rates, and their ratio.

Invariant: a ratio is only ever made of two rates that were taken one after the other in one run;
what is reported is the median of the paired ratios with the least and the most. Beside it stands
the same by processor time, and whether the machine was disturbed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

BUSY_MIN = 0.85


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` done in `seconds`, with `cpu_s` of processor time by the process that did it."""

    count: int
    seconds: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.count * 1e6

    @property
    def busy(self) -> float:
        """The share of its time that the process had the core; far under 1, others had it."""
        return self.cpu_s / self.seconds

    def text(self) -> str:
        """One cell of a line."""
        return f"{self.per_s:>9,.0f}/s {self.cpu_us:>6.1f} us {self.busy:>4.0%}"


@dataclass(frozen=True, slots=True)
class Pair:
    """Ours and theirs, taken one after the other; `state` is the machine's, where it was taken."""

    ours: Rate
    theirs: Rate
    state: Rate | None = None

    @property
    def ratio(self) -> float:
        return self.ours.per_s / self.theirs.per_s

    @property
    def cpu_ratio(self) -> float:
        """The same in processor time, which neighbours on the machine disturb less."""
        return self.theirs.cpu_us / self.ours.cpu_us

    @property
    def is_disturbed(self) -> bool:
        """Whether either side had to share its core: then only `cpu_ratio` says anything."""
        return min(self.ours.busy, self.theirs.busy) < BUSY_MIN


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the list of benchmarks: what is divided by what, and all its pairs."""

    id: str
    ours: str
    theirs: str
    pairs: Sequence[Pair]
    state: str = ""
    waits: bool = False  # for the disk: then a core that is not busy says nothing

    def summary(self) -> str:
        """The one line that counts."""
        ratio = _spread([pair.ratio for pair in self.pairs])
        cpu = _spread([pair.cpu_ratio for pair in self.pairs])
        disturbed = sum(pair.is_disturbed for pair in self.pairs)
        warning = f"; DISTURBED in {disturbed} of them" if disturbed and not self.waits else ""
        return (
            f"{self.id}: {_told(ratio)}, by processor time {_told(cpu)},"
            f" of {len(self.pairs)} pairs{warning}"
        )

    def text(self) -> str:
        """All pairs and the summary, for people."""
        names = f"  {self.ours} | {self.theirs}" + (f" | {self.state}" if self.state else "")
        return "\n".join([f"{self.id}: ratio of", names, *map(_line, self.pairs), self.summary()])

    def plain(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "id": self.id,
            "ours": self.ours,
            "theirs": self.theirs,
            "state": self.state,
            "ratio": _spread([pair.ratio for pair in self.pairs]),
            "cpu_ratio": _spread([pair.cpu_ratio for pair in self.pairs]),
            "pairs": [_plain_pair(pair) for pair in self.pairs],
        }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}


def _told(spread: dict[str, float]) -> str:
    return f"{spread['median']:.3f} [{spread['min']:.3f}..{spread['max']:.3f}]"


def _line(pair: Pair) -> str:
    state = "" if pair.state is None else f" | {pair.state.text()}"
    ratios = f"ratio {pair.ratio:.3f}, cpu {pair.cpu_ratio:.3f}"
    return f"  {pair.ours.text()} | {pair.theirs.text()}{state}   {ratios}"


def _plain_pair(pair: Pair) -> dict[str, Any]:
    found = {"ratio": pair.ratio, "ours": _plain(pair.ours), "theirs": _plain(pair.theirs)}
    return found if pair.state is None else found | {"state": _plain(pair.state)}


def _plain(rate: Rate) -> dict[str, float]:
    return {
        "count": rate.count,
        "seconds": rate.seconds,
        "per_s": rate.per_s,
        "cpu_us": rate.cpu_us,
        "busy": rate.busy,
    }
