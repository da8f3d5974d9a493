from __future__ import annotations

import time

import pytest

from gateway.core.actors import Actor, actor_of

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1"
)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 Safari/537.36"
)
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
LABELLED = [
    (IPHONE, Actor.HUMAN),
    (CHROME, Actor.HUMAN),
    ("Mozilla/5.0 (Linux; Android 9; CUBOT X18 Plus) AppleWebKit/537.36 Chrome/99", Actor.HUMAN),
    ("Mozilla/4.0 (compatible; ms-office; MSOffice 16)", Actor.HUMAN),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.9.0", Actor.HUMAN),
    (GMAIL, Actor.PROXY),
    ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", Actor.PROXY),
    ("Mozilla/5.0", Actor.PROXY),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Actor.SCANNER),
    ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", Actor.SCANNER),
    ("facebookexternalhit/1.1", Actor.SCANNER),
    ("Mozilla/5.0 (compatible; BingPreview/1.0b)", Actor.SCANNER),
    ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/120.0.0.0 Safari/537.36", Actor.SCANNER),
    ("Barracuda Sentinel (EE)", Actor.SCANNER),
    ("curl/8.5.0", Actor.SCANNER),
    ("python-requests/2.31.0", Actor.SCANNER),
    ("Python/3.11 aiohttp/3.9", Actor.SCANNER),
    ("Go-http-client/1.1", Actor.SCANNER),
    ("okhttp/4.12.0", Actor.SCANNER),
    ("", Actor.UNKNOWN),
    ("   ", Actor.UNKNOWN),
]


@pytest.mark.parametrize(("agent", "actor"), LABELLED)
def test_c19_known_agents(agent: str, actor: Actor) -> None:
    """C19: a labelled set of user agents, an hour after sending."""
    found, reasons = actor_of(agent, method="GET", seconds_since_sent=3600, machine=None)
    assert found is actor
    assert bool(reasons) is (actor is not Actor.HUMAN)


SIGNS = [
    (IPHONE, "GET", 1.9, None, Actor.SCANNER, ["too_soon_after_sending"]),
    (IPHONE, "GET", -5.0, None, Actor.SCANNER, ["too_soon_after_sending"]),
    (IPHONE, "GET", 2.0, None, Actor.HUMAN, []),
    (IPHONE, "GET", None, None, Actor.HUMAN, []),
    (IPHONE, "HEAD", 3600, None, Actor.SCANNER, ["head_request"]),
    (IPHONE, "GET", 3600, True, Actor.PROXY, ["provider_says_machine"]),
    (IPHONE, "GET", 3600, False, Actor.HUMAN, []),
    (GMAIL, "GET", 0.5, None, Actor.PROXY, ["gmail_image_proxy", "too_soon_after_sending"]),
    ("", "GET", 0.5, None, Actor.SCANNER, ["too_soon_after_sending"]),
]


@pytest.mark.parametrize("sign", SIGNS)
def test_c19_other_signs(
    sign: tuple[str, str, float | None, bool | None, Actor, list[str]],
) -> None:
    """C19: haste, HEAD and what the provider says, each with its reason."""
    agent, method, seconds, machine, actor, reasons = sign
    found = actor_of(agent, method=method, seconds_since_sent=seconds, machine=machine)
    assert found == (actor, reasons)


def test_a_hostile_agent_takes_no_time() -> None:
    """A megabyte of user agent costs what 512 characters cost."""
    started = time.perf_counter()
    for _ in range(100):
        actor_of("bot" * 300_000, method="GET", seconds_since_sent=None, machine=None)
    assert time.perf_counter() - started < 1
