"""Which language a page is in.

Invariant: there is always one, for English stands behind all others. The words themselves are in
`texts_west.py` and `texts_east.py`. This file knows no markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gateway.web.text_shapes import ChannelText, Texts
from gateway.web.texts_east import JAPANESE, KOREAN, RUSSIAN
from gateway.web.texts_west import DANISH, ENGLISH, GERMAN

DEFAULT_LANGUAGE = "en"

TEXTS: Mapping[str, Texts] = MappingProxyType(
    {texts.language: texts for texts in (ENGLISH, DANISH, GERMAN, JAPANESE, KOREAN, RUSSIAN)}
)


def texts_for(locales: Iterable[str]) -> Texts:
    """The first of the wished locales that we have: exact, then its language, then English."""
    for locale in locales:
        wished = locale.replace("_", "-").lower()
        for key in (wished, wished.partition("-")[0]):
            if key in TEXTS:
                return TEXTS[key]
    return TEXTS[DEFAULT_LANGUAGE]


def wished_locales(accept_language: str) -> list[str]:
    """The locales of an `Accept-Language` header, most wanted first; those with q=0 left out."""
    wishes: list[tuple[float, str]] = []
    for part in accept_language[:512].split(","):
        tag, _, weight = part.partition(";")
        wishes.append((_weight(weight), tag.strip()))
    # The sort is stable: of equal weights the one named first stays first.
    wishes.sort(key=lambda wish: -wish[0])
    return [tag for weight, tag in wishes if weight > 0 and tag]


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


__all__ = ["DEFAULT_LANGUAGE", "TEXTS", "ChannelText", "Texts", "texts_for", "wished_locales"]
