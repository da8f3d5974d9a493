"""Which offsets were handed out, which are done, and how far may be committed.

Invariant: within one epoch an offset is committable only when it and everything handed out
before it on that partition is done; nothing of one epoch touches the next.
This file knows no broker and does no I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.bus.contract import Record

Partition = tuple[str, int]


@dataclass(slots=True)
class _Track:
    """One partition in one epoch. Offsets are *next* ones: that of the record to come."""

    expected: int
    watermark: int
    committed: int
    pending: deque[int] = field(default_factory=deque)
    finished: set[int] = field(default_factory=set)

    def finish(self, end: int) -> None:
        self.finished.add(end)
        while self.pending and self.pending[0] in self.finished:
            self.watermark = self.pending.popleft()
            self.finished.discard(self.watermark)
        if not self.pending:
            self.finished.clear()


class Positions:
    """The bookmarks of one group member. `offset_gaps` counts jumps in what came in."""

    def __init__(self) -> None:
        self.epoch = 0
        self.offset_gaps = 0
        self._tracks: dict[Partition, _Track] = {}

    def begin_epoch(self) -> None:
        """Forget everything: the partitions are no longer ours, or are given out anew."""
        self.epoch += 1
        self._tracks.clear()

    def start_at(self, partition: Partition, offset: int) -> None:
        """Say where a partition starts in this epoch, unless it has started already."""
        self._tracks.setdefault(partition, _Track(offset, offset, offset))

    def hand_out(self, records: Sequence[Record]) -> None:
        """Note records that are given to the application, in order per partition."""
        for partition, (first, end, count) in _spans(records).items():
            track = self._track_for(partition, first)
            self.offset_gaps += int(first != track.expected) + int(end - first != count)
            track.pending.append(end)
            track.expected = end

    def finish(self, records: Sequence[Record], *, epoch: int) -> bool:
        """Note that these are done; False when they belong to an earlier epoch."""
        if epoch != self.epoch:
            return False
        for partition, (_, end, _) in _spans(records).items():
            track = self._tracks.get(partition)
            if track is not None and end in track.pending:
                track.finish(end)
        return True

    def expected(self, partition: Partition) -> int | None:
        """The offset that should come next, None before the partition has started."""
        track = self._tracks.get(partition)
        return None if track is None else track.expected

    def committed(self, partition: Partition) -> int | None:
        """The offset last committed in this epoch, else where the partition started."""
        track = self._tracks.get(partition)
        return None if track is None else track.committed

    def due(self) -> dict[Partition, int]:
        """What may be committed and is not yet."""
        return {
            partition: track.watermark
            for partition, track in self._tracks.items()
            if track.watermark != track.committed
        }

    def note_committed(self, offsets: Mapping[Partition, int], *, epoch: int) -> None:
        """Take these off what is due."""
        if epoch != self.epoch:
            return
        for partition, offset in offsets.items():
            if partition in self._tracks:
                self._tracks[partition].committed = offset

    def is_idle(self) -> bool:
        """Whether everything handed out in this epoch is done."""
        return not any(track.pending for track in self._tracks.values())

    def _track_for(self, partition: Partition, first: int) -> _Track:
        track = self._tracks.get(partition)
        # Lower than expected: the topic was made anew, so the old bookmarks mean nothing.
        if track is None or first < track.expected:
            self.offset_gaps += int(track is not None)
            track = self._tracks[partition] = _Track(first, first, first)
        return track


def _spans(records: Sequence[Record]) -> dict[Partition, tuple[int, int, int]]:
    spans: dict[Partition, tuple[int, int, int]] = {}
    for record in records:
        partition = (record.topic, record.partition)
        first, _, count = spans.get(partition, (record.offset, 0, 0))
        spans[partition] = (first, record.offset + 1, count + 1)
    return spans
