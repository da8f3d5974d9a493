"""The pages that people see: preferences, done, goodbye, and the two that say sorry.

Invariant: a page shows what it is given and does nothing by itself; it loads nothing from
anywhere, runs no script, and every word from outside is escaped. This file knows no port.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from aiohttp import web

from gateway.web.options import WebOptions
from gateway.web.ports import Standing
from gateway.web.texts import ChannelText, Texts, texts_for
from gateway.web.wishes import CAMPAIGN, CHANNELS

_DOCUMENT = """<!doctype html>
<html lang="{language}" dir="{direction}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<div class="page{wide}">
<p class="brand"><a href="{site}">{brand}</a></p>
<main>
{main}
</main>
{footer}
</div>
</body>
</html>
"""
_ON = (
    '<svg class="mark on" viewBox="0 0 24 24" aria-hidden="true"><path d="M5 13l5 5L19 7" '
    'fill="none" stroke="currentColor" stroke-width="2.5" stroke-linecap="round" '
    'stroke-linejoin="round"/></svg>'
)
_OFF = (
    '<svg class="mark off" viewBox="0 0 24 24" aria-hidden="true"><path d="M6 12h12" fill="none" '
    'stroke="currentColor" stroke-width="2.5" stroke-linecap="round"/></svg>'
)


@dataclass(frozen=True, slots=True)
class Pages:
    """All pages of one brand. Each method returns a whole answer."""

    brand: str
    site: str
    style: str
    policy: str

    def preferences(self, standing: Standing) -> web.Response:
        """What the person gets, and buttons to change it."""
        words = texts_for([standing.locale])
        on = _on(standing)
        parts = [f"<h1>{self._fill(words.title)}</h1>"]
        if on:
            parts += [f"<p class=quiet>{escape(words.lead)}</p>", _stop_form(words, standing)]
        else:
            parts.append(f"<p>{escape(words.nothing_on)}</p>")
        parts.append(_choice_form(words, standing))
        if on:
            parts.append(_stop_all_form(words))
        return self._page(words, title=words.title, main="\n".join(parts))

    def done(self, standing: Standing, *, path: str) -> web.Response:
        """What is true now."""
        words = texts_for([standing.locale])
        on = _on(standing)
        facts = "\n".join(
            [
                *(_fact(words.channels[channel], on=channel in on) for channel in CHANNELS),
                *(_fact(words.campaign, on=topic.is_on) for topic in standing.topics if on),
            ]
        )
        main = (
            f"<h1>{escape(words.done_title)}</h1>\n<p class=quiet>{escape(words.done_lead)}</p>\n"
            f"<ul class=facts>\n{facts}\n</ul>\n"
            f'<a href="{escape(path)}">{escape(words.change_more)}</a>'
        )
        return self._page(words, title=words.done_title, main=main)

    def noted(self, locales: list[str]) -> web.Response:
        """The wish is kept, but what is true in all cannot be read just now."""
        words = texts_for(locales)
        main = f"<h1>{escape(words.done_title)}</h1>\n<p>{escape(words.noted_lead)}</p>"
        return self._page(words, title=words.done_title, main=main)

    def goodbye(self, locale: str) -> web.Response:
        """The person has stopped everything; one button leads back."""
        words = texts_for([locale])
        main = (
            f"<h1>{escape(words.goodbye_title)}</h1>\n<p>{self._fill(words.goodbye_lead)}</p>\n"
            f"<p class=quiet>{escape(words.goodbye_still)}</p>\n"
            f'<form method="post">{_OURS}<p class=quiet>{escape(words.return_hint)}</p>'
            f'<button name="allow" value="all">{escape(words.return_button)}</button></form>'
        )
        return self._page(words, title=words.goodbye_title, main=main)

    def missing(self, locales: list[str]) -> web.Response:
        """404: not a link of ours."""
        words = texts_for(locales)
        return self._sorry(words, words.missing_title, words.missing_lead, status=404)

    def unavailable(self, locales: list[str], *, retry_after_s: int) -> web.Response:
        """503: nothing has changed."""
        words = texts_for(locales)
        answer = self._sorry(words, words.unavailable_title, words.unavailable_lead, status=503)
        answer.headers["Retry-After"] = str(retry_after_s)
        return answer

    def refused(self, locales: list[str], *, status: int) -> web.Response:
        """Any other fault, in words for a person."""
        words = texts_for(locales)
        return self._sorry(words, words.refused_title, words.refused_lead, status=status)

    def team(self, title: str, main: str, *, status: int = 200, wide: bool = True) -> web.Response:
        """A page for the team, in English; `main` is markup."""
        frame = Frame("en", "ltr", title, "winback-gateway", wide=wide)
        return self._document(frame, main=main, status=status)

    def _sorry(self, words: Texts, title: str, lead: str, *, status: int) -> web.Response:
        main = f"<h1>{escape(title)}</h1>\n<p>{escape(lead)}</p>"
        # Nothing is known of whoever gets here, not even that we ever wrote to them: no footer.
        frame = Frame(words.language, words.direction, title, footer="")
        return self._document(frame, main=main, status=status)

    def _page(self, words: Texts, *, title: str, main: str) -> web.Response:
        named = title.replace("{brand}", self.brand)
        frame = Frame(words.language, words.direction, named, self._fill(words.footer))
        return self._document(frame, main=main, status=200)

    def _document(self, frame: Frame, *, main: str, status: int) -> web.Response:
        text = _DOCUMENT.format(
            language=frame.language,
            direction=frame.direction,
            title=escape(frame.title),
            style=self.style,
            wide=" wide" if frame.wide else "",
            site=escape(self.site),
            brand=self._fill("{brand}"),
            main=main,
            footer=f"<footer>{frame.footer}</footer>" if frame.footer else "",
        )
        return web.Response(
            text=text,
            status=status,
            content_type="text/html",
            charset="utf-8",
            headers={"Content-Security-Policy": self.policy},
        )

    def _fill(self, text: str) -> str:
        # `bdi` keeps a name written from right to left from turning the sentence around.
        return escape(text).replace("{brand}", f"<bdi>{escape(self.brand)}</bdi>")


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds the body of a page; `footer` is markup, `title` is text."""

    language: str
    direction: str
    title: str
    footer: str
    wide: bool = False


def load_pages(options: WebOptions) -> Pages:
    """Read the packaged style sheet and bind the brand."""
    style = files("gateway.web").joinpath("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return Pages(options.brand_name, options.brand_site, style, policy)


# What tells a form of ours from a mail client's one-click.
_OURS = '<input type="hidden" name="page" value="preferences">'


def _on(standing: Standing) -> tuple[str, ...]:
    states = {"email": standing.email, "sms": standing.sms, "push": standing.push}
    return tuple(channel for channel in CHANNELS if states[channel])


def _stop_form(words: Texts, standing: Standing) -> str:
    """The one button most people came for: the channel on which they got the link."""
    on = _on(standing)
    channel = standing.channel if standing.channel in on else on[0]
    text = words.channels[channel]
    return (
        f'<form method="post">{_OURS}<p>{escape(text.on)}</p>'
        f'<button class="first" name="stop" value="{channel}">{escape(text.stop)}</button></form>'
    )


def _choice_form(words: Texts, standing: Standing) -> str:
    on = _on(standing)
    rows = "".join(_choice(words.channels[one], one, on=one in on) for one in CHANNELS)
    if on:
        rows += "".join(_campaign(words, on=topic.is_on) for topic in standing.topics)
    return (
        f'<form method="post">{_OURS}<fieldset><legend>{escape(words.choose)}</legend>{rows}'
        f'</fieldset><button name="save" value="1">{escape(words.save)}</button></form>'
    )


def _campaign(words: Texts, *, on: bool) -> str:
    # Without this field the answer is from a page that had no such box, and says nothing of it.
    shown = f'<input type="hidden" name="seen" value="{CAMPAIGN}">'
    return _choice(words.campaign, CAMPAIGN, on=on) + shown


def _choice(text: ChannelText, name: str, *, on: bool) -> str:
    # `off` says what the page showed: a yes counts only for what the person saw as a no.
    seen = "" if on else f'<input type="hidden" name="off" value="{name}">'
    return (
        f'<label class="choice"><input type="checkbox" name="keep" value="{name}"'
        f"{' checked' if on else ''}><span>{escape(text.name)}"
        f"<small>{escape(text.on if on else text.off)}</small></span>{seen}</label>"
    )


def _stop_all_form(words: Texts) -> str:
    return (
        f'<form method="post">{_OURS}<p class=quiet>{escape(words.stop_all_hint)}</p>'
        f'<button name="stop" value="all">{escape(words.stop_all)}</button></form>'
    )


def _fact(text: ChannelText, *, on: bool) -> str:
    return f"<li>{_ON if on else _OFF}<span>{escape(text.on if on else text.off)}</span></li>"
