"""How a command ends: our errors as one line and an exit code, never a traceback.

Exit codes: 0 done, 2 bad usage or settings (one line that names the variable), 70 internal fault,
130 interrupted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import traceback
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import click

from gateway import config
from gateway.errors import (
    EventsRefused,
    GatewayError,
    SettingsError,
    StoreBehind,
    StoreInUse,
    TemplateError,
)
from gateway.settings import Settings
from gateway.telemetry import log_to_stderr

T = TypeVar("T")
USAGE: Final = 2
FAULT: Final = 70
INTERRUPTED: Final = 130
BLAMELESS: Final = (SettingsError, TemplateError, StoreBehind, StoreInUse)
FRAMES: Final = 3


class told_in_a_line:  # noqa: N801 - reads as a clause: with told_in_a_line()
    """Whatever ends a command leaves as one line on standard error and an exit code."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, SystemExit):
            return
        end(error)


def end(error: BaseException) -> None:
    """Say what went wrong and leave with the exit code that belongs to it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    match error:
        case click.exceptions.Abort() | KeyboardInterrupt():
            sys.exit(INTERRUPTED)
        case BrokenPipeError():
            # Whoever read us has gone; closing standard output must not fail a second time.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            sys.exit(USAGE)
        case click.UsageError():
            where = error.ctx.command_path if error.ctx is not None else "winback"
            _leave(f"{where}: {error.format_message()}", USAGE)
        case click.ClickException():
            _leave(error.format_message(), USAGE)
        case EventsRefused():
            _leave("; ".join(f"{path}: {what}" for path, what in error.faults), USAGE)
        case GatewayError():
            is_usage = isinstance(error, BLAMELESS)
            _leave(str(error) if is_usage else f"fault: {error}", USAGE if is_usage else FAULT)
        case _:
            # The text of a foreign error may hold anything: its kind and place must do.
            _leave(f"fault: {type(error).__name__} at {_where(error)}; please report it", FAULT)


def _leave(line: str, code: int) -> None:
    click.echo(" ".join(line.split()), err=True)
    sys.exit(code)


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)


def run_quietly(work: Coroutine[Any, Any, T]) -> T:
    """Run a short command: what a library would log is told by the command itself."""
    log_to_stderr("error", is_json=True)
    logging.disable(logging.CRITICAL)
    return asyncio.run(work)


def settings_for(command: str) -> Settings:
    """The settings of this process, complete for a command."""
    return config.load_here(command=command)
