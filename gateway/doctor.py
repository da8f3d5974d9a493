"""What a check found, in words: well, not looked at, or what is wrong and what to do.

Invariant: a fault always says what to do. Knows no part of the gateway; `app_doctor.py` looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Health(StrEnum):
    """How a check ended."""

    OK = "ok"
    SKIPPED = "skipped"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's. `is_setting`: a setting is at fault, not the world."""

    name: str
    health: Health
    what: str
    todo: str = ""
    is_setting: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "check": self.name,
            "health": self.health.value,
            "what": self.what,
            "todo": self.todo or None,
        }


def ok(name: str, what: str) -> Check:
    """All is well."""
    return Check(name, Health.OK, what)


def skipped(name: str, what: str) -> Check:
    """Not looked at, and why."""
    return Check(name, Health.SKIPPED, what)


def fault(name: str, what: str, todo: str) -> Check:
    """Something outside of our settings is wrong."""
    return Check(name, Health.FAULT, what, todo)


def wrong_setting(name: str, what: str, todo: str) -> Check:
    """A setting is wrong; `what` names it."""
    return Check(name, Health.FAULT, what, todo, is_setting=True)


def exit_code(checks: Sequence[Check]) -> int:
    """0 when all is well, 2 when a setting is at fault, else 70."""
    faults = [check for check in checks if check.health is Health.FAULT]
    if not faults:
        return 0
    return 2 if any(check.is_setting for check in faults) else 70
