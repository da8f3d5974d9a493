"""Bodies of the API that are no events: strict structs, with the JSON path of the first fault."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from gateway.core import json_values
from gateway.core.request import Money, Name, Text
from gateway.errors import EventsRefused, RefusedError

S = TypeVar("S", bound=Struct)
Code = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[!-~]+$(?!\n)")]


class Redeem(Struct, frozen=True):
    """`POST /v1/coupons/{code}/redeem`."""

    order_id: Name
    value: Money | None = None


class Generate(Struct, frozen=True):
    """How many new codes, and what they begin with."""

    count: Annotated[int, Meta(ge=1, le=100_000)]
    prefix: Annotated[str, Meta(max_length=32, pattern=r"^[A-Z0-9-]*$(?!\n)")] = ""


class Pool(Struct, frozen=True):
    """`PUT /v1/coupon-pools/{pool}`."""

    codes: Annotated[list[Code], Meta(max_length=100_000)] | None = None
    generate: Generate | None = None


class SwitchState(Struct, frozen=True):
    """`PUT /v1/switches/{scope}`."""

    state: Literal["stopped", "running"]
    reason: Text
    discard: bool = False


def read(struct: type[S], body: bytes) -> S:
    """The body as a struct. Raises EventsRefused with the path of its first fault."""
    try:
        found = json_values.read(body)
    except RefusedError as error:
        is_malformed = error.reason == "not_json"
        raise EventsRefused([(error.path, error.what)], malformed=is_malformed) from error
    try:
        wanted = msgspec.convert(_with_integers(found), struct)
    except msgspec.ValidationError as error:
        raise EventsRefused([_fault(str(error))]) from error
    unfit = json_values.first_unfit(found, "$")
    if unfit is not None:
        raise EventsRefused([unfit])
    return wanted


def _with_integers(value: Any) -> Any:
    """The value with `100.0` as 100: one number in JSON, and many a writer has only doubles."""
    if isinstance(value, dict):
        return {name: _with_integers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_with_integers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _fault(text: str) -> tuple[str, str]:
    """Msgspec's message as path and fault; a missing field's path ends in its name."""
    what, _, at = text.partition(" - at `")
    path = at.rstrip("`") or "$"
    if what.startswith("Object missing required field `"):
        return f"{path}.{what.split('`')[1]}", "is required"
    return path, what
