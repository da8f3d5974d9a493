from __future__ import annotations

import re
from html import unescape
from itertools import product
from typing import Any

import pytest
from unit.words.desk import BRAND, PERSON, TRACKED, written

from gateway.catalog import load_catalog
from gateway.core.render import EmailContent, PushContent, SmsContent
from gateway.core.request import Churn, Offer, Recipient, SendData
from gateway.core.variables import Facts, facts_of

CATALOG = load_catalog(None, BRAND)
TEMPLATES = ["hello", "incentive", "goodbye"]
LOCALES = ["en", "da"]
MONEY = {"amount": "50.00", "currency": "DKK"}
OFFERS: list[dict[str, Any] | None] = [
    None,
    {"kind": "amount_off", "amount": MONEY},
    {"kind": "percent_off", "percent": 20},
    {"kind": "free_shipping"},
    {"kind": "gift"},
    {"kind": "consultation"},
    {"kind": "points"},
]
COUPONS: list[dict[str, Any] | None] = [
    None,
    {"code": "SPRING-ABCD-EFGH", "expires_at": "2026-06-30T21:59:59+00:00"},
    {"code": "SPRING-ABCD-EFGH", "expires_at": None},
]
REASONS = [None, "price", "service", "product", "competitor", "forgot", "outgrown", "payment"]


def known(locale: str, **more: Any) -> Facts:
    empty = {"amount": None, "percent": None, "expires_in": None, "expires_at": None, "pool": None}
    offer = more.pop("offer", None)
    churn = {"reason": more.pop("reason", None), "last_active": None, "segment": None}
    return Facts(
        recipient={**PERSON, "locale": locale, "name": more.pop("name", "Anna")},
        campaign="spring",
        offer=None if offer is None else empty | offer,
        churn=churn | {"lifetime_value": None},
        **more,
    )


@pytest.mark.parametrize(("name", "locale"), list(product(TEMPLATES, LOCALES)))
def test_the_least_request_is_enough(name: str, locale: str) -> None:
    """A person of whom nothing is known gets a whole message on every channel."""
    template = CATALOG.get(name)
    assert template is not None
    data = SendData(campaign="c", template=name, recipient=Recipient(id="r-1", locale=locale))
    assert template.faults(facts_of(data), ["email", "sms", "push"]) == []
    for channel in ("email", "sms", "push"):
        assert template.render(channel, facts_of(data), TRACKED).locale == locale


@pytest.mark.parametrize(("name", "locale"), list(product(TEMPLATES, LOCALES)))
def test_an_sms_stays_within_two_segments(name: str, locale: str) -> None:
    """GSM-7 and at most two segments for every offer, code and a long name."""
    template = CATALOG.get(name)
    assert template is not None
    for offer, coupon, person in product(OFFERS, COUPONS, (None, "Anna", "Maria Christina")):
        facts = known(locale, offer=offer, coupon=coupon, name=person)
        content = template.render("sms", facts, TRACKED).content
        assert isinstance(content, SmsContent)
        assert content.encoding == "GSM-7", content.text
        assert content.segments <= 2, content.text
        assert "STOP" in content.text
        assert "  " not in content.text


@pytest.mark.parametrize(("locale", "reason"), list(product(LOCALES, REASONS)))
def test_hello_has_a_word_for_every_reason(locale: str, reason: str | None) -> None:
    """Whatever the reason was, the greeting renders whole."""
    hello = CATALOG.get("hello")
    assert hello is not None
    content = written(hello, known(locale, reason=reason))
    assert "Anna" in content.subject
    assert content.text.count("\n\n\n") == 0


@pytest.mark.parametrize(
    ("locale", "offer", "words"),
    [
        ("en", OFFERS[1], "DKK 50.00 off your next order"),
        ("da", OFFERS[1], "50,00 kr. i rabat på dit næste køb"),
        ("en", OFFERS[2], "20% off your next order"),
        ("da", OFFERS[2], "20 % i rabat på dit næste køb"),
        ("en", OFFERS[3], "free delivery on your next order"),
        ("da", OFFERS[3], "gratis levering på dit næste køb"),
        ("en", OFFERS[4], "a gift with your next order"),
        ("en", OFFERS[5], "a free consultation"),
        ("en", OFFERS[6], "something for you"),
        ("en", None, "something for you"),
    ],
)
def test_the_offer_is_named_by_its_kind(
    locale: str, offer: dict[str, Any] | None, words: str
) -> None:
    """The same words stand in subject, text, SMS and push."""
    incentive = CATALOG.get("incentive")
    assert incentive is not None
    facts = known(locale, offer=offer)
    content = written(incentive, facts)
    sms, push = (incentive.render(name, facts, TRACKED).content for name in ("sms", "push"))
    assert isinstance(sms, SmsContent)
    assert isinstance(push, PushContent)
    said = [content.subject, content.text, sms.text, push.body]
    assert all(words in text.replace("\u00a0", " ") for text in said)


def test_the_code_and_its_last_day_are_shown() -> None:
    """A code stands in text, SMS and push; without one the mail says that none is needed."""
    incentive = CATALOG.get("incentive")
    assert incentive is not None
    with_code = written(incentive, known("en", offer=OFFERS[2], coupon=COUPONS[1]))
    assert "Your code: SPRING-ABCD-EFGH\n> Good until June 30, 2026." in with_code.text
    without = written(incentive, known("en", offer=OFFERS[2]))
    assert "There is no code to remember." in without.text


@pytest.mark.parametrize(("name", "locale"), list(product(TEMPLATES, LOCALES)))
def test_c9_every_mail_keeps_the_rules_of_good_mail(name: str, locale: str) -> None:
    """Way out, address, language, one button at most, under 40 KB, nothing active."""
    template = CATALOG.get(name)
    assert template is not None
    assert template.has_unsubscribe
    content = template.render("email", known(locale), TRACKED).content
    assert isinstance(content, EmailContent)
    html = content.html
    words = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", "", html)))
    assert re.sub(r"\s+", " ", BRAND.postal_address) in words
    assert f'href="{TRACKED.preferences()}"' in html
    assert f'<html lang="{locale}" dir="ltr"' in html
    assert html.count('class="button"') == 2  # the cell and its link
    assert len(html.encode()) < 40_000
    assert "prefers-color-scheme: dark" in html
    assert not re.search(r"<script|javascript:|\{\{|\{%|⟦|wbq\d", html)
    assert content.preheader
    assert content.preheader not in content.text
    assert not re.search(r"<[a-z]|&[a-z]+;|\{\{|\{%|⟦|wbq\d", content.text)


def test_churn_and_offer_come_from_a_request_as_they_are() -> None:
    """The structs of a request fit the templates without further ado."""
    data = SendData(
        campaign="c",
        template="incentive",
        recipient=Recipient(id="r-1", locale="da-DK", name="Søren"),
        churn=Churn(reason="price"),
        offer=Offer(kind="percent_off", percent=15.0, pool="spring"),
    )
    for name in TEMPLATES:
        template = CATALOG.get(name)
        assert template is not None
        assert template.faults(facts_of(data), template.channels) == []
