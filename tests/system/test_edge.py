"""The edge, whole: what people, providers and upstream do to a running gateway by HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from support.journal import Call
from support.kafka import RealKafka
from support.mails import Mail, mail_of, short_links_of
from support.signers import sign_twilio
from support.stage import SITE, Stage, new_topics, request, stage, structured
from support.stand_ins import StandIns
from support.topics import create_topics, unique

from gateway.bus.embedded import EmbeddedBroker

pytestmark = pytest.mark.asyncio(loop_scope="session")

PERSON_AGENT = "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_4) AppleWebKit/605.1.15 Safari/605.1.15"
GIF_BYTES = 43
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ONE_CLICK = b"List-Unsubscribe=One-Click"
SIDE = "/webhooks/twilio/inbound"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def on(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One gateway for all tests here: each has people of its own."""
    topics = new_topics()
    folder = tmp_path_factory.mktemp("edge")
    with StandIns() as providers:
        async with (
            EmbeddedBroker(topics.sizes()) as bootstrap,
            stage(bootstrap, topics, folder, providers) as running,
        ):
            yield running


class Person:
    """Somebody with an address on every channel."""

    _count = 0

    def __init__(self) -> None:
        self.id = unique("person")
        number = int(self.id.rpartition(".")[2], 16) % 1_000_000
        self.email = f"{self.id}@mbox7.example"
        self.phone = f"+453{number:06d}0"
        self.token = f"devicetoken{self.id}"

    def request(self, *channels: str, **more: Any) -> dict[str, Any]:
        """A request for this person."""
        addresses = {
            "email": self.email,
            "phone": self.phone,
            "push": [{"platform": "fcm", "token": self.token}],
        }
        return request(unique("r"), self.id, *channels, recipient=addresses, **more)


async def send(on: Stage, whole: dict[str, Any], address: str) -> Call:
    """Publish a request, and the call that it led to."""
    await on.publish([structured(whole)])
    return await on.providers.journal.first_to(address)


async def mail_to(on: Stage, person: Person) -> tuple[Call, Mail]:
    """An e-mail to somebody."""
    call = await send(on, person.request("email"), person.email)
    return call, mail_of(call)


async def unsigned(on: Stage, path: str, body: bytes, **headers: str) -> int:
    status, _, _ = await on.gateway.ask("POST", path, body=body, headers=headers)
    return status


# --- links ----------------------------------------------------------------------------------


async def test_a_pixel_is_an_open(on: Stage) -> None:
    """The pixel of a mail answers with 43 bytes and becomes an event; so does a forged one, not."""
    call, mail = await mail_to(on, Person())
    status, body, headers = await on.gateway.get(mail.pixel, **{"User-Agent": PERSON_AGENT})
    assert (status, len(body), headers["Content-Type"]) == (200, GIF_BYTES, "image/gif")
    assert headers["Cache-Control"] == "no-store"
    (event,) = await on.out.see("message.opened", delivery_id=call.delivery_id)
    assert event["data"]["channel"] == "email"
    status, body, _ = await on.gateway.get("/t/o/forged.gif")
    assert (status, len(body)) == (200, GIF_BYTES)


async def test_a_click_leads_to_the_destination(on: Stage) -> None:
    """A link of the mail is a 302 to what the template says, and an event with that address."""
    call, mail = await mail_to(on, Person())
    (link,) = [one for one in mail.clicks if await _leads_to(on, one, f"{SITE}/plans?plan=gold")]
    assert f"{SITE}/plans" not in mail.html, "a link went out untracked"
    status, _, headers = await on.gateway.get(link, **{"User-Agent": PERSON_AGENT})
    assert (status, headers["Location"]) == (302, f"{SITE}/plans?plan=gold")
    (event,) = await on.out.see("message.clicked", delivery_id=call.delivery_id)
    assert event["data"]["url"] == f"{SITE}/plans?plan=gold"
    assert event["data"]["link"] == mail.clicks.index(link)


async def _leads_to(on: Stage, link: str, destination: str) -> bool:
    # HEAD changes nothing, so that looking is no click.
    _, _, headers = await on.gateway.ask("HEAD", link)
    return headers.get("Location") == destination


async def test_a_forged_link_is_not_found(on: Stage) -> None:
    """A token that was not signed here, or for another purpose, leads nowhere."""
    _, mail = await mail_to(on, Person())
    token = mail.one_click.rpartition("/")[2]
    assert (await on.gateway.get(f"/t/c/{token}"))[0] == 404
    assert (await on.gateway.get(mail.clicks[0][:-2] + "xx"))[0] == 404
    assert (await on.gateway.get("/t/s/abcdefghijkl"))[0] == 404
    status = await unsigned(on, "/t/u/forged", ONE_CLICK, **FORM)
    assert status == 404


async def test_a_short_link_leads_to_the_destination(on: Stage) -> None:
    """A link in an SMS is short, leads where the template says, and is a click."""
    person = Person()
    call = await send(on, person.request("sms"), person.phone)
    (link,) = short_links_of(call)
    status, _, headers = await on.gateway.get(link, **{"User-Agent": PERSON_AGENT})
    assert (status, headers["Location"]) == (302, f"{SITE}/plans")
    (event,) = await on.out.see("message.clicked", delivery_id=call.delivery_id)
    assert event["data"]["channel"] == "sms"


# --- a no -----------------------------------------------------------------------------------


async def test_c5_looking_at_the_preference_page_changes_nothing(on: Stage) -> None:
    """GET and HEAD of the page say what is true and leave it so."""
    person = Person()
    call, mail = await mail_to(on, person)
    status, page, headers = await on.gateway.get(mail.one_click)
    assert status == 200
    assert b"<form" in page
    assert headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in headers
    assert (await on.gateway.ask("HEAD", mail.one_click))[0] == 200
    await send(on, person.request("email"), person.email)
    await on.out.see("message.sent", 2, recipient_id=person.id)
    assert not on.out.of("recipient.unsubscribed", recipient_id=person.id)
    assert call.send_id != on.providers.journal.to(person.email)[1].send_id


async def test_c4_c6_one_click_stops_promotional_mail_and_nothing_else(on: Stage) -> None:
    """After a one-click's 200 no promotional mail leaves; transactional mail and SMS go on."""
    person = Person()
    _, mail = await mail_to(on, person)
    later = person.request("email", not_before=_in_s(3))
    await on.publish([structured(later)])

    status, _, headers = await on.gateway.ask("POST", mail.one_click, body=ONE_CLICK, headers=FORM)
    assert status == 200
    assert "Location" not in headers
    assert "Set-Cookie" not in headers
    assert (await on.gateway.ask("POST", mail.one_click, body=ONE_CLICK, headers=FORM))[0] == 200

    fresh = person.request("email")
    receipt = person.request("email", template="receipt")
    by_sms = person.request("sms")
    await on.publish([structured(one) for one in (fresh, receipt, by_sms)])
    for whole in (later, fresh):
        (event,) = await on.out.see("send.suppressed", request_id=whole["id"])
        assert event["data"]["reason"] == "consent"
    await on.out.see("message.sent", request_id=receipt["id"])
    await on.out.see("message.sent", request_id=by_sms["id"])
    assert len(on.providers.journal.to(person.email)) == 2, "a mail left after the no"
    (told,) = on.out.of("recipient.unsubscribed", recipient_id=person.id)
    assert told["data"]["channel"] == "email"


async def test_a_no_by_the_api_is_obeyed_for_a_person_never_seen(on: Stage) -> None:
    """PUT consent answers 204 and closes every channel before the first request comes."""
    person = Person()
    status, _ = await on.gateway.api(
        "PUT",
        f"/v1/recipients/{person.id}/consent",
        {"channel": "all", "state": "revoked", "source": "call centre", "occurred_at": _in_s(0)},
    )
    assert status == 204
    whole = person.request("email", "sms", "push")
    await on.publish([structured(whole)])
    (event,) = await on.out.see("send.suppressed", request_id=whole["id"])
    assert event["data"]["reason"] == "consent"
    assert not on.providers.journal.to(person.email)


# --- providers ------------------------------------------------------------------------------


async def test_w1_w7_sendgrid_receipts_count_once_and_only_when_signed(on: Stage) -> None:
    """Delivered, bounced, complained: signed ones become events once, others 403."""
    person = Person()
    call, _ = await mail_to(on, person)
    events = [_event(call, "processed"), _event(call, "delivered"), _event(call, "delivered")]
    body, headers = on.signer.sign(events)
    assert await unsigned(on, "/webhooks/sendgrid", body, **{"Content-Type": "x/y"}) == 403
    assert await unsigned(on, "/webhooks/sendgrid", body + b" ", **headers) == 403
    assert await on.receive(*events) == 200
    assert await on.receive(*events) == 200
    await on.out.see("message.delivered", delivery_id=call.delivery_id)

    assert await on.receive(_event(call, "bounce", reason="550 no such user")) == 200
    (bounce,) = await on.out.see("message.bounced", delivery_id=call.delivery_id)
    assert bounce["data"]["recipient_id"] == person.id
    whole = person.request("email", template="receipt")
    await on.publish([structured(whole)])
    (event,) = await on.out.see("send.suppressed", request_id=whole["id"])
    assert event["data"]["reason"] == "suppressed_address"
    assert len(on.out.of("message.delivered", delivery_id=call.delivery_id)) == 1


async def test_w1_w3_twilio_receipts_and_stop_and_start(on: Stage) -> None:
    """A signed status is an event; STOP stops all SMS, START undoes it; unsigned calls get 403."""
    person = Person()
    call = await send(on, person.request("sms"), person.phone)
    query = urlencode({"delivery": call.delivery_id, "attempt": call.attempt_id})
    status_url = f"{on.gateway.url}/webhooks/twilio/status?{query}"
    form = {"MessageSid": f"SM-{call.attempt_id}", "MessageStatus": "delivered"}
    body, headers = sign_twilio(status_url, form)
    assert await unsigned(on, status_url, body, **FORM) == 403
    assert await unsigned(on, status_url + "0", body, **headers) == 403
    assert await unsigned(on, status_url, body, **headers) == 200
    await on.out.see("message.delivered", delivery_id=call.delivery_id)

    await say(on, person, "Stop.")
    receipt = person.request("sms", template="receipt")
    await on.publish([structured(receipt)])
    (event,) = await on.out.see("send.suppressed", request_id=receipt["id"])
    assert event["data"]["reason"] == "consent"
    await say(on, person, "START")
    again = person.request("sms")
    await on.publish([structured(again)])
    await on.out.see("message.sent", request_id=again["id"])
    assert len(on.out.of("message.replied", recipient_id=person.id)) == 2
    assert len(on.out.of("recipient.resubscribed", recipient_id=person.id)) == 1


async def say(on: Stage, person: Person, text: str) -> None:
    """A text message from somebody, as Twilio hands it over."""
    form = {"MessageSid": unique("SM"), "From": person.phone, "To": "+4570000000", "Body": text}
    body, headers = sign_twilio(f"{on.gateway.url}{SIDE}", form)
    status, answer, _ = await on.gateway.ask("POST", SIDE, body=body, headers=headers)
    assert (status, answer) == (200, b"<Response/>")


def _event(call: Call, name: str, **more: str) -> dict[str, Any]:
    return {
        "event": name,
        "email": call.to,
        "timestamp": int(time.time()),
        "sg_message_id": f"sg-{call.attempt_id}.filter",
        "sg_event_id": f"{call.attempt_id}-{name}",
        "delivery_id": call.delivery_id,
        "attempt_id": call.attempt_id,
        "send_id": call.send_id,
        **more,
    }


# --- upstream -------------------------------------------------------------------------------


async def test_requests_by_http_are_taken_once_and_whole(on: Stage) -> None:
    """Accepted, duplicate, conflict and refused, as the contract says; Kafka counts too."""
    person, other = Person(), Person()
    whole = person.request("email")
    status, answer = await on.gateway.api("POST", "/v1/sends", whole)
    (taken,) = answer["sends"]
    assert (status, taken["status"]) == (202, "accepted")
    assert (taken["source"], taken["id"]) == (whole["source"], whole["id"])
    status, answer = await on.gateway.api("POST", "/v1/sends", whole)
    assert (status, answer["sends"][0]["status"]) == (202, "duplicate")
    await on.publish([structured(whole)])

    changed = {**whole, "data": {**whole["data"], "campaign": "autumn"}}
    fresh = other.request("email")
    status, answer = await on.gateway.api("POST", "/v1/sends", [fresh, changed])
    assert status == 409
    assert answer["errors"][0]["path"].startswith("$[1]")
    call = await on.providers.journal.first_to(person.email)
    assert call.send_id == taken["send_id"]
    await on.out.see("message.sent", send_id=taken["send_id"])
    assert len(on.providers.journal.to(person.email)) == 1
    assert not on.providers.journal.to(other.email), "a part of a refused array was taken"


async def test_faults_by_http_are_named_and_leave_no_dead_letter(on: Stage) -> None:
    """422 names each event's first fault; 400 and 401 are what they should be."""
    letters = len(on.dead.records)
    good, lacking = Person().request("email"), Person().request("email")
    lacking["data"]["variables"] = {}
    stranger = Person().request("email", template="no_such")
    wrong = Person().request("email")
    wrong["data"]["recipient"]["id"] = 7
    status, answer = await on.gateway.api("POST", "/v1/sends", [good, lacking, wrong, stranger])
    assert status == 422
    assert [error["path"] for error in answer["errors"]] == [
        "$[1].data.variables.plan",
        "$[2].data.recipient.id",
        "$[3].data.template",
    ]
    status, answer = await on.gateway.api("POST", "/v1/sends", wrong)
    assert (status, answer["errors"][0]["path"]) == (422, "$.data.recipient.id")
    status, _, headers = await on.gateway.ask(
        "POST", "/v1/sends", body=b"{}", headers={"Content-Type": "application/json"}
    )
    assert (status, headers["Content-Type"]) == (401, "application/problem+json")
    assert len(on.dead.records) == letters


async def test_a_send_tells_its_story_without_addresses(on: Stage) -> None:
    """GET /v1/sends/{id} has the gates, the delivery, the attempt and the events."""
    person = Person()
    whole = person.request("email")
    _, answer = await on.gateway.api("POST", "/v1/sends", whole)
    send_id = answer["sends"][0]["send_id"]
    await on.out.see("message.sent", send_id=send_id)
    status, story = await on.gateway.api("GET", f"/v1/sends/{send_id}")
    assert (status, story["state"]) == (200, "sent")
    gates = [gate["gate"] for gate in story["gates"]]
    assert (gates[0], gates[-1]) == ("expiry", "route")
    assert "consent" in gates
    (delivery,) = story["deliveries"]
    assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["accepted"]
    assert [event["type"] for event in story["events"]] == ["winback.message.sent.v1"]
    assert "mbox7" not in str(story)
    assert (await on.gateway.api("GET", "/v1/sends/aaaaaaaaaaaaaaaaaaaaaaaaaa"))[0] == 404


async def test_probes_and_metrics_tell_how_it_is(on: Stage) -> None:
    """Probes answer 200, metrics count what went through, the front asks for a key."""
    before = await on.gateway.metric("winback_attempts_total", channel="email")
    await mail_to(on, Person())
    assert [await on.gateway.probe(name) for name in ("livez", "readyz", "startupz")] == [200] * 3
    assert await on.gateway.metric("winback_attempts_total", channel="email") == before + 1
    assert (await on.gateway.get("/"))[0] == 401
    assert "mbox7" not in on.gateway.log


# --- Kafka away -----------------------------------------------------------------------------


@pytest.mark.kafka
async def test_c7_a_no_and_a_click_work_while_kafka_is_down(
    kafka: RealKafka, tmp_path: Any, providers: StandIns
) -> None:
    """Links and the no are answered without a broker; the facts arrive once it is back."""
    topics, person = new_topics(), Person()
    await create_topics(kafka.bootstrap, topics.sizes())
    async with stage(kafka.bootstrap, topics, tmp_path, providers) as on:
        call, mail = await mail_to(on, person)
        await on.out.see("message.sent", recipient_id=person.id)
        await kafka.stop(kill=True)
        try:
            status, _, _ = await on.gateway.ask(
                "POST", mail.one_click, body=ONE_CLICK, headers=FORM
            )
            assert status == 200
            assert (await on.gateway.get(mail.clicks[0]))[0] == 302
            status, answer = await on.gateway.api("POST", "/v1/sends", person.request("email"))
            assert (status, answer["sends"][0]["status"]) == (202, "accepted")
            assert await on.gateway.probe("livez") == 200
        finally:
            await kafka.start()
        await on.out.see("recipient.unsubscribed", recipient_id=person.id, within_s=40)
        await on.out.see("message.clicked", delivery_id=call.delivery_id)
        (event,) = await on.out.see("send.suppressed", recipient_id=person.id)
        assert event["data"]["reason"] == "consent"
        assert len(providers.journal.to(person.email)) == 1


def _in_s(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
