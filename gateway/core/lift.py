"""Did it work: the difference to the hold-out, with a 95 % interval.

Newcombe's hybrid score interval for a difference of two proportions (R. G. Newcombe, Statistics in
Medicine 17, 1998, pages 873-890, method 10) stays honest with few people and rates near zero.
Invariant: the difference lies inside its interval, and the interval inside -1 to 1. Knows counts,
not people.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

Z = 1.959963984540054
"""The two-sided 95 % point of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Lift:
    """Treated minus held out, as a share of people.

    `relative` is None where nobody who was held out returned.
    """

    absolute: float
    low: float
    high: float
    relative: float | None

    def as_dict(self) -> dict[str, Any]:
        """The contract's `lift`."""
        return {
            "absolute": self.absolute,
            "interval": [self.low, self.high],
            "confidence": 0.95,
            "relative": self.relative,
        }


def lift(returned: int, targeted: int, held_returned: int, held: int) -> Lift | None:
    """The lift of a campaign; None without anybody on one of the sides."""
    if targeted <= 0 or held <= 0:
        return None
    rate, without = returned / targeted, held_returned / held
    low_rate, high_rate = wilson(returned, targeted)
    low_without, high_without = wilson(held_returned, held)
    return Lift(
        absolute=rate - without,
        low=rate - without - sqrt((rate - low_rate) ** 2 + (high_without - without) ** 2),
        high=rate - without + sqrt((high_rate - rate) ** 2 + (without - low_without) ** 2),
        relative=rate / without - 1 if without else None,
    )


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion, 95 %."""
    share = successes / trials
    middle = share + Z * Z / (2 * trials)
    reach = Z * sqrt(share * (1 - share) / trials + Z * Z / (4 * trials * trials))
    scale = 1 + Z * Z / trials
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)
