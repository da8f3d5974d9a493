from __future__ import annotations

import importlib.util
import re
import subprocess
from types import ModuleType

import pytest
from support.source import ROOT, texts

from gateway.config import SECRETS_DIR, variables

VARIABLE = re.compile(r"WINBACK_[A-Z]+__[A-Z0-9_]*[A-Z0-9](?![A-Z0-9_<*])")
# Written in two pieces, so that this file is not one of its own findings.
MARKERS = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
OF_THIS_MACHINE = ["/work" + "/", ".libr" + "ary/", "pythonhosted" + ".org", "npmjs" + ".org"]


@pytest.fixture(scope="module")
def configuration_page() -> ModuleType:
    """The script that prints the page of settings."""
    path = ROOT / "scripts/configuration_page.py"
    spec = importlib.util.spec_from_file_location("configuration_page", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_settings_is_the_table_of_settings(configuration_page: ModuleType) -> None:
    """docs/configuration.md is what `make fmt` would print now."""
    assert (ROOT / "docs/configuration.md").read_text() == configuration_page.page()


def test_every_setting_is_on_the_page_with_a_meaning() -> None:
    """A variable without a sentence is not documented."""
    page = (ROOT / "docs/configuration.md").read_text()
    for variable in variables():
        assert f"| `{variable.name}` | " in page
        assert variable.row.meaning
    assert SECRETS_DIR in page


def test_no_page_or_manifest_names_a_setting_that_is_not_there() -> None:
    """What a reader copies out of the docs must work."""
    known = {variable.name for variable in variables()}
    wrong = [
        f"{path}: {name}"
        for path, text in texts()
        if path.endswith((".md", ".yaml", ".yml", ".toml", "Dockerfile", "Makefile"))
        for name in VARIABLE.findall(text)
        if name not in known
    ]
    assert not wrong, "\n".join(wrong)


def test_no_left_over_markers() -> None:
    """What is left to do is an issue, not a comment."""
    left = [
        f"{path}:{number}"
        for path, text in texts()
        if path.endswith((".py", ".sh", ".sql", ".toml", ".md", "Makefile", "Dockerfile"))
        for number, line in enumerate(text.splitlines(), start=1)
        if any(re.search(rf"\b{marker}\b", line) for marker in MARKERS)
    ]
    assert not left, "\n".join(left)


def test_nothing_names_the_machine_that_it_was_written_on() -> None:
    """Paths of a workplace and hosts of registries mean nothing to whoever clones this."""
    found = [
        f"{path}: {text[max(0, text.find(name) - 20) : text.find(name) + 40]!r}"
        for path, text in texts()
        for name in OF_THIS_MACHINE
        if name in text
    ]
    assert not found, "\n".join(found)


def test_make_alone_says_what_can_be_done() -> None:
    """Each way to work that CONTRIBUTING.md names is listed by `make`, with a sentence."""
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = set(re.findall(r"^  make (\w+) +\S.*$", done.stdout, re.MULTILINE))
    assert {"setup", "demo", "test", "check", "fmt", "bench", "lock", "wheel", "clean"} <= listed
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"`make (\w+)`", contributing)) <= listed


def test_ci_runs_what_people_run() -> None:
    """CI is `make test` and nothing that a person could not run."""
    commands = [
        line
        for line in (ROOT / ".ci/run").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert commands == ["set -eu", 'cd "$(dirname "$0")/.."', "make test"]


def test_shell_scripts_stop_at_the_first_fault() -> None:
    """A script that goes on after a fault leaves half of something."""
    for path in [*(ROOT / "scripts").glob("*.sh"), ROOT / ".ci/run"]:
        lines = path.read_text().splitlines()
        assert lines[0] == "#!/usr/bin/env bash"
        assert any(line in {"set -eu", "set -euo pipefail"} for line in lines[:4])
        assert path.stat().st_mode & 0o111
