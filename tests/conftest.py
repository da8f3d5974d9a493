"""What every test gets: the real peers, and a guard that keeps it on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.loopback import LoopbackGuard
from support.parts import Parts, missing_counts


@pytest.fixture(scope="session")
def parts() -> Parts:
    """Real peers to test against; asking for a missing one skips, or fails where CI installs."""
    return Parts()


@pytest.fixture(scope="session")
def loopback_guard() -> LoopbackGuard:
    """The one guard of the run: an audit hook cannot be removed, so there is one."""
    return LoopbackGuard()


@pytest.fixture(autouse=True)
def stay_on_this_machine(loopback_guard: LoopbackGuard) -> Iterator[list[str]]:
    """F-10: a test that connects to a non-loopback address fails, even if it swallows the error."""
    with loopback_guard.watch() as refused:
        yield refused
    if refused:
        pytest.fail(f"the test left this machine: {', '.join(refused)}", pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped for which missing part."""
    reports = terminalreporter.stats.get("skipped", [])
    counts = missing_counts(str(report.longrepr) for report in reports)
    for name, count in sorted(counts.items()):
        terminalreporter.write_line(f"{count} skipped for the missing part: {name}")
