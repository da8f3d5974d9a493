"""What a template looks like, before anyone gets it: as plain text, or as one page.

Invariant: a preview is made by the code that makes the message, from the examples in `meta.toml`;
nothing is sent, counted or stored. Knows templates, not how the command line shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import assert_never

from gateway.core.links import PlainLinks
from gateway.core.locales import direction
from gateway.core.render import EmailContent, PushContent, Rendered, SmsContent, Template
from gateway.core.variables import Brand, sample_facts

_WIDTHS_PX = (640, 375)


def preview_text(
    template: Template,
    *,
    locale: str | None = None,
    channel: str | None = None,
    brand: Brand | None = None,
    with_html: bool = False,
) -> str:
    """All parts of a template as text, with the examples of `meta.toml`.

    `channel` shows that one only; `brand` is whose site stands in for links without an example,
    the template's own by default; `with_html` adds the HTML source of the e-mail.
    """
    blocks = [f"{template.title} ({template.id}, version {template.version})"]
    shown = _rendered(template, locale=locale, channel=channel, brand=brand)
    blocks += [_block(one, with_html=with_html) for one in shown]
    return "\n\n".join(blocks) + "\n"


def preview_page(
    template: Template,
    *,
    locale: str | None = None,
    channel: str | None = None,
    brand: Brand | None = None,
) -> str:
    """One self-contained HTML page with every part: no script, no address outside is loaded."""
    shown = _rendered(template, locale=locale, channel=channel, brand=brand)
    cards = "\n".join(_card(one) for one in shown)
    style = (resources.files("gateway") / "preview.css").read_text(encoding="utf-8")
    title = f"{escape(template.title)} · {escape(template.id)}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src https:\">"
        f"<title>{title}</title>\n<style>\n{style}</style></head>\n<body>\n"
        f"<header><h1>{escape(template.title)}</h1>"
        f"<p><code>{escape(template.id)}</code> version {template.version}, "
        f"{escape(template.purpose)}</p></header>\n<main>\n{cards}\n</main>\n</body></html>\n"
    )


def _rendered(
    template: Template, *, locale: str | None, channel: str | None, brand: Brand | None
) -> list[Rendered]:
    wanted: Sequence[str] = template.channels if channel is None else (channel,)
    links = PlainLinks()
    shown = []
    for name in wanted:
        if not template.has(name):
            continue
        seen_in = template.locale_for(name, locale)
        facts = sample_facts(template.variables, brand or template.brand, locale=locale or seen_in)
        shown.append(template.render(name, facts, links))
    return shown


def _block(shown: Rendered, *, with_html: bool) -> str:
    match shown.content:
        case EmailContent() as mail:
            source = f"\n\n--- html ---\n{mail.html}" if with_html else ""
            return (
                f"== e-mail, {shown.locale} ==\nSubject:   {mail.subject}\n"
                f"Preheader: {mail.preheader}\n\n{mail.text.rstrip()}{source}"
            )
        case SmsContent() as sms:
            return f"== sms, {shown.locale}, {_cost(sms)} ==\n{sms.text}"
        case PushContent() as push:
            image = f"\nImage: {push.image}" if push.image else ""
            return (
                f"== push, {shown.locale} ==\n{push.title}\n{push.body}\nOpens: {push.url}{image}"
            )
        case _:
            assert_never(shown.content)


def _cost(sms: SmsContent) -> str:
    plural = "" if sms.segments == 1 else "s"
    return f"{len(sms.text)} characters, {sms.segments} segment{plural}, {sms.encoding}"


def _card(shown: Rendered) -> str:
    where = f'lang="{escape(shown.locale)}" dir="{direction(shown.locale)}"'
    match shown.content:
        case EmailContent() as mail:
            return _email_card(mail, shown.locale, where)
        case SmsContent() as sms:
            return (
                f"<section><h2>SMS <small>{escape(shown.locale)}</small></h2>"
                f'<p class="bubble" {where}>{escape(sms.text)}</p>'
                f'<p class="note">{_cost(sms)}</p></section>'
            )
        case PushContent() as push:
            image = f'<img src="{escape(push.image)}" alt="">' if push.image else ""
            return (
                f"<section><h2>Push <small>{escape(shown.locale)}</small></h2>"
                f'<div class="push" {where}><strong>{escape(push.title)}</strong>'
                f"<p>{escape(push.body)}</p>{image}</div>"
                f'<p class="note">Opens {escape(push.url)}</p></section>'
            )
        case _:
            assert_never(shown.content)


def _email_card(mail: EmailContent, locale: str, where: str) -> str:
    frames = "".join(
        f'<iframe title="e-mail, {width} pixels wide" sandbox width="{width}" height="760" '
        f'srcdoc="{escape(mail.html)}"></iframe>'
        for width in _WIDTHS_PX
    )
    return (
        f'<section class="wide"><h2>E-mail <small>{escape(locale)}</small></h2>'
        f'<p class="inbox" {where}><strong>{escape(mail.subject)}</strong> '
        f"<span>{escape(mail.preheader)}</span></p>"
        f'<div class="frames">{frames}</div>'
        f"<details><summary>Plain text</summary><pre {where}>{escape(mail.text)}</pre></details>"
        "</section>"
    )
