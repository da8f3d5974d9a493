"""A large mixed campaign: good requests, and among them everything that upstream gets wrong.

Invariant: it is the same every time, and it says of each record what must become of it. All
addresses are made so that they can be found again in any text (`MARKS`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from support.events import encoded
from support.reader import In
from support.stage import in_binary, request, structured

MARKS = re.compile(rb"mbox7|devicetoken|(\+|%2B)45[0-9]{8}")
"""Whatever holds one of these holds an address, a number or a device token of the campaign."""

CHANNELS = ("email", "sms", "push")
LOCALES = ("en", "da-DK")
SOURCE = "/campaigns/spring"
DEEP = 10_000


@dataclass(frozen=True, slots=True)
class Poison:
    """A record that must reach the dead letters: by which reason, and where the fault is."""

    record: In
    reason: str
    path: str = ""
    is_too_large_for_the_broker: bool = False


@dataclass(slots=True)
class Campaign:
    """Records in order; `channels` says per request id which channel its one call is on."""

    records: list[In] = field(default_factory=list)
    channels: dict[str, str] = field(default_factory=dict)
    poison: dict[int, Poison] = field(default_factory=dict)  # by place in `records`
    duplicates: int = 0

    def add(self, record: In) -> None:
        """A good record, or a repeat of one."""
        self.records.append(record)

    def add_poison(self, poison: Poison) -> None:
        """A record for the dead letters."""
        self.poison[len(self.records)] = poison
        self.records.append(poison.record)


def campaign(count: int, *, with_giants: bool) -> Campaign:
    """`count` different requests, 1 % of poison, 1 % of repeats, some conflicts and more.

    `with_giants` adds records over the broker's usual limit.
    """
    made = Campaign()
    poison = endless_poison(with_giants=with_giants)
    for number in range(count):
        whole = person_request(number)
        channel = whole["data"]["channels"][0]
        made.channels[whole["id"]] = channel
        made.add(_record(whole, number, keyed=number % 1000 != 7))
        if number % 100 == 50:
            made.add_poison(next(poison))
            earlier = person_request(number - 40)
            made.add(_record(_shuffled(earlier), number + 1))
            made.duplicates += 1
        if number % 250 == 125:
            _add_mistakes(made, number)
    return made


def person_request(number: int) -> dict[str, Any]:
    """The request of one person; everybody has all addresses and gets one message."""
    person = f"cust-{number:06d}"
    return request(
        f"r-{number}",
        person,
        CHANNELS[number % 3],
        recipient={
            "email": f"{person}@mbox7.example",
            "phone": f"+452{number:06d}0",  # an ending that no stand-in takes for a wish
            "push": [{"platform": "fcm", "token": f"devicetoken{number:06d}"}],
            "locale": LOCALES[number // 3 % 2],
            "name": f"Åse {number}",
        },
    )


def _record(whole: dict[str, Any], number: int, *, keyed: bool = True) -> In:
    key = "" if keyed else None
    return structured(whole, key=key) if number % 2 else in_binary(whole, key=key)


def _shuffled(whole: dict[str, Any]) -> dict[str, Any]:
    """The same request as another producer writes it: other order, an unknown field more."""
    data = dict(reversed(whole["data"].items()))
    return {**dict(reversed(whole.items())), "data": {**data, "made_by": "someone else"}}


def _add_mistakes(made: Campaign, number: int) -> None:
    earlier = person_request(number - 20)
    other = {**earlier, "data": {**earlier["data"], "campaign": "autumn"}}
    made.add_poison(Poison(structured(other), "identity_conflict"))
    stranger = request(f"u-{number}", f"cust-u{number}", "email", template="no_such")
    made.add_poison(Poison(structured(stranger), "unknown_template", "$.data.template"))
    lacking = person_request(number)
    lacking = {**lacking, "id": f"m-{number}", "data": {**lacking["data"], "variables": {}}}
    made.add_poison(Poison(in_binary(lacking), "missing_variable", "$.data.variables.plan"))


def endless_poison(*, with_giants: bool) -> Iterator[Poison]:
    """The poison set of K6, over and over, each time as a record of its own."""
    turn = 0
    while True:
        made = _poison(turn)
        if with_giants:
            made += _giants(turn)
        yield from made
        turn += 1


def _poison(turn: int) -> list[Poison]:
    whole = person_request(turn)
    name = f"p-{turn}"
    key = name.encode()
    content = [("content-type", b"application/cloudevents+json"), ("trace", name.encode())]
    nested = b"[" * DEEP + b"]" * DEEP
    head = encoded({**whole, "id": name, "data": 0}).removesuffix(b"0}")

    def bad(value: bytes | None, reason: str, path: str = "", *, keyed: bool = True) -> Poison:
        return Poison(In(value, key if keyed else None, content), reason, path)

    data = whole["data"]
    person = data["recipient"]
    return [
        bad(b'{"id": ', "not_json"),
        bad(b'{"id": "\xff\xfe"}', "not_json"),
        bad(encoded({**whole, "id": name, "specversion": "9.9"}), "not_a_cloudevent"),
        bad(None, "not_json"),
        bad(b"", "not_json", keyed=False),
        bad(head + nested + b"}", "invalid_field"),
        bad(head + b'{"score": NaN}}', "not_json"),
        bad(head + b'{"score": Infinity}}', "not_json"),
        bad(encoded({**whole, "id": name, "type": "winback.send.guessed.v1"}), "unknown_type"),
        bad(
            encoded({**whole, "id": name, "data": {**data, "variables": {"n": 10**400}}}),
            "invalid_field",
        ),
        bad(
            encoded({**whole, "id": name, "data": {**data, "recipient": {**person, "id": 7}}}),
            "invalid_field",
            "$.data.recipient.id",
        ),
        bad(
            encoded({**whole, "id": name, "data": {**data, "variables": {"plan": "x" * 70_000}}}),
            "too_large",
            "$.data.variables",
        ),
    ]


def _giants(turn: int) -> list[Poison]:
    key = f"giant-{turn}".encode()
    over = In(b'"' + b"x" * (1024 * 1024 + 100) + b'"', key)
    if turn:
        return [Poison(over, "too_large")]
    giant = In(b'"' + b"y" * (10 * 1024 * 1024) + b'"', key)
    return [
        Poison(over, "too_large"),
        Poison(giant, "too_large", is_too_large_for_the_broker=True),
    ]
