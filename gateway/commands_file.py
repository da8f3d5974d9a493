"""The events of a file that a person hands to `winback send`: one, a JSON array, or one a line.

Invariant: each event keeps its own bytes, since what is published is what was written; either all
events of a file can be taken or every one that cannot is named. Knows no broker.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.core import ids, wire
from gateway.core.request import Event, SendData
from gateway.core.wire_http import FaultsError, decode_http


@dataclass(frozen=True, slots=True)
class Written:
    """One event as it stands in the file; `place` says where: `$`, `$[2]` or `line 3`."""

    place: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Ready:
    """An event that can be published. `key` is the recipient's id, None where it names nobody."""

    value: bytes
    key: bytes | None
    type: str
    source: str
    id: str
    send_id: str | None


def read_events(body: bytes, *, zones: frozenset[str]) -> tuple[Sequence[Ready], Sequence[str]]:
    """The events of a file, and a line for each that the gateway would not take."""
    ready: list[Ready] = []
    faults: list[str] = []
    for written in split(body):
        try:
            events = decode_http(written.value, wire.SENDS, zones=zones)
        except FaultsError as error:
            first = error.faults[0]
            faults.append(f"{_join(written.place, first.path)}: {first.detail} ({first.reason})")
            continue
        ready += [_ready(written.value, event) for event in events]
    return ready, faults


def split(body: bytes) -> list[Written]:
    """The events of a file, not yet looked at; what is no JSON comes back for its fault."""
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        text = body.decode()
        whole = json.loads(text)
    except RecursionError:
        return [Written("$", body)]
    except ValueError:
        lines = [(number, line.strip()) for number, line in enumerate(body.split(b"\n"), start=1)]
        filled = [(number, line) for number, line in lines if line]
        if len(filled) > 1 and all(line.startswith(b"{") for _, line in filled):
            return [Written(f"line {number}", line) for number, line in filled]
        return [Written("$", body)]
    if not isinstance(whole, list):
        return [Written("$", body.strip())]
    return [Written(f"$[{place}]", one) for place, one in enumerate(_items(text))]


def _items(text: str) -> Iterator[bytes]:
    """The items of a valid JSON array, each as it was written."""
    read = json.JSONDecoder().raw_decode
    at = _after(text, text.index("[") + 1)
    while text[at] != "]":
        _, end = read(text, at)
        # An item that is an array itself must not be taken for the whole of a file.
        yield text[at:end].encode() if text[at] != "[" else b"null"
        at = _after(text, end)
        at = _after(text, at + 1) if text[at] == "," else at


def _after(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _join(place: str, path: str) -> str:
    return f"{place}{path[1:]}" if place.startswith("$") else f"{place}: {path}"


def _ready(value: bytes, event: Event) -> Ready:
    data, send_id = event.data, None
    if isinstance(data, SendData):
        person: str | None = data.recipient.id
        send_id = ids.send_id(event.source, event.id)
    else:
        person = data.recipient_id
    key = person.encode() if person else None
    return Ready(value, key, event.type, event.source, event.id, send_id)
