"""The demo's inbox: what the sandboxes caught, and the engagement stream, live.

Invariant: it only reads; what a person does in a message goes through the links of the message.
A mail is served as a document of its own that runs no script and may be framed by us alone.
It is a route of the demo and of nothing else: it shows addresses and asks for no key.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from channels.contract import EmailContent
from gateway.clock import Clock
from gateway.web import inbox_page
from gateway.web.answers import Problem
from gateway.web.inbox_page import NAMES, View
from gateway.web.inbox_ports import Captured, Stream, Told
from gateway.web.options import WebOptions
from gateway.web.pages import Pages

AGAIN_MS = 250
QUERY_CHARS_MAX = 128
# The page asks again by itself: an answer that never ends would be cut by the guard at the door.
SHARE_OF_ANSWER = 0.6

_DOCUMENT = """<!doctype html>
<html lang="en" dir="ltr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Inbox of the demo</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body class="inbox">
{body}
<script>{script}</script>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Inbox:
    """Handlers of `/inbox` and of `/shop`, where the demo's links lead.

    `captured` gives messages newest first, `names` maps recipient ids to names, `results` is what
    the campaign brought, as `/v1/campaigns/{campaign}/results` has it.
    """

    captured: Callable[[], Sequence[Captured]]
    stream: Stream
    names: Mapping[str, str]
    results: Callable[[], Awaitable[Mapping[str, Any]]]
    pages: Pages
    options: WebOptions
    clock: Clock

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [
            web.get("/inbox", self.show),
            web.get("/inbox/stream", self.follow, allow_head=False),
            web.get("/inbox/mails/{delivery_id}", self.mail),
            web.get("/shop", self.shop),
            web.get("/shop/feedback", self.thank),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """The page, as things are now."""
        channel = request.query.get("channel", "")
        found = await self.results()
        view = View(
            captured=self.captured(),
            told=self.stream.recent(),
            names=self.names,
            results=found,
            channel=channel if channel in NAMES else "",
            person=request.query.get("person", "")[:QUERY_CHARS_MAX],
        )
        style, script = _packaged("style.css") + _packaged("inbox.css"), _packaged("inbox.js")
        return web.Response(
            text=_DOCUMENT.format(style=style, script=script, body=inbox_page.page(view)),
            content_type="text/html",
            charset="utf-8",
            headers={"Content-Security-Policy": self._policy(style, script)},
        )

    async def mail(self, request: web.Request) -> web.Response:
        """One mail, as a mail client would show it."""
        wanted = request.match_info["delivery_id"]
        content = next(
            (
                one.content
                for one in self.captured()
                if one.delivery_id == wanted and isinstance(one.content, EmailContent)
            ),
            None,
        )
        if content is None:
            raise Problem(404)
        policy = (
            f"default-src 'none'; style-src 'unsafe-inline'; img-src {self._self()} data: https:; "
            "form-action 'none'; base-uri 'none'; frame-ancestors 'self'; "
            "sandbox allow-popups allow-popups-to-escape-sandbox"
        )
        return web.Response(
            text=inbox_page.mail(content),
            content_type="text/html",
            charset="utf-8",
            headers={"Content-Security-Policy": policy},
        )

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """Facts as server-sent events, from the one after `Last-Event-ID` or `after`."""
        after = self._after(request)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await answer.prepare(request)
        until_s = self.clock.monotonic() + self.options.answer_timeout_s * SHARE_OF_ANSWER
        with contextlib.suppress(ConnectionError):  # the reader has gone
            await answer.write(f"retry: {AGAIN_MS}\n\n".encode())
            while not self.stream.closed and self.clock.monotonic() < until_s:
                for fact in self.stream.recent(after):
                    await answer.write(self._event(fact))
                    after = fact.number
                with contextlib.suppress(TimeoutError):
                    left_s = max(0.0, until_s - self.clock.monotonic())
                    await asyncio.wait_for(self.stream.wait(after), left_s)
        return answer

    async def shop(self, _request: web.Request) -> web.Response:
        """Where the links of the demo lead."""
        main = (
            "<h1>Welcome back</h1><p>This is where the shop would be. The click that led here is "
            'on the topic already.</p><nav><a href="/inbox">See it in the inbox</a></nav>'
        )
        return self.pages.team("Welcome back", main, wide=False)

    async def thank(self, _request: web.Request) -> web.Response:
        """Where an answer to `feedback` leads; the click was the answer."""
        main = (
            "<h1>Thank you</h1><p>One click was the whole answer: it is on the topic already, with "
            'the address that it led to.</p><nav><a href="/inbox">See it in the inbox</a></nav>'
        )
        return self.pages.team("Thank you", main, wide=False)

    def _after(self, request: web.Request) -> int:
        asked = request.headers.get("Last-Event-ID") or request.query.get("after", "0")
        after = int(asked) if asked.isdecimal() and len(asked) < QUERY_CHARS_MAX else 0
        told = self.stream.recent()
        # A page from before a restart knows higher numbers than there are.
        return after if told and after <= told[-1].number else 0

    def _event(self, fact: Told) -> bytes:
        return f"id: {fact.number}\ndata: {inbox_page.row(fact, self.names)}\n\n".encode()

    def _policy(self, style: str, script: str) -> str:
        return (
            f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
            f"connect-src 'self'; frame-src 'self'; img-src data:; form-action {self._self()}; "
            "base-uri 'none'; frame-ancestors 'none'"
        )

    def _self(self) -> str:
        # The page may have been opened under another name of this machine than links have.
        url = urlsplit(self.options.public_url)
        return f"'self' {url.scheme}://{url.netloc}"


def _packaged(name: str) -> str:
    return files("gateway.web").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
