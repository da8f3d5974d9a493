from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.bus.contract import Record
from gateway.bus.positions import Positions

PARTITION = ("t", 0)


def records(offsets: Sequence[int], partition: int = 0) -> list[Record]:
    return [Record("t", partition, offset, 0, None, b"", ()) for offset in offsets]


@settings(max_examples=400, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    steps=st.lists(st.sampled_from(["give", "done", "revoke", "commit"]), max_size=60),
)
def test_k2_nothing_unfinished_is_ever_covered(seed: int, steps: list[str]) -> None:
    """Over random histories the committed offset stays below the lowest unfinished one."""
    dice = random.Random(seed)  # noqa: S311 - a seeded history, no secret
    positions = Positions()
    positions.begin_epoch()
    positions.start_at(PARTITION, 0)
    given_out: list[tuple[int, list[Record]]] = []
    log_end = 0
    committed = 0
    for step in steps:
        if step == "give":
            start = positions.expected(PARTITION) or 0
            size = dice.randint(1, 5)
            batch = records(range(start, start + size))
            log_end = max(log_end, start + size)
            positions.hand_out(batch)
            given_out.append((positions.epoch, batch))
        elif step == "done" and given_out:
            epoch, batch = given_out.pop(dice.randrange(len(given_out)))
            assert positions.finish(batch, epoch=epoch) == (epoch == positions.epoch)
        elif step == "revoke":
            positions.begin_epoch()
            positions.start_at(PARTITION, committed)
        else:
            due = positions.due()
            assert all(offset > committed for offset in due.values())
            positions.note_committed(due, epoch=positions.epoch)
            committed = due.get(PARTITION, committed)
        open_now = [
            record.offset
            for epoch, batch in given_out
            for record in batch
            if epoch == positions.epoch
        ]
        assert committed <= min(open_now, default=log_end)
        for offset in positions.due().values():
            assert offset <= min(open_now, default=log_end)
    for epoch, batch in given_out:
        positions.finish(batch, epoch=epoch)
    assert positions.is_idle()
    assert positions.due().get(PARTITION, committed) == (positions.expected(PARTITION) or 0)


def test_k8_offset_jumps_are_counted() -> None:
    """A hole between batches and a hole inside one are both seen; a smooth run is not."""
    positions = Positions()
    positions.start_at(PARTITION, 0)
    positions.hand_out(records([0, 1, 2]))
    assert positions.offset_gaps == 0
    positions.hand_out(records([5, 6]))
    assert positions.offset_gaps == 1
    positions.hand_out(records([7, 9]))
    assert positions.offset_gaps == 2


def test_a_topic_made_anew_starts_anew() -> None:
    """Offsets that go back mean another log: its low offsets are committed again."""
    positions = Positions()
    old = records(range(100, 110))
    positions.hand_out(old)
    positions.finish(old, epoch=positions.epoch)
    positions.note_committed(positions.due(), epoch=positions.epoch)
    new = records(range(3))
    positions.hand_out(new)
    positions.finish(new, epoch=positions.epoch)
    assert positions.due() == {PARTITION: 3}


def test_a_batch_over_several_partitions_counts_for_each() -> None:
    """One batch moves the bookmark of every partition it holds records of."""
    positions = Positions()
    batch = [*records([4, 5]), *records([0], partition=1), *records([6])]
    positions.hand_out(batch)
    assert positions.due() == {}
    positions.finish(batch, epoch=positions.epoch)
    assert positions.due() == {("t", 0): 7, ("t", 1): 1}
