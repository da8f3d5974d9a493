from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.words.desk import DELIVERY, PLAIN, TOKENS, TRACKED, WAY_OUT, facts, made, mail, page

from gateway.core.ids import delivery_id, send_id
from gateway.core.links import LinkError, allowed_hosts, destination
from gateway.core.markdown import tidy
from gateway.core.render import EmailContent, Template
from gateway.core.sms import fitted, segments, smart_encoded
from gateway.core.tokens import Opened
from gateway.core.variables import Facts
from gateway.errors import RefusedError, TokenError

META = '[variables.word]\n[variables.cart]\ntype = "url"\n'
MARKDOWN = mail(
    "# {{ variables.word }}\n\n**{{ variables.word }}** [{{ variables.word }}]"
    "(https://shop.example/?q={{ variables.word }})\n\n- `{{ variables.word }}`\n\n"
    "| a |\n|---|\n| {{ variables.word }} |\n\n![{{ variables.word }}](https://img.example/a.png)",
    meta=META,
)
DOCUMENT = page(
    '<p title="{{ variables.word }}">{{ variables.word }}</p>'
    "<p title='{{ variables.word }}'>x</p>"
    '<a href="https://shop.example/{{ variables.word }}">{{ brand.postal_address }}</a>'
    '<a href="{{ unsubscribe_url }}">out</a>',
    meta=META,
)
HOSTS = allowed_hosts("https://shop.example")
ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '" onmouseover="alert(1)',
    "</p></td></table><script>",
    "javascript:alert(1)",
    "&lt;script&gt;",
    "--><script>",
    "<!--",
    "]]>",
    "</title><script>",
    "`onclick=x`",
    "\u202e<b>",
    "<svg/onload=x>",
    "{{ 7*7 }}",
    "[x](javascript:alert(1))",
    "![x](https://evil.example/a.png)",
    "<https://evil.example>",
    '\\"><b>',
    "&#x22;><b>",
    "\x0b\x0c<b>",
]


FRAMED = made(
    {
        "meta.toml": META + '[variables.count]\ntype = "number"\n[variables.rows]\ntype = "list"\n',
        "en/email.html": "---\nsubject: {{ recipient.name }}, {{ variables.word }}\n"
        "preheader: {{ variables.word }}\n---\n"
        '<p title="{{ subject }}">{% if variables.count %}{{ variables.count }}{% endif %}'
        "{% if variables.word and not offer %}{{ variables.word }} {{ recipient.name }}"
        "{% elif offer.kind == 'gift' %}{{ offer.percent | percent }}{% endif %}</p>"
        "<p>{% for row in variables.rows %}{{ row }} {{ variables.word }}, {% endfor %}</p>"
        '<a href="https://shop.example/?q={{ variables.word }}">{{ preheader }}</a>'
        '<a href="{{ variables.cart or brand.site_url }}">{{ campaign }}</a>' + WAY_OUT,
        "en/sms.txt": "{% if variables.word %}{{ variables.word }} {% endif %}{{ recipient.name }} "
        "{{ variables.cart }} https://shop.example/a {{ variables.cart or brand.site_url }}",
        "en/push.toml": "title = '{{ variables.word }}'\nbody = '{{ recipient.name }}'\n"
        "url = '{{ variables.cart }}'\nimage = 'https://img.example/{{ variables.word }}.png'\n",
    }
)
BY_THE_ENGINE = replace(
    FRAMED,
    parts={
        channel: {locale: replace(part, shape=None) for locale, part in parts.items()}
        for channel, parts in FRAMED.parts.items()
    },
)


class Shape(HTMLParser):
    """The elements and attribute names of a page, without what people wrote."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]


def shape(template: Template, word: str) -> Shape | None:
    """The shape of a mail with this word in it; None where the word is refused."""
    try:
        content = template.render("email", facts({"word": word}), PLAIN).content
    except RefusedError:
        return None
    assert isinstance(content, EmailContent)
    return Shape(content.html)


words = st.one_of(
    st.text(max_size=80),
    st.tuples(st.text(max_size=10), st.sampled_from(ATTACKS), st.text(max_size=10)).map("".join),
    st.lists(st.sampled_from(ATTACKS), min_size=1, max_size=3).map("".join),
)


@pytest.mark.parametrize("template", [MARKDOWN, DOCUMENT], ids=["markdown", "document"])
@settings(max_examples=300, deadline=None)
@given(word=words)
def test_s6_no_word_changes_the_elements_of_a_mail(template: Template, word: str) -> None:
    """Whatever a value holds, elements, attributes and hosts of links are those of the template."""
    harmless, found = shape(template, "word"), shape(template, word)
    assert harmless is not None
    if found is not None:
        assert found.seen == harmless.seen
        hosts = [urlsplit(link).hostname for link in found.links]
        assert hosts == [urlsplit(link).hostname for link in harmless.links]


@settings(max_examples=300, deadline=None)
@given(word=words)
def test_what_faults_accepts_can_be_rendered(word: str) -> None:
    """`faults` and `render` agree about every value."""
    known = facts({"word": word})
    found = MARKDOWN.faults(known, ["email"])
    rendered = shape(MARKDOWN, word)
    assert (found == []) == (rendered is not None)


def answer(template: Template, channel: str, known: Facts) -> tuple[object, object]:
    """What a template makes of these facts: its faults, and the message or why there is none."""
    found = template.faults(known, [channel])
    try:
        return found, template.render(channel, known, TRACKED)
    except RefusedError as error:
        return found, (error.reason, error.path, error.what)


values: dict[str, st.SearchStrategy[Any]] = {
    "word": st.one_of(st.none(), st.sampled_from(["", "x", " y ", "a\n\nb", "/", "wide"]), words),
    "count": st.sampled_from([None, 0, 1, True, 1.0, 2.5, 10**20]),
    "cart": st.sampled_from([None, "https://shop.example/c?a=1&b=2", "https://evil.example/"]),
    "rows": st.sampled_from([None, [], [1], [True], ["<a>"], [None]]),
}
offers = st.sampled_from(
    [None, {"kind": "gift", "percent": None}, {"kind": "gift", "percent": 5}, {"kind": "points"}]
)


@pytest.mark.parametrize("channel", ["email", "sms", "push"])
@settings(max_examples=300, deadline=None)
@given(
    given_values=st.fixed_dictionaries({}, optional=values),
    offer=offers,
    name=st.sampled_from([None, "Ann", "", " B ", "https://shop.example/n", "\ue000_w0\ue001"]),
)
def test_a_frame_says_what_the_engine_says(
    channel: str, given_values: dict[str, Any], offer: dict[str, Any] | None, name: str | None
) -> None:
    """Message after message, texts from frames and their faults are those of the engine."""
    known = facts(given_values, name=name, offer=offer)
    assert all(part.shape is not None for part in FRAMED.parts[channel].values())
    assert answer(FRAMED, channel, known) == answer(BY_THE_ENGINE, channel, known)
    assert answer(FRAMED, channel, known) == answer(BY_THE_ENGINE, channel, known)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab \t\n\u00a0\r"), max_size=40))
def test_a_tidy_text_has_no_loose_ends(text: str) -> None:
    """No blanks at line ends, one empty line at most, and nothing else is changed."""
    lines = "\n".join(line.rstrip() for line in text.strip().split("\n"))
    assert tidy(text) == re.sub(r"\n{3,}", "\n\n", lines) + "\n"


@settings(max_examples=500, deadline=None)
@given(token=st.text(max_size=200))
def test_s9_reading_raises_nothing_but_token_errors(token: str) -> None:
    """Any text at all is either our token or a TokenError."""
    for purpose in ("open", "click", "preferences"):
        with pytest.raises(TokenError):
            TOKENS.read(purpose, token)


@settings(deadline=None)
@given(
    request=st.text(max_size=20),
    position=st.integers(0, 255),
    link=st.integers(0, 65_535),
    path=st.text(st.characters(codec="utf-8"), max_size=200),
)
def test_s8_a_click_says_what_was_signed(request: str, position: int, link: int, path: str) -> None:
    """Delivery, link and destination come back exactly, whatever they are."""
    delivery = delivery_id(send_id("s", request), position)
    token = TOKENS.click_url(delivery, link, path).rpartition("/")[2]
    assert TOKENS.read("click", token) == Opened(delivery, link, path)


@settings(deadline=None)
@given(flips=st.sets(st.integers(0, 8 * 60), min_size=1, max_size=4), extra=st.binary(max_size=4))
def test_s8_no_changed_token_is_read(flips: set[int], extra: bytes) -> None:
    """Flipped bits and added bytes are always found."""
    token = TOKENS.click_url(DELIVERY, 1, "https://shop.example/a").rpartition("/")[2]
    raw = bytearray(token.encode())
    for bit in flips:
        raw[bit // 8 % len(raw)] ^= 1 << bit % 8
    changed = (bytes(raw) + extra).decode("latin-1")
    if changed != token:
        with pytest.raises(TokenError):
            TOKENS.read("click", changed)


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.builds(
            "https://{}{}".format, st.text(max_size=20), st.sampled_from(["", "/", "@", "\\"])
        ),
        st.builds("https://shop.example{}".format, st.text(max_size=40)),
    )
)
def test_s7_a_destination_always_has_an_allowed_host(url: str) -> None:
    """What passes the rule goes to an allowed host as the standard library reads it too."""
    try:
        safe = destination(url, HOSTS)
    except LinkError:
        return
    parts = urlsplit(safe)
    assert parts.scheme == "https"
    assert parts.hostname in HOSTS
    assert parts.username is None
    assert safe.isascii()
    assert not any(char.isspace() or char in '\\"<>' for char in safe)
    assert destination(safe, HOSTS) == safe


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400))
def test_s16_segments_are_bounded_by_the_units_of_a_text(text: str) -> None:
    """No text takes fewer segments than its units need, nor many more; fitting never adds any."""
    count, encoding = segments(text)
    if encoding == "UCS-2":
        units, one, many, loss = len(text.encode("utf-16-le", "surrogatepass")) // 2, 70, 67, 1
    else:
        units, one, many, loss = sum(2 if c in "\f^{}\\[~]|€" else 1 for c in text), 160, 153, 1
    assert (count == 1) == (units <= one)
    if count > 1:
        assert -(-units // many) <= count <= -(-units // (many - loss))
    assert segments(smart_encoded(smart_encoded(text))) == segments(smart_encoded(text))
    assert fitted(fitted(text)) == fitted(text)
