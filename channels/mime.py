"""A mail as bytes, assembled by hand: two orders of magnitude cheaper than `EmailMessage`.

Invariant: what is written is 7-bit, its lines end in CRLF and hold at most 998 octets, and it has
exactly the headers that were meant: a value that could add one is refused, never repaired.
This file knows no provider, no network and nothing of the gateway.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64encode, encodebytes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from channels.answers import control_fault
from channels.contract import HEADERS_ALLOWED, EmailContent

LINE_OCTETS_MAX = 998
ADDRESS_CHARACTERS_MAX = 254
SUBJECT_CHARACTERS_MAX = 65  # longer ones are folded, which only encoded words survive unchanged
NAME_CHARACTERS_MAX = 256  # a quoted name is not folded: some readers put spaces between words
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_LOCAL_PART = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
# `=_` stands in no base64 and in no quoted-printable text, so no part can hold the boundary.
_BOUNDARY = "=_winback_part"
_WORD_OCTETS_MAX = 39  # with `Subject: ` and its frame an encoded word stays within 76 columns


class MimeError(ValueError):
    """Something that must not stand in a mail; the text says what, without any of it."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address that `mail_address` has seen, and a name or an empty text."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Ids:
    """What the mail is called: `message` without brackets is its Message-ID, `attempt` is ours."""

    message: str
    attempt: str


def mail_address(text: str) -> str:
    """The address in ASCII: a domain in other letters becomes its `xn--` form.

    Raises `MimeError` for anything but one address of at most 254 characters.
    """
    local, _, domain = text.rpartition("@")
    if len(text) > ADDRESS_CHARACTERS_MAX or not _LOCAL_PART.fullmatch(local):
        raise MimeError("the address cannot be written to")
    ascii_domain = mail_domain(domain)
    if len(local) + 1 + len(ascii_domain) > ADDRESS_CHARACTERS_MAX:
        raise MimeError("the address cannot be written to")
    return f"{local}@{ascii_domain}"


def mail_domain(text: str) -> str:
    """The domain in ASCII; raises `MimeError` for what is none."""
    try:
        domain = text.encode("idna").decode("ascii") if len(text) <= ADDRESS_CHARACTERS_MAX else ""
    except UnicodeError as fault:
        raise MimeError("the domain cannot be written to") from fault
    if not _DOMAIN.fullmatch(domain):
        raise MimeError("the domain cannot be written to")
    return domain


def message_id(identity: str, domain: str) -> str:
    """A Message-ID without brackets; raises `MimeError` for an identity with strange characters."""
    if not _ID.fullmatch(identity):
        raise MimeError("an id cannot stand in a header")
    return f"{identity}@{domain}"


def mail_bytes(
    content: EmailContent, *, sender: Mailbox, to: Mailbox, ids: Ids, date: datetime
) -> bytes:
    """The whole mail, headers and body; `date` is aware.

    Raises `MimeError` for a mail without subject or body, and for values that no header may hold.
    """
    if not _ID.fullmatch(ids.attempt):
        raise MimeError("an id cannot stand in a header")
    head = [
        _mailbox("From", sender),
        _mailbox("To", to),
        _subject(content.subject),
        f"Date: {format_datetime(date)}",
        f"Message-ID: <{ids.message}>",
        *_extra(content.headers),
        f"X-Attempt-ID: {ids.attempt}",
        "MIME-Version: 1.0",
    ]
    return "\r\n".join(head).encode("ascii") + b"\r\n" + _body(content)


# --- headers --------------------------------------------------------------------------------


def _subject(text: str) -> str:
    if not text:
        raise MimeError("subject is empty")
    _check("subject", text)
    return f"Subject: {text if _is_plain(text, SUBJECT_CHARACTERS_MAX) else _encoded(text)}"


def _mailbox(header: str, mailbox: Mailbox) -> str:
    name = mailbox.name.strip(" ")
    if not name:
        return f"{header}: {mailbox.address}"
    _check(f"the name in {header}", name)
    if not _is_plain(name, NAME_CHARACTERS_MAX):
        return f"{header}: {_encoded(name)}\r\n <{mailbox.address}>"
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'{header}: "{quoted}" <{mailbox.address}>'


def _extra(headers: Mapping[str, str]) -> Iterator[str]:
    """Extra headers as they are: one line each, because mail clients do not unfold or decode."""
    if len({name.lower() for name in headers}) != len(headers):
        raise MimeError("a header stands twice")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() not in HEADERS_ALLOWED:
            raise MimeError("a header that is not allowed")
        _check(name, value)
        line = f"{name}: {value}"
        if not value.isascii() or not value.strip() or len(line) > LINE_OCTETS_MAX:
            raise MimeError(f"{name} does not fit on one line")
        yield line


def _check(name: str, value: str) -> None:
    fault = control_fault(name, value)
    if fault:
        raise MimeError(fault)


def _is_plain(text: str, characters_max: int) -> bool:
    # Spaces at the ends would be lost, and `=?` would be read as the start of an encoded word.
    short = len(text) <= characters_max and text.isascii()
    return short and text == text.strip() and "=?" not in text


def _encoded(text: str) -> str:
    """RFC 2047 encoded words, one a line, each of whole characters."""
    return "\r\n ".join(f"=?utf-8?b?{b64encode(w).decode('ascii')}?=" for w in _words(text))


def _words(text: str) -> Iterator[bytes]:
    word = b""
    for character in text:
        octets = character.encode()
        if len(word) + len(octets) > _WORD_OCTETS_MAX:
            yield word
            word = b""
        word += octets
    yield word


# --- bodies ---------------------------------------------------------------------------------


def _body(content: EmailContent) -> bytes:
    parts = [
        _part(kind, text)
        for kind, text in (("plain", content.text), ("html", content.html))
        if text
    ]
    if not parts:
        raise MimeError("there is neither text nor HTML")
    if len(parts) == 1:
        return parts[0] + b"\r\n"
    line = f"\r\n--{_BOUNDARY}".encode("ascii")
    head = f'Content-Type: multipart/alternative; boundary="{_BOUNDARY}"\r\n'.encode("ascii")
    # The least wanted part comes first (RFC 2046): readers take the last one that they can show.
    return head + b"".join(line + b"\r\n" + part for part in parts) + line + b"--\r\n"


def _part(kind: str, text: str) -> bytes:
    try:
        data = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    except UnicodeEncodeError as fault:
        raise MimeError("a text of the message cannot be written as UTF-8") from fault
    # Quoted-printable is smaller and readable until about a sixth of the text is not ASCII.
    if (len(data) - len(text)) * 6 > len(text):
        encoding, body = "base64", encodebytes(data).rstrip(b"\n")
    else:
        encoding, body = "quoted-printable", binascii.b2a_qp(data, istext=True)
    head = f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}"
    return head.encode("ascii") + b"\r\n\r\n" + body.replace(b"\n", b"\r\n")
