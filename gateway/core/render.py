"""A compiled template: is a request fit for it, and the text of one message.

Invariant: what `faults` finds nothing wrong with can be rendered; nothing of a person's data is
ever compiled, and no text leaves with a none in it, over its size, or with an unchecked link.
Knows no files (`compile.py` makes templates) and no provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from msgspec.structs import replace

from channels.contract import Content, EmailContent, PushContent, SmsContent
from gateway.core.engine import Engine, Unrenderable, Written, ghosts
from gateway.core.frames import Filled, Frame, Frames, Fresh, GapTrail, Outline, Texts, gap
from gateway.core.links import Links, PlainLinks, unsubscribe_headers
from gateway.core.locales import format_locale, matched
from gateway.core.replies import opt_out
from gateway.core.shortcuts import Shape
from gateway.core.sms import fitted, segments
from gateway.core.trail import FixedLink, Target, Trail
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
_WORD = re.compile("[A-Za-z0-9]")
_FITTED_GROWTH_MAX = 7  # a tab becomes seven blanks
_ROOTS = ("recipient", "variables", "churn", "offer", "coupon", "campaign")


@dataclass(frozen=True, slots=True)
class _Part:
    """What every part has: targets, fixed links, printed values, and what it depends on."""

    locale: str
    file: str
    targets: tuple[Target, ...]
    fixed: tuple[FixedLink, ...]
    written: tuple[Written, ...]
    shape: Shape | None
    frames: Frames = field(default_factory=Frames, init=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class EmailPart(_Part):
    """Engine names of the compiled texts of one e-mail, and its link targets."""

    subject: str
    preheader: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class SmsPart(_Part):
    """The engine name of a compiled SMS, and its link targets."""

    text: str


@dataclass(frozen=True, slots=True)
class PushPart(_Part):
    """Engine names of a compiled push; `image` is empty where there is none."""

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
    return Rendered(SmsContent(text, *segments(text)), rendered.locale, rendered.links)


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

    def forget(self) -> None:
        """Forget what was remembered of messages: it may hold words of a person."""
        for parts in self.parts.values():
            for part in parts.values():
                part.frames.forget()

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
        pixel = links.pixel() if isinstance(part, EmailPart) else ""
        trail = Trail(links, part.targets, self.hosts, pixel=pixel)
        roots = self._roots(part, facts)
        texts = self._filled(part, roots, trail, trial=trial) or self._fresh(part, roots, trail)
        return Rendered(_content(part, texts, trial=trial), part.locale, trail.shorts())

    def _roots(self, part: Part, facts: Facts) -> dict[str, Any]:
        person = facts.recipient
        return {
            "recipient": person,
            "variables": facts.variables,
            "churn": facts.churn,
            "offer": facts.offer,
            "coupon": facts.coupon,
            "campaign": facts.campaign,
            "_locale": format_locale(part.locale, person.get("locale")),
        }

    def _names(self, part: Part, roots: Mapping[str, Any]) -> dict[str, Any]:
        given = roots["variables"]
        variables = {name: given.get(name) for name in self.variables}
        names = {**roots, "variables": variables, "brand": self.brand_names, "locale": part.locale}
        return names | {value.own: value.of(names) for value in part.written}

    def _fresh(self, part: Part, roots: Mapping[str, Any], trail: Trail) -> Fresh:
        return Fresh(self.engine, self._names(part, roots) | trail.named(part.fixed), trail)

    def _filled(
        self, part: Part, roots: Mapping[str, Any], trail: Trail, *, trial: bool
    ) -> Filled | None:
        if part.shape is None or part.frames.rest():
            return None
        alike = part.shape.alike(roots)
        if alike is None:
            return None
        has_pixel = trial or trail.pixel != ""
        frame = part.frames.get((has_pixel, alike))
        try:
            if frame is None:
                frame = self._framed(part, roots, has_pixel=has_pixel)
                part.frames.keep((has_pixel, alike), frame)
            words = frame.fitting(roots)
            return None if words is None else Filled(frame, words, trail)
        except (Unrenderable, ValueError):
            return None  # the engine is to say what is wrong

    def _framed(self, part: Part, roots: Mapping[str, Any], *, has_pixel: bool) -> Frame:
        """A frame made from this message. Raises ValueError, or `Unrenderable`."""
        trail = GapTrail(part.targets, self.hosts, has_pixel=has_pixel)
        names = self._names(part, roots) | trail.named(part.fixed)
        names.update({value.own: gap(value.own) for value in part.written})
        outline = Outline(self.engine, names, trail)
        _content(part, outline, trial=False)
        return Frame(outline.found, trail, part.written)

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
            trail = Trail(_TRIAL_LINKS, part.targets, self.hosts)
            _content(part, self._fresh(part, self._roots(part, haunted), trail), trial=True)
        except Unrenderable as error:
            return error
        return None


_TRIAL_LINKS = PlainLinks()


def _content(part: Part, texts: Texts, *, trial: bool) -> Content:
    match part:
        case EmailPart():
            return _email(part, texts, trial=trial)
        case SmsPart():
            return _sms(part, texts, trial=trial)
        case PushPart():
            return _push(part, texts)
        case _:
            assert_never(part)


def _email(part: EmailPart, texts: Texts, *, trial: bool) -> EmailContent:
    subject = _one_line(texts.of(part.subject))
    if not subject:
        raise Unrenderable("the subject is empty")
    preheader = _one_line(texts.of(part.preheader))
    texts.head(subject, preheader)
    html = _bounded(texts.page(part.html), HTML_BYTES_MAX)
    # The twin says what the page says: a trial that read the one has read the other.
    text = "" if trial else _bounded(texts.twin(part.text), TEXT_BYTES_MAX)
    return EmailContent(subject, html, text, preheader, unsubscribe_headers(texts.trail.way_out))


def _sms(part: SmsPart, texts: Texts, *, trial: bool) -> SmsContent:
    text = texts.trail.shorten_rest(texts.of(part.text))
    if trial and len(text) * _FITTED_GROWTH_MAX <= SMS_CHARS_MAX and _WORD.search(text):
        return SmsContent(text, 0, "")  # it will fit, and nobody asks for its cost
    text = fitted(text)
    if len(text) > SMS_CHARS_MAX:
        raise Unrenderable(f"is longer than {SMS_CHARS_MAX} characters", too_large=True)
    if not text:
        raise Unrenderable("the text is empty")
    count, encoding = segments(text)
    return SmsContent(text, count, encoding)


def _push(part: PushPart, texts: Texts) -> PushContent:
    content = PushContent(
        title=_one_line(texts.of(part.title)),
        body=texts.of(part.body).strip(),
        url=texts.of(part.url).strip(),
        image=texts.of(part.image).strip() if part.image else "",
    )
    if not (content.title or content.body):
        raise Unrenderable("title and body are empty")
    _bounded(content.title + content.body + content.url + content.image, PUSH_BYTES_MAX)
    return content


def _one_line(text: str) -> str:
    if not text.isprintable() and _CONTROL.search(text):
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
