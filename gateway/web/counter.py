"""The API beside requests and events: coupons, fences, switches, people, results.

Invariant: 2xx means durable. Names in an address are at most 128 characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from gateway.web.answers import (
    NAME_CHARS_MAX,
    Problem,
    json_answer,
    name_in,
    named,
    read_json_body,
)
from gateway.web.options import WebOptions
from gateway.web.ports import Desk, Switch

SCOPE_CHARS_MAX = 256
REDEEMED = {
    "unknown": (404, "No such code, or it was never issued."),
    "by_another": (409, "Another order has redeemed this code."),
    "over": (410, "This code has expired or was returned."),
}


@dataclass(frozen=True, slots=True)
class Counter:
    """Handlers of what campaign services, shops, support and SRE ask for."""

    desk: Desk
    options: WebOptions

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [
            web.post("/v1/coupons/{name}/redeem", named(self.redeem)),
            web.put("/v1/coupon-pools/{name}", named(self.fill_pool)),
            web.get("/v1/coupon-pools/{name}", named(self.pool)),
            web.put("/v1/fences/{name}", named(self.put_fence)),
            web.get("/v1/fences", named(self.fences)),
            web.delete("/v1/fences/{name}", named(self.drop_fence)),
            web.put("/v1/switches/{name}", named(self.switch)),
            web.get("/v1/switches", named(self.switches)),
            web.get("/v1/recipients/{name}", named(self.person)),
            web.delete("/v1/recipients/{name}", named(self.erase)),
            web.get("/v1/campaigns/{name}/results", named(self.results)),
        ]

    # --- coupons ----------------------------------------------------------------------------

    async def redeem(self, request: web.Request) -> web.Response:
        """Redeem a code for an order; the same order may ask again."""
        code = _name(request)
        found = await self.desk.redeem(code, await read_json_body(request, self.options))
        if found.verdict in REDEEMED:
            status, detail = REDEEMED[found.verdict]
            raise Problem(status, detail)
        return json_answer(
            {"code": found.code, "status": "redeemed", "delivery_id": found.delivery_id}
        )

    async def fill_pool(self, request: web.Request) -> web.Response:
        """Add codes, or make some."""
        pool = _name(request)
        counts = await self.desk.fill_pool(pool, await read_json_body(request, self.options))
        return json_answer({"pool": pool, "codes": counts})

    async def pool(self, request: web.Request) -> web.Response:
        """Count a pool's codes by state."""
        pool = _name(request)
        counts = await self.desk.pool(pool)
        if not counts:
            raise Problem(404, "No such pool.")
        return json_answer({"pool": pool, "codes": counts})

    # --- fences -----------------------------------------------------------------------------

    async def put_fence(self, request: web.Request) -> web.Response:
        """Keep a fence."""
        body = await read_json_body(request, self.options)
        return json_answer(await self.desk.put_fence(_name(request), body))

    async def fences(self, _: web.Request) -> web.Response:
        """All fences, as a FeatureCollection."""
        return json_answer({"type": "FeatureCollection", "features": list(self.desk.fences())})

    async def drop_fence(self, request: web.Request) -> web.Response:
        """Forget a fence."""
        if not await self.desk.drop_fence(_name(request)):
            raise Problem(404, "No such fence.")
        return web.Response(status=204)

    # --- switches ---------------------------------------------------------------------------

    async def switch(self, request: web.Request) -> web.Response:
        """Stop a scope or let it run."""
        body = await read_json_body(request, self.options)
        return _switches(await self.desk.switch(_name(request, SCOPE_CHARS_MAX), body))

    async def switches(self, _: web.Request) -> web.Response:
        """All switches that were ever set."""
        return _switches(await self.desk.watch_switches())

    # --- people and campaigns ---------------------------------------------------------------

    async def person(self, request: web.Request) -> web.Response:
        """Everything held about one person."""
        found = await self.desk.person(_name(request))
        if found is None:
            raise Problem(404, "Nothing is held about this person.")
        return json_answer(found)

    async def erase(self, request: web.Request) -> web.Response:
        """Forget a person."""
        await self.desk.erase(_name(request))
        return web.Response(status=204)

    async def results(self, request: web.Request) -> web.Response:
        """What a campaign brought."""
        return json_answer(await self.desk.results(_name(request)))


def _name(request: web.Request, chars_max: int = NAME_CHARS_MAX) -> str:
    return name_in(request, "name", chars_max=chars_max)


def _switches(found: Sequence[Switch]) -> web.Response:
    listed = [
        {
            "scope": one.scope,
            "state": "stopped" if one.is_stopped else "running",
            "reason": one.reason,
            "at": one.at,
        }
        for one in found
    ]
    return json_answer({"switches": listed})
