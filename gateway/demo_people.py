"""The demo's people: thirty lapsed customers of a coffee shop, and what is asked for each.

Invariant: nobody here exists: names are made up, addresses are of example domains, numbers of the
range that is kept for drama. All live on Copenhagen's clock in countries whose national rules are
silent, whatever language they read, so ten in the morning is daytime for each. Data and nothing
else: what becomes of it is in `demo_campaign.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

HOME = ZoneInfo("Europe/Copenhagen")
ZONES: Mapping[str, str] = {
    "DK": "Europe/Copenhagen",
    "DE": "Europe/Berlin",
    "NO": "Europe/Oslo",
    "SE": "Europe/Stockholm",
}


@dataclass(frozen=True, slots=True)
class Person:
    """One lapsed customer. `asks` are `template:channel,channel`, one request each.

    An ask that ends in `@20` is for twenty minutes later. With `has_code` an incentive brings a
    code of the pool, else the offer follows the reason, `worth` (DKK in all) and `away_days`.
    `mailbox` is the local part of the address, `device` how its token starts; both decide what
    the sandbox does.
    """

    name: str
    locale: str
    reason: str
    asks: Sequence[str]
    away_days: int = 90
    worth: str = ""
    country: str = "DK"
    points: int = 0
    mailbox: str = ""
    device: str = "device-"
    has_code: bool = False
    has_addresses: bool = True


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody does with a message: `opens`, `clicks` (and so opens a mail) or `leaves`."""

    key: str
    template: str
    does: str


@dataclass(frozen=True, slots=True)
class Return:
    """Somebody comes back: what for, and what they pay (amount, currency). `code`: with theirs."""

    kind: str
    value: tuple[str, str]
    code: bool = False


ZOE = ("hello:email", "incentive:sms", "geo_coupon:push", "expiry_reminder:email@20")
SOEREN = ("feedback:email", "incentive:sms", "hello:push", "goodbye:email@30")
JUERGEN = ("hello:email", "incentive:push", "expiry_reminder:email@20")

PEOPLE: Sequence[Person] = (
    Person("Zoë", "en", "price", ZOE, away_days=84, has_code=True),
    Person("Søren", "da", "service", SOEREN, away_days=71),
    Person("Amélie", "en", "forgot", ("hello:email", "loyalty_reminder:push"), 45, points=480),
    Person("Åse", "da", "outgrown", ("feedback:email", "goodbye:sms@1")),
    Person("Jürgen Brandt", "de", "price", JUERGEN, country="DE", has_code=True),
    Person("Bjørk", "da", "product", ("feedback:email",), 45),
    Person("佐藤健二", "ja", "competitor", ("feedback:push", "incentive:email"), 120),
    Person("Märta", "en", "payment", ("hello:email",), 30, country="SE"),
    Person("Łukasz", "en", "product", ("incentive:push,email",), device="dead-"),
    Person("Ольга", "ru", "other", ("hello:push", "goodbye:email"), 400),
    Person("Øyvind", "da", "price", ("incentive:email,sms",), country="NO", mailbox="refuse",
           has_code=True),
    Person("Ingrid", "da", "service", ("hello:sms",)),
    Person("Niels", "da", "forgot", ("hello:email",), mailbox="bounce+niels"),
    Person("Tomáš", "en", "competitor", ("feedback:email",), mailbox="defer+tomas"),
    Person("Renée", "en", "forgot", ("hello:email,sms",), has_addresses=False),
    Person("Nour نور", "en", "price", ("hello:push", "incentive:email", "expiry_reminder:sms@1"),
           77, has_code=True),
    Person("נועה", "en", "outgrown", ("feedback:email",)),
    Person("Freja", "da", "forgot", ("hello:sms", "loyalty_reminder:email"), 52, points=310),
    Person("김민준", "ko", "price", ("hello:email", "incentive:sms"), has_code=True),
    Person("Chloé", "en", "competitor", ("incentive:email",), mailbox="bounce"),
    Person("Rasmus", "da", "price", ("incentive:push",), 210, "4200"),
    Person("Ülle", "en", "service", ("feedback:email",), country="SE"),
    Person("Gülşen Yıldız", "de", "product", ("incentive:sms",), country="DE"),
    Person("Kåre", "da", "other", ("goodbye:email",), 380, country="NO"),
    Person("Анна", "ru", "price", ("incentive:email", "hello:push"), has_code=True),
    Person("鈴木さくら", "ja", "forgot", ("hello:sms", "loyalty_reminder:email"), 40, points=620),
    Person("Mette", "da", "payment", ("hello:sms",)),
    Person("이서연", "ko", "outgrown", ("feedback:email", "goodbye:push"), 365),
    Person("Wolfgang Krüger", "de", "service", ("feedback:email", "incentive:push"), 95, "1400"),
    Person("Дмитрий", "ru", "competitor", ("incentive:email",), 130, "1900"),
)  # fmt: skip

OPTED_OUT, TWICE, PASSES_BY = "cust-012", "cust-001", "cust-001"
DEEDS: Sequence[Deed] = (
    Deed("cust-001", "hello", "opens"),
    Deed("cust-001", "incentive", "clicks"),
    Deed("cust-002", "feedback", "clicks"),
    Deed("cust-003", "hello", "opens"),
    Deed("cust-005", "hello", "clicks"),
    Deed("cust-007", "incentive", "clicks"),
    Deed("cust-010", "goodbye", "opens"),
    Deed("cust-016", "incentive", "opens"),
    Deed("cust-019", "hello", "opens"),
    Deed("cust-021", "incentive", "clicks"),
    Deed("cust-024", "goodbye", "leaves"),
    Deed("cust-028", "feedback", "clicks"),
)
RETURNS: Mapping[str, Return] = {
    "cust-001": Return("order", ("329.00", "DKK"), code=True),
    "cust-002": Return("subscription", ("99.00", "DKK")),
    "cust-005": Return("order", ("24.90", "EUR")),
}

NEWS: Mapping[str, str] = {
    "da": "Du kan nu sætte dit abonnement på pause, så længe du vil.",
    "de": "Sie können Ihr Abonnement jetzt pausieren, so lange Sie möchten.",
    "en": "You can now pause a subscription for as long as you like.",
    "ja": "定期便を、お好きな期間お休みいただけるようになりました。",
    "ko": "이제 정기 구독을 원하시는 만큼 쉬실 수 있습니다.",
    "ru": "Теперь подписку можно приостановить на любой срок.",
}
GIFTS: Mapping[str, str] = {
    "da": "en pose af husets blanding",
    "de": "eine Tüte unserer Hausmischung",
    "en": "a bag of our house blend",
    "ja": "ハウスブレンド一袋",
    "ko": "하우스 블렌드 원두 한 봉지",
    "ru": "пачка нашего фирменного кофе",
}


def person_id(place: int) -> str:
    """The id of the person at a place of `PEOPLE`, from 0."""
    return f"cust-{place + 1:03d}"


def names() -> Mapping[str, str]:
    """Recipient ids to names, for a page that shows people."""
    return {person_id(place): person.name for place, person in enumerate(PEOPLE)}
