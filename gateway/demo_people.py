"""The demo's campaign: thirty lapsed customers of a coffee shop, and what upstream asks for them.

Invariant: every record of the campaign has a stated number of ways to end, so that the demo knows
when all is over. Nobody here exists: names are made up, addresses are of example domains, numbers
of the range that is kept for drama. This file is pure: the time is an argument.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

CAMPAIGN = "come-back-for-coffee"
SOURCE = "/crm/win-back"
TYPE = "winback.send.requested.v1"
CONTENT_TYPE = "application/cloudevents+json"
OPTED_OUT = "cust-012"
TWICE = "cust-001"
GIVES_UP_AFTER_S = 10


@dataclass(frozen=True, slots=True)
class Person:
    """One lapsed customer. `asks` are `template:channel,channel`, one request each.

    `mailbox` is the local part of the address, `device` how its token starts; both decide
    what the sandbox does. `last_seen_days` is how long they have been away.
    """

    name: str
    locale: str
    reason: str
    asks: Sequence[str]
    mailbox: str = ""
    device: str = "device-"
    last_seen_days: int = 90
    offer: Mapping[str, Any] | None = None
    variables: Mapping[str, Any] | None = None
    addresses: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """One record to publish. `request_id` is empty where the record is no request.

    `routes` is how many deliveries must fail before the request has ended without a message.
    """

    key: str
    value: bytes
    request_id: str
    routes: int


EUR_5 = {"kind": "amount_off", "amount": {"amount": "5.00", "currency": "EUR"}}
KR_50 = {"kind": "amount_off", "amount": {"amount": "50.00", "currency": "DKK"}}
PERCENT = {"kind": "percent_off", "percent": 20}
DELIVERY = {"kind": "free_shipping"}
GIFT = {"kind": "gift"}
BAG = {"gift": "a bag of our house blend"}
POSE = {"gift": "en pose af husets blanding"}
NEWS = {"news": "You can now pause a subscription for as long as you like."}
NYT = {"news": "Du kan nu sætte dit abonnement på pause, så længe du vil."}
TRIO = ("hello:email", "incentive:sms", "incentive:push")

PEOPLE: Sequence[Person] = (
    Person("Zoë", "en", "price", TRIO, offer=EUR_5, variables=NEWS, last_seen_days=84),
    Person("Søren", "da", "service", TRIO, offer=KR_50, variables=NYT, last_seen_days=61),
    Person("Amélie", "en", "forgot", ("hello:email",), variables=NEWS, last_seen_days=132),
    Person("Åse", "da", "outgrown", ("incentive:sms",), offer=PERCENT),
    Person("Jürgen", "de", "price", ("incentive:push",), offer=PERCENT),
    Person("Bjørk", "da", "product", ("hello:email",), variables=NYT, last_seen_days=45),
    Person("José", "en", "competitor", TRIO, offer=DELIVERY, last_seen_days=200),
    Person("Märta", "en", "payment", ("hello:email",), last_seen_days=30),
    Person("Łukasz", "en", "product", ("incentive:push,email",), device="dead-", offer=PERCENT),
    Person("Anaïs", "en", "other", ("goodbye:email",), last_seen_days=400),
    Person("Øyvind", "da", "price", ("incentive:email,sms",), mailbox="refuse", offer=KR_50),
    Person("Ingrid", "da", "service", ("hello:email",)),
    Person("Niels", "da", "forgot", ("hello:email",), mailbox="bounce+niels"),
    Person("Tomáš", "en", "competitor", ("hello:email",), mailbox="defer+tomas"),
    Person("Renée", "en", "forgot", ("hello:email,sms",), addresses=False),
    Person("Nour نور", "en", "price", TRIO, offer=GIFT, variables=BAG, last_seen_days=77),
    Person("נועה", "en", "outgrown", ("incentive:email",), offer=GIFT, variables=BAG),
    Person("Freja", "da", "forgot", ("incentive:email",), offer=GIFT, variables=POSE),
    Person("Siân", "en", "payment", ("hello:sms",)),
    Person("Chloé", "en", "competitor", ("incentive:email",), mailbox="bounce", offer=EUR_5),
    Person("Rasmus", "da", "price", ("incentive:push",), offer=KR_50),
    Person("Ülle", "en", "service", ("hello:email",), variables=NEWS),
    Person("Gülşen", "en", "product", ("incentive:sms",), offer=EUR_5),
    Person("Kåre", "da", "other", ("goodbye:email",), last_seen_days=380),
    Person("Ana María", "en", "price", ("incentive:email",), offer=PERCENT),
    Person("Žofia", "en", "forgot", ("hello:push",)),
    Person("Mette", "da", "payment", ("hello:sms",)),
    Person("Þórunn", "en", "outgrown", ("goodbye:sms",), last_seen_days=365),
    Person("François", "en", "service", ("incentive:push",), offer=DELIVERY),
    Person("Emil", "da", "competitor", ("incentive:email",), offer=DELIVERY),
)


def names() -> Mapping[str, str]:
    """Recipient ids to names, for a page that shows people."""
    return {_id(place): person.name for place, person in enumerate(PEOPLE)}


def campaign(*, now: datetime, run: str, is_once: bool) -> Sequence[Asked]:
    """All records, in order. `run` tells the requests of one run from those of another.

    With `is_once` the one whose mailbox says "later" gives up soon, else it goes on waiting.
    """
    asked = [one for place in range(len(PEOPLE)) for one in _asks(place, now, run, is_once)]
    again = next(one for one in asked if one.key == TWICE)
    return [*asked, again, *_broken(run)]


def _asks(place: int, now: datetime, run: str, is_once: bool) -> Iterator[Asked]:  # noqa: FBT001
    person, key = PEOPLE[place], _id(place)
    for n, ask in enumerate(person.asks):
        template, _, channels = ask.partition(":")
        data = _data(place, template, channels.split(","), now)
        if is_once and person.mailbox.startswith("defer"):
            data["expires_at"] = (now + timedelta(seconds=GIVES_UP_AFTER_S)).isoformat()
        request_id = f"{run}-{key}-{n}"
        yield Asked(key, _event(request_id, data), request_id, len(data["channels"]))


def _data(place: int, template: str, channels: list[str], now: datetime) -> dict[str, Any]:
    person = PEOPLE[place]
    last: date = (now - timedelta(days=person.last_seen_days)).date()
    data: dict[str, Any] = {
        "campaign": CAMPAIGN,
        "template": template,
        "recipient": _recipient(place, person),
        "channels": channels,
        "churn": {"reason": person.reason, "last_active": last.isoformat()},
    }
    if template == "incentive" and person.offer is not None:
        data["offer"] = {**person.offer, "expires_in": "P14D"}
    declared = {"hello": ("news",), "incentive": ("gift",)}.get(template, ())
    variables = {k: v for k, v in (person.variables or {}).items() if k in declared}
    return data | ({"variables": variables} if variables else {})


def _recipient(place: int, person: Person) -> dict[str, Any]:
    known: dict[str, Any] = {"id": _id(place), "name": person.name, "locale": person.locale}
    if not person.addresses:
        return known
    mailbox = person.mailbox or f"{_id(place)}"
    return known | {
        "email": f"{mailbox}@example.{'net' if place % 2 else 'org'}",
        "phone": f"+4477009001{place + 10:02d}",
        "push": [{"platform": "fcm", "token": f"{person.device}{place + 1:03d}"}],
    }


def _event(request_id: str, data: Mapping[str, Any]) -> bytes:
    event = {"specversion": "1.0", "type": TYPE, "source": SOURCE, "id": request_id, "data": data}
    return json.dumps(event, ensure_ascii=False).encode()


def _broken(run: str) -> Iterator[Asked]:
    """What a real topic holds too: half a record, and a request for a template that is not."""
    yield Asked("cust-931", b'{"specversion": "1.0", "id": "half-a-rec', "", 0)
    data = {"campaign": CAMPAIGN, "template": "helo", "recipient": {"id": "cust-932"}}
    yield Asked("cust-932", _event(f"{run}-cust-932-0", data), f"{run}-cust-932-0", 1)


def _id(place: int) -> str:
    return f"cust-{place + 1:03d}"


def own_event() -> Mapping[str, Any]:
    """A request that somebody who tries the demo may send."""
    recipient = {"id": "me", "name": "Ada", "email": "ada@example.org"}
    data = {"campaign": "mine", "template": "hello", "recipient": recipient, "channels": ["email"]}
    return {"specversion": "1.0", "type": TYPE, "source": "/me", "id": "1", "data": data}
