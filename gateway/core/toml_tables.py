"""Reading TOML that people write: one table at a time, every mistake told with its key.

Invariant: no key is ignored, and a fault names the full path of the key it is about. Knows texts
and values, not which file they came from.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from gateway.core import durations


class TomlFault(ValueError):  # noqa: N818 - the first fault of a file, as a value to report
    """What is wrong, and at which key (`caps[0].max`; empty when the text is no TOML)."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key}: {what}" if key else what)
        self.key = key
        self.what = what


@dataclass(frozen=True, slots=True)
class Table:
    """One table; `at` is its path in the file, empty for the whole file."""

    at: str
    values: Mapping[str, Any]

    def path(self, key: str) -> str:
        """The full path of a key of this table."""
        return f"{self.at}.{key}" if self.at else key

    def fault(self, key: str, what: str) -> TomlFault:
        """The error that names a key of this table."""
        return TomlFault(self.path(key), what)

    def only(self, known: Iterable[str]) -> None:
        """Refuse keys that nobody reads."""
        offered = tuple(known)
        for key in self.values:
            if key not in offered:
                raise self.fault(key, f"is not known here; known are {', '.join(offered)}")

    def table(self, key: str) -> Table:
        """A table inside this one; empty when absent."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.fault(key, f"must be a table: [{self.path(key)}]")
        return Table(self.path(key), value)

    def tables(self, key: str) -> list[Table]:
        """Any number of tables of one name, in order; none when absent."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.fault(key, f"must be tables: [[{self.path(key)}]]")
        return [Table(f"{self.path(key)}[{n}]", item) for n, item in enumerate(value)]

    def needs(self, *keys: str) -> None:
        """Refuse a table in which a key is missing."""
        for key in keys:
            if key not in self.values:
                raise self.fault(key, "is missing")

    def duration(self, key: str, *, is_zero_allowed: bool = False) -> timedelta | None:
        """A length of time, None when absent."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.fault(key, 'must be a duration in quotes, such as "P7D" or "PT15M"')
        try:
            length = durations.parse(value)
        except ValueError as error:
            raise self.fault(key, str(error)) from error
        if not length and not is_zero_allowed:
            raise self.fault(key, "must be longer than nothing")
        return length

    def number(self, key: str) -> float | None:
        """A number over 0, None when absent."""
        value = self.values.get(key)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 < value < float("inf"):
            raise self.fault(key, "must be a number over 0")
        return float(value)

    def whole(self, key: str, *, least: int) -> int:
        """A whole number."""
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.fault(key, f"must be a whole number from {least} up")
        return value

    def yes(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.fault(key, "must be true or false")
        return value

    def text(self, key: str, *, default: str = "") -> str:
        """A text."""
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise self.fault(key, "must be a text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of different texts; none when absent."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fault(key, "must be a list of texts")
        if len(set(value)) < len(value):
            raise self.fault(key, "names something twice")
        return tuple(value)

    def some_of(self, key: str, offered: Iterable[str]) -> frozenset[str]:
        """One or more of what is offered."""
        names = tuple(offered)
        found = self.texts(key)
        if not found or not set(found) <= set(names):
            raise self.fault(key, f"must be a list with some of {', '.join(names)}")
        return frozenset(found)


def read(text: str) -> Table:
    """A whole file as a table; TomlFault with line and column where it is no TOML."""
    try:
        return Table("", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise TomlFault("", f"is no TOML: {error}") from error
    except RecursionError as error:
        raise TomlFault("", "is no TOML: nested too deeply") from error
