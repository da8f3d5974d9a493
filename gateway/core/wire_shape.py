"""The shape of each event's data, read off the structs: names, order, what is nested where.

Three things follow from the shape: what is known and what is not, which fault comes first, and
the canonical form under which two requests are the same. Invariant: the structs of `request.py`
are the only schema; no field name stands in this file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Final, Generic, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from gateway.core import json_values, request

D = TypeVar("D", bound=Struct)

SEND_REQUESTED: Final = "winback.send.requested.v1"
SEND_CANCELLED: Final = "winback.send.cancelled.v1"
PRESENCE_OBSERVED: Final = "winback.presence.observed.v1"
CONVERSION_OBSERVED: Final = "winback.conversion.observed.v1"
CONSENT_CHANGED: Final = "winback.consent.changed.v1"

DIGEST_BYTES: Final = 16
_WHAT_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a struct: `inner` is the struct it holds, `many` says a list of them."""

    name: str
    hint: Any
    required: bool
    inner: type[Struct] | None
    many: bool
    is_instant: bool


def _alternatives(hint: Any) -> list[Any]:
    """The types a hint allows, without constraints."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _alternatives(get_args(hint)[0])
    if origin in (Union, UnionType):
        return [one for each in get_args(hint) for one in _alternatives(each)]
    return [hint]


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Struct)


def _part(info: msgspec.structs.FieldInfo) -> Part:
    plain = _alternatives(info.type)
    held = [hint for hint in plain if _is_struct(hint)]
    listed = [get_args(hint)[0] for hint in plain if get_origin(hint) is list]
    many = [hint for hint in listed if _is_struct(hint)]
    inner = next(iter(held or many), None)
    return Part(info.name, info.type, info.required, inner, bool(many), datetime in plain)


def _shapes(*roots: type[Struct]) -> Mapping[type[Struct], tuple[Part, ...]]:
    found: dict[type[Struct], tuple[Part, ...]] = {}
    waiting = list(roots)
    while waiting:
        struct = waiting.pop()
        found[struct] = tuple(_part(info) for info in msgspec.structs.fields(struct))
        waiting.extend(part.inner for part in found[struct] if part.inner is not None)
    return MappingProxyType(found)


SHAPES: Final = _shapes(*get_args(request.Data))


# --- the canonical form ---------------------------------------------------------------------


def _number(text: str) -> int | float:
    """A JSON number with a fraction or exponent; a whole one is an integer, so 1e0 equals 1."""
    number = float(text)
    if number.is_integer() and json_values.INTEGER_MIN <= number <= json_values.INTEGER_MAX:
        return int(number)
    return number


def _shadow(struct: type[Struct]) -> type[Struct]:
    """A struct of the same shape that takes any values, refuses unknown names, omits nulls."""
    fields: list[tuple[str, Any, Any]] = []
    for part in SHAPES[struct]:
        hint: Any = Any if part.inner is None else _shadow(part.inner)
        fields.append((part.name, list[hint] if part.many else hint, None))
    return msgspec.defstruct(
        f"{struct.__name__}AsJson", fields, frozen=True, omit_defaults=True,
        forbid_unknown_fields=True,
    )  # fmt: skip


_packer: Final = msgspec.msgpack.Encoder(order="deterministic")


class Reading(Generic[D]):
    """The decoders of one event type's data: bytes to the struct, and to the digest."""

    __slots__ = ("_as_json", "_typed", "struct")

    def __init__(self, struct: type[D]) -> None:
        self.struct = struct
        self._typed = msgspec.json.Decoder(struct)
        self._as_json = msgspec.json.Decoder(_shadow(struct), float_hook=_number)

    def typed(self, raw: bytes | msgspec.Raw) -> D:
        """The struct; unknown names are skipped. Raises msgspec's errors."""
        return self._typed.decode(raw)

    def digest(self, raw: bytes | msgspec.Raw) -> bytes:
        """16 bytes over the data as JSON values, for data that `typed` takes.

        Order, spacing and the spelling of numbers do not count, nor does an explicit null in
        place of an absent field; a default that is spelt out does. Raises msgspec's errors for
        unknown names and OverflowError for integers over 64 bits.
        """
        packed = _packer.encode(self._as_json.decode(raw))
        return blake2b(packed, digest_size=DIGEST_BYTES).digest()


READINGS: Final[Mapping[str, Reading[Any]]] = MappingProxyType(
    {
        SEND_REQUESTED: Reading(request.SendData),
        SEND_CANCELLED: Reading(request.CancelData),
        PRESENCE_OBSERVED: Reading(request.PresenceData),
        CONVERSION_OBSERVED: Reading(request.ConversionData),
        CONSENT_CHANGED: Reading(request.ConsentData),
    }
)


# --- known and unknown ----------------------------------------------------------------------


def known(struct: type[Struct], value: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """A copy with only the fields that `struct` knows, and how many were left out at any level.

    The null of an optional field is left out too, without being counted.
    """
    kept: dict[str, Any] = {}
    unknown = len(value)
    for part in SHAPES[struct]:
        if part.name not in value:
            continue
        unknown -= 1
        found = value[part.name]
        if found is None and not part.required:
            continue
        kept[part.name], left_out = _known_inner(part, found)
        unknown += left_out
    return kept, unknown


def _known_inner(part: Part, value: Any) -> tuple[Any, int]:
    if part.inner is None:
        return value, 0
    if isinstance(value, dict) and not part.many:
        return known(part.inner, value)
    if isinstance(value, list) and part.many:
        each = [known(part.inner, one) if isinstance(one, dict) else (one, 0) for one in value]
        return [one for one, _ in each], sum(count for _, count in each)
    return value, 0


def in_utc(struct: type[Struct], value: dict[str, Any]) -> dict[str, Any]:
    """Valid known fields with every instant as a datetime in UTC."""
    moved = dict(value)
    for part in SHAPES[struct]:
        found = moved.get(part.name)
        if part.is_instant and isinstance(found, str):
            moved[part.name] = msgspec.convert(found, datetime).astimezone(UTC)
        elif part.inner is not None and isinstance(found, dict):
            moved[part.name] = in_utc(part.inner, found)
        elif part.inner is not None and isinstance(found, list):
            moved[part.name] = [in_utc(part.inner, one) for one in found]
    return moved


# --- the first fault ------------------------------------------------------------------------


def first_fault(struct: type[Struct], value: Any, path: str) -> tuple[str, str] | None:
    """Path and fault of the first field, in the order of the schema, that has a wrong type."""
    if not isinstance(value, dict):
        return path, f"Expected `object`, got `{_name_of(value)}`"
    for part in SHAPES[struct]:
        where = json_values.step(path, part.name)
        if part.name in value:
            fault = _fault_in(part, value[part.name], where)
        else:
            fault = (where, "is required") if part.required else None
        if fault is not None:
            return fault
    return None


def _fault_in(part: Part, value: Any, path: str) -> tuple[str, str] | None:
    try:
        msgspec.convert(value, part.hint)
    except msgspec.ValidationError as error:
        return _deeper(part, value, path) or said(error, path)
    return None


def _deeper(part: Part, value: Any, path: str) -> tuple[str, str] | None:
    if part.inner is None:
        return None
    if not part.many:
        return first_fault(part.inner, value, path)
    if not isinstance(value, list):
        return None
    each = (
        first_fault(part.inner, one, json_values.step(path, place))
        for place, one in enumerate(value)
    )
    return next((fault for fault in each if fault is not None), None)


_AT: Final = re.compile(r" - at `\$(?P<inner>[^`]*)`$")
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>[^`]+)`")


def said(error: msgspec.ValidationError, path: str) -> tuple[str, str]:
    """Path and fault of msgspec's message, without the value that it may quote."""
    text = str(error)
    at = _AT.search(text)
    what = text[: at.start()] if at else text
    where = f"{path}{at['inner']}" if at else path
    missing = _MISSING.match(what)
    if missing:
        return json_values.step(where, missing["name"]), "is required"
    if what.startswith("Invalid enum value"):
        what = "is not one of the values that the contract names"
    return where, what[:_WHAT_MAX]


def _name_of(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "bool", int: "int", float: "float", str: "str", list: "array", dict: "object"}
    return names.get(type(value), "value")
