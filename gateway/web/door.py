"""The door to the team's pages: a key is shown once, then a cookie stands for it.

Invariant: without a key nothing is said about the gateway, and after the key only a page of ours
follows. This file knows no page behind the door.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from urllib.parse import parse_qs

from aiohttp import web

from gateway.clock import Clock
from gateway.web.answers import read_body
from gateway.web.keys import COOKIE, Keys
from gateway.web.options import WebOptions
from gateway.web.pages import Pages

# Only these may follow the form, so that a link cannot send anybody elsewhere through it.
_INSIDE = re.compile(r"/(?:sends|campaigns|dead-letters|outbox)(?:[/?][!-\[\]-~]*)?")


@dataclass(frozen=True, slots=True)
class Door:
    """Who may see the team's pages, and the form for everybody else."""

    keys: Keys
    clock: Clock
    pages: Pages
    options: WebOptions

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [web.post("/", self.enter)]

    def is_open_to(self, request: web.Request) -> bool:
        """Whether a key was shown, now or by the one who has the cookie."""
        cookie = request.cookies.get(COOKIE, "")
        return self.keys.opens_header(
            request.headers.get("Authorization", "")
        ) or self.keys.opens_session(cookie, now=self.clock.now())

    async def enter(self, request: web.Request) -> web.Response:
        """Take the key once and keep a cookie, or forget the cookie."""
        fields = parse_qs((await read_body(request, self.options)).decode(errors="replace"))
        following = fields.get("next", [""])[0]
        if not _INSIDE.fullmatch(following):
            following = "/"
        answer = web.Response(status=303, headers={"Location": following})
        if "leave" in fields:
            answer.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
            return answer
        key = fields.get("key", [""])[0].strip()
        if not self.keys.opens(key):
            return self.ask(following, wrong=True)
        answer.set_cookie(
            COOKIE,
            self.keys.session(key, now=self.clock.now(), lasts_s=self.options.session_s),
            max_age=self.options.session_s,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self.options.public_url.startswith("https:"),
        )
        return answer

    def ask(self, following: str, *, wrong: bool = False) -> web.Response:
        """The form; `following` is the page that was wanted."""
        note = (
            '<p class="wrong" role="alert">That key does not open this door.</p>' if wrong else ""
        )
        main = (
            f'<h1>Sign in</h1>{note}<form method="post" action="/"><label for="key">API key</label>'
            '<input id="key" name="key" type="password" autocomplete="current-password" required>'
            f'<input type="hidden" name="next" value="{escape(following)}">'
            '<p class="quiet">One of the keys in WINBACK_API__KEYS.</p>'
            '<button class="first">Open</button></form>'
        )
        answer = self.pages.team("Sign in", main, status=401, wide=False)
        answer.headers["WWW-Authenticate"] = 'Bearer realm="winback"'
        return answer
