"""The texts of one message, from the engine or from a frame of an earlier message.

Invariant: a frame says exactly what the engine would say. It is what the engine said of a message
that is alike, with gaps for what differs: printed values, links, the pixel. Whatever is not sure to
fit a gap (a none, an empty value, a list) goes to the engine, which knows what to say of it.
Frames are few, and hold nothing that a text depends on of one person alone (`shortcuts.py`).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

from gateway.core.engine import Engine, Written, marked, printable
from gateway.core.links import PlainLinks
from gateway.core.locales import direction
from gateway.core.markdown import tidy
from gateway.core.shortcuts import GAP
from gateway.core.trail import Target, Trail

FRAMES_MAX = 64
REST_MESSAGES = 10_000
_CLOSE = "\ue001"
_GAP = re.compile(f"{GAP}(.*?){_CLOSE}")
_SPECIAL = re.compile("[<>&\"'/]")
# As the engine escapes: `/` too.
_ESCAPED = str.maketrans(
    {"<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;", "'": "&#x27;", "/": "&#x2f;"}
)
_WHOLE_MAX = 2**53
_HEADS = ("subject", "preheader", "out", "pixel")
_WAYS_OUT = ("unsubscribe_url", "preferences_url")


class Texts(Protocol):
    """The texts of one message, by the engine names of its part."""

    @property
    def trail(self) -> Trail: ...

    def of(self, name: str) -> str:
        """A plain text."""
        ...

    def head(self, subject: str, preheader: str) -> None:
        """Say what the two are, before page and twin are asked for."""
        ...

    def page(self, name: str) -> str:
        """The HTML of a mail."""
        ...

    def twin(self, name: str) -> str:
        """What a mail says in plain text, tidy."""
        ...


class Fresh:
    """Texts from the engine. `names` is what they are filled with."""

    def __init__(self, engine: Engine, names: dict[str, Any], trail: Trail) -> None:
        self.trail = trail
        self._engine = engine
        self._names = names
        names.update(_link=trail.link, _short=trail.short, _picture=trail.picture)
        names.update(dict.fromkeys(_WAYS_OUT, trail.way_out))

    def of(self, name: str) -> str:
        return self._engine.render(name, self._names)

    def head(self, subject: str, preheader: str) -> None:
        names, trail = self._names, self.trail
        names.update(subject=subject, preheader=preheader, direction=direction(names["locale"]))
        names.update(_href=trail.href, _quoted=trail.quoted, _image=trail.image)
        names.update(_out=escape(trail.way_out), _pixel=escape(trail.pixel))

    def page(self, name: str) -> str:
        safe = dict.fromkeys(_WAYS_OUT, marked(self._names["_out"]))
        return self._engine.render(name, {**self._names, **safe})

    def twin(self, name: str) -> str:
        return tidy(self._engine.render(name, self._names))


def gap(name: str) -> str:
    """What stands in a frame where `name` will."""
    return f"{GAP}{name}{_CLOSE}"


@dataclass(frozen=True, slots=True)
class Lead:
    """Where the link of a gap leads: to `url`, or to what `words` make of its target.

    A word is the name of another gap, or a text.
    """

    name: str
    index: int
    words: tuple[tuple[str, str], ...]
    url: str

    def spoken(self, words: Mapping[str, str]) -> list[str]:
        """The words, with the gaps filled."""
        return [words[own] if own else text for own, text in self.words]


class GapTrail(Trail):
    """Gives out gaps for links, and remembers where they will lead."""

    __slots__ = ("clicked", "shortened")

    def __init__(
        self, targets: Sequence[Target], hosts: frozenset[str], *, has_pixel: bool
    ) -> None:
        super().__init__(_NO_LINKS, targets, hosts, pixel=gap("pixel") if has_pixel else "")
        self.clicked: list[Lead] = []
        self.shortened: list[Lead] = []

    @property
    def way_out(self) -> str:
        return gap("out")

    def link(self, index: int, *values: Any) -> str:
        return self._led(self.clicked, "link", index, values)

    def short(self, index: int, *values: Any) -> str:
        return self._led(self.shortened, "short", index, values)

    def shorten_rest(self, text: str) -> str:
        return text  # what stands in it as it came is for each message to find

    def _led(self, given: list[Lead], kind: str, index: int, values: Sequence[Any]) -> str:
        texts = [str(printable(value)) for value in values]
        gaps = [_GAP.fullmatch(text) for text in texts]
        words = [(m.group(1), "") if m else ("", t) for m, t in zip(gaps, texts, strict=True)]
        url = "" if any(gaps) else self.address(index, texts)
        same = [one for one in given if (one.index, one.words) == (index, tuple(words))]
        lead = same[0] if same else Lead(f"{kind} {len(given)}", index, tuple(words), url)
        given += [] if same else [lead]
        return gap(lead.name)


_NO_LINKS = PlainLinks()


class Outline(Fresh):
    """Texts with gaps: `found` are those that were asked for, by name."""

    def __init__(self, engine: Engine, names: dict[str, Any], trail: Trail) -> None:
        super().__init__(engine, names, trail)
        self.found: dict[str, str] = {}

    def of(self, name: str) -> str:
        return self._remembered(name, super().of(name))

    def head(self, subject: str, preheader: str) -> None:
        super().head(subject and gap("subject"), preheader and gap("preheader"))

    def page(self, name: str) -> str:
        return self._remembered(name, super().page(name))

    def twin(self, name: str) -> str:
        return self._remembered(_tidy_name(name), super().twin(name))

    def _remembered(self, name: str, text: str) -> str:
        self.found[name] = text
        return text


def _tidy_name(name: str) -> str:
    """A twin is kept tidy: another text than the one that the engine gave for its name."""
    return f"{name} tidy"


class Frame:
    """What the engine said of a message, with gaps for `values`, `links` and `shorts`.

    Raises ValueError where a text holds what looks like a gap and is none.
    """

    __slots__ = ("_texts", "links", "shorts", "shows_out", "values")

    def __init__(self, found: Mapping[str, str], trail: GapTrail, part: Sequence[Written]) -> None:
        split = {name: _GAP.split(text) for name, text in found.items()}
        self._texts = {name: (pieces, tuple(pieces[1::2])) for name, pieces in split.items()}
        used = {one for _, gaps in self._texts.values() for one in gaps}
        self.links = tuple(lead for lead in trail.clicked if lead.name in used)
        self.shorts = tuple(trail.shortened)  # their order is their number
        leads = [*self.links, *self.shorts]
        known = {*_HEADS, *(lead.name for lead in leads), *(value.own for value in part)}
        if not used <= known or any(GAP in "".join(pieces) for pieces in split.values()):
            raise ValueError("holds a character that frames are made with")
        self.shows_out = "out" in used
        used |= {own for lead in leads for own, _ in lead.words}
        self.values = tuple(value for value in part if value.own in used)

    def filled(self, name: str, words: Mapping[str, str]) -> str:
        """The text of this name, whole."""
        pieces, gaps = self._texts[name]
        if not gaps:
            return pieces[0]
        whole = pieces.copy()
        whole[1::2] = [words[one] for one in gaps]
        return "".join(whole)

    def fitting(self, roots: Mapping[str, Any]) -> dict[str, str] | None:
        """The printed values of a message, by gap; None where only the engine can tell."""
        words: dict[str, str] = {}
        for value in self.values:
            word = value.of(roots)
            if type(word) is int and abs(word) < _WHOLE_MAX:
                word = str(word)
            if type(word) is not str or not word.strip():
                return None
            words[value.own] = word
        return words


class Filled:
    """Texts from a frame. `words` are the printed values of the message."""

    def __init__(self, frame: Frame, words: dict[str, str], trail: Trail) -> None:
        self.trail = trail
        self._frame = frame
        self._words = words
        self._links = {
            lead.name: trail.click(lead.url, lead.index)
            if lead.url
            else trail.link(lead.index, *lead.spoken(words))
            for lead in frame.links
        }
        for lead in frame.shorts:
            self._links[lead.name] = trail.short(lead.index, *lead.spoken(words))
        self._plain = {**words, **self._links}
        if frame.shows_out:
            self._plain["out"] = trail.way_out

    def of(self, name: str) -> str:
        return self._frame.filled(name, self._plain)

    def head(self, subject: str, preheader: str) -> None:
        heads = {"subject": subject, "preheader": preheader}
        self._plain.update(heads)
        self._words = {**self._words, **heads}

    def page(self, name: str) -> str:
        links = {"out": self.trail.way_out, "pixel": self.trail.pixel, **self._links}
        # Escaped all at once: no address has a line end.
        quoted = dict(zip(links, escape("\n".join(links.values())).split("\n"), strict=True))
        words = self._words
        if _SPECIAL.search("".join(words.values())):
            words = {one: _in_html(word) for one, word in words.items()}
        return self._frame.filled(name, {**words, **quoted})

    def twin(self, name: str) -> str:
        text = self._frame.filled(_tidy_name(name), self._plain)
        is_tidy = all("\n" not in word and word == word.strip() for word in self._words.values())
        return text if is_tidy else tidy(text)


def _in_html(word: str) -> str:
    return word.translate(_ESCAPED) if _SPECIAL.search(word) else word


class Frames:
    """The frames of one part, by what their messages have in common (`Shape.alike`).

    Where hardly any two messages are alike, it rests: making a frame costs more than it gives.
    """

    __slots__ = ("_found", "_known", "_resting")

    def __init__(self) -> None:
        self._known: dict[Hashable, Frame] = {}
        self._found = 0
        self._resting = 0

    def rest(self) -> bool:
        """Whether the next message is better not asked about."""
        if self._resting:
            self._resting -= 1
        return self._resting > 0

    def get(self, alike: Hashable) -> Frame | None:
        """The frame of an earlier message that is alike."""
        frame = self._known.get(alike)
        self._found += frame is not None
        return frame

    def forget(self) -> None:
        """Forget all frames."""
        self._known.clear()

    def keep(self, alike: Hashable, frame: Frame) -> None:
        """Keep one more; all go when there are too many."""
        if len(self._known) >= FRAMES_MAX:
            self._resting = REST_MESSAGES if self._found < FRAMES_MAX else 0
            self._known.clear()
            self._found = 0
        self._known[alike] = frame
