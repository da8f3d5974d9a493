"""How the pages of the contract are written: YAML for reading, JSON for schemas.

Invariant: the same values give the same bytes, with names in the order in which they were put.
Knows nothing of the contract.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

WIDTH = 100
# YAML 1.1 readers see a date or a time in these, YAML 1.2 readers a text: quotes settle it.
_LOOKS_TIMED = re.compile(r"\d{4}-\d{2}-\d{2}.*|\d+:\d+.*")


class _Dumper(yaml.SafeDumper):
    """Lists stand indented under their name, long texts in blocks, and nothing is an alias."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002 - PyYAML's signature
        del indentless
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else '"' if _LOOKS_TIMED.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(value: Any, *, head: str) -> str:
    """The value as YAML under a comment."""
    body = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH, indent=2
    )
    return f"# {head}\n{body}"


def as_json(value: Any) -> str:
    """The value as JSON, one name a line."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
