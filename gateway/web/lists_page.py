"""The lists behind the figures, as markup: sends, dead letters, the outbox.

Invariant: a list says which things it shows, and an empty one what to do next. No row holds an
address. Pure: this file knows no port.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from gateway.core.listing import Listed, Page, Wanted
from gateway.web import figures


def title_of(wanted: Wanted) -> str:
    """What a list shows, in words."""
    if wanted.recipient_id:
        return f"Sends to {wanted.recipient_id}"
    if wanted.campaign:
        people = ", held out" if wanted.is_holdout else ""
        stage = f": {wanted.stage}" if wanted.stage else ""
        return f"Sends of {wanted.campaign}{people}{stage}"
    if wanted.outcome:
        return f"Newest attempts: {wanted.outcome}"
    if wanted.state:
        channel = f" by {wanted.channel}" if wanted.channel else ""
        return f"Deliveries{channel}: {wanted.state.replace('_', ' ')}"
    return "Sends"


def sends_page(wanted: Wanted, page: Page, *, more: str) -> str:
    """A list of sends; `more` is the address of the next page, empty at the end."""
    title = f"<h1><bdi>{escape(title_of(wanted))}</bdi></h1>"
    if not page.sends:
        return (
            f'{title}<div class="empty"><p><b>Nothing is here now.</b> '
            'The newest sends are <a href="/sends">in the list of all</a>.</p></div>'
        )
    following = f'<p class="more"><a href="{escape(more)}">Older sends</a></p>' if more else ""
    order = "the longest due first" if wanted.state else "the newest first"
    return (
        f"{title}<p>{figures.figure(len(page.sends))} shown, {order}</p>"
        f'<section class="panel">{table_of_sends(page.sends)}</section>{following}'
    )


def table_of_sends(sends: Sequence[Listed]) -> str:
    """Sends as rows; each opens its story."""
    rows = "".join(_row(one) for one in sends)
    return (
        '<table><thead><tr><th scope="col">recipient</th><th scope="col">campaign</th>'
        '<th scope="col" class="wide-only">template</th>'
        '<th scope="col" class="wide-only">channel</th><th scope="col">state</th>'
        '<th scope="col" class="wide-only n">taken in</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _row(one: Listed) -> str:
    marks = "".join(
        f" <small>{mark}</small>"
        for mark, is_so in (("test", one.is_test), ("held out", one.is_holdout))
        if is_so
    )
    why = f" {figures.words(one.reason)}" if one.reason and one.state != "sent" else ""
    arm = f" <small>{escape(one.variant)}</small>" if one.variant else ""
    return (
        f'<tr><th scope="row" class="id"><a href="/sends/{escape(one.send_id)}">'
        f"<bdi>{escape(one.recipient_id)}</bdi></a></th>"
        f'<td class="id"><a href="{figures.campaign(one.campaign)}">'
        f"<bdi>{escape(one.campaign)}</bdi></a>{arm}</td>"
        f'<td class="wide-only">{escape(one.template)}</td>'
        f'<td class="wide-only">{escape(one.channel or "")}</td>'
        f"<td>{figures.state(one.state)}{marks}<small>{why}</small></td>"
        f'<td class="wide-only n">{figures.moment(one.accepted_at)}</td></tr>'
    )


def letters_page(letters: Sequence[Mapping[str, Any]]) -> str:
    """Dead letters: why, and where the original stood."""
    title = "<h1>Dead letters</h1>"
    if not letters:
        return (
            f'{title}<div class="empty"><p><b>No record was refused lately.</b> What upstream '
            "sends and we cannot take shows up here and on the dead-letter topic.</p></div>"
        )
    rows = "".join(
        f'<tr><th scope="row">{figures.words(one["reason"])}</th>'
        f'<td class="id"><code>{escape(one["detail"])}</code></td>'
        f'<td class="id">{escape(one["topic"])} {escape(one["partition"])}:'
        f'{escape(one["offset"])}</td><td class="n">{figures.moment(one["at"])}</td></tr>'
        for one in letters
    )
    return (
        f"{title}<p>The newest first. To read one whole: <code>winback dlq show</code>; once it is "
        f'mended: <code>winback dlq replay</code></p><section class="panel"><table><thead><tr>'
        '<th scope="col">reason</th><th scope="col">where</th><th scope="col">record</th>'
        '<th scope="col" class="n">refused</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></section>"
    )


def outbox_page(facts: Sequence[Mapping[str, Any]]) -> str:
    """Facts that are not on Kafka yet, the oldest first."""
    title = "<h1>Outbox</h1>"
    if not facts:
        return (
            f'{title}<div class="empty"><p><b>Everything is published.</b> '
            "Facts wait here while Kafka is away.</p></div>"
        )
    rows = "".join(_fact(one) for one in facts)
    return (
        f'{title}<p>{figures.figure(len(facts))} shown, the oldest first</p><section class="panel">'
        '<table><thead><tr><th scope="col">fact</th><th scope="col">recipient</th>'
        f'<th scope="col">channel</th><th scope="col" class="n">occurred</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></section>"
    )


def _fact(one: Mapping[str, Any]) -> str:
    name = escape(one["type"].removeprefix("winback.").removesuffix(".v1") or "dead letter")
    if one["send_id"]:
        name = f'<a href="/sends/{escape(one["send_id"])}">{name}</a>'
    said = one["occurred_at"]
    at = figures.moment(datetime.fromisoformat(said)) if said else ""
    return (
        f'<tr><th scope="row">{name}</th>'
        f'<td class="id"><bdi>{escape(one["recipient_id"] or "")}</bdi></td>'
        f'<td>{escape(one["channel"] or "")}</td><td class="n">{at}</td></tr>'
    )
