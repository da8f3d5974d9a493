"""The commands that look at, feed and mend a gateway: doctor, send, explain, results, switch.

Invariant: a command parses words, asks `app_commands` and writes what came back; `--json` writes
one JSON document and nothing else on standard output. Those about dead letters are in
`commands_dlq.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from gateway import app_commands, app_doctor
from gateway import commands_screen as screen
from gateway.commands_dlq import dlq
from gateway.commands_end import USAGE, run_quietly, settings_for
from gateway.commands_file import Ready
from gateway.commands_story import COLUMNS, lift_sentence, result_rows, timeline
from gateway.doctor import exit_code

SHOWN_MAX: Final = 20
STDIN: Final = Path("-")
REASON_MAX: Final = 1024

json_option = click.option("--json", "is_json", is_flag=True, help="write JSON")


@click.command()
@click.option("--online", "is_online", is_flag=True, help="also call the public URL")
@json_option
def doctor(*, is_online: bool, is_json: bool) -> None:
    """Check every part that `run` needs, and say what to do."""
    settings = settings_for("doctor")
    tell = (lambda _: None) if is_json else screen.check
    checks = run_quietly(app_doctor.examine(settings, tell, is_online=is_online))
    code = exit_code(checks)
    if is_json:
        screen.as_json({"healthy": code == 0, "checks": [one.as_dict() for one in checks]})
    sys.exit(code)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@json_option
def send(file: Path, *, is_json: bool) -> None:
    """Publish the events of FILE to the sends topic.

    FILE holds one CloudEvent, a JSON array of them, or one a line; `-` is standard input.
    All of them are checked first; when one cannot be taken, none is published.
    """
    settings = settings_for("send")
    events, faults = app_commands.events_of(_read(file))
    if faults:
        for fault in faults:
            click.echo(fault, err=True)
        click.echo(f"{len(faults)} events cannot be taken: nothing was published", err=True)
        sys.exit(USAGE)
    if not events:
        raise click.ClickException("FILE: holds no event")
    with screen.progress(len(events), "published", is_shown=not is_json) as tell:
        run_quietly(app_commands.publish(settings, events, tell))
    _tell_sent(settings.kafka.sends_topic, events, is_json=is_json)


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == STDIN else file.read_bytes()
    except OSError as error:
        raise click.ClickException(f"FILE: {file}: {error.strerror}") from error


def _tell_sent(topic: str, events: Sequence[Ready], *, is_json: bool) -> None:
    sends = [
        {"type": one.type, "source": one.source, "id": one.id, "send_id": one.send_id}
        for one in events
    ]
    if is_json:
        screen.as_json({"topic": topic, "published": len(sends), "sends": sends})
        return
    for one in sends[:SHOWN_MAX]:
        what = f"send {one['send_id']}" if one["send_id"] else one["type"]
        screen.line(f"{one['source']} {one['id']}: {what}")
    if len(sends) > SHOWN_MAX:
        screen.line(f"… and {len(sends) - SHOWN_MAX} more; --json names all")
    screen.line(f"Published {len(sends)} to {topic}.")


@click.command()
@click.argument("send_id")
@json_option
def explain(send_id: str, *, is_json: bool) -> None:
    """Tell why a send went out, waited or stopped."""
    story = run_quietly(app_commands.story(settings_for("explain"), send_id.strip().lower()))
    if story is None:
        raise click.ClickException(f"SEND_ID: this store has no send {send_id}")
    if is_json:
        screen.as_json(story)
        return
    for number, text in enumerate(timeline(story)):
        screen.line(text, "bold" if number == 0 else "")


@click.command()
@click.argument("campaign")
@json_option
def results(campaign: str, *, is_json: bool) -> None:
    """Show what a campaign brought, and whether it was the campaign."""
    found = run_quietly(app_commands.results(settings_for("results"), campaign))
    if is_json:
        screen.as_json(found)
        return
    screen.table(COLUMNS, result_rows(found), right_from=1)
    screen.line("")
    screen.line(lift_sentence(found), "bold")


@click.command()
@click.argument("scope")
@click.argument("state", type=click.Choice(["stopped", "running"]))
@click.option("--discard", "is_discard", is_flag=True, help="end what is queued, as killed")
@click.option("--reason", required=True, metavar="TEXT", help="why; kept with the switch")
@json_option
def switch(scope: str, state: str, reason: str, *, is_discard: bool, is_json: bool) -> None:
    """Stop SCOPE or let it run again; gateways notice within about a second.

    SCOPE is `global`, `channel:email|sms|push` or `campaign:NAME`.
    """
    is_stopped = state == "stopped"
    if is_discard and not is_stopped:
        raise click.ClickException("--discard: goes with `stopped` only")
    if not 0 < len(reason.strip()) <= REASON_MAX:
        raise click.ClickException(f"--reason: needs 1 to {REASON_MAX} characters")
    killed = run_quietly(
        app_commands.switch(
            settings_for("switch"), scope, is_stopped=is_stopped, discard=is_discard, reason=reason
        )
    )
    if is_json:
        screen.as_json({"scope": scope, "state": state, "reason": reason, "killed": killed})
        return
    tail = f"; {killed} sends that waited were ended as killed" if is_discard else ""
    screen.line(f"{scope} is {state}{tail}.")


COMMANDS: Final = (doctor, send, explain, results, switch, dlq)
"""What `__main__` adds to `winback`."""
