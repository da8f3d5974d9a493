"""The links of one text, found and numbered when it is compiled.

Invariant: no link target reaches a compiled text but as a call that checks and tracks it, or as a
fixed address that was checked here. One number per distinct target; the plain twin of a mail
shares the numbers of its HTML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from gateway.core.atoms import Atom, Atoms, engine_code, guarded
from gateway.core.mail import escaped
from gateway.core.shortcuts import Shortcuts
from gateway.core.trail import FixedLink, Target, checked, checked_image
from gateway.core.variables import VariableSpec

_TRACKED = re.compile(r"https?://", re.IGNORECASE)
_BY_HAND = re.compile(r"(mailto|tel|sms):", re.IGNORECASE)
_OURS = frozenset({"unsubscribe_url", "preferences_url"})
_PATHS = re.compile(r"(?:, \([\w. ]+\))+")  # names and `or`: what is the same unescaped
_TRIM = re.compile(r"^[-+]|[-+]$")


class TargetError(ValueError):
    """A link that cannot be; `target` is as it was written."""

    def __init__(self, what: str, target: str) -> None:
        super().__init__(what)
        self.target = target


def prints_link(variables: Mapping[str, VariableSpec]) -> Callable[[Atom], bool]:
    """Which expressions print an address: the brand's site, or a variable of type url, alone."""
    links = {f"variables.{name}" for name, spec in variables.items() if spec.type == "url"}
    return lambda atom: atom.code in links or atom.code == "brand.site_url"


def _call(function: str, number: int, values: str) -> str:
    """What stands in a text for a link; a fixed one is a name, which the part knows."""
    if not values and function == "_link":
        return f"{{{{ _link{number} }}}}"
    if not values and function == "_href":
        return unescaped(f"_href{number}")
    if function == "_href" and _PATHS.fullmatch(values):
        return unescaped(f"_quoted({number}{values})")
    return f"{{{{ {function}({number}{values}) }}}}"


def unescaped(code: str) -> str:
    """An expression whose value is escaped already: the engine would do it again, and slowly."""
    return f"{{% autoescape false %}}{{{{ {code} }}}}{{% endautoescape %}}"


class Targets:
    """Collects the link targets of one part, and writes the calls that stand for them."""

    def __init__(
        self, atoms: Atoms, shortcuts: Shortcuts, *, hosts: frozenset[str], site_url: str
    ) -> None:
        self._atoms = atoms
        self._shortcuts = shortcuts
        self._hosts = hosts
        self._site_url = site_url
        self._numbers: dict[str, int] = {}
        self._targets: list[Target] = []

    @property
    def found(self) -> tuple[Target, ...]:
        """All targets, by number."""
        return tuple(self._targets)

    @property
    def fixed(self) -> tuple[FixedLink, ...]:
        """Those of a known address, with the names that stand for them."""
        return tuple(
            FixedLink(number, target.pieces[0], f"_link{number}", f"_href{number}")
            for number, target in enumerate(self._targets)
            if len(target.pieces) == 1
        )

    def in_html(self, target: str) -> str:
        """What stands in an `href` for `target`."""
        return self._word(target, "_href")

    def in_text(self, target: str) -> str:
        """What stands in a plain text for `target`."""
        return self._word(target, "_link")

    def image(self, target: str) -> str:
        """What stands in a `src` for `target`."""
        return self._picture(target, "_image")

    def picture(self, target: str) -> str:
        """What stands in a plain text for an image's address."""
        return self._picture(target, "_picture")

    def in_sms(self, hidden: str, is_link: Callable[[Atom], bool]) -> str:
        """An SMS text with its links as calls; `is_link` tells which expressions are links too."""
        out, end = [], 0
        for start, target in self._atoms.addresses(hidden, is_link):
            out += [hidden[end:start], self._word(target, "_short")]
            end = start + len(target)
        return "".join(out) + hidden[end:]

    def _fixed(self, match: re.Match[str]) -> str:
        """The brand's site is known now: a link to it is a fixed address."""
        is_site = self._atoms[int(match.group(1))].code == "brand.site_url"
        return self._site_url if is_site else match.group()

    def _word(self, target: str, function: str) -> str:
        target = self._atoms.found.sub(self._fixed, target)
        atoms = self._atoms.within(target)
        alone = self._atoms.found.fullmatch(target) is not None
        if alone and atoms[0].code in _OURS:
            return target
        if _BY_HAND.match(target):
            return escaped(target) if function == "_href" else target
        if not _TRACKED.match(target) and not self._atoms.found.match(target):
            raise TargetError("a link starts with https://", self._atoms.show(target))
        number = self._number(target, atoms)
        if any(atom.is_statement for atom in atoms):
            return self._captured(target, f"{function}({number}, _target)")
        values = "".join(f", ({self._value(atom)})" for atom in atoms)
        return self._made(_call(function, number, values))

    def _value(self, atom: Atom) -> str:
        own = self._shortcuts.own(atom, self._atoms)
        return own or guarded(_TRIM.sub("", atom.source[2:-2])).strip()

    def _number(self, target: str, atoms: list[Atom]) -> int:
        key = self._atoms.show(target)
        if key not in self._numbers:
            self._numbers[key] = len(self._targets)
            self._targets.append(self._target(target, atoms))
        return self._numbers[key]

    def _target(self, target: str, atoms: list[Atom]) -> Target:
        if any(atom.is_statement for atom in atoms):
            return Target(("", ""))
        pieces = self._atoms.found.split(target)[::2]  # the odd ones are the atoms' numbers
        return Target(tuple(pieces) if atoms else (checked(target, self._hosts),))

    def _picture(self, target: str, function: str) -> str:
        if self._atoms.within(target):
            return self._captured(target, f"{function}(_target)")
        address = checked_image(target)
        return escaped(address) if function == "_image" else address

    def _captured(self, target: str, call: str) -> str:
        inside = self._atoms.show(target, engine_code)
        return self._made(
            "{% set _target %}{% autoescape false %}" + inside + "{% endautoescape %}{% endset %}"
            "{{ " + call + " }}"
        )

    def _made(self, source: str) -> str:
        return self._atoms.add(Atom(source, is_made=True))
