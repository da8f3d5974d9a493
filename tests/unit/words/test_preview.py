from __future__ import annotations

from html.parser import HTMLParser

import pytest
from unit.words.desk import BRAND, made

from gateway.catalog import load_catalog
from gateway.preview import preview_page, preview_text

CATALOG = load_catalog(None, BRAND)


class Seen(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))


@pytest.mark.parametrize("template", CATALOG, ids=lambda template: template.id)
@pytest.mark.parametrize("locale", ["en", "da"])
def test_a_preview_shows_every_part(template: object, locale: str) -> None:
    """Subject, preheader, text, SMS with its segments, and push, in the asked-for locale."""
    text = preview_text(CATALOG.get(template.id), locale=locale)  # type: ignore[attr-defined, arg-type]
    assert f"== e-mail, {locale} ==\nSubject:   " in text
    assert "\nPreheader: " in text
    assert f"== sms, {locale}, " in text
    assert " GSM-7 ==" in text
    assert f"== push, {locale} ==" in text
    assert "<table" not in text


def test_a_preview_shows_one_channel_and_the_source() -> None:
    """One channel alone; the HTML source when asked for."""
    hello = CATALOG.get("hello")
    assert hello is not None
    assert "e-mail" not in preview_text(hello, channel="sms")
    assert "--- html ---\n<!DOCTYPE html>" in preview_text(hello, channel="email", with_html=True)


def test_a_preview_uses_the_examples() -> None:
    """What stands in meta.toml as an example stands in the preview."""
    files = {
        "meta.toml": '[variables.plan]\nrequired = true\nexample = "Gold <plan>"',
        "en/sms.txt": "{{ variables.plan }}",
    }
    template = made(files)
    assert "Gold <plan>" in preview_text(template)
    assert "Gold &lt;plan&gt;" in preview_page(template)


def test_the_page_is_self_contained_and_has_no_script() -> None:
    """Mails stand in sandboxed frames of two widths; nothing is loaded and nothing runs."""
    incentive = CATALOG.get("incentive")
    assert incentive is not None
    seen = Seen(preview_page(incentive, locale="da")).tags
    frames = [given for tag, given in seen if tag == "iframe"]
    assert [frame["width"] for frame in frames] == ["640", "375"]
    assert all(frame["srcdoc"].startswith("<!DOCTYPE html>") for frame in frames)
    assert all("sandbox" in frame and "src" not in frame for frame in frames)
    assert not {"script", "link"} & {tag for tag, _ in seen}
    assert 'class="bubble" lang="da" dir="ltr"' in preview_page(incentive, locale="da")
