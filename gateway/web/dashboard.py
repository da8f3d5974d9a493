"""The team's pages: the first screen, the list behind each figure, the story of each send.

Invariant: whoever has shown no key sees the form that asks for one, and nothing else; looking
changes nothing. This file knows neither the store nor what a figure means.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from aiohttp import web

from gateway.core.listing import NEWEST, Wanted
from gateway.errors import StoreUnavailable
from gateway.web import first_screen, lists_page, results_page, story_page
from gateway.web.board import Board
from gateway.web.door import Door
from gateway.web.first_screen import Sight
from gateway.web.health import Draining, ready_now
from gateway.web.ports import Health, Overview, Stories
from gateway.web.wishes import CHANNELS

NAME_CHARS_MAX = 128
DIGITS_MAX = 18
AWAY = "<h1>The store does not answer</h1><p>Nothing can be shown just now; try again soon.</p>"
Shown = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Handlers of the team's pages."""

    overview: Overview
    stories: Stories
    health: Health
    draining: Draining
    door: Door
    board: Board

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [
            web.get("/", self._behind(self.show)),
            web.get("/sends", self._behind(self.sends)),
            web.get("/sends/{send_id}", self._behind(self.story)),
            web.get("/campaigns/{name}", self._behind(self.campaign)),
            web.get("/dead-letters", self._behind(self.letters)),
            web.get("/outbox", self._behind(self.outbox)),
        ]

    async def show(self, _request: web.Request) -> web.Response:
        """Is it well, did it work; also when the store is away, for that is an answer too."""
        reports = {
            "alive": self.health.live(),
            "started": self.health.started(),
            "ready": ready_now(self.health, self.draining),
        }
        try:
            sight = Sight(reports, await self.overview.overview())
        except StoreUnavailable:
            sight = Sight(reports, None)
        title, main = first_screen.headline(sight), first_screen.screen(sight)
        return self.board.page(title, main, at="/", is_live=True)

    async def sends(self, request: web.Request) -> web.Response:
        """A list of sends."""
        wanted = _wanted(request)
        page = await self.overview.sends(wanted)
        more = ""
        if page.following is not None:
            more = f"/sends?{urlencode({**request.query, 'before': str(page.following)})}"
        main = lists_page.sends_page(wanted, page, more=more)
        at = "/sends" if replace(wanted, before=NEWEST) == Wanted() else ""
        return self.board.page(lists_page.title_of(wanted), main, at=at)

    async def story(self, request: web.Request) -> web.Response:
        """The story of a send."""
        story = await self.stories.story(request.match_info["send_id"])
        if story is None:
            main = "<h1>No such send</h1><p>It may have been erased with its person.</p>"
            return self.board.page("No such send", main, status=404)
        return self.board.page(f"Send to {story['recipient_id']}", story_page.page(story))

    async def campaign(self, request: web.Request) -> web.Response:
        """What a campaign brought."""
        name = request.match_info["name"][:NAME_CHARS_MAX]
        return self.board.page(name, results_page.page(await self.overview.results(name)))

    async def letters(self, _request: web.Request) -> web.Response:
        """The newest dead letters."""
        main = lists_page.letters_page(await self.overview.letters())
        return self.board.page("Dead letters", main, at="/dead-letters")

    async def outbox(self, _request: web.Request) -> web.Response:
        """What is not published yet."""
        return self.board.page("Outbox", lists_page.outbox_page(await self.overview.unpublished()))

    def _behind(self, show: Shown) -> Shown:
        """The page behind the door."""

        async def shown(request: web.Request) -> web.Response:
            if not self.door.is_open_to(request):
                return self.door.ask(request.path_qs)
            try:
                return await show(request)
            except StoreUnavailable:
                return self.board.page("The store does not answer", AWAY, status=503)

        return shown


def _wanted(request: web.Request) -> Wanted:
    """What a list's address asks for; what is nonsense is left out."""
    query = {name: value[:NAME_CHARS_MAX] for name, value in request.query.items()}
    before = query.get("before", "")
    stage = query.get("stage", "")
    people = {"held_out": True, "all": None}.get(query.get("people", ""), False if stage else None)
    channel = query.get("channel", "")
    return Wanted(
        recipient_id=query.get("recipient", ""),
        campaign=query.get("campaign", ""),
        stage=stage if stage in dict(results_page.STAGES) or stage == "unsubscribed" else "",
        is_holdout=people,
        outcome=query.get("outcome", ""),
        channel=channel if channel in CHANNELS else "",
        state=query.get("state", ""),
        before=int(before) if before.isdecimal() and len(before) <= DIGITS_MAX else NEWEST,
    )
