"""Messages that were rendered when their request was checked, kept for their first attempt.

Rendering is the check: what the last look at a request made is what is sent. A draft belongs to the
data it was made of: another request under the same identity never sends its text. A draft that is
gone costs nothing but rendering again.
"""

from __future__ import annotations

from gateway.core.render import Rendered
from gateway.core.request import SendData

KEPT_MAX = 4000


class Drafts:
    """The newest drafts by delivery id."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._drafts: dict[str, tuple[SendData, Rendered]] = {}

    def keep(self, delivery_id: str, data: SendData, rendered: Rendered) -> None:
        """Keep a draft; the oldest one goes when there are too many."""
        self._drafts.pop(delivery_id, None)
        if len(self._drafts) >= self._kept_max:
            del self._drafts[next(iter(self._drafts))]
        self._drafts[delivery_id] = data, rendered

    def take(self, delivery_id: str, data: SendData) -> Rendered | None:
        """The draft, once, if it was made of this data."""
        kept = self._drafts.pop(delivery_id, None)
        if kept is None or (kept[0] is not data and kept[0] != data):
            return None
        return kept[1]

    def forget(self) -> None:
        """Forget all drafts: each holds the words of a person."""
        self._drafts.clear()
