"""The links in messages: pixel, click, short link, preference page.

Invariant: GET and HEAD change nothing that a person decides; a no is durable before it is
answered, and a link that we did not sign leads nowhere. Pixel and click need no store.
This file knows neither Kafka nor the store.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web

from gateway.clock import Clock
from gateway.errors import StoreUnavailable, TokenError
from gateway.web.answers import Problem, name_in, read_body
from gateway.web.options import WebOptions
from gateway.web.pages import Pages
from gateway.web.ports import Engage, LinkPurpose, Seen, SignedLink, Standing, Tokens
from gateway.web.texts import wished_locales
from gateway.web.wishes import Wish, read_wish

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
USER_AGENT_CHARS_MAX = 512
# Everything that may stand in a URL as it is: nothing is encoded twice, only what is no URL yet.
_URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True)
class Tracking:
    """Handlers of `/t/*`."""

    engage: Engage
    tokens: Tokens
    clock: Clock
    pages: Pages
    options: WebOptions

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [
            web.get("/t/o/{token}.gif", self.pixel),
            web.get("/t/c/{token}", self.click),
            web.get("/t/s/{code}", self.short),
            web.get("/t/u/{token}", self.preferences),
            web.post("/t/u/{token}", self.decide),
        ]

    async def pixel(self, request: web.Request) -> web.Response:
        """43 bytes, whatever the token: a mail client learns nothing from us."""
        try:
            link = self.tokens.read("open", request.match_info["token"])
        except TokenError:
            return _pixel()
        if request.method == "GET":
            self.engage.opened(self._seen(request, link.delivery_id))
        return _pixel()

    async def click(self, request: web.Request) -> web.Response:
        """302 to the signed destination."""
        link = self._read("click", request)
        if request.method == "GET":
            seen = self._seen(request, link.delivery_id)
            self.engage.clicked(seen, link=link.link, url=link.url)
        return _redirect(link.url)

    async def short(self, request: web.Request) -> web.Response:
        """302 to where a short link leads."""
        link = await self.engage.short_link(name_in(request, "code"))
        if link is None:
            raise Problem(404)
        if request.method == "GET":
            seen = self._seen(request, link.delivery_id)
            self.engage.clicked(seen, link=link.link, url=link.url)
        return _redirect(link.url)

    async def preferences(self, request: web.Request) -> web.Response:
        """The preference page; changes nothing."""
        link = self._read("preferences", request)
        return self.pages.preferences(await self._standing(link.delivery_id))

    async def decide(self, request: web.Request) -> web.Response:
        """Keep a wish, then say what is true now."""
        delivery_id = self._read("preferences", request).delivery_id
        body = await read_body(request, self.options)
        wish = read_wish(body, content_type=request.content_type)
        await self._keep(wish, delivery_id)
        if wish.how == "one_click":
            return web.Response(text="You will get no more promotional e-mail.\n")
        return await self._now(request, wish, delivery_id)

    async def _keep(self, wish: Wish, delivery_id: str) -> None:
        known = True
        if wish.stop:
            known = await self.engage.refuse(delivery_id, channels=wish.stop, how=wish.how)
        if wish.allow and known:
            known = await self.engage.allow(delivery_id, channels=wish.allow)
        if not known:
            raise Problem(404)
        if wish.campaign is not None:
            await self._keep_campaign(delivery_id, is_yes=wish.campaign)

    async def _keep_campaign(self, delivery_id: str, *, is_yes: bool) -> None:
        # The form does not name the campaign: its name may say more of us than people should read.
        for topic in (await self._standing(delivery_id)).topics:
            if is_yes:
                await self.engage.allow(delivery_id, channels=("all",), topic=topic.name)
            else:
                await self.engage.refuse(
                    delivery_id, channels=("all",), how="preferences", topic=topic.name
                )

    async def _now(self, request: web.Request, wish: Wish, delivery_id: str) -> web.Response:
        try:
            standing = await self._standing(delivery_id)
        except StoreUnavailable:
            if not wish.says_something:
                raise
            # The wish is durable: an apology would be untrue.
            return self.pages.noted(wished(request))
        if "all" in wish.stop:
            return self.pages.goodbye(standing.locale)
        return self.pages.done(standing, path=request.match_info["token"])

    async def _standing(self, delivery_id: str) -> Standing:
        standing = await self.engage.standing(delivery_id)
        if standing is None:
            raise Problem(404)
        return standing

    def _read(self, purpose: LinkPurpose, request: web.Request) -> SignedLink:
        try:
            return self.tokens.read(purpose, request.match_info["token"])
        except TokenError:
            raise Problem(404) from None

    def _seen(self, request: web.Request, delivery_id: str) -> Seen:
        return Seen(
            delivery_id=delivery_id,
            at=self.clock.now(),
            user_agent=request.headers.get("User-Agent", "")[:USER_AGENT_CHARS_MAX],
            method=request.method,
            prefetch=_is_prefetch(request),
        )


def wished(request: web.Request) -> list[str]:
    """The locales that the reader's browser asks for."""
    return wished_locales(request.headers.get("Accept-Language", ""))


def _pixel() -> web.Response:
    return web.Response(body=PIXEL, content_type="image/gif")


def _redirect(url: str) -> web.Response:
    # Not aiohttp's HTTPFound: it parses the URL and writes it anew, and the signed one must stay.
    return web.Response(status=302, headers={"Location": quote(url, safe=_URL_CHARACTERS)})


def _is_prefetch(request: web.Request) -> bool:
    names = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
    said = " ".join(request.headers.get(name, "") for name in names).lower()
    return "prefetch" in said or "preview" in said
