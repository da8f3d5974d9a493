"""The SQLite store: one file, one process, one writer thread with group commit.

Invariant: what a method returned is on the disk (`synchronous=FULL`). All writes that wait while
a commit runs share the next one. A second gateway process on the same file is refused.
"""

from __future__ import annotations

import asyncio
import fcntl
import queue
import secrets
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from channels.contract import Receipt
from gateway.clock import Clock
from gateway.core.delivery import Claim, Tried
from gateway.core.plan import Plan
from gateway.errors import StoreBehind, StoreError, StoreInUse, StoreUnavailable
from gateway.store import admissions, claims, engagements, queries, upkeep
from gateway.store.contract import (
    Admission,
    Admitted,
    Answer,
    Backlog,
    Change,
    Claimed,
    Hit,
    Pending,
    Refusal,
)
from gateway.store.rows import outgoing
from gateway.store.script import Ask, Row, Script, Tell

T = TypeVar("T")
GROUP_MAX = 64
MEMORY = ":memory:"
_FAR = datetime(9999, 1, 1, tzinfo=UTC)

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -16000",
    "PRAGMA temp_store = MEMORY",
)


@dataclass(frozen=True, slots=True)
class _Work:
    """One script on its way to a thread, and where its answer goes."""

    script: Script[Any]
    done: asyncio.Future[Any]


class SqliteStore:
    """The store on SQLite; `:memory:` for fast tests.

    `owns` is True for the gateway process: it takes the lock, and claims that it finds open are
    of a process that died, so they are in doubt.
    """

    def __init__(
        self, path: str, *, clock: Clock, doubt_wait: timedelta, owns: bool = True
    ) -> None:
        self._path = path
        self._clock = clock
        self._doubt_wait = doubt_wait
        self._owns = owns
        self._lock: IO[str] | None = None
        self._secret = b""
        self._writer = _Thread("store-writer", path, is_writer=True)
        self._reader = (
            self._writer if path == MEMORY else _Thread("store-reader", path, is_writer=False)
        )

    async def __aenter__(self) -> Self:
        if self._owns and self._path != MEMORY:
            self._lock = _take_lock(self._path)
            migrate(self._path)
        await self._writer.start()
        if self._path == MEMORY:
            await self._writer.call(_migrate)
        await self._writer.call(_check_version)
        if self._reader is not self._writer:
            await self._reader.start()
        self._secret = await self._read(_secret())
        if self._owns:
            await self._sweep(now=_FAR, doubt_now=self._clock.now(), limit=1_000_000)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reader is not self._writer:
            await self._reader.stop()
        await self._writer.stop()
        if self._lock is not None:
            self._lock.close()

    @property
    def secret(self) -> bytes:
        return self._secret

    async def admit(
        self,
        batch: Sequence[Admission],
        refusals: Sequence[Refusal] = (),
        *,
        room: Mapping[str, int],
        claim_for: timedelta,
        now: datetime,
        is_whole: bool = False,
    ) -> Sequence[Admitted]:
        return await self._write(
            admissions.admit(
                batch, refusals, room=room, claim_for=claim_for, now=now, is_whole=is_whole
            )
        )

    async def claim(
        self, channel: str, limit: int, *, claim_for: timedelta, now: datetime
    ) -> Sequence[Claimed]:
        return await self._write(claims.claim(channel, limit, claim_for=claim_for, now=now))

    async def settle(self, tried: Sequence[Tried], *, now: datetime) -> int:
        return await self._write(claims.settle(tried, doubt_wait=self._doubt_wait, now=now))

    async def release(self, held: Sequence[Claim], *, now: datetime) -> None:
        await self._write(claims.release(held, now=now))

    async def pending(self, limit: int) -> Sequence[Pending]:
        return await self._read(_pending(limit))

    async def published(self, mark: int) -> None:
        await self._write(_set_mark(mark))

    async def record(
        self,
        *,
        now: datetime,
        hits: Sequence[Hit] = (),
        receipts: Sequence[Receipt] = (),
        changes: Sequence[Change] = (),
        answers: Sequence[Answer] = (),
    ) -> Sequence[Sequence[bytes] | None]:
        return await self._write(
            engagements.record(
                now=now,
                hits=hits,
                receipts=receipts,
                changes=changes,
                answers=answers,
                secret=self._secret,
            )
        )

    async def keep_links(self, links: Sequence[tuple[str, str, int, str]]) -> None:
        await self._write(_tell("insert_links", links))

    async def link(self, code: str) -> tuple[str, int, str] | None:
        found = await self._read(_ask("link", (code,)))
        return (found[0][0], found[0][1], found[0][2]) if found else None

    async def stands(self, delivery_id: str) -> tuple[Plan, str, Mapping[str, bool]] | None:
        return await self._read(engagements.stands(delivery_id))

    async def sweep(self, *, now: datetime, limit: int) -> int:
        return await self._sweep(now=now, doubt_now=now, limit=limit)

    async def backlog(self, *, now: datetime) -> Backlog:
        return await self._read(upkeep.backlog(now=now))

    async def story(self, send_id: str) -> Mapping[str, Any] | None:
        return await self._read(upkeep.story(send_id))

    async def purge(self, *, before: datetime, limit: int) -> int:
        return await self._write(upkeep.purge(before=before, limit=limit))

    async def _sweep(self, *, now: datetime, doubt_now: datetime, limit: int) -> int:
        return await self._write(
            claims.sweep(doubt_wait=self._doubt_wait, lost_before=now, now=doubt_now, limit=limit)
        )

    async def _write(self, script: Script[T]) -> T:
        return await self._writer.run(script)

    async def _read(self, script: Script[T]) -> T:
        return await self._reader.run(script)


# --- scripts that only this store needs -----------------------------------------------------


def _ask(query: str, row: Row) -> Script[list[Row]]:
    return (yield Ask(query, [row]))


def _tell(query: str, rows: Sequence[Row]) -> Script[None]:
    yield Tell(query, rows)


def _secret() -> Script[bytes]:
    ((value,),) = yield Ask("secret")
    return bytes(value)


def _pending(limit: int) -> Script[Sequence[Pending]]:
    mark = yield from upkeep.published_mark()
    rows = yield Ask("pending_facts", [(mark, limit)])
    return [Pending(row[0], outgoing(*row[1:])) for row in rows]


def _set_mark(mark: int) -> Script[None]:
    yield Tell("set_published_mark", [(mark,)])


# --- the threads ----------------------------------------------------------------------------


class _Thread:
    """A thread that owns a connection and runs scripts on it, in order of arrival."""

    def __init__(self, name: str, path: str, *, is_writer: bool) -> None:
        self._name = name
        self._path = path
        self._is_writer = is_writer
        self._queries = queries.load("sqlite")
        self._inbox: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    async def start(self) -> None:
        with _translated():
            self._connection = _connect(self._path)
        self._thread.start()

    async def stop(self) -> None:
        if self._thread.is_alive():
            self._inbox.put(None)
            await asyncio.to_thread(self._thread.join)
        if self._connection is not None:
            self._connection.close()

    async def call(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Run a function on the connection before any script does."""
        assert self._connection is not None, "started"  # noqa: S101 - an invariant of ours
        with _translated():
            work(self._connection)

    async def run(self, script: Script[T]) -> T:
        """The answer of a script; durable when it wrote."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._inbox.put(_Work(script, done))
        return await done

    def _loop(self) -> None:
        while True:
            first = self._inbox.get()
            if first is None:
                return
            group, is_last = self._group(first)
            self._run_group(group)
            if is_last:
                return

    def _group(self, first: _Work) -> tuple[list[_Work], bool]:
        group = [first]
        with suppress(queue.Empty):
            while len(group) < GROUP_MAX:
                work = self._inbox.get_nowait()
                if work is None:
                    return group, True
                group.append(work)
        return group, False

    def _run_group(self, group: list[_Work]) -> None:
        try:
            with _translated():
                answers = self._commit(group)
        except StoreError as error:
            answers = [error] * len(group)
        for work, answer in zip(group, answers, strict=True):
            _deliver(work.done, answer)

    def _commit(self, group: list[_Work]) -> list[Any]:
        connection = self._connection
        assert connection is not None, "started"  # noqa: S101 - an invariant of ours
        connection.execute("BEGIN IMMEDIATE" if self._is_writer else "BEGIN")
        try:
            answers = [self._one(connection, work.script) for work in group]
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return answers

    def _one(self, connection: sqlite3.Connection, script: Script[Any]) -> Any:
        """One script's answer, or its own fault, which does not undo the others' work."""
        connection.execute("SAVEPOINT one")
        try:
            with _translated():
                answer = self._run(connection, script)
        except StoreUnavailable:
            raise
        except StoreError as fault:
            connection.execute("ROLLBACK TO one")
            answer = fault
        connection.execute("RELEASE one")
        return answer

    def _run(self, connection: sqlite3.Connection, script: Script[T]) -> T:
        rows: list[Row] | None = None
        try:
            while True:
                step = script.send(rows)  # type: ignore[arg-type]  # the first send is None
                sql = self._queries[step.query]
                if isinstance(step, Tell):
                    connection.executemany(sql, step.rows)
                    rows = []
                    continue
                rows = []
                for parameters in step.rows:
                    rows += connection.execute(sql, parameters).fetchall()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def _deliver(done: asyncio.Future[Any], answer: Any) -> None:
    def settle() -> None:
        if done.done():
            return
        if isinstance(answer, BaseException):
            done.set_exception(answer)
        else:
            done.set_result(answer)

    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        done.get_loop().call_soon_threadsafe(settle)


# --- opening --------------------------------------------------------------------------------


class _translated:  # noqa: N801 - reads as a clause: with _translated()
    """SQLite's errors as ours; a script's own fault is one too, so that it reaches its caller."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, sqlite3.OperationalError):
            raise StoreUnavailable(str(error)) from error
        if error is not None and not isinstance(error, StoreError):
            raise StoreError(f"{type(error).__name__}: {error}") from error


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in PRAGMAS:
        connection.execute(pragma)
    return connection


def _take_lock(path: str) -> IO[str]:
    """One gateway process per file: an advisory lock beside it, gone with the process."""
    lock = Path(f"{path}.lock").open("w", encoding="utf-8")  # noqa: SIM115 - held while we run
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreInUse(
            f"WINBACK_STORE__URL: {path} is in use by another gateway process; "
            "a SQLite store serves one"
        ) from error
    return lock


def migrate(path: str) -> int:
    """Bring a store file to the newest schema; its version. Idempotent."""
    with _translated():
        connection = _connect(path)
        try:
            _migrate(connection)
            return _version(connection)
        finally:
            connection.close()


def _migrate(connection: sqlite3.Connection) -> None:
    for number, _, text in queries.migrations("sqlite"):
        if number > _version(connection):
            connection.executescript(f"BEGIN IMMEDIATE;{text};PRAGMA user_version={number};COMMIT;")
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('secret', ?) ON CONFLICT DO NOTHING",
        (secrets.token_bytes(32),),
    )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check_version(connection: sqlite3.Connection) -> None:
    newest = queries.migrations("sqlite")[-1][0]
    if _version(connection) < newest:
        raise StoreBehind("WINBACK_STORE__URL: the store is behind; run `winback migrate`")
