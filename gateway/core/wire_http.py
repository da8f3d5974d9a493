"""Events that come over HTTP: one CloudEvent, a JSON array of them, or a body of consent data.

Invariant: a body is taken whole or not at all, and every event that cannot be taken is named.
The same decoding as from Kafka stands behind it; nothing here knows routes or statuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Raw

from gateway.core import json_values, wire, wire_careful
from gateway.core.request import ConsentData, Event
from gateway.core.wire_shape import CONSENT_CHANGED
from gateway.errors import GatewayError, RefusedError

EVENTS_MAX: Final = 1000

_batches: Final = msgspec.json.Decoder(list[Raw])


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one event: JSON path, text, and the contract's reason."""

    path: str
    detail: str
    reason: str


class FaultsError(GatewayError):
    """A body whose events cannot all be taken: the first fault of each that cannot.

    `good` are the events that could be read, by their place in the array.
    """

    def __init__(self, faults: Sequence[Fault], good: Mapping[int, Event] | None = None) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.detail}" for fault in faults[:3]))
        self.faults = tuple(faults)
        self.good = good or {}


def decode_http(body: bytes, accepted: frozenset[str], *, zones: frozenset[str]) -> list[Event]:
    """A CloudEvent, or a JSON array of at most 1,000, as events in their order.

    Raises FaultsError with the first fault of each event, under `$[i]` inside an array; a body
    that is no JSON, is nested too deep, or holds too many events has one fault.
    """
    if not body.lstrip(b" \t\r\n").startswith(b"["):
        return _each([(body, "$")], accepted, zones)
    try:
        items = _items(body)
    except RefusedError as error:
        raise FaultsError([_fault(error, "$")]) from error
    return _each([(item, f"$[{place}]") for place, item in enumerate(items)], accepted, zones)


def _items(body: bytes) -> list[bytes]:
    """The events of an array, each as its own bytes, not yet looked at."""
    # One level deeper than an event may be: each is looked at on its own afterwards.
    depth = json_values.DEPTH_MAX + 1
    if not json_values.is_shallow(body, depth):
        json_values.read(body, depth=depth)
    try:
        items = _batches.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RefusedError("not_json", "$", str(error)) from error
    if len(items) > EVENTS_MAX:
        raise RefusedError("too_large", "$", f"more than {EVENTS_MAX} events")
    return [bytes(item) for item in items]


def _each(
    items: Sequence[tuple[bytes, str]], accepted: frozenset[str], zones: frozenset[str]
) -> list[Event]:
    good: dict[int, Event] = {}
    faults: list[Fault] = []
    for place, (item, root) in enumerate(items):
        try:
            good[place] = wire.decode(item, (), accepted, zones=zones)
        except RefusedError as error:
            faults.append(_fault(error, root))
    if faults:
        raise FaultsError(faults, good)
    return list(good.values())


def _fault(error: RefusedError, root: str) -> Fault:
    return Fault(f"{root}{error.path[1:]}", error.what, error.reason)


def decode_consent(body: bytes, recipient_id: str, *, zones: frozenset[str]) -> ConsentData:
    """The body of `PUT /v1/recipients/{id}/consent`: consent data about the person of the path.

    Raises FaultsError with paths from the body's own root (`$.channel`). A `recipient_id` in
    the body is overruled by the path.
    """
    try:
        found = _with_person(json_values.read(body), recipient_id)
        data = wire_careful.event(CONSENT_CHANGED, "", "", value=found, zones=zones).data
    except RefusedError as error:
        path = error.path.replace("$.data", "$", 1)
        raise FaultsError([Fault(path, error.what, error.reason)]) from error
    assert isinstance(data, ConsentData)  # noqa: S101 - what this type of event always holds
    return data


def _with_person(found: Any, recipient_id: str) -> Any:
    return {**found, "recipient_id": recipient_id} if isinstance(found, dict) else found
