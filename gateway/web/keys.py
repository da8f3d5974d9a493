"""Who may come in: bearer keys, and the cookie that stands for one in a browser.

Invariant: a key is compared in constant time against all keys, and the cookie holds no key,
only proof that one was shown, until a stated time. Pure: time is an argument.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

COOKIE = "winback_session"
_SECONDS_DIGITS_MAX = 12


@dataclass(frozen=True, slots=True)
class Keys:
    """The bearer keys."""

    keys: tuple[str, ...]

    def opens(self, key: str) -> bool:
        """Whether this is one of the keys."""
        shown = _digest(key)
        # No early end: how long it takes says nothing about which key, or how much of it.
        return sum(hmac.compare_digest(_digest(known), shown) for known in self.keys) > 0

    def opens_header(self, authorization: str) -> bool:
        """Whether an `Authorization` header shows one of the keys."""
        scheme, _, key = authorization.partition(" ")
        return scheme.lower() == "bearer" and self.opens(key.strip())

    def session(self, key: str, *, now: datetime, lasts_s: int) -> str:
        """A cookie's value for whoever has shown `key`."""
        until_s = str(int((now + timedelta(seconds=lasts_s)).timestamp()))
        return f"{until_s}.{_proof(key, until_s)}"

    def opens_session(self, value: str, *, now: datetime) -> bool:
        """Whether a cookie's value is one of ours and still good."""
        until_s, _, proof = value.partition(".")
        shown = _digest(proof)
        ours = sum(
            hmac.compare_digest(_digest(_proof(known, until_s)), shown) for known in self.keys
        )
        is_number = until_s.isdecimal() and len(until_s) <= _SECONDS_DIGITS_MAX
        return ours > 0 and is_number and int(until_s) > now.timestamp()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()


def _proof(key: str, until_s: str) -> str:
    words = f"session:{until_s}".encode(errors="surrogateescape")
    return hmac.new(key.encode(), words, hashlib.sha256).hexdigest()
