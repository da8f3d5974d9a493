from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from unit.words.desk import PLAIN, TRACKED, facts, made, mail, sms

from gateway.core.frames import FRAMES_MAX, REST_MESSAGES, Frame, Frames, GapTrail
from gateway.core.render import EmailContent, EmailPart, SmsContent, Template
from gateway.core.shortcuts import Shape

META = """
[variables.word]
[variables.count]
type = "number"
[variables.cart]
type = "url"
[variables.rows]
type = "list"
"""


def shape(body: str) -> Shape | None:
    return mail(body, meta=META).parts["email"]["en"].shape


def said(template: Template, variables: dict[str, Any], **more: Any) -> str:
    content = template.render("sms", facts(variables, **more), TRACKED).content
    assert isinstance(content, SmsContent)
    return content.text


@pytest.mark.parametrize(
    ("body", "truths", "values"),
    [
        ("{{ recipient.name }} {{ variables.word }}", (), ()),
        ("{% if recipient.name %}a{% endif %}", (("recipient", "name"),), ()),
        (
            "{% if offer and not offer.percent %}a{% endif %}",
            (("offer", ""), ("offer", "percent")),
            (),
        ),
        (
            "{% if churn.reason in [\"price\", 'a and offer.kind'] %}a{% endif %}",
            (),
            (("churn", "reason"),),
        ),
        ("{% if (variables.word) == 'x' %}a{% endif %}", (), (("variables", "word"),)),
        ("{% for r in variables.rows %}{{ r }}{% endfor %}", (), (("variables", "rows"),)),
        ("{{ variables.word or 'x' }}", (), (("variables", "word"),)),
        ("[a](https://shop.example/{{ recipient.name }})", (), ()),
        ("[a]({{ variables.cart or brand.site_url }})", (), (("variables", "cart"),)),
        ("{{ campaign }}", (), (("campaign", ""),)),
    ],
)
def test_a_text_depends_on_what_it_asks_not_on_what_it_prints(
    body: str, truths: tuple[tuple[str, str], ...], values: tuple[tuple[str, str], ...]
) -> None:
    """Printed values are gaps; what a condition or a longer expression reads is what counts."""
    assert shape(body) == Shape(truths, values)


@pytest.mark.parametrize(
    "body",
    [
        "{{ recipient.name or 'you' }}",
        "{{ recipient.attributes.vip }}",
        "{% if recipient.name == 'Ann' %}a{% endif %}",
        "{{ coupon.code | lower }}",
        "{% for key in offer %}{{ key }}{% endfor %}",
        "{% set w = variables.word %}{{ w }}",
        "{% filter upper %}{{ variables.word }}{% endfilter %}",
        "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(1) }}",
        "{{ unsubscribe_url | length }}",
    ],
)
def test_what_depends_on_one_person_is_never_kept(body: str) -> None:
    """Neither a person's own data nor what cannot be followed makes a frame."""
    assert shape(body) is None


def test_messages_that_differ_in_what_is_asked_differ() -> None:
    """After one message, another one is still its own, down to 1 and true."""
    template = sms(
        "{% if variables.word %}{{ variables.word }}{% else %}none{% endif %} "
        "{{ variables.count or 'x' }} "
        "{% for r in variables.rows %}{{ r }}{% endfor %}",
        meta=META,
    )
    assert template.parts["sms"]["en"].shape is not None
    for _ in range(2):
        assert said(template, {"word": "a", "count": 1, "rows": [1]}) == "a 1 1"
        assert said(template, {"word": "b", "count": True, "rows": [True]}) == "b True True"
        assert said(template, {"count": 2, "rows": ["\ue000_w0\ue001"]}).startswith("none 2 ")


def test_what_stands_in_for_values_in_trials_makes_no_frame() -> None:
    """The examples of a trial answer to any name; a request after it does not."""
    template = mail("{{ variables.box.lid }}", meta='[variables.box]\ntype = "object"\n')
    found = template.faults(facts({"box": {}}), ["email"])
    assert [fault.path for fault in found] == ["$.data.variables.box.lid"]


def test_letters_that_look_like_gaps_are_letters() -> None:
    """An icon from a private font in a template or a value stays where it is."""
    for icon in ("\ue000", "\ue000_w0\ue001", "\ue000x\ue001", "\ue001"):
        template = mail(f"{icon} {{{{ variables.word }}}}", meta=META)
        content = template.render("email", facts({"word": f"<{icon}>"}), PLAIN).content
        assert isinstance(content, EmailContent)
        assert icon in content.text


def test_each_channel_has_frames_with_its_own_links() -> None:
    """The second message of a kind has the links of its own delivery."""
    files = {
        "en/sms.txt": "https://shop.example/a {{ recipient.name }}",
        "en/push.toml": 'title = "{{ recipient.name }}"\nbody = "b"\nurl = "https://shop.example/a"\n',
    }
    template = made(files)
    for channel in ("sms", "push"):
        plain = template.render(channel, facts(name="Ann"), PLAIN)
        tracked = template.render(channel, facts(name="Bo"), TRACKED)
        assert "Ann" in repr(plain.content)
        assert "Bo" in repr(tracked.content)
        assert repr(plain.content).count("https://shop.example/a") == (channel == "push")
        assert "https://go.shop.example/t/" in repr(tracked.content)


def test_one_text_may_be_twin_and_preheader() -> None:
    """A part that uses one text twice has it tidy in the one place only."""
    template = mail("x", subject="{{ variables.word }}", meta=META)
    part = template.parts["email"]["en"]
    assert isinstance(part, EmailPart)
    short = replace(template, parts={"email": {"en": replace(part, text=part.subject)}})
    for _ in range(2):
        content = short.render("email", facts({"word": "Hi"}), TRACKED).content
        assert isinstance(content, EmailContent)
        assert (content.subject, content.text) == ("Hi", "Hi\n")


def test_frames_rest_where_no_two_messages_are_alike() -> None:
    """Only when frames are made again and again, and none is used, are they given up for a time."""
    frame = Frame({}, GapTrail((), frozenset(), has_pixel=False), ())
    unused, used = Frames(), Frames()
    for number in range(FRAMES_MAX + 1):
        unused.keep(number, frame)
        used.keep(number, frame)
        assert used.get(number) is frame
    assert unused.rest()
    assert not used.rest()
    assert sum(unused.rest() for _ in range(REST_MESSAGES)) < REST_MESSAGES
    assert not unused.rest()


def test_frames_are_few() -> None:
    """However many kinds of messages there are, the oldest are not kept."""
    frame = Frame({}, GapTrail((), frozenset(), has_pixel=False), ())
    frames = Frames()
    for number in range(10 * FRAMES_MAX):
        frames.keep(number, frame)
    assert sum(frames.get(number) is frame for number in range(10 * FRAMES_MAX)) <= FRAMES_MAX
