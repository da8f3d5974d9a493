from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.words.desk import DELIVERY, PLAIN, TOKENS, facts, mail, page

from gateway.core.ids import delivery_id, send_id
from gateway.core.links import LinkError, allowed_hosts, destination
from gateway.core.render import EmailContent, Template
from gateway.core.sms import fitted, segments, smart_encoded
from gateway.core.tokens import Opened
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
