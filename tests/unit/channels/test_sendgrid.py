"""SendGrid: what goes out, what each answer means, and the event webhook."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from sendgrid.helpers.mail import (
    Category,
    ClickTracking,
    Content,
    CustomArg,
    Email,
    Ganalytics,
    Header,
    Mail,
    OpenTracking,
    Personalization,
    SubscriptionTracking,
    To,
    TrackingSettings,
)
from support.messages import AT, EMAIL, SMS, data, email, now
from support.recorder import RecordingTransport

from channels.contract import (
    Accepted,
    BadReceiptError,
    BadSignatureError,
    Deferred,
    Misconfigured,
    Outcome,
    Reading,
    Receipt,
    ReceiptType,
    Refused,
    Scope,
    Throttled,
    Uncertain,
    WebhookRequest,
    Withheld,
)
from channels.http import Answer, MayHaveArrived, NeverLeft, Result
from channels.sendgrid import SendGridChannel, SendGridOptions, SendGridWebhook

OPTIONS = SendGridOptions("SG.key", "hi@shop.example", "Shop", "http://127.0.0.1:1")


def channel(*results: Result) -> tuple[SendGridChannel, RecordingTransport]:
    """A channel whose provider answers from a list."""
    transport = RecordingTransport(*results)
    return SendGridChannel(OPTIONS, transport, now=now), transport


async def sent(message: Any = EMAIL) -> dict[str, Any]:
    """The JSON that goes out for a message."""
    made, transport = channel(Answer(202, {"x-message-id": "m"}, b""))
    assert isinstance(await made.send(message), Accepted)
    return json.loads(transport.requests[0].body)


# --- what goes out


async def test_the_request_is_what_the_sdk_builder_would_build() -> None:
    """The official builder is the oracle for the dict made by hand."""
    mail = Mail()
    mail.from_email = Email("hi@shop.example", "Shop")
    mail.subject = "We miss you"
    person = Personalization()
    person.add_to(To("ana@example.com", "Ana"))
    for name, value in EMAIL.content.headers.items():
        person.add_header(Header(name, value))
    for name, value in (("attempt_id", "at-1"), ("delivery_id", "de-1"), ("send_id", "se-1")):
        person.add_custom_arg(CustomArg(name, value))
    mail.add_personalization(person)
    mail.add_content(Content("text/plain", "Hello"))
    mail.add_content(Content("text/html", "<p>Hello</p>"))
    mail.add_category(Category("spring-2026"))
    mail.tracking_settings = TrackingSettings(
        ClickTracking(enable=False, enable_text=False),
        OpenTracking(enable=False),
        SubscriptionTracking(enable=False),
        Ganalytics(enable=False),
    )
    assert await sent() == mail.get()


async def test_the_request_goes_to_mail_send_with_the_key() -> None:
    """Path, method and key."""
    made, transport = channel(Answer(202, {}, b""))
    await made.send(EMAIL)
    request = transport.requests[0]
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:1/v3/mail/send")
    assert request.headers["authorization"] == "Bearer SG.key"


async def test_c11_all_tracking_of_the_provider_is_off() -> None:
    """Ours is on, so theirs is explicitly off."""
    settings = (await sent())["tracking_settings"]
    assert settings == {
        "click_tracking": {"enable": False, "enable_text": False},
        "open_tracking": {"enable": False},
        "subscription_tracking": {"enable": False},
        "ganalytics": {"enable": False},
    }


async def test_c1_unsubscribe_headers_are_in_the_personalization_unchanged() -> None:
    """Both headers, exact values."""
    assert (await sent())["personalizations"][0]["headers"] == dict(EMAIL.content.headers)


async def test_text_comes_before_html_and_empty_parts_are_left_out() -> None:
    """SendGrid wants that order and no empty value."""
    assert [part["type"] for part in (await sent())["content"]] == ["text/plain", "text/html"]
    assert [part["type"] for part in (await sent(email(text="")))["content"]] == ["text/html"]


async def test_a_category_fits_and_a_name_has_no_separator() -> None:
    """Rules of the API: 255 characters, and no comma or semicolon in a name."""
    body = await sent(replace(EMAIL, campaign="c" * 300, to_name="Lee, Ana; VIP"))
    assert body["categories"] == ["c" * 255]
    assert body["personalizations"][0]["to"] == [
        {"email": "ana@example.com", "name": "Lee Ana VIP"}
    ]


BAD_VALUES = ["a\rb", "a\nb", "a\r\nBcc: x@example.com", "\x00", "\x1f", "\x7f", "\x85", "\u2028"]
BAD_VALUES += ["\u2029", "\ud800"]


@pytest.mark.parametrize("bad", BAD_VALUES)
async def test_s1_control_characters_refuse_the_message_and_nothing_goes_out(bad: str) -> None:
    """In subject, name, address and header values alike; refused, never raised or stripped."""
    messages = [
        email(subject=f"a{bad}"),
        replace(EMAIL, to_name=f"a{bad}"),
        replace(EMAIL, to=f"ana@example.com{bad}"),
        email(headers={"List-Unsubscribe": f"<https://a>{bad}"}),
    ]
    for message in messages:
        made, transport = channel()
        assert isinstance(outcome := await made.send(message), Refused)
        assert outcome.scope is Scope.MESSAGE
        assert transport.requests == []


@pytest.mark.parametrize("name", ["Bcc", "To", "Subject", "X-Any", "List-Id\r\nBcc", "", "Ünsub"])
async def test_s1_only_listed_header_names_go_out(name: str) -> None:
    """A header that is not on the list refuses the message."""
    made, transport = channel()
    assert isinstance(await made.send(email(headers={name: "x"})), Refused)
    assert transport.requests == []


@pytest.mark.parametrize(
    "message", [email(text="\ud800"), email(subject=""), email(text="", html="")]
)
async def test_a_mail_that_cannot_be_written_is_refused(message: Any) -> None:
    """Lone surrogates and empty mails never reach the provider."""
    made, transport = channel()
    assert isinstance(await made.send(message), Refused)
    assert transport.requests == []


async def test_another_kind_of_message_is_a_bug() -> None:
    """Only bugs raise."""
    with pytest.raises(TypeError):
        await channel()[0].send(SMS)


# --- what an answer means


def errors(message: str, field: str | None = None) -> bytes:
    """An error body of SendGrid."""
    return json.dumps({"errors": [{"message": message, "field": field}]}).encode()


RESET = str(int(now().timestamp()) + 30)
ROWS: list[tuple[Result, Outcome]] = [
    (Answer(202, {"x-message-id": "m1"}, b""), Accepted("m1")),
    (Answer(202, {}, b""), Accepted("")),
    (Answer(200, {}, b"<html>"), Uncertain("200")),
    (Answer(204, {}, b""), Uncertain("204")),
    (Answer(302, {}, b""), Misconfigured("302")),
    (Answer(400, {}, errors("Bad", "subject")), Refused("400 subject Bad")),
    (
        Answer(
            400, {}, errors("Does not contain a valid address.", "personalizations.0.to.0.email")
        ),
        Refused(
            "400 personalizations.0.to.0.email Does not contain a valid address.", Scope.ADDRESS
        ),
    ),
    (
        Answer(400, {}, errors("Invalid email address ana@example.com")),
        Refused("400 Invalid email address <address>", Scope.ADDRESS),
    ),
    (Answer(400, {}, errors("No", "from.email")), Misconfigured("400 from.email No")),
    (Answer(400, {}, b"not json"), Refused("400")),
    (Answer(400, {}, b"[" * 100_000), Refused("400")),
    (Answer(400, {}, b'{"errors":[1]}'), Refused("400")),
    (Answer(401, {}, b""), Misconfigured("401")),
    (Answer(403, {}, errors("Sender", "from")), Misconfigured("403 from Sender")),
    (Answer(404, {}, b""), Misconfigured("404")),
    (Answer(408, {}, b""), Uncertain("408")),
    (Answer(413, {}, b""), Refused("413")),
    (Answer(429, {"retry-after": "7"}, b""), Throttled(7.0, "429")),
    (Answer(429, {"retry-after": "Mon, 02 Mar 2026 10:00:20 GMT"}, b""), Throttled(20.0, "429")),
    (Answer(429, {"retry-after": "Mon, 02 Mar 2020 10:00:20 GMT"}, b""), Throttled(0.0, "429")),
    (Answer(429, {"retry-after": "soon"}, b""), Throttled(None, "429")),
    (Answer(429, {"x-ratelimit-reset": RESET}, b""), Throttled(30.0, "429")),
    (Answer(429, {"x-ratelimit-reset": "x"}, b""), Throttled(None, "429")),
    (Answer(429, {"retry-after": "999999999"}, b""), Throttled(86_400.0, "429")),
    (Answer(429, {}, b""), Throttled(None, "429")),
    (Answer(500, {}, b""), Uncertain("500")),
    (Answer(502, {}, b"<html>"), Uncertain("502")),
    (Answer(503, {"retry-after": "9"}, b""), Deferred("503", 9.0)),
    (Answer(504, {}, b""), Uncertain("504")),
    (Answer(599, {}, b""), Uncertain("599")),
    (Answer(999, {}, b""), Uncertain("999")),
    (NeverLeft("no connection"), Deferred("no connection")),
    (NeverLeft("withheld", withheld=True), Withheld()),
    (MayHaveArrived("lost"), Uncertain("lost")),
]


@pytest.mark.parametrize(("result", "outcome"), ROWS)
async def test_each_answer_is_one_outcome_after_one_request(
    result: Result, outcome: Outcome
) -> None:
    """The outcome table, row by row; never a second request."""
    made, transport = channel(result)
    assert await made.send(EMAIL) == outcome
    assert len(transport.requests) == 1


async def test_may_start_no_is_withheld() -> None:
    """The question goes through to the transport."""
    made, transport = channel()
    assert await made.send(replace(EMAIL, may_start=lambda: False)) == Withheld()
    assert transport.requests == []


async def test_no_reason_holds_an_address_or_a_number() -> None:
    """What the provider echoes does not reach events."""
    body = errors("The address ana@example.com or +1 555 867 5310 is bad")
    outcome = await channel(Answer(400, {}, body))[0].send(EMAIL)
    assert isinstance(outcome, Refused)
    assert "ana" not in outcome.reason
    assert "5310" not in outcome.reason


# --- the webhook

KEY = ec.generate_private_key(ec.SECP256R1())


def public_key(key: Any = KEY) -> str:
    """A public key as SendGrid shows it."""
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


def call(body: bytes, *, at: datetime = AT, **changes: str) -> WebhookRequest:
    """A signed call; `changes` replace `signature` or `timestamp` after signing."""
    timestamp = str(int(at.timestamp()))
    raw = KEY.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    values = {"signature": base64.b64encode(raw).decode(), "timestamp": timestamp, **changes}
    headers = {f"x-twilio-email-event-webhook-{name}": value for name, value in values.items()}
    return WebhookRequest("https://gw.example.com/webhooks/sendgrid", headers, body, now())


READER = SendGridWebhook(public_key())


def read(*events: object) -> Reading:
    """Read signed events."""
    return READER.read(call(json.dumps(events).encode()))


@pytest.mark.parametrize(
    "case",
    data("vectors/sendgrid_event_webhook_signature.json")["cases"],
    ids=lambda case: case["name"].partition(":")[0],
)
def test_w1_the_official_vectors(case: dict[str, Any]) -> None:
    """The SDK's own cases: one is right, all others are refused in the same way."""
    request = WebhookRequest(
        "",
        {
            "x-twilio-email-event-webhook-signature": case["signature"],
            "x-twilio-email-event-webhook-timestamp": case["timestamp"],
        },
        case["body"].encode(),
        datetime.fromtimestamp(1600112502, UTC),
    )
    reader = SendGridWebhook(case["public_key"])
    if case["valid"]:
        (receipt,) = reader.read(request).receipts
        assert receipt.type is ReceiptType.BOUNCED
        assert receipt.dedupe_key == "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA"
        assert receipt.occurred_at == datetime.fromtimestamp(1600112492, UTC)
    else:
        with pytest.raises(BadSignatureError):
            reader.read(request)


@pytest.mark.parametrize(
    "request_",
    [
        call(b"[]", signature=""),
        call(b"[]", signature="!!!"),
        call(b"[]", signature="é" * 90),
        call(b"[]", signature="A" * 96),
        call(b"[]", timestamp=""),
        call(b"[]", timestamp="1"),
        call(b"[]", timestamp="99999999999"),
        call(b"[]", timestamp="٠١٢٣٤٥٦٧٨٩"),
        replace(call(b"[]"), headers={}),
        replace(call(b"[]"), body=b"[ ]"),
        replace(call(b"[]"), body=b"\xff\xfe"),
        call(b"[]", at=now() + timedelta(minutes=5, seconds=1)),
        call(b"[]", at=now() - timedelta(hours=26, seconds=1)),
    ],
)
def test_w1_w6_a_call_that_is_not_surely_the_providers_is_refused(request_: WebhookRequest) -> None:
    """Malformed, forged, altered, too old and too new calls: one exception, no other."""
    with pytest.raises(BadSignatureError):
        READER.read(request_)


def test_w6_the_window_includes_its_edges() -> None:
    """Five minutes ahead and 26 hours back are still read."""
    assert READER.read(call(b"[]", at=now() + timedelta(minutes=5))) == Reading()
    assert READER.read(call(b"[]", at=now() - timedelta(hours=26))) == Reading()


def test_w1_random_damage_is_never_accepted() -> None:
    """One changed bit or header character anywhere is refused and never another exception."""
    chance = random.Random(7)  # noqa: S311 - reproducible damage
    whole = call(b'[{"event":"open"}]')
    for _ in range(300):
        headers, body = dict(whole.headers), bytearray(whole.body)
        if chance.random() < 0.5:
            name = chance.choice(list(headers))
            at = chance.randrange(len(headers[name]))
            headers[name] = headers[name][:at] + chr(chance.randrange(0x250)) + headers[name][at:]
        else:
            body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        with pytest.raises(BadSignatureError):
            READER.read(replace(whole, headers=headers, body=bytes(body)))


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[", b"[" * 200_000])
def test_a_signed_body_that_cannot_be_read_says_so(body: bytes) -> None:
    """A right signature over nonsense is another fault."""
    with pytest.raises(BadReceiptError):
        READER.read(call(body))


def test_w5_both_keys_work_while_keys_change() -> None:
    """Current and previous key are both good; a third is not."""
    other = public_key(ec.generate_private_key(ec.SECP256R1()))
    assert SendGridWebhook(other, public_key()).read(call(b"[]")) == Reading()
    with pytest.raises(BadSignatureError):
        SendGridWebhook(other).read(call(b"[]"))


@pytest.mark.parametrize("keys", [(), ("",), ("nonsense",)])
def test_w5_a_reader_without_a_key_is_not_made(keys: tuple[str, ...]) -> None:
    """An empty key would verify nothing."""
    with pytest.raises(ValueError, match="key"):
        SendGridWebhook(*keys)


def test_a_key_of_another_kind_is_not_taken() -> None:
    """An RSA key cannot verify these signatures."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(ValueError, match="elliptic"):
        SendGridWebhook(public_key(key))


EVENT = {
    "event": "delivered",
    "email": "ana@example.com",
    "timestamp": int(now().timestamp()),
    "sg_event_id": "e1",
    "sg_message_id": "m1.filter",
    "delivery_id": "de-1",
    "attempt_id": "at-1",
    "send_id": "se-1",
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"event": "processed"}, ReceiptType.ACCEPTED),
        ({"event": "deferred", "response": "400 later"}, ReceiptType.ACCEPTED),
        ({"event": "delivered"}, ReceiptType.DELIVERED),
        ({"event": "bounce", "type": "bounce"}, ReceiptType.BOUNCED),
        ({"event": "bounce", "type": "blocked"}, ReceiptType.FAILED),
        ({"event": "bounce"}, ReceiptType.BOUNCED),
        ({"event": "dropped", "reason": "Bounced Address"}, ReceiptType.BOUNCED),
        ({"event": "dropped", "reason": "Invalid"}, ReceiptType.BOUNCED),
        ({"event": "dropped", "reason": "Invalid SMTPAPI header"}, ReceiptType.FAILED),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, ReceiptType.FAILED),
        ({"event": "dropped"}, ReceiptType.FAILED),
        ({"event": "open"}, ReceiptType.OPENED),
        ({"event": "click", "url": "https://shop.example"}, ReceiptType.CLICKED),
        ({"event": "spamreport"}, ReceiptType.COMPLAINED),
        ({"event": "unsubscribe"}, ReceiptType.UNSUBSCRIBED),
        ({"event": "group_unsubscribe"}, ReceiptType.UNSUBSCRIBED),
        ({"event": "group_resubscribe"}, ReceiptType.RESUBSCRIBED),
    ],
)
def test_each_event_is_one_receipt(changes: dict[str, str], expected: ReceiptType) -> None:
    """The event table, row by row."""
    (receipt,) = read({**EVENT, **changes}).receipts
    assert receipt.type is expected
    assert receipt.url == changes.get("url", "")


def test_a_mail_dropped_for_an_opt_out_is_a_no_and_a_lost_message() -> None:
    """Nothing ends silently: the person's no, then the end of the message."""
    said = read({**EVENT, "event": "dropped", "reason": "Unsubscribed Address"}).receipts
    assert [one.type for one in said] == [ReceiptType.UNSUBSCRIBED, ReceiptType.FAILED]
    assert said[1].reason == "consent"
    assert len({one.dedupe_key for one in said}) == 2


def test_a_receipt_carries_our_ids_and_theirs() -> None:
    """All fields of one event."""
    event = {**EVENT, "event": "open", "sg_machine_open": True, "useragent": "UA"}
    assert read(event).receipts == (
        Receipt(
            type=ReceiptType.OPENED,
            provider="sendgrid",
            delivery_id="de-1",
            attempt_id="at-1",
            provider_message_id="m1.filter",
            occurred_at=now(),
            dedupe_key="e1",
            machine=True,
            user_agent="UA",
        ),
    )


def test_w7_repeats_have_one_key_and_other_statements_another() -> None:
    """Also for events that carry no id of their own."""
    bare = {name: value for name, value in EVENT.items() if name != "sg_event_id"}
    first, again, other = read(bare, bare, {**bare, "event": "open"}).receipts
    assert first.dedupe_key == again.dedupe_key != other.dedupe_key


@pytest.mark.parametrize(
    "bad",
    [
        None,
        7,
        "x",
        [],
        {},
        {**EVENT, "event": "teleported"},
        {**EVENT, "event": 7},
        {**EVENT, "timestamp": "yesterday"},
        {**EVENT, "timestamp": True},
        {**EVENT, "timestamp": 10**30},
        {**EVENT, "timestamp": -1},
        {"event": "open"},
    ],
)
def test_w10_a_bad_element_among_good_ones_is_counted(bad: object) -> None:
    """The good ones are read."""
    reading = read(EVENT, bad, {**EVENT, "sg_event_id": "e2"})
    assert [receipt.dedupe_key for receipt in reading.receipts] == ["e1", "e2"]
    assert reading.unread == 1
