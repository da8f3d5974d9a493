"""A compiled template: is a request fit for it, and the text of one message.

Invariant: what `faults` finds nothing wrong with can be rendered; nothing of a person's data is
ever compiled, and no text leaves with a none in it, over its size, or with an unchecked link.
Knows no files (`compile.py` makes templates) and no provider.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from channels.contract import Content, EmailContent, PushContent, SmsContent
from gateway.core.engine import Engine, Unrenderable, ghosts, in_html
from gateway.core.links import Links, PlainLinks, unsubscribe_headers
from gateway.core.locales import direction, format_locale, matched
from gateway.core.markdown import tidy
from gateway.core.replies import opt_out
from gateway.core.sms import fitted, segments
from gateway.core.trail import Target, Trail
from gateway.core.variables import (
    STAND_IN_COUPON,
    Brand,
    Facts,
    Fault,
    VariableSpec,
    variable_faults,
)
from gateway.errors import RefusedError

__all__ = ["EmailContent", "PushContent", "Rendered", "SmsContent", "Template"]

HTML_BYTES_MAX = 256 * 1024
TEXT_BYTES_MAX = 100 * 1024
SMS_CHARS_MAX = 1600
PUSH_BYTES_MAX = 4096
LINE_CHARS_MAX = 998
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ROOTS = ("recipient", "variables", "churn", "offer", "coupon", "campaign")


@dataclass(frozen=True, slots=True)
class EmailPart:
    """Engine names of the compiled texts of one e-mail, and its link targets."""

    locale: str
    file: str
    targets: tuple[Target, ...]
    subject: str
    preheader: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class SmsPart:
    """The engine name of a compiled SMS, and its link targets."""

    locale: str
    file: str
    targets: tuple[Target, ...]
    text: str


@dataclass(frozen=True, slots=True)
class PushPart:
    """Engine names of a compiled push; `image` is empty where there is none."""

    locale: str
    file: str
    targets: tuple[Target, ...]
    title: str
    body: str
    url: str
    image: str


Part = EmailPart | SmsPart | PushPart


@dataclass(frozen=True, slots=True)
class Rendered:
    """One message's text. `links` are its short links: code, index, destination."""

    content: Content
    locale: str
    links: tuple[tuple[str, int, str], ...] = ()


def with_opt_out(rendered: Rendered) -> Rendered:
    """The same SMS, saying how to stop; its segments counted anew."""
    content = rendered.content
    if not isinstance(content, SmsContent) or "STOP" in content.text:
        return rendered
    text = fitted(f"{content.text.rstrip()} {opt_out(rendered.locale)}")
    return replace(rendered, content=SmsContent(text, *segments(text)))


@dataclass(frozen=True, slots=True)
class Template:
    """One template, compiled. `version` is a short hash of all its sources.

    `uses_offer` says whether its texts speak of an offer. `has_unsubscribe` says whether its
    e-mails carry what promotional ones must: a way out and a postal address; it is always so
    where `purpose` is `promotional`.
    """

    id: str
    version: str
    title: str
    purpose: str
    channels: tuple[str, ...]
    default_locale: str
    variables: Mapping[str, VariableSpec]
    link_hosts: tuple[str, ...]
    has_unsubscribe: bool
    uses_offer: bool
    brand: Brand
    hosts: frozenset[str] = field(repr=False)
    brand_names: Mapping[str, str] = field(repr=False)
    parts: Mapping[str, Mapping[str, Part]] = field(repr=False)
    engine: Engine = field(repr=False)

    def has(self, channel: str) -> bool:
        """Whether a message of this channel can be made."""
        return channel in self.parts

    def locales(self, channel: str) -> tuple[str, ...]:
        """The locales that this channel's text exists in; empty without the channel."""
        return tuple(self.parts.get(channel, ()))

    def locale_for(self, channel: str, locale: str | None) -> str:
        """The locale of the text that a person of `locale` gets."""
        return matched(locale, self.parts.get(channel, {}), self.default_locale)

    def faults(self, facts: Facts, channels: Sequence[str]) -> list[Fault]:
        """What stands in the way of rendering these facts on these channels; empty if nothing.

        An offer from a pool has no code yet when its request is taken in: one is made up here.
        """
        found = variable_faults(self.variables, facts.variables, hosts=self.hosts)
        if found:
            return found
        if facts.coupon is None and facts.offer and facts.offer.get("pool"):
            facts = replace(facts, coupon=STAND_IN_COUPON)
        for channel in channels:
            fault = self._trial_fault(channel, facts) if self.has(channel) else None
            if fault and fault not in found:
                found.append(fault)
        return found

    def render(self, channel: str, facts: Facts, links: Links) -> Rendered:
        """The message for these facts. Raises `RefusedError` where `faults` had found something."""
        part = self._part(channel, facts)
        try:
            return self._written(part, facts, links)
        except Unrenderable as error:
            fault = self._fault_of(error, part, facts)
            raise RefusedError(fault.reason, fault.path, fault.what) from error

    def _part(self, channel: str, facts: Facts) -> Part:
        return self.parts[channel][self.locale_for(channel, facts.recipient.get("locale"))]

    def _trial_fault(self, channel: str, facts: Facts) -> Fault | None:
        part = self._part(channel, facts)
        try:
            self._written(part, facts, _TRIAL_LINKS, trial=True)
        except Unrenderable as error:
            return self._fault_of(error, part, facts)
        return None

    def _written(self, part: Part, facts: Facts, links: Links, *, trial: bool = False) -> Rendered:
        trail = Trail(links, part.targets, self.hosts)
        write = self._writer(part, facts, trail)
        match part:
            case EmailPart():
                content: Content = _email(part, write, trail=trail, links=links, trial=trial)
            case SmsPart():
                content = _sms(part, write, trail)
            case PushPart():
                content = _push(part, write)
            case _:
                assert_never(part)
        return Rendered(content, part.locale, trail.shorts())

    def _writer(self, part: Part, facts: Facts, trail: Trail) -> _Write:
        context = self._context(part, facts)
        context.update(_link=trail.link, _href=trail.href, _short=trail.short)
        context.update(_image=trail.image, _picture=trail.picture)
        context["unsubscribe_url"] = context["preferences_url"] = trail.way_out
        engine = self.engine

        def write(name: str, **more: Any) -> str:
            return engine.render(name, {**context, **more})

        return write

    def _context(self, part: Part, facts: Facts) -> dict[str, Any]:
        given = facts.variables
        return {
            "recipient": facts.recipient,
            "variables": {name: given.get(name) for name in self.variables},
            "churn": facts.churn,
            "offer": facts.offer,
            "coupon": facts.coupon,
            "campaign": facts.campaign,
            "brand": self.brand_names,
            "locale": part.locale,
            "direction": direction(part.locale),
            "_locale": format_locale(part.locale, facts.recipient.get("locale")),
            "_pixel": "",
        }

    # --- the slow path: which name was it? ---------------------------------------------------

    def _fault_of(self, error: Unrenderable, part: Part, facts: Facts) -> Fault:
        where = f"{self.id}/{part.file}: {error.what}"
        if error.too_large:
            return Fault("too_large", "$.data.variables", where)
        if error.link:
            return Fault("invalid_field", _path_of_value(facts, error.link), where)
        seen = self._haunted(part, facts) or error
        if seen.is_absent:
            path = _path_of_name(seen.missing, facts)
            return Fault("missing_variable", path, f"{self.id}/{part.file}: {seen.what}")
        return Fault("invalid_field", _path_of_control(facts), where)

    def _haunted(self, part: Part, facts: Facts) -> Unrenderable | None:
        """The same once more, with nones that know their names."""
        named = {name: facts.variables.get(name) for name in self.variables}
        values = {root: getattr(facts, root) for root in _ROOTS} | {"variables": named}
        haunted = Facts(**{root: ghosts(root, value) for root, value in values.items()})
        try:
            self._written(part, haunted, _TRIAL_LINKS, trial=True)
        except Unrenderable as error:
            return error
        return None


_Write = Callable[..., str]
_TRIAL_LINKS = PlainLinks()


def _email(
    part: EmailPart, write: _Write, *, trail: Trail, links: Links, trial: bool
) -> EmailContent:
    subject = _one_line(write(part.subject))
    if not subject:
        raise Unrenderable("the subject is empty")
    head = {"subject": subject, "preheader": _one_line(write(part.preheader))}
    safe = in_html(trail.way_out)
    pixel = in_html(links.pixel())
    escaped = {"unsubscribe_url": safe, "preferences_url": safe, "_pixel": pixel}
    html = _bounded(write(part.html, **head, **escaped), HTML_BYTES_MAX)
    # The twin says what the page says: a trial that read the one has read the other.
    text = "" if trial else tidy(_bounded(write(part.text, **head), TEXT_BYTES_MAX))
    return EmailContent(subject, html, text, head["preheader"], unsubscribe_headers(trail.way_out))


def _sms(part: SmsPart, write: _Write, trail: Trail) -> SmsContent:
    text = fitted(trail.shorten_rest(write(part.text)))
    if len(text) > SMS_CHARS_MAX:
        raise Unrenderable(f"is longer than {SMS_CHARS_MAX} characters", too_large=True)
    if not text:
        raise Unrenderable("the text is empty")
    count, encoding = segments(text)
    return SmsContent(text, count, encoding)


def _push(part: PushPart, write: _Write) -> PushContent:
    content = PushContent(
        title=_one_line(write(part.title)),
        body=write(part.body).strip(),
        url=write(part.url).strip(),
        image=write(part.image).strip() if part.image else "",
    )
    if not (content.title or content.body):
        raise Unrenderable("title and body are empty")
    _bounded(content.title + content.body + content.url + content.image, PUSH_BYTES_MAX)
    return content


def _one_line(text: str) -> str:
    if _CONTROL.search(text):
        raise Unrenderable("a line of a header would hold a control character")
    if len(text) > LINE_CHARS_MAX:
        raise Unrenderable(f"a line is longer than {LINE_CHARS_MAX} characters", too_large=True)
    return " ".join(text.split())


def _bounded(text: str, bytes_max: int) -> str:
    if len(text) * 4 > bytes_max and len(text.encode()) > bytes_max:
        raise Unrenderable(f"is larger than {bytes_max} bytes", too_large=True)
    return text


# --- names and values as JSON paths -----------------------------------------------------------


def _path_of_name(name: str, facts: Facts) -> str:
    root = name.partition(".")[0]
    if root == "coupon":
        return "$.data.offer.pool" if facts.offer else "$.data.offer"
    return f"$.data.{name}" if root in _ROOTS else "$.data.variables"


def _path_of_value(facts: Facts, text: str) -> str:
    """The path of the value that holds `text`, else of the longest one inside it."""
    leaves = list(_leaves(facts))
    inside = [(path, leaf) for path, leaf in leaves if leaf and leaf in text]
    exact = [path for path, leaf in leaves if text in leaf]
    longest = sorted(inside, key=lambda found: len(found[1]), reverse=True)
    return next(iter([*exact, *(path for path, _ in longest)]), "$.data.variables")


def _path_of_control(facts: Facts) -> str:
    odd = (path for path, leaf in _leaves(facts) if _CONTROL.search(leaf))
    return next(odd, "$.data.variables")


def _leaves(facts: Facts) -> Iterator[tuple[str, str]]:
    for name in _ROOTS:
        yield from _strings(f"$.data.{name}", getattr(facts, name))


def _strings(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(f"{path}.{key}", inner)
    elif isinstance(value, list | tuple):
        for at, inner in enumerate(value):
            yield from _strings(f"{path}[{at}]", inner)
