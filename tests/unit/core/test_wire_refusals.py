from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.events import ZONES, binary, encoded, event, send_data

from gateway.core import wire
from gateway.core.request import Event, SendData
from gateway.errors import RefusedError

ALL = wire.SENDS | wire.PRESENCE | wire.CONVERSIONS | wire.CONSENT


def decode(whole: object, accepted: frozenset[str] = ALL) -> Event:
    return wire.decode(encoded(whole), (), accepted, zones=ZONES)


def refused(value: bytes | None, headers: Any = ()) -> tuple[str, str]:
    with pytest.raises(RefusedError) as caught:
        wire.decode(value, headers, ALL, zones=ZONES)
    return caught.value.reason, caught.value.path


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    data = send_data()
    change(data)
    return event(data)


ATTRIBUTES: list[tuple[dict[str, object], str, str]] = [
    ({"specversion": "0.3"}, "not_a_cloudevent", "$.specversion"),
    ({"specversion": 1.0}, "not_a_cloudevent", "$.specversion"),
    ({"id": ""}, "not_a_cloudevent", "$.id"),
    ({"id": 7}, "not_a_cloudevent", "$.id"),
    ({"id": "x" * 513}, "not_a_cloudevent", "$.id"),
    ({"id": "a\0b"}, "not_a_cloudevent", "$.id"),
    ({"source": None}, "not_a_cloudevent", "$.source"),
    ({"type": ["x"]}, "not_a_cloudevent", "$.type"),
    ({"time": "yesterday"}, "not_a_cloudevent", "$.time"),
    ({"time": "2026-05-01T10:00:00"}, "not_a_cloudevent", "$.time"),
    ({"time": 1777629600}, "not_a_cloudevent", "$.time"),
    ({"type": "winback.send.requested.v2"}, "unknown_type", "$.type"),
    ({"type": "com.example.order"}, "unknown_type", "$.type"),
]


@pytest.mark.parametrize(("attributes", "reason", "path"), ATTRIBUTES)
def test_a_bad_attribute_is_named(attributes: dict[str, object], reason: str, path: str) -> None:
    """The attribute at fault is the path."""
    assert refused(encoded(event(send_data(), **attributes))) == (reason, path)


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_a_missing_attribute_is_named_in_both_modes(name: str) -> None:
    """A missing attribute's path ends in its name."""
    whole = event(send_data())
    del whole[name]
    assert refused(encoded(whole)) == ("not_a_cloudevent", f"$.{name}")
    assert refused(*binary(whole)) == ("not_a_cloudevent", f"$.{name}")


def test_a_header_that_is_not_utf8_is_named() -> None:
    """A binary attribute in another encoding is no CloudEvent."""
    value, headers = binary(event(send_data()))
    bad = [(name, b"\xff" if name == "ce_source" else text) for name, text in headers]
    assert refused(value, bad) == ("not_a_cloudevent", "$.source")


def test_a_type_of_another_topic_is_refused() -> None:
    """A good event on the wrong topic is `unknown_type`."""
    with pytest.raises(RefusedError) as caught:
        decode(event(send_data()), wire.PRESENCE)
    assert (caught.value.reason, caught.value.path) == ("unknown_type", "$.type")


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def with_variable(raw: bytes) -> bytes:
    data = send_data()
    data["variables"] = {"first": 1, "deep": "@"}
    return encoded(event(data)).replace(b'"@"', raw)


POISON: list[tuple[str, bytes | None, str, str]] = [
    ("null value", None, "not_json", "$"),
    ("no bytes", b"", "not_json", "$"),
    ("spaces", b" \n", "not_json", "$"),
    ("invalid JSON", b'{"a":', "not_json", "$"),
    ("two values", b"{} {}", "not_json", "$"),
    ("single quotes", b"{'a': 1}", "not_json", "$"),
    ("byte order mark", b"\xef\xbb\xbf{}", "not_json", "$"),
    ("invalid UTF-8", b'{"a":"\xff"}', "not_json", "$"),
    ("UTF-16", '{"a":1}'.encode("utf-16"), "not_json", "$"),
    ("invalid UTF-8 in an unknown field", with_variable(b'"\xed\xa0\x80"'), "not_json", "$"),
    ("NaN", with_variable(b"NaN"), "not_json", "$"),
    ("Infinity", with_variable(b"-Infinity"), "not_json", "$"),
    ("half a surrogate pair", with_variable(b'"\\ud800"'), "not_json", "$"),
    ("half a pair in an unknown field", b'{"x":"\\udc00"}', "not_json", "$"),
    ("control character", with_variable(b'"a\x01b"'), "not_json", "$"),
    ("leading zero", with_variable(b"01"), "not_json", "$"),
    ("brackets without an end", b"[" * 10_000, "not_json", "$"),
    ("object without an end", b'{"a":' * 10_000, "not_json", "$"),
    ("a string", b'"x"', "not_a_cloudevent", "$"),
    ("a list", b"[]", "not_a_cloudevent", "$"),
    ("null", b"null", "not_a_cloudevent", "$"),
    ("an empty object", b"{}", "not_a_cloudevent", "$.specversion"),
    ("10,000 deep", nested(10_000), "invalid_field", "$" + "[0]" * 32),
    (
        "10,000 deep in a variable",
        with_variable(nested(10_000)),
        "invalid_field",
        "$.data.variables.deep" + "[0]" * 29,
    ),
    (
        "33 deep",
        with_variable(nested(30)),
        "invalid_field",
        "$.data.variables.deep" + "[0]" * 29,
    ),
    ("1e999", with_variable(b"1e999"), "invalid_field", "$.data.variables.deep"),
    ("10,000 digits", with_variable(b"9" * 10_000), "invalid_field", "$.data.variables.deep"),
    ("65 bits", with_variable(b"36893488147419103232"), "invalid_field", "$.data.variables.deep"),
    ("null character", with_variable(b'"\\u0000"'), "invalid_field", "$.data.variables.deep"),
    ("over 1 MiB", b'"' + b"x" * 1_048_576, "too_large", "$"),
    ("10 MB of text", b'{"a":"' + b"x" * 10_000_000 + b'"}', "too_large", "$"),
]


@pytest.mark.parametrize(
    ("value", "reason", "path"), [row[1:] for row in POISON], ids=[row[0] for row in POISON]
)
def test_k6_poison_is_refused_with_its_reason(value: bytes | None, reason: str, path: str) -> None:
    """K6: each poison record is refused once, with a reason and a path, and nothing else raises."""
    assert refused(value) == (reason, path)


def test_k6_binary_mode_refuses_the_same_poison() -> None:
    """K6: nesting and encoding are judged alike where the value is `data` alone."""
    value, headers = binary(event(send_data()))
    deep = value.replace(b'"anna.larsen@example.dk"', nested(10_000))
    reason, path = refused(deep, headers)
    assert reason == "invalid_field"
    assert path.startswith("$.data.recipient.email[0]")
    assert refused(b'{"a": "\xff"}', headers)[0] == "not_json"
    assert refused(None, headers) == ("not_json", "$")


def test_s17_nesting_of_32_is_taken_in_both_modes() -> None:
    """S17: the limit is 32 containers counted from the event, in either mode."""
    data = {**send_data(), "variables": {"deep": json.loads(nested(29))}}
    assert decode(event(data)).data == wire.decode(*binary(event(data)), ALL, zones=ZONES).data
    data["variables"]["deep"] = json.loads(nested(30))
    assert refused(*binary(event(data)))[0] == "invalid_field"


def test_many_brackets_are_not_deep() -> None:
    """A long list of products nests no deeper than a short one; brackets in text do not count."""
    found = decode(
        changed(lambda d: d.update(variables={"rows": [[{}]] * 500, "text": '[{"\\' * 100}))
    )
    assert isinstance(found.data, SendData)
    assert len(found.data.variables["rows"]) == 500


def test_s17_variables_have_a_size_of_their_own() -> None:
    """64 KiB of variables are taken, one byte more is `too_large`; spaces do not count."""
    frame = len(json.dumps({"t": ""}, separators=(",", ":")))
    fits = {"t": "x" * (64 * 1024 - frame)}
    spaced = json.dumps(event({**send_data(), "variables": fits}), indent=8).encode()
    assert wire.decode(spaced, (), ALL, zones=ZONES).id == "req-1"
    over = {"t": fits["t"] + "x"}
    whole = event({**send_data(), "variables": over})
    assert refused(encoded(whole)) == ("too_large", "$.data.variables")
    assert refused(*binary(whole)) == ("too_large", "$.data.variables")


TYPES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda d: d.pop("campaign"), "$.data.campaign"),
    (lambda d: d.update(campaign=""), "$.data.campaign"),
    (lambda d: d.update(campaign="x" * 129), "$.data.campaign"),
    (lambda d: d.pop("template"), "$.data.template"),
    (lambda d: d.pop("recipient"), "$.data.recipient"),
    (lambda d: d.update(recipient=None), "$.data.recipient"),
    (lambda d: d.update(recipient=[]), "$.data.recipient"),
    (lambda d: d["recipient"].pop("id"), "$.data.recipient.id"),
    (lambda d: d["recipient"].update(id=7), "$.data.recipient.id"),
    (lambda d: d["recipient"].update(phone="+45 20 12"), "$.data.recipient.phone"),
    (lambda d: d["recipient"].update(phone="+4520123456\n"), "$.data.recipient.phone"),
    (lambda d: d["recipient"].update(phone="+452012345٦"), "$.data.recipient.phone"),
    (lambda d: d["recipient"].update(locale="dansk!"), "$.data.recipient.locale"),
    (lambda d: d["recipient"].update(country="dk"), "$.data.recipient.country"),
    (lambda d: d["recipient"].update(attributes=[]), "$.data.recipient.attributes"),
    (
        lambda d: d["recipient"]["push"][1].update(platform="sms"),
        "$.data.recipient.push[1].platform",
    ),
    (lambda d: d["recipient"]["push"].insert(0, "x"), "$.data.recipient.push[0]"),
    (
        lambda d: d["recipient"].update(push=[{"platform": "fcm", "token": "t"}] * 21),
        "$.data.recipient.push",
    ),
    (
        lambda d: d["recipient"].update(preferred_channels=["email", "fax"]),
        "$.data.recipient.preferred_channels[1]",
    ),
    (lambda d: d.update(channels=[]), "$.data.channels"),
    (lambda d: d.update(channels="email"), "$.data.channels"),
    (lambda d: d.update(variables="x"), "$.data.variables"),
    (lambda d: d["churn"].update(last_active="May"), "$.data.churn.last_active"),
    (
        lambda d: d["churn"]["lifetime_value"].update(amount=10),
        "$.data.churn.lifetime_value.amount",
    ),
    (lambda d: d["offer"].pop("kind"), "$.data.offer.kind"),
    (lambda d: d["offer"].update(percent=101), "$.data.offer.percent"),
    (lambda d: d["offer"].update(percent=True), "$.data.offer.percent"),
    (lambda d: d["offer"].update(expires_in="P1Y"), "$.data.offer.expires_in"),
    (lambda d: d.update(not_before="2026-05-01T10:00:00"), "$.data.not_before"),
    (lambda d: d.update(priority="urgent"), "$.data.priority"),
    (lambda d: d["geo"].update(fences=[]), "$.data.geo.fences"),
    (lambda d: d["geo"].update(fences=["a", 7]), "$.data.geo.fences[1]"),
    (
        lambda d: d["experiment"]["variants"][1].pop("weight"),
        "$.data.experiment.variants[1].weight",
    ),
    (lambda d: d["experiment"].update(holdout=1.5), "$.data.experiment.holdout"),
    (lambda d: d.update(test="no"), "$.data.test"),
]


@pytest.mark.parametrize(("change", "path"), TYPES, ids=[row[1] for row in TYPES])
def test_the_first_wrong_type_is_named_in_both_modes(
    change: Callable[[dict[str, Any]], object], path: str
) -> None:
    """A wrong type, a missing field and a value out of range are refused at their path."""
    whole = changed(change)
    assert refused(encoded(whole)) == ("invalid_field", path)
    assert refused(*binary(whole)) == ("invalid_field", path)


def test_of_two_faults_the_first_in_the_schema_is_named() -> None:
    """The order of the schema decides, not the order in which upstream wrote the fields."""
    data = {"test": "no", **send_data()}
    data["test"] = "no"
    del data["recipient"]["id"]
    assert refused(encoded(event(data))) == ("invalid_field", "$.data.recipient.id")


@pytest.mark.parametrize(
    ("data", "path"), [(None, "$.data"), ([], "$.data"), ("{}", "$.data"), (7, "$.data")]
)
def test_data_must_be_an_object(data: object, path: str) -> None:
    """Data of another kind is `invalid_field` at `$.data`."""
    assert refused(encoded(event(data))) == ("invalid_field", path)


def test_data_must_be_there() -> None:
    """An event without data is `invalid_field` at the missing name."""
    whole = event({})
    del whole["data"]
    assert refused(encoded(whole)) == ("invalid_field", "$.data")


def test_the_text_of_a_refusal_does_not_repeat_what_was_sent() -> None:
    """What is wrong is said without the value: it may be an address or a megabyte."""
    with pytest.raises(RefusedError) as caught:
        decode(changed(lambda d: d["recipient"]["push"][0].update(platform="anna@example.dk")))
    assert "anna" not in str(caught.value)


def test_a_path_stays_short() -> None:
    """Names that upstream chose are cut, so that a dead letter's detail stays readable."""
    data = {**send_data(), "variables": {"k" * 5000: {"odd name": {"deep": "\0"}}}}
    _, path = refused(encoded(event(data)))
    assert path == "$.data.variables." + "k" * 64 + '["odd name"].deep'
