from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from support.loopback import NotLoopbackError, is_local
from support.parts import Parts, missing_counts


def test_a_missing_part_skips_with_one_line_that_names_it(tmp_path: Path) -> None:
    """On a developer's machine a missing part is a skip."""
    parts = Parts(tmp_path, {"PATH": str(tmp_path)})
    with pytest.raises(
        pytest.skip.Exception, match=r"^missing part: chromium \(run `make parts`\)$"
    ):
        _ = parts.chromium


def test_a_missing_part_fails_where_ci_installs_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In CI as root a missing part is a failure; as anybody else it stays a skip."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(pytest.fail.Exception, match="missing part: smtp-sink"):
        _ = Parts(tmp_path, {"PATH": str(tmp_path), "CI": "true"}).smtp_sink
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(pytest.skip.Exception):
        _ = Parts(tmp_path, {"PATH": str(tmp_path), "CI": "true"}).smtp_sink


def test_a_part_that_is_there_is_found(tmp_path: Path) -> None:
    """Kafka needs java and its jars, prism needs node."""
    (tmp_path / "java").touch(mode=0o755)
    (tmp_path / ".parts/kafka/libs").mkdir(parents=True)
    parts = Parts(tmp_path, {"PATH": str(tmp_path)})
    with pytest.raises(pytest.skip.Exception, match="kafka"):
        _ = parts.kafka_libs
    (tmp_path / ".parts/kafka/libs/kafka_2.13-4.1.1.jar").touch()
    assert parts.kafka_libs == tmp_path / ".parts/kafka/libs"


def test_skips_are_counted_by_the_part_that_is_missing() -> None:
    """The summary counts parts, and no other skips."""
    reasons = ["Skipped: missing part: node (run `make parts`)"] * 2 + ["Skipped: not today"]
    assert missing_counts(reasons) == {"node": 2}


@pytest.mark.parametrize(
    ("address", "local"),
    [
        (("127.0.0.1", 80), True),
        (("127.8.9.1", 80), True),
        (("::1", 80, 0, 0), True),
        (("localhost", 80), True),
        ("/run/some.socket", True),
        (("10.0.0.1", 80), False),
        (("0.0.0.0", 80), False),  # noqa: S104 - nothing is bound
        (("example.com", 80), False),
        (("2001:db8::1", 80, 0, 0), False),
    ],
)
def test_f10_only_loopback_is_local(address: object, *, local: bool) -> None:
    """F-10: loopback and local sockets are this machine, nothing else is."""
    assert is_local(address) is local


async def test_f10_a_connect_that_leaves_this_machine_is_refused_and_remembered(
    stay_on_this_machine: list[str],
) -> None:
    """F-10: the connect raises before a packet leaves, also under asyncio, also when swallowed."""
    with socket.socket() as plain, pytest.raises(NotLoopbackError):
        plain.connect(("192.0.2.1", 9))
    with contextlib.suppress(Exception):
        await asyncio.open_connection("192.0.2.1", 9)
    assert stay_on_this_machine == ["socket.connect ('192.0.2.1', 9)"] * 2
    stay_on_this_machine.clear()
