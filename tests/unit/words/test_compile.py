from __future__ import annotations

import pytest
from unit.words.desk import BRAND, WAY_OUT, facts, layout, made, mail, page, sms, unstyled, written

from gateway.core.compile import TemplateSource, compile_template
from gateway.core.render import Template
from gateway.errors import TemplateError

META = """
[variables.word]
[variables.count]
type = "number"
[variables.items]
type = "list"
"""


def refusal(body: str, *, meta: str = META) -> str:
    with pytest.raises(TemplateError) as caught:
        mail(body, meta=meta)
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("\n\n{{ variables.wrod }}", "t/en/email.md:6: variables.wrod is not declared"),
        ("{{ nobody }}", "t/en/email.md:4: nobody is not declared"),
        ("{{ recipient.email }}", "t/en/email.md:4: recipient.email is not declared"),
        ("{{ recipient.phone }}", "t/en/email.md:4: recipient.phone is not declared"),
        ("a\n{% if offer.knd %}x{% endif %}", "t/en/email.md:5: offer.knd is not declared"),
        ("[x](https://shop.example/{{ nobody }})", "t/en/email.md:4: nobody is not declared"),
        ("\n{% if %}", "t/en/email.md:5: "),
        ("{% if offer %}x", "t/en/email.md:4: "),
        ("{{ offer", "t/en/email.md:4: "),
        ("\n{{ variables.word | shout }}", "t/en/email.md:5: unknown filter: shout"),
        ("{{ variables.word is shouted }}", "t/en/email.md:4: "),
    ],
)
def test_what_cannot_be_understood_is_told_with_file_and_line(body: str, said: str) -> None:
    """Undeclared names and broken syntax stop the start, and the message names the place."""
    assert refusal(body).startswith(said)


@pytest.mark.parametrize(
    "body",
    [
        "{{ variables.word | safe }}",
        "{{ variables.word | tojson }}",
        "{% filter safe %}x{% endfilter %}",
        "{% autoescape false %}{{ variables.word }}{% endautoescape %}",
        '{% include "other" %}',
        '{% import "other" as o %}',
        '{% extends "other" %}',
        "{{ recipient.__class__ }}",
        "{{ recipient.attributes.__getattribute__('x') }}",
        "{{ recipient.attributes.clear() }}",
        "{{ variables.items.append(1) }}",
        "{{ _locale }}",
        "{{ _href(0) }}",
        "{{ debug() }}",
    ],
)
def test_s3_what_templates_may_not_do_is_refused_at_start(body: str) -> None:
    """No unescaped output, no other file, no inner name, no changing method."""
    assert refusal(body).startswith("t/en/email.md:4: ")


@pytest.mark.parametrize(
    "body",
    [
        '{{ "a" * 50000000 }}',
        "{{ [1] * 100000000 }}",
        "{% set n = 1000000 %}{{ variables.items * n }}",
        "{{ range(100000000) | length }}",
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ 'x' | center(100000000) }}",
        "{{ 'x' | indent(100000000) }}",
    ],
)
@pytest.mark.timeout(10)
def test_s4_bombs_end_as_an_error_at_start(body: str) -> None:
    """Whatever asks for endless work or memory is refused, soon."""
    assert refusal(body).startswith("t/en/email.md:")


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("<p title={{ recipient.name }}>", "quoted attribute"),
        ("<p {{ recipient.name }}>", "quoted attribute"),
        ("<{{ recipient.name }}>", "quoted attribute"),
        ('<p {% if offer %}class="a"{% endif %}>', "quoted attribute"),
        ('<p onclick="x()">', "onclick"),
        ("<p ONLOAD=x>", "onload"),
        ("<script>1</script>", "<script>"),
        ("<iframe></iframe>", "<iframe>"),
        ('<form action="https://shop.example">', "<form>"),
        ('<base href="https://shop.example">', "<base>"),
        ('<p style="color:{{ recipient.name }}">', "style="),
        ("<style>p { color: {{ recipient.name }} }</style>", "<style>"),
        ('<td background="{{ recipient.name }}">', "background="),
        ('<a href="javascript:alert(1)">x</a>', "https://"),
        ("<a href=' javascript:alert(1)'>x</a>", "https://"),
        ('<a href="/relative">x</a>', "https://"),
        ('<a href="https://evil.example">x</a>', "link_hosts"),
        ("<a href=https://evil.example>x</a>", "link_hosts"),
        ('<img src="http://img.example/a.png">', "https"),
        ('<img src="data:image/png;base64,xx">', "http(s)"),
    ],
)
def test_s6_unsafe_places_in_html_are_refused(body: str, what: str) -> None:
    """Expressions stand in text or quoted attributes; nothing active; links only where allowed."""
    with pytest.raises(TemplateError, match=r"^t/en/email\.html:4: ") as caught:
        page(f"{body}{WAY_OUT}")
    assert what in str(caught.value)


def test_a_document_is_sent_as_it_is_with_its_styles_inline() -> None:
    """Loops stay in their table, attributes are escaped, at-rules stay, no frame is added."""
    body = (
        "<html><head><style>b { color: red } @media print { b { color: black } }</style></head>"
        '<body><p title="{{ recipient.name }}"><b>Hi</b></p><table>'
        "{% for i in [1, 2] %}<tr><td>{{ i }}</td></tr>{% endfor %}</table>" + WAY_OUT + "</body>"
    )
    content = written(page(body), facts(name='A" <b>'))
    assert '<p title="A&quot; &lt;b&gt;"><b style="color:red">Hi</b></p>' in content.html
    assert "@media print" in content.html
    assert "<tbody><tr><td>1</td></tr><tr><td>2</td></tr></tbody>" in content.html
    assert "max-width: 600px" not in content.html
    assert content.text.startswith("Hi\n\n1\n\n2\n")


def test_c9_a_promotional_mail_without_a_way_out_is_refused() -> None:
    """No unsubscribe link, or only behind a condition: the start is refused."""
    address = "{{ brand.postal_address }}"
    link = '<a href="{{ unsubscribe_url }}">out</a>'
    for body in (f"<p>{address}</p>", f"<p>{address}{{% if offer %}}{link}{{% endif %}}</p>"):
        with pytest.raises(TemplateError, match="unsubscribe link"):
            page(body)


def test_c9_a_promotional_mail_without_a_postal_address_is_refused() -> None:
    """The address must stand in the mail whatever is known of the person."""
    link = '<a href="{{ preferences_url }}">out</a>'
    with pytest.raises(TemplateError, match="postal address"):
        page(f"<p>{link}</p>")
    with pytest.raises(TemplateError, match="postal address"):
        page(f"<p>{link}{{% if offer %}}{{{{ brand.postal_address }}}}{{% endif %}}</p>")


def test_c9_the_frame_is_looked_at_too() -> None:
    """A frame of one's own without the footer is no way round."""
    files = {"en/email.md": "---\nsubject: a\n---\nx"}
    with pytest.raises(TemplateError, match="unsubscribe link"):
        made(files, frame={"email.html": "<body>{{ content }}</body>"})


def test_c9_transactional_mail_is_exempt_and_says_so() -> None:
    """A receipt needs neither, and the template tells that it could not be a promotion."""
    receipt = page("<p>Paid</p>", meta='purpose = "transactional"')
    assert not receipt.has_unsubscribe
    assert page(WAY_OUT).has_unsubscribe
    assert not sms("hi").has_unsubscribe


@pytest.mark.parametrize("subject", ["", "   ", "{{ ' ' }}"])
def test_c9_a_subject_of_spaces_is_refused(subject: str) -> None:
    """A mail has a subject that can be read."""
    with pytest.raises(TemplateError, match=r"^t/en/email\.md:\d+: .*subject"):
        mail("x", subject=subject)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("subject: a\n---\n", "t/en/email.md:1: starts with front matter"),
        ("---\nsubject: a\nx", "t/en/email.md:3: a line is"),
        ("---\nsubject: a\n", "t/en/email.md:1: front matter has no closing"),
        ("---\npreheader: a\n---\nx", "t/en/email.md:1: front matter has no subject"),
        ("---\nsubject: a\nto: b\n---\nx", "t/en/email.md:3: a line is"),
        ("---\nsubject: {{ nobody }}\n---\nx", "t/en/email.md:2: nobody is not declared"),
    ],
)
def test_front_matter_mistakes_are_told_with_their_line(text: str, said: str) -> None:
    """Front matter is `subject` and `preheader` between two lines of dashes."""
    with pytest.raises(TemplateError) as caught:
        made({"en/email.md": text})
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ("title = ", "t/meta.toml:1: "),
        ("title = 'a'\nchanels = []", "t/meta.toml:2: unknown key: chanels"),
        ("\npurpose = 'spam'", "t/meta.toml:2: purpose is one of"),
        ("channels = ['fax']", "t/meta.toml:1: no channel, or twice: fax"),
        ("channels = ['email', 'sms']", "t/meta.toml:1: en has no text for sms"),
        ("default_locale = 'da'", "t/meta.toml:1: there is no locale da"),
        ("link_hosts = ['a b']", "t/meta.toml:1: a host of link_hosts"),
        ("[variables.a]\ntype = 'strin'", "t/meta.toml:1: a: type is one of"),
        ("\n[variables.a]\nrequird = true", "t/meta.toml:2: a: unknown key: requird"),
        ("[variables.a]\ntype = 'number'\nexample = 'x'", "t/meta.toml:1: the example of a must"),
        ("[variables._a]", "t/meta.toml:1: _a: a variable is a table with a plain name"),
    ],
)
def test_meta_mistakes_are_told_with_their_line(meta: str, said: str) -> None:
    """Unknown keys, values and locales in meta.toml stop the start."""
    assert refusal("x", meta=meta).startswith(said)


def test_files_that_nobody_would_read_are_refused() -> None:
    """A misspelt file name or two e-mails in one locale would go unnoticed."""
    front = "---\nsubject: a\n---\nx"
    with pytest.raises(TemplateError, match=r"t/en/emial\.md:1: unknown file"):
        made({"en/email.md": front, "en/emial.md": front})
    with pytest.raises(TemplateError, match=r"t/en/email\.html:1: there is en/email\.md as well"):
        made({"en/email.md": front, "en/email.html": front})


def test_the_default_locale_is_en_or_the_only_one() -> None:
    """Without default_locale: `en` where there is one, else the only one, else it must be said."""
    assert made({"da/sms.txt": "a", "en/sms.txt": "a"}).default_locale == "en"
    assert made({"da/sms.txt": "a"}).default_locale == "da"
    with pytest.raises(TemplateError, match="default_locale is missing"):
        made({"da/sms.txt": "a", "sv/sms.txt": "a"})


def test_the_version_follows_every_source() -> None:
    """Any change of any file is another version; the same files are the same version."""

    def version(text: str, frame: str) -> str:
        files = {"meta.toml": "", "en/sms.txt": text}
        return compile_template(TemplateSource("t", files, {"email.html": frame}), BRAND).version

    versions = {version("a", "f"), version("b", "f"), version("a", "g"), version("a", "f")}
    assert len(versions) == 3
    assert all(len(one) == 12 for one in versions)


def test_link_hosts_open_further_hosts() -> None:
    """A listed host may be linked to, exactly as listed."""
    body = "[x](https://partner.example/a)"
    assert "link_hosts" in refusal(body, meta="")
    template = mail(body, meta='link_hosts = ["partner.example"]')
    assert 'href="https://partner.example/a"' in written(template).html


def test_a_locale_may_have_its_own_frame() -> None:
    """`_layout/da/email.html` frames the Danish mails, the other frame the rest."""
    frame = layout() | {"da/email.html": layout()["email.html"].replace("</body>", "<hr></body>")}
    front = "---\nsubject: a\n---\nx"
    template: Template = made({"en/email.md": front, "da/email.md": front}, frame=frame)
    assert "<hr>" in written(template, facts(locale="da")).html
    assert "<hr>" not in written(template, facts(locale="en")).html


def test_a_fault_of_the_frame_names_the_frame() -> None:
    """The frame is checked like any other text."""
    frame = {"email.html": layout()["email.html"].replace("{{ content }}", "\n{{ contents }}")}
    with pytest.raises(TemplateError, match=r"^_layout/email\.html:\d+: contents is not declared"):
        made({"en/email.md": "---\nsubject: a\n---\nx"}, frame=frame)
    with pytest.raises(TemplateError, match=r"^_layout/email\.html:1: places the body once"):
        made({"en/email.md": "---\nsubject: a\n---\nx"}, frame={"email.html": "<p>x</p>"})


def test_styles_are_inlined_with_dark_mode_and_phone_width_kept() -> None:
    """Styles stand in attributes; the at-rules of the frame are still there."""
    content = written(mail("# Hi"))
    assert '<h1 style="' in content.html
    assert "prefers-color-scheme: dark" in content.html
    assert "max-width: 480px" in content.html
    assert unstyled("<h1>Hi</h1>") in unstyled(content.html)
