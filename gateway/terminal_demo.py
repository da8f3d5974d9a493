"""What `winback demo` writes to the terminal: progress, a table, and what to try next.

Invariant: without a terminal it writes plain lines, and rich obeys NO_COLOR; a key is printed
only when it is the demo's own, which everybody knows. This file decides nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.commands_screen import PLAIN_WIDTH
from gateway.commands_story import COLUMNS as RESULT_COLUMNS
from gateway.commands_story import lift_sentence, result_rows
from gateway.config import DEMO_DEFAULTS
from gateway.demo_people import HOME
from gateway.demo_stream import Told
from gateway.demo_tally import COLUMNS, ROWS, Tally
from gateway.settings import Settings

KEY = DEMO_DEFAULTS["WINBACK_API__KEYS"]


class Screen:
    """The terminal, or whatever standard output is."""

    def __init__(self, console: Console | None = None) -> None:
        width = None if sys.stdout.isatty() else PLAIN_WIDTH
        self._console = console or Console(highlight=False, width=width)

    def opened(self, settings: Settings, *, wanted_port: int) -> None:
        """All parts are up."""
        http = settings.http
        self._line("[bold]winback demo[/]: broker, gateway and sandbox on this machine only")
        if wanted_port not in {0, http.port}:
            self._line(f"  port     {wanted_port} is taken, so it is {http.port}")
        self._line(f"  broker   {settings.kafka.bootstrap_servers[0]} (speaks Kafka)")
        self._line(f"  store    {escape(str(settings.store.url.path))}")
        self._line(f"  gateway  {http.public_url}")
        self._line(f"  inbox    [bold]{http.public_url}/inbox[/]")

    def shifted(self, local: datetime) -> None:
        """The demo's clock is not the machine's."""
        self._line(f"  clock    {local:%H:%M} in Copenhagen: no quiet hours where its people live")

    def published(self, records: int, people: int) -> None:
        """The campaign is on the topic."""
        self._line(f"\nPublished {records} records about {people} lapsed customers.")

    def act(self, at: datetime, what: str) -> None:
        """Somebody does something."""
        self._line(f"  {at.astimezone(HOME):%H:%M:%S}  {escape(what)}.")

    @contextmanager
    def progress(self, total: int) -> Iterator[Callable[[int], None]]:
        """A bar while records come to their ends; nothing without a terminal."""
        columns = (
            TextColumn("ended"),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f}"),
            TimeElapsedColumn(),
        )
        bar = Progress(
            *columns, console=self._console, transient=True, disable=not self._console.is_terminal
        )
        with bar:
            shown = bar.add_task("ended", total=total)
            yield lambda ended: bar.update(shown, completed=ended)

    def summary(self, state: Tally, *, took_s: float) -> None:
        """The table: what became of the campaign, by channel."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("")
        for name in COLUMNS:
            table.add_column(name, justify="right")
        for row in ROWS:
            table.add_row(row, *(str(count) for count in state.row(row)))
        table.add_row("total", *(str(count) for count in state.total()), style="bold")
        total = state.ended + len(state.waiting)
        self._line(f"{state.ended} of {total} records have come to their end in {took_s:.1f} s.\n")
        self._console.print(table)
        self._line("")
        if state.reasons:
            told = (f"{count} {why}" for why, count in sorted(state.reasons.items()))
            self._line(f"Suppressed, each for a reason: {', '.join(told)}.")
        for one in state.waiting:
            self._line(f"{one.key} waits for its time: {one.template} goes out by itself.")

    def repeated(self, sent: int) -> None:
        """What came of the request that was published twice."""
        self._line(f"One request was published twice; messages sent for it: {sent}.")

    def results(self, found: Mapping[str, Any]) -> None:
        """What the campaign brought, as `winback results` shows it."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for place, name in enumerate(RESULT_COLUMNS):
            table.add_column(name, justify="right" if place else "left", overflow="fold")
        for row in result_rows(found):
            table.add_row(*(escape(cell) for cell in row))
        self._line(f"\nResults of {escape(found['campaign'])}\n")
        self._console.print(table)
        self._line(f"\n[bold]{escape(lift_sentence(found))}[/]")

    def next_steps(self, settings: Settings, event: str, *, campaign: str) -> None:
        """What to open, what to try, how to stop."""
        url = settings.http.public_url
        known = any(key.reveal() == KEY for key in settings.api.keys)
        key = KEY if known else "YOUR-KEY"
        self._line(f"\n[bold]Open {url}/inbox[/]")
        self._line("  Open a mail, follow its link, unsubscribe: watch the stream beside it.")
        self._line("\n[bold]Send one event of your own[/]")
        self._line(f'  curl "{url}/v1/sends" -H "Authorization: Bearer {key}" \\')
        self._line('    -H "Content-Type: application/cloudevents+json" \\')
        self._line(f"    -d {escape(_quoted(event))}")
        self._line(f"\n[bold]Is it well?[/]    {url}/  (key: {key})")
        self._line(f"[bold]Did it work?[/]   {url}/campaigns/{campaign}")
        self._line("[bold]Stop[/]           Ctrl-C\n")

    def told(self, fact: Told, name: str) -> None:
        """One line for one fact."""
        who = f"{name} ({fact.actor})" if fact.actor else name
        parts = (f"{fact.at.astimezone(HOME):%H:%M:%S}", fact.type, fact.channel, who, fact.detail)
        self._line(escape("  ".join(part for part in parts if part)))

    def ended(self) -> None:
        """All is closed."""
        self._line("Ended; nothing is left running.")

    def _line(self, text: str) -> None:
        # A wrapped command cannot be copied.
        self._console.print(text, soft_wrap=True)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
