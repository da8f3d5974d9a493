"""A bell between flows: one rings when there may be work, another waits for it or for a while."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Bell:
    """Rings are not counted: a ring while nobody waits is heard by the next who does."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """There may be work now."""
        self._event.set()

    async def wait(self, at_most_s: float) -> None:
        """Return at the next ring, or after a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._event.wait()
        self._event.clear()
