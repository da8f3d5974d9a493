"""The links in messages over real HTTP on loopback, over fakes of the ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from unit.web.fakes import DELIVERY, DESTINATION, NOW, FakeEngage, Site, serving

from gateway.core.links import URL_CHARS_MAX
from gateway.core.tokens import Tokens
from gateway.flows.contract import Topic
from gateway.web.tracking import PIXEL

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A server over fresh fakes."""
    async with serving() as site:
        yield site


# --- pixel, click, short link ---------------------------------------------------------------


@pytest.mark.parametrize("token", ["good", "forged", "%00", "x" * 4000])
async def test_c20_pixel_is_always_the_same_43_bytes(site: Site, token: str) -> None:
    """The pixel is one fixed GIF, never stored, whatever the token."""
    answer = await site.ask("GET", f"/t/o/{token}.gif")
    assert (answer.status, answer.body, len(answer.body)) == (200, PIXEL, 43)
    assert answer.headers["Content-Type"] == "image/gif"
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(site.engage.opens) == (1 if token == "good" else 0)


async def test_open_tells_who_when_and_how(site: Site) -> None:
    """An open carries the delivery, the time, the client and whether a browser fetched ahead."""
    await site.ask("GET", "/t/o/good.gif", headers={"User-Agent": "Mail/1" + "x" * 600})
    await site.ask("GET", "/t/o/good.gif", headers={"Sec-Purpose": "prefetch;prerender"})
    first, second = site.engage.opens
    assert (first.delivery_id, first.at, first.method) == (DELIVERY, NOW, "GET")
    assert first.user_agent == ("Mail/1" + "x" * 600)[:512]
    assert (first.prefetch, second.prefetch) == (False, True)


async def test_s8_click_leads_to_the_signed_url_and_nowhere_else(site: Site) -> None:
    """302 to the DESTINATION as signed; no parameter changes it; nothing is stored or told on."""
    answer = await site.ask("GET", "/t/c/good?url=https://evil.example")
    assert (answer.status, answer.headers["Location"]) == (302, DESTINATION)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    [(seen, link, url)] = site.engage.clicks
    assert (seen.delivery_id, link, url) == (DELIVERY, 3, DESTINATION)
    assert site.tokens.asked == ["click"]


async def test_s8_real_links_lead_where_they_were_made_to() -> None:
    """A link of the real signer works up to its full length, and a changed letter makes it 404."""
    signer = Tokens([b"secret"], "https://go.example")
    async with serving(tokens=signer) as site:
        for url in ("https://shop.example/a", "https://shop.example/?q=".ljust(URL_CHARS_MAX, "x")):
            path = signer.click_url(DELIVERY, 2, url).removeprefix("https://go.example")
            answer = await site.ask("GET", path)
            assert (answer.status, answer.headers["Location"]) == (302, url)
            forged = path[:-9] + ("A" if path[-9] != "A" else "B") + path[-8:]
            assert (await site.ask("GET", forged)).status == 404
    assert [(seen.delivery_id, link) for seen, link, _ in site.engage.clicks] == [(DELIVERY, 2)] * 2


async def test_a_url_with_other_letters_is_encoded_once(site: Site) -> None:
    """What may not stand in a header is percent-encoded, what is encoded stays."""
    site.tokens.link.url = "https://shop.example/smør brød/%20?q=æ\r\nSet-Cookie: a=b"
    answer = await site.ask("GET", "/t/c/good")
    expected = "https://shop.example/sm%C3%B8r%20br%C3%B8d/%20?q=%C3%A6%0D%0ASet-Cookie:%20a=b"
    assert answer.headers["Location"] == expected
    assert "Set-Cookie" not in answer.headers


async def test_c7_click_and_pixel_work_with_the_store_down(site: Site) -> None:
    """Pixel and click ask no store."""
    site.engage.down = True
    assert (await site.ask("GET", "/t/c/good")).status == 302
    assert (await site.ask("GET", "/t/o/good.gif")).status == 200


async def test_short_link(site: Site) -> None:
    """302 and a click for a code we know, 404 page for another, 503 page without the store."""
    answer = await site.ask("GET", "/t/s/x7")
    assert (answer.status, answer.headers["Location"]) == (302, DESTINATION)
    assert [(link, url) for _, link, url in site.engage.clicks] == [(1, DESTINATION)]
    assert (await site.ask("GET", "/t/s/other")).status == 404
    site.engage.down = True
    answer = await site.ask("GET", "/t/s/x7")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/t/c/bad"), ("GET", "/t/u/bad"), ("POST", "/t/u/bad")]
)
async def test_s8_forged_links_are_404_pages(site: Site, method: str, path: str) -> None:
    """A link that we did not sign is a page for a person, in their language, and does nothing."""
    answer = await site.ask(method, path, headers={"Accept-Language": "fr, da;q=0.8"})
    assert answer.status == 404
    assert 'lang="da"' in answer.text
    assert "Linket virker ikke" in answer.text
    assert (site.engage.kept, site.engage.clicks) == ([], [])


# --- preference page ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("purpose", [{}, {"Purpose": "prefetch"}, {"Sec-Purpose": "prefetch"}])
async def test_c5_looking_changes_nothing(site: Site, method: str, purpose: dict[str, str]) -> None:
    """GET, HEAD and prefetch on the preference page keep no wish."""
    answer = await site.ask(method, "/t/u/good", headers=purpose)
    assert (answer.status, site.engage.kept) == (200, [])


@pytest.mark.parametrize(
    "path", ["/t/o/good.gif", "/t/c/good", "/t/s/x7", "/t/u/good", "/livez", "/metrics", "/"]
)
async def test_c5_head_and_options_change_nothing_anywhere(site: Site, path: str) -> None:
    """HEAD answers as GET does, without a body and without counting; OPTIONS is refused."""
    head, get = await site.ask("HEAD", path), await site.ask("GET", path)
    assert (head.status, head.body) == (get.status, b"")
    site.engage.opens.clear()
    site.engage.clicks.clear()
    await site.ask("HEAD", path)
    assert (await site.ask("OPTIONS", path)).status == 405
    assert (site.engage.opens, site.engage.clicks, site.engage.kept) == ([], [], [])


async def test_c5_preference_page_is_private_and_runs_nothing(site: Site) -> None:
    """The page has forms, no script, loads nothing, and is not indexed, stored or told on."""
    answer = await site.ask("GET", "/t/u/good")
    assert '<form method="post">' in answer.text
    assert '<html lang="da" dir="ltr">' in answer.text
    assert "<script" not in answer.text
    assert "src=" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "noindex" in answer.headers["X-Robots-Tag"]
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy


MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
)
ONE_CLICKS = {
    "urlencoded": (b"List-Unsubscribe=One-Click", FORM),
    "multipart": (MULTIPART, {"Content-Type": "multipart/form-data; boundary=b"}),
    "empty": (b"", {}),
    "empty form": (b"", FORM),
    "extra fields": (b"a=1&List-Unsubscribe=One-Click&page=preferences&save=1", FORM),
    "unknown fields": (b"x=y", FORM),
    "other type": (b"List-Unsubscribe=One-Click", {"Content-Type": "text/plain"}),
    "broken multipart": (b"--zz", {"Content-Type": "multipart/form-data"}),
    "not text": (b"\xff\xfe", FORM),
    "cookies": (b"List-Unsubscribe=One-Click", {**FORM, "Cookie": "a=b; winback_session=1.x"}),
}


@pytest.mark.parametrize("kind", ONE_CLICKS)
async def test_c4_one_click(site: Site, kind: str) -> None:
    """Every form of one-click stops e-mail: 200, no redirect, no cookie, kept first."""
    body, headers = ONE_CLICKS[kind]
    answer = await site.ask("POST", "/t/u/good", data=body, headers=headers)
    assert answer.status == 200
    assert "Location" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert site.engage.kept == [("refuse", DELIVERY, ("email",), "one_click")]


@pytest.mark.parametrize("body", [b"List-Unsubscribe=One-Click", b"page=preferences&stop=sms"])
async def test_c7_no_acknowledgement_without_the_store(site: Site, body: bytes) -> None:
    """With the store down the answer is 503 with Retry-After, and nothing is claimed."""
    site.engage.down = True
    answer = await site.ask("POST", "/t/u/good", data=body, headers=FORM)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    site.engage.down, site.engage.known = False, False
    assert (await site.ask("POST", "/t/u/good", data=body, headers=FORM)).status == 404


@pytest.mark.parametrize(
    ("body", "kept", "says"),
    [
        ("stop=email", [("refuse", DELIVERY, ("email",), "preferences")], "ingen tilbud på e-mail"),
        ("stop=all", [("refuse", DELIVERY, ("all",), "preferences")], "Farvel"),
        ("allow=all", [("allow", DELIVERY, ("all",))], "Du får tilbud på sms."),
        (
            "save=1&keep=sms&keep=push&off=push",
            [
                ("refuse", DELIVERY, ("email",), "preferences"),
                ("allow", DELIVERY, ("push",)),
            ],
            "Du får tilbud i appen",
        ),
        ("save=1&keep=email&keep=sms&off=push", [], "Du får tilbud på e-mail."),
        ("stop=everything", [], "Du får tilbud på e-mail."),
    ],
)
async def test_form_says_what_is_now_true(
    site: Site, body: str, kept: list[tuple[object, ...]], says: str
) -> None:
    """Each button of the page keeps what it says, and the answer tells the new state."""
    answer = await site.ask("POST", "/t/u/good", data=f"page=preferences&{body}", headers=FORM)
    assert (answer.status, site.engage.kept) == (200, kept)
    assert says in answer.text


async def test_the_box_of_the_series_speaks_of_the_campaign_alone(site: Site) -> None:
    """Unticked it stops the campaign on every channel, ticked again it takes that back."""
    site.engage.state = replace(site.engage.state, topics=(Topic("spring", is_on=True),))
    body = "page=preferences&save=1&keep=email&keep=sms&off=push&seen=campaign"
    answer = await site.ask("POST", "/t/u/good", data=body, headers=FORM)
    assert site.engage.kept == [("refuse", DELIVERY, ("all",), "preferences", "spring")]
    assert "Du får ikke mere af den række" in answer.text
    assert "spring" not in answer.text
    site.engage.kept.clear()
    body += "&keep=campaign&off=campaign"
    answer = await site.ask("POST", "/t/u/good", data=body, headers=FORM)
    assert site.engage.kept == [("allow", DELIVERY, ("all",), "spring")]
    assert "Du får den række" in answer.text


async def test_a_kept_wish_is_never_called_lost() -> None:
    """When the store goes away between the wish and the page, the page still says it is kept."""
    async with serving(engage=FakeEngage(down_after_refuse=True)) as site:
        body = "page=preferences&stop=all"
        answer = await site.ask("POST", "/t/u/good", data=body, headers=FORM)
    assert answer.status == 200
    assert "Your choice is kept" in answer.text
