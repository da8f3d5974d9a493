"""The story of one send, as markup: every gate, attempt and event on one line of time.

Invariant: it tells what the decision record tells, in the order in which it happened. No address
is in it. Pure: this file knows no port.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from typing import Any

from gateway.web import figures

GOOD = frozenset({"accepted", "message.sent", "message.delivered", "conversion.attributed"})
POOR = frozenset(
    {
        "refused",
        "misconfigured",
        "uncertain",
        "message.bounced",
        "message.failed",
        "message.unknown",
        "recipient.complained",
    }
)
ACTS = frozenset({"message.opened", "message.clicked", "message.replied", "recipient.unsubscribed"})
TOLD = ("channel", "provider", "reason", "detail", "actor", "url", "coupon_code", "window")


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened; `name` is text, `more` is markup; `order` where `at` misleads."""

    at: datetime
    name: str
    more: str
    kind: str = ""
    order: datetime | None = None


def page(story: Mapping[str, Any]) -> str:
    """The whole of it."""
    steps = sorted(_steps(story), key=lambda step: step.order or step.at)
    return f'{_head(story)}<ol class="story">{"".join(map(_step, steps))}{_next(story)}</ol>'


def _head(story: Mapping[str, Any]) -> str:
    asked, version = story["request"], story["template_version"]
    rows = {
        "campaign": _link(figures.campaign(story["campaign"]), story["campaign"]),
        "template": f"{escape(story['template'])} <small>{escape(version)}</small>",
        "purpose": escape(story["purpose"]),
        "request": f"<code>{escape(asked['source'])} {escape(asked['id'])}</code>",
        "send": f"<code>{escape(story['send_id'])}</code>",
        "may go by": escape(", ".join(f"{r['channel']} ({r['locale']})" for r in story["routes"])),
        "not before": figures.moment(story["not_before"]),
        "expires": figures.moment(story["expires_at"]),
    }
    facts = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows.items() if text)
    test = " <small>test</small>" if story["is_test"] else ""
    who = _link(figures.sends(recipient=story["recipient_id"]), story["recipient_id"])
    return f'<h1>{figures.state(story["state"])} {who}{test}</h1><dl class="about">{facts}</dl>'


def _link(href: str, text: str) -> str:
    return f'<a href="{href}"><bdi>{escape(text)}</bdi></a>'


def _steps(story: Mapping[str, Any]) -> Iterator[Step]:
    yield Step(story["accepted_at"], "Taken in, and decided", _gates(story["gates"]))
    for delivery in story["deliveries"]:
        for attempt in delivery["attempts"]:
            yield _attempt(delivery, attempt)
    last: datetime | None = None
    for event in story["events"]:
        # Facts keep their order, also where a receipt's clock is behind ours.
        step = _event(event)
        last = step.at if last is None else max(last, step.at)
        yield replace(step, order=last)


def _gates(gates: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{figures.words(gate["gate"])}</th>'
        f"<td>{figures.words(gate['answer'])}</td>"
        f'<td class="id">{escape(gate["detail"] or "")}</td></tr>'
        for gate in gates
    )
    return (
        '<table><thead><tr><th scope="col">gate</th><th scope="col">answer</th>'
        f'<th scope="col">because of</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _attempt(delivery: Mapping[str, Any], attempt: Mapping[str, Any]) -> Step:
    took_s = (attempt["ended_at"] - attempt["started_at"]).total_seconds()
    why = f", {escape(attempt['reason'])}" if attempt["reason"] else ""
    more = (
        f"<p>{escape(delivery['channel'])} by {escape(attempt['provider'])}, "
        f"answered after {took_s * 1000:.0f}\u202fms{why}</p>"
    )
    outcome = attempt["outcome"]
    name = f"Attempt {attempt['claim']}: {outcome.replace('_', ' ')}"
    return Step(attempt["started_at"], name, more, _kind(outcome))


def _event(event: Mapping[str, Any]) -> Step:
    data = event["data"]
    name = event["type"].removeprefix("winback.").removesuffix(".v1")
    said = [
        f"{figures.words(field)} {escape(str(data[field]))}" for field in TOLD if data.get(field)
    ]
    if data.get("value"):
        said.append(f"value {escape(str(data['value']))} {escape(str(data.get('currency') or ''))}")
    more = f"<p>{', '.join(said)}</p>"
    return Step(datetime.fromisoformat(data["occurred_at"]), name, more, _kind(name))


def _kind(name: str) -> str:
    if name in GOOD:
        return "good"
    return "poor" if name in POOR else "act" if name in ACTS else ""


def _step(step: Step) -> str:
    kind = f' class="{step.kind}"' if step.kind else ""
    name = escape(step.name.replace(".", " "))
    return f"<li{kind}><p>{figures.moment(step.at)}</p><h2>{name}</h2>{step.more}</li>"


def _next(story: Mapping[str, Any]) -> str:
    """What it waits for, if it does."""
    said = []
    for delivery in story["deliveries"]:
        if delivery["due_at"] is not None:
            said.append(f"{escape(delivery['channel'])} due {figures.moment(delivery['due_at'])}")
        if delivery["in_doubt_until"] is not None:
            until = figures.moment(delivery["in_doubt_until"])
            said.append(f"{escape(delivery['channel'])} waits for proof until {until}")
    return f"<li><h2>Next</h2><p>{'; '.join(said)}</p></li>" if said else ""
