"""The demo's inbox as markup: people, their messages, and the live stream beside them.

Invariant: every word that came from outside is escaped, and a mail is never part of the page: it
is a document of its own in a frame that runs no script. Pure: values in, text out.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import urlencode

from channels.contract import EmailContent, Kind, PushContent, SmsContent
from gateway.web import inbox_results
from gateway.web.inbox_ports import Captured, Told

FACTS_MAX = 200
ARRIVED = "delivered"
NAMES: Mapping[str, str] = {"email": "E-mail", "sms": "SMS", "push": "Push"}
COUNTED = ("sent", "delivered", "opened", "clicked", "unsubscribed", "bounced", "suppressed",
           "dead letter")  # fmt: skip
ACTS = frozenset(
    {"opened", "clicked", "replied", "unsubscribed", "resubscribed", "complained", "returned"}
)
SAID: Mapping[str, str] = {
    "conversion.attributed": "returned",
    "coupon.issued": "coupon issued",
    "coupon.redeemed": "coupon redeemed",
    "coupon.expired": "coupon expired",
}
LOST = frozenset({"bounced", "failed", "unknown", "dead letter"})
_ICON = (
    '<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d="{}" fill="none" '
    'stroke="currentColor" stroke-width="1.5" stroke-linejoin="round" stroke-linecap="round"/>'
    "</svg>"
)
ICONS: Mapping[str, str] = {
    "email": _ICON.format("M1.5 3.5h13v9h-13zM1.5 4.5 8 9l6.5-4.5"),
    "sms": _ICON.format("M1.5 2.5h13v8.5H7l-3.5 3V11h-2zM4.5 5.8h7M4.5 8h4"),
    "push": _ICON.format("M8 1.5v1M3.5 11.5V7a4.5 4.5 0 0 1 9 0v4.5l1 1h-11zM6.5 14.5h3"),
}
_URL = re.compile(r"https?://[^\s<>\"]+")
_ONE_CLICK = re.compile(r"<(https?://[^>\"]+)>")


@dataclass(frozen=True, slots=True)
class View:
    """What to show: everything caught (newest first), everything told, and what was chosen.

    `names` maps recipient ids to names, `results` is what the campaign brought; `channel` and
    `person` are empty for *any*.
    """

    captured: Sequence[Captured]
    told: Sequence[Told]
    names: Mapping[str, str]
    results: Mapping[str, Any]
    channel: str = ""
    person: str = ""


@dataclass(slots=True)
class Person:
    """Somebody with messages, one per delivery, newest first."""

    key: str
    name: str
    messages: list[Captured] = field(default_factory=list)

    @property
    def keys(self) -> frozenset[str]:
        """What a link to them may say; a link from before their first fact names a send."""
        return frozenset({self.key, *(one.send_id for one in self.messages)})

    @property
    def kinds(self) -> frozenset[Kind]:
        """The channels on which they got something."""
        return frozenset(one.kind for one in self.messages)


def page(view: View) -> str:
    """All that stands inside the body."""
    people = _people(view)
    chosen = _chosen(view, people)
    trails = _trails(view.told)
    last = view.told[-1].number if view.told else 0
    return (
        f'<header><p class="brand">Inbox of the demo</p>{_counts(view)}'
        f"{inbox_results.DASHBOARD}</header>"
        f'<div class="desk" data-last="{last}">'
        f'<nav class="people" aria-label="People">{_filters(view, chosen)}'
        f"{_list(view, people, chosen)}</nav>"
        f"<main>{_messages(view, chosen, trails)}</main>"
        f'<div class="side">{inbox_results.panel(view.results)}'
        '<aside aria-labelledby="live"><h2 id="live">Live from the topic</h2>'
        f"{_facts(view)}</aside></div></div>"
    )


def row(fact: Told, names: Mapping[str, str]) -> str:
    """One fact as a list item, without a line break."""
    word = word_of(fact)
    mood = "act" if word in ACTS else "lost" if word in LOST else "calm"
    name = names.get(fact.recipient_id, fact.recipient_id)
    actor = f' <span class="actor">{escape(fact.actor)}</span>' if fact.actor else ""
    detail = f"<small>{escape(' '.join(fact.detail.split()))}</small>" if fact.detail else ""
    query = escape(_query("", fact.recipient_id))
    return (
        f'<li class="{mood}" data-number="{fact.number}">{_time(fact.at)}<p>'
        f"<b>{escape(word)}</b> {_channel(fact.channel)} "
        f'<a href="{query}"><bdi>{escape(name)}</bdi></a>{actor}{detail}</p></li>'
    )


def word_of(fact: Told) -> str:
    """A fact's type in a word or two: `delivered`, `clicked`, `dead letter`, `coupon issued`."""
    return SAID.get(fact.type) or fact.type.rpartition(".")[2].replace("_", " ")


def mail(content: EmailContent) -> str:
    """A mail as it would be read, its links opening beside the inbox."""
    target = '<base target="_blank">'
    before, head, after = content.html.partition("<head>")
    return f"{before}{head}{target}{after}" if head else target + content.html


# --- who and what -----------------------------------------------------------------------------


def _people(view: View) -> list[Person]:
    """People with messages on the chosen channel, whoever got the newest first."""
    of_send = {fact.send_id: fact.recipient_id for fact in view.told if fact.recipient_id}
    of_name = {name: key for key, name in view.names.items()}
    found: dict[str, Person] = {}
    seen: set[str] = set()
    for one in view.captured:
        is_repeat = one.delivery_id in seen
        if is_repeat or (view.channel and one.kind != view.channel):
            continue
        seen.add(one.delivery_id)
        # Until its first fact has come, only its name says who a message is for.
        key = of_send.get(one.send_id) or of_name.get(one.to_name) or one.send_id
        name = view.names.get(key) or one.to_name or key
        found.setdefault(key, Person(key, name)).messages.append(one)
    return list(found.values())


def _chosen(view: View, people: Sequence[Person]) -> Person | None:
    if view.person:
        return next((one for one in people if view.person in one.keys), None)
    order = sorted(people, key=lambda one: (-len(one.kinds), one.key))
    return order[0] if order else None


def _trails(told: Iterable[Told]) -> Mapping[str, Counter[str]]:
    trails: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for fact in told:
        if fact.delivery_id:
            trails[fact.delivery_id][word_of(fact)] += 1
    return trails


# --- the parts --------------------------------------------------------------------------------


def _counts(view: View) -> str:
    counts = Counter(word_of(fact) for fact in view.told)
    items = "".join(f"<div><dt>{word}</dt><dd>{counts[word]}</dd></div>" for word in COUNTED)
    return f'<dl class="counts" data-live="counts">{items}</dl>'


def _filters(view: View, chosen: Person | None) -> str:
    person = chosen.key if chosen and view.person else view.person
    links = [("", "All"), *NAMES.items()]
    return (
        '<p class="filters">'
        + "".join(
            f'<a href="{escape(_query(channel, person))}"'
            f"{' aria-current=true' if channel == view.channel else ''}>"
            f"{ICONS.get(channel, '')}{name}</a>"
            for channel, name in links
        )
        + "</p>"
    )


def _list(view: View, people: Sequence[Person], chosen: Person | None) -> str:
    if not people:
        what = f"{NAMES[view.channel]} message" if view.channel in NAMES else "message"
        hint = "It shows up here as soon as a lane has sent it."
        return f'<p class="empty" data-live="people">No {what} yet. {hint}</p>'
    items = "".join(_person(view, one, is_chosen=one is chosen) for one in people)
    return f'<ul data-live="people">{items}</ul>'


def _person(view: View, person: Person, *, is_chosen: bool) -> str:
    current = " aria-current=page" if is_chosen else ""
    icons = "".join(_channel(kind.value) for kind in Kind if kind in person.kinds)
    fates = {one.fate for one in person.messages} - {ARRIVED}
    fate = f'<span class="fate">{escape(min(fates))}</span>' if fates else ""
    return (
        f'<li><a href="{escape(_query(view.channel, person.key))}"{current}>'
        f'<span class="face" aria-hidden="true">{escape(person.name[:1])}</span>'
        f"<span><bdi>{escape(person.name)}</bdi>"
        f"<small>{escape(_first_words(person.messages[0]))}</small></span>"
        f'<span class="icons">{fate}{icons}</span></a></li>'
    )


def _first_words(message: Captured) -> str:
    match message.content:
        case EmailContent(subject=text) | SmsContent(text=text) | PushContent(title=text):
            return text.partition("\n")[0][:80]


def _messages(view: View, chosen: Person | None, trails: Mapping[str, Counter[str]]) -> str:
    if chosen is None:
        return f'<div data-live="messages" data-version="">{_nothing(view)}</div>'
    version = " ".join(one.delivery_id for one in chosen.messages)
    order = sorted(chosen.messages, key=lambda one: list(Kind).index(one.kind))
    cards = "".join(_card(one, trails.get(one.delivery_id, Counter())) for one in order)
    kinds = "".join(f" has-{kind.value}" for kind in Kind if kind in chosen.kinds)
    return (
        f'<div data-live="messages" data-version="{escape(version)}">'
        f"<h1><bdi>{escape(chosen.name)}</bdi> <small>{escape(chosen.key)}</small></h1>"
        f'<div class="cards{kinds}">{cards}</div></div>'
    )


def _nothing(view: View) -> str:
    if view.person or view.channel:
        name = escape(view.names.get(view.person, view.person)) or "anybody"
        what = NAMES.get(view.channel, "message")
        return (
            f"<h1>Nothing here</h1><p>No {what} for <bdi>{name}</bdi>. The stream says why, where "
            'there is a why. <a href="?">Show all messages</a></p>'
        )
    return (
        "<h1>No message yet</h1><p>The gateway is running. Send it an event with the command that "
        "the terminal shows, and the message appears here.</p>"
    )


def _card(message: Captured, trail: Counter[str]) -> str:
    match message.content:
        case EmailContent() as content:
            body = _mail_card(message, content)
        case SmsContent() as content:
            body = (
                f'<div class="bubble"><p dir="{_way(content.text)}">'
                f"{_linked(content.text)}</p></div>"
                f'<p class="quiet">{content.segments} segment{"s" * (content.segments != 1)}, '
                f"{escape(content.encoding)}</p>"
            )
        case PushContent() as content:
            body = _push_card(content)
    kind = message.kind.value
    return (
        f'<article class="{kind}"><h2>{ICONS[kind]}{NAMES[kind]} {_time(message.captured_at)}'
        f"</h2>{body}{_trail(message, trail)}</article>"
    )


def _mail_card(message: Captured, content: EmailContent) -> str:
    to = message.to if isinstance(message.to, str) else ""
    arrived = message.fate == ARRIVED
    button, frame = (_one_click(content), _frame(message, content)) if arrived else ("", "")
    return (
        f'<div class="head"><div><h3 dir="{_way(content.subject)}">{escape(content.subject)}</h3>'
        f'<p class="quiet">to {escape(to)}</p></div>{button}</div>{frame}'
        f"<details{'' if arrived else ' open'}><summary>Plain text</summary>"
        f"<pre>{_linked(content.text) if arrived else escape(content.text)}</pre></details>"
    )


def _frame(message: Captured, content: EmailContent) -> str:
    """The mail itself. Showing it loads its pixel, so only what has arrived is shown."""
    return (
        f'<iframe src="/inbox/mails/{escape(message.delivery_id)}" loading="lazy" '
        'sandbox="allow-popups allow-popups-to-escape-sandbox" '
        f'title="{escape(content.subject)}"></iframe>'
    )


def _one_click(content: EmailContent) -> str:
    """The button that a mail client makes of `List-Unsubscribe` (RFC 8058)."""
    found = _ONE_CLICK.search(content.headers.get("List-Unsubscribe", ""))
    if found is None:
        return ""
    return (
        f'<form method="post" action="{escape(found[1])}" target="_blank">'
        '<input type="hidden" name="List-Unsubscribe" value="One-Click">'
        "<button>Unsubscribe</button></form>"
    )


def _push_card(content: PushContent) -> str:
    opens = content.url.startswith(("http://", "https://"))
    tag, href = ("a", f' href="{escape(content.url)}" target="_blank"') if opens else ("div", "")
    return (
        f'<{tag} class="banner"{href}><span class="app">{ICONS["push"]}</span>'
        f'<span><b dir="{_way(content.title)}">{escape(content.title)}</b>'
        f'<span dir="{_way(content.body)}">{escape(content.body)}</span></span></{tag}>'
    )


def _trail(message: Captured, trail: Counter[str]) -> str:
    steps = "".join(
        f'<li class="{"act" if word in ACTS else "lost" if word in LOST else "calm"}">'
        f"{escape(word)}{f' {count}×' if count > 1 else ''}</li>"
        for word, count in trail.items()
    )
    if not steps:
        steps = f'<li class="lost">{escape(message.fate)}: not taken, tried again by itself</li>'
    return (
        f'<ul class="trail" data-live="trail-{escape(message.delivery_id)}" '
        f'aria-label="What became of it">{steps}</ul>'
    )


def _facts(view: View) -> str:
    rows = "".join(row(fact, view.names) for fact in reversed(view.told[-FACTS_MAX:]))
    hint = '<p class="empty">Nothing has come yet. Facts show up here as they are published.</p>'
    return f'{"" if rows else hint}<ol class="facts" id="facts">{rows}</ol>'


# --- small things -----------------------------------------------------------------------------


def _channel(name: str) -> str:
    return f'<span class="kind" title="{NAMES[name]}">{ICONS[name]}</span>' if name in NAMES else ""


def _time(at: datetime) -> str:
    return f'<time datetime="{at.isoformat()}">{at:%H:%M:%S}</time>'


def _linked(text: str) -> str:
    """Text with its web addresses as links."""
    parts: list[str] = []
    place = 0
    for found in _URL.finditer(text):
        url = escape(found.group())
        parts += [escape(text[place : found.start()]), f'<a href="{url}" target="_blank">{url}</a>']
        place = found.end()
    return "".join((*parts, escape(text[place:])))


def _way(text: str) -> str:
    """Which way most of a text runs: a Hebrew name does not turn an English sentence around."""
    ways = Counter(unicodedata.bidirectional(letter) for letter in text)
    return "rtl" if ways["R"] + ways["AL"] > ways["L"] else "ltr"


def _query(channel: str, person: str) -> str:
    chosen = {"channel": channel, "person": person}
    return "?" + urlencode({name: value for name, value in chosen.items() if value})
