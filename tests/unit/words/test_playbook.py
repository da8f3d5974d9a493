"""The playbook keeps its word: whole in every language, within bounds, and truthful about its cost.

Run as a program, it prints the table of SMS segments of `docs/playbook.md`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html import unescape
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec.structs import replace
from unit.words.desk import BRAND, PERSON, PLAIN, TOKENS, TRACKED, layout

from gateway.catalog import load_catalog, packaged_folder
from gateway.core.compile import TemplateSource, compile_template
from gateway.core.links import Links, PlainLinks
from gateway.core.render import EmailContent, PushContent, SmsContent, Template
from gateway.core.request import Churn, ChurnReason, OfferKind
from gateway.core.variables import STAND_IN_COUPON, Brand, Facts, bare_facts, sample_facts

TEMPLATES = (
    "hello",
    "incentive",
    "feedback",
    "closing_the_loop",
    "goodbye",
    "loyalty_reminder",
    "geo_coupon",
    "expiry_reminder",
)
NEED_A_CODE = ("geo_coupon", "expiry_reminder")
LOCALES = ("en", "da", "de", "ru", "ja", "ko")
SEGMENTS_MAX = {"en": 2, "da": 2, "de": 2, "ru": 3, "ja": 3, "ko": 3}
CATALOG = load_catalog(None, BRAND)
DOC = Path(__file__).parents[3] / "docs" / "playbook.md"
EVERY = list(product(TEMPLATES, LOCALES))
CYRILLIC, KANA, HANGUL = r"[\u0400-\u04ff]", r"[\u3040-\u30ff]", r"[\uac00-\ud7a3]"
OWN_SCRIPT = {"ru": CYRILLIC, "ja": KANA, "ko": HANGUL}
PRESSING = re.compile(
    r"hurry|last chance|only today|act now|don't miss|skynd|sidste chance|kun i dag"
    r"|beeilen|letzte chance|nur heute|jetzt oder nie|спешите|последний шанс|только сегодня"
    r"|お急ぎください|最後のチャンス|本日限り|今すぐ|서두르|마지막 기회|오늘만|!!|！",
    re.IGNORECASE,
)
LEFT_OVER = re.compile(r"<[a-z/!]|&[a-z#0-9]+;|\{\{|\{%|\{#|\*\*|⟦|wbq\d|\bNone\b")
MONEY = {"amount": "50.00", "currency": "DKK"}
COUPONS: tuple[dict[str, Any], ...] = (
    {"code": "SPRING-ABCD-EFGH", "expires_at": "2026-06-30T21:59:59+00:00"},
    {"code": "SPRING-ABCD-EFGH", "expires_at": None},
)


def template_of(name: str) -> Template:
    """A template of the playbook."""
    template = CATALOG.get(name)
    assert template is not None, name
    return template


def full(name: str, locale: str) -> Facts:
    """Everything is known; variables have the examples of `meta.toml`."""
    return sample_facts(template_of(name).variables, BRAND, locale=locale)


def bare(name: str, locale: str) -> Facts:
    """The least that is enough: no name, no reason, and an offer only where a code is needed."""
    facts = bare_facts(template_of(name).variables, BRAND, locale=locale)
    facts = replace(facts, recipient={**facts.recipient, "locale": locale})
    return replace(facts, coupon=STAND_IN_COUPON) if name in NEED_A_CODE else facts


def all_facts(name: str, locale: str) -> Iterator[Facts]:
    """Every reason, every kind of offer, with a code and without, for people with and without."""
    base = full(name, locale)
    coupons = COUPONS if name in NEED_A_CODE else (None, *COUPONS)
    for kind, coupon, person in product(
        (None, *get_args(OfferKind)), coupons, (None, "Anna", "Maria Christina")
    ):
        offer = None if kind is None else {**(base.offer or {}), "kind": kind, "amount": MONEY}
        recipient = {**PERSON, "locale": locale, "name": person}
        yield replace(base, recipient=recipient, offer=offer, coupon=coupon)
    for reason in get_args(ChurnReason):
        churn = {**dict.fromkeys(Churn.__struct_fields__), "reason": reason}
        yield replace(base, churn=churn)
    yield bare(name, locale)


def mail_of(name: str, facts: Facts, links: Links = PLAIN) -> EmailContent:
    """The e-mail, with plain links or those given."""
    content = template_of(name).render("email", facts, links).content
    assert isinstance(content, EmailContent)
    return content


def sms_of(name: str, facts: Facts, links: Links = PLAIN) -> SmsContent:
    """The SMS, with short links of the real length."""
    content = template_of(name).render("sms", facts, links).content
    assert isinstance(content, SmsContent)
    return content


def push_of(name: str, facts: Facts) -> PushContent:
    """The push."""
    content = template_of(name).render("push", facts, PLAIN).content
    assert isinstance(content, PushContent)
    return content


def said(name: str, facts: Facts) -> dict[str, str]:
    """Every text that a person would read, by its place."""
    mail, sms, push = mail_of(name, facts), sms_of(name, facts), push_of(name, facts)
    places = {"subject": mail.subject, "preheader": mail.preheader, "text": mail.text}
    return places | {"sms": sms.text, "title": push.title, "body": push.body}


def table() -> str:
    """The table of `docs/playbook.md`: what each SMS takes with the examples of `meta.toml`."""
    lines = ["| template | " + " | ".join(LOCALES) + " |", "| --- |" + " --- |" * len(LOCALES)]
    for name in TEMPLATES:
        found = [sms_of(name, full(name, locale), PlainLinks()) for locale in LOCALES]
        cells = [f"{one.encoding} {one.segments}" for one in found]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def test_the_playbook_is_all_there() -> None:
    """Eight templates, six languages, three channels, each with a reason in its meta.toml."""
    assert {template.id for template in CATALOG} >= set(TEMPLATES)
    for name in TEMPLATES:
        template = template_of(name)
        assert set(template.channels) == {"email", "sms", "push"}
        for channel in template.channels:
            assert set(template.locales(channel)) == set(LOCALES), f"{name}/{channel}"
        meta = (packaged_folder() / name / "meta.toml").read_text(encoding="utf-8")
        assert re.search(r"^# Why: .{20,}$", meta, re.MULTILINE), name


def test_the_segment_table_of_the_docs_is_true() -> None:
    """What the page says of encoding and segments is what the renderer counts."""
    assert table() in DOC.read_text(encoding="utf-8"), "print it anew: see the page"


def test_every_template_has_its_paragraph() -> None:
    """The page says of each when to send it, why, and what it must not do."""
    page = DOC.read_text(encoding="utf-8")
    for name in TEMPLATES:
        section = page.partition(f"### `{name}`")[2].partition("\n### ")[0].partition("\n## ")[0]
        for word in ("**When.**", "**Why.**", "**Never.**"):
            assert word in section, f"{name}: {word}"


@pytest.mark.parametrize(("name", "locale"), EVERY)
def test_texts_are_whole_for_every_person(name: str, locale: str) -> None:
    """Whatever is known or not known, nothing is left over and the push fits a lock screen."""
    for facts in all_facts(name, locale):
        for place, text in said(name, facts).items():
            assert text.strip(), place
            assert not LEFT_OVER.search(text), f"{place}: {text}"
            assert not re.search(r"\S  ", text), f"{place}: {text}"
            assert not PRESSING.search(text), f"{place}: {text}"
        push = push_of(name, facts)
        assert len(push.title) <= 65, push.title
        assert len(push.body) <= 180, push.body
        assert push.url.startswith(BRAND.site_url)


@pytest.mark.parametrize(("name", "locale"), EVERY)
def test_an_sms_stays_within_its_bound(name: str, locale: str) -> None:
    """Two GSM-7 segments, or three of UCS-2, and always a way to stop."""
    for facts in all_facts(name, locale):
        sms = sms_of(name, facts)
        assert sms.encoding == ("UCS-2" if locale in OWN_SCRIPT else "GSM-7"), sms.text
        assert sms.segments <= SEGMENTS_MAX[locale], sms.text
        assert "STOP" in sms.text
        assert sms.text.count("https://") == 1


@pytest.mark.parametrize(("name", "locale"), EVERY)
def test_c9_every_mail_of_the_playbook_keeps_the_rules(name: str, locale: str) -> None:
    """Way out, address, language, one button at most, under 40 KB, nothing active."""
    for facts in (full(name, locale), bare(name, locale)):
        page = mail_of(name, facts, TRACKED).html
        assert len(page.encode()) < 40_000
        assert f'href="{TRACKED.preferences()}"' in page
        assert _squeezed(BRAND.postal_address) in _squeezed(unescape(re.sub("<[^>]*>", "", page)))
        assert f'<html lang="{locale}"' in page
        assert page.count('class="button"') in {0, 2}  # the cell and its link
        assert not re.search(r"<script|javascript:|\{\{|\{%|⟦|wbq\d", page)


@pytest.mark.parametrize(("name", "locale"), EVERY)
def test_a_text_is_written_in_its_own_script(name: str, locale: str) -> None:
    """Each text of ru, ja and ko has that language's letters, and no text has another's."""
    others = [script for language, script in OWN_SCRIPT.items() if language != locale]
    for place, text in said(name, bare(name, locale)).items():
        assert locale not in OWN_SCRIPT or re.search(OWN_SCRIPT[locale], text), f"{place}: {text}"
        assert not any(re.search(script, text) for script in others), f"{place}: {text}"
        assert not re.search(rf"[A-Za-z]{CYRILLIC}|{CYRILLIC}[A-Za-z]", text), f"{place}: {text}"


def test_the_way_out_is_said_in_every_language() -> None:
    """The frame's link has words of its own in each of the six, also for a locale with region."""
    labels = {}
    for locale in LOCALES:
        found = re.search(
            r'href="[^"]*/t/u/[^"]*"[^>]*>([^<]+)', mail_of("hello", bare("hello", locale)).html
        )
        assert found
        labels[locale] = found.group(1)
    assert len(set(labels.values())) == len(LOCALES)
    files = {"meta.toml": "", "de-AT/email.md": "---\nsubject: Servus\n---\nServus"}
    austrian = compile_template(TemplateSource("t", files, layout()), BRAND)
    facts = bare_facts({}, BRAND, locale="de-AT")
    content = austrian.render("email", facts, PLAIN).content
    assert isinstance(content, EmailContent)
    assert labels["de"] in content.html


@pytest.mark.parametrize("name", TEMPLATES)
def test_korean_texts_say_first_that_they_advertise(name: str) -> None:
    """Korean law wants (광고) before subject, SMS and push of whatever promotes."""
    texts = said(name, full(name, "ko"))
    assert all(texts[place].startswith("(광고)") for place in ("subject", "sms", "title"))


@pytest.mark.parametrize("locale", LOCALES)
def test_each_answer_of_the_feedback_is_a_link_of_its_own(locale: str) -> None:
    """Five answers, each named as a reason of the contract, under one page."""
    facts = bare("feedback", locale)
    page = f"{BRAND.site_url}/feedback"
    answers = re.findall(r'href="([^"]+)\?answer=(\w+)"', mail_of("feedback", facts).html)
    assert [answer for _, answer in answers] == ["price", "service", "product", "outgrown", "other"]
    assert {reason for _, reason in answers} <= set(get_args(ChurnReason))
    assert {address for address, _ in answers} == {page}
    assert push_of("feedback", facts).url == page
    own = replace(facts, variables={"feedback_url": f"{BRAND.site_url}/why"})
    assert f"{BRAND.site_url}/why?answer=price" in mail_of("feedback", own).html
    tracked = set(re.findall(r"/t/c/([\w.~-]+)", mail_of("feedback", facts, TRACKED).html))
    led = {TOKENS.read("click", token).url for token in tracked}
    assert {f"{page}?answer={answer}" for _, answer in answers} <= led


def test_a_site_that_ends_in_a_slash_makes_no_double_one() -> None:
    """The feedback page is found whichever way the brand's site is written."""
    feedback = load_catalog(None, Brand("Shop", "https://shop.example/", "1 Mill Road")).get(
        "feedback"
    )
    assert feedback is not None
    content = feedback.render("push", bare("feedback", "en"), PLAIN).content
    assert isinstance(content, PushContent)
    assert content.url == "https://shop.example/feedback"


@pytest.mark.parametrize("name", NEED_A_CODE)
@pytest.mark.parametrize("locale", LOCALES)
def test_without_a_code_there_is_nothing_to_say(name: str, locale: str) -> None:
    """What is about a code is refused without one when the request is taken in."""
    facts = replace(bare(name, locale), coupon=None)
    for channel in ("email", "sms", "push"):
        faults = template_of(name).faults(facts, [channel])
        assert [fault.reason for fault in faults] == ["missing_variable"], channel
        assert faults[0].path.startswith("$.data.offer")
    pooled = replace(facts, offer={**(full(name, locale).offer or {}), "pool": "spring"})
    assert template_of(name).faults(pooled, ["email", "sms", "push"]) == []


@pytest.mark.parametrize("locale", LOCALES)
def test_goodbye_leaves_a_way_back(locale: str) -> None:
    """The button of the last mail leads to the page of preferences, as does the way out."""
    html = mail_of("goodbye", bare("goodbye", locale)).html
    assert html.count(f'href="{PLAIN.preferences()}"') == 2
    button = html[html.index('class="button"') :]
    assert f'href="{PLAIN.preferences()}"' in button[: button.index("</td>")]


@pytest.mark.parametrize("locale", LOCALES)
def test_the_copy_differs_by_the_reason(locale: str) -> None:
    """Someone who left over the price reads another sentence than someone who was let down."""
    for name, reasons in {
        "hello": ("price", "service", "payment", "forgot"),
        "incentive": ("price", "service", "forgot"),
        "closing_the_loop": ("price", "service", "product", "forgot"),
    }.items():
        base = full(name, locale)
        texts = {
            mail_of(name, replace(base, churn={**(base.churn or {}), "reason": reason})).text
            for reason in reasons
        }
        assert len(texts) == len(reasons), name


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


if __name__ == "__main__":
    sys.stdout.write(table())
