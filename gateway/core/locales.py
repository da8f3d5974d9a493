"""Locales: which text a person reads, and how money, dates and percentages look in it.

Invariant: the same value in the same locale always looks the same; an unknown locale falls back to
its language, then to English. The only user of babel.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from babel import Locale
from babel.core import UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_currency, format_percent

LOCALE_NAME = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*")
DATE_STYLES = frozenset({"short", "medium", "long", "full"})
_REMEMBERED = 4096
# CLDR sets a space between a code and the digits beside it; babel leaves that out: DKK50.00.
_CODE_THEN_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")


def matched(wanted: str | None, offered: Collection[str], default: str) -> str:
    """The locale of `offered` to use: exact, then shorter, then the same language, then default.

    Case does not count, nor does `_` or `-`.
    """
    return _matched(wanted or "", tuple(offered), default)


def format_locale(text_locale: str, person_locale: str | None) -> str:
    """The locale that values are written in: the person's region where the language is the text's.

    A text in `en` for a person of `en-GB` has British dates; a text in `en` for `da` has not.
    """
    return _format_locale(text_locale, person_locale or "")


def direction(locale: str) -> str:
    """`rtl` or `ltr`, for the `dir` attribute."""
    return str(_locale(_key(locale)).text_direction)


def money(amount: str, currency: str, *, locale: str) -> str:
    """An exact amount as people write it; ValueError where `amount` is no decimal number."""
    return _money(amount, currency, locale)


def percent(value: str, *, locale: str) -> str:
    """`20` as `20%` or `20 %`; decimals are kept. ValueError for what is no number."""
    return _percent(value, locale)


def day(value: str, style: str, *, locale: str) -> str:
    """The day of an ISO date or time, in a style of `DATE_STYLES`; ValueError for anything else."""
    return _day(value, style, locale)


def parsed_day(value: str) -> date:
    """The day that an ISO date or RFC 3339 time names, as it stands there; ValueError if none."""
    if len(value) > len("2026-01-01"):
        return datetime.fromisoformat(value).date()
    return date.fromisoformat(value)


def _key(name: str) -> str:
    return name.replace("_", "-").lower()


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError("not a decimal number") from error
    if not number.is_finite() or abs(number.adjusted()) > 30:  # noqa: PLR2004 - no one's price
        raise ValueError("not a number of ordinary size")
    return number


# These remember their answers: babel takes 20 µs for what repeats in every message of a campaign.


@lru_cache(maxsize=_REMEMBERED)
def _matched(wanted: str, offered: tuple[str, ...], default: str) -> str:
    by_key = {_key(name): name for name in sorted(offered, reverse=True)}
    parts = _key(wanted).split("-")
    for length in range(len(parts), 0, -1):
        found = by_key.get("-".join(parts[:length]))
        if found is not None:
            return found
    kin = [name for name in sorted(offered) if _key(name).split("-")[0] == parts[0]]
    return kin[0] if kin else default


@lru_cache(maxsize=_REMEMBERED)
def _format_locale(text_locale: str, person_locale: str) -> str:
    text, person = _key(text_locale), _key(person_locale)
    return person if person.split("-")[0] == text.split("-")[0] else text


@lru_cache(maxsize=_REMEMBERED)
def _locale(key: str) -> Locale:
    parts = key.split("-")
    for length in range(len(parts), 0, -1):
        try:
            return Locale.parse("-".join(parts[:length]), sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")


@lru_cache(maxsize=_REMEMBERED)
def _money(amount: str, currency: str, locale: str) -> str:
    written = format_currency(_decimal(amount), currency, locale=_locale(locale))
    return _CODE_THEN_DIGIT.sub("\u00a0", written)


@lru_cache(maxsize=_REMEMBERED)
def _percent(value: str, locale: str) -> str:
    share = _decimal(value) / 100
    return format_percent(share, locale=_locale(locale), decimal_quantization=False)


@lru_cache(maxsize=_REMEMBERED)
def _day(value: str, style: str, locale: str) -> str:
    if style not in DATE_STYLES:
        raise ValueError(f"a date is one of {', '.join(sorted(DATE_STYLES))}")
    return format_date(parsed_day(value), format=style, locale=_locale(locale))
