"""Real peers that tests run against: where they are, and what happens when one is missing.

Invariant: a part that is asked for and missing ends the test with one line that names it:
skipped on a developer's machine, failed where CI installs everything (`CI=true` as root).
`scripts/parts.sh` installs what is looked for here; nothing is installed from this file.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REASON = "missing part: {name} (run `make parts`)"
_SKIPPED = re.compile(r"missing part: (?P<name>[\w -]+) \(")


class Parts:
    """The peers by name; each attribute is a path that exists, or the test does not go on."""

    def __init__(self, root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> None:
        self._installed = root / ".parts"
        self._path = environ.get("PATH", os.defpath)
        self._must_be_there = environ.get("CI") == "true" and os.geteuid() == 0

    @property
    def node(self) -> Path:
        """The node program."""
        return self._program("node")

    @property
    def prism(self) -> Path:
        """The prism program, a mock server made from an OpenAPI document; it needs node."""
        self._program("node")
        return self._file("prism", self._installed / "prism/node_modules/.bin/prism")

    @property
    def java(self) -> Path:
        """The java program, 17 or later."""
        return self._program("java")

    @property
    def kafka_libs(self) -> Path:
        """A folder with the jars of Apache Kafka, for `java -cp <folder>/*`."""
        self._program("java")
        libs = self._installed / "kafka/libs"
        if not any(libs.glob("kafka_*.jar")):
            raise self._missing("kafka")
        return libs

    @property
    def chromium(self) -> Path:
        """The Chromium browser."""
        return self._program("chromium", "chromium-browser", "google-chrome")

    @property
    def smtp_sink(self) -> Path:
        """Postfix's smtp-sink, a mail server that takes everything."""
        return self._file("smtp-sink", self._installed / "postfix/smtp-sink")

    @property
    def kubectl(self) -> Path:
        """The kubectl program, used as `kubectl kustomize` only."""
        return self._program("kubectl")

    @property
    def initdb(self) -> Path:
        """PostgreSQL's initdb, beside `postgres` and `psql`."""
        return self.postgres_bin / "initdb"

    @property
    def postgres_bin(self) -> Path:
        """The folder that holds the PostgreSQL server's programs; they refuse to run as root."""
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
        on_path = shutil.which("postgres", path=self._path)
        if on_path:
            folders.append(Path(on_path).resolve().parent)
        for folder in folders:
            if (folder / "initdb").exists() and (folder / "postgres").exists():
                return folder
        raise self._missing("postgresql")

    def _program(self, *names: str) -> Path:
        for name in names:
            found = shutil.which(name, path=self._path)
            if found:
                return Path(found)
        raise self._missing(names[0])

    def _file(self, name: str, path: Path) -> Path:
        if not path.exists():
            raise self._missing(name)
        return path

    def _missing(self, name: str) -> BaseException:
        reason = REASON.format(name=name)
        if self._must_be_there:
            return pytest.fail.Exception(reason, pytrace=False)
        return pytest.skip.Exception(reason)


def missing_counts(reasons: Iterable[str]) -> Counter[str]:
    """How many skipped tests each missing part explains, from the reasons pytest reports."""
    names = (_SKIPPED.search(reason) for reason in reasons)
    return Counter(match["name"] for match in names if match)


def _version(bin_folder: Path) -> int:
    name = bin_folder.parent.name
    return int(name) if name.isdigit() else 0
