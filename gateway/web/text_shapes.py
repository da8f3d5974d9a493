"""The shape of the words on the pages that people see: what every language must say.

Invariant: a missing text is a missing argument. `{brand}` stands for the brand's name.
This file knows no language and no markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
    campaign: ChannelText
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
