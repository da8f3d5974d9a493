"""A process that dies between any two steps: what the next one finds and makes of it (D1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.crew import DOUBT_WAIT, Wire, World
from support.stage import request

from gateway.catalog import Catalog
from gateway.core.ids import send_id

STEPS = [
    f"{call} {when}"
    for call in (
        "store.admit",
        "source.commit",
        "channel.send",
        "store.settle",
        "sink.publish",
        "store.published",
    )
    for when in ("before", "after")
]
DOUBTFUL = {
    "store.admit after",  # admitted already claimed, and nobody knows whether it was written
    "source.commit before",
    "source.commit after",
    "channel.send before",
    "channel.send after",
    "store.settle before",
}
"""Steps after which a claim may be open; after the others nothing may end in doubt."""

PEOPLE = ("ada", "bo", "cy")


@pytest.fixture
def world(catalog: Catalog, tmp_path: Path) -> World:
    """A world whose store is a file: it outlives the process."""
    return World(catalog, store=str(tmp_path / "store.db"))


def promotional(person: str) -> dict[str, Any]:
    """A promotional mail to somebody."""
    return request(f"p-{person}", person, "email", recipient={"email": f"p-{person}@mbox7.example"})


def transactional(person: str) -> dict[str, Any]:
    """A transactional mail to somebody."""
    to = {"email": f"t-{person}@mbox7.example"}
    return request(f"t-{person}", person, "email", template="receipt", recipient=to)


async def crash_and_restart(world: World, step: str, wholes: Sequence[dict[str, Any]]) -> None:
    """Die at a step, start again, and let the wait of what is in doubt pass."""
    await world.ask(*wholes)
    wire = Wire(stop_at=step)
    async with world.process(wire):
        await world.until(wire.stopped.is_set, f"the step {step} was reached")
    async with world.process():
        await world.settle_down()
        await world.later(DOUBT_WAIT.total_seconds() + 1)
        await world.until(lambda: len(_ended(world)) == len(wholes), "every request ended")


def _ended(world: World) -> Counter[str]:
    """How many ends each request has."""
    return Counter(
        fact["data"]["request_id"]
        for kind in ("message.sent", "message.unknown", "message.failed", "send.suppressed")
        for fact in world.facts(kind)
    )


@pytest.mark.parametrize("step", STEPS)
async def test_d1_a_crash_loses_nothing_and_repeats_no_promotion(world: World, step: str) -> None:
    """Each request ends exactly once; a promotional one is at most one call, none repeated."""
    wholes = [*map(promotional, PEOPLE), *map(transactional, PEOPLE)]
    await crash_and_restart(world, step, wholes)
    calls = Counter(world.channels["email"].addresses())
    assert set(_ended(world).values()) == {1}
    for person in PEOPLE:
        is_sent = bool(world.facts("message.sent", request_id=f"p-{person}"))
        assert calls[f"p-{person}@mbox7.example"] <= 1
        assert calls[f"p-{person}@mbox7.example"] == 1 or not is_sent
        assert world.facts("message.sent", request_id=f"t-{person}"), "a receipt was not sent"
        assert calls[f"t-{person}@mbox7.example"] <= (2 if step in DOUBTFUL else 1)
    if step not in DOUBTFUL:
        assert len(world.facts("message.sent")) == 2 * len(PEOPLE)
        assert sum(calls.values()) == 2 * len(PEOPLE)


async def test_d1_every_second_copy_is_explained_by_a_doubt(world: World) -> None:
    """A transactional message that was repeated has a story that says why."""
    await crash_and_restart(world, "channel.send after", [*map(transactional, PEOPLE)])
    calls = Counter(world.channels["email"].addresses())
    assert max(calls.values()) == 2, "nothing was repeated: the test shows nothing"
    async with world.process() as process:
        for person in PEOPLE:
            story = await process.story(send_id("/campaigns/spring", f"t-{person}"))
            (delivery,) = story["deliveries"]
            assert delivery["attempt"] >= calls[f"t-{person}@mbox7.example"]
