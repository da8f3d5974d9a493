from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from support.source import ROOT

LEFT_OUT = shutil.ignore_patterns(
    ".*", "build", "dist", "*.egg-info", "__pycache__", "node_modules"
)
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def _run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "copy", ignore=LEFT_OUT)
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
    _run(sys.executable, *build, folder / "copy", folder=folder)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel: its `bin`. Its dependencies are this environment's."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, symlinks=True, with_pip=False)
    python = home / "bin/python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    _run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, folder=home)
    (site,) = home.glob("lib/python*/site-packages")
    # A path in a .pth file is only a path: the editable install that is in there stays asleep.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    return home / "bin"


def test_the_wheel_holds_the_packages_and_their_data_and_nothing_else(wheel: Path) -> None:
    """Templates, queries and migrations travel along; tests and tools do not."""
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"channels", "gateway", f"winback_gateway-{VERSION}.dist-info"}
    for package in ("channels", "gateway"):
        sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*.py")}
        assert sources <= names
    for folder, pattern in (("gateway", "*.sql"), ("gateway", "*.css"), ("gateway", "*.toml")):
        data = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob(pattern)}
        assert data <= names
    templates = {
        f"gateway/_templates/{path.relative_to(ROOT / 'templates').as_posix()}"
        for path in (ROOT / "templates").rglob("*.*")
        if path.is_file() and path.name != ".keep"
    }
    assert templates <= names


def test_the_installed_program_says_its_version(installed: Path, tmp_path: Path) -> None:
    """`winback version` works outside the checkout, from the wheel."""
    assert VERSION in _run(installed / "winback", "version", folder=tmp_path)
    where = "import gateway, channels; print(gateway.__file__, channels.__file__)"
    places = _run(installed / "python", "-c", where, folder=tmp_path).split()
    assert all(place.startswith(str(installed.parent)) for place in places)


def test_the_installed_program_brings_its_templates(installed: Path, tmp_path: Path) -> None:
    """`winback preview` finds the packaged templates, in both languages."""
    danish = _run(installed / "winback", "preview", "hello", "--locale", "da", folder=tmp_path)
    english = _run(installed / "winback", "preview", "hello", "--locale", "en", folder=tmp_path)
    assert danish.strip()
    assert danish != english


def test_the_lock_covers_what_is_declared_and_names_no_registry() -> None:
    """Every declared package is locked with hashes; where it comes from is the machine's choice."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lock = (ROOT / "requirements.lock").read_text()
    locked = {line.partition("==")[0] for line in lock.splitlines() if "==" in line}
    for requirement in declared:
        name = requirement.partition(">")[0].partition("<")[0].partition("=")[0].lower()
        assert name in locked
    pinned = [line for line in lock.splitlines() if "==" in line and not line.startswith(" ")]
    assert all(line.endswith("\\") for line in pinned)
    assert "://" not in lock
    assert "--index" not in lock
