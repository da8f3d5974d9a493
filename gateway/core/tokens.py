"""The links of one delivery, signed: open, click, preferences; and short codes for SMS.

Invariant: `read` gives back only what this gateway signed, for that purpose and no other; whatever
else it is handed, it answers `TokenError`. The destination of a click is inside its token, so a
click works with the store down. This file knows no addresses: a token names a delivery.

A token is base64url of `version | key id | delivery (17 bytes) | link, url (click only) | MAC`.
The MAC is keyed BLAKE2b of 128 bits, personalised with the purpose.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from typing import Literal

from gateway.core.ids import SEND_ID_BYTES, split_delivery, unpack_delivery
from gateway.errors import TokenError

TokenPurpose = Literal["open", "click", "preferences"]

VERSION = 1
MAC_BYTES = 16
DELIVERY_BYTES = 17
LINK_BYTES = 2
LINK_MAX = 0xFFFF
TOKEN_CHARS_MAX = 16_384
SHORT_CODE_CHARS = 12

_PURPOSES: tuple[TokenPurpose, ...] = ("open", "click", "preferences")
_HEAD_BYTES = 2 + DELIVERY_BYTES
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
# The letters of base32 as the digits that `int` reads; whatever else is no digit at all.
_BASE32, _BASE32_DIGITS = "abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv"
_DIGIT_OF = dict(zip(_BASE32, _BASE32_DIGITS, strict=True))
_DIGITS = "".join(_DIGIT_OF.get(chr(byte).lower(), "!") for byte in range(256)).encode()
_SPARE_BITS = 2  # 26 letters of five bits, over the 128 of a send id


@dataclass(frozen=True, slots=True)
class Opened:
    """What a good token says. `link` is -1 and `url` empty except for a click."""

    delivery_id: str
    link: int = -1
    url: str = ""


class _Key:
    """One secret, ready for each purpose: a keyed hash state is copied, not made anew."""

    __slots__ = ("head", "states")

    def __init__(self, secret: bytes) -> None:
        key = blake2b(secret, digest_size=32, person=b"winback links").digest()
        key_id = blake2b(key, digest_size=1, person=b"key id").digest()
        self.head = bytes([VERSION]) + key_id
        self.states = {
            name: blake2b(key=key, digest_size=MAC_BYTES, person=name.encode())
            for name in (*_PURPOSES, "short")
        }

    def mac(self, purpose: str, body: bytes) -> bytes:
        state = self.states[purpose].copy()
        state.update(body)
        return state.digest()


class Signer:
    """Signs the links of one delivery, which is packed once for all of them."""

    __slots__ = ("_delivery", "_head", "_public_url", "_states")

    def __init__(self, key: _Key, delivery: bytes, public_url: str) -> None:
        self._states = key.states
        self._delivery = delivery
        self._head = key.head + delivery
        self._public_url = public_url

    def open_url(self) -> str:
        """The address of the open pixel."""
        return f"{self._public_url}/t/o/{self._sign('open', self._head)}.gif"

    def click_url(self, link: int, url: str) -> str:
        """A tracked link: `link` is its index in the part, `url` the checked destination."""
        if not 0 <= link <= LINK_MAX:
            raise ValueError("link index out of range")
        body = self._head + link.to_bytes(LINK_BYTES, "big") + url.encode()
        return f"{self._public_url}/t/c/{self._sign('click', body)}"

    def preferences_url(self) -> str:
        """The preference page; also the one-click target."""
        return f"{self._public_url}/t/u/{self._sign('preferences', self._head)}"

    def short_code(self, link: int) -> str:
        """Twelve base62 characters (71 bits) that nobody can guess; the same for the same link."""
        body = self._delivery + link.to_bytes(LINK_BYTES, "big")
        state = self._states["short"].copy()
        state.update(body)
        number = int.from_bytes(state.digest(), "big")
        digits = []
        for _ in range(SHORT_CODE_CHARS):
            number, digit = divmod(number, 62)
            digits.append(_BASE62[digit])
        return "".join(digits)

    def _sign(self, purpose: str, body: bytes) -> str:
        state = self._states[purpose].copy()
        state.update(body)
        signed = b2a_base64(body + state.digest(), newline=False)
        return signed.translate(_URL_SAFE, b"=").decode()


class Tokens:
    """Signs and reads the links of deliveries.

    `secrets` is current[,previous…]: the first signs, all are accepted. `public_url` is the base
    of every link, without a path. Raises ValueError for no secret or an empty one.
    """

    def __init__(self, secrets: Sequence[bytes | str], public_url: str) -> None:
        raw = [secret.encode() if isinstance(secret, str) else secret for secret in secrets]
        if not raw or not all(raw):
            raise ValueError("a signing secret is missing or empty")
        self._keys = tuple(_Key(secret) for secret in raw)
        self._current = self._keys[0]
        self._public_url = public_url.rstrip("/")

    def of(self, delivery_id: str) -> Signer:
        """The links of one delivery. Raises ValueError for what is no delivery id."""
        return Signer(self._current, _packed(delivery_id), self._public_url)

    def open_url(self, delivery_id: str) -> str:
        """The address of the open pixel."""
        return self.of(delivery_id).open_url()

    def click_url(self, delivery_id: str, link: int, url: str) -> str:
        """A tracked link: `link` is its index in the part, `url` the checked destination."""
        return self.of(delivery_id).click_url(link, url)

    def preferences_url(self, delivery_id: str) -> str:
        """The preference page of the person behind a delivery; also the one-click target."""
        return self.of(delivery_id).preferences_url()

    def short_code(self, delivery_id: str, link: int) -> str:
        """Twelve base62 characters (71 bits) that nobody can guess; the same for the same link."""
        return self.of(delivery_id).short_code(link)

    def short_url(self, code: str) -> str:
        """The address under which a short code answers."""
        return f"{self._public_url}/t/s/{code}"

    def read(self, purpose: TokenPurpose, token: str) -> Opened:
        """What a token says. Raises `TokenError`, and nothing else, for any other input."""
        body = self._verified(purpose, token)
        delivery_id = unpack_delivery(body[2:_HEAD_BYTES])
        if purpose != "click":
            return Opened(delivery_id)
        tail = body[_HEAD_BYTES:]
        return Opened(delivery_id, int.from_bytes(tail[:LINK_BYTES], "big"), tail[2:].decode())

    def _verified(self, purpose: TokenPurpose, token: str) -> bytes:
        raw = _decoded(token)
        body, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
        least = _HEAD_BYTES + (LINK_BYTES if purpose == "click" else 0)
        if len(body) < least or (purpose != "click" and len(body) != least):
            raise TokenError("not a token")
        for key in self._keys:
            # Secrets may share a one-byte key id: each key of that id is tried.
            if key.head == body[:2] and compare_digest(key.mac(purpose, body), mac):
                return body
        raise TokenError("not signed here")


def _packed(delivery_id: str) -> bytes:
    """The bytes of `ids.pack_delivery`, ten times sooner: base64 reads base32 in a Python loop."""
    of_send, position = split_delivery(delivery_id)
    number = int(of_send.encode().translate(_DIGITS), 32) >> _SPARE_BITS
    return number.to_bytes(SEND_ID_BYTES, "big") + bytes((position,))


def _decoded(token: str) -> bytes:
    if not isinstance(token, str) or len(token) > TOKEN_CHARS_MAX or not token.isascii():
        raise TokenError("not a token")
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError as error:
        raise TokenError("not base64url") from error
    # One token has one spelling: stray characters and unused bits would make many of it.
    if b2a_base64(raw, newline=False).translate(_URL_SAFE).rstrip(b"=").decode() != token:
        raise TokenError("not base64url")
    return raw
