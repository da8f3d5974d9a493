from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from unit.words.desk import (
    BRAND,
    DELIVERY,
    PLAIN,
    PUBLIC_URL,
    TOKENS,
    TRACKED,
    facts,
    made,
    mail,
    sms,
    written,
)

from gateway.core.links import unsubscribe_headers
from gateway.core.render import EmailContent, PushContent, SmsContent
from gateway.core.request import Churn, Money, Offer, PushAddress, Recipient, SendData
from gateway.core.variables import (
    CHURN_NAMES,
    COUPON_NAMES,
    OFFER_NAMES,
    RECIPIENT_NAMES,
    Facts,
    Fault,
    facts_of,
)
from gateway.errors import RefusedError

META = """
[variables.word]
required = true
[variables.count]
type = "number"
[variables.sure]
type = "boolean"
[variables.day]
type = "date"
[variables.price]
type = "money"
[variables.cart]
type = "url"
[variables.rows]
type = "list"
[variables.box]
type = "object"
"""
PUSH = 'title = "Hi"\nbody = "{{ recipient.name }}"\nurl = "https://shop.example/a"\n'


def faults(body: str, known: Facts, *, meta: str = META) -> list[tuple[str, str]]:
    found = mail(body, meta=meta).faults(known, ["email"])
    return [(fault.reason, fault.path) for fault in found]


def test_good_facts_have_no_fault() -> None:
    """Nothing stands in the way of a complete request."""
    assert faults("{{ variables.word }} {{ recipient.name }}", facts({"word": "x"})) == []


@pytest.mark.parametrize("given", [{}, {"word": None}])
def test_a_missing_required_variable_is_named(given: dict[str, Any]) -> None:
    """Absent or null, a required variable is missing, even where no text prints it."""
    assert faults("x", facts(given)) == [("missing_variable", "$.data.variables.word")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("word", 7),
        ("count", "7"),
        ("count", True),
        ("sure", "yes"),
        ("day", "tomorrow"),
        ("day", 20260101),
        ("price", "10.00"),
        ("price", {"amount": 10, "currency": "EUR"}),
        ("price", {"amount": "1e3", "currency": "EUR"}),
        ("price", {"amount": "10.00", "currency": "euro"}),
        ("cart", "https://evil.example/"),
        ("cart", "shop.example"),
        ("cart", 7),
        ("rows", {"a": 1}),
        ("rows", "abc"),
        ("box", [1]),
    ],
)
def test_a_variable_of_the_wrong_type_is_named(name: str, value: object) -> None:
    """Values are checked against the declared type; a url also against the host rule."""
    known = facts({"word": "x"} | {name: value})
    assert faults("x", known) == [("invalid_field", f"$.data.variables.{name}")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 7),
        ("count", 1.5),
        ("sure", False),
        ("day", "2026-12-31"),
        ("day", "2026-12-31T23:00:00+01:00"),
        ("price", {"amount": "-10", "currency": "DKK"}),
        ("cart", "https://www.shop.example/a?b=c"),
        ("rows", []),
        ("box", {}),
        ("box", None),
        ("undeclared", object),
    ],
)
def test_a_variable_of_the_right_type_is_taken(name: str, value: object) -> None:
    """Wire forms of every type are fine, so is null for what is not required."""
    assert faults("x", facts({"word": "x"} | {name: value})) == []


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("{{ recipient.country }}", "$.data.recipient.country"),
        ("{{ 'in ' ~ recipient.country }}", "$.data.recipient.country"),
        ("{{ recipient.country ~ variables.word }}", "$.data.recipient.country"),
        ("{{ recipient.country | upper }}", "$.data.recipient.country"),
        ("{{ recipient.country | default('x') }}", "$.data.recipient.country"),
        ("{{ [recipient.country] | join(',') }}", "$.data.recipient.country"),
        ("{{ variables.count }}", "$.data.variables.count"),
        ("{{ variables.price | money }}", "$.data.variables.price"),
        ("{{ variables.day | date }}", "$.data.variables.day"),
        ("{{ variables.box.lid }}", "$.data.variables.box"),
        ("{{ churn.reason }}", "$.data.churn"),
        ("{{ offer.percent | percent }}", "$.data.offer"),
        ("{{ coupon.code }}", "$.data.offer"),
        ("{{ recipient.attributes.vip }}", "$.data.recipient.attributes.vip"),
        ("[x](https://shop.example/{{ recipient.country }})", "$.data.recipient.country"),
        ("[x]({{ variables.cart }})", "$.data.variables.cart"),
        ("![x](https://img.example/{{ recipient.country }}.png)", "$.data.recipient.country"),
        ("{% set c = recipient.country %}{{ c }}", "$.data.recipient.country"),
        (
            "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(recipient.country) }}",
            "$.data.recipient.country",
        ),
    ],
)
def test_printing_none_names_what_was_none(body: str, path: str) -> None:
    """However a none would reach the text, the fault carries its JSON path."""
    assert faults(body, facts({"word": "x"})) == [("missing_variable", path)]


def test_none_inside_a_variable_is_named_too() -> None:
    """A null inside an object is as unprintable as a missing variable."""
    known = facts({"word": "x", "box": {"lid": {"colour": None}}})
    assert faults("{{ variables.box.lid.colour }}", known) == [
        ("missing_variable", "$.data.variables.box.lid.colour")
    ]
    assert faults("{{ variables.box.depth }}", known) == [
        ("missing_variable", "$.data.variables.box.depth")
    ]


@pytest.mark.parametrize(
    ("body", "printed"),
    [
        ("{% if offer %}a{% else %}b{% endif %}", "b"),
        ("{% if recipient.country is none %}a{% endif %}", "a"),
        ("{% if recipient.country == none %}a{% endif %}", "a"),
        ("{{ recipient.country or 'there' }}", "there"),
        ("{{ recipient.country | default('there', true) }}", "there"),
        ("{{ 'a' ~ (recipient.country or 'b') ~ 1 }}", "ab1"),
        ("{% for row in variables.rows %}a{% else %}b{% endfor %}", "b"),
        ("{% if offer and offer.percent > 10 %}a{% else %}b{% endif %}", "b"),
        ("{% if recipient.attributes.vip is defined %}a{% else %}b{% endif %}", "b"),
        ("{{ variables.count is none }}", "True"),
    ],
)
def test_every_name_is_defined_and_none_when_absent(body: str, printed: str) -> None:
    """Conditions on what is absent work; only printing it does not."""
    content = written(mail(body, meta=META), facts({"word": "x"}))
    assert f">{printed}</p>" in content.html


def test_lists_and_objects_are_never_printed() -> None:
    """No mail holds the brackets of a program."""
    known = facts({"word": "x", "rows": [1], "box": {"a": 1}})
    for body in (
        "{{ variables.rows }}",
        "{{ variables.box }}",
        "[x](https://shop.example/{{ variables.rows }})",
    ):
        assert faults(body, known) == [("invalid_field", "$.data.variables")]


def test_s7_a_link_to_a_forbidden_host_names_the_variable() -> None:
    """A personalised address is checked by the host rule when the request is taken in."""
    body = "[x]({{ variables.word }}) [y](https://{{ variables.word }}/a)"
    for word in (
        "https://evil.example",
        "javascript:alert(1)",
        "evil.example",
        "shop.example/../@b",
    ):
        assert faults(body, facts({"word": word})) == [("invalid_field", "$.data.variables.word")]


def test_s1_control_characters_in_a_subject_are_refused() -> None:
    """A line break from a person's data never reaches a header."""
    template = mail("x", subject="{{ variables.word }}", meta=META)
    for word in ("a\r\nBcc: b@c.example", "a\x00", "a\u2028b", "a\x85b"):
        found = template.faults(facts({"word": word}), ["email"])
        assert [(f.reason, f.path) for f in found] == [("invalid_field", "$.data.variables.word")]
        with pytest.raises(RefusedError):
            template.render("email", facts({"word": word}), PLAIN)


@pytest.mark.parametrize("word", ["{{ 7*7 }}", "{% if true %}x{% endif %}", "{# x #}", "wbq0x0x"])
def test_s5_data_is_never_compiled(word: str) -> None:
    """Template syntax in a person's data appears literally, in every part."""
    files = {
        "meta.toml": META,
        "en/email.md": "---\nsubject: {{ variables.word }}\n---\n{{ variables.word }}",
        "en/sms.txt": "{{ variables.word }}",
        "en/push.toml": 'title = "{{ variables.word }}"\nbody = "b"\nurl = "https://shop.example"\n',
    }
    template, known = made(files), facts({"word": word})
    content = written(template, known)
    text, push = (template.render(name, known, PLAIN).content for name in ("sms", "push"))
    assert isinstance(text, SmsContent)
    assert isinstance(push, PushContent)
    assert content.subject == text.text == push.title == word
    assert word in content.text
    assert f'<p style="margin:0 0 16px">{word.replace("/", "&#x2f;")}</p>' in content.html


def test_texts_that_are_too_large_are_found_when_the_request_is_taken_in() -> None:
    """Sizes are bounded: an SMS of 1,600 characters, a push of 4 KiB, a loop's work."""
    meta = META + "[variables.long]\n"
    loop = (
        "{% for a in variables.rows %}{% for b in variables.rows %}{{ a }}{% endfor %}{% endfor %}"
    )
    cases = [
        ("sms", sms("{{ variables.long }}", meta=meta), {"long": "a" * 1601}),
        ("email", mail("{{ variables.long }}", meta=meta), {"long": "a" * 300_000}),
        ("email", mail(loop, meta=meta), {"rows": list(range(3000))}),
    ]
    for channel, template, given in cases:
        found = template.faults(facts({"word": "x"} | given), [channel])
        assert [(f.reason, f.path) for f in found] == [("too_large", "$.data.variables")]


def test_every_allowed_channel_is_tried() -> None:
    """A fault in the push text counts although the e-mail is fine; other channels do not."""
    template = made({"en/push.toml": PUSH, "en/email.md": "---\nsubject: a\n---\nx"})
    nameless = facts(name=None)
    assert template.faults(nameless, ["email", "sms"]) == []
    assert template.faults(nameless, ["email", "push"]) == [
        Fault(
            "missing_variable",
            "$.data.recipient.name",
            "t/en/push.toml: is none, and the template needs it",
        )
    ]


def test_what_faults_accepts_renders_and_what_it_refuses_does_not() -> None:
    """`render` raises the same reason and path that `faults` gives."""
    template = mail("{{ recipient.country }}")
    with pytest.raises(RefusedError) as caught:
        template.render("email", facts(), PLAIN)
    assert (caught.value.reason, caught.value.path) == (
        "missing_variable",
        "$.data.recipient.country",
    )
    assert "DK" in template.render("email", facts(country="DK"), PLAIN).content.html  # type: ignore[union-attr]


def test_a_code_that_is_issued_later_is_no_fault() -> None:
    """An offer with a pool will have a code; one without has none, and the pool is missing."""
    template = mail("{{ coupon.code }}")
    pooled = facts(offer={"kind": "gift", "pool": "spring"})
    assert template.faults(pooled, ["email"]) == []
    unpooled = template.faults(facts(offer={"kind": "gift", "pool": None}), ["email"])
    assert [fault.path for fault in unpooled] == ["$.data.offer.pool"]
    with pytest.raises(RefusedError):
        template.render("email", pooled, PLAIN)
    issued = facts(coupon={"code": "ABC-123", "expires_at": None})
    assert "ABC-123" in written(template, issued).text


def test_values_follow_the_locale_of_the_text() -> None:
    """Money, dates and percentages are written as the reader of that text writes them."""
    line = (
        "{{ variables.price | money }}, {{ variables.day | date }}, {{ offer.percent | percent }}"
    )
    files = {
        "meta.toml": META,
        "en/sms.txt": line,
        "da/sms.txt": line,
        "de-CH/sms.txt": line,
    }
    template = made(files)
    known = {"word": "x", "price": {"amount": "1234.50", "currency": "EUR"}, "day": "2026-03-01"}

    def shown(locale: str) -> str:
        person = facts(known, locale=locale, offer={"percent": 12.5})
        content = template.render("sms", person, PLAIN).content
        assert isinstance(content, SmsContent)
        return content.text

    assert shown("en") == "€1,234.50, March 1, 2026, 12.5%"
    assert shown("en-GB") == "€1,234.50, 1 March 2026, 12.5%"
    assert shown("da_DK") == "1.234,50 €, 1. marts 2026, 12,5 %"
    assert shown("DE-ch") == "EUR 1'234.50, 1. März 2026, 12.5%"
    assert shown("fr") == "€1,234.50, March 1, 2026, 12.5%"


def test_locales_fall_back_exact_language_default() -> None:
    """Case and separators do not count; an unknown language gets the default."""
    template = made({f"{name}/sms.txt": "a" for name in ("en", "da", "pt", "pt-BR", "zh-Hant")})
    wanted = {
        "da": "da",
        "DA-dk": "da",
        "pt_br": "pt-BR",
        "pt-PT": "pt",
        "zh-Hant-TW": "zh-Hant",
        "zh": "zh-Hant",
        "sv": "en",
        "": "en",
        None: "en",
    }
    assert {name: template.locale_for("sms", name) for name in wanted} == wanted


def test_c1_an_email_carries_its_way_out_in_the_headers_too() -> None:
    """The headers hold the same signed address as the footer."""
    content = mail("x").render("email", facts(), TRACKED).content
    assert isinstance(content, EmailContent)
    assert content.headers == unsubscribe_headers(TRACKED.preferences())
    assert f'href="{TRACKED.preferences()}"' in content.html
    assert TRACKED.preferences() in content.text


def test_links_in_an_sms_become_short_links_by_order_of_appearance() -> None:
    """Fixed, personal and printed links are short, counted and given back; repeats share one."""
    text = (
        "Go https://shop.example/a, or {{ variables.cart }}.\n"
        "{% if offer %}\n(https://shop.example/b){% endif %}"
        "https://shop.example/?q={{ variables.word }} https://shop.example/a"
    )
    template = sms(text, meta=META)
    known = facts({"word": "ø x", "cart": "https://shop.example/cart"})
    rendered = template.render("sms", known, TRACKED)
    codes = [TOKENS.short_code(DELIVERY, index) for index in range(3)]
    shorts = [f"{PUBLIC_URL}/t/s/{code}" for code in codes]
    assert rendered.links == (
        (codes[0], 0, "https://shop.example/a"),
        (codes[1], 1, "https://shop.example/cart"),
        (codes[2], 2, "https://shop.example/?q=%C3%B8%20x"),
    )
    assert isinstance(rendered.content, SmsContent)
    assert rendered.content.text == (f"Go {shorts[0]}, or {shorts[1]}.\n{shorts[2]} {shorts[0]}")


def test_s7_a_link_smuggled_into_an_sms_is_refused() -> None:
    """Phones make a link of any address: one that came with a name is checked like any other."""
    template = sms("Hi {{ recipient.name }}")
    found = template.faults(facts(name="see https://evil.example/x"), ["sms"])
    assert [(f.reason, f.path) for f in found] == [("invalid_field", "$.data.recipient.name")]
    rendered = template.render("sms", facts(name="https://shop.example/x"), TRACKED)
    assert rendered.links[0][2] == "https://shop.example/x"


def test_an_sms_is_counted_after_everything_is_in_it() -> None:
    """Segments belong to the final text with its short link, in GSM-7 where that is possible."""
    content = sms("{{ recipient.name }}’s").render("sms", facts(name="a" * 200), TRACKED).content
    assert content == SmsContent("a" * 200 + "'s", 2, "GSM-7")


def test_a_push_has_a_tracked_link_and_may_have_a_picture() -> None:
    """The url is tracked like a link in e-mail; the picture's address is checked."""
    rich = PUSH + 'image = "https://img.example/{{ recipient.id }}.png"\n'
    content = made({"en/push.toml": rich}).render("push", facts(), TRACKED).content
    assert content == PushContent(
        title="Hi",
        body="Ann",
        url=TRACKED.click("https://shop.example/a", 0),
        image="https://img.example/r-1.png",
    )
    plain = made({"en/push.toml": PUSH}).render("push", facts(), PLAIN).content
    assert plain == PushContent("Hi", "Ann", "https://shop.example/a")


def test_facts_hold_all_names_and_no_address() -> None:
    """Structs become plain JSON values; neither e-mail nor phone nor device comes along."""
    data = SendData(
        campaign="spring",
        template="t",
        recipient=Recipient(
            id="r-1",
            email="ann@home.example",
            phone="+4512345678",
            push=[PushAddress(platform="fcm", token="secret-device")],
        ),
        churn=Churn(last_active=date(2026, 1, 2), lifetime_value=Money("10.00", "EUR")),
        offer=Offer(kind="percent_off", percent=20.0, expires_at=datetime(2026, 5, 1, tzinfo=UTC)),
    )
    known = facts_of(data, {"code": "A", "expires_at": datetime(2026, 5, 1, tzinfo=UTC)})
    assert known.recipient == {
        "id": "r-1",
        "name": None,
        "locale": None,
        "country": None,
        "attributes": {},
    }
    assert known.churn == {
        "reason": None,
        "last_active": "2026-01-02",
        "segment": None,
        "lifetime_value": {"amount": "10.00", "currency": "EUR"},
    }
    assert known.offer is not None
    assert (known.offer["percent"], known.offer["expires_at"]) == (20, "2026-05-01T00:00:00+00:00")
    assert known.coupon == {"code": "A", "expires_at": "2026-05-01T00:00:00+00:00"}
    assert "home.example" not in repr(known)
    assert "secret-device" not in repr(known)


def test_facts_have_every_name_that_templates_may_use() -> None:
    """A field that is added to a request's structs is there for templates too."""
    data = SendData("c", "t", Recipient("r-1"), churn=Churn(), offer=Offer("gift"))
    known = facts_of(data, {"code": "A"})
    assert tuple(known.recipient) == RECIPIENT_NAMES
    assert known.churn is not None
    assert known.offer is not None
    assert known.coupon is not None
    assert (tuple(known.churn), tuple(known.offer)) == (CHURN_NAMES, OFFER_NAMES)
    assert tuple(known.coupon) == COUPON_NAMES


def test_the_brand_is_there_for_every_text() -> None:
    """Name, site and address of the settings stand where the template wants them."""
    content = written(mail("{{ brand.name }} {{ brand.site_url }} {{ brand.postal_address }}"))
    assert BRAND.name in content.text
    assert BRAND.postal_address in content.text
