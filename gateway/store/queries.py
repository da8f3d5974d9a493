"""Named SQL: `sql/<dialect>.sql` as a table from name to text. Knows no database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

_NAMED = re.compile(
    r"^-- name: (\w+)\n((?:--[^\n]*\n)+)(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL
)


def load(dialect: str) -> Mapping[str, str]:
    """All queries of a dialect. ValueError where a name stands twice."""
    text = files("gateway.store").joinpath(f"sql/{dialect}.sql").read_text(encoding="utf-8")
    queries: dict[str, str] = {}
    for name, _, body in _NAMED.findall(text):
        if name in queries:
            raise ValueError(f"query {name} stands twice in {dialect}.sql")
        queries[name] = body.strip().rstrip(";")
    return queries


def migrations(dialect: str) -> list[tuple[int, str, str]]:
    """Number, name and text of each migration of a dialect, in order."""
    folder = files("gateway.store").joinpath("migrations")
    names = sorted(one.name for one in folder.iterdir() if one.name.endswith(f".{dialect}.sql"))
    return [
        (int(name[:4]), name, folder.joinpath(name).read_text(encoding="utf-8")) for name in names
    ]
