"""`winback dlq`: look at what was refused, masked, and send it again once its cause is mended.

Invariant: looking changes nothing, and a second replay sends nothing a second time, since a
record goes back unchanged and its identity is known. Whoever was erased is not there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from gateway import app_commands
from gateway import commands_screen as screen
from gateway.app_commands import Place, Replayed, Wanted
from gateway.commands_end import USAGE, run_quietly, settings_for
from gateway.commands_letters import REASONS, Letter
from gateway.settings import Settings

COLUMNS: Final = ("place", "refused", "reason", "detail", "from", "event")
_PLACE: Final = re.compile(r"([0-9]{1,9}):([0-9]{1,18})", re.ASCII)

json_option = click.option("--json", "is_json", is_flag=True, help="write JSON")
reason_option = click.option(
    "--reason", type=click.Choice(REASONS), metavar="REASON", help="only of this `dlq-reason`"
)


def place_of(text: str) -> Place:
    """The place that `PARTITION:OFFSET` names, as `dlq list` shows it."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not PARTITION:OFFSET, such as 0:17")
    return int(found[1]), int(found[2])


@click.group()
def dlq() -> None:
    """Look at dead letters and send them again."""


@dlq.command(name="list")
@reason_option
@json_option
def list_command(reason: str | None, *, is_json: bool) -> None:
    """List dead letters, oldest first."""
    letters = run_quietly(_listed(settings_for("dlq"), Wanted(reason=reason)))
    if is_json:
        screen.as_json([letter.as_dict() for letter in letters])
        return
    if letters:
        screen.table(COLUMNS, [_row(letter) for letter in letters], right_from=len(COLUMNS))
    screen.line(f"{len(letters)} dead letters.")


@dlq.command(name="show")
@click.argument("place", type=place_of, metavar="PARTITION:OFFSET")
@json_option
def show_command(place: Place, *, is_json: bool) -> None:
    """Show one dead letter; of personal data only the shape."""
    letter = run_quietly(_shown(settings_for("dlq"), place))
    if letter is None:
        raise click.ClickException(f"PARTITION:OFFSET: no dead letter at {place[0]}:{place[1]}")
    if not is_json:
        screen.line(f"{letter['reason']}: {letter['detail']}", "bold")
    screen.as_json(letter)


@dlq.command(name="replay")
@click.argument("places", type=place_of, metavar="[PARTITION:OFFSET]...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="every dead letter there is")
@reason_option
@json_option
def replay_command(
    places: tuple[Place, ...], reason: str | None, *, is_all: bool, is_json: bool
) -> None:
    """Publish dead letters again, unchanged, to the topics they came from.

    A request that has become a send is known by its identity: nothing is sent twice.
    """
    if bool(places) == is_all:
        raise click.ClickException("PARTITION:OFFSET: name some, or give --all, not both")
    replayed = run_quietly(
        _replayed(settings_for("dlq"), Wanted(places, reason), is_shown=not is_json)
    )
    if is_json:
        left = [{"place": place, "why": why} for place, why in replayed.left]
        screen.as_json({"published": replayed.published, "left": left})
    else:
        for place, why in replayed.left:
            screen.line(f"{place} was not published: it {why}.")
        screen.line(f"Published {replayed.published} again.")
    # What somebody named and did not get is their mistake; what --all passes over is told only.
    sys.exit(USAGE if places and replayed.left else 0)


async def _listed(settings: Settings, wanted: Wanted) -> Sequence[Letter]:
    async with app_commands.dead_letters(settings) as letters:
        return await letters.listed(wanted)


async def _shown(settings: Settings, place: Place) -> Mapping[str, Any] | None:
    async with app_commands.dead_letters(settings) as letters:
        return await letters.shown(place)


async def _replayed(settings: Settings, wanted: Wanted, *, is_shown: bool) -> Replayed:
    async with (
        app_commands.dead_letters(settings) as letters,
        app_commands.opened_sink(settings) as sink,
    ):
        total = len(wanted.places) or letters.size
        with screen.progress(total, "published", is_shown=is_shown) as tell:
            return await letters.replay(wanted, sink, tell)


def _row(letter: Letter) -> list[str]:
    origin = f"{letter.topic}/{letter.source_partition}:{letter.source_offset}"
    event = letter.event_id or "-"
    cut = " (truncated)" if letter.is_truncated else ""
    refused = screen.moment(letter.refused_at.replace(microsecond=0))
    return [letter.place, refused, letter.reason, letter.detail, origin, f"{event}{cut}"]
