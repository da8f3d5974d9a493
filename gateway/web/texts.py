"""The words on the pages that people see, by language.

Invariant: every language says everything, for a missing text is a missing argument.
`{brand}` stands for the brand's name. This file knows no markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

DEFAULT_LANGUAGE = "en"


@dataclass(frozen=True, slots=True)
class ChannelText:
    """One channel in one language: its name, and sentences for both states."""

    name: str
    stop: str
    on: str
    off: str


@dataclass(frozen=True, slots=True)
class Texts:
    """All pages in one language; `direction` is `ltr` or `rtl`."""

    language: str
    direction: str
    channels: Mapping[str, ChannelText]
    title: str
    lead: str
    nothing_on: str
    choose: str
    save: str
    stop_all: str
    stop_all_hint: str
    done_title: str
    done_lead: str
    noted_lead: str
    change_more: str
    goodbye_title: str
    goodbye_lead: str
    goodbye_still: str
    return_hint: str
    return_button: str
    missing_title: str
    missing_lead: str
    unavailable_title: str
    unavailable_lead: str
    refused_title: str
    refused_lead: str
    footer: str


_ENGLISH = Texts(
    language="en",
    direction="ltr",
    channels=MappingProxyType(
        {
            "email": ChannelText(
                name="E-mail",
                stop="Stop e-mail offers",
                on="You get offers by e-mail.",
                off="You get no offers by e-mail.",
            ),
            "sms": ChannelText(
                name="Text messages",
                stop="Stop text offers",
                on="You get offers by text message.",
                off="You get no offers by text message.",
            ),
            "push": ChannelText(
                name="Push messages",
                stop="Stop push offers",
                on="You get offers in the app or browser.",
                off="You get no offers in the app or browser.",
            ),
        }
    ),
    title="Your messages from {brand}",
    lead="One press stops them. Nothing changes until you press.",
    nothing_on="You get no offers from us. You can switch them on again below.",
    choose="Choose by channel",
    save="Save my choice",
    stop_all="Stop all offers",
    stop_all_hint="No more offers from us, on any channel.",
    done_title="Done",
    done_lead="This is true from now on:",
    noted_lead="Your choice is kept and counts from now on.",
    change_more="Change something else",
    goodbye_title="Goodbye, and thank you",
    goodbye_lead="{brand} will send you no more offers: not by e-mail, text or push.",
    goodbye_still="What belongs to an order or your account still reaches you.",
    return_hint="Pressed by mistake?",
    return_button="Send me offers again",
    missing_title="This link does not work",
    missing_lead="It may be cut off or mistyped. Please open it again from the message you got.",
    unavailable_title="We could not do that just now",
    unavailable_lead="Nothing has changed. Please try again in a minute.",
    refused_title="That did not work",
    refused_lead="Please open the link again from the message you got.",
    footer="You see this page because {brand} sent you a message.",
)

_DANISH = Texts(
    language="da",
    direction="ltr",
    channels=MappingProxyType(
        {
            "email": ChannelText(
                name="E-mail",
                stop="Stop tilbud på e-mail",
                on="Du får tilbud på e-mail.",
                off="Du får ingen tilbud på e-mail.",
            ),
            "sms": ChannelText(
                name="Sms",
                stop="Stop tilbud på sms",
                on="Du får tilbud på sms.",
                off="Du får ingen tilbud på sms.",
            ),
            "push": ChannelText(
                name="Push-beskeder",
                stop="Stop tilbud som push",
                on="Du får tilbud i appen eller browseren.",
                off="Du får ingen tilbud i appen eller browseren.",
            ),
        }
    ),
    title="Dine beskeder fra {brand}",
    lead="Ét tryk stopper dem. Intet ændres, før du trykker.",
    nothing_on="Du får ingen tilbud fra os. Du kan slå dem til igen herunder.",
    choose="Vælg for hver kanal",
    save="Gem mit valg",
    stop_all="Stop alle tilbud",
    stop_all_hint="Ingen flere tilbud fra os, uanset kanal.",
    done_title="Det er gjort",
    done_lead="Fra nu af gælder:",
    noted_lead="Dit valg er gemt og gælder fra nu af.",
    change_more="Ret noget andet",
    goodbye_title="Farvel, og tak for denne gang",
    goodbye_lead="{brand} sender dig ikke flere tilbud: hverken på e-mail, sms eller push.",
    goodbye_still="Det, der hører til en ordre eller din konto, får du stadig.",
    return_hint="Trykkede du forkert?",
    return_button="Send mig tilbud igen",
    missing_title="Linket virker ikke",
    missing_lead="Måske er det skåret over eller tastet forkert. Åbn det igen fra beskeden.",
    unavailable_title="Det kunne vi ikke lige nu",
    unavailable_lead="Intet er ændret. Prøv igen om et minut.",
    refused_title="Det gik ikke",
    refused_lead="Åbn linket igen fra beskeden, du fik.",
    footer="Du ser siden, fordi {brand} har sendt dig en besked.",
)

TEXTS: Mapping[str, Texts] = MappingProxyType({"en": _ENGLISH, "da": _DANISH})


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
