from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from support.events import AT, ZONES, binary, encoded, event, send_data

from gateway.core import wire
from gateway.core.request import (
    CancelData,
    ConsentData,
    ConversionData,
    Event,
    PresenceData,
    SendData,
)
from gateway.errors import RefusedError

STRUCTURED = (("Content-Type", b"Application/CloudEvents+JSON; charset=UTF-8"),)
ALL = wire.SENDS | wire.PRESENCE | wire.CONVERSIONS | wire.CONSENT


def decode(whole: object, accepted: frozenset[str] = ALL) -> Event:
    return wire.decode(encoded(whole), STRUCTURED, accepted, zones=ZONES)


def refused(value: bytes | None, headers: Any = ()) -> tuple[str, str]:
    with pytest.raises(RefusedError) as caught:
        wire.decode(value, headers, ALL, zones=ZONES)
    return caught.value.reason, caught.value.path


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    data = send_data()
    change(data)
    return event(data)


def test_a_whole_request_is_decoded() -> None:
    """Every field of the contract arrives, typed."""
    found = decode(event(send_data()))
    assert isinstance(found.data, SendData)
    assert (found.type, found.source, found.id) == (wire.SEND_REQUESTED, "/campaigns", "req-1")
    assert found.unknown_fields == 0
    assert found.data.recipient.push[1].subscription == {"endpoint": "https://push.example/1"}
    assert found.data.not_before == datetime(2026, 5, 2, tzinfo=UTC)
    assert found.data.experiment is not None
    assert [arm.weight for arm in found.data.experiment.variants] == [1.0, 2.5]


@pytest.mark.parametrize(
    ("kind", "data", "struct"),
    [
        (wire.SEND_CANCELLED, {"source": "/campaigns", "id": "req-1"}, CancelData),
        (
            wire.PRESENCE_OBSERVED,
            {"recipient_id": "p", "latitude": 55.7, "longitude": 12, "observed_at": AT},
            PresenceData,
        ),
        (
            wire.CONVERSION_OBSERVED,
            {"recipient_id": "p", "kind": "order", "occurred_at": AT},
            ConversionData,
        ),
        (
            wire.CONSENT_CHANGED,
            {"email": "a@b.dk", "channel": "all", "state": "revoked", "source": "s",
             "occurred_at": AT},
            ConsentData,
        ),
    ],
)  # fmt: skip
def test_every_input_type_is_decoded_in_both_modes(
    kind: str, data: dict[str, Any], struct: type
) -> None:
    """The other four types arrive as their own struct, the same in both content modes."""
    whole = event(data, type=kind)
    found = decode(whole)
    assert isinstance(found.data, struct)
    value, headers = binary(whole)
    assert wire.decode(value, headers, ALL, zones=ZONES) == found


def test_an_ordinary_event_takes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole event with nothing unknown never reaches the careful way, in either mode."""

    def never(*_: object, **__: object) -> Event:
        raise AssertionError("the careful way was taken")

    monkeypatch.setattr("gateway.core.wire_careful.event", never)
    whole = event(send_data())
    assert decode(whole) == wire.decode(*binary(whole), ALL, zones=ZONES)


def test_binary_and_structured_mode_are_one_event() -> None:
    """Content mode does not count: data, identity and digest are the same."""
    whole = event(send_data(), id="50%25 æ")
    value, headers = binary(whole)
    assert wire.decode(value, headers, ALL, zones=ZONES) == decode(whole)


@pytest.mark.parametrize("headers", [(), [("content-type", b"application/json")], STRUCTURED])
def test_a_value_without_ce_headers_is_the_whole_event(headers: Any) -> None:
    """Structured mode is also understood where the producer set no CloudEvents media type."""
    assert wire.decode(encoded(event(send_data())), headers, ALL, zones=ZONES).id == "req-1"


def test_the_media_type_wins_over_ce_headers() -> None:
    """A structured event may repeat its attributes as headers; the value speaks."""
    headers = [("ce_id", b"other"), *STRUCTURED]
    assert wire.decode(encoded(event(send_data())), headers, ALL, zones=ZONES).id == "req-1"


# --- the same request -----------------------------------------------------------------------

SAME: dict[str, Callable[[dict[str, Any]], object]] = {
    "unknown field": lambda d: d.update(extra=1),
    "unknown field deep inside": lambda d: d["experiment"]["variants"][0].update(colour="red"),
    "whole number as a fraction": lambda d: d["offer"].update(percent=15.0),
    "null for an absent field": lambda d: d["recipient"]["push"][0].update(subscription=None),
    "null for an absent object": lambda d: d["experiment"]["variants"][0].update(variables=None),
}
OTHER: dict[str, Callable[[dict[str, Any]], object]] = {
    "another name": lambda d: d["recipient"].update(name="Bo"),
    "another variable": lambda d: d["variables"].update(score=0.25),
    "a variable that is text": lambda d: d["variables"].update(score="0.5"),
    "a new null among variables": lambda d: d["variables"].update(new=None),
    "another order of channels": lambda d: d["channels"].reverse(),
    "a default left out": lambda d: d.pop("priority"),
    "the same instant in other words": lambda d: d.update(not_before="2026-05-02T02:00:00+02:00"),
}


@pytest.mark.parametrize("name", SAME)
def test_what_does_not_change_a_request(name: str) -> None:
    """Unknown fields, the spelling of numbers and explicit nulls leave the digest as it is."""
    assert decode(changed(SAME[name])).digest == decode(event(send_data())).digest


@pytest.mark.parametrize("name", OTHER)
def test_what_makes_it_another_request(name: str) -> None:
    """Data that differ as JSON values have another digest."""
    assert decode(changed(OTHER[name])).digest != decode(event(send_data())).digest


def test_order_spacing_and_escapes_do_not_count() -> None:
    """The same values in reverse order, indented and escaped, are the same request."""
    whole = event({**send_data(), "campaign": "sommer på øen"})

    def reverse(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: reverse(part) for name, part in reversed(value.items())}
        return [reverse(part) for part in value] if isinstance(value, list) else value

    other = json.dumps(reverse(whole), indent=3).encode()
    assert wire.decode(other, (), ALL, zones=ZONES) == decode(whole)


def test_other_attributes_do_not_count() -> None:
    """Time, subject and extensions are not part of the request and are not counted as unknown."""
    plain = decode(event(send_data()))
    noisy = event(send_data(), time="2026-05-03T00:00:00+02:00", subject="x", partitionkey="y")
    assert decode(noisy) == plain


def test_unknown_fields_are_counted_at_every_level() -> None:
    """Each unknown name in a known object counts; free objects have no unknown names."""

    def add(data: dict[str, Any]) -> None:
        data["extra"] = {"inner": 1}
        data["recipient"]["shoe_size"] = 44
        data["recipient"]["push"][0]["model"] = "x"
        data["offer"]["amount"]["symbol"] = "€"
        data["recipient"]["attributes"]["anything"] = 1

    found = decode(changed(add))
    assert found.unknown_fields == 4
    assert isinstance(found.data, SendData)
    assert found.data.recipient.attributes["anything"] == 1


def test_of_duplicate_names_the_last_counts() -> None:
    """Even where the first of two would have been refused."""
    whole = encoded(event(send_data()))
    twice = whole.replace(b'"campaign":', b'"campaign": 7, "campaign":')
    assert wire.decode(twice, (), ALL, zones=ZONES).data == decode(event(send_data())).data
    last_bad = whole.replace(b'"template"', b'"campaign": 7, "template"')
    assert refused(last_bad) == ("invalid_field", "$.data.campaign")


def test_instants_come_out_in_utc() -> None:
    """Whatever the offset upstream wrote, inside the gateway every instant is UTC."""
    found = decode(changed(lambda d: d.update(not_before="2026-05-02T02:00:00+02:00")))
    assert isinstance(found.data, SendData)
    assert found.data.not_before == datetime(2026, 5, 2, tzinfo=UTC)
    assert found.data.not_before.tzinfo is UTC


def test_the_store_gets_back_what_it_kept() -> None:
    """`decode_stored` undoes `encode_data`."""
    data = decode(event(send_data())).data
    assert isinstance(data, SendData)
    assert wire.decode_stored(SendData, wire.encode_data(data)) == data
