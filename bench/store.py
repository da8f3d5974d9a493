"""S1: admission in SQLite against a bare INSERT of the same requests, 500 a transaction.

Both start on an empty file with a write-ahead log and `synchronous=FULL`. Admission is all of it:
identity, standing of person and address, send, delivery, claim, address, in one transaction of the
writer thread. The bare INSERT writes id, digest and the request's bytes, ignoring known ids.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.figures import Comparison, Pair, Rate
from bench.places import Stopwatch, measured, on_core, rate_of, serving_core
from bench.requests import request
from gateway.clock import SystemClock
from gateway.core import plan as plans
from gateway.core.plan import Route
from gateway.core.request import SendData
from gateway.core.wire import SENDS, decode, encode_data
from gateway.store.contract import Admission
from gateway.store.sqlite import SqliteStore

BATCH = 500
BATCHES_MAX = 40
CLAIM_FOR = timedelta(seconds=90)
NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
SECRET = b"bench-only-secret-of-32-bytes---"
ZONES = frozenset({"Europe/Copenhagen"})


async def compare(pairs: int, seconds: float) -> Sequence[Comparison]:
    """S1."""
    batches = max(4, min(BATCHES_MAX, int(seconds * 20)))
    with on_core(serving_core()):
        found = await measured("store", {"pairs": pairs, "batches": batches})
    taken = [Pair(rate_of(ours), rate_of(theirs)) for ours, theirs in found["pairs"]]
    return [Comparison("S1", "admission, SQLite", "bare INSERT, SQLite", taken, waits=True)]


async def measure(arguments: dict[str, Any]) -> Any:
    """In the child: one store and one bare file, filled in turn; the first round is not counted."""
    pairs = []
    with TemporaryDirectory(prefix="bench-admission-") as folder:
        path = Path(folder)
        bare = _bare_file(path / "bare.db")
        async with SqliteStore(
            str(path / "store.db"), clock=SystemClock(), doubt_wait=CLAIM_FOR
        ) as store:
            for number in range(arguments["pairs"] + 1):
                batches = _batches(number, arguments["batches"])
                ours = await _admit(store, batches)
                pairs.append((asdict(ours), asdict(_insert(bare, batches))))
        bare.close()
    return {"pairs": pairs[1:]}


async def _admit(store: SqliteStore, batches: Sequence[Sequence[Admission]]) -> Rate:
    watch = Stopwatch()
    watch.start()
    for batch in batches:
        answers = await store.admit(batch, room={"email": 64}, claim_for=CLAIM_FOR, now=NOW)
        assert all(answer.status == "accepted" for answer in answers)
    return watch.stop(len(batches) * BATCH)


def _insert(bare: sqlite3.Connection, batches: Sequence[Sequence[Admission]]) -> Rate:
    watch = Stopwatch()
    watch.start()
    for batch in batches:
        bare.execute("BEGIN IMMEDIATE")
        bare.executemany(
            "INSERT OR IGNORE INTO requests VALUES (?, ?, ?)",
            [(one.plan.send_id, one.digest, one.request) for one in batch],
        )
        bare.execute("COMMIT")
    return watch.stop(len(batches) * BATCH)


def _bare_file(path: Path) -> sqlite3.Connection:
    bare = sqlite3.connect(path, isolation_level=None)
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("PRAGMA synchronous = FULL")
    bare.execute("PRAGMA cache_size = -16000")
    bare.execute("CREATE TABLE requests (id TEXT PRIMARY KEY, digest BLOB, request BLOB)")
    return bare


def _batches(run: int, count: int) -> list[list[Admission]]:
    return [
        [_admission(f"{run}-{batch}", number) for number in range(BATCH)] for batch in range(count)
    ]


def _admission(run: str, number: int) -> Admission:
    event = decode(request(run, number)[1], (), SENDS, zones=ZONES)
    data = event.data
    assert isinstance(data, SendData)
    plan = plans.plan_of(
        event,
        routes=(Route("email", "en", plans.subjects_of(data, "email", SECRET)),),
        template_version="bench",
        purpose="promotional",
        secret=SECRET,
        now=NOW,
    )
    return Admission(plan, event.digest, encode_data(data))
