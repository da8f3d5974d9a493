"""The SQLite store: one file, one process, one writer thread with group commit.

Invariant: what a method returned is on the disk (`synchronous=FULL`). All writes that wait while
a commit runs share the next one. A second gateway process on the same file is refused.
"""

from __future__ import annotations

import fcntl
import secrets
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

from gateway.clock import Clock
from gateway.errors import SettingsError, StoreBehind, StoreInUse
from gateway.store import queries, settle
from gateway.store.script import Script
from gateway.store.scripted import Conduct, ScriptedStore, secret_of_store
from gateway.store.sqlite_thread import ScriptThread, connect, translated

T = TypeVar("T")
MEMORY = ":memory:"
_FAR = datetime(9999, 1, 1, tzinfo=UTC)


class SqliteStore(ScriptedStore):
    """The store on SQLite; `:memory:` for fast tests.

    `owns` is True for the gateway process: it takes the lock, and claims that it finds open are
    of a process that died, so they are in doubt.
    """

    def __init__(self, path: str, *, clock: Clock, conduct: Conduct, owns: bool = True) -> None:
        super().__init__(conduct)
        self._path = path
        self._clock = clock
        self._owns = owns
        self._lock: IO[str] | None = None
        self._writer = ScriptThread("store-writer", path, is_writer=True)
        self._reader = (
            self._writer if path == MEMORY else ScriptThread("store-reader", path, is_writer=False)
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
        self._secret = await self._read(secret_of_store())
        if self._owns:
            await self._write(self._adopt())
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

    def _adopt(self) -> Script[int]:
        """Claims that are open before we made any are of a process that died: in doubt."""
        return settle.sweep(
            doubt_wait=self._conduct.doubt_wait,
            lost_before=_FAR,
            now=self._clock.now(),
            limit=1_000_000,
        )

    async def _write(self, script: Script[T]) -> T:
        return await self._writer.run(script)

    async def _read(self, script: Script[T]) -> T:
        return await self._reader.run(script)


# --- opening ----------------------------------------------------------------------------------


def _take_lock(path: str) -> IO[str]:
    """One gateway process per file: an advisory lock beside it, gone with the process."""
    try:
        lock = Path(f"{path}.lock").open("w", encoding="utf-8")  # noqa: SIM115 - held while we run
    except OSError as error:
        raise SettingsError(f"WINBACK_STORE__URL: cannot open {path}: {error.strerror}") from error
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
    with translated():
        connection = connect(path)
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
