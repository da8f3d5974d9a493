"""Provider webhooks over real HTTP on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from unit.web.fakes import NOW, Site, serving


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A server over fresh fakes."""
    async with serving() as site:
        yield site


async def test_w3_webhook_url_is_the_configured_one(site: Site) -> None:
    """Raw path and query behind the public URL; Host and X-Forwarded-* change nothing."""
    headers = {
        "X-Signature": "right",
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "http",
    }
    url = "/webhooks/sendgrid?a=%2F%20b"
    answer = await site.ask("POST", url, data=b"\xff[]\r\n", headers=headers)
    assert answer.status == 200
    [call] = site.reader.calls
    assert call.url == "https://go.example/webhooks/sendgrid?a=%2F%20b"
    assert (call.body, call.received_at) == (b"\xff[]\r\n", NOW)
    assert call.headers["x-forwarded-proto"] == "http"
    assert [reading.unread for reading in site.engage.readings] == [5]


async def test_w1_unsigned_is_403_with_one_body(site: Site) -> None:
    """No signature, a wrong one, or two of them: the same 403, and nothing is kept."""
    wrong = [{}, {"X-Signature": "wrong"}, [("X-Signature", "right"), ("X-Signature", "right")]]
    answers = [
        await site.ask("POST", "/webhooks/sendgrid", data=b"[]", headers=headers)
        for headers in wrong
    ]
    assert {answer.status for answer in answers} == {403}
    assert len({answer.body for answer in answers}) == 1
    assert b"SECRET" not in answers[0].body
    assert site.engage.readings == []


async def test_w9_webhook_is_answered_2xx_only_once_durable(site: Site) -> None:
    """503 without the store, 400 for a body that cannot be read, 404 without a reader."""
    right = {"X-Signature": "right"}
    assert (await site.ask("POST", "/webhooks/sendgrid", data=b"{", headers=right)).status == 400
    assert (await site.ask("POST", "/webhooks/twilio/status", headers=right)).status == 404
    answer = await site.ask("POST", "/webhooks/twilio/inbound", data=b"a", headers=right)
    assert (answer.status, answer.body) == (200, b"<Response/>")
    assert answer.headers["Content-Type"].startswith("text/xml")
    site.engage.down = True
    answer = await site.ask("POST", "/webhooks/twilio/inbound", data=b"a", headers=right)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
