"""What is decided about the expressions of a part when it is compiled, to leave the engine less.

Invariant: a shortcut never changes what a text says. Where it cannot be sure, the expression stays
as its author wrote it, and what the text says counts as depending on every name in it.
Knows names and atoms, no values, nothing of the engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from msgspec import json

from gateway.core.atoms import Atom, Atoms, engine_code

GAP = "\ue000"  # begins a gap of a frame: nothing that a text says of a message may hold it
_SPELLED_MAX = 2048
ROOTS = ("recipient", "variables", "churn", "offer", "coupon", "campaign")
_OF_MESSAGE = frozenset({"subject", "preheader", "unsubscribe_url", "preferences_url"})
_TEXTS = _OF_MESSAGE | {"campaign"}
# What depends on these is hardly ever the same twice, and a person's data is not kept.
_OF_ONE_PERSON = frozenset(
    {"recipient.id", "recipient.name", "recipient.attributes", "coupon.code"}
)
_SIMPLE = re.compile(r"\{\{ *([A-Za-z_][\w.]*) *(?:\| *(date|money|percent) *)?\}\}")
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_STRING = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", re.DOTALL)
_LIST = re.compile(r"\[[\s\",\d.]*\]")  # of literals, once strings are empty
_CONDITION = re.compile(r"(?:if|elif)\b([^()\[\]{}|]*)", re.DOTALL)
_BETWEEN = re.compile(r"\b(?:and|or|not)\b")
_KEEPS = re.compile(r"(?:set|macro|call|filter)\b")
_BINDS = re.compile(r"(?:set|for|with|macro|call)\b")
_TARGETS = re.compile(r"(?:for (.*?) in|set (.*?)=)\s", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a part's texts make of a message besides printing values, as pairs of root and key.

    Of `truths` they ask whether there is something, of `values` what it is. Messages that are
    `alike` in both say the same but for the values that they print.
    """

    truths: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, str], ...]

    def alike(self, roots: Mapping[str, Any]) -> Hashable | None:
        """Equal for messages that are alike; None where that cannot be told."""
        told: list[Hashable] = [roots["_locale"]]
        for root, key in self.truths:
            held = roots[root]
            told.append(bool(held and held.get(key)) if key else bool(held))
        for root, key in self.values:
            held = roots[root]
            value = (held.get(key, _ABSENT) if held else _NOTHING) if key else held
            word = _spelled(value)
            if word is None or GAP in word:
                return None
            told.append((type(value), word))
        return tuple(told)


class _Nothing:
    """There is nothing that could have a value."""


class _Absent:
    """There is something, and it has no such value."""


_NOTHING, _ABSENT = _Nothing(), _Absent()
_JSON = frozenset({int, float, bool, type(None), dict, list})


def _spelled(value: Any) -> str | None:
    """A value as text; None for one that is long, or none of JSON. 1, 1.0 and True differ."""
    if type(value) is str:
        return value if len(value) <= _SPELLED_MAX else None
    if value is _NOTHING or value is _ABSENT:
        return ""
    if type(value) not in _JSON:
        return None  # what stands in for values in trials answers differently
    try:
        spelled = json.encode(value).decode()
    except (TypeError, ValueError):
        return None
    return spelled if len(spelled) <= _SPELLED_MAX else None


class Shortcuts:
    """Writes the atoms of one part for the engine.

    `fixed` are names whose text is known now: it is put in place of `{{ name }}`. `known` are
    dotted names that are always defined: `{{ name }}` and `{{ name | date }}` become a name of
    their own, written once for all texts of the part: `written` is (name, filter) -> own name.
    """

    def __init__(self, fixed: Mapping[str, str], known: Collection[str]) -> None:
        self.written: dict[tuple[str, str], str] = {}
        self._fixed = dict(fixed)
        self._known = known
        self._truths: set[str] = set()
        self._values: set[str] = set()
        self._is_kept = False

    def fix(self, name: str, text: str) -> None:
        """Put `text` in place of a name from now on."""
        self._fixed[name] = text

    def code(
        self,
        atoms: Atoms,
        escape: Callable[[str], str] = str,
        instead: Mapping[str, str] = MappingProxyType({}),
    ) -> Callable[[Atom], str]:
        """How these atoms are written; `escape` is what the engine does to values there.

        `instead` has code for names that stand alone.
        """
        rebound = _rebound(atoms)

        def write(atom: Atom) -> str:
            name, how = _simple(atom, rebound)
            text = escape(self._fixed[name]) if name in self._fixed and not how else ""
            if _is_inert(text):
                return text
            if name in self._known:
                return f"{{{{ {self._own(name, how)} }}}}"
            if name in instead and not how:
                return instead[name]
            return engine_code(atom) if name in _OF_MESSAGE and not how else self._kept(atom)

        return write

    def own(self, atom: Atom, atoms: Atoms) -> str:
        """The own name of what an atom prints; empty where it has none."""
        name, how = _simple(atom, _rebound(atoms))
        return self._own(name, how) if name in self._known else ""

    def shape(self) -> Shape | None:
        """What the texts depend on; None where that is too much, or too personal."""
        deep = {name for name in self._truths if name.count(".") > 1}
        values = {_pair(name) for name in self._values | deep}
        personal = any(".".join(pair) in _OF_ONE_PERSON for pair in values)
        roots = {*ROOTS, *_OF_MESSAGE} - {"campaign"}
        whole = any(not key and root in roots for root, key in values)
        if self._is_kept or personal or whole:
            return None
        truths = {_pair(name) for name in self._truths - deep}
        return Shape(
            tuple(sorted(pair for pair in truths if pair[0] in ROOTS)),
            tuple(sorted(pair for pair in values if pair[0] in ROOTS)),
        )

    def _own(self, name: str, how: str) -> str:
        return self.written.setdefault((name, how), f"_w{len(self.written)}")

    def _kept(self, atom: Atom) -> str:
        """An atom as it is, with what it depends on noted."""
        if not atom.is_made and (atom.is_raw or atom.is_comment):
            return engine_code(atom)
        self._is_kept = self._is_kept or _KEEPS.match(atom.code) is not None
        literal = _LIST.sub('""', _STRING.sub('""', atom.code))
        condition = _CONDITION.fullmatch(literal)
        if condition is None or not atom.is_statement:
            self._values.update(_NAME.findall(atom.source))
            return engine_code(atom)
        for operand in _BETWEEN.split(condition.group(1)):
            if _NAME.fullmatch(operand.strip()):
                self._truths.add(operand.strip())
            else:
                self._values.update(_NAME.findall(operand))
        return engine_code(atom)


def _simple(atom: Atom, rebound: Collection[str]) -> tuple[str, str]:
    """The name that an atom prints and its filter; empty where it does more than that."""
    match = _SIMPLE.fullmatch(atom.source)
    if match is None or match.group(1).partition(".")[0] in rebound:
        return "", ""
    return match.group(1), match.group(2) or ""


def _pair(name: str) -> tuple[str, str]:
    root, _, rest = name.partition(".")
    return root, "" if root in _TEXTS else rest.partition(".")[0]


def _is_inert(text: str) -> bool:
    """Whether a text may stand among literal text: nothing to the engine, nothing to trim."""
    return text != "" and text == text.strip() and "{" not in text and text[0] not in "%#"


def _rebound(atoms: Atoms) -> frozenset[str]:
    """The words that statements may give another meaning."""
    words: set[str] = set()
    for atom in atoms.all():
        if atom.is_statement and _BINDS.match(atom.code):
            named = _TARGETS.match(atom.code)
            told = (named.group(1) or named.group(2)) if named else atom.code
            words.update(re.findall(r"\w+", told))
    return frozenset(words)
