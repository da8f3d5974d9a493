"""Where links may lead, and how they become trackable.

Invariant: no link leaves the gateway whose host is not the brand's site or listed by the template.
The destination is the one that a browser would go to: hosts are compared after IDNA, and the
address handed on carries the compared form. This file knows nothing of templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote

from gateway.core.tokens import Tokens

URL_CHARS_MAX = 2048
PORT_MAX = 65_535
_REMEMBERED = 1024
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})

_START = re.compile(r"https?://[^/?#]+", re.IGNORECASE)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f"
                        r"\u3000\ufeff\ud800-\udfff\\\"<>`]")  # fmt: skip
_PLAIN_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}[a-z]{2,18}")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_LEGAL = "!#$%&'()*+,/:;=?@[]~-._"


class LinkError(ValueError):
    """A destination that no link may have; the text says what is wrong, never the address."""


def host_of(url: str) -> str:
    """The ASCII host of an http(s) URL, lower case, without port and trailing dot."""
    return _origin(_start(url))[1]


def allowed_hosts(site_url: str, link_hosts: Iterable[str] = ()) -> frozenset[str]:
    """The hosts that links may lead to: exact hosts, no wildcards.

    The brand's site counts with and without `www.`, as people write it either way.
    """
    site = host_of(site_url)
    bare = site.removeprefix("www.")
    listed = {_ascii_host(host) for host in link_hosts}
    return frozenset({site, bare, f"www.{bare}"} | listed)


def destination(url: str, hosts: frozenset[str]) -> str:
    """The address to send a person to: `url` with its host in ASCII. Raises `LinkError`.

    Only https, or http on a loopback host; the host must be one of `hosts`; no user, no control
    character, space or backslash; at most 2,048 characters.
    """
    if len(url) > URL_CHARS_MAX:
        raise LinkError(f"is longer than {URL_CHARS_MAX} characters")
    if _FORBIDDEN.search(url):
        raise LinkError("holds a space, control character, quote or backslash")
    start = _start(url)
    origin, host = _origin(start)
    if host not in hosts:
        raise LinkError("leads to a host that is neither the brand's site nor in link_hosts")
    if not origin.startswith("https:") and host not in LOOPBACK_HOSTS:
        raise LinkError("is not https")
    rest = url[len(start) :]
    return origin + (rest if rest.isascii() else quote(rest, safe=_LEGAL))


def _start(url: str) -> str:
    """Scheme and authority as written."""
    match = _START.match(url)
    if match is None:
        raise LinkError("is no http(s) address")
    return match.group()


@lru_cache(maxsize=_REMEMBERED)  # every link of a campaign has one of a few; no path is kept
def _origin(start: str) -> tuple[str, str]:
    """Scheme, host and port as a browser reads them, and the ASCII host alone."""
    scheme, _, authority = start.partition("://")
    if "@" in authority:
        raise LinkError("names a user")
    name, colon, port = authority.partition(":")
    if name.startswith("["):
        name, colon, port = authority.partition("]:")
        name = name if name.endswith("]") else f"{name}]"
    if colon and not (port.isascii() and port.isdecimal() and int(port) <= PORT_MAX):
        raise LinkError("has no valid port")
    host = _ascii_host(name)
    return f"{scheme.lower()}://{host}{colon and ':'}{port}", host


def _ascii_host(host: str) -> str:
    lowered = host.strip().lower()
    if lowered in LOOPBACK_HOSTS or _PLAIN_HOST.fullmatch(lowered):
        return lowered
    try:
        name = lowered.removesuffix(".").encode("idna").decode()
    except UnicodeError as error:
        raise LinkError("has no valid host") from error
    if not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise LinkError("has no valid host")
    return name


def unsubscribe_headers(url: str) -> dict[str, str]:
    """The two headers of one-click unsubscribe (RFC 8058) for a preference page at `url`."""
    return {
        "List-Unsubscribe": f"<{url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


@dataclass(frozen=True, slots=True)
class ShortLink:
    """A short link as it stands in an SMS: `code` is what `/t/s/{code}` is asked for."""

    code: str
    href: str


class Links(Protocol):
    """Makes the links of one message. `url` is a checked destination, `index` its place."""

    def click(self, url: str, index: int) -> str: ...

    def short(self, url: str, index: int) -> ShortLink: ...

    def pixel(self) -> str:
        """The address of the open pixel; empty where opens are not counted."""
        ...

    def preferences(self) -> str: ...


class TrackedLinks:
    """The links of a delivery, signed."""

    __slots__ = ("_signer", "_tokens")

    def __init__(self, tokens: Tokens, delivery_id: str) -> None:
        self._tokens = tokens
        self._signer = tokens.of(delivery_id)

    def click(self, url: str, index: int) -> str:
        return self._signer.click_url(index, url)

    def short(self, url: str, index: int) -> ShortLink:  # noqa: ARG002 - the store keeps the url
        code = self._signer.short_code(index)
        return ShortLink(code, self._tokens.short_url(code))

    def pixel(self) -> str:
        return self._signer.open_url()

    def preferences(self) -> str:
        return self._signer.preferences_url()


class PlainLinks:
    """Links for previews and trials: destinations as they are, short links of the real length."""

    __slots__ = ("_public_url",)

    def __init__(self, public_url: str = "https://links.example") -> None:
        self._public_url = public_url.rstrip("/")

    def click(self, url: str, index: int) -> str:  # noqa: ARG002 - a preview counts nothing
        return url

    def short(self, url: str, index: int) -> ShortLink:  # noqa: ARG002 - as above
        code = f"PREVIEW{index:05d}"
        return ShortLink(code, f"{self._public_url}/t/s/{code}")

    def pixel(self) -> str:
        return ""

    def preferences(self) -> str:
        return f"{self._public_url}/t/u/preview"
