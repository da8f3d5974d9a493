"""What campaign services, shops, phones and people do around a running gateway.

Invariant: it speaks to the gateway as its users do (topics, HTTP, webhooks), never to its store;
the one look into the store's file is for what must not be in it.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from support.events import encoded, event
from support.journal import Call
from support.reader import In, publish
from support.signers import sign_twilio
from support.stage import Stage
from support.topics import unique

TEMPLATES = str(Path(__file__).resolve().parents[2] / "templates")
CODE = re.compile(rb"SP-[2-9A-HJ-NP-Z]{14}")
PERSON_AGENT = "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_4) AppleWebKit/605.1.15 Safari/605.1.15"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ONE_CLICK = b"List-Unsubscribe=One-Click"
INBOUND = "/webhooks/twilio/inbound"


def instant(seconds: float = 0) -> str:
    """An instant from now, as upstream writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an address on every channel, all of which hold `mark`."""

    id: str = field(default_factory=lambda: unique("person"))
    ending: str = "0"

    @property
    def mark(self) -> str:
        """What no other person's addresses hold."""
        return self.id.rpartition(".")[2]

    @property
    def email(self) -> str:
        return f"{self.id}@mbox7.example"

    @property
    def phone(self) -> str:
        return f"+453{int(self.mark, 16) % 1_000_000:06d}{self.ending}"

    @property
    def token(self) -> str:
        return f"devicetoken{self.id}"

    @property
    def name(self) -> str:
        return f"Åse {self.mark}"

    def request(self, *channels: str, **more: Any) -> dict[str, Any]:
        """A request for this person, of the template `hello` unless told."""
        recipient = {
            "id": self.id,
            "email": self.email,
            "phone": self.phone,
            "push": [{"platform": "fcm", "token": self.token}],
            "name": self.name,
            **more.pop("recipient", {}),
        }
        data = {"campaign": "spring", "template": "hello", "recipient": recipient, **more}
        if channels:
            data["channels"] = list(channels)
        return event(data, id=unique("r"), source="/campaigns/spring")

    def presence(self, **where: Any) -> dict[str, Any]:
        """The person was seen."""
        seen = {"recipient_id": self.id, "observed_at": instant(), "accuracy_m": 10, **where}
        return event(seen, id=unique("p"), source="/app", type="winback.presence.observed.v1")

    def conversion(self, **more: Any) -> dict[str, Any]:
        """The person came back."""
        back = {"recipient_id": self.id, "kind": "order", "occurred_at": instant(), **more}
        return event(back, id=unique("c"), source="/shop", type="winback.conversion.observed.v1")


def consent(channel: str, state: str, **about: Any) -> dict[str, Any]:
    """A word of consent, as an event."""
    said = {
        "channel": channel,
        "state": state,
        "source": "call centre",
        "evidence": "recording 12",
        "occurred_at": instant(),
        **about,
    }
    return event(said, id=unique("w"), source="/crm", type="winback.consent.changed.v1")


def cancelled(**what: Any) -> dict[str, Any]:
    """A cancellation."""
    return event(what, id=unique("x"), source="/crm", type="winback.send.cancelled.v1")


def offer(pool: str, **more: Any) -> dict[str, Any]:
    """An offer with codes of a pool."""
    return {"kind": "percent_off", "percent": 15, "pool": pool, **more}


# --- ways in --------------------------------------------------------------------------------


async def tell(on: Stage, topic: str, *wholes: dict[str, Any]) -> None:
    """Publish events to an input topic, keyed by the person as upstream does."""
    headers = [("content-type", b"application/cloudevents+json")]
    records = [In(encoded(whole), _key(whole["data"]), headers) for whole in wholes]
    await publish(on.bootstrap, topic, records)


def _key(data: Mapping[str, Any]) -> bytes | None:
    found = data.get("recipient_id") or data.get("recipient", {}).get("id")
    return found.encode() if found else None


async def ask(on: Stage, *wholes: dict[str, Any]) -> list[str]:
    """Requests by HTTP; their send ids."""
    status, answer = await on.gateway.api("POST", "/v1/sends", list(wholes))
    assert status == 202, answer
    return [one["send_id"] for one in answer["sends"]]


async def put(on: Stage, path: str, body: Any) -> Any:
    """A PUT that succeeds."""
    status, answer = await on.gateway.api("PUT", path, body)
    assert status in (200, 204), answer
    return answer


async def switch(on: Stage, scope: str, state: str, **more: Any) -> None:
    """An operator turns a kill switch."""
    await put(on, f"/v1/switches/{scope}", {"state": state, "reason": "a test", **more})


async def story(on: Stage, send_id: str) -> Any:
    """The decision record of a send."""
    status, found = await on.gateway.api("GET", f"/v1/sends/{send_id}")
    assert status == 200
    return found


async def held(on: Stage, person: Person) -> Any:
    """Everything held about a person."""
    status, found = await on.gateway.api("GET", f"/v1/recipients/{person.id}")
    assert status == 200, found
    return found


async def suppressed(on: Stage, *send_ids: str, within_s: float = 15.0) -> list[str]:
    """Wait until these requests ended without a message; the reasons."""
    found = [
        (await on.out.see("send.suppressed", send_id=one, within_s=within_s))[0] for one in send_ids
    ]
    return [one["data"]["reason"] for one in found]


async def say(on: Stage, person: Person, text: str) -> None:
    """A text message from somebody, as Twilio hands it over."""
    form = {"MessageSid": unique("SM"), "From": person.phone, "To": "+4570000000", "Body": text}
    body, headers = sign_twilio(f"{on.gateway.url}{INBOUND}", form)
    status, _, _ = await on.gateway.ask("POST", INBOUND, body=body, headers=headers)
    assert status == 200


async def mail_event(on: Stage, call: Call, name: str, **more: str) -> None:
    """What SendGrid's webhook says about a mail."""
    status = await on.receive(
        {
            "event": name,
            "email": call.to,
            "timestamp": int(time.time()),
            "sg_message_id": f"sg-{call.attempt_id}.filter",
            "sg_event_id": f"{call.attempt_id}-{name}",
            "delivery_id": call.delivery_id,
            "attempt_id": call.attempt_id,
            "send_id": call.send_id,
            **more,
        }
    )
    assert status == 200


async def sms_status(on: Stage, call: Call, status: str) -> None:
    """What Twilio's webhook says about an SMS."""
    query = urlencode({"delivery": call.delivery_id, "attempt": call.attempt_id})
    url = f"{on.gateway.url}/webhooks/twilio/status?{query}"
    form = {"MessageSid": f"SM-{call.attempt_id}", "MessageStatus": status}
    body, headers = sign_twilio(url, form)
    assert (await on.gateway.ask("POST", url, body=body, headers=headers))[0] == 200


async def click(on: Stage, link: str) -> None:
    """A person clicks; nobody clicks sooner than two seconds after a mail was sent."""
    status, _, _ = await on.gateway.get(link, **{"User-Agent": PERSON_AGENT})
    assert status == 302


async def fence(on: Stage, name: str, at: tuple[float, float], **more: Any) -> None:
    """A shop, 200 m around a point given as latitude and longitude."""
    feature = {
        "type": "Feature",
        "id": name,
        "geometry": {"type": "Point", "coordinates": [at[1], at[0]]},
        "properties": {"radius_m": 200, "name": name, **more},
    }
    await put(on, f"/v1/fences/{name}", feature)


async def quiet(seconds: float = 1.5) -> None:
    """Long enough for a lane to poll twice: what does not happen takes time to see."""
    await asyncio.sleep(seconds)


# --- looking --------------------------------------------------------------------------------


def people_by_code(calls: Iterable[Call]) -> Mapping[bytes, set[str]]:
    """Which addresses each code of the prefix `SP-` went to."""
    found: defaultdict[bytes, set[str]] = defaultdict(set)
    for call in calls:
        for code in CODE.findall(call.body):
            found[code].add(call.to)
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def rows_of(file: Path) -> Mapping[str, list[tuple[Any, ...]]]:
    """Every row of every table of a store's file, after its log was written back."""
    connection = sqlite3.connect(file)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            name: connection.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608
            for (name,) in names.fetchall()
        }
    finally:
        connection.close()


def found_in(rows: Mapping[str, list[tuple[Any, ...]]], mark: bytes) -> set[str]:
    """The tables that hold these bytes in any value."""
    return {
        table
        for table, found in rows.items()
        if any(mark in _bytes(value) for row in found for value in row)
    }


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
