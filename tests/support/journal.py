"""What reached the providers' stand-ins.

Invariant: a call is written down before it is answered, so nothing that a provider could have
acted on is missing. It is written by one thread and may be read by any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from support.waiting import until


@dataclass(frozen=True, slots=True)
class Call:
    """One message in one provider call. `act` is what the stand-in then did; `body` is raw."""

    at_s: float
    provider: str
    to: str
    delivery_id: str
    attempt_id: str
    act: str
    body: bytes

    @property
    def send_id(self) -> str:
        """The send that the message belongs to."""
        return self.delivery_id.rpartition("-")[0]


class Journal:
    """All calls in the order in which they came."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def note(self, call: Call) -> None:
        """Write a call down."""
        self._calls.append(call)

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def calls(self) -> tuple[Call, ...]:
        """All calls so far."""
        return tuple(self._calls)

    def to(self, address: str) -> list[Call]:
        """The calls that were for one address, number or device."""
        return [call for call in self.calls if call.to == address]

    def of(self, provider: str) -> list[Call]:
        """The calls that one provider got."""
        return [call for call in self.calls if call.provider == provider]

    def per_send(self) -> Counter[str]:
        """How many calls there were for each send."""
        return Counter(call.send_id for call in self.calls)

    async def first_to(self, address: str, *, within_s: float = 15.0) -> Call:
        """The first call for an address, which may still have to come."""
        await until(lambda: self.to(address), within_s=within_s, what=f"a call for {address}")
        return self.to(address)[0]

    async def reach(
        self, count: int, *, within_s: float, where: Callable[[Call], bool] = lambda _: True
    ) -> None:
        """Wait until this many calls (of those that `where` counts) are written down."""
        await until(
            lambda: len(self) >= count and sum(map(where, self.calls)) >= count,
            within_s=within_s,
            what=f"{count} calls",
        )
