from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click
import pytest
from support.events import ZONES, encoded, event, send_data

from gateway.bus.contract import Record
from gateway.commands_dlq import place_of
from gateway.commands_end import end
from gateway.commands_file import read_events, split
from gateway.commands_letters import letter_of, masked_letter, original, subjects_of
from gateway.commands_mask import masked, scrubbed
from gateway.commands_story import lift_sentence, result_rows, timeline
from gateway.core import ids
from gateway.core.lift import lift
from gateway.doctor import exit_code, fault, ok, skipped, wrong_setting
from gateway.errors import BusUnavailable, EventsRefused, SettingsError, StoreBehind

SECRET = b"s" * 32
AT = datetime(2026, 5, 1, 10, 0, tzinfo=UTC)
DLQ = [
    ("dlq-reason", b"invalid_field"),
    ("dlq-detail", b"$.data.campaign: is required"),
    ("dlq-topic", b"winback.sends"),
    ("dlq-partition", b"3"),
    ("dlq-offset", b"41"),
    ("dlq-timestamp", b"1777629600000"),
]


def letter(value: bytes | None, *, key: bytes | None = b"ada", more: Any = ()) -> Record:
    """A dead letter with this value."""
    return Record("winback.sends.dlq", 0, 7, 1777629601000, key, value, [*more, *DLQ])


# --- files ----------------------------------------------------------------------------------

ONE = encoded(event(send_data()))
TWO = encoded(event(send_data(), id="req-2"))


@pytest.mark.parametrize(
    ("body", "places"),
    [
        (ONE, ["$"]),
        (b"\xef\xbb\xbf" + ONE, ["$"]),
        (json.dumps(json.loads(ONE), indent=2).encode(), ["$"]),
        (b" [ " + ONE + b" ,\n" + TWO + b" ] \n", ["$[0]", "$[1]"]),
        (ONE + b"\n\n" + TWO + b"\r\n", ["line 1", "line 3"]),
        (b"[]", []),
        (b"", ["$"]),
        (b"{", ["$"]),
        (b"[" * 100_000, ["$"]),
    ],
)
def test_a_file_is_one_event_an_array_or_one_a_line(body: bytes, places: list[str]) -> None:
    """Where each event stands is known before it is looked at."""
    assert [written.place for written in split(body)] == places


def test_events_keep_their_bytes_and_get_the_recipients_id_as_key() -> None:
    """What is published is what was written, spacing, order of names and all."""
    odd = ONE.replace(b'"specversion"', b'  "specversion"')
    ready, faults = read_events(b"[" + odd + b",\n" + TWO + b"]", zones=ZONES)
    assert faults == []
    assert [one.value for one in ready] == [odd, TWO]
    assert {one.key for one in ready} == {b"cust-000123"}
    assert ready[0].send_id == ids.send_id("/campaigns", "req-1")


def test_a_cancellation_has_its_persons_key_if_it_names_one() -> None:
    """Whoever cancels a campaign of one person keeps the order of that person's records."""
    kind = "winback.send.cancelled.v1"
    whole = [
        event({"campaign": "spring", "recipient_id": "ada"}, type=kind),
        event({"source": "/campaigns", "id": "req-1"}, type=kind),
    ]
    ready, faults = read_events(encoded(whole), zones=ZONES)
    assert faults == []
    assert [(one.key, one.send_id) for one in ready] == [(b"ada", None), (None, None)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[" + ONE + b", 3]", ["$[1]: is not a JSON object (not_a_cloudevent)"]),
        (b"[[" + ONE + b"]]", ["$[0]: is not a JSON object (not_a_cloudevent)"]),
        (
            ONE + b"\n" + encoded(event({"campaign": "x", "template": "y"})),
            ["line 2: $.data.recipient: is required (invalid_field)"],
        ),
        (
            encoded([event(send_data(), type="winback.unheard.of"), event({})]),
            [
                "$[0].type: is not a type that the contract names (unknown_type)",
                "$[1].data.campaign: is required (invalid_field)",
            ],
        ),
    ],
)
def test_every_event_that_cannot_be_taken_is_named(body: bytes, expected: list[str]) -> None:
    """One line for each, with its place in the file and the path of its first fault."""
    _, faults = read_events(body, zones=ZONES)
    assert faults == expected


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[1,]"])
def test_what_is_no_json_is_one_fault(body: bytes) -> None:
    """Whatever is in a file, the answer is a line and never an exception."""
    ready, faults = read_events(body, zones=ZONES)
    assert not ready
    assert len(faults) == 1


# --- masks ----------------------------------------------------------------------------------

PRIVATE = (
    "anna.larsen@example.dk",
    "+4520123456",
    "fcm-token",
    "push.example",
    "Anna",
    "gold",
    "shoes",
    "dormant",
    "2026-01-01",
)


def test_of_personal_data_only_the_shape_is_shown() -> None:
    """Addresses, numbers, names, tokens, attributes and variables are shapes; the rest is there."""
    seen = json.dumps(masked_letter(letter(encoded(event(send_data())))), default=str)
    assert not [text for text in PRIVATE if text in seen]
    for text in ("req-1", "spring-2026", "come_back", "cust-000123", "Europe/Copenhagen", "price"):
        assert text in seen
    assert "<text 22>" in seen
    assert '"score": "<number>"' in seen


def test_a_binary_letter_is_masked_like_a_structured_one() -> None:
    """The value stands where `data` does, and headers that nobody knows are only counted."""
    more = [("ce_id", b"req-9"), ("ce_source", b"/crm"), ("x-customer", b"Anna Larsen")]
    record = letter(encoded(send_data()), more=more)
    seen = masked_letter(record)
    assert not [text for text in PRIVATE if text in json.dumps(seen, default=str)]
    assert seen["value"]["campaign"] == "spring-2026"
    assert seen["headers"] == {"ce_id": "req-9", "ce_source": "/crm", "x-customer": "<11 bytes>"}
    assert (seen["event_id"], seen["event_source"]) == ("req-9", "/crm")


@pytest.mark.parametrize(
    "value",
    [
        {"data": {"recipient.id": "Anna"}},
        {"data": {"recipient": "Anna"}},
        {"data": {"recipient": {"id": {"first": "Anna"}}}},
        {"data": {"campaign": {"anna@example.dk": 1}}},
        {"data": {"template": "for anna@example.dk"}},
        {"data": {"recipient": {"id": "+45 20 12 34 56"}}},
        {"recipient": {"name": "Anna"}},
        {"data": {"Anna Larsen": True}},
        ["Anna"],
        "Anna",
    ],
)
def test_what_went_astray_is_masked_too(value: Any) -> None:
    """A letter is here because something is in the wrong place: a path alone opens nothing."""
    seen = json.dumps(masked(value))
    assert "nna" not in seen
    assert "20 12" not in seen


def test_masks_bear_any_depth() -> None:
    """A value nested without end is cut."""
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    assert "<nested deeper>" in json.dumps(masked(deep))


def test_a_value_that_is_no_json_is_only_counted() -> None:
    """Bytes that nobody can read may hold anything."""
    assert masked_letter(letter(b"anna@example.dk;1"))["value"] == "<17 bytes, not JSON>"
    assert masked_letter(letter(None))["value"] is None


def test_a_detail_is_shown_without_the_addresses_in_it() -> None:
    """A path may end in a name that upstream chose."""
    text = scrubbed('$.data.variables["anna@example.dk"]: near +4520123456,\n')
    assert text == '$.data.variables["<address>"]: near <number>,�'


# --- letters --------------------------------------------------------------------------------


def test_a_letter_says_where_it_came_from() -> None:
    """Time, reason, detail, source and the event's id; the last of repeated headers counts."""
    found = letter_of(letter(ONE, more=[("dlq-reason", b"forged")]))
    assert (found.place, found.reason, found.event_id) == ("0:7", "invalid_field", "req-1")
    assert (found.topic, found.source_partition, found.source_offset) == ("winback.sends", 3, 41)
    assert found.source_at == datetime(2026, 5, 1, 10, 0, tzinfo=UTC)
    assert not found.is_truncated


@pytest.mark.parametrize("value", [None, b"\xff", b"[1]", b'{"id": ["x"]}'])
def test_a_letter_bears_any_value(value: bytes | None) -> None:
    """Headers that are not there and values that are nothing make no fault."""
    bare = Record("dlq", 0, 7, -1, None, value, [("dlq-offset", b"x"), ("dlq-topic", b"\xff")])
    assert letter_of(bare).source_offset is None
    assert masked_letter(bare)["partition"] == 0


def test_the_original_is_the_record_to_the_byte() -> None:
    """Key, value and headers as they were; none of ours."""
    more = [("content-type", b"application/cloudevents+json"), ("content-type", b"again")]
    back = original(letter(ONE, more=more))
    assert (back.topic, back.key, back.value) == ("winback.sends", b"ada", ONE)
    assert list(back.headers) == more


def astray(**data: Any) -> bytes:
    return encoded(event(data))


@pytest.mark.parametrize(
    ("kind", "name", "record"),
    [
        ("person", "ada", letter(None)),
        ("person", "ada", letter(astray(recipient={"id": "ada"}), key=None)),
        ("person", "7", letter(astray(recipient={"id": 7}), key=None)),
        ("person", "ada", letter(astray(recipient_id="ada"), key=None)),
        ("person", "ada", letter(b'{"recipient": {"id": "ada"', key=None)),
        ("email", "ada@example.com", letter(astray(recipient={"email": "Ada@Example.com"}))),
        ("email", "ada@example.com", letter(astray(campaign="for <ada@example.com>"))),
        ("email", "ada@example.com", letter(astray(variables={"ada@example.com": 1}))),
        ("email", "ada@example.com", letter(b"ada@example.com;Ada")),
        ("sms", "+4512345678", letter(astray(phone="+45 12 34 56 78"))),
        ("sms", "+4512345678", letter(b"Ada,+4512345678")),
        ("push", "tok-1", letter(astray(recipient={"push": [{"token": "tok-1"}]}))),
        ("push", "https://p.example/1", letter(astray(x={"endpoint": "https://p.example/1"}))),
    ],
)
def test_a_letter_is_about_whoever_is_named_in_it(kind: str, name: str, record: Record) -> None:
    """Wherever an erased person or address stands in a refused record, it is found."""
    assert ids.subject_key(SECRET, kind, name) in subjects_of(record, SECRET)


def test_an_events_own_words_are_nobody() -> None:
    """A person named like a campaign does not take the campaign's letters away."""
    found = subjects_of(letter(astray(campaign="spring", recipient={"id": "x"}), key=None), SECRET)
    assert ids.subject_key(SECRET, "person", "spring") not in found


@pytest.mark.parametrize("text", ["", "1", "1:", ":1", "-1:2", "1:2:3", "a:b", "1 :2", "１:2"])
def test_a_place_is_partition_and_offset(text: str) -> None:
    """Anything else is bad usage that shows how it is written."""
    with pytest.raises(click.BadParameter, match="such as 0:17"):
        place_of(text)
    assert place_of("3:41") == (3, 41)


# --- ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SettingsError("WINBACK_X__Y is required"), 2, "WINBACK_X__Y is required"),
        (StoreBehind("WINBACK_STORE__URL: behind"), 2, "WINBACK_STORE__URL: behind"),
        (EventsRefused([("SCOPE", "is odd")]), 2, "SCOPE: is odd"),
        (click.ClickException("FILE: no"), 2, "FILE: no"),
        (click.UsageError("no such\noption"), 2, "winback: no such option"),
        (BusUnavailable("no broker"), 70, "fault: no broker"),
        (ExceptionGroup("g", [BusUnavailable("no broker")]), 70, "fault: no broker"),
        (ValueError("ada@example.com"), 70, "fault: ValueError at ; please report it"),
        (KeyboardInterrupt(), 130, None),
    ],
)
def test_an_end_is_one_line_and_an_exit_code(
    error: BaseException, code: int, line: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The contract's codes; a foreign error's text, which may hold anything, is not repeated."""
    with pytest.raises(SystemExit) as left:
        end(error)
    assert left.value.code == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", "" if line is None else f"{line}\n")


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ([ok("a", "fine"), skipped("b", "not asked")], 0),
        ([ok("a", "fine"), fault("b", "down", "start it")], 70),
        ([fault("b", "down", "start it"), wrong_setting("c", "WINBACK_X", "mend it")], 2),
    ],
)
def test_the_doctors_exit_code_tells_settings_from_the_world(checks: Any, code: int) -> None:
    """0 all is well, 2 a setting, 70 anything else."""
    assert exit_code(checks) == code


# --- stories and results --------------------------------------------------------------------


def test_a_story_is_told_in_the_order_in_which_it_happened() -> None:
    """Gates, attempts, events and what is waited for, each with its reason."""
    later = AT.replace(minute=5)
    story = {
        "send_id": "abc",
        "state": "queued",
        "request": {"source": "/crm", "id": "r1"},
        "recipient_id": "ada",
        "campaign": "spring",
        "purpose": "promotional",
        "template": "hello",
        "template_version": "v1",
        "accepted_at": AT,
        "routes": [{"channel": "email", "locale": "da"}, {"channel": "sms", "locale": "en"}],
        "gates": [{"gate": "cap", "answer": "passed", "detail": "email"}],
        "events": [
            {
                "type": "winback.message.bounced.v1",
                "data": {"occurred_at": "2026-05-01T10:03:00Z", "reason": "no such mailbox"},
            }
        ],
        "deliveries": [
            {
                "delivery_id": "abc-0",
                "channel": "email",
                "state": "queued",
                "queued_at": AT,
                "due_at": later,
                "claimed_until": None,
                "in_doubt_until": None,
                "reason": None,
                "detail": None,
                "attempts": [
                    {
                        "provider": "sendgrid",
                        "ended_at": AT.replace(minute=1),
                        "outcome": "deferred",
                        "reason": "503",
                    }
                ],
            }
        ],
    }
    lines = list(timeline(story))
    assert lines[0] == "send abc: queued"
    assert "  route      email (da), then sms (en)" in lines
    assert lines[lines.index("") + 1 :] == [
        "2026-05-01 10:00:00Z  accepted",
        "2026-05-01 10:00:00Z    gate cap: passed (email)",
        "2026-05-01 10:00:00Z  email queued (abc-0)",
        "2026-05-01 10:01:00Z  email attempt 1 by sendgrid: deferred (503)",
        "2026-05-01 10:03:00Z  published message.bounced: reason no such mailbox",
        "",
        "email queued: is due 2026-05-01 10:05:00Z",
    ]


def leaf(targeted: int, returned: int) -> dict[str, Any]:
    """People of one group."""
    counts = dict.fromkeys(("sent", "delivered", "opened", "clicked", "unsubscribed"), 0)
    rate = returned / targeted if targeted else 0.0
    return {
        **counts,
        "targeted": targeted,
        "returned": returned,
        "reactivation_rate": rate,
        "revenue": {"DKK": "10.00", "EUR": "5.00"},
    }


def found(treated: tuple[int, int], held: tuple[int, int]) -> dict[str, Any]:
    """Results of a campaign in which so many of so many returned."""
    made = lift(treated[1], treated[0], held[1], held[0])
    total = {**leaf(*treated), "lift": made.as_dict() if made else None}
    groups = {f"by_{name}": {} for name in ("variant", "reason", "offer")}
    by_channel = {"by_channel": {"email": leaf(*treated)}}
    return {"campaign": "spring", "total": total, "holdout": leaf(*held), **groups, **by_channel}


@pytest.mark.parametrize(
    ("treated", "held", "said"),
    [
        ((0, 0), (0, 0), "No request of campaign spring has come yet."),
        ((10, 1), (0, 0), "nobody was held out"),
        ((1000, 100), (1000, 50), "+5.0 percentage points"),
        ((1000, 100), (1000, 50), "+100% in relation to it. The interval does not hold zero."),
        ((20, 2), (20, 1), "This may be chance"),
        ((20, 2), (20, 0), "(95 % interval"),
    ],
)
def test_the_lift_is_a_sentence_that_promises_no_more_than_is_known(
    treated: tuple[int, int], held: tuple[int, int], said: str
) -> None:
    """With its interval, and with the word chance where the interval holds zero."""
    assert said in lift_sentence(found(treated, held))


def test_results_are_rows_of_people() -> None:
    """All, the hold-out, then each group, with money per currency."""
    rows = result_rows(found((10, 1), (0, 0)))
    assert [row[0] for row in rows] == ["all but the hold-out", "hold-out", "channel email"]
    assert rows[0][1:] == ["10", "0", "0", "0", "0", "0", "1", "10.0%", "10.00 DKK, 5.00 EUR"]
