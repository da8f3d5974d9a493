"""The store's verbs over scripts: all that SQLite and PostgreSQL share.

A store says how a script is run, in a transaction that writes or in one that reads; what each verb
means is in the scripts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from channels.contract import Receipt
from gateway.core.delivery import Tried
from gateway.core.gates import Rules
from gateway.core.listing import Listed, Wanted
from gateway.core.plan import Plan
from gateway.core.request import ConversionData, Money
from gateway.store import (
    admissions,
    claims,
    conversions,
    coupons,
    engagements,
    erasure,
    overview,
    people,
    places,
    results,
    settle,
    stopping,
    upkeep,
)
from gateway.store.contract import (
    Admission,
    Admitted,
    Answer,
    Backlog,
    Change,
    Claimed,
    Hit,
    Pending,
    Redemption,
    Refusal,
    Switch,
)
from gateway.store.rows import outgoing
from gateway.store.script import Ask, Row, Script, Tell

T = TypeVar("T")


NO_RULES = Rules()


@dataclass(frozen=True, slots=True)
class Conduct:
    """What a store's transactions go by: the policy, as far as it speaks of what is stored."""

    doubt_wait: timedelta
    rules: Rules = NO_RULES
    windows: Mapping[str, timedelta] = field(default_factory=dict)
    cooldown: timedelta = timedelta()


class ScriptedStore(ABC):
    """A store whose verbs are scripts. Fulfils `gateway.store.contract.Store`."""

    def __init__(self, conduct: Conduct) -> None:
        self._conduct = conduct
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
                batch,
                refusals,
                room=room,
                claim_for=claim_for,
                now=now,
                is_whole=is_whole,
                rules=self._conduct.rules,
            )
        )

    async def claim(
        self, channel: str, limit: int, *, claim_for: timedelta, now: datetime
    ) -> Sequence[Claimed]:
        rules = self._conduct.rules
        return await self._write(
            claims.claim(channel, limit, claim_for=claim_for, now=now, rules=rules)
        )

    async def settle(self, tried: Sequence[Tried], *, now: datetime) -> int:
        conduct = self._conduct
        return await self._write(
            settle.settle(tried, doubt_wait=conduct.doubt_wait, now=now, rules=conduct.rules)
        )

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
        conduct = self._conduct
        done = await self._write(
            settle.sweep(doubt_wait=conduct.doubt_wait, lost_before=now, now=now, limit=limit)
        )
        done += await self._write(claims.expire(now=now, limit=limit))
        done += await self._write(coupons.expire_coupons(now=now, limit=limit))
        return done + await self._write(claims.fall_back(now=now, limit=limit, rules=conduct.rules))

    async def backlog(self, *, now: datetime) -> Backlog:
        return await self._read(upkeep.backlog(now=now))

    async def story(self, send_id: str) -> Mapping[str, Any] | None:
        return await self._read(upkeep.story(send_id))

    async def purge(self, *, before: datetime, limit: int) -> int:
        return await self._write(upkeep.purge(before=before, limit=limit))

    # --- business ---------------------------------------------------------------------------

    async def cancel(
        self,
        *,
        now: datetime,
        request: tuple[str, str] | None = None,
        campaign: str | None = None,
        recipient_id: str | None = None,
    ) -> Sequence[str]:
        if request is not None:
            return await self._write(stopping.cancel_request(*request, now=now))
        return await self._write(stopping.cancel_campaign(campaign or "", recipient_id, now=now))

    async def convert(
        self, name: str, data: ConversionData, *, now: datetime
    ) -> Sequence[str] | None:
        windows = self._conduct.windows
        return await self._write(conversions.convert(name, data, windows=windows, now=now))

    async def seen_at(
        self,
        recipient_id: str,
        inside: Mapping[str, bool],
        *,
        groups: Mapping[str, Sequence[str]],
        now: datetime,
    ) -> Sequence[str]:
        cooldown = self._conduct.cooldown
        script = places.seen_at(recipient_id, inside, groups=groups, cooldown=cooldown, now=now)
        return await self._write(script)

    async def put_fence(self, fence_id: str, feature: bytes, *, now: datetime) -> None:
        await self._write(places.put_fence(fence_id, feature, now=now))

    async def drop_fence(self, fence_id: str) -> None:
        await self._write(places.drop_fence(fence_id))

    async def fences(self) -> Sequence[tuple[str, bytes]]:
        return await self._read(places.fences())

    async def fences_age(self) -> tuple[int, int]:
        return await self._read(places.fences_age())

    async def switch(self, scope: str, *, is_stopped: bool, reason: str, now: datetime) -> None:
        await self._write(stopping.switch(scope, is_stopped=is_stopped, reason=reason, now=now))

    async def switches(self) -> Sequence[Switch]:
        return await self._read(stopping.switches())

    async def discard(self, scope: str, *, now: datetime) -> Sequence[str]:
        return await self._write(stopping.discard(scope, now=now))

    async def redeem(
        self, code: str, *, order_id: str, value: Money | None, now: datetime
    ) -> Redemption:
        return await self._write(coupons.redeem(code, order_id=order_id, value=value, now=now))

    async def add_codes(self, pool: str, codes: Sequence[str]) -> Mapping[str, int]:
        return await self._write(coupons.add_codes(pool, codes))

    async def count_codes(self, pool: str) -> Mapping[str, int]:
        return await self._read(coupons.counts(pool))

    async def person(self, recipient_id: str) -> Mapping[str, Any] | None:
        return await self._read(people.person(recipient_id, secret=self._secret))

    async def erase(self, recipient_id: str, *, now: datetime) -> Sequence[bytes]:
        return await self._write(people.erase(recipient_id, secret=self._secret, now=now))

    async def erased(self, subjects: Iterable[bytes]) -> frozenset[bytes]:
        """Those of these subjects that were erased."""
        return await self._read(erasure.erased(subjects))

    async def results(self, campaign: str) -> Mapping[str, Any]:
        return await self._read(results.results(campaign))

    async def newest_campaigns(self, limit: int) -> Sequence[str]:
        return await self._read(overview.campaigns(limit))

    async def newest_outcomes(self) -> Mapping[str, int]:
        return await self._read(overview.outcomes())

    async def newest_letters(self, limit: int) -> Sequence[Mapping[str, Any]]:
        return await self._read(overview.letters(limit))

    async def unpublished(self, limit: int) -> Sequence[Mapping[str, Any]]:
        return await self._read(overview.unpublished(limit))

    async def listed(self, wanted: Wanted, *, limit: int) -> Sequence[Listed]:
        return await self._read(overview.listed(wanted, limit=limit))


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
    return [Pending(row[0], outgoing(*row[1:])) for row in (yield from upkeep.pending(limit))]


def _set_mark(mark: int) -> Script[None]:
    yield Tell("set_published_mark", [(mark,)])
