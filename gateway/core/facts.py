"""Facts about sends and deliveries, each with the id that makes it one fact.

The same fact has the same id, however often it is told. No fact holds an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import structs

from gateway.core import ids
from gateway.core.attribution import Credit
from gateway.core.engagement import EventType, Fact, FactData, Type
from gateway.core.plan import Plan
from gateway.core.request import ConversionData


def of_send(plan: Plan, event: Type, *, at: datetime, reason: str | None, detail: str) -> Fact:
    """A fact about a send as a whole: suppressed, armed."""
    data = FactData(
        recipient_id=plan.recipient_id,
        occurred_at=at,
        reason=reason,
        detail=detail or None,
        is_holdout=plan.is_holdout,
        is_test=plan.is_test,
        **_plan_fields(plan),
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
        is_holdout=plan.is_holdout,
        is_test=plan.is_test,
    )
    return Fact(event, ids.fact_id(event, delivery, *name), plan.recipient_id, at, data)


def of_conversion(
    plan: Plan,
    position: int,
    *,
    at: datetime,
    name: str,
    conversion: ConversionData,
    credit: Credit,
) -> Fact:
    """A conversion, credited; a held-out person's is credited to nobody, and that is told."""
    event = EventType.ATTRIBUTED
    is_holdout = credit.touched.is_holdout
    value = conversion.value
    data = FactData(
        recipient_id=plan.recipient_id,
        occurred_at=at,
        reason=conversion.kind,
        detail=credit.by,
        coupon_code=conversion.coupon_code,
        value=value.amount if value else None,
        currency=value.currency if value else None,
        window=credit.window,
        attributed_to=None if is_holdout else plan.delivery_id(position),
        is_holdout=is_holdout,
        is_test=plan.is_test,
        **_plan_fields(plan),
    )
    if not is_holdout:
        data = structs.replace(
            data, channel=credit.touched.channel, **_place_fields(plan, position)
        )
    return Fact(event, ids.fact_id(event, name), plan.recipient_id, at, data)


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
    answers: tuple[Plan, int] | None = None,
) -> Fact:
    """A fact about a person or, where nobody is known, about an address by its keyed hash.

    `answers` is the delivery that the person answered with it.
    """
    data = FactData(
        channel=channel,
        provider=provider,
        recipient_id=recipient_id,
        occurred_at=at,
        reason=reason,
        detail=detail,
    )
    if answers is not None:
        data = structs.replace(data, **_plan_fields(answers[0]), **_place_fields(*answers))
    key = recipient_id if recipient_id is not None else subject.hex()
    return Fact(event, ids.fact_id(event, key, channel, *name), key, at, data)


def _plan_fields(plan: Plan) -> dict[str, Any]:
    return {
        "send_id": plan.send_id,
        "request_source": plan.source,
        "request_id": plan.request_id,
        "campaign": plan.campaign,
        "template": plan.template,
        "template_version": plan.template_version,
        "variant": plan.variant,
        "offer_kind": plan.offer_kind,
    }


def _place_fields(plan: Plan, position: int) -> dict[str, Any]:
    return {"delivery_id": plan.delivery_id(position), "locale": plan.routes[position].locale}


__all__ = ["EventType", "Fact", "of_conversion", "of_delivery", "of_person", "of_send"]
