from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from support.source import ROOT

from gateway.core.delivery import RANK, TRANSITIONS, State

PAGE = ROOT / "docs/lifecycle.md"
ENDS = "[*]"
ARROW = re.compile(r"^\s*(\S+) --> (\S+?)(?:: (.+))?$")

Arrows = set[tuple[str, str, str]]


def _drawn(text: str) -> Arrows:
    """The arrows of the page's one state diagram: from, label, to. ValueError for odd lines."""
    (block,) = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    head, *lines = block.strip().splitlines()
    if head != "stateDiagram-v2":
        raise ValueError(head)
    arrows: Arrows = set()
    for line in lines:
        found = ARROW.match(line)
        if found is None:
            raise ValueError(line)
        start, end, label = found.groups()
        arrows.add((start, (label or "").replace(" - ", ": "), end))
    return arrows


def _of_table(table: Mapping[tuple[State, str], State]) -> Arrows:
    return {(before.value, why, after.value) for (before, why), after in table.items()}


@pytest.fixture(scope="module")
def drawn() -> Arrows:
    """The arrows of docs/lifecycle.md."""
    return _drawn(PAGE.read_text())


def test_every_transition_is_drawn_and_every_arrow_is_a_transition(drawn: Arrows) -> None:
    """The picture and the table are the same, both ways."""
    between_states = {arrow for arrow in drawn if ENDS not in arrow}
    table = _of_table(TRANSITIONS)
    assert not table - between_states, "in the table, not drawn"
    assert not between_states - table, "drawn, not in the table"


def test_the_picture_begins_and_ends_where_the_table_does(drawn: Arrows) -> None:
    """A delivery begins where nothing leads to but a way back, and ends where nothing leads on."""
    begins = {end for start, _, end in drawn if start == ENDS}
    ends = {start for start, _, end in drawn if end == ENDS}
    assert begins == {State.QUEUED.value, State.ARMED.value}
    assert ends == {state.value for state in State} - {before.value for before, _ in TRANSITIONS}


def test_every_state_is_explained_in_order_of_the_life() -> None:
    """The table of states on the page has each state once."""
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(state.value for state in State)


def test_a_receipt_only_moves_forward() -> None:
    """What the page says of rank holds for every transition that a receipt or a proof makes."""
    moves = [
        (before, after)
        for (before, why), after in TRANSITIONS.items()
        if why == "proof" or why.startswith("receipt")
    ]
    assert moves
    assert all(RANK[after] > RANK[before] for before, after in moves)


PICTURE = "```mermaid\nstateDiagram-v2\n    [*] --> queued\n    queued --> claimed: claim\n```"


def test_a_changed_picture_is_seen() -> None:
    """The comparison can fail: another label, another end and another start are other arrows."""
    plain = _drawn(PICTURE)
    assert plain == {(ENDS, "", "queued"), ("queued", "claim", "claimed")}
    changes = ((": claim", ": lease"), ("--> claimed", "--> sent"), ("queued -->", "sent -->"))
    for was, now in changes:
        assert _drawn(PICTURE.replace(was, now)) != plain


@pytest.mark.parametrize("line", ["queued -> claimed", "note right of queued", "queued: waits"])
def test_a_line_that_is_no_arrow_is_refused(line: str) -> None:
    """The picture cannot hide a transition in a form that the test does not read."""
    with pytest.raises(ValueError, match=re.escape(line)):
        _drawn(PICTURE.replace("[*] --> queued", line))
