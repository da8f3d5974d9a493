"""What must hold of an event's data beyond its types: known places, whole offers, fair arms.

Invariant: a rule looks at decoded data alone and names the path of what is wrong, in the order
of the schema. Nothing here reads the clock: an event that is late is not an event that is wrong.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import msgspec

from gateway.core import durations
from gateway.core.request import (
    CancelData,
    ConsentData,
    ConversionData,
    Data,
    Experiment,
    Fallback,
    Offer,
    PresenceData,
    PushAddress,
    Recipient,
    SendData,
)

VARIABLES_BYTES_MAX: Final = 64 * 1024
EMAIL_MAX: Final = 254
LOCAL_PART_MAX: Final = 64

# An instant outside these years cannot be moved to another zone, or a duration later, safely.
YEAR_MIN: Final = 1970
YEAR_MAX: Final = 9000

# ISO 3166-1, and XK, which Kosovo goes by in every address book.
_COUNTRIES: Final = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR "
    "BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ "
    "EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW "
    "GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY "
    "KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV "
    "MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY "
    "QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG "
    "TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA "
    "ZM ZW"
)
COUNTRIES: Final = frozenset(_COUNTRIES.split())


@dataclass(frozen=True, slots=True)
class Broken:
    """One rule that does not hold. `path` starts at the data's own root, as `recipient.email`."""

    path: str
    what: str
    reason: str = "invalid_field"


def first_broken(data: Data, *, zones: frozenset[str], is_large: bool) -> Broken | None:
    """The first rule that does not hold, in the order of the schema.

    `zones` are the IANA names that this machine knows; `is_large` says that the data's bytes
    are over the limit of `variables`, so that these have to be measured.
    """
    if isinstance(data, SendData):
        return _of_send(data, zones, is_large)
    return _RULES[type(data)](data)


def is_settled(data: Data) -> bool:
    """Whether every instant is in UTC, as `*_at` is everywhere inside the gateway, and usable."""
    for _, at in _instants(data):
        if at is not None and not (at.tzinfo is UTC and YEAR_MIN <= at.year <= YEAR_MAX):
            return False
    return True


def odd_instant(data: Data) -> Broken | None:
    """The first instant whose year is out of bounds."""
    for path, at in _instants(data):
        if at is not None and not YEAR_MIN <= at.year <= YEAR_MAX:
            return Broken(path, f"is outside the years {YEAR_MIN} to {YEAR_MAX}")
    return None


# --- sends ----------------------------------------------------------------------------------


def _of_send(data: SendData, zones: frozenset[str], is_large: bool) -> Broken | None:  # noqa: FBT001
    return (
        _of_recipient(data.recipient, zones)
        or (_too_large(data) if is_large else None)
        or (_of_offer(data.offer, "offer") if data.offer is not None else None)
        or _of_window(data)
        or (_of_fallback(data.fallback) if data.fallback is not None else None)
        or (_of_experiment(data.experiment) if data.experiment is not None else None)
    )


def _of_recipient(person: Recipient, zones: frozenset[str]) -> Broken | None:
    if person.email is not None and not is_email(person.email):
        return Broken("recipient.email", "is not an e-mail address")
    for place, device in enumerate(person.push):
        missing = _missing_of(device)
        if missing:
            return Broken(f"recipient.push[{place}].{missing}", f"{device.platform} needs it")
    if person.timezone is not None and person.timezone not in zones:
        return Broken("recipient.timezone", "is not an IANA time zone")
    if person.country is not None and person.country not in COUNTRIES:
        return Broken("recipient.country", "is not an ISO 3166-1 country")
    return None


def _missing_of(device: PushAddress) -> str:
    if device.token is not None:
        return ""
    if device.platform == "webpush":
        return "" if device.subscription else "subscription"
    return "token"


def _too_large(data: SendData) -> Broken | None:
    places = [("variables", data.variables)]
    if data.experiment is not None:
        places += [
            (f"experiment.variants[{place}].variables", arm.variables or {})
            for place, arm in enumerate(data.experiment.variants)
        ]
    for path, variables in places:
        if len(msgspec.json.encode(variables)) > VARIABLES_BYTES_MAX:
            return Broken(path, f"over {VARIABLES_BYTES_MAX} bytes as JSON", "too_large")
    return None


def _of_offer(offer: Offer, path: str) -> Broken | None:
    if offer.kind == "amount_off" and offer.amount is None:
        return Broken(f"{path}.amount", "is required by amount_off")
    if offer.amount is not None and offer.amount.amount.startswith("-"):
        return Broken(f"{path}.amount.amount", "is negative")
    if offer.kind == "percent_off" and offer.percent is None:
        return Broken(f"{path}.percent", "is required by percent_off")
    if offer.expires_in is not None:
        return _of_duration(offer.expires_in, f"{path}.expires_in")
    return None


def _of_duration(text: str, path: str) -> Broken | None:
    try:
        length = durations.parse(text)
    except ValueError as error:
        return Broken(path, str(error))
    return None if length > timedelta(0) else Broken(path, "is no time at all")


def _of_window(data: SendData) -> Broken | None:
    if data.not_before is None or data.expires_at is None:
        return None
    if data.expires_at > data.not_before:
        return None
    return Broken("expires_at", "is not after not_before")


def _of_fallback(fallback: Fallback) -> Broken | None:
    return _of_duration(fallback.after, "fallback.after")


def _of_experiment(experiment: Experiment) -> Broken | None:
    arms = experiment.variants
    if not arms:
        return None if experiment.holdout > 0 else Broken("experiment.variants", "is empty")
    total = sum(arm.weight for arm in arms)
    if not 0 < total < math.inf:
        return Broken("experiment.variants", "weights add up to nothing that can be drawn from")
    names: set[str] = set()
    for place, arm in enumerate(arms):
        if arm.name in names:
            return Broken(f"experiment.variants[{place}].name", "stands twice")
        names.add(arm.name)
        path = f"experiment.variants[{place}].offer"
        broken = _of_offer(arm.offer, path) if arm.offer is not None else None
        if broken is not None:
            return broken
    return None


# --- the other events -----------------------------------------------------------------------


def _of_cancel(data: CancelData) -> Broken | None:
    if data.campaign is not None or (data.source is not None and data.id is not None):
        return None
    if data.source is not None:
        return Broken("id", "is required beside source")
    if data.id is not None:
        return Broken("source", "is required beside id")
    return Broken("campaign", "is required where source and id are not given")


def _of_presence(data: PresenceData) -> Broken | None:
    if data.latitude is None and data.longitude is None and data.fence is not None:
        return None
    if data.latitude is None:
        return Broken("latitude", "is required where there is no fence")
    if data.longitude is None:
        return Broken("longitude", "is required beside latitude")
    return None


def _of_conversion(_: ConversionData) -> Broken | None:
    return None


def _of_consent(data: ConsentData) -> Broken | None:
    if data.recipient_id is None and data.email is None and data.phone is None:
        return Broken("recipient_id", "is required where there is no email and no phone")
    if data.email is not None and not is_email(data.email):
        return Broken("email", "is not an e-mail address")
    return None


_RULES: Final[Mapping[type, Callable[[Any], Broken | None]]] = MappingProxyType(
    {
        CancelData: _of_cancel,
        PresenceData: _of_presence,
        ConversionData: _of_conversion,
        ConsentData: _of_consent,
    }
)


# --- instants -------------------------------------------------------------------------------


def _instants(data: Data) -> Sequence[tuple[str, datetime | None]]:
    if isinstance(data, SendData):
        return _instants_of_send(data)
    if isinstance(data, CancelData):
        return ()
    if isinstance(data, PresenceData):
        return (("observed_at", data.observed_at),)
    return (("occurred_at", data.occurred_at),)


def _instants_of_send(data: SendData) -> Sequence[tuple[str, datetime | None]]:
    found = [("not_before", data.not_before), ("expires_at", data.expires_at)]
    if data.offer is not None:
        found.insert(0, ("offer.expires_at", data.offer.expires_at))
    if data.geo is not None:
        found.append(("geo.expires_at", data.geo.expires_at))
    if data.experiment is not None:
        found += [
            (f"experiment.variants[{place}].offer.expires_at", arm.offer.expires_at)
            for place, arm in enumerate(data.experiment.variants)
            if arm.offer is not None
        ]
    return found


# --- addresses ------------------------------------------------------------------------------

# Repetitions are bounded, or possessive: the time is linear in the at most 254 characters.
_ASCII_EMAIL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++)*+"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
    r"(?:[A-Za-z]{2,63}|xn--[A-Za-z0-9-]{1,59})"
)


def is_email(text: str) -> bool:
    """Whether a mail system would take the address: a dot-atom, one @, a domain with a dot.

    The local part is ASCII (at most 64); the domain may be international if IDNA can encode it.
    Quoted local parts, comments, address literals and bare host names are refused.
    """
    if len(text) > EMAIL_MAX:
        return False
    local, at, domain = text.rpartition("@")
    if not at or len(local) > LOCAL_PART_MAX:
        return False
    if not text.isascii():
        domain = _idna(domain)
    return _ASCII_EMAIL.fullmatch(f"{local}@{domain}") is not None


def _idna(domain: str) -> str:
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return ""
