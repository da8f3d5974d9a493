"""The team's front page: is it well, and where to look next; and the form that takes the key.

Invariant: without a key it says nothing about the gateway. The dashboard will stand here.
This file knows only the health of the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from urllib.parse import parse_qs

from aiohttp import web

from gateway.clock import Clock
from gateway.web.answers import read_body
from gateway.web.health import Draining, ready_now
from gateway.web.keys import COOKIE, Keys
from gateway.web.options import WebOptions
from gateway.web.pages import Pages
from gateway.web.ports import Health, Report

_LINKS = ("/livez", "/readyz", "/startupz", "/metrics")
_SIGN_OUT = (
    '<form method="post"><button name="leave" value="1">Forget the key in this browser</button>'
    "</form>"
)


@dataclass(frozen=True, slots=True)
class Front:
    """Handlers of `/`."""

    health: Health
    draining: Draining
    keys: Keys
    clock: Clock
    pages: Pages
    options: WebOptions

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [web.get("/", self.show), web.post("/", self.enter)]

    async def show(self, request: web.Request) -> web.Response:
        """The status page, or the form that asks for a key."""
        if not self._may_see(request):
            return self._ask(wrong=False)
        reports = {
            "Alive": self.health.live(),
            "Ready": ready_now(self.health, self.draining),
            "Started": self.health.started(),
        }
        title = "All is well" if all(report.ok for report in reports.values()) else "Not well"
        sections = "".join(_section(name, report) for name, report in reports.items())
        links = "".join(f'<a href="{path}">{path}</a>' for path in _LINKS)
        return self.pages.team(title, f"<h1>{title}</h1>{sections}<nav>{links}</nav>{_SIGN_OUT}")

    async def enter(self, request: web.Request) -> web.Response:
        """Take the key once and keep a cookie, or forget the cookie."""
        fields = parse_qs((await read_body(request, self.options)).decode(errors="replace"))
        answer = web.Response(status=303, headers={"Location": "/"})
        if "leave" in fields:
            answer.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
            return answer
        key = fields.get("key", [""])[0].strip()
        if not self.keys.opens(key):
            return self._ask(wrong=True)
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

    def _may_see(self, request: web.Request) -> bool:
        cookie = request.cookies.get(COOKIE, "")
        return self.keys.opens_header(
            request.headers.get("Authorization", "")
        ) or self.keys.opens_session(cookie, now=self.clock.now())

    def _ask(self, *, wrong: bool) -> web.Response:
        note = (
            '<p class="wrong" role="alert">That key does not open this door.</p>' if wrong else ""
        )
        main = (
            f'<h1>Sign in</h1>{note}<form method="post"><label for="key">API key</label>'
            '<input id="key" name="key" type="password" autocomplete="current-password" required>'
            '<button class="first">Open</button></form>'
        )
        answer = self.pages.team("Sign in", main, status=401, wide=False)
        answer.headers["WWW-Authenticate"] = 'Bearer realm="winback"'
        return answer


def _section(name: str, report: Report) -> str:
    rows = "".join(
        f"<dt>{escape(str(key))}</dt><dd>{escape(str(value))}</dd>"
        for key, value in report.details.items()
    )
    return f"<section><h2>{name}: {'yes' if report.ok else 'no'}</h2><dl>{rows}</dl></section>"
