"""A transaction as a script: a generator that asks and tells, and never touches a database.

Each store runs the same scripts in its own way (SQLite in its writer thread, PostgreSQL on a
connection), so that what a transaction means is written once. What differs is said in
`sql/<dialect>.sql`, where every query has a name and a sentence.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

Row = tuple[Any, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """Run the named query once per row of parameters; the answer is all rows it found."""

    query: str
    rows: Sequence[Row] = ((),)


@dataclass(frozen=True, slots=True)
class Tell:
    """Run the named statement once per row of parameters; the answer is empty."""

    query: str
    rows: Sequence[Row]


Script = Generator[Ask | Tell, list[Row], T]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(at: datetime) -> int:
    """An instant as integer milliseconds, as the store keeps it."""
    return (at - _EPOCH) // _MILLISECOND


def to_ms_or_none(at: datetime | None) -> int | None:
    """As `to_ms`, for an instant that may be absent."""
    return None if at is None else to_ms(at)


def from_ms(ms: int) -> datetime:
    """The instant of stored milliseconds, in UTC."""
    return _EPOCH + ms * _MILLISECOND
