"""The source text of the project, read as trees, for the tests in `tests/house/`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("channels", "gateway")
PARTS_OF_THE_PROJECT = (*PACKAGES, "bench", "deploy", "docs", "scripts", "templates", "tests")


@dataclass(frozen=True)
class Module:
    """One Python file: `path` as written in the tables of rules, `name` as imported."""

    path: str
    text: str

    @property
    def name(self) -> str:
        """The dotted name."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, self.path)

    def at(self, node: ast.AST, what: str) -> str:
        """One line of a report."""
        return f"{self.path}:{getattr(node, 'lineno', 1)} {what}"


@dataclass(frozen=True)
class Import:
    """One imported thing: `module`, and the `member` taken from it, if any."""

    node: ast.AST
    module: str
    member: str = ""

    @property
    def library(self) -> str:
        """The first name: what is installed."""
        return self.module.partition(".")[0]


def modules() -> list[Module]:
    """Every Python file of the packages."""
    return [
        Module(path.relative_to(ROOT).as_posix(), path.read_text())
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def texts() -> Iterator[tuple[str, str]]:
    """Every text file of the project with its path; what is made by tools is left out."""
    files = [path for part in PARTS_OF_THE_PROJECT for path in sorted((ROOT / part).rglob("*"))]
    files += sorted(path for path in ROOT.iterdir() if path.suffix or path.name[0].isupper())
    files += [ROOT / ".ci/run"]
    for path in files:
        if not path.is_file() or "__pycache__" in path.parts or "node_modules" in path.parts:
            continue
        try:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # A picture or a key is no text.


def imports(tree: ast.AST) -> Iterator[Import]:
    """Every import in a tree, wherever it stands; `from a import b` may mean the module `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (Import(node, node.module or "", alias.name) for alias in node.names)
