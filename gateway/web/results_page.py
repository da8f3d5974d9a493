"""What a campaign brought, as markup: the funnel, and beside it the people who were held out.

Invariant: people are people: the hold-out is never in the funnel, and no rate is shown of nobody.
Pure: this file knows no port.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from gateway.web import figures

STAGES = (
    ("targeted", "targeted"),
    ("sent", "sent"),
    ("delivered", "delivered"),
    ("opened", "opened"),
    ("clicked", "clicked"),
    ("returned", "returned"),
)
GROUPS = (
    ("by_channel", "By channel"),
    ("by_variant", "By variant"),
    ("by_reason", "By churn reason"),
    ("by_offer", "By offer"),
)
EMPTY = """<div class="empty"><p><b>Nothing is known of this campaign.</b> Its name is the one that
requests carry in <code>campaign</code>; the newest are on the <a href="/">overview</a>.</p>
</div>"""


def results(found: Mapping[str, Any]) -> str:
    """The funnel, and what it is measured against."""
    total, name = found["total"], found["campaign"]
    steps = "".join(_step(name, stage, shown, total) for stage, shown in STAGES)
    return f'<div class="results"><ol class="funnel">{steps}</ol><div>{_against(found)}</div></div>'


def page(found: Mapping[str, Any]) -> str:
    """A campaign's own page."""
    return "".join(_parts(found))


def _parts(found: Mapping[str, Any]) -> Iterator[str]:
    name = found["campaign"]
    yield f"<h1><bdi>{escape(name)}</bdi></h1>"
    if not found["total"]["targeted"] and not found["holdout"]["targeted"]:
        yield EMPTY
        return
    yield "<p>People, counted once each. Opens and clicks are those of people, not of scanners.</p>"
    yield f'<section class="campaign">{results(found)}</section>'
    for key, title in GROUPS:
        if found[key]:
            yield f"<section><h2>{title}</h2>{_table(found[key])}</section>"
    every = figures.sends(campaign=name)
    yield f'<p class="more"><a href="{every}">All sends of this campaign</a></p>'


def _step(campaign: str, stage: str, shown: str, total: Mapping[str, Any]) -> str:
    count, of = total[stage], total["targeted"]
    share = count / of if of else 0.0
    said = "people" if stage == "targeted" or not of else figures.percent(share)
    href = figures.sends(campaign=campaign, stage=stage)
    return (
        f'<li><a href="{href}"><b>{figures.figure(count)}</b><span>{shown}</span>'
        f"{figures.bar([(share, 'first')])}<small>{said}</small></a></li>"
    )


def _against(found: Mapping[str, Any]) -> str:
    total, holdout, name = found["total"], found["holdout"], found["campaign"]
    tail = _revenue(total) + _stopped(total, name)
    if not holdout["targeted"]:
        return (
            "<p><b>No hold-out.</b> Who would have come back anyway? "
            "Give the request an <code>experiment.holdout</code> to know.</p>" + tail
        )
    rate, without = total["reactivation_rate"], holdout["reactivation_rate"]
    scale = max(rate, without) or 1.0
    href = figures.sends(campaign=name, stage="returned", people="held_out")
    return (
        '<dl class="against"><dt>returned, written to</dt>'
        f"<dd>{figures.bar([(rate / scale, 'first')])}</dd>"
        f'<dd class="n">{figures.percent(rate)}</dd>'
        f"<dt>returned, held out</dt><dd>{figures.bar([(without / scale, 'second')])}</dd>"
        f'<dd class="n">{figures.percent(without)}</dd></dl>'
        f'<p><a href="{href}">{figures.figure(holdout["returned"])}</a> of '
        f'<a href="{figures.sends(campaign=name, people="held_out")}">'
        f"{figures.figure(holdout['targeted'])}</a> held out. {_lift(total['lift'])}</p>{tail}"
    )


def _lift(lift: Mapping[str, Any] | None) -> str:
    if lift is None:
        return ""
    low, high = lift["interval"]
    sure = "" if low > 0 or high < 0 else "; it may be chance"
    return (
        f"Lift <b>{figures.points(lift['absolute'])} points</b> "
        f"(95\u202f%: {figures.points(low)} to {figures.points(high)}{sure})."
    )


def _revenue(total: Mapping[str, Any]) -> str:
    return f"<p>Revenue <b>{figures.money(total['revenue'])}</b></p>" if total["revenue"] else ""


def _stopped(total: Mapping[str, Any], name: str) -> str:
    if not total["unsubscribed"]:
        return ""
    href = figures.sends(campaign=name, stage="unsubscribed")
    return f"<p>{figures.counted(total['unsubscribed'], href)} unsubscribed</p>"


def _table(group: Mapping[str, Mapping[str, Any]]) -> str:
    heads = "".join(f'<th class="n" scope="col">{shown}</th>' for _, shown in STAGES)
    rows = "".join(
        f'<tr><th scope="row">{figures.words(name)}</th>'
        + "".join(f'<td class="n">{figures.figure(leaf[stage])}</td>' for stage, _ in STAGES)
        + f'<td class="n">{figures.percent(leaf["reactivation_rate"])}</td></tr>'
        for name, leaf in group.items()
    )
    return (
        f'<div class="panel"><table><thead><tr><th scope="col"></th>{heads}'
        f'<th class="n" scope="col">rate</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )
