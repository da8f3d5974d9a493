"""Every text of a template, rendered once when it is compiled.

Invariant: a promotional e-mail that could be sent without a way out or a postal address never
leaves this file, and neither does a text that no request at all could fill.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html import unescape

from channels.contract import Content, EmailContent
from gateway.core.engine import Unrenderable
from gateway.core.links import PlainLinks
from gateway.core.meta import TemplateSource, fault, line_of
from gateway.core.render import EmailPart, Part, Template
from gateway.core.variables import Facts, bare_facts, sample_facts
from gateway.errors import RefusedError

_NO_WAY_OUT = "a promotional e-mail has an unsubscribe link: {{ unsubscribe_url }}"
_NO_ADDRESS = "a promotional e-mail has a postal address: {{ brand.postal_address }}"
_TAGS = re.compile(r"<style.*?</style>|<[^>]*>", re.DOTALL)
_SPACE = re.compile(r"\s+")
_HREF_OUT = re.compile(
    r'href="(?:\{% autoescape false %\})?'
    r"\{\{-?\s*(?:_out|(?:unsubscribe|preferences)_url)\s*-?\}\}"
)
_LINKS = PlainLinks()


def tried(template: Template, source: TemplateSource, made: Mapping[str, str]) -> Template:
    """The template, with `has_unsubscribe` found out. `made` holds its compiled texts by name.

    Raises `TemplateError` for what cannot be rendered with examples, and for a promotional e-mail
    without a way out or a postal address.
    """
    complete = template.has("email")
    places = [(channel, part) for channel, ps in template.parts.items() for part in ps.values()]
    for channel, part in places:
        facts = _trial_facts(template, part)
        contents = [_content(template, source, channel=channel, facts=one) for one in facts]
        if not isinstance(part, EmailPart):
            continue
        lacking = _lacking(template, contents, made[part.html])
        if lacking and template.purpose == "promotional":
            raise fault(source, part.file, lacking)
        complete = complete and not lacking
    return replace(template, has_unsubscribe=complete)


def _trial_facts(template: Template, part: Part) -> tuple[Facts, Facts]:
    bare = bare_facts(template.variables, template.brand, locale=part.locale)
    return sample_facts(template.variables, template.brand, locale=part.locale), bare


def _content(
    template: Template, source: TemplateSource, *, channel: str, facts: Facts
) -> Content | None:
    """The text for these facts; None where only a real request can tell."""
    try:
        return template.render(channel, facts, _LINKS).content
    except RefusedError as error:
        part = template.parts[channel][template.locale_for(channel, facts.recipient["locale"])]
        if facts.offer is None or _depends_on_request(template, error, source.files[part.file]):
            return None
        word = error.path.rpartition(".")[2]
        line = line_of(source, part.file, word)
        what = error.what.removeprefix(f"{source.id}/{part.file}: ")
        raise fault(source, part.file, f"{what} ({error.path})", line=line) from error


def _depends_on_request(template: Template, error: RefusedError, text: str) -> bool:
    """Whether it is about something in the text that has no example."""
    cause = error.__cause__
    if error.reason == "too_large" or (isinstance(cause, Unrenderable) and cause.is_by_author):
        return False
    unknown = [f"variables.{n}" for n, spec in template.variables.items() if spec.example is None]
    named = [name for name in ("recipient.attributes", *unknown) if name in text]
    if error.path == "$.data.variables":
        return bool(named)
    return any(error.path.startswith(f"$.data.{name}") for name in named)


def _lacking(template: Template, contents: list[Content | None], html: str) -> str:
    """What the e-mail lacks that a promotional one must have; empty where nothing."""
    mails = [content for content in contents if isinstance(content, EmailContent)]
    if not mails:
        out = _HREF_OUT.search(html) is not None
        address = "brand.postal_address" in html or _says(html, template.brand.postal_address)
    else:
        out = all(f'href="{_LINKS.preferences()}"' in mail.html for mail in mails)
        address = all(_says(mail.html, template.brand.postal_address) for mail in mails)
    return ("" if address else _NO_ADDRESS) if out else _NO_WAY_OUT


def _says(html: str, words: str) -> bool:
    """Whether the words stand in the page, however its lines break."""
    wanted = _SPACE.sub("", words)
    return bool(wanted) and wanted in _SPACE.sub("", unescape(_TAGS.sub("", html)))
