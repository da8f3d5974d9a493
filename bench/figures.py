"""What a measurement gives, and how it is told: rates, pairs of rates, and their ratio.

Invariant: a ratio is only ever made of two rates that were taken one after the other in one run;
what is reported is the median of the paired ratios with the least and the most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


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

    def text(self) -> str:
        """One cell of a line."""
        return f"{self.per_s:>9,.0f}/s {self.cpu_us:>6.1f} us"


@dataclass(frozen=True, slots=True)
class Pair:
    """Ours and theirs, taken one after the other; `state` is the machine's, where it was taken."""

    ours: Rate
    theirs: Rate
    state: Rate | None = None

    @property
    def ratio(self) -> float:
        return self.ours.per_s / self.theirs.per_s


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the list of benchmarks: what is divided by what, and all its pairs."""

    id: str
    ours: str
    theirs: str
    pairs: Sequence[Pair]
    state: str = ""

    @property
    def ratios(self) -> Sequence[float]:
        return [pair.ratio for pair in self.pairs]

    def summary(self) -> str:
        """The one line that counts."""
        ratios = self.ratios
        return (
            f"{self.id}: {median(ratios):.3f} [{min(ratios):.3f}..{max(ratios):.3f}]"
            f" of {len(ratios)} pairs"
        )

    def text(self) -> str:
        """All pairs and the summary, for people."""
        names = f"  {self.ours} | {self.theirs}" + (f" | {self.state}" if self.state else "")
        return "\n".join([f"{self.id}: ratio of", names, *map(_line, self.pairs), self.summary()])

    def plain(self) -> dict[str, Any]:
        """The same as JSON values."""
        ratios = self.ratios
        return {
            "id": self.id,
            "ours": self.ours,
            "theirs": self.theirs,
            "state": self.state,
            "ratio": {"median": median(ratios), "min": min(ratios), "max": max(ratios)},
            "pairs": [_plain_pair(pair) for pair in self.pairs],
        }


def _line(pair: Pair) -> str:
    state = "" if pair.state is None else f" | {pair.state.text()}"
    return f"  {pair.ours.text()} | {pair.theirs.text()}{state}   ratio {pair.ratio:.3f}"


def _plain_pair(pair: Pair) -> dict[str, Any]:
    found = {"ratio": pair.ratio, "ours": _plain(pair.ours), "theirs": _plain(pair.theirs)}
    return found if pair.state is None else found | {"state": _plain(pair.state)}


def _plain(rate: Rate) -> dict[str, float]:
    return {
        "count": rate.count,
        "seconds": rate.seconds,
        "per_s": rate.per_s,
        "cpu_us": rate.cpu_us,
    }
