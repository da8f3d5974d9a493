"""The API over real HTTP on loopback."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs
from unit.web.fakes import KEY, Site, serving

from gateway.errors import StoreUnavailable
from gateway.web.ports import EventsConflict, EventsRefused

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A server over fresh fakes."""
    async with serving() as site:
        yield site


async def test_sends_are_taken(site: Site) -> None:
    """202 with one line for each event, in order; the body is handed on as it came."""
    body = b'[{"specversion": "1.0"}]'
    answer = await site.api("POST", "/v1/sends", data=body, headers=JSON)
    assert answer.status == 202
    assert json.loads(answer.body) == {
        "sends": [
            {"source": "/crm", "id": "r1", "send_id": "s1", "status": "accepted"},
            {"source": "/crm", "id": "r2", "send_id": "s2", "status": "duplicate"},
        ]
    }
    assert site.intake.taken == [(body, frozenset({"winback.send.requested.v1"}))]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/presence", "winback.presence.observed.v1"),
        ("/v1/conversions", "winback.conversion.observed.v1"),
    ],
)
async def test_other_events_are_taken(site: Site, path: str, kind: str) -> None:
    """Presence and conversions take their one type."""
    headers = {"Content-Type": "application/cloudevents+json"}
    answer = await site.api("POST", path, data=b"{}", headers=headers)
    assert (answer.status, site.intake.taken) == (202, [(b"{}", frozenset({kind}))])
    assert json.loads(answer.body)["events"][1]["status"] == "duplicate"


FAULTS = [("$[1].data.recipient.id", "is missing")]


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (EventsRefused(FAULTS), 422),
        (EventsRefused([("$", "is not JSON")], malformed=True), 400),
        (EventsConflict(FAULTS), 409),
        (StoreUnavailable(), 503),
        (RuntimeError("to mia@example.com"), 500),
    ],
)
async def test_s21_problems_name_what_is_wrong(
    site: Site, caplog: pytest.LogCaptureFixture, fault: Exception, status: int
) -> None:
    """Refusals are problem documents with JSON paths; a bug says nothing, nor does its log."""
    site.intake.fault = fault
    with capture_logs() as logged:
        answer = await site.api("POST", "/v1/sends", data=b"{}", headers=JSON)
    assert answer.status == status
    assert [line["event"] for line in logged] == (["web_fault"] if status == 500 else [])
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = json.loads(answer.body)
    assert (document["type"], document["status"]) == ("about:blank", status)
    paths = [(one["path"], one["detail"]) for one in document.get("errors", [])]
    assert paths == [*getattr(fault, "faults", ())]
    assert "mia@" not in answer.text + caplog.text + str(logged)
    assert "Traceback" not in answer.text + caplog.text + str(logged)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body_bytes", "status"),
    [
        ("GET", "/v1/none", {}, 0, 404),
        ("GET", "/none", {}, 0, 404),
        ("DELETE", "/v1/sends", {}, 0, 405),
        ("PUT", "/t/u/good", {}, 0, 405),
        ("POST", "/v1/sends", JSON, 1024 * 1024 + 1, 413),
        ("POST", "/v1/sends", {"Content-Type": "text/plain"}, 2, 415),
        ("POST", "/v1/sends", {**JSON, "Content-Encoding": "gzip"}, 2, 415),
        ("GET", "/v1/sends/other", {}, 0, 404),
    ],
)
async def test_s21_http_hygiene(  # noqa: PLR0917 - one column of the table each
    site: Site, method: str, path: str, headers: dict[str, str], body_bytes: int, status: int
) -> None:
    """Unknown paths and methods, too much and the wrong type have their own status."""
    body = io.BytesIO(b"x" * body_bytes) if body_bytes else None
    answer = await site.api(method, path, headers=headers, data=body)
    assert answer.status == status
    if not path.startswith("/t/"):
        assert json.loads(answer.body)["status"] == status
    assert ("Allow" in answer.headers) == (status == 405)
    assert answer.headers["Server"] == "winback"
    assert site.intake.taken == []


async def test_a_body_of_exactly_one_mib_is_taken(site: Site) -> None:
    """The bound itself is allowed, also for a body whose length nobody announced."""

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 65536):
            yield b"x" * 65536
        yield b"x" * (size % 65536)

    exact, more = pieces(1024 * 1024), pieces(1024 * 1024 + 1)
    assert (await site.api("POST", "/v1/sends", data=exact, headers=JSON)).status == 202
    assert (await site.api("POST", "/v1/sends", data=more, headers=JSON)).status == 413


async def test_story_of_a_send(site: Site) -> None:
    """The decision record as JSON, 503 without the store."""
    answer = await site.api("GET", "/v1/sends/s1")
    assert json.loads(answer.body) == {"send_id": "s1", "gates": ["æ"]}
    site.records.fault = StoreUnavailable()
    assert (await site.api("GET", "/v1/sends/s1")).status == 503


async def test_consent_is_changed(site: Site) -> None:
    """204 once kept, whatever characters the id has; 422 with paths; 404 for an endless id."""
    path = "/v1/recipients/{}/consent"
    answer = await site.api("PUT", path.format("a%2Fb%20%C3%A6"), data=b"{}", headers=JSON)
    assert (answer.status, answer.body) == (204, b"")
    assert site.records.changes == [("a/b æ", b"{}")]
    site.records.fault = EventsRefused([("$.channel", "is missing")])
    answer = await site.api("PUT", path.format("p"), data=b"{}", headers=JSON)
    assert json.loads(answer.body)["errors"][0]["path"] == "$.channel"
    long = path.format("x" * 129)
    assert (await site.api("PUT", long, data=b"{}", headers=JSON)).status == 404


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x"])
@pytest.mark.parametrize("path", ["/v1/sends/s1", "/v1/none", "/v1", "/%761/sends/s1"])
async def test_api_answers_nobody_without_a_key(site: Site, shown: str, path: str) -> None:
    """401 with a challenge for every path under /v1, known or not, however it is written."""
    answer = await site.ask("GET", path, headers={"Authorization": shown} if shown else {})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
