"""HTML of mails, as far as it can be prepared before anyone's name is known.

Invariant: an expression stands in text or in a quoted attribute, never where escaping does not
protect; every link of the document passed through the caller. Works on hidden text (atoms) and at
compile time only. The only user of css-inline.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape, unescape
from html.parser import HTMLParser

from css_inline import CSSInliner, InlineError

from gateway.core.atoms import Atoms

LinkWord = Callable[[str], str]
"""Turns a link target into the word that stands for it in the document."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z!](?:[^>\"']|\"[^\"]*\"|'[^']*')*>", re.DOTALL)
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"'=<>`]+))?""")
_TAG_NAME = re.compile(r"</?\s*([a-zA-Z!][^\s/>]*)")
_LITERAL_TEXT = re.compile(r"<(style|title)\b[^>]*>(.*?)</\1\s*>", re.DOTALL | re.IGNORECASE)
_LINK = re.compile(r"""(<(?:a|area)\b(?:[^>"]|"[^"]*")*?\shref=")([^"]*)(")""")
_IMAGE = re.compile(r"""(<img\b(?:[^>"]|"[^"]*")*?\ssrc=")([^"]*)(")""")
# A parser would open the body between a loop's statement and its first row: it is opened before.
_ROWS_IN_TABLE = re.compile(
    r"""(<table\b(?:[^>"']|"[^"]*"|'[^']*')*>)(?=(?:\s|<!--.*?-->)*<tr\b)""",
    re.DOTALL | re.IGNORECASE,
)
_REFUSED_TAGS = _words("script iframe object embed form input button base svg math")
_ADDRESS_ATTRIBUTES = _words(
    "action background cite data formaction href longdesc poster src srcset xlink:href"
)
_VOID = _words("area br col hr img input link meta wbr")
_BREAKS = dict.fromkeys(_words("p h1 h2 h3 h4 ul ol table blockquote hr"), "\n\n") | dict.fromkeys(
    _words("div tr li td"), "\n"
)


class MailError(ValueError):
    """HTML that no template may have; `position` is where in the hidden text."""

    def __init__(self, what: str, position: int = 0) -> None:
        super().__init__(what)
        self.position = position


def check_html(hidden: str, atoms: Atoms) -> None:
    """Raise `MailError` where an expression would stand unprotected, or for active content."""
    for match in _LITERAL_TEXT.finditer(hidden):
        if match.group(1).lower() == "style" and atoms.found.search(match.group(2)):
            raise MailError("no expressions in <style>", match.start())
    for match in _TAG.finditer(hidden):
        if not match.group().startswith("<!--"):
            _check_tag(match.group(), atoms, match.start())


def _check_tag(tag: str, atoms: Atoms, position: int) -> None:
    named = _TAG_NAME.match(tag)
    name = named.group(1).lower() if named else ""
    if name in _REFUSED_TAGS:
        raise MailError(f"<{name}> has no place in a mail", position)
    loose = tag
    for attribute in _ATTRIBUTE.finditer(tag, named.end() if named else 0):
        key, value = attribute.group(1).lower(), attribute.group(2) or ""
        quoted = value[:1] in {'"', "'"}
        if quoted:
            loose = loose.replace(value, "", 1)
        _check_attribute(name, key, value=value, position=position, atoms=atoms)
    if atoms.found.search(loose):
        raise MailError("inside a tag, expressions stand in quoted attribute values", position)


def _check_attribute(tag: str, key: str, *, value: str, position: int, atoms: Atoms) -> None:
    if key.startswith("on"):
        raise MailError(f"{key}= has no place in a mail", position)
    if not atoms.found.search(value):
        return
    tracked = (tag in {"a", "area"} and key == "href") or (tag == "img" and key == "src")
    if key == "style" or (key in _ADDRESS_ATTRIBUTES and not tracked):
        raise MailError(f"no expressions in {key}= of <{tag}>", position)


def with_styles(hidden: str, atoms: Atoms) -> str:
    """The document with its style sheet moved into `style` attributes; at-rules stay.

    Statements between tags travel as comments: as text they would be moved out of tables.
    """
    inliner = CSSInliner(keep_at_rules=True, minify_css=True, load_remote_stylesheets=False)
    try:
        commented = _statements_as_comments(hidden, atoms)
        styled = inliner.inline(_ROWS_IN_TABLE.sub(r"\1<tbody>", commented))
    except InlineError as error:
        raise MailError(f"the style sheet cannot be read: {error}") from error
    return re.sub(rf"<!--({atoms.found.pattern})-->", r"\1", styled)


def _statements_as_comments(hidden: str, atoms: Atoms) -> str:
    def comment(match: re.Match[str]) -> str:
        word = match.group()
        return f"<!--{word}-->" if atoms.within(word)[0].is_statement else word

    out, end = [], 0
    literal = [match.span(2) for match in _LITERAL_TEXT.finditer(hidden)]
    for match in _TAG.finditer(hidden):
        gap = hidden[end : match.start()]
        inside = any(start <= end and match.start() <= stop for start, stop in literal)
        out.append(gap if inside else atoms.found.sub(comment, gap))
        out.append(match.group())
        end = match.end()
    out.append(hidden[end:])
    return "".join(out)


def with_links(styled: str, *, link: LinkWord, image: LinkWord) -> str:
    """The styled document with every link target and image address passed through the caller.

    Each gets the target as written; what it gives back goes into the attribute as it is.
    """
    linked = _LINK.sub(lambda m: m.group(1) + link(unescape(m.group(2))) + m.group(3), styled)
    return _IMAGE.sub(lambda m: m.group(1) + image(unescape(m.group(2))) + m.group(3), linked)


def with_pixel(document: str, pixel: str) -> str:
    """The document with `pixel` before the end of its body."""
    at = document.rfind("</body>")
    return f"{document}{pixel}" if at < 0 else f"{document[:at]}{pixel}{document[at:]}"


def escaped(address: str) -> str:
    """`address` for a quoted attribute."""
    return escape(address, quote=True)


def text_of(hidden: str, atoms: Atoms, link: LinkWord) -> str:
    """The plain twin of an HTML document: what it says, and where its links lead."""
    reader = _TextReader(link, atoms)
    reader.feed(_statements_as_comments(hidden, atoms))
    reader.close()
    return "".join(reader.out)


class _TextReader(HTMLParser):
    """Collects what a person would read aloud."""

    def __init__(self, link: LinkWord, atoms: Atoms) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self._link = link
        self._atoms = atoms
        self._silent: list[str] = []
        self._targets: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if self._silent or _is_unseen(tag, given):
            if tag not in _VOID:
                self._silent.append(tag)
            return
        if tag == "a" and given.get("href"):
            self._targets.append((given["href"], len(self.out)))
        elif tag == "br":
            self.out.append("\n")
        elif tag == "img":
            self.out.append(given.get("alt", ""))
        elif tag in _BREAKS:
            self.out.append(_BREAKS[tag] + ("- " if tag == "li" else ""))

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            if tag == self._silent[-1]:
                self._silent.pop()
            return
        if tag == "a" and self._targets:
            target, start = self._targets.pop()
            label, address = "".join(self.out[start:]).strip(), self._link(target)
            bare = label in {"", target}
            self.out[start:] = [address if bare else f"{label}: {address}"]
        elif tag in _BREAKS:
            self.out.append(_BREAKS[tag])

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        words = re.sub(r"\s+", " ", data)
        at_start = not self.out or self.out[-1].endswith("\n")
        self.out.append(words.lstrip() if at_start else words)

    def handle_comment(self, data: str) -> None:
        if not self._silent and self._atoms.found.fullmatch(data):
            self.out.append(data)


def _is_unseen(tag: str, given: dict[str, str]) -> bool:
    styled_away = "display:none" in given.get("style", "").replace(" ", "").lower()
    return tag in {"head", "style", "title"} or styled_away or "hidden" in given
