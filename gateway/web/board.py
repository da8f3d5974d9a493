"""The sheet that the team's pages are written on: head, navigation, style and one script.

Invariant: a page is whole without the script, loads nothing from anywhere else, and what comes
from outside is escaped before it gets here. This file knows no port and no figure.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from aiohttp import web

_DOCUMENT = """<!doctype html>
<html lang="en" dir="ltr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>{title} · winback-gateway</title>
<link rel="icon" href="data:,">
<style>{style}</style>
{again}</head>
<body class="board">
<header>
<p class="brand"><a href="/">winback-gateway</a></p>
<nav aria-label="Pages">{places}</nav>
<form method="post" action="/"><button name="leave" value="1">Sign out</button></form>
</header>
<main{live}>
{main}
</main>
<script>{script}</script>
</body>
</html>
"""
# Without the script the browser asks again by itself, more seldom, for it loses the place.
_AGAIN = '<noscript><meta http-equiv="refresh" content="15"></noscript>\n'
_PLACES = (("/", "Overview"), ("/sends", "Sends"), ("/dead-letters", "Dead letters"))


@dataclass(frozen=True, slots=True)
class Board:
    """Writes pages for the team."""

    style: str
    script: str
    policy: str

    def page(
        self, title: str, main: str, *, at: str = "", status: int = 200, is_live: bool = False
    ) -> web.Response:
        """A page; `main` is markup, `at` its place in the navigation.

        A live page is fetched anew every few seconds.
        """
        text = _DOCUMENT.format(
            title=escape(title),
            style=self.style,
            script=self.script,
            again=_AGAIN if is_live else "",
            live=' data-live="main"' if is_live else "",
            places="".join(_place(path, name, is_here=path == at) for path, name in _PLACES),
            main=main,
        )
        return web.Response(
            text=text,
            status=status,
            content_type="text/html",
            charset="utf-8",
            headers={"Content-Security-Policy": self.policy},
        )


def load_board() -> Board:
    """Read the packaged styles and script."""
    style, script = _packaged("style.css") + _packaged("board.css"), _packaged("board.js")
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return Board(style, script, policy)


def _place(path: str, name: str, *, is_here: bool) -> str:
    return f'<a href="{path}"{" aria-current=page" if is_here else ""}>{name}</a>'


def _packaged(name: str) -> str:
    return files("gateway.web").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
