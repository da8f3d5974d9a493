"""What a person means by a text message: stop, start, help, or something for a human to read.

Whole words are compared after the text is reduced to letters: any case, width, accent of
punctuation, quotes and emoji do not matter. Keywords: Twilio's, AWS's and Telnyx's published sets.
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum

TEXT_MAX = 1600

STOP = frozenset(
    {
        "stop",
        "stopall",
        "unsubscribe",
        "cancel",
        "end",
        "quit",
        "revoke",
        "optout",
        "arret",
        "remove",
        "td",
        "stopp",
        "stoppen",
        "afmeld",
        "baja",
    }
)
STOP_PHRASES = frozenset({("stop", "all"), ("opt", "out")})
STRONG = frozenset({"stop", "stopall", "unsubscribe", "optout"})
START = frozenset({"start", "yes", "unstop"})
HELP = frozenset({"help", "info"})
PHRASE_WORDS_MAX = 4

OPT_OUT = {
    "en": "Reply STOP to opt out.",
    "da": "Svar STOP for at framelde dig.",
    "de": "Antworten Sie STOP zum Abmelden.",
    "ja": "配信停止はSTOPと返信",
    "ko": "수신 거부: STOP 답장",
    "ru": "Отписка: ответьте STOP",
}
"""What a person's first SMS ends with, by language."""


class Said(StrEnum):
    """A class of answer."""

    STOP = "stop"
    START = "start"
    HELP = "help"
    TEXT = "text"


def said(text: str) -> Said:
    """What a text says. A doubtful no is a no; only a lone word is a yes."""
    words = tuple(_letters(text[:TEXT_MAX]).split())
    if len(words) == 1:
        return _one_word(words[0])
    if words in STOP_PHRASES or _asks_to_stop(words):
        return Said.STOP
    return Said.TEXT


def opt_out(locale: str) -> str:
    """The opt-out sentence in a text's language, else in English."""
    return OPT_OUT.get(locale.partition("-")[0].lower(), OPT_OUT["en"])


def _one_word(word: str) -> Said:
    if word in STOP:
        return Said.STOP
    if word in START:
        return Said.START
    return Said.HELP if word in HELP else Said.TEXT


def _asks_to_stop(words: tuple[str, ...]) -> bool:
    """A short text with a strong word: *stop please*, *unsubscribe me*, *please stop this*."""
    if not 0 < len(words) <= PHRASE_WORDS_MAX:
        return False
    return any(word in STRONG for word in words) and not any(word.isdecimal() for word in words)


def _letters(text: str) -> str:
    """Lower-case letters and digits with single spaces; zero-width characters vanish."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    kept: list[str] = []
    for character in plain:
        kind = unicodedata.category(character)
        if kind[0] in "LN":
            kept.append(character)
        elif character == "-" or kind in ("Cf", "Mn"):
            continue
        else:
            kept.append(" ")
    return "".join(kept)
