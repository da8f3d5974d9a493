"""Probes, metrics, the front page and its key."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from unit.web.fakes import KEY, OPTIONS, FakeHealth, Site, serving

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A server over fresh fakes."""
    async with serving() as site:
        yield site


@pytest.mark.parametrize(("ok", "status"), [(True, 200), (False, 503)])
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
async def test_o2_o3_o4_probes_say_how_it_is(path: str, *, ok: bool, status: int) -> None:
    """200 or 503 with the details, without a key."""
    async with serving(health=FakeHealth(ok)) as site:
        answer = await site.ask("GET", path)
    assert answer.status == status
    assert json.loads(answer.body)["status"] == ("ok" if ok else "failing")


async def test_o6_draining_is_not_ready_at_once(site: Site) -> None:
    """From `drain` on /readyz is 503 and connections end, while everything else is answered."""
    assert (await site.ask("GET", "/readyz")).status == 200
    site.server.drain()
    answer = await site.ask("GET", "/readyz")
    assert (answer.status, answer.headers["Connection"]) == (503, "close")
    assert json.loads(answer.body)["details"]["draining"] is True
    assert (await site.ask("GET", "/livez")).status == 200
    missing = await site.ask("GET", "/t/c/bad")
    assert (missing.status, missing.headers["Connection"]) == (404, "close")
    assert (await site.ask("POST", "/t/u/good", data=b"")).status == 200


async def test_metrics_are_prometheus_text(site: Site) -> None:
    """The bytes as they are, with the type that scrapers know."""
    answer = await site.ask("GET", "/metrics")
    assert answer.body == site.health.metrics()
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_front_page_needs_a_key(site: Site) -> None:
    """Without one there is only a form; with one the state of the process."""
    closed = await site.ask("GET", "/")
    assert closed.status == 401
    assert 'name="key"' in closed.text
    assert "well" not in closed.text
    opened = await site.api("GET", "/")
    assert opened.status == 200
    assert "All is well" in opened.text


async def test_front_page_takes_the_key_once(site: Site) -> None:
    """The right key gives a cookie that holds no key and ends in time; the wrong one gives none."""
    wrong = await site.ask("POST", "/", data="key=nope", headers=FORM)
    assert (wrong.status, "Set-Cookie" in wrong.headers) == (401, False)
    right = await site.ask("POST", "/", data=f"key={KEY}", headers=FORM)
    cookie = right.headers["Set-Cookie"]
    assert (right.status, right.headers["Location"]) == (303, "/")
    assert KEY not in cookie
    assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    carried = {"Cookie": cookie.partition(";")[0]}
    assert (await site.ask("GET", "/", headers=carried)).status == 200
    assert (await site.ask("GET", "/v1/sends/s1", headers=carried)).status == 401
    await site.clock.advance(OPTIONS.session_s)
    assert (await site.ask("GET", "/", headers=carried)).status == 401


@pytest.mark.parametrize("cookie", ["", "x", "9999999999.", "9999999999.abc", "٣.x", "1.2.3"])
async def test_a_made_up_cookie_opens_nothing(site: Site, cookie: str) -> None:
    """Only a cookie that we gave opens the front page."""
    headers = {"Cookie": f"winback_session={cookie}"}
    assert (await site.ask("GET", "/", headers=headers)).status == 401


async def test_the_key_can_be_forgotten(site: Site) -> None:
    """The button ends the cookie."""
    answer = await site.ask("POST", "/", data="leave=1", headers=FORM)
    assert "Max-Age=0" in answer.headers["Set-Cookie"]


async def test_a_draining_process_does_not_look_well(site: Site) -> None:
    """The front page says what the probes say."""
    site.server.drain()
    assert "Not well" in (await site.api("GET", "/")).text
