"""A thread that owns an SQLite connection and runs scripts on it, with group commit.

All scripts that wait while a commit runs share the next one. SQLite's errors leave as ours.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from gateway.errors import StoreError, StoreUnavailable
from gateway.store import queries
from gateway.store.script import Row, Script, Tell

T = TypeVar("T")
GROUP_MAX = 64

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # what was erased is not left in free pages
    "PRAGMA cache_size = -16000",
    "PRAGMA temp_store = MEMORY",
)


class translated:  # noqa: N801 - reads as a clause: with translated()
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


def connect(path: str) -> sqlite3.Connection:
    """An open connection with this store's pragmas; transactions are begun by hand."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in PRAGMAS:
        connection.execute(pragma)
    return connection


@dataclass(frozen=True, slots=True)
class _Work:
    """One script on its way to a thread, and where its answer goes."""

    script: Script[Any]
    done: asyncio.Future[Any]


class ScriptThread:
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
        with translated():
            self._connection = connect(self._path)
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
        with translated():
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
            with translated():
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
            with translated():
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
