"""People come back: once per event, credited, and everything that waited for them stops."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from gateway.core import facts
from gateway.core.attribution import Credit, Touched, credit
from gateway.core.engagement import Fact
from gateway.core.plan import unpack
from gateway.core.request import ConversionData
from gateway.store.rows import tell_facts
from gateway.store.script import Ask, Row, Script, Tell, from_ms, to_ms
from gateway.store.stopping import stop_person


def convert(
    name: str, data: ConversionData, *, windows: Mapping[str, timedelta], now: datetime
) -> Script[list[str] | None]:
    """Take a conversion; the sends it stopped, or None for one that was taken before."""
    if (yield Ask("seen", [(name,)])):
        return None
    yield Tell("insert_seen", [(name, to_ms(now))])
    at = data.occurred_at or now
    rows = yield Ask("touches_of_person", [(data.recipient_id,)])
    touched = [_touched(row) for row in rows]
    code = data.coupon_code
    if code is None and data.order_id is not None:
        for (redeemed,) in (yield Ask("coupon_of_order", [(data.recipient_id, data.order_id)])):
            code = redeemed
    found = credit(touched, windows, at=at, coupon_code=code)
    yield Tell("insert_conversions", [_conversion_row(name, data, found, at=at)])
    if found is not None:
        yield from tell_facts([(found.touched.send_seq, _fact(name, data, found, at=at))])
    return (yield from stop_person(data.recipient_id, at=at, now=now))


def _touched(row: Row) -> Touched:
    send_seq, position, channel, sent, delivered, clicked, code, end, ended, packed = row
    plan = unpack(packed)
    is_holdout = end == "held_out"
    return Touched(
        send_seq=send_seq,
        position=position or 0,
        plan=plan,
        channel=channel or (plan.routes[0].channel if plan.routes else "email"),
        sent_at=_at(ended if is_holdout else sent),
        delivered_at=_at(delivered),
        clicked_at=_at(clicked),
        coupon_code=code,
        is_holdout=is_holdout,
    )


def _at(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)


def _conversion_row(name: str, data: ConversionData, found: Credit | None, *, at: datetime) -> Row:
    touched = found.touched if found else None
    value = data.value
    is_credited = touched is not None and not touched.is_holdout
    return (
        name,
        data.recipient_id,
        data.kind,
        value.amount if value else None,
        value.currency if value else None,
        data.order_id,
        data.coupon_code,
        to_ms(at),
        touched.send_seq if touched else None,
        touched.plan.delivery_id(touched.position) if touched and is_credited else None,
        int(touched is not None and touched.is_holdout),
    )


def _fact(name: str, data: ConversionData, found: Credit, *, at: datetime) -> Fact:
    touched = found.touched
    return facts.of_conversion(
        touched.plan,
        touched.position,
        at=at,
        name=name,
        conversion=data,
        credit=found,
    )
