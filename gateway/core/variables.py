"""What a template may see of one request, and the types that its variables must have.

Invariant: every name of the contract is always there, None when absent, and nothing else is: no
address, no phone number, no device. Values are JSON values (dates are ISO strings).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

from msgspec import Struct, field

from gateway.core.links import LinkError, destination
from gateway.core.locales import parsed_day
from gateway.core.request import Churn, Money, Offer, SendData

VariableType = Literal["string", "number", "boolean", "date", "money", "url", "list", "object"]
VARIABLE_TYPES: tuple[str, ...] = get_args(VariableType)
RECIPIENT_NAMES = ("id", "name", "locale", "country", "attributes")
CHURN_NAMES = Churn.__struct_fields__
OFFER_NAMES = Offer.__struct_fields__
COUPON_NAMES = ("code", "expires_at")
BRAND_NAMES = ("name", "site_url", "postal_address")
_AMOUNT = re.compile(r"-?\d{1,18}(\.\d{1,6})?")
_REQUIRED = "is required by the template"
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Brand:
    """Who writes: the name, the site that links lead to, the postal address of the footer."""

    name: str
    site_url: str
    postal_address: str


@dataclass(frozen=True, slots=True)
class VariableSpec:
    """One declared variable of a template. `example` is for previews, None where not given."""

    type: VariableType
    required: bool = False
    example: Any = None


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request cannot be rendered: a dead letter's reason, a JSON path, and what is wrong."""

    reason: str
    path: str
    what: str


class Facts(Struct, frozen=True):
    """All that a template may see of one request, as JSON values."""

    recipient: Mapping[str, Any]
    campaign: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    churn: Mapping[str, Any] | None = None
    offer: Mapping[str, Any] | None = None
    coupon: Mapping[str, Any] | None = None


def facts_of(data: SendData, coupon: Mapping[str, Any] | None = None) -> Facts:
    """The facts of a request. `coupon` is `{code, expires_at}` once one is issued.

    A request whose offer names a pool gets its code later; `Template.faults` allows for that.
    """
    person = data.recipient
    return Facts(
        recipient={
            "id": person.id,
            "name": person.name,
            "locale": person.locale,
            "country": person.country,
            "attributes": person.attributes,
        },
        campaign=data.campaign,
        variables=data.variables,
        churn=None if data.churn is None else _churn(data.churn),
        offer=None if data.offer is None else _offer(data.offer),
        coupon=None if coupon is None else _coupon(coupon),
    )


STAND_IN_COUPON: Mapping[str, Any] = {"code": "AAAA-BBBB-CCCC", "expires_at": "2030-01-01"}
"""As long as a real code: for checking a request whose code is issued later."""


def sample_facts(specs: Mapping[str, VariableSpec], brand: Brand, *, locale: str) -> Facts:
    """Facts in which nothing is absent: for previews, and for trials when a template is compiled.

    Variables have their examples, or something of their type.
    """
    stand_ins = _stand_ins(brand)
    return Facts(
        recipient={**_SAMPLE_PERSON, "locale": locale, "attributes": stand_ins["object"]},
        campaign="spring",
        variables={
            name: stand_ins[spec.type] if spec.example is None else spec.example
            for name, spec in specs.items()
        },
        churn=_SAMPLE_CHURN,
        offer=_SAMPLE_OFFER,
        coupon=STAND_IN_COUPON,
    )


def bare_facts(specs: Mapping[str, VariableSpec], brand: Brand, *, locale: str) -> Facts:
    """The least that a request can bring: required variables, and nothing known of the person."""
    full = sample_facts(specs, brand, locale=locale)
    return Facts(
        recipient=dict.fromkeys(RECIPIENT_NAMES) | {"id": "r-1", "attributes": {}},
        campaign=full.campaign,
        variables={name: full.variables[name] for name, spec in specs.items() if spec.required},
    )


def _stand_ins(brand: Brand) -> dict[str, Any]:
    """One value of each type; an object has whatever it is asked for."""
    return {
        "string": "example",
        "number": 3,
        "boolean": True,
        "date": "2030-01-31",
        "money": {"amount": "25.00", "currency": "EUR"},
        "url": brand.site_url,
        "list": [],
        "object": defaultdict(lambda: "example"),
    }


_SAMPLE_PERSON = {"id": "r-1001", "name": "Anna", "country": "DK"}
_SAMPLE_CHURN = {
    "reason": "price",
    "last_active": "2029-10-01",
    "segment": "regulars",
    "lifetime_value": {"amount": "240.00", "currency": "EUR"},
}
_SAMPLE_OFFER = {
    "kind": "percent_off",
    "amount": {"amount": "10.00", "currency": "EUR"},
    "percent": 20,
    "expires_in": "P14D",
    "expires_at": "2030-01-31T22:59:59+00:00",
    "pool": "spring",
}


# Field by field: this runs for every request and every message.


def _churn(churn: Churn) -> dict[str, Any]:
    return {
        "reason": churn.reason,
        "last_active": _iso(churn.last_active),
        "segment": churn.segment,
        "lifetime_value": _money(churn.lifetime_value),
    }


def _offer(offer: Offer) -> dict[str, Any]:
    percent = offer.percent
    return {
        "kind": offer.kind,
        "amount": _money(offer.amount),
        # 20.0 % is written 20
        "percent": int(percent) if percent is not None and percent == int(percent) else percent,
        "expires_in": offer.expires_in,
        "expires_at": _iso(offer.expires_at),
        "pool": offer.pool,
    }


def _coupon(coupon: Mapping[str, Any]) -> dict[str, Any]:
    return {"code": coupon.get("code"), "expires_at": _iso(coupon.get("expires_at"))}


def _money(money: Money | None) -> dict[str, str] | None:
    return None if money is None else {"amount": money.amount, "currency": money.currency}


def _iso(day: date | str | None) -> str | None:
    return day.isoformat() if isinstance(day, date) else day


def variable_faults(
    specs: Mapping[str, VariableSpec], given: Mapping[str, Any], *, hosts: frozenset[str]
) -> list[Fault]:
    """Declared variables that are missing, of the wrong type, or lead to a forbidden host."""
    faults = []
    for name, spec in specs.items():
        value = given.get(name)
        if value is not None:
            reason, what = "invalid_field", misfit(spec.type, value, hosts=hosts)
        else:
            reason, what = "missing_variable", _REQUIRED if spec.required else ""
        if what:
            faults.append(Fault(reason, f"$.data.variables.{name}", what))
    return faults


def misfit(kind: VariableType, value: Any, *, hosts: frozenset[str]) -> str:  # noqa: PLR0911
    """What is wrong with a value of a declared type; empty where nothing is."""
    match kind:
        case "string":
            return "" if isinstance(value, str) else "must be a string"
        case "number":
            right = isinstance(value, int | float) and not isinstance(value, bool)
            return "" if right else "must be a number"
        case "boolean":
            return "" if isinstance(value, bool) else "must be true or false"
        case "list":
            return "" if isinstance(value, list | tuple) else "must be a list"
        case "object":
            return "" if isinstance(value, Mapping) else "must be an object"
        case "date":
            return "" if _is_day(value) else "must be an ISO date"
        case "money":
            return "" if is_money(value) else 'must be money: {"amount": "10.00", "currency": …}'
        case "url":
            return _link_misfit(value, hosts)


def _link_misfit(value: Any, hosts: frozenset[str]) -> str:
    if not isinstance(value, str):
        return "must be a link"
    try:
        destination(value, hosts)
    except LinkError as error:
        return str(error)
    return ""


def _is_day(value: Any) -> bool:
    if isinstance(value, date):
        return True
    try:
        parsed_day(value)
    except (TypeError, ValueError):
        return False
    return True


def is_money(value: Any) -> bool:
    """Whether it is an object of a decimal string and an ISO 4217 code."""
    return (
        isinstance(value, (dict, Mapping))
        and isinstance(value.get("amount"), str)
        and _AMOUNT.fullmatch(value["amount"]) is not None
        and isinstance(value.get("currency"), str)
        and _CURRENCY.fullmatch(value["currency"]) is not None
    )
