from __future__ import annotations

import json

import pytest
from support.events import AT, ZONES, encoded, event, send_data

from gateway.core import wire
from gateway.core.request import ConsentData, Event
from gateway.core.wire_http import EVENTS_MAX, Fault, FaultsError, decode_consent, decode_http


def take(body: bytes) -> list[Event]:
    return decode_http(body, wire.SENDS, zones=ZONES)


def faults(body: bytes) -> tuple[Fault, ...]:
    with pytest.raises(FaultsError) as caught:
        take(body)
    return caught.value.faults


def test_one_event_and_an_array_are_taken() -> None:
    """A body is one CloudEvent or an array; the order stays."""
    one = event(send_data())
    assert [found.id for found in take(encoded(one))] == ["req-1"]
    many = [event(send_data(), id=f"r{number}") for number in range(3)]
    assert [found.id for found in take(b" \n" + encoded(many))] == ["r0", "r1", "r2"]
    assert take(b"[]") == []


def test_every_bad_event_is_named() -> None:
    """Each event of an array that cannot be taken gives its own first fault, under its place."""
    broken = send_data()
    del broken["recipient"]["id"]
    array = [event(broken), event(send_data()), event(send_data(), type="x"), 7]
    assert [(fault.path, fault.reason) for fault in faults(encoded(array))] == [
        ("$[0].data.recipient.id", "invalid_field"),
        ("$[2].type", "unknown_type"),
        ("$[3]", "not_a_cloudevent"),
    ]


def test_a_single_event_has_paths_without_a_place() -> None:
    """Outside an array the path starts at the event."""
    assert [fault.path for fault in faults(encoded(event({})))] == ["$.data.campaign"]


@pytest.mark.parametrize(
    ("body", "path", "reason"),
    [
        (b"", "$", "not_json"),
        (b"[1, ", "$", "not_json"),
        (b"[" * 100_000, "$", "not_json"),
        (b"[" * 10_000 + b"]" * 10_000, "$" + "[0]" * 33, "invalid_field"),
        (b"\xff", "$", "not_json"),
        (b"[" + b"{}," * EVENTS_MAX + b"{}]", "$", "too_large"),
    ],
)
def test_a_body_that_cannot_be_read_has_one_fault(body: bytes, path: str, reason: str) -> None:
    """What is wrong with the body as a whole is said once."""
    assert [(fault.path, fault.reason) for fault in faults(body)] == [(path, reason)]


def test_an_event_in_an_array_may_nest_as_deep_as_alone() -> None:
    """The array does not count as a level of its events."""
    data = {**send_data(), "variables": {"deep": json.loads("[" * 29 + "]" * 29)}}
    assert len(take(encoded([event(data)]))) == 1
    data["variables"]["deep"] = json.loads("[" * 30 + "]" * 30)
    assert [fault.path for fault in faults(encoded([event(data)]))] == [
        "$[0].data.variables.deep" + "[0]" * 29
    ]


def test_bad_bytes_in_one_event_are_named_there() -> None:
    """The array is cut up by msgspec, which skips over text; each event itself is read."""
    body = b"[" + encoded(event(send_data())) + b', {"x": "\xff"}]'
    assert [(fault.path, fault.reason) for fault in faults(body)] == [("$[1]", "not_json")]


CONSENT = {"channel": "email", "state": "revoked", "source": "support", "occurred_at": AT}


def test_consent_is_about_the_person_of_the_path() -> None:
    """The recipient id comes from the path and overrules one in the body."""
    for body in (CONSENT, {**CONSENT, "recipient_id": "other"}):
        found = decode_consent(encoded(body), "anna", zones=ZONES)
        assert isinstance(found, ConsentData)
        assert found.recipient_id == "anna"


@pytest.mark.parametrize(
    ("body", "path"),
    [(b"{}", "$.channel"), (b"[]", "$"), (b"{", "$"), (b'{"channel": "fax"}', "$.channel")],
)
def test_a_fault_of_consent_has_a_path_from_the_body(body: bytes, path: str) -> None:
    """The body is the data, so its paths start at `$`."""
    with pytest.raises(FaultsError) as caught:
        decode_consent(body, "anna", zones=ZONES)
    assert [fault.path for fault in caught.value.faults] == [path]
