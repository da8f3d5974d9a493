from __future__ import annotations

import pytest
from unit.words.desk import DELIVERY, PLAIN, PUBLIC_URL, TOKENS, TRACKED

from gateway.core.links import LinkError, allowed_hosts, destination, unsubscribe_headers

HOSTS = allowed_hosts("https://shop.example", ["partner.example", "straße.example", "127.0.0.1"])


@pytest.mark.parametrize(
    ("url", "sent_to"),
    [
        ("https://shop.example", "https://shop.example"),
        ("https://www.shop.example/a?b=c#d", "https://www.shop.example/a?b=c#d"),
        ("HTTPS://SHOP.example:8443/A", "https://shop.example:8443/A"),
        ("https://shop.example./x", "https://shop.example/x"),
        ("https://partner.example/x", "https://partner.example/x"),
        ("https://shop.example/æ", "https://shop.example/%C3%A6"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
        ("https://strasse.example/", "https://strasse.example/"),
        ("https://STRASSE。example/", "https://strasse.example/"),
    ],
)
def test_s7_good_destinations_come_out_as_a_browser_reads_them(url: str, sent_to: str) -> None:
    """Scheme and host are lower case and ASCII; the rest is kept."""
    assert destination(url, HOSTS) == sent_to


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example",
        "//shop.example",
        "http://shop.example",
        "ftp://shop.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "https:shop.example",
        "https:///shop.example",
        "https://evil.example",
        "https://shop.example.evil.example",
        "https://evilshop.example",
        "https://sub.shop.example",
        "https://shop.example@evil.example",
        "https://evil.example#@shop.example",
        "https://user@shop.example",
        "https://shop.example\\@evil.example",
        "https://evil.example\\.shop.example",
        "https://shop.example\t.evil.example",
        "https://shop.example/a b",
        "https://shop.example/a\u00a0b",
        "https://shop.example/\r\nSet-Cookie: a=b",
        "https://shop.example/\x00",
        "https://shop.example/\u202e",
        " https://shop.example",
        "https://shop.example:99999/",
        "https://shop.example:/x@evil",
        "https://shop.example:80a/",
        "https://[::1]/",
        "https://[shop.example]/",
        "https://shop..example/",
        "https://" + "a" * 70 + ".example/",
        "https://shop.example/" + "a" * 2048,
        "https://shop.example/\ud800",
        'https://shop.example/"',
    ],
)
def test_s7_everything_else_is_refused(url: str) -> None:
    """Other schemes, hosts, users, odd characters and endless addresses are no destination."""
    with pytest.raises(LinkError):
        destination(url, HOSTS)


def test_s7_the_reason_does_not_repeat_the_address() -> None:
    """A refused address may hold a person's data: the reason must not."""
    with pytest.raises(LinkError) as caught:
        destination("https://evil.example/?mail=ann@home.example", HOSTS)
    assert "ann" not in str(caught.value)


@pytest.mark.parametrize("site", ["https://shop.example", "https://www.shop.example/da"])
def test_the_site_counts_with_and_without_www(site: str) -> None:
    """Either spelling of the brand's site is the brand's site; nothing below it is."""
    assert allowed_hosts(site) == {"shop.example", "www.shop.example"}


def test_c1_unsubscribe_headers_are_those_of_rfc_8058() -> None:
    """Both headers, one HTTPS URI in angle brackets, the exact second value."""
    url = TRACKED.preferences()
    assert unsubscribe_headers(url) == {
        "List-Unsubscribe": f"<{url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert url.startswith(f"{PUBLIC_URL}/t/u/")
    assert "r-1" not in url


def test_tracked_links_are_signed_for_their_delivery() -> None:
    """Clicks, pixel and short links all name the one delivery."""
    token = TRACKED.click("https://shop.example", 4).rpartition("/")[2]
    opened = TOKENS.read("click", token)
    assert (opened.delivery_id, opened.link, opened.url) == (DELIVERY, 4, "https://shop.example")
    short = TRACKED.short("https://shop.example", 2)
    assert short.code == TOKENS.short_code(DELIVERY, 2)
    assert short.href == f"{PUBLIC_URL}/t/s/{short.code}"


def test_plain_short_links_are_as_long_as_real_ones() -> None:
    """A preview counts the segments that the real message will have."""
    url = "https://shop.example"
    assert len(PLAIN.short(url, 3).href) == len(TRACKED.short(url, 3).href)
