"""The store's verbs over scripts: all that SQLite and PostgreSQL share.

A store says how a script is run, in a transaction that writes or in one that reads; what each verb
means is in the scripts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from channels.contract import Receipt
from gateway.core.delivery import Claim, Tried
from gateway.core.plan import Plan
from gateway.store import admissions, claims, engagements, upkeep
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


class ScriptedStore(ABC):
    """A store whose verbs are scripts. Fulfils `gateway.store.contract.Store`."""

    def __init__(self, *, doubt_wait: timedelta) -> None:
        self._doubt_wait = doubt_wait
        self._secret = b""

    @abstractmethod
    async def _write(self, script: Script[T]) -> T:
        """Run a script in one durable transaction."""

    @abstractmethod
    async def _read(self, script: Script[T]) -> T:
        """Run a script that only asks."""

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
        return await self._write(
            claims.sweep(doubt_wait=self._doubt_wait, lost_before=now, now=now, limit=limit)
        )

    async def backlog(self, *, now: datetime) -> Backlog:
        return await self._read(upkeep.backlog(now=now))

    async def story(self, send_id: str) -> Mapping[str, Any] | None:
        return await self._read(upkeep.story(send_id))

    async def purge(self, *, before: datetime, limit: int) -> int:
        return await self._write(upkeep.purge(before=before, limit=limit))


# --- small scripts --------------------------------------------------------------------------


def _ask(query: str, row: Row) -> Script[list[Row]]:
    return (yield Ask(query, [row]))


def _tell(query: str, rows: Sequence[Row]) -> Script[None]:
    yield Tell(query, rows)


def secret_of_store() -> Script[bytes]:
    """The key of this store's hashes."""
    ((value,),) = yield Ask("secret")
    return bytes(value)


def _pending(limit: int) -> Script[Sequence[Pending]]:
    mark = yield from upkeep.published_mark()
    rows = yield Ask("pending_facts", [(mark, limit)])
    return [Pending(row[0], outgoing(*row[1:])) for row in rows]


def _set_mark(mark: int) -> Script[None]:
    yield Tell("set_published_mark", [(mark,)])
