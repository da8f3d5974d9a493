"""Pages, their words, wishes and keys, without a server."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import timedelta
from html.parser import HTMLParser
from itertools import product

import pytest
from unit.web.fakes import NOW, OPTIONS

from gateway.flows.contract import Topic
from gateway.web.keys import Keys
from gateway.web.pages import Pages, load_pages
from gateway.web.ports import Standing
from gateway.web.texts import TEXTS, Texts, texts_for, wished_locales
from gateway.web.wishes import CHANNELS, ONE_CLICK, Wish, read_wish

FORM = "application/x-www-form-urlencoded"
SPRING = (Topic("<spring>", is_on=True),)
STATES = [
    Standing(locale, channel, email=email, sms=sms, push=push, topics=topics)
    for locale, channel, email, sms, push, topics in product(
        ("en", "ja"), CHANNELS, (True, False), (True, False), (True, False), ((), SPRING)
    )
]
SERIES = b"page=preferences&save=1&seen=campaign&keep=email&keep=sms&keep=push"
BRANDS = ["Kaffe & Co", "<script>alert(1)</script>", "مقهى القمر", "{brand}", 'a"b']
EMPTY_TAGS = {"meta", "link", "input", "path"}


class Outline(HTMLParser):
    """Checks that tags close in order, and gathers forms and labels."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every such tag."""
        return [attributes for name, attributes in self.seen if name == tag]


def pages_of(brand: str = "Kaffe & Co") -> Pages:
    """The pages of a brand."""
    return load_pages(replace(OPTIONS, brand_name=brand))


@pytest.mark.parametrize("brand", BRANDS)
@pytest.mark.parametrize("standing", STATES[::5], ids=str)
def test_every_page_is_whole_and_escaped(brand: str, standing: Standing) -> None:
    """Tags close in order, nothing from outside becomes markup, and there is no script."""
    pages = pages_of(brand)
    answers = [
        pages.preferences(standing),
        pages.done(standing, path='t"o'),
        pages.goodbye(standing.locale),
        pages.noted(["en"]),
        pages.missing(["da"]),
        pages.unavailable(["xx"], retry_after_s=5),
        pages.refused([], status=413),
        pages.team("Title", "<h1>Title</h1>"),
    ]
    for answer in answers:
        outline = Outline(answer.text or "")
        assert outline.all("script") == []
        assert len(outline.all("h1")) == 1
        assert outline.all("html")[0]["dir"] == "ltr"


@pytest.mark.parametrize("standing", STATES, ids=str)
def test_the_page_offers_what_can_be_done(standing: Standing) -> None:
    """One first button that stops the channel the person came by, or one that is on."""
    outline = Outline(pages_of().preferences(standing).text or "")
    on = [channel for channel in CHANNELS if getattr(standing, channel)]
    boxes = {
        box["value"]: "checked" in box
        for box in outline.all("input")
        if "type" in box and box["type"] == "checkbox"
    }
    series = {"campaign": True} if on and standing.topics else {}
    assert boxes == {channel: channel in on for channel in CHANNELS} | series
    first = [button["value"] for button in outline.all("button") if button.get("class") == "first"]
    assert len(first) == (1 if on else 0)
    if standing.channel in on:
        assert first == [standing.channel]
    assert all(form["method"] == "post" and "action" not in form for form in outline.all("form"))


def test_the_style_sheet_is_the_one_that_the_policy_names() -> None:
    """Two brands share one policy, and it holds no word that lets anything else in."""
    pages = pages_of()
    assert pages.policy == pages_of("Other").policy
    assert "unsafe" not in pages.policy
    assert "url(" not in pages.style
    assert "@import" not in pages.style


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2 of `#rgb` or `#rrggbb`."""
    digits = colour if len(colour) == 6 else "".join(digit * 2 for digit in colour)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground", "least"),
    [
        ("text", "card", 4.5),
        ("text", "ground", 4.5),
        ("quiet", "card", 4.5),
        ("quiet", "ground", 4.5),
        ("accent", "card", 4.5),
        ("on-accent", "accent", 4.5),
        ("edge", "card", 3.0),
        ("good", "card", 4.5),
        ("bad", "card", 4.5),
        ("bad", "ground", 4.5),
    ],
)
def test_contrast_is_aa(scheme: int, ink: str, ground: str, least: float) -> None:
    """Text and controls stand out from what they stand on, in light and in dark."""
    blocks = re.findall(r":root \{(.*?)\}", pages_of().style, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): #([0-9a-f]+);", blocks[scheme]))
    light, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= least


def test_every_language_says_everything() -> None:
    """No text is empty, and the brand stands where it stands in English."""
    assert set(TEXTS) == {"en", "da", "de", "ja", "ko", "ru"}
    for texts in TEXTS.values():
        assert set(texts.channels) == set(CHANNELS)
        for one in fields(Texts):
            said, english = getattr(texts, one.name), getattr(TEXTS["en"], one.name)
            assert said
            if isinstance(said, str):
                assert ("{brand}" in said) == ("{brand}" in english), one.name


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("ja-JP", "ja"),
        ("ko, en;q=0.5", "ko"),
        ("ru-RU,ru;q=0.9", "ru"),
        ("fr-CH, de;q=0.7", "de"),
        ("da-DK,da;q=0.9,en;q=0.8", "da"),
        ("en;q=0.5, da;q=0.7", "da"),
        ("da;q=0, fr", "en"),
        ("DA_dk", "da"),
        ("*;q=x,,;;;q=,da", "da"),
    ],
)
def test_accept_language(header: str, language: str) -> None:
    """The best wish that we have, else English; nonsense is no fault."""
    assert texts_for(wished_locales(header)).language == language


@pytest.mark.parametrize(
    ("body", "wish"),
    [
        (b"page=preferences&stop=sms", Wish("preferences", stop=("sms",))),
        (b"page=preferences&stop=sms&stop=all&stop=x", Wish("preferences", stop=("sms", "all"))),
        (b"page=preferences&allow=push", Wish("preferences", allow=("push",))),
        (b"page=preferences", Wish("preferences")),
        (b"page=preferences&save=1", Wish("preferences", stop=CHANNELS)),
        (b"page=preferences&save=1&off=sms&off=push", Wish("preferences", stop=("email",))),
        (b"page=preferences&save=1&keep=email&keep=sms&keep=push", Wish("preferences")),
        (SERIES + b"&keep=campaign", Wish("preferences")),
        (SERIES, Wish("preferences", campaign=False)),
        (SERIES + b"&keep=campaign&off=campaign", Wish("preferences", campaign=True)),
        (SERIES + b"&off=campaign", Wish("preferences")),
        (b"page=other&stop=sms", ONE_CLICK),
        (b"&".join([b"page=preferences"] * 101), ONE_CLICK),
        (b"page=preferences&page=preferences&stop=sms", ONE_CLICK),
    ],
)
def test_wishes(body: bytes, wish: Wish) -> None:
    """Buttons and boxes of the page become what they say, and everything else a one-click no."""
    assert read_wish(body, content_type=FORM) == wish
    assert read_wish(body, content_type="multipart/form-data") == ONE_CLICK


def test_keys_and_sessions() -> None:
    """Each key opens, a session lasts as long as said, and ends when its key is withdrawn."""
    keys = Keys(("one", "two"))
    assert [keys.opens(key) for key in ("one", "two", "three", "", "\udc80")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    session = keys.session("two", now=NOW, lasts_s=60)
    assert keys.opens_session(session, now=NOW + timedelta(seconds=59))
    assert not keys.opens_session(session, now=NOW + timedelta(seconds=60))
    assert not Keys(("one",)).opens_session(session, now=NOW)
    until_s, _, proof = session.partition(".")
    assert not keys.opens_session(f"{int(until_s) + 1}.{proof}", now=NOW)
