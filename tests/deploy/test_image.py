from __future__ import annotations

import re
import tomllib

import yaml
from support.source import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
FROM = re.compile(r"^FROM (?P<image>\S+)(?: AS (?P<stage>\S+))?$", re.MULTILINE)


def test_o13_the_last_stage_is_apart_from_the_build_on_one_exact_base() -> None:
    """O13: two stages on one base of an exact version, so the environment fits its Python."""
    stages = [(match["image"], match["stage"]) for match in FROM.finditer(DOCKERFILE)]
    assert [stage for _, stage in stages] == ["build", None]
    assert len({image for image, _ in stages}) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", stages[0][0])


def test_o13_only_what_is_locked_is_installed() -> None:
    """O13: each install checks hashes, and none of them happens in the last stage."""
    build, last = DOCKERFILE.split("\n\n\n")
    installs = re.findall(r"\bpip (?:install|wheel) [^&\n]*", build.replace("\\\n", " "))
    assert len(installs) == 3
    for install in installs:
        assert re.search(r"--require-hashes|--no-deps|--constraints requirements.lock", install)
    assert not re.search(r"pip install|apt-get|curl|wget", last)


def test_o13_the_image_runs_as_nobody_and_runs_the_gateway() -> None:
    """O13: not root, no health check of its own (probes ask), `run` unless told otherwise."""
    last = DOCKERFILE.split("\n\n\n")[1]
    assert "\nUSER 65532:65532\n" in last
    assert '\nENTRYPOINT ["winback"]\nCMD ["run"]\n' in last
    assert "HEALTHCHECK" not in DOCKERFILE


def test_o13_all_that_is_copied_gets_past_dockerignore() -> None:
    """O13: .dockerignore lets through exactly what the build copies."""
    copied = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    names = {name for line in copied for name in line.split()[:-1]}
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == names
    assert all((ROOT / name).exists() for name in names)


def test_the_manifest_runs_this_version() -> None:
    """The image that the Deployment names is the one that this checkout makes."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    deployment = yaml.safe_load((ROOT / "deploy/k8s/base/deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"winback-gateway:{version}"
