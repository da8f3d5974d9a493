"""The first screen of the dashboard as markup: is it well, did it work, what came last.

Invariant: the headline says no more than the figures under it do. Pure: this file knows no port.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from gateway.web import figures
from gateway.web.lists_page import table_of_sends
from gateway.web.ports import Report
from gateway.web.results_page import results
from gateway.web.wishes import CHANNELS

NAMES = {"email": "E-mail", "sms": "SMS", "push": "Push"}
COLUMNS = (
    ("queued", "waiting"),
    ("claimed", "under way"),
    ("in_doubt", "in doubt"),
    ("held", "held"),
    ("armed", "armed"),
)
LATE_S = 300.0
FULL = 10_000
COLOURS = {"accepted": "good", "deferred": "second", "throttled": "second", "withheld": "second"}
NO_REQUEST = """<div class="empty">
<p><b>No request has come yet.</b> Publish one to the sends topic, or try it here:</p>
<pre>curl -X POST \u2026/v1/sends -H 'Authorization: Bearer KEY' \\
  -H 'Content-Type: application/cloudevents+json' -d @request.json</pre>
<p>Or from a terminal: <code>winback send request.json</code></p>
</div>"""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known at this moment. `seen` is None where the store does not answer."""

    reports: Mapping[str, Report]
    seen: Mapping[str, Any] | None


def wrongs(sight: Sight) -> list[str]:
    """What is not well, in words."""
    said = [f"not {name}" for name, report in sight.reports.items() if not report.ok]
    lanes = _lanes(sight)
    said += [
        f"{NAMES.get(name, name)}: the provider refuses our key or sender (breaker open)"
        for name, lane in lanes.items()
        if lane.get("breaker") == "open"
    ]
    if sight.seen is None:
        return [*said, "the store does not answer"]
    if sight.seen["oldest_due_s"] > LATE_S:
        said.append(f"the oldest delivery is late by {figures.age(sight.seen['oldest_due_s'])}")
    if sight.seen["outbox"] > FULL:
        said.append("facts pile up in the outbox: is Kafka away?")
    return said


def headline(sight: Sight) -> str:
    """The page's title."""
    return "Not well" if wrongs(sight) else "All is well"


def screen(sight: Sight) -> str:
    """The whole of it."""
    return "".join(_parts(sight))


def _parts(sight: Sight) -> Iterator[str]:
    wrong = wrongs(sight)
    mark = "ill" if wrong else "well"
    yield f'<h1><span class="{mark}" aria-hidden="true"></span>{headline(sight)}</h1>'
    if wrong:
        yield f'<ul class="wrongs">{"".join(f"<li>{escape(one)}</li>" for one in wrong)}</ul>'
    seen = sight.seen
    if seen is None:
        return
    yield f'<p class="asof">As of {figures.moment(seen["at"])}</p>'
    yield _stopped(seen["switches"])
    yield _tiles(seen)
    yield f'<div class="pair">{_lane_table(sight)}{_attempts(seen["outcomes"])}</div>'
    yield "<section><h2>Did it work?</h2>"
    yield _campaigns(seen) if seen["campaigns"] else NO_REQUEST
    yield "</section>"
    if seen["newest"]:
        yield "<section><h2>Newest sends</h2>"
        yield f'<div class="panel">{table_of_sends(seen["newest"])}</div>'
        yield '<p class="more"><a href="/sends">All sends</a></p></section>'


def _lanes(sight: Sight) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = {}
    for report in sight.reports.values():
        found = report.details.get("lanes", found)
    return found


def _stopped(switches: Sequence[Any]) -> str:
    if not switches:
        return ""
    rows = "".join(
        f"<li>Stopped: <b>{escape(one.scope)}</b>, {escape(one.reason)}, "
        f"since {figures.moment(one.at)}</li>"
        for one in switches
    )
    return f'<ul class="wrongs">{rows}</ul>'


def _tiles(seen: Mapping[str, Any]) -> str:
    lanes = seen["lanes"]
    count = {state: sum(lane.get(state, 0) for lane in lanes.values()) for state, _ in COLUMNS}
    letters = figures.figure(seen["letters"]) + ("+" if seen["letters"] >= FULL // 100 else "")
    late = seen["oldest_due_s"] > LATE_S
    return (
        '<div class="tiles">'
        + _tile(figures.figure(count["queued"]), "waiting", figures.sends(state="queued"))
        + _tile(figures.figure(count["claimed"]), "under way", figures.sends(state="claimed"))
        + _tile(figures.figure(count["in_doubt"]), "in doubt", figures.sends(state="in_doubt"))
        + _tile(
            figures.age(max(0.0, seen["oldest_due_s"])),
            "oldest due",
            figures.sends(state="queued"),
            is_bad=late,
        )
        + _tile(figures.figure(seen["outbox"]), "in the outbox", "/outbox")
        + _tile(letters, "dead letters", "/dead-letters", is_bad=bool(seen["letters"]))
        + "</div>"
    )


def _tile(number: str, name: str, href: str, *, is_bad: bool = False) -> str:
    kind = "tile bad" if is_bad else "tile"
    return f'<a class="{kind}" href="{href}"><b>{number}</b><span>{name}</span></a>'


def _lane_table(sight: Sight) -> str:
    heads = "".join(f'<th class="n" scope="col">{name}</th>' for _, name in COLUMNS)
    rows = "".join(_lane(sight, channel) for channel in CHANNELS)
    return (
        '<div class="panel"><h3>Lanes</h3><table><thead><tr><th scope="col">channel</th>'
        f'<th scope="col">lane</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _lane(sight: Sight, channel: str) -> str:
    lane = _lanes(sight).get(channel, {})
    counts = sight.seen["lanes"].get(channel, {}) if sight.seen else {}
    cells = "".join(
        f'<td class="n">'
        f"{figures.counted(counts.get(state, 0), figures.sends(state=state, channel=channel))}</td>"
        for state, _ in COLUMNS
    )
    how = "runs"
    if lane.get("breaker") == "open":
        how = '<span class="bad">breaker open</span>'
    elif lane.get("held"):
        how = "waits for the provider"
    return f'<tr><th scope="row">{NAMES[channel]}</th><td>{how}</td>{cells}</tr>'


def _attempts(outcomes: Mapping[str, int]) -> str:
    total = sum(outcomes.values())
    if not total:
        return (
            '<div class="panel"><h3>Newest attempts</h3>'
            '<p class="quiet">No provider was called yet.</p></div>'
        )
    order = sorted(outcomes, key=lambda name: (name not in COLOURS, name))
    drawn = figures.bar([(outcomes[name] / total, COLOURS.get(name, "poor")) for name in order])
    keys = "".join(
        f"<li><b>{figures.counted(outcomes[name], figures.sends(outcome=name))}</b> "
        f"{figures.words(name)}</li>"
        for name in order
    )
    return (
        f'<div class="panel"><h3>Newest {figures.figure(total)} attempts</h3>{drawn}'
        f'<ul class="keys">{keys}</ul></div>'
    )


def _campaigns(seen: Mapping[str, Any]) -> str:
    cards = "".join(
        f'<article class="campaign"><h3><a href="{figures.campaign(one["campaign"])}">'
        f"<bdi>{escape(one['campaign'])}</bdi></a></h3>{results(one)}</article>"
        for one in seen["campaigns"]
    )
    return (
        f'<p class="asof">People, counted once each; the newest campaigns first. '
        f"Counted {figures.moment(seen['counted_at'])}</p>"
        f'<div class="campaigns">{cards}</div>'
    )
