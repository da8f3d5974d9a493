"""Provider webhooks: what they tell us about messages, and what people write back.

Invariant: the signature is checked over the raw bytes before anything is parsed, and 2xx is
answered only once all of it is durable. The URL is the configured one: no header can change it.
This file knows no provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from channels.contract import (
    BadReceiptError,
    BadSignatureError,
    Reading,
    WebhookReader,
    WebhookRequest,
)
from gateway.clock import Clock
from gateway.web.answers import Handler, Problem, read_body
from gateway.web.options import WebOptions
from gateway.web.ports import Engage

ROUTES = ("sendgrid", "twilio/status", "twilio/inbound")
# An inbound text is answered with markup for the provider: nothing to say.
_EMPTY_REPLY = "<Response/>"


@dataclass(frozen=True, slots=True)
class Receipts:
    """Handlers of `/webhooks/*`; a route without a reader is not there."""

    engage: Engage
    readers: Mapping[str, WebhookReader]
    clock: Clock
    options: WebOptions

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [
            web.post(f"/webhooks/{route}", self._handler(route, self.readers[route]))
            for route in ROUTES
            if route in self.readers
        ]

    def _handler(self, route: str, reader: WebhookReader) -> Handler:
        async def receive(request: web.Request) -> web.Response:
            await self.engage.receive(await self._read(reader, request))
            if route == "twilio/inbound":
                return web.Response(text=_EMPTY_REPLY, content_type="text/xml")
            return web.Response()

        return receive

    async def _read(self, reader: WebhookReader, request: web.Request) -> Reading:
        call = WebhookRequest(
            url=_public_url(request, self.options),
            headers=_lower(request),
            body=await read_body(request, self.options),
            received_at=self.clock.now(),
        )
        try:
            return reader.read(call)
        except BadSignatureError:
            raise Problem(403) from None
        except BadReceiptError:
            raise Problem(400) from None


def _public_url(request: web.Request, options: WebOptions) -> str:
    return options.public_url.rstrip("/") + request.raw_path


def _lower(request: web.Request) -> dict[str, str]:
    # A header sent twice becomes both values, which no signature is true of.
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    return headers
