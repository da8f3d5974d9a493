"""The links of one message while it is written: checked, tracked, and remembered.

Invariant: every address that a text gets from here has passed the host rule, whoever wrote it.
A link's index is its place among the targets of its part; in an SMS it is the order of appearance.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from gateway.core.engine import Unrenderable, in_html, printable
from gateway.core.links import LinkError, Links, destination, host_of

_URL_LEGAL = "!#$%&'()*+,/:;=?@[]~-._"
_SHOWN_LINK = re.compile(r"https?://[^\s<>\"]*[^\s<>\".,;:!?)'\]]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a link leads: fixed `pieces` around the values that come with each message.

    One piece is a fixed address, checked when the template was compiled.
    """

    pieces: tuple[str, ...]

    def address(self, words: Sequence[str], hosts: frozenset[str]) -> str:
        """The checked destination. Raises `Unrenderable` that carries the refused address."""
        url = self.pieces[0]
        if len(self.pieces) == 1:
            return url
        for word, piece in zip(words, self.pieces[1:], strict=True):
            # Behind an author's own address a value is a part of it: a space in a name is %20
            # there. A value that is the whole address is taken or refused as it is.
            url += (quote(word, safe=_URL_LEGAL) if url else word) + piece
        return checked(url, hosts)


@dataclass(frozen=True, slots=True)
class FixedLink:
    """A link whose address is known: texts call it by a name, `quoted` in an attribute."""

    index: int
    address: str
    plain: str
    quoted: str


def checked(url: str, hosts: frozenset[str]) -> str:
    """The destination behind `url`, or `Unrenderable` that carries it."""
    try:
        return destination(url, hosts)
    except LinkError as error:
        raise Unrenderable(f"a link {error}", link=url) from error


def checked_image(url: str) -> str:
    """An image's address: https anywhere, or a loopback host."""
    try:
        return destination(url, frozenset({host_of(url)}))
    except LinkError as error:
        raise Unrenderable(f"an image {error}", link=url) from error


class Trail:
    """Makes the links of one message and knows which short ones it gave out."""

    __slots__ = ("_given", "_hosts", "_links", "_short", "_targets", "_way_out", "pixel")

    def __init__(
        self, links: Links, targets: Sequence[Target], hosts: frozenset[str], *, pixel: str = ""
    ) -> None:
        self.pixel = pixel
        self._links = links
        self._targets = targets
        self._hosts = hosts
        self._way_out = ""
        self._given: dict[tuple[object, ...], str] = {}
        self._short: dict[str, tuple[str, str, int]] = {}  # url -> code, href, index

    @property
    def way_out(self) -> str:
        """The preference page, signed when it is first asked for."""
        if not self._way_out:
            self._way_out = self._links.preferences()
        return self._way_out

    def named(self, fixed: Sequence[FixedLink]) -> dict[str, str]:
        """The tracked fixed links of a part, by what texts call them."""
        names: dict[str, str] = {}
        for one in fixed:
            link = names[one.plain] = self.link(one.index)
            names[one.quoted] = escape(link)
        return names

    def link(self, index: int, *values: Any) -> str:
        """A tracked link for a plain text."""
        if not values:
            return self._links.click(self._targets[index].pieces[0], index)
        words = [value if type(value) is str else str(printable(value)) for value in values]
        key = (index, *words)
        link = self._given.get(key)
        if link is None:
            url = self.address(index, words)
            link = self._given[key] = self._links.click(url, index)
        return link

    def click(self, url: str, index: int) -> str:
        """A tracked link to a checked address."""
        return self._links.click(url, index)

    def address(self, index: int, words: Sequence[str]) -> str:
        """The checked destination of a target."""
        return self._targets[index].address(words, self._hosts)

    def href(self, index: int, *values: Any) -> Any:
        """A tracked link for a quoted attribute."""
        return in_html(self.link(index, *values))

    def quoted(self, index: int, *values: Any) -> str:
        """The same for a place where the engine does not escape."""
        return escape(self.link(index, *values))

    def image(self, url: Any) -> Any:
        """An image's address for a quoted attribute."""
        return in_html(self.picture(url))

    def picture(self, url: Any) -> str:
        """An image's address for a plain text."""
        return checked_image(str(printable(url)))

    def short(self, index: int, *values: Any) -> str:
        """A short link for an SMS."""
        words = [str(printable(value)) for value in values]
        return self._shortened(self.address(index, words))

    def shorten_rest(self, text: str) -> str:
        """An SMS text in which links that came with values are short and checked too."""
        ours = {href for _, href, _ in self._short.values()}

        def shorter(match: re.Match[str]) -> str:
            url = match.group()
            is_ours = url in ours or url == self.way_out
            return url if is_ours else self._shortened(checked(url, self._hosts))

        return _SHOWN_LINK.sub(shorter, text)

    def shorts(self) -> tuple[tuple[str, int, str], ...]:
        """The short links given out: code, index, destination."""
        return tuple((code, index, url) for url, (code, _, index) in self._short.items())

    def _shortened(self, url: str) -> str:
        if url not in self._short:
            index = len(self._short)
            link = self._links.short(url, index)
            self._short[url] = (link.code, link.href, index)
        return self._short[url][1]
