"""The API under `/v1`: requests without Kafka, decision records, consent.

Invariant: 2xx means durable; what cannot be taken is named by its JSON path.
Whoever gets here has shown a key. This file knows neither the store nor the bus.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from aiohttp import web

from gateway.web.answers import Problem, json_answer, name_in, named, read_json_body
from gateway.web.counter import Counter
from gateway.web.options import WebOptions
from gateway.web.ports import Consent, Desk, Intake, Stories, Taken

SEND_TYPES = frozenset({"winback.send.requested.v1"})
PRESENCE_TYPES = frozenset({"winback.presence.observed.v1"})
CONVERSION_TYPES = frozenset({"winback.conversion.observed.v1"})


@dataclass(frozen=True, slots=True)
class Api:
    """Handlers of `/v1/*`."""

    intake: Intake
    stories: Stories
    consent: Consent
    desk: Desk
    options: WebOptions

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [
            web.post("/v1/sends", named(self.sends)),
            web.post("/v1/presence", named(self.presence)),
            web.post("/v1/conversions", named(self.conversions)),
            web.get("/v1/sends/{send_id}", named(self.story)),
            web.put("/v1/recipients/{recipient_id}/consent", named(self.change_consent)),
            *Counter(self.desk, self.options).routes(),
        ]

    async def sends(self, request: web.Request) -> web.Response:
        """Take requests."""
        taken = await self._take(request, SEND_TYPES)
        return json_answer({"sends": [asdict(one) for one in taken]}, status=202)

    async def presence(self, request: web.Request) -> web.Response:
        """Take sightings of people."""
        return _events(await self._take(request, PRESENCE_TYPES))

    async def conversions(self, request: web.Request) -> web.Response:
        """Take conversions."""
        return _events(await self._take(request, CONVERSION_TYPES))

    async def story(self, request: web.Request) -> web.Response:
        """The decision record of one send."""
        story = await self.stories.story(name_in(request, "send_id"))
        if story is None:
            raise Problem(404, "No such send.")
        return json_answer(story)

    async def change_consent(self, request: web.Request) -> web.Response:
        """Keep a change of consent."""
        recipient_id = name_in(request, "recipient_id")
        await self.consent.change(recipient_id, await read_json_body(request, self.options))
        return web.Response(status=204)

    async def _take(self, request: web.Request, types: frozenset[str]) -> list[Taken]:
        body = await read_json_body(request, self.options)
        return await self.intake.take(body, types=types)


def _events(taken: list[Taken]) -> web.Response:
    listed = [{"source": one.source, "id": one.id, "status": one.status} for one in taken]
    return json_answer({"events": listed}, status=202)
