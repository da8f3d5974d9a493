from __future__ import annotations

import pytest
from unit.words.desk import PLAIN, TOKENS, TRACKED, body_of, facts, mail, unstyled, written

from gateway.core.render import EmailContent

META = """
[variables.items]
type = "list"
[variables.day]
type = "date"
[variables.cart]
type = "url"
[variables.word]
"""
ITEMS = [{"name": "A|B", "price": 1}, {"name": "<C>", "price": 2}]
KNOWN = facts(
    {
        "items": ITEMS,
        "day": "2026-12-31",
        "cart": "https://shop.example/cart?a=1&b=2",
        "word": 'q "x" & *y* [z](https://evil.example)',
    },
    name="Ann",
)


def html(body: str) -> str:
    return body_of(written(mail(body, meta=META), KNOWN))


def text(body: str) -> str:
    whole = written(mail(body, meta=META), KNOWN).text
    return whole.partition("\n\n")[2].partition("\n\nYou get this")[0]


def test_values_are_escaped_and_never_read_as_markdown() -> None:
    """What a person's data holds appears as itself, in both twins."""
    assert html("Say {{ variables.word }}") == (
        "<p>Say q &quot;x&quot; &amp; *y* [z](https:&#x2f;&#x2f;evil.example)</p>"
    )
    assert text("Say {{ variables.word }}") == 'Say q "x" & *y* [z](https://evil.example)'


def test_quotes_and_pipes_inside_expressions_survive() -> None:
    """Neither quotes nor pipes inside an expression mean anything to Markdown."""
    assert html('On {{ variables.day | date("long") }}') == "<p>On December 31, 2026</p>"
    assert "<td>A|B</td>" in html('| a |\n|---|\n| {{ variables.items[0].name or "x|y" }} |')


def test_a_loop_over_table_rows() -> None:
    """Statements alone on their lines between rows repeat the rows, inside the table body."""
    row = "| {{ i.name }} | {{ i.price }} |"
    table = f"| n | p |\n|---|---|\n{{% for i in variables.items %}}\n{row}\n{{% endfor %}}"
    assert html(table).partition("<tbody>")[2] == (
        "<tr><td>A|B</td><td>1</td></tr><tr><td>&lt;C&gt;</td><td>2</td></tr></tbody></table>"
    )
    assert text(table) == "n | p\nA|B | 1\n<C> | 2"


def test_a_loop_over_list_items_stays_one_list() -> None:
    """Items before, inside and after a loop are one list; a loop around a list moves inside."""
    loop = "{% for i in variables.items %}\n- {{ i.name }}\n{% endfor %}"
    items = "<li>A|B</li><li>&lt;C&gt;</li>"
    assert html(f"- first\n{loop}\n- last") == f"<ul><li>first</li>{items}<li>last</li></ul>"
    assert html(f"Text\n\n{loop}\n\nText") == f"<p>Text</p><ul>{items}</ul><p>Text</p>"
    assert text(f"- first\n{loop}\n- last") == "- first\n- A|B\n- <C>\n- last"


def test_a_statement_alone_is_a_block_and_leaves_no_trace() -> None:
    """A branch that is not taken leaves neither a paragraph nor an empty line."""
    body = "One\n{% if offer %}\nTwo {{ offer.kind }}\n{% else %}\nThree\n{% endif %}\nFour"
    assert html(body) == "<p>One</p><p>Three</p><p>Four</p>"
    assert text(body) == "One\n\nThree\n\nFour"


def test_a_statement_inside_a_line_stays_inside() -> None:
    """Statements among words are invisible to emphasis and code around them."""
    body = "**Hi**{% if recipient.name %} _{{ recipient.name }}_{% endif %}, `{{ campaign }}`"
    assert html(body) == "<p><strong>Hi</strong> <em>Ann</em>, <code>spring</code></p>"


@pytest.mark.parametrize(
    "body", ["**[Go]({{ variables.cart }})**", "[**Go**]({{ variables.cart }})"]
)
def test_a_bold_link_alone_is_the_button(body: str) -> None:
    """Both spellings become a button; the twin has the address on a line of its own."""
    assert html(body) == (
        '<table class="action" role="presentation"><tbody><tr><td class="button">'
        '<a class="button" href="https://shop.example/cart?a=1&amp;b=2">Go</a>'
        "</td></tr></tbody></table>"
    )
    assert text(body) == "Go:\nhttps://shop.example/cart?a=1&b=2"


def test_link_targets_hold_expressions_and_statements() -> None:
    """Spaces, pipes, filters and branches are allowed in link targets."""
    body = (
        "[a](https://shop.example/{% if offer %}x{% else %}{{ variables.word | upper }}{% endif %})"
    )
    with_words = facts({"word": "y"})
    assert 'href="https://shop.example/Y"' in written(mail(body, meta=META), with_words).html


def test_a_value_inside_an_address_is_a_part_of_it() -> None:
    """Behind the author's own address a space becomes %20; the host cannot be changed."""
    body = "[a](https://shop.example/?who={{ variables.word }}&b=1)"
    known = facts({"word": "Ann & Søn"})
    assert 'href="https://shop.example/?who=Ann%20&amp;%20S%C3%B8n&amp;b=1"' in (
        written(mail(body, meta=META), known).html
    )


def test_bare_addresses_and_printed_links_are_links() -> None:
    """A mail client would make links of them, untracked: so they are links here already."""
    assert html("See https://shop.example/a. Or {{ variables.cart }}!") == (
        '<p>See <a href="https://shop.example/a">https://shop.example/a</a>. Or '
        '<a href="https://shop.example/cart?a=1&amp;b=2">'
        "https:&#x2f;&#x2f;shop.example&#x2f;cart?a=1&amp;b=2</a>!</p>"
    )
    assert text("See https://shop.example/a.") == "See https://shop.example/a."


def test_raw_html_is_text() -> None:
    """Markdown templates hold no HTML of their own."""
    assert html("<b onclick=x>hi</b>") == "<p>&lt;b onclick=x&gt;hi&lt;/b&gt;</p>"


def test_comments_vanish_and_raw_blocks_stay() -> None:
    """A note to other authors is not sent; literal braces can be."""
    assert html("a{# not for readers #}b {% raw %}{{ x }}{% endraw %}") == "<p>ab {{ x }}</p>"


def test_the_twin_reads_as_a_person_would_have_written_it() -> None:
    """Headings, emphasis, lists, quotes and links become plain writing."""
    body = (
        "# Title\n\nHello **you**,\\\nnext line.\n\n> quoted\n> on\n\n"
        "1. one\n2. two\n   - inner\n\n---\n\n"
        "[see this](https://shop.example/a) and [write](mailto:us@shop.example)\n\n"
        "![a cup](https://img.example/cup.png)"
    )
    assert text(body) == (
        "Title\n\nHello you,\nnext line.\n\n> quoted\n> on\n\n1. one\n2. two\n   - inner\n\n---\n\n"
        "see this (https://shop.example/a) and write (mailto:us@shop.example)\n\na cup"
    )


def test_both_twins_carry_the_same_tracked_links() -> None:
    """The same link has the same index in HTML and text, and its destination inside."""
    body = "[a](https://shop.example/a) [b]({{ variables.cart }})"
    content = mail(body, meta=META).render("email", KNOWN, TRACKED).content
    assert isinstance(content, EmailContent)
    hrefs = [part.partition('"')[0] for part in unstyled(content.html).split(' href="')[1:]]
    clicks = [href for href in hrefs if "/t/c/" in href]
    assert all(href in content.text for href in clicks)
    opened = [TOKENS.read("click", href.rpartition("/")[2]) for href in clicks]
    assert [(o.link, o.url) for o in opened] == [
        (0, "https://shop.example"),
        (1, "https://shop.example/a"),
        (2, "https://shop.example/cart?a=1&b=2"),
    ]


def test_the_pixel_stands_before_the_end_of_the_body_once() -> None:
    """A tracked mail has one open pixel; a preview has none."""
    template = mail("x")
    tracked = template.render("email", facts(), TRACKED).content
    plain = template.render("email", facts(), PLAIN).content
    assert isinstance(tracked, EmailContent)
    assert isinstance(plain, EmailContent)
    assert tracked.html.count("/t/o/") == 1
    assert tracked.html.rstrip().endswith("></body></html>")
    assert "/t/o/" not in plain.html
