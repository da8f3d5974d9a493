from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.core.sms import GSM7, UCS2, fitted, segments, smart_encoded

DATA = Path(__file__).parents[2] / "data"
CASES: list[dict[str, Any]] = json.loads((DATA / "sms_segments.json").read_text("utf-8"))["cases"]
SMART: dict[str, str] = json.loads((DATA / "sms_smart_encoding_map.json").read_text("utf-8"))["map"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_s16_segments_are_counted_as_twilio_counts_them(case: dict[str, Any]) -> None:
    """Encoding and segments of every vector, as written and after smart encoding."""
    plain, smart = case["plain"], case["smart_encoded"]
    assert segments(case["text"]) == (plain["segments"], plain["encoding"])
    assert segments(smart_encoded(case["text"])) == (smart["segments"], smart["encoding"])


def test_smart_encoding_is_the_whole_table() -> None:
    """Every substitution of the table happens, and no other character changes."""
    assert {char: smart_encoded(char) for char in SMART} == SMART
    assert smart_encoded("Rødgrød €5 ж 😀") == "Rødgrød €5 ж 😀"


def test_an_sms_is_brought_into_gsm7_where_it_can_be() -> None:
    """Typographic quotes, dashes and composed accents cost no second segment."""
    text = fitted("\u201cIt\u2019s\u201d \u2013 cafe\u0301 20\u00a0%\u2026")
    assert text == '"It\'s" - café 20 %...'
    assert segments(text)[1] == GSM7


def test_a_text_that_stays_ucs2_keeps_its_typography() -> None:
    """Nothing is gained by flattening the quotes of a Cyrillic text."""
    text = fitted("\u00abПривет\u00bb \u2013 да")
    assert text == "\u00abПривет\u00bb \u2013 да"
    assert segments(text)[1] == UCS2


def test_an_sms_has_no_loose_ends() -> None:
    """Blanks at line ends and rows of empty lines are paid for by nobody."""
    assert fitted("  a  \r\n\r\n\r\n\r\nb \n") == "a\n\nb"
