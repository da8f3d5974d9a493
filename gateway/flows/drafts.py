"""Messages that were rendered when their request was checked, kept for their first attempt.

Rendering is the check: what the last look at a request made is what is sent. A draft that is gone
costs nothing but rendering again.
"""

from __future__ import annotations

from gateway.core.render import Rendered

KEPT_MAX = 4000


class Drafts:
    """The newest drafts by delivery id."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._drafts: dict[str, Rendered] = {}

    def keep(self, delivery_id: str, rendered: Rendered) -> None:
        """Keep a draft; the oldest one goes when there are too many."""
        if len(self._drafts) >= self._kept_max:
            del self._drafts[next(iter(self._drafts))]
        self._drafts[delivery_id] = rendered

    def take(self, delivery_id: str) -> Rendered | None:
        """The draft, once."""
        return self._drafts.pop(delivery_id, None)
