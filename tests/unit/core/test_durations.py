from __future__ import annotations

from datetime import timedelta

import pytest

from gateway.core.durations import LONGEST, parse, text_of


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("P7D", timedelta(days=7)),
        ("P2W", timedelta(days=14)),
        ("PT15M", timedelta(minutes=15)),
        ("P1DT12H", timedelta(hours=36)),
        ("PT1H30M10S", timedelta(seconds=5410)),
        ("PT0S", timedelta(0)),
        ("PT90M", timedelta(hours=1, minutes=30)),
    ],
)
def test_durations_are_read(text: str, length: timedelta) -> None:
    """Weeks, days, hours, minutes and seconds."""
    assert parse(text) == length
    assert parse(text_of(length)) == length


@pytest.mark.parametrize(
    "text",
    ["", "P", "PT", "P1DT", "7D", "P1Y", "P1M", "P1W2D", "P-1D", "PT1.5H", "p7d", "P7D\n",
     "P٧D", " P7D", "P3661D", "P" + "9" * 30 + "D", "P" + "9" * 5000 + "D"],
)  # fmt: skip
def test_what_is_no_duration(text: str) -> None:
    """Months and years have no fixed length; ages are no offer."""
    with pytest.raises(ValueError, match=r"not an ISO|longer than"):
        parse(text)


def test_the_longest_is_taken() -> None:
    """The bound itself is a duration."""
    assert parse(text_of(LONGEST)) == LONGEST


@pytest.mark.parametrize("length", [timedelta(seconds=-1), timedelta(microseconds=1)])
def test_what_has_no_text(length: timedelta) -> None:
    """Negative lengths and parts of a second have no text."""
    with pytest.raises(ValueError, match="not negative"):
        text_of(length)
