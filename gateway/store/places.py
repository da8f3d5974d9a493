"""Places: fences, armed sends, and the moment a person is seen inside one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from gateway.core.delivery import State
from gateway.core.plan import Plan
from gateway.store.claims import FAR, Due, due_of
from gateway.store.script import Ask, Row, Script, Tell, to_ms


def seen_at(
    recipient_id: str,
    places: Mapping[str, bool],
    *,
    groups: Mapping[str, Sequence[str]],
    cooldown: timedelta,
    now: datetime,
) -> Script[list[str]]:
    """A person is inside these fences and groups (each open or not); the armed sends that go now.

    `groups` are the groups of a fence, which a message there cools with it.
    In a cooldown, or where all that match are closed, an armed request stays armed. The first
    armed send of a person takes the place, so many presence events send one message.
    """
    rows = yield Ask("armed_of_person", [(recipient_id,)])
    cooling = {place for place, _ in (yield Ask("cooldowns", [(recipient_id, to_ms(now))]))}
    due: list[Row] = []
    taken: list[Row] = []
    going: list[str] = []
    for one in _by_priority(rows, now=now):
        plan = one.claim.plan
        if armed_until(plan) <= to_ms(now):
            continue
        matched = [place for place in plan.fences if places.get(place)]
        inside = {*matched, *(group for place in matched for group in groups.get(place, ()))}
        if not inside or inside & cooling:
            continue
        cooling |= inside
        until = to_ms(now + cooldown)
        taken += [(recipient_id, place, until) for place in sorted(inside)]
        due.append((one.claim.delivery_seq, to_ms(now), State.QUEUED.value))
        going.append(plan.send_id)
    yield Tell("requeue_deliveries", due)
    yield Tell("upsert_cooldowns", taken)
    return going


def _by_priority(rows: Sequence[Row], *, now: datetime) -> list[Due]:
    found = [due_of(row, until=now) for row in rows]
    return sorted(found, key=lambda one: (one.claim.plan.priority, one.claim.send_seq))


def armed_until(plan: Plan) -> int:
    """When an armed delivery is due to end, in milliseconds; the far future without an end."""
    ends = [at for at in (plan.armed_until, plan.expires_at) if at is not None]
    return to_ms(min(ends)) if ends else FAR


def put_fence(fence_id: str, feature: bytes, *, now: datetime) -> Script[None]:
    """Keep a fence."""
    yield Tell("upsert_fences", [(fence_id, feature, to_ms(now))])


def drop_fence(fence_id: str) -> Script[None]:
    """Forget a fence."""
    yield Tell("delete_fences", [(fence_id,)])


def fences() -> Script[Sequence[tuple[str, bytes]]]:
    """All fences as they were given."""
    return [(row[0], bytes(row[1])) for row in (yield Ask("fences"))]


def fences_age() -> Script[tuple[int, int]]:
    """Changes whenever a fence does."""
    ((count, newest),) = yield Ask("fences_age")
    return count, newest
