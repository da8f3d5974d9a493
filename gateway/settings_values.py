"""The forms that a setting's text can have: how each is read, and what it refuses.

Invariant: a form turns text into a value or raises ValueError with the rest of a sentence that
starts with the variable's name; the sentence never repeats the text, which may be a secret.
Knows no variable, no environment and no file.
"""

from __future__ import annotations

import hmac
import ipaddress
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

T = TypeVar("T")

_HOST = re.compile(r"^(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_SERVER = re.compile(r"^([a-z0-9._-]+|\[[0-9a-f:.]+\]):(\d{1,5})$", re.IGNORECASE)
_ADDRESS = re.compile(r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}$")
PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """One form of a setting: `parse` reads its text, `label` names it, `empty` is its absence."""

    parse: Callable[[str], T]
    label: str
    empty: T
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What a field says about its variable.

    `by` are the commands that cannot do without it; `needed_with` is a variable and the values
    of it that make this one required (by `run`, `demo` and `doctor`).
    """

    form: Form[Any]
    default: str
    meaning: str
    name: str
    by: frozenset[str]
    needed_with: tuple[str, tuple[str, ...]] | None


def setting(
    form: Form[T],
    default: str,
    meaning: str,
    *,
    name: str = "",
    by: frozenset[str] = frozenset(),
    needed_with: tuple[str, tuple[str, ...]] | None = None,
) -> T:
    """One row of the table, as a dataclass field whose type is the form's."""
    value = form.parse(default) if default else form.empty
    row = Row(form, default, meaning, name, by, needed_with)
    described: T = field(default=value, metadata={"row": row})
    return described


class Secret:
    """A text that prints as stars. Only `reveal` gives it, so every use is easy to find."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; empty when the setting is absent."""
        return self._text

    def __repr__(self) -> str:
        return "********"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(
            self._text.encode(), other.reveal().encode()
        )

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """Where the store is: `path` for SQLite, else `dsn` for PostgreSQL, password and all."""

    dialect: str
    path: Path | None
    dsn: Secret


@dataclass(frozen=True, slots=True)
class SmtpUrl:
    """A mail relay: `tls` is TLS from the first byte (`smtps`); `username` may be empty."""

    host: str
    port: int
    tls: bool
    username: str
    password: Secret


# --- texts ----------------------------------------------------------------------------------


def _line(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("holds a control character")
    return text


def _lines(text: str) -> str:
    for line in text.replace("\r\n", "\n").split("\n"):
        _line(line)
    return text


def _address(text: str) -> str:
    if not _ADDRESS.match(text):
        raise ValueError("is not an e-mail address")
    return text


def _server(text: str) -> str:
    found = _SERVER.match(text)
    if not found or not 0 < int(found[2]) <= PORT_MAX:
        raise ValueError("is not a list of host:port")
    return text


def _host_pattern(text: str) -> str:
    if not _HOST.match(text):
        raise ValueError("is not a list of host names")
    return text.lower()


TEXT = Form(_line, "text", "")
LINES = Form(_lines, "text, may have several lines", "")
ADDRESS = Form(_address, "e-mail address", "")


def _secret(text: str) -> Secret:
    return Secret(_line(text))


SECRET = Form(_secret, "secret", Secret(""), secret=True)
PATH: Form[Path | None] = Form(lambda text: Path(_line(text)), "path", None)


def choice(*names: str) -> Form[str]:
    """One of `names`, to the letter."""
    allowed = ", ".join(names)

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"must be one of {allowed}")
        return text

    return Form(parse, f"one of {', '.join(f'`{name}`' for name in names)}", "")


# --- lists ----------------------------------------------------------------------------------


def _items(text: str) -> list[str]:
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise ValueError("has an empty item in its list")
    return items


def listed(item: Form[T], label: str) -> Form[tuple[T, ...]]:
    """Items of one form between commas; none of them empty, none twice."""

    def parse(text: str) -> tuple[T, ...]:
        values = tuple(item.parse(part) for part in _items(text))
        if len(set(values)) < len(values):
            raise ValueError("names the same item twice")
        return values

    return Form(parse, label, (), secret=item.secret)


def secrets(*, count_max: int, length_min: int) -> Form[tuple[Secret, ...]]:
    """Secrets between commas, each long enough to be worth its name."""
    items = listed(SECRET, "")

    def parse(text: str) -> tuple[Secret, ...]:
        values = items.parse(text)
        if len(values) > count_max:
            raise ValueError(f"takes at most {count_max}")
        if any(len(value.reveal()) < length_min for value in values):
            raise ValueError(f"needs at least {length_min} characters in each")
        return values

    label = f"secrets, at most {count_max}, each of {length_min} characters or more"
    return Form(parse, label, (), secret=True)


SERVERS = listed(Form(_server, "", ""), "list of host:port")
HOSTS = listed(Form(_host_pattern, "", ""), "list of hosts; `*.` before one means those under it")

# --- numbers --------------------------------------------------------------------------------


def integer(least: int, most: int) -> Form[int]:
    """A whole number in a closed range."""
    label = f"{least} to {most}"

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,12}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return Form(parse, label, 0)


def number(least: float, most: float) -> Form[float]:
    """A number in a closed range."""
    label = f"{least:g} to {most:g}"

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise ValueError(f"must be a number from {label}")
        return value

    return Form(parse, label, 0.0)


# --- addresses of other systems ---------------------------------------------------------------


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(_line(text))
        _ = url.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if " " in text or "\\" in text:
        raise ValueError("is not a URL")
    return url


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _web_url(text: str) -> SplitResult:
    url = _split(text)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError("must be an https:// URL")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ValueError("may be plain http only on a loopback host")
    if "@" in url.netloc:
        raise ValueError("must not hold a user name")
    return url


def _site_url(text: str) -> str:
    _web_url(text)
    return text


def _base_url(text: str) -> str:
    url = _web_url(text)
    if url.path not in {"", "/"} or "?" in text or "#" in text:
        raise ValueError("must have no path")
    return f"{url.scheme}://{url.netloc}"


def _contact_url(text: str) -> str:
    if not text.startswith("mailto:"):
        return _site_url(text)
    _address(text.removeprefix("mailto:"))
    return text


def _smtp_url(text: str) -> SmtpUrl:
    url = _split(text)
    if url.scheme not in {"smtp", "smtps"} or not url.hostname or url.path not in {"", "/"}:
        raise ValueError("must look like smtp[s]://user:pass@host:port")
    return SmtpUrl(
        host=url.hostname,
        port=url.port or (465 if url.scheme == "smtps" else 25),
        tls=url.scheme == "smtps",
        username=unquote(url.username or ""),
        password=Secret(unquote(url.password or "")),
    )


def _store_url(text: str) -> StoreUrl:
    _line(text)
    if text.startswith("sqlite:///"):
        path = text.removeprefix("sqlite:///")
        if not path or path.endswith("/"):
            raise ValueError("names no file after sqlite:///")
        return StoreUrl("sqlite", Path(path), Secret(""))
    if text.startswith(("postgresql://", "postgres://")):
        _split(text)
        return StoreUrl("postgresql", None, Secret(text))
    raise ValueError("must be sqlite:///file, sqlite:////folder/file or postgresql://…")


SITE_URL = Form(_site_url, "URL", "")
BASE_URL = Form(_base_url, "URL without a path", "")
CONTACT_URL = Form(_contact_url, "`mailto:` or `https:` URL", "")
SMTP_URL: Form[SmtpUrl | None] = Form(
    _smtp_url, "`smtp[s]://user:pass@host:port`", None, secret=True
)
STORE_URL: Form[StoreUrl] = Form(
    _store_url, "store URL", StoreUrl("", None, Secret("")), secret=True
)
