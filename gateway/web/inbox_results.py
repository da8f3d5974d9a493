"""What the campaign brought, as a panel of the demo's inbox.

Invariant: the figures are those of the dashboard's own page, drawn by its code; a figure leads to
the list behind it there, which asks for the key once. Pure: values in, text out.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from gateway.web import figures, results_page

DASHBOARD = (
    '<p class="door"><a href="/">Dashboard</a> <span class="quiet">the terminal has the key</span>'
    "</p>"
)
_EMPTY = '<p class="empty">Nobody is in the campaign yet.</p>'


def panel(found: Mapping[str, Any]) -> str:
    """The funnel, and the hold-out beside it; the campaign's own page has the groups."""
    name = found["campaign"]
    is_known = found["total"]["targeted"] or found["holdout"]["targeted"]
    body = results_page.results(found) if is_known else _EMPTY
    return (
        '<section class="brought" aria-labelledby="brought" data-live="results">'
        f'<h2 id="brought">Did it work? <a href="{figures.campaign(name)}">'
        f"<bdi>{escape(name)}</bdi></a></h2>{body}</section>"
    )
