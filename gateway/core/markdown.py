"""Markdown to HTML, and to the plain text that a person would have written instead.

Invariant: expressions and statements were hidden before (atoms) and pass through untouched; raw
HTML is text; a statement alone on its line is a block of its own, also between list items and
table rows. A paragraph that is one bold link, `**[Come back](https://…)**` or
`[**Come back**](https://…)`, is the button.
The only user of markdown-it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from gateway.core.atoms import Atom, Atoms

LinkText = Callable[[str], str]
"""Turns a link target into what stands in the text."""

_Find = Callable[[str], list[tuple[int, str]]]

_BREAKS_MANY = re.compile(r"\n{3,}")
_KEEPS = re.compile(r"(?:set|macro|call|filter)\b")
_LOOSE_ENDS = re.compile(r"[^\S\n]+\n")
_LISTS = frozenset({"bullet_list", "ordered_list"})
_BUTTON_SHAPES = (
    ("strong_open", "link_open", "link_close", "strong_close"),
    ("link_open", "strong_open", "strong_close", "link_close"),
)


class Markdown:
    """One Markdown text with hidden atoms, read once.

    `is_link` tells which expressions print an address: they become links, like a bare address.
    `html()` gives body HTML, `text(link)` the plain twin; both still hold the atoms' words.
    """

    def __init__(self, hidden: str, atoms: Atoms, is_link: Callable[[Atom], bool]) -> None:
        self._engine = _engine(atoms, is_link)
        tokens = self._engine.parse(hidden)
        self._tokens = _rows_of_statements(_with_buttons(_loops_in_lists(tokens)), atoms)

    def html(self) -> str:
        """HTML of the body; links keep their targets as written."""
        return str(self._engine.renderer.render(self._tokens, self._engine.options, {}))

    def text(self, link: LinkText) -> str:
        """The plain-text twin; `link` turns a target into what stands in the text."""
        return _Writer(link).write(self._tokens)


def tidy(text: str) -> str:
    """`text` without trailing blanks, and never more than one empty line."""
    lines = "\n".join([line.rstrip() for line in text.strip().split("\n")])
    if "\n\n\n" in lines:
        blocks = [block.strip("\n") for block in lines.split("\n\n")]
        lines = "\n\n".join([block for block in blocks if block])
    return lines + "\n"


def tidier(hidden: str, atoms: Atoms) -> str:
    """Hidden text from which `tidy` would have most to take away, before anyone's name is known.

    Nothing is taken where a statement could do something else with a text than print it.
    """
    if any(_KEEPS.match(atom.code) for atom in atoms.within(hidden)):
        return hidden
    return _BREAKS_MANY.sub("\n\n", _LOOSE_ENDS.sub("\n", hidden))


def _engine(atoms: Atoms, is_link: Callable[[Atom], bool]) -> MarkdownIt:
    engine = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])

    def find(text: str) -> list[tuple[int, str]]:
        return atoms.addresses(text, is_link)

    alone = re.compile(rf"(?:{atoms.found.pattern}[ \t]*)+")

    def statement(state: StateBlock, start: int, _end: int, silent: bool) -> bool:  # noqa: FBT001
        line = state.src[state.bMarks[start] + state.tShift[start] : state.eMarks[start]].strip()
        if not alone.fullmatch(line) or not all(a.is_statement for a in atoms.within(line)):
            return False
        if silent:  # a table keeps such a line: it becomes a row, and then the statement again
            return state.parentType != "table"
        token = state.push("statement", "", 0)
        token.content, token.map = line.replace(" ", ""), [start, start + 1]
        state.line = start + 1
        return True

    before = "table"
    engine.block.ruler.before(
        before, "statement", statement, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    engine.core.ruler.push("bare_links", lambda state: _link_bare(state.tokens, find))
    engine.add_render_rule("statement", _write_statement)
    engine.add_render_rule("button", _write_button)
    # Where a link may lead is judged when the template is compiled, with file and line.
    engine.validateLink = _any_link  # type: ignore[method-assign]
    engine.normalizeLink = _as_written  # type: ignore[method-assign]
    engine.normalizeLinkText = _label_as_written  # type: ignore[method-assign]
    return engine


def _as_written(url: str) -> str:
    return url


def _label_as_written(link: str) -> str:
    return link


def _any_link(url: str) -> bool:  # noqa: ARG001 - the name that markdown-it calls it by
    return True


def _write_statement(
    _self: RendererHTML, tokens: Sequence[Token], idx: int, _options: OptionsDict, _env: EnvType
) -> str:
    return tokens[idx].content + "\n"


def _write_button(
    self: RendererHTML, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
) -> str:
    inner = self.renderInline(tokens[idx].children or [], options, env)
    link = inner.replace("<a ", '<a class="button" ', 1)
    return (
        '<table role="presentation" class="action"><tbody><tr><td class="button">'
        f"{link}</td></tr></tbody></table>\n"
    )


# --- what the tokens become before they are written -------------------------------------------


def _link_bare(tokens: Sequence[Token], find: _Find) -> None:
    """A bare http(s) address in a text is a link: mail clients would make it one, untracked."""
    for token in tokens:
        if token.type == "inline" and token.children:
            token.children = list(_linked(token.children, find))


def _linked(children: Sequence[Token], find: _Find) -> Iterator[Token]:
    depth = 0
    for child in children:
        depth += {"link_open": 1, "link_close": -1}.get(child.type, 0)
        if child.type == "text" and depth == 0:
            yield from _split_links(child.content, find)
        else:
            yield child


def _split_links(text: str, find: _Find) -> Iterator[Token]:
    end = 0
    for start, target in find(text):
        yield Token("text", "", 0, content=text[end:start])
        yield Token("link_open", "a", 1, attrs={"href": target})
        yield Token("text", "", 0, content=target)
        yield Token("link_close", "a", -1)
        end = start + len(target)
    yield Token("text", "", 0, content=text[end:])


def _with_buttons(tokens: Sequence[Token]) -> list[Token]:
    out: list[Token] = []
    for token in tokens:
        if token.type == "paragraph_close" and out[-1].type == "inline" and _is_button(out[-1]):
            inline = out.pop()
            out.pop()  # the paragraph's opening
            inside = [c for c in inline.children or [] if not c.type.startswith("strong")]
            out.append(Token("button", "", 0, children=inside))
        else:
            out.append(token)
    return out


def _is_button(inline: Token) -> bool:
    parts = [c for c in inline.children or [] if c.type != "text" or c.content.strip()]
    marks = tuple(part.type for part in (*parts[:2], *parts[-2:]))
    return marks in _BUTTON_SHAPES and sum(part.type == "link_open" for part in parts) == 1


def _loops_in_lists(tokens: Sequence[Token]) -> list[Token]:
    """Statements between list items stay inside the one list.

    Markdown ends a list at such a line. Two lists around it are joined; a loop around one whole
    list moves inside it.
    """
    out: list[Token] = []
    for token in tokens:
        at = _statements_end(out)
        opens_list = token.type in {f"{kind}_open" for kind in _LISTS}
        if opens_list and at and at < len(out) and _continues(out[at - 1], token):
            del out[at - 1]
        else:
            out.append(token)
    return _entered(out)


def _statements_end(out: Sequence[Token]) -> int:
    """The index after the last token that is no statement."""
    at = len(out)
    while at and out[at - 1].type == "statement":
        at -= 1
    return at


def _continues(closing: Token, opening: Token) -> bool:
    same = closing.type == opening.type.replace("_open", "_close")
    return same and closing.level == opening.level and closing.markup == opening.markup


def _entered(tokens: list[Token]) -> list[Token]:
    """Swap `for, list … end of list, endfor` into `list, for … endfor, end of list`."""
    for at, token in enumerate(tokens[:-1]):
        following = tokens[at + 1]
        if token.type != "statement" or following.type not in {f"{k}_open" for k in _LISTS}:
            continue
        end = _matching_close(tokens, at + 1)
        if end + 1 < len(tokens) and tokens[end + 1].type == "statement":
            tokens[at], tokens[at + 1] = tokens[at + 1], tokens[at]
            tokens[end], tokens[end + 1] = tokens[end + 1], tokens[end]
    return tokens


def _matching_close(tokens: Sequence[Token], opening: int) -> int:
    first = tokens[opening]
    wanted = first.type.replace("_open", "_close")
    later = range(opening + 1, len(tokens))
    return next(n for n in later if tokens[n].type == wanted and tokens[n].level == first.level)


def _rows_of_statements(tokens: Sequence[Token], atoms: Atoms) -> list[Token]:
    """A table row that holds nothing but statements is those statements."""
    out: list[Token] = []
    row: list[Token] = []
    for token in tokens:
        if token.type == "tr_open":
            row = [token]
        elif row:
            row.append(token)
        else:
            out.append(token)
        if token.type == "tr_close":
            out.extend(_row_or_statement(row, atoms))
            row = []
    return out


def _row_or_statement(row: list[Token], atoms: Atoms) -> list[Token]:
    said = "".join(token.content for token in row if token.type == "inline").strip()
    found = atoms.within(said)
    if not found or atoms.found.sub("", said) or not all(atom.is_statement for atom in found):
        return row
    return [Token("statement", "", 0, content=said)]


# --- plain text -------------------------------------------------------------------------------


class _Writer:
    """Writes tokens as plain text: blocks apart by an empty line, lists with dashes, no marks."""

    def __init__(self, link: LinkText) -> None:
        self._link = link
        self._out: list[str] = []
        self._indents: list[str] = []
        self._numbers: list[int | None] = []
        self._bullet = ""
        self._row_start: int | None = None

    def write(self, tokens: Sequence[Token]) -> str:
        for token in tokens:
            step = getattr(self, f"_on_{token.type}", None)
            if step is not None:
                step(token)
        return "".join(self._out)

    def _line(self, text: str, end: str) -> None:
        indent = "".join(self._indents)
        first, self._bullet = (self._bullet or indent), ""
        self._out.append(first + text.replace("\n", "\n" + indent) + end)

    def _on_inline(self, token: Token) -> None:
        text = self._inline(token.children or [])
        self._line(text, "\n" if self._numbers or self._row_start is not None else "\n\n")

    def _on_statement(self, token: Token) -> None:
        self._out.append(token.content)

    def _on_button(self, token: Token) -> None:
        self._line(self._inline(token.children or []), "\n\n")

    def _on_fence(self, token: Token) -> None:
        self._line(token.content.rstrip("\n"), "\n\n")

    _on_code_block = _on_fence

    def _on_hr(self, _token: Token) -> None:
        self._line("---", "\n\n")

    def _on_blockquote_open(self, _token: Token) -> None:
        self._indents.append("> ")

    def _on_blockquote_close(self, _token: Token) -> None:
        self._indents.pop()

    def _on_bullet_list_open(self, _token: Token) -> None:
        self._numbers.append(None)

    def _on_ordered_list_open(self, token: Token) -> None:
        self._numbers.append(int(token.attrGet("start") or 1))

    def _on_bullet_list_close(self, _token: Token) -> None:
        self._numbers.pop()
        if not self._numbers:
            self._out.append("\n")

    _on_ordered_list_close = _on_bullet_list_close

    def _on_list_item_open(self, _token: Token) -> None:
        number = self._numbers[-1]
        sign = "- " if number is None else f"{number}. "
        self._bullet = "".join(self._indents) + sign
        self._indents.append(" " * len(sign))
        if number is not None:
            self._numbers[-1] = number + 1

    def _on_list_item_close(self, _token: Token) -> None:
        self._indents.pop()

    def _on_table_close(self, _token: Token) -> None:
        self._out.append("\n")

    def _on_tr_open(self, _token: Token) -> None:
        self._row_start = len(self._out)

    def _on_tr_close(self, _token: Token) -> None:
        cells = [cell.strip() for cell in self._out[self._row_start :]]
        del self._out[self._row_start :]
        self._row_start = None
        self._line(" | ".join(cells), "\n")

    def _inline(self, children: Sequence[Token]) -> str:
        parts: list[str] = []
        targets: list[tuple[str, int]] = []
        alone = _is_one_link(children)
        for child in children:
            if child.type == "link_open":
                targets.append((str(child.attrGet("href")), len(parts)))
            elif child.type == "link_close":
                target, start = targets.pop()
                label = "".join(parts[start:])
                parts[start:] = [self._linked(label, target, alone=alone)]
            else:
                breaks = child.type in {"softbreak", "hardbreak"}
                parts.append("\n" if breaks else child.content)
        return "".join(parts)

    def _linked(self, label: str, target: str, *, alone: bool) -> str:
        """A link's words and its address: below where it stands alone, else in brackets."""
        address = self._link(target)
        if label.strip() in {"", target}:
            return address
        return f"{label}:\n{address}" if alone else f"{label} ({address})"


def _is_one_link(children: Sequence[Token]) -> bool:
    inked = [child for child in children if child.type != "text" or child.content.strip()]
    marks = [child.type for child in inked if not child.type.startswith(("strong", "em"))]
    return (
        marks[:1] == ["link_open"]
        and marks[-1:] == ["link_close"]
        and marks.count("link_open") == 1
    )
