"""What commands write: lines, tables and JSON on standard output.

Invariant: without a terminal there are plain lines and no control characters; rich obeys NO_COLOR.
What comes from outside is text and never markup. Decides nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from gateway.doctor import Check, Health

PLAIN_WIDTH = 4096  # lines of a file are for grep: nothing is wrapped or cut
STYLES: Mapping[Health, str] = {Health.OK: "green", Health.SKIPPED: "dim", Health.FAULT: "bold red"}


def console() -> Console:
    """Standard output."""
    is_terminal = sys.stdout.isatty()
    return Console(highlight=False, markup=False, width=None if is_terminal else PLAIN_WIDTH)


def line(text: str, style: str = "") -> None:
    """One line."""
    console().print(Text(text, style=style), soft_wrap=True)


def as_json(value: Any) -> None:
    """One JSON document."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    return moment(value) if isinstance(value, datetime) else str(value)


def moment(at: datetime) -> str:
    """An instant as the API writes it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right_from: int) -> None:
    """A table; columns from `right_from` on are numbers."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, name in enumerate(columns):
        made.add_column(name, justify="right" if place >= right_from else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    console().print(made)


def check(one: Check) -> None:
    """One line of the doctor's."""
    text = Text(f"{one.health.value:<8}", style=STYLES[one.health])
    text.append(f"{one.name:<11} {one.what}", style="")
    if one.todo:
        text.append(f": {one.todo}")
    console().print(text, soft_wrap=True)


@contextmanager
def progress(total: int, what: str, *, is_shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, else nothing; the caller says how many are done."""
    out = console()
    columns = (
        TextColumn(what),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f}"),
    )
    with Progress(
        *columns, console=out, transient=True, disable=not (is_shown and out.is_terminal)
    ) as bar:
        shown = bar.add_task(what, total=total)
        yield lambda done: bar.update(shown, completed=done)
