"""Who opened or clicked: a person, a mail provider's proxy, a scanner, or nobody can tell.

Invariant: reading a user agent takes time linear in at most `AGENT_MAX` characters.
A first cut from one request alone; what only several requests show (many links in two seconds,
a click on the hidden link) is the caller's to add. The lists are data: extend them, not the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

AGENT_MAX: Final = 512
TOO_SOON_S: Final = 2.0


class Actor(StrEnum):
    """Who acted."""

    HUMAN = "human"
    PROXY = "proxy"
    SCANNER = "scanner"
    UNKNOWN = "unknown"


# A proxy loads the pictures on behalf of a person, now or ahead of time: an open through it
# says that the mail arrived, not that somebody looked.
PROXIES: Final = (
    ("googleimageproxy", "gmail_image_proxy"),
    ("ggpht.com", "gmail_image_proxy"),
    ("yahoomailproxy", "yahoo_image_proxy"),
    ("yahoocachesystem", "yahoo_image_proxy"),
    ("duckduckgo-favicons", "image_proxy"),
    ("protonmail", "proton_image_proxy"),
)

# Apple Mail Privacy Protection fetches with nothing but this, exactly.
APPLE_PROXY_AGENT: Final = "mozilla/5.0"

# Programs that follow links: security gateways, link previews, crawlers, HTTP libraries.
# `bot` alone would name the people who hold a Cubot telephone.
SCANNERS: Final = (
    ("proofpoint", "security_gateway"),
    ("mimecast", "security_gateway"),
    ("barracuda", "security_gateway"),
    ("safelinks", "security_gateway"),
    ("symantec", "security_gateway"),
    ("messagelabs", "security_gateway"),
    ("trendmicro", "security_gateway"),
    ("fireeye", "security_gateway"),
    ("forcepoint", "security_gateway"),
    ("ironport", "security_gateway"),
    ("urldefense", "security_gateway"),
    ("virustotal", "security_gateway"),
    ("zscaler", "security_gateway"),
    ("bingpreview", "link_preview"),
    ("skypeuripreview", "link_preview"),
    ("facebookexternalhit", "link_preview"),
    ("whatsapp/", "link_preview"),
    ("slack-imgproxy", "link_preview"),
    ("google-read-aloud", "link_preview"),
    ("iframely", "link_preview"),
    ("bot/", "crawler"),
    ("bot;", "crawler"),
    ("bot)", "crawler"),
    ("bot-", "crawler"),
    ("slackbot", "crawler"),
    ("crawler", "crawler"),
    ("spider", "crawler"),
    ("headlesschrome", "headless_browser"),
    ("phantomjs", "headless_browser"),
    ("puppeteer", "headless_browser"),
    ("playwright", "headless_browser"),
    ("curl/", "http_library"),
    ("wget/", "http_library"),
    ("python-", "http_library"),
    ("aiohttp", "http_library"),
    ("httpx", "http_library"),
    ("go-http-client", "http_library"),
    ("java/", "http_library"),
    ("jakarta", "http_library"),
    ("okhttp", "http_library"),
    ("apache-httpclient", "http_library"),
    ("libwww-perl", "http_library"),
    ("node-fetch", "http_library"),
    ("axios/", "http_library"),
    ("undici", "http_library"),
    ("guzzlehttp", "http_library"),
    ("scrapy", "http_library"),
    ("ruby", "http_library"),
    ("postmanruntime", "http_library"),
)


def actor_of(
    user_agent: str, *, method: str, seconds_since_sent: float | None, machine: bool | None
) -> tuple[Actor, list[str]]:
    """Who made one request, with every sign that speaks for it; no sign at all is a person.

    `machine` is what the provider says (`Receipt.machine`), None where it says nothing. A sign
    of a scanner outweighs that of a proxy, except haste: a proxy is allowed to be quick.
    """
    agent = user_agent[:AGENT_MAX].strip().lower()
    scanner = _named(agent, SCANNERS)
    if method.upper() == "HEAD":
        scanner.append("head_request")
    proxy = _named(agent, PROXIES)
    if agent == APPLE_PROXY_AGENT:
        proxy.append("apple_mail_privacy")
    if machine:
        proxy.append("provider_says_machine")
    hasty = seconds_since_sent is not None and seconds_since_sent < TOO_SOON_S
    haste = ["too_soon_after_sending"] if hasty else []
    if scanner:
        return Actor.SCANNER, scanner + proxy + haste
    if proxy:
        return Actor.PROXY, proxy + haste
    if haste:
        return Actor.SCANNER, haste
    return (Actor.HUMAN, []) if agent else (Actor.UNKNOWN, ["no_user_agent"])


def _named(agent: str, names: Sequence[tuple[str, str]]) -> list[str]:
    """The reasons whose name stands in `agent`, each once, in the order of the list."""
    return list(dict.fromkeys(reason for name, reason in names if name in agent))
