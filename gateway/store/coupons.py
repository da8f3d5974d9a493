"""Coupons as transactions: reserved with the claim, issued with the outcome, redeemed once.

One code per person, campaign and pool, across channels and retries; a code that may have reached a
person never goes to another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from gateway.core import facts
from gateway.core.coupons import Redeemed, redeemed
from gateway.core.delivery import Claim
from gateway.core.engagement import EventType, Fact
from gateway.core.gates import End, Gate, Reason
from gateway.core.plan import Plan, unpack
from gateway.core.request import Money
from gateway.store.contract import Coupon, Redemption
from gateway.store.rows import tell_facts
from gateway.store.script import Ask, Row, Script, Tell, from_ms, to_ms, to_ms_or_none

RESERVED, ISSUED = "reserved", "issued"
TEST_CODE = "TEST-ONLY"
"""What a test message shows: it takes no code from the pool."""


def reserve(claim: Claim, *, now: datetime) -> Script[Coupon | End]:
    """The code that a claim's message carries: the person's own, or a free one of the pool.

    A person whose code is redeemed has returned; one whose code expired gets no second one.
    """
    plan = claim.plan
    ends = _expires_at(plan, now)
    if plan.is_test:
        return Coupon(TEST_CODE, ends)
    mine = yield Ask("coupon_of_person", [_owner(plan)])
    if not mine:
        free = yield Ask("free_coupon", [(plan.pool,)])
        if not free:
            return _end(Reason.NO_COUPON, f"pool {plan.pool} is empty")
        code = free[0][0]
        row = (plan.campaign, plan.recipient_id, claim.send_seq, claim.position)
        yield Tell("reserve_coupons", [(code, *row, to_ms_or_none(ends))])
    else:
        code, state, until, _ = mine[0]
        if state == "redeemed":
            return _end(Reason.CONVERTED, "the coupon is redeemed")
        if state != RESERVED:
            ends = from_ms(until) if until else None
        if state == "expired" or (ends is not None and ends <= now):
            return _end(Reason.NO_COUPON, "the person's coupon has expired")
        yield Tell("extend_coupons", [(code, to_ms_or_none(ends))])
    yield Tell("carry_coupons", [(claim.delivery_seq, code)])
    return Coupon(code, ends)


def _owner(plan: Plan) -> Row:
    return (plan.recipient_id, plan.campaign, plan.pool)


def _end(reason: Reason, detail: str) -> End:
    return End(reason, detail, (Gate("coupon", reason.value, detail),))


def _expires_at(plan: Plan, now: datetime) -> datetime | None:
    """When a code issued now ends: after `expires_in`, at `expires_at`, whichever is first."""
    ends = [] if plan.coupon_expires_at is None else [plan.coupon_expires_at]
    if plan.coupon_expires_in_s is not None:
        ends.append(now + timedelta(seconds=plan.coupon_expires_in_s))
    return min(ends, default=None)


def issue_of(plan: Plan, send_seq: int, position: int, *, at: datetime) -> Script[None]:
    """The message was taken, or may have been: the code is the person's; told once."""
    if plan.pool is None or plan.is_test:
        return
    mine = yield Ask("coupon_of_person", [_owner(plan)])
    if not mine or mine[0][1] != RESERVED:
        return
    code, _, until, _ = mine[0]
    yield Tell("issue_coupons", [(code, to_ms(at), until, send_seq, position)])
    fact = _fact(plan, position, EventType.COUPON_ISSUED, code, at=at)
    yield from tell_facts([(send_seq, fact)])


def give_back(plan: Plan, delivery_seq: int) -> Script[None]:
    """A message was never taken: its code goes back to the pool, unless another carries it."""
    if plan.pool is None or plan.is_test:
        return
    mine = yield Ask("coupon_of_person", [_owner(plan)])
    for code, state, _, _ in mine:
        if state == RESERVED and not (yield Ask("carriers", [(code, delivery_seq)])):
            yield Tell("free_coupons", [(code,)])


def return_bounced(plan: Plan, delivery_seq: int) -> Script[None]:
    """The message came back: its code is worth nothing any more, unless another carries it."""
    if plan.pool is None or plan.is_test:
        return
    mine = yield Ask("coupon_of_person", [_owner(plan)])
    for code, state, _, _ in mine:
        if state == ISSUED and not (yield Ask("carriers", [(code, delivery_seq)])):
            yield Tell("move_coupons", [(code, "returned", None, None)])


def redeem(code: str, *, order_id: str, value: Money | None, now: datetime) -> Script[Redemption]:
    """Redeem a code once; the same order may ask again."""
    found = yield Ask("coupon", [(code,)])
    if not found:
        return Redemption("unknown")
    _, _, state, _, _, send_seq, position, _, expires_at, order_before = found[0]
    verdict = redeemed(
        state,
        order_before=order_before,
        order_id=order_id,
        expires_at=from_ms(expires_at) if expires_at else None,
        now=now,
    )
    if verdict not in (Redeemed.NOW, Redeemed.BEFORE):
        return Redemption(verdict.value)
    plans = yield Ask("plan_of_send", [(send_seq,)])
    if not plans:  # its person was erased
        return Redemption(Redeemed.OVER.value)
    plan = unpack(plans[0][0])
    redemption = Redemption(verdict.value, plan.delivery_id(position), code)
    if verdict is Redeemed.BEFORE:
        return redemption
    yield Tell("move_coupons", [(code, "redeemed", order_id, to_ms(now))])
    fact = _fact(plan, position, EventType.COUPON_REDEEMED, code, at=now, value=value)
    yield from tell_facts([(send_seq, fact)])
    return redemption


def expire_coupons(*, now: datetime, limit: int) -> Script[int]:
    """Issued codes whose time is over."""
    found = yield Ask("coupons_over", [(to_ms(now), limit)])
    yield Tell("move_coupons", [(row[0], "expired", None, None) for row in found])
    yield from tell_facts([_expired(row) for row in found])
    return len(found)


def _expired(row: Row) -> tuple[int | None, Fact]:
    code, _, send_seq, position, expires_at, packed = row
    at = from_ms(expires_at)
    return send_seq, _fact(unpack(packed), position, EventType.COUPON_EXPIRED, code, at=at)


def _fact(
    plan: Plan,
    position: int,
    event: EventType,
    code: str,
    *,
    at: datetime,
    value: Money | None = None,
) -> Fact:
    return facts.of_delivery(
        plan,
        position,
        event,
        at=at,
        name=(code,),
        coupon_code=code,
        value=value.amount if value else None,
        currency=value.currency if value else None,
    )


def add_codes(pool: str, codes: Sequence[str]) -> Script[Mapping[str, int]]:
    """Add codes to a pool; a code that any pool has is left as it is. The pool's counts."""
    yield Tell("insert_coupons", [(code, pool) for code in sorted(set(codes))])
    return (yield from counts(pool))


def counts(pool: str) -> Script[Mapping[str, int]]:
    """How many codes of a pool there are, by state."""
    return dict((yield Ask("count_coupons", [(pool,)])))
