from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.events import ZONES, encoded, event, send_data

from gateway.core import json_values, wire, wire_careful
from gateway.core.request import Event
from gateway.errors import RefusedError

REASONS = {"not_json", "not_a_cloudevent", "unknown_type", "invalid_field", "too_large"}
ALL = wire.SENDS | wire.PRESENCE | wire.CONVERSIONS | wire.CONSENT

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
headers = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "ce_id", "ce_type", "ce_source", "ce_specversion", "x"]),
        st.binary(max_size=20)
        | st.sampled_from([b"1.0", wire.SEND_REQUESTED.encode(), b"application/cloudevents"]),
    ),
    max_size=8,
)


def judged(value: bytes, with_headers: Any = ()) -> Event | tuple[str, str]:
    try:
        return wire.decode(value, with_headers, ALL, zones=ZONES)
    except RefusedError as error:
        refusal = error.reason, error.path
    assert refusal[0] in REASONS
    assert refusal[1].startswith("$")
    return refusal


def judged_carefully(value: bytes) -> Event | tuple[str, str]:
    """What the careful way alone says."""
    try:
        found = json_values.read(value)
        if not isinstance(found, dict):
            return "not_a_cloudevent", "$"
        identity = wire_careful.attributes(found, ALL)
        if "data" not in found:
            return "invalid_field", "$.data"
        return wire_careful.event(*identity, value=found["data"], zones=ZONES)
    except RefusedError as error:
        return error.reason, error.path


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a value with each of its keys."""
    found = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        found += [(part, key) for key in keys]
        waiting += [part[key] for key in keys if isinstance(part[key], dict | list)]
    return found


@st.composite
def nearly_right(draw: st.DrawFn) -> dict[str, Any]:
    """A whole event with up to three places changed, removed or added to."""
    whole = event(send_data())
    for _ in range(draw(st.integers(0, 3))):
        holder, key = draw(st.sampled_from(_places(whole)))
        match draw(st.sampled_from(["change", "remove", "add"])):
            case "change":
                holder[key] = draw(values)
            case "remove":
                del holder[key]
            case _ if isinstance(holder, dict):
                holder[draw(st.text(max_size=8))] = draw(values)
            case _:
                holder.append(draw(values))
    return whole


@given(nearly_right())
@settings(max_examples=400, deadline=None)
def test_the_fast_and_the_careful_way_agree(whole: dict[str, Any]) -> None:
    """Both ways give the same event, or the same reason and path."""
    value = encoded(whole)
    assert judged(value) == judged_carefully(value)


@given(nearly_right(), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_k6_order_and_spelling_do_not_change_the_verdict(
    whole: dict[str, Any], chance: Any
) -> None:
    """K6: the same values, shuffled and escaped, are the same event or have the same fault."""

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(name, shuffled(part)) for name, part in value.items()]
            chance.shuffle(items)
            return dict(items)
        return [shuffled(part) for part in value] if isinstance(value, list) else value

    first, second = judged(encoded(whole)), judged(json.dumps(shuffled(whole), indent=1).encode())
    if isinstance(first, Event) or first[0] != "invalid_field":
        assert second == first
    else:
        assert second[0] == first[0]


@given(st.binary(max_size=200), headers)
@settings(max_examples=400, deadline=None)
def test_k6_any_bytes_are_an_event_or_a_refusal(value: bytes, with_headers: Any) -> None:
    """K6: no bytes and no headers raise anything but a refusal."""
    judged(value, with_headers)


@given(values, headers)
@settings(max_examples=200, deadline=None)
def test_k6_any_json_is_an_event_or_a_refusal(value: Any, with_headers: Any) -> None:
    """K6: no JSON raises anything but a refusal, and the two ways agree on it."""
    raw = encoded(value)
    judged(raw, with_headers)
    assert judged(raw) == judged_carefully(raw)


@given(st.integers(0, 3000), st.data())
@settings(max_examples=300, deadline=None)
def test_k6_a_damaged_event_is_an_event_or_a_refusal(place: int, data: st.DataObject) -> None:
    """K6: bytes cut, changed or doubled anywhere in a good event."""
    whole = encoded(event(send_data()))
    at = place % len(whole)
    piece = data.draw(st.binary(max_size=3) | st.sampled_from([b"\\u0000", b"\\ud800", b"[" * 50]))
    damaged = whole[:at] + piece + whole[at + data.draw(st.integers(0, 3)) :]
    assert judged(damaged) == judged_carefully(damaged)


@given(st.text(alphabet='[]{}"\\,:1 a', max_size=60))
@settings(max_examples=500, deadline=None)
def test_depth_is_judged_as_a_parser_would(text: str) -> None:
    """For JSON of any shape the bracket count finds exactly the depth that is there."""
    try:
        found = json.loads(text)
    except ValueError:
        return
    depth = _depth(found)
    brackets = text.count("[") + text.count("{")
    for limit in range(8):
        assert json_values.is_shallow(text.encode(), limit) is (depth <= limit or brackets <= limit)


@given(values)
@settings(max_examples=300, deadline=None)
def test_depth_of_any_value(value: Any) -> None:
    """The same for values that come from outside, with every kind of text in them."""
    raw = encoded(value)
    assert json_values.is_shallow(raw, _depth(value))
    if _depth(value):
        assert not json_values.is_shallow(raw, _depth(value) - 1)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
