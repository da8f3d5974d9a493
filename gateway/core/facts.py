"""Facts about sends and deliveries, each with the id that makes it one fact.

The same fact has the same id, however often it is told. No fact holds an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gateway.core import ids
from gateway.core.engagement import EventType, Fact, FactData, Type
from gateway.core.plan import Plan


def of_send(plan: Plan, event: Type, *, at: datetime, reason: str, detail: str) -> Fact:
    """A fact about a send as a whole: suppressed, armed."""
    data = FactData(
        send_id=plan.send_id,
        request_source=plan.source,
        request_id=plan.request_id,
        campaign=plan.campaign,
        template=plan.template,
        template_version=plan.template_version,
        variant=plan.variant,
        recipient_id=plan.recipient_id,
        occurred_at=at,
        reason=reason,
        detail=detail or None,
        offer_kind=plan.offer_kind,
        is_holdout=plan.is_holdout,
        is_test=plan.is_test,
    )
    return Fact(event, ids.fact_id(event, plan.send_id), plan.recipient_id, at, data)


def of_delivery(
    plan: Plan,
    position: int,
    event: Type,
    *,
    at: datetime,
    name: Sequence[str] = (),
    provider: str | None = None,
    provider_message_id: str | None = None,
    attempt: int | None = None,
    reason: str | None = None,
    detail: str | None = None,
    segments: int | None = None,
    url: str | None = None,
    link: int | None = None,
    actor: str | None = None,
    actor_reasons: Sequence[str] | None = None,
    coupon_code: str | None = None,
    value: str | None = None,
    currency: str | None = None,
    window: str | None = None,
    attributed_to: str | None = None,
) -> Fact:
    """A fact about one delivery. `name` tells facts of one type and delivery apart."""
    route = plan.routes[position]
    delivery = plan.delivery_id(position)
    data = FactData(
        send_id=plan.send_id,
        delivery_id=delivery,
        request_source=plan.source,
        request_id=plan.request_id,
        campaign=plan.campaign,
        template=plan.template,
        template_version=plan.template_version,
        variant=plan.variant,
        locale=route.locale,
        channel=route.channel,
        provider=provider,
        provider_message_id=provider_message_id or None,
        recipient_id=plan.recipient_id,
        occurred_at=at,
        attempt=attempt,
        reason=reason or None,
        detail=detail or None,
        segments=segments,
        url=url,
        link=link,
        actor=actor,
        actor_reasons=list(actor_reasons) if actor_reasons is not None else None,
        coupon_code=coupon_code,
        offer_kind=plan.offer_kind,
        value=value,
        currency=currency,
        window=window,
        attributed_to=attributed_to,
        is_holdout=plan.is_holdout,
        is_test=plan.is_test,
    )
    return Fact(event, ids.fact_id(event, delivery, *name), plan.recipient_id, at, data)


def of_holdout(
    plan: Plan,
    *,
    at: datetime,
    name: Sequence[str],
    reason: str | None,
    detail: str | None,
    value: str | None,
    currency: str | None,
    window: str | None,
    coupon_code: str | None,
) -> Fact:
    """A held-out person came back without a message: nothing is credited, and that is told."""
    event = EventType.ATTRIBUTED
    data = FactData(
        send_id=plan.send_id,
        request_source=plan.source,
        request_id=plan.request_id,
        campaign=plan.campaign,
        template=plan.template,
        template_version=plan.template_version,
        variant=plan.variant,
        recipient_id=plan.recipient_id,
        occurred_at=at,
        reason=reason,
        detail=detail,
        coupon_code=coupon_code,
        offer_kind=plan.offer_kind,
        value=value,
        currency=currency,
        window=window,
        is_holdout=True,
        is_test=plan.is_test,
    )
    return Fact(event, ids.fact_id(event, plan.send_id, *name), plan.recipient_id, at, data)


def of_person(
    event: Type,
    *,
    name: Sequence[str],
    recipient_id: str | None,
    subject: bytes,
    channel: str,
    at: datetime,
    reason: str,
    detail: str | None = None,
    provider: str | None = None,
) -> Fact:
    """A fact about a person or, where nobody is known, about an address by its keyed hash."""
    data = FactData(
        channel=channel,
        provider=provider,
        recipient_id=recipient_id,
        occurred_at=at,
        reason=reason,
        detail=detail,
    )
    key = recipient_id if recipient_id is not None else subject.hex()
    return Fact(event, ids.fact_id(event, key, channel, *name), key, at, data)


__all__ = ["EventType", "Fact", "of_delivery", "of_person", "of_send"]
