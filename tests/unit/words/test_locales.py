from __future__ import annotations

from decimal import Decimal

import pytest
from babel.dates import format_date
from babel.numbers import format_currency

from gateway.core.locales import day, direction, format_locale, matched, money, parsed_day, percent

LOCALES = {"en": "en", "en-GB": "en_GB", "da": "da", "DE-de": "de_DE", "fr_FR": "fr_FR", "ar": "ar"}


@pytest.mark.parametrize(("name", "known_as"), LOCALES.items())
def test_values_look_as_the_locale_has_them(name: str, known_as: str) -> None:
    """Money and dates are those of the locale's own data, however its name is spelt."""
    locale = format_locale(name, None)
    assert money("1234.50", "EUR", locale=locale) == format_currency(
        Decimal("1234.50"), "EUR", locale=known_as
    )
    for style in ("short", "medium", "long", "full"):
        shown = day("2026-03-01", style, locale=locale)
        assert shown == format_date(parsed_day("2026-03-01"), style, locale=known_as)


def test_a_currency_code_keeps_its_distance() -> None:
    """Where a locale has no sign for a currency, its code does not stick to the digits."""
    assert money("50.00", "DKK", locale="en") == "DKK\u00a050.00"
    assert money("50.00", "USD", locale="en") == "$50.00"


def test_percentages_keep_their_decimals() -> None:
    """A value of 12.5 is neither 12 nor 13 per cent."""
    assert percent("12.5", locale="en") == "12.5%"
    assert percent("20", locale="da") == "20\u00a0%"


@pytest.mark.parametrize("value", ["", "x", "NaN", "Infinity", "1e999999", "-1e-999999"])
def test_what_is_no_number_is_refused(value: str) -> None:
    """Neither words nor numbers without end become money or percentages."""
    with pytest.raises(ValueError, match="number"):
        money(value, "EUR", locale="en")
    with pytest.raises(ValueError, match="number"):
        percent(value, locale="en")


def test_a_time_is_written_as_the_day_that_it_names() -> None:
    """The day of a time is the one that stands in it, whatever its offset."""
    assert day("2026-12-31T23:30:00+01:00", "long", locale="en") == "December 31, 2026"
    assert day("2026-12-31T23:30:00Z", "long", locale="en") == "December 31, 2026"
    for odd in ("", "2026-13-01", "tomorrow", "2026-1-1T"):
        with pytest.raises(ValueError):  # noqa: PT011 - the words are the standard library's
            day(odd, "long", locale="en")
    with pytest.raises(ValueError, match="one of"):
        day("2026-12-31", "qqqq", locale="en")


@pytest.mark.parametrize("name", ["", "xx", "klingon-empire", "x", "en-ZZ-nonsense"])
def test_an_unknown_locale_falls_back_to_english(name: str) -> None:
    """A locale that nobody knows does not stop a message."""
    assert money("1.00", "USD", locale=format_locale(name, None)) == "$1.00"


def test_a_region_counts_only_in_its_own_language() -> None:
    """A Danish reader of an English text gets English dates."""
    assert format_locale("en", "en-GB") == "en-gb"
    assert format_locale("en", "da-DK") == "en"
    assert format_locale("en", None) == "en"


def test_directions_follow_the_script() -> None:
    """Arabic and Hebrew run from right to left."""
    assert [direction(name) for name in ("ar", "he-IL", "da", "xx")] == ["rtl", "rtl", "ltr", "ltr"]


def test_nothing_offered_matches_nothing() -> None:
    """Without any text the default's name comes back."""
    assert matched("da", (), "en") == "en"
