"""Twilio: what goes out, what each answer means, and both webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from support.messages import EMAIL, SMS, data, now
from support.recorder import RecordingTransport

from channels.answers import Verdict
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
    Reply,
    Scope,
    SmsContent,
    Throttled,
    Uncertain,
    WebhookRequest,
    Withheld,
)
from channels.http import Answer, MayHaveArrived, NeverLeft, Result
from channels.twilio import TwilioChannel, TwilioInboundWebhook, TwilioOptions, TwilioStatusWebhook
from channels.twilio_codes import CODES

OPTIONS = TwilioOptions(
    "AC00000000000000000000000000000000",
    "secret",
    from_number="+15557122661",
    base_url="http://127.0.0.1:1",
    public_url="https://gw.example.com",
)
CREATED = Answer(201, {}, b'{"sid": "SM1", "status": "queued"}')


def channel(
    *results: Result, options: TwilioOptions = OPTIONS
) -> tuple[TwilioChannel, RecordingTransport]:
    """A channel whose provider answers from a list."""
    transport = RecordingTransport(*results)
    return TwilioChannel(options, transport, now=now), transport


async def sent(message: Any = SMS, options: TwilioOptions = OPTIONS) -> dict[str, list[str]]:
    """The form that goes out for a message."""
    made, transport = channel(CREATED, options=options)
    assert await made.send(message) == Accepted("SM1")
    return parse_qs(transport.requests[0].body.decode(), strict_parsing=True)


# --- what goes out


async def test_the_form_holds_the_message_and_our_callback() -> None:
    """Recipient, sender, text, and a status callback that names delivery and attempt."""
    assert await sent() == {
        "To": ["+15558675310"],
        "From": ["+15557122661"],
        "Body": ["Hello, come back ✓"],
        "StatusCallback": [
            "https://gw.example.com/webhooks/twilio/status?delivery=de-1&attempt=at-1"
        ],
    }


async def test_the_request_goes_to_messages_with_basic_auth() -> None:
    """Path, method and credentials."""
    made, transport = channel(CREATED)
    await made.send(SMS)
    request = transport.requests[0]
    account = OPTIONS.account_sid
    path = f"/2010-04-01/Accounts/{account}/Messages.json"
    assert (request.method, request.url) == ("POST", f"http://127.0.0.1:1{path}")
    scheme, _, credentials = request.headers["authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(credentials) == f"{account}:secret".encode()


async def test_region_and_edge_of_the_environment_do_not_rewrite_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The SDK would read them by itself; only our settings count."""
    monkeypatch.setenv("TWILIO_REGION", "au1")
    monkeypatch.setenv("TWILIO_EDGE", "sydney")
    made, transport = channel(CREATED)
    await made.send(SMS)
    assert transport.requests[0].url.startswith("http://127.0.0.1:1/")


async def test_a_messaging_service_stands_in_for_the_number() -> None:
    """The service wins over the number."""
    form = await sent(options=replace(OPTIONS, messaging_service_sid="MG1"))
    assert form["MessagingServiceSid"] == ["MG1"]
    assert "From" not in form


async def test_without_a_public_url_there_is_no_callback() -> None:
    """Twilio refuses callbacks that it cannot reach."""
    assert "StatusCallback" not in await sent(options=replace(OPTIONS, public_url=""))


@pytest.mark.parametrize(
    ("expires_in_s", "expected"),
    [
        (None, None),
        (36_000.0, None),
        (90_000.0, None),
        (35_999.9, "35999"),
        (60.5, "60"),
        (1.0, "5"),
        (-3.0, "5"),
    ],
)
async def test_the_validity_period_is_between_five_seconds_and_ten_hours(
    expires_in_s: float | None, expected: str | None
) -> None:
    """Ten hours are Twilio's own default, so longer says nothing."""
    form = await sent(replace(SMS, expires_in_s=expires_in_s))
    assert form.get("ValidityPeriod") == ([expected] if expected else None)


async def test_a_text_that_cannot_be_written_is_refused() -> None:
    """A lone surrogate never reaches the provider."""
    made, transport = channel()
    message = replace(SMS, content=SmsContent("\ud800", segments=1, encoding="UCS-2"))
    assert isinstance(await made.send(message), Refused)
    assert transport.requests == []


async def test_another_kind_of_message_is_a_bug() -> None:
    """Only bugs raise."""
    with pytest.raises(TypeError):
        await channel()[0].send(EMAIL)


def test_a_channel_without_a_sender_is_not_made() -> None:
    """A number or a messaging service is needed."""
    with pytest.raises(ValueError, match="sender"):
        channel(options=replace(OPTIONS, from_number=""))


# --- what an answer means


def error(status: int, code: int, **headers: str) -> Answer:
    """An error answer in Twilio's older shape."""
    body = {"code": code, "message": "The 'To' number +15558675310 is bad", "status": status}
    return Answer(status, headers, json.dumps(body).encode())


RFC_9457 = json.dumps(
    {"type": "https://x", "title": "Too many", "status": 429, "code": 20429, "detail": "slow"}
).encode()
ROWS: list[tuple[Result, Outcome]] = [
    (CREATED, Accepted("SM1")),
    (Answer(201, {}, b"<html>"), Uncertain("201")),
    (Answer(201, {}, b'{"sid": 7}'), Uncertain("201")),
    (Answer(204, {}, b""), Uncertain("204")),
    (Answer(301, {}, b""), Misconfigured("301")),
    (Answer(400, {}, b"not json"), Refused("400")),
    (error(400, 21211), Refused("21211 not a phone number", Scope.ADDRESS)),
    (error(400, 21610), Refused("21610 recipient opted out", Scope.CONSENT)),
    (error(400, 99999), Refused("400 99999")),
    (error(401, 20003), Misconfigured("20003 authentication failed")),
    (Answer(401, {}, b""), Misconfigured("401")),
    (error(429, 20429, **{"retry-after": "3"}), Throttled(3.0, "20429 too many requests at once")),
    (
        Answer(429, {"retry-after": "4"}, RFC_9457),
        Throttled(4.0, "20429 too many requests at once"),
    ),
    (Answer(429, {}, b""), Throttled(None, "429")),
    (Answer(500, {}, b""), Uncertain("500")),
    (error(500, 20500), Uncertain("20500 internal error")),
    (Answer(502, {}, b"<html>"), Uncertain("502")),
    (Answer(503, {"retry-after": "8"}, b""), Deferred("503", 8.0)),
    (error(503, 20503), Uncertain("20503 service unavailable, perhaps taken")),
    (Answer(504, {}, b""), Uncertain("504")),
    (NeverLeft("no connection"), Deferred("no connection")),
    (NeverLeft("withheld", withheld=True), Withheld()),
    (MayHaveArrived("lost"), Uncertain("lost")),
]


@pytest.mark.parametrize(("result", "outcome"), ROWS)
async def test_d7_each_answer_is_one_outcome_after_one_post(
    result: Result, outcome: Outcome
) -> None:
    """The outcome table, row by row; never a second POST, whatever the SDK thinks of it."""
    made, transport = channel(result)
    assert await made.send(SMS) == outcome
    assert len(transport.requests) == 1


def expected_verdict(row: dict[str, Any]) -> set[Verdict]:
    """What our table may say for a class of the reference table."""
    if row["code"] == 21610:
        return {Verdict.REFUSED_CONSENT}
    if row["action"].startswith("drop address"):
        return {Verdict.REFUSED_ADDRESS}
    return {
        "permanent": {Verdict.REFUSED},
        "expired": {Verdict.REFUSED},
        "config": {Verdict.MISCONFIGURED},
        "retry": {Verdict.THROTTLED},
        "retry_limited": {Verdict.DEFERRED},
        "retry_ambiguous": {Verdict.UNCERTAIN},
    }[row["class"]]


REFERENCE = data("vectors/twilio_error_classes.json")["codes"]


@pytest.mark.parametrize("row", REFERENCE, ids=lambda row: str(row["code"]))
async def test_each_known_code_decides_whatever_the_status(row: dict[str, Any]) -> None:
    """The code table, row by row, against the reference."""
    assert CODES[row["code"]].verdict in expected_verdict(row)
    made, _ = channel(error(400, row["code"]))
    outcome = await made.send(SMS)
    assert not isinstance(outcome, Accepted | Withheld)
    assert "5310" not in repr(outcome)


def test_there_is_no_code_beyond_the_reference() -> None:
    """A code is added with its row."""
    assert set(CODES) == {row["code"] for row in REFERENCE}


async def test_messages_at_once_keep_their_own_may_start() -> None:
    """A no of one message does not stop, or start, another."""
    made, transport = channel(*[CREATED] * 3)
    withheld = replace(SMS, may_start=lambda: False)
    assert await made.send(SMS) == Accepted("SM1")
    assert await made.send(withheld) == Withheld()
    assert await made.send(SMS) == Accepted("SM1")
    assert len(transport.requests) == 2


# --- webhooks

VECTORS = data("vectors/twilio_request_signature.json")
TOKEN = "a" * 32
STATUS_URL = "https://gw.example.com/webhooks/twilio/status?delivery=de-1&attempt=at-1"
FORM = "application/x-www-form-urlencoded"


def signed(url: str, text: str = "", *, key: str = TOKEN, digest: str = "sha1") -> str:
    """A signature as Twilio makes it."""
    return base64.b64encode(hmac.digest(key.encode(), (url + text).encode(), digest)).decode()


def form_call(fields: dict[str, str], url: str = STATUS_URL, **headers: str) -> WebhookRequest:
    """A signed form; `headers` are added, `_` stands for `-`."""
    text = "".join(name + fields[name] for name in sorted(fields))
    base = {"content-type": FORM, "x-twilio-signature": signed(url, text)}
    base |= {name.replace("_", "-"): value for name, value in headers.items()}
    return WebhookRequest(url, base, urlencode(fields).encode(), now())


def json_call(value: object) -> WebhookRequest:
    """A signed JSON call."""
    body = json.dumps(value).encode()
    url = f"{STATUS_URL}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = {"content-type": "application/json", "x-twilio-signature": signed(url)}
    return WebhookRequest(url, headers, body, now())


FIELDS = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+15558675310"}
STATUS = TwilioStatusWebhook(TOKEN)
INBOUND = TwilioInboundWebhook(TOKEN)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_w1_w3_the_official_vectors(case: dict[str, Any]) -> None:
    """The SDK's own cases, through our reader: the signature decides, not the content."""
    is_json = "body" in case
    body = case["body"] if is_json else urlencode([tuple(pair) for pair in case["params"]])
    headers = {
        "content-type": "application/json" if is_json else f"{FORM}; charset=UTF-8",
        "x-twilio-signature": case["signature"],
    }
    shared = {}
    if "algorithm" in case:
        headers["x-twilio-webhooks-signature-settings"] = f"key=k,algorithm={case['algorithm']}"
        shared = {"shared_key": VECTORS["auth_token"]}
    request = WebhookRequest(case["url"], headers, body.encode(), now())
    reader = TwilioStatusWebhook(VECTORS["auth_token"], **shared)
    if not case["valid"]:
        with pytest.raises(BadSignatureError):
            reader.read(request)
    elif "MessageStatus" in body:
        (receipt,) = reader.read(request).receipts
        assert receipt.reason == "30003 handset unreachable"
    else:
        with pytest.raises(BadReceiptError):
            reader.read(request)


GOOD = form_call(FIELDS)


@pytest.mark.parametrize(
    "request_",
    [
        replace(GOOD, headers={}),
        replace(GOOD, headers={"content-type": FORM}),
        replace(GOOD, headers={**GOOD.headers, "x-twilio-signature": "é" * 28}),
        replace(GOOD, headers={**GOOD.headers, "x-twilio-signature": signed(STATUS_URL)}),
        replace(GOOD, headers={**GOOD.headers, "content-type": "text/plain"}),
        replace(GOOD, headers={**GOOD.headers, "content-type": "application/json"}),
        replace(GOOD, body=GOOD.body + b"&x=1"),
        replace(GOOD, body=b"\xff\xfe"),
        replace(GOOD, body=b"a=%ff"),
        replace(GOOD, body=b"&".join(b"a=1" for _ in range(300))),
        replace(GOOD, url=STATUS_URL.replace("de-1", "de-2")),
        replace(GOOD, url="https://[bad/"),
        replace(GOOD, url="https://gw.example.com:port/"),
        form_call(FIELDS, x_twilio_webhooks_signature_settings="algorithm=HMAC_SHA256"),
        form_call(FIELDS, x_twilio_webhooks_signature_settings="algorithm=NONE"),
    ],
)
def test_w1_a_call_that_is_not_surely_the_providers_is_refused(request_: WebhookRequest) -> None:
    """Malformed, forged and altered calls: one exception, no other."""
    with pytest.raises(BadSignatureError):
        STATUS.read(request_)


def test_w4_the_content_type_decides_what_is_signed() -> None:
    """JSON by its hash in the URL; neither mode passes for the other."""
    good = json_call(FIELDS)
    assert STATUS.read(good).receipts[0].type is ReceiptType.DELIVERED
    as_form = {**good.headers, "content-type": FORM}
    bad = [
        replace(good, body=good.body + b" "),
        replace(good, headers=as_form),
        replace(good, headers=as_form, body=b""),
        replace(good, headers=as_form, body=b"&&"),
        replace(good, url=good.url + "&bodySHA256=0"),
    ]
    for request in bad:
        with pytest.raises(BadSignatureError):
            STATUS.read(request)


def test_w4_json_without_a_hash_is_refused_although_its_url_is_signed() -> None:
    """Nothing would cover the body."""
    headers = {"content-type": "application/json", "x-twilio-signature": signed(STATUS_URL)}
    with pytest.raises(BadSignatureError):
        STATUS.read(WebhookRequest(STATUS_URL, headers, json.dumps(FIELDS).encode(), now()))


def test_w4_a_form_with_the_right_hash_and_signature_is_read() -> None:
    """The hash may stand in the URL when it is the body's own."""
    body = urlencode(FIELDS).encode()
    url = f"{STATUS_URL}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    assert STATUS.read(form_call(FIELDS, url)).receipts[0].type is ReceiptType.DELIVERED
    with pytest.raises(BadSignatureError):
        STATUS.read(form_call(FIELDS, url[:-1] + ("0" if url[-1] != "0" else "1")))


def test_a_shared_key_is_used_only_when_the_call_says_so() -> None:
    """SHA-256 with the shared key, and SHA-1 with the token, side by side."""
    reader = TwilioStatusWebhook(TOKEN, shared_key="k" * 32)
    text = "".join(name + FIELDS[name] for name in sorted(FIELDS))
    settings = {
        "x_twilio_signature": signed(STATUS_URL, text, key="k" * 32, digest="sha256"),
        "x_twilio_webhooks_signature_settings": "key=id,algorithm=HMAC_SHA256",
    }
    assert reader.read(form_call(FIELDS, **settings)).receipts
    assert reader.read(form_call(FIELDS)).receipts
    with pytest.raises(BadSignatureError):
        reader.read(form_call(FIELDS, x_twilio_signature=settings["x_twilio_signature"]))


def test_w5_both_tokens_work_while_they_change_and_none_is_not_enough() -> None:
    """Current and previous are both good; an empty secret makes no reader."""
    assert TwilioStatusWebhook("b" * 32, TOKEN).read(GOOD).receipts
    with pytest.raises(BadSignatureError):
        TwilioStatusWebhook("b" * 32).read(GOOD)
    for tokens in ((), ("",), (TOKEN, "")):
        with pytest.raises(ValueError, match="token"):
            TwilioStatusWebhook(*tokens)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("queued", "", ReceiptType.ACCEPTED),
        ("accepted", "", ReceiptType.ACCEPTED),
        ("scheduled", "", ReceiptType.ACCEPTED),
        ("sending", "", ReceiptType.ACCEPTED),
        ("sent", "", ReceiptType.ACCEPTED),
        ("delivered", "", ReceiptType.DELIVERED),
        ("read", "", ReceiptType.DELIVERED),
        ("partially_delivered", "", ReceiptType.DELIVERED),
        ("canceled", "", ReceiptType.FAILED),
        ("undelivered", "30005", ReceiptType.BOUNCED),
        ("failed", "30006", ReceiptType.BOUNCED),
        ("undelivered", "30003", ReceiptType.FAILED),
        ("undelivered", "30007", ReceiptType.FAILED),
        ("undelivered", "99999", ReceiptType.FAILED),
        ("undelivered", "9" * 5000, ReceiptType.FAILED),
        ("undelivered", "", ReceiptType.FAILED),
    ],
)
def test_each_status_is_one_receipt(status: str, code: str, expected: ReceiptType) -> None:
    """The status table, row by row."""
    (receipt,) = STATUS.read(
        form_call({**FIELDS, "MessageStatus": status, "ErrorCode": code})
    ).receipts
    assert receipt.type is expected


def test_an_opt_out_is_a_no_and_a_lost_message() -> None:
    """21610 by callback: the person's no, then the end of the message."""
    fields = {**FIELDS, "MessageStatus": "undelivered", "ErrorCode": "21610"}
    said = STATUS.read(form_call(fields)).receipts
    assert [one.type for one in said] == [ReceiptType.UNSUBSCRIBED, ReceiptType.FAILED]
    assert said[1].reason == "consent"
    assert len({one.dedupe_key for one in said}) == 2


def test_a_receipt_carries_our_ids_and_theirs() -> None:
    """All fields of one callback."""
    assert STATUS.read(GOOD) == Reading(
        (
            Receipt(
                type=ReceiptType.DELIVERED,
                provider="twilio",
                delivery_id="de-1",
                attempt_id="at-1",
                provider_message_id="SM1",
                occurred_at=None,
                dedupe_key="SM1:delivered:",
            ),
        )
    )


def test_w7_the_idempotency_token_is_the_key() -> None:
    """Where Twilio gives one."""
    (receipt,) = STATUS.read(form_call(FIELDS, i_twilio_idempotency_token="t-1")).receipts
    assert receipt.dedupe_key == "t-1"


def test_w10_an_unknown_status_is_counted() -> None:
    """A status of next year is no fault."""
    assert STATUS.read(form_call({**FIELDS, "MessageStatus": "teleported"})) == Reading(unread=1)


@pytest.mark.parametrize("reader", [STATUS, INBOUND])
def test_a_signed_call_without_what_it_must_say_cannot_be_read(reader: Any) -> None:
    """Another fault than a bad signature."""
    with pytest.raises(BadReceiptError):
        reader.read(form_call({"MessageStatus": "sent"}))
    with pytest.raises(BadReceiptError):
        reader.read(json_call([1]))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"Body": "Bonjour ✓ & STOP=1"}, "Bonjour ✓ & STOP=1"),
        ({"Body": ""}, ""),
        ({}, ""),
        ({"Body": "arrêt", "OptOutType": "STOP"}, "STOP"),
    ],
)
def test_an_inbound_text_is_a_reply(fields: dict[str, str], text: str) -> None:
    """As the person wrote it, unless Twilio itself already acted on it."""
    call = form_call({"MessageSid": "SM2", "From": "+33612345678", **fields})
    reply = Reply("twilio", "+33612345678", text, "SM2")
    assert INBOUND.read(call) == Reading(replies=(reply,))
