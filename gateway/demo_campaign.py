"""The demo's campaign: what upstream publishes on the sends topic.

Invariant: every record of the campaign has a stated number of ways to end, so that the demo knows
when all is over; with `is_once` all of them end by themselves, or when somebody returns.
This file is pure: the time is an argument.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.demo_people import GIFTS, NEWS, PEOPLE, RETURNS, TWICE, ZONES, Person, person_id

SOURCE = "/crm/win-back"
REQUESTED = "winback.send.requested.v1"
CONTENT_TYPE = "application/cloudevents+json"
SHOP = "Vestergade 12"
GIVES_UP_AFTER_S = 10
GOOD_FOR = timedelta(days=7)
# Who falls where depends on this name and the person alone: whoever has a part in what follows
# (comes back, bounces, has said no) is written to under it. A test looks.
EXPERIMENT = "summer-more"
HOLDOUT = 0.2
POOLED = frozenset({"geo_coupon", "expiry_reminder"})


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the demo. `name` tells its requests from those of another.

    `tag` does so for what outlives a campaign in a store that is kept: codes, and the rest at a
    place after a message. It is empty where the store is new.
    """

    name: str
    starts_at: datetime
    is_once: bool
    tag: str = ""

    @property
    def campaign(self) -> str:
        return f"come-back-for-coffee{self.tag}"

    @property
    def pool(self) -> str:
        return f"coffee-20{self.tag}"

    @property
    def fence(self) -> str:
        return f"vestergade-12{self.tag}"


@dataclass(frozen=True, slots=True)
class Asked:
    """One record to publish. `request_id` is empty where the record is no request.

    `routes` is how many deliveries must fail before the request has ended without a message.
    """

    key: str
    value: bytes
    request_id: str
    routes: int
    template: str = ""


def campaign(run: Run) -> Sequence[Asked]:
    """All records, in order: one comes twice, and two cannot be taken."""
    asked = [one for place in range(len(PEOPLE)) for one in _asks(place, run)]
    again = next(one for one in asked if one.key == TWICE)
    return [*asked, again, *_broken(run)]


def event(kind: str, event_id: str, data: Mapping[str, Any], source: str = SOURCE) -> bytes:
    """A CloudEvent as it stands on a topic."""
    fields = {"specversion": "1.0", "type": kind, "source": source, "id": event_id, "data": data}
    return json.dumps(fields, ensure_ascii=False).encode()


def own_event() -> str:
    """A request that somebody who tries the demo may send."""
    recipient = {"id": "me", "name": "Ada", "email": "ada@example.org"}
    data = {"campaign": "mine", "template": "hello", "recipient": recipient, "channels": ["email"]}
    return event(REQUESTED, "1", data, "/me").decode()


def _asks(place: int, run: Run) -> Iterator[Asked]:
    person, key = PEOPLE[place], person_id(place)
    for number, ask in enumerate(person.asks):
        wanted, _, minutes = ask.partition("@")
        template, _, channels = wanted.partition(":")
        data = _data(place, template, channels.split(","), run)
        if minutes and run.is_once and key not in RETURNS:
            continue  # nobody would wait for it
        if minutes:
            not_before = run.starts_at + timedelta(minutes=int(minutes))
            data["not_before"] = not_before.isoformat()
        request_id = f"{run.name}-{key}-{number}"
        value = event(REQUESTED, request_id, data)
        yield Asked(key, value, request_id, len(data["channels"]), template)


def _data(place: int, template: str, channels: list[str], run: Run) -> dict[str, Any]:
    person = PEOPLE[place]
    gives_up_soon = run.is_once and person.mailbox.startswith("defer")
    good_for = timedelta(seconds=GIVES_UP_AFTER_S) if gives_up_soon else GOOD_FOR
    data: dict[str, Any] = {
        "campaign": run.campaign,
        "template": template,
        "recipient": _recipient(place, person),
        "channels": channels,
        "churn": _churn(person, run.starts_at),
        "expires_at": (run.starts_at + good_for).isoformat(),
        "experiment": _experiment(person, template),
    }
    variables = _variables(person, template)
    if variables:
        data["variables"] = variables
    if template in POOLED or (template == "incentive" and person.has_code):
        data["offer"] = {
            "kind": "percent_off",
            "percent": 20,
            "pool": run.pool,
            "expires_in": "P14D",
        }
    if template == "geo_coupon":
        data["geo"] = {"fences": [run.fence]}
    return data


def _churn(person: Person, now: datetime) -> dict[str, Any]:
    last = (now - timedelta(days=person.away_days)).date()
    churn: dict[str, Any] = {"reason": person.reason, "last_active": last.isoformat()}
    if person.worth:
        churn["lifetime_value"] = {"amount": person.worth, "currency": "DKK"}
    return churn


def _variables(person: Person, template: str) -> dict[str, Any]:
    match template:
        case "geo_coupon":
            return {"shop": SHOP}
        case "loyalty_reminder":
            return {"points": person.points}
        case "incentive" if person.reason in ("service", "product") and not person.worth:
            return {"gift": GIFTS[person.locale]}
        case _:
            return {}


def _experiment(person: Person, template: str) -> dict[str, Any]:
    """Does a line of news help? All touches share the experiment, so a hold-out gets none."""
    news = {"variables": {"news": NEWS[person.locale]}} if template == "hello" else {}
    return {
        "name": EXPERIMENT,
        "holdout": HOLDOUT,
        "variants": [{"name": "plain", "weight": 1}, {"name": "news", "weight": 1, **news}],
    }


def _recipient(place: int, person: Person) -> dict[str, Any]:
    key = person_id(place)
    known: dict[str, Any] = {
        "id": key,
        "name": person.name,
        "locale": person.locale,
        "country": person.country,
        "timezone": ZONES[person.country],
    }
    if not person.has_addresses:
        return known
    return known | {
        "email": f"{person.mailbox or key}@example.{'net' if place % 2 else 'org'}",
        "phone": f"+4477009001{place + 10:02d}",
        "push": [{"platform": "fcm", "token": f"{person.device}{place + 1:03d}"}],
    }


def _broken(run: Run) -> Iterator[Asked]:
    """What a real topic holds too: half a record, and a request for a template that is not."""
    yield Asked("cust-931", b'{"specversion": "1.0", "id": "half-a-rec', "", 0)
    data = {"campaign": run.campaign, "template": "helo", "recipient": {"id": "cust-932"}}
    request_id = f"{run.name}-cust-932-0"
    yield Asked("cust-932", event(REQUESTED, request_id, data), request_id, 1)
