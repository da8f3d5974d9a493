"""C18 in memory: after an erasure nothing that was rendered holds the person's words."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from support.crew import NOW
from support.sends import data
from unit.words.desk import TRACKED, facts, sms

from gateway.catalog import Catalog
from gateway.clock import ManualClock
from gateway.flows.desk import Desk
from gateway.flows.drafts import Drafts
from gateway.flows.stops import Stops
from gateway.store.scripted import Conduct
from gateway.store.sqlite import MEMORY, SqliteStore

WORD = "otter"


def texts_in(*roots: object) -> Iterator[str]:
    """All texts that can be reached from these objects, not through modules and classes."""
    seen: set[int] = set()
    left: list[Any] = list(roots)
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type) or type(one).__name__ in ("module", "function"):
            continue
        seen.add(id(one))
        if isinstance(one, str):
            yield one
        left += gc.get_referents(one)


def is_held(*roots: object) -> bool:
    return any(WORD in text for text in texts_in(*roots))


async def test_c18_an_erasure_forgets_drafts_and_what_templates_remember() -> None:
    """A draft, and the frame of a text whose condition read a word of the person."""
    text = "{% if variables.animal == 'cat' %}Meow{% else %}Hello{% endif %}"
    template = sms(text, meta='[variables]\nanimal = { required = false, example = "cat" }')
    catalog, drafts, clock = Catalog({"x": template}), Drafts(), ManualClock(NOW)
    for _ in range(2):
        template.render("sms", facts({"animal": WORD}), TRACKED)
    assert is_held(catalog), "nothing was remembered"
    drafts.keep("d-0", data(variables={"animal": WORD}), template.render("sms", facts(), TRACKED))
    assert is_held(drafts)

    async with SqliteStore(MEMORY, clock=clock, conduct=Conduct(timedelta(minutes=15))) as store:
        desk = Desk(
            store=store,
            places=None,  # type: ignore[arg-type]  # no place is asked for
            stops=Stops(clock),
            clock=clock,
            bells=(),
            catalog=catalog,
            drafts=drafts,
            zones=frozenset(),
        )
        await desk.erase("r-1")

    assert not is_held(catalog, drafts)
