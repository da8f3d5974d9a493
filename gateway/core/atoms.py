"""Expressions and statements as opaque atoms, so that no other reader of a text can break them.

Invariant: what is hidden comes back exactly where it stood, and only after it was looked through:
the engine never sees a name, filter, method or statement that is not on the lists of this file.
Knows the syntax of Jinja's tokens, nothing of Markdown, HTML or the engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FILTERS = _words(
    "abs batch bool capitalize chain d date default dictsort escape e first float format groupby "
    "int items join last length count lines list lower map max min money percent pluralize reject "
    "rejectattr replace reverse round select selectattr slice sort split string sum title trim "
    "truncate unique upper urlencode zip"
)
METHODS = _words(
    "capitalize count endswith get items join keys lower lstrip replace rstrip split splitlines "
    "startswith strip title upper values"
)
STATEMENTS = _words(
    "if elif else endif for endfor set endset with endwith filter endfilter macro endmacro call "
    "endcall break continue"
)
# These say themselves what none means to them; all others are handed a value that is there.
_NONE_WELCOME = _words("default d money date percent")
_BINARY = _words("+ - * / % ** // == != < > <= >= , ) ] } : ~ =")
_WORDS_THAT_END = frozenset({"if", "else", "and", "or", "not", "in", "is"})
_OPEN = re.compile(
    r"""\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}
    |\{\#.*?\#\}
    |\{\{(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^"'])*?\}\}
    |\{%(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^"'])*?%\}""",
    re.DOTALL | re.VERBOSE,
)
_TOKEN = re.compile(
    r"""\s+|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?
    |[^\W\d]\w*|\*\*|//|==|!=|<=|>=|.""",
    re.DOTALL | re.VERBOSE,
)
_TRIM = re.compile(r"^[-+]|[-+]$")  # whitespace control, `{{- x -}}`
_ENDS = _words("endif endfor endset endwith endfilter endmacro endcall")
_MIDDLES = frozenset({"else", "elif"})
_ADDRESS = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_BEHIND = ".,;:!?)'*]"
_JOINS = frozenset({"~"})
_PIPES = frozenset({"|"})
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


class AtomError(ValueError):
    """Something in an expression or statement that templates may not have."""


@dataclass(frozen=True, slots=True)
class Atom:
    """One hidden piece. `code` is what stands between the delimiters, `line` where it starts.

    `is_made` marks what the compiler wrote itself.
    """

    source: str
    code: str = ""
    line: int = 1
    is_made: bool = False

    @property
    def is_statement(self) -> bool:
        """Whether it prints nothing by itself."""
        return self.source.startswith(("{%", "{#")) and not self.is_raw

    @property
    def is_raw(self) -> bool:
        """Whether it is a block of literal text."""
        return self.source.startswith("{%") and self.source.count("%}") > 1

    @property
    def is_comment(self) -> bool:
        """Whether it is a note from author to author."""
        return self.source.startswith("{#")


class Atoms:
    """The hidden pieces of one document; `mark` is a prefix that stands in none of its sources.

    `found` matches the word of an atom; its one group is the atom's number.
    """

    def __init__(self, *sources: str) -> None:
        together = "\n".join(sources).lower()
        number = next(n for n in range(len(together) + 2) if f"wbq{n}x" not in together)
        self.mark = f"wbq{number}x"
        self.found = re.compile(rf"\u27e6?{self.mark}(\d+)x\u27e7?")
        self._atoms: list[Atom] = []

    def hide(self, source: str) -> str:
        """`source` with a word of letters and digits in the place of every atom."""

        def take(match: re.Match[str]) -> str:
            line = source.count("\n", 0, match.start()) + 1
            return self.add(Atom(match.group(), _TRIM.sub("", match.group()[2:-2]).strip(), line))

        return _OPEN.sub(take, source)

    def add(self, atom: Atom) -> str:
        """The word for one more atom.

        An expression is a word to Markdown; a statement, which prints nothing, is punctuation.
        """
        self._atoms.append(atom)
        word = f"{self.mark}{len(self._atoms) - 1}x"
        return f"\u27e6{word}\u27e7" if atom.is_statement else word

    def __getitem__(self, number: int) -> Atom:
        return self._atoms[number]

    def within(self, text: str) -> list[Atom]:
        """The atoms whose words stand in `text`, in order."""
        return [self._atoms[int(match.group(1))] for match in self.found.finditer(text)]

    def show(self, text: str, code: Callable[[Atom], str] | None = None) -> str:
        """`text` with every word replaced by its atom, as written or as `code` has it."""
        return self.found.sub(
            lambda m: (code or _source)(self._atoms[int(m.group(1))]),
            text,
        )

    def whole(self, text: str) -> str:
        """The longest start of `text` in which every statement that opens also closes."""
        opened: list[int] = []
        for match in self.found.finditer(text):
            atom = self._atoms[int(match.group(1))]
            verb = atom.code.split(maxsplit=1)[0] if atom.code and atom.is_statement else ""
            if verb in _ENDS and opened:
                opened.pop()
            elif (verb in _ENDS or verb in _MIDDLES) and not opened:
                return text[: match.start()]
            elif atom.is_statement and verb in STATEMENTS and f"end{verb}" in _ENDS:
                opened.append(match.start())
        return text[: opened[0]] if opened else text

    def all(self) -> Iterator[Atom]:
        """Every atom so far."""
        return iter(self._atoms)

    def addresses(self, text: str, is_link: Callable[[Atom], bool]) -> list[tuple[int, str]]:
        """Where bare http(s) addresses stand in `text`, as (start, address) in order.

        An address goes on to the next blank, without the punctuation behind it; an expression that
        `is_link` knows to print one counts as well.
        """
        spans: list[tuple[int, str]] = []
        position = 0
        while match := _ADDRESS.search(text, position):
            address = self.whole(match.group()).rstrip(_BEHIND)
            position = match.start() + len(address)
            spans.append((match.start(), address))
        inside = [range(start, start + len(address)) for start, address in spans]
        for match in self.found.finditer(text):
            within = any(match.start() in span for span in inside)
            if not within and is_link(self._atoms[int(match.group(1))]):
                spans.append((match.start(), match.group()))
        return sorted(spans)

    def line_at(self, text: str, position: int) -> int:
        """The line in the source of a position in hidden text."""
        return self.show(text[:position]).count("\n") + 1


def _source(atom: Atom) -> str:
    return atom.source


def engine_code(atom: Atom) -> str:
    """An atom as the engine gets it: comments gone, none refused where it would be glued in."""
    if atom.is_comment:
        return ""
    if atom.is_raw or atom.is_made:
        return atom.source
    return atom.source[:2] + guarded(atom.source[2:-2]) + atom.source[-2:]


def check(atom: Atom, numbers: frozenset[str]) -> None:
    """Raise `AtomError` for what templates may not do. `numbers` are names that hold numbers."""
    if atom.is_comment or atom.is_raw:
        return
    tokens = [token for token in _TOKEN.findall(atom.code) if not token.isspace()]
    if atom.is_statement:
        _check_statement(tokens)
    for before, token, after in _windows(tokens):
        if token.startswith("_"):
            raise AtomError(f"{token}: names that start with _ are not for templates")
        if before == "|" and token not in FILTERS:
            raise AtomError(f"unknown filter: {token}")
        if before == "." and after == "(" and token not in METHODS:
            raise AtomError(f"unknown method: {token}")
    _check_products(tokens, numbers)


def _check_statement(tokens: Sequence[str]) -> None:
    verb = tokens[0] if tokens else ""
    if verb not in STATEMENTS:
        raise AtomError(f"unknown statement: {verb}")
    if verb == "filter" and len(tokens) > 1 and tokens[1] not in FILTERS:
        raise AtomError(f"unknown filter: {tokens[1]}")


def _windows(tokens: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    padded = ["", *tokens, ""]
    return zip(padded, tokens, padded[2:], strict=False)


def _check_products(tokens: Sequence[str], numbers: frozenset[str]) -> None:
    """Lists can be multiplied too, by any number and without fuel: only numbers may be."""
    for at, token in enumerate(tokens):
        if token in {"*", "**"}:
            left = "".join(_path_before(tokens, at))
            right = "".join(_path_after(tokens, at))
            if not (_is_number(left, numbers) and _is_number(right, numbers)):
                raise AtomError(f"{token} stands between numbers and variables of type number only")


def _is_number(operand: str, numbers: frozenset[str]) -> bool:
    return operand[:1].isdigit() or operand in numbers


def _path_before(tokens: Sequence[str], at: int) -> Sequence[str]:
    start = at
    while start > 0 and (tokens[start - 1] == "." or tokens[start - 1][0].isalnum()):
        start -= 1
    return tokens[start:at]


def _path_after(tokens: Sequence[str], at: int) -> Sequence[str]:
    end = at + 1
    while end < len(tokens) and (tokens[end] == "." or tokens[end][0].isalnum()):
        end += 1
    # What is called, indexed or filtered next is no longer the number that it began as.
    return () if end < len(tokens) and tokens[end] in {"(", "[", "|"} else tokens[at + 1 : end]


def guarded(code: str) -> str:
    """`code` that refuses none where Jinja would quietly write it: before filters, around `~`."""
    if "~" not in code and "|" not in code:
        return code
    tokens = _TOKEN.findall(code)
    out: list[str] = []
    until: list[int] = []  # where the right-hand sides of `~` end
    for at, token in enumerate(tokens):
        while at in until:
            until.remove(at)
            out.append("|_shown ")
        if token in _JOINS:
            out.append("|_shown ")
            until.append(_operand_end(tokens, at + 1))
        if token in _PIPES and _next_word(tokens, at) not in _NONE_WELCOME:
            out.append("|_shown")
        out.append(token)
    return "".join(out) + "|_shown " * len(until)


def _next_word(tokens: Sequence[str], at: int) -> str:
    return next((token for token in tokens[at + 1 :] if not token.isspace()), "")


def _operand_end(tokens: Sequence[str], start: int) -> int:
    depth = 0
    for at in range(start, len(tokens)):
        token = tokens[at]
        leading = all(earlier.isspace() for earlier in tokens[start:at])
        if depth == 0 and not leading and (token in _BINARY or token in _WORDS_THAT_END):
            return at
        if depth == 0 and token in {"%", "-"} and _closes(tokens, at):
            return at
        depth += _BRACKETS.get(token, 0)
    return len(tokens)


def _closes(tokens: Sequence[str], at: int) -> bool:
    return all(token.isspace() or token in {"-", "+"} for token in tokens[at:])
