"""FCM: what goes out, what each answer means, and the bearer token behind it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from support.messages import AT, EMAIL, PUSH, data, now, push

from channels.contract import (
    Accepted,
    Deferred,
    Message,
    Misconfigured,
    Outcome,
    PushTarget,
    Refused,
    Scope,
    Throttled,
    Uncertain,
    Withheld,
)
from channels.fcm import FcmChannel, FcmOptions, outcome_of
from channels.http import Answer, MayHaveArrived, NeverLeft, Request, Result

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()
CREDENTIALS = {
    "project_id": "shop-1",
    "client_email": "gw@shop-1.example",
    "private_key": PEM,
    "private_key_id": "kid-1",
    "token_uri": "http://127.0.0.1:2/token",
}
TAKEN = Answer(200, {}, b'{"name": "projects/shop-1/messages/m1"}')


class Google:
    """Answers the token exchange and FCM apart; a later list entry is a later answer."""

    def __init__(self, *results: Result, token: Result | None = None) -> None:
        self.results = list(results)
        self.token = token
        self.exchanges: list[Request] = []
        self.pushes: list[Request] = []

    async def request(self, request: Request) -> Result:
        if not request.may_start():
            return NeverLeft("withheld", withheld=True)
        await asyncio.sleep(0)
        if request.url != CREDENTIALS["token_uri"]:
            self.pushes.append(request)
            return self.results.pop(0) if self.results else TAKEN
        self.exchanges.append(request)
        body = {"access_token": f"token-{len(self.exchanges)}", "expires_in": 3600}
        return self.token or Answer(200, {}, json.dumps(body).encode())

    async def aclose(self) -> None:
        """Nothing is open."""


class Watch:
    """A time that only moves by hand."""

    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> Any:
        return self.at


def channel(google: Google, watch: Any = now) -> FcmChannel:
    """A channel over a stand-in for Google."""
    return FcmChannel(FcmOptions(CREDENTIALS, "http://127.0.0.1:1"), google, now=watch)


async def sent(message: Message = PUSH) -> dict[str, Any]:
    """The message that goes out."""
    google = Google()
    assert isinstance(await channel(google).send(message), Accepted)
    assert len(google.pushes[0].body) <= 4096
    return json.loads(google.pushes[0].body)["message"]


# --- what goes out


async def test_the_message_carries_text_ids_and_collapse_id() -> None:
    """The whole message, field by field."""
    message = replace(push(image="https://shop.example/i.png"), expires_in_s=90.5)
    assert await sent(message) == {
        "token": "token-1",
        "notification": {
            "title": "We miss you",
            "body": "Hello",
            "image": "https://shop.example/i.png",
        },
        "data": {
            "send_id": "se-1",
            "delivery_id": "de-1",
            "attempt_id": "at-1",
            "url": "https://gw.example.com/t/c/x",
        },
        "android": {"notification": {"tag": "se-1"}, "ttl": "90s"},
        "apns": {
            "headers": {
                "apns-collapse-id": "se-1",
                "apns-expiration": str(int(AT.timestamp()) + 90),
            }
        },
        "webpush": {
            "headers": {"Topic": "se-1", "TTL": "90"},
            "fcm_options": {"link": "https://gw.example.com/t/c/x"},
        },
    }


async def test_the_request_goes_to_the_project_with_the_token() -> None:
    """Path, method and bearer token."""
    google = Google()
    await channel(google).send(PUSH)
    request = google.pushes[0]
    assert request.url == "http://127.0.0.1:1/v1/projects/shop-1/messages:send"
    assert request.headers["authorization"] == "Bearer token-1"


async def test_without_expiry_image_and_https_those_fields_are_left_out() -> None:
    """FCM refuses empty ones, and a link that is not https."""
    message = await sent(push(url="http://127.0.0.1/x"))
    assert message["android"] == {"notification": {"tag": "se-1"}}
    assert set(message["notification"]) == {"title", "body"}
    assert "fcm_options" not in message["webpush"]


async def test_a_long_life_ends_at_four_weeks() -> None:
    """FCM's longest time to live."""
    assert (await sent(replace(PUSH, expires_in_s=1e8)))["android"]["ttl"] == "2419200s"


async def test_a_collapse_id_that_web_push_cannot_carry_is_hashed_the_same_each_time() -> None:
    """At most 32 characters of the URL-safe alphabet, and two sends stay apart."""
    topics = [
        (await sent(replace(PUSH, collapse_id=one)))["webpush"]["headers"]["Topic"]
        for one in ("x" * 36, "x" * 36, "y" * 36)
    ]
    assert topics[0] == topics[1] != topics[2]
    assert all(len(topic) == 32 for topic in topics)


@pytest.mark.parametrize("letter", ["a", "é", "😀", '"', "\\", "\x01"])
async def test_a_long_text_is_cut_between_characters(letter: str) -> None:
    """The payload fits, and what is left is a beginning of the text."""
    body = (await sent(push(body=letter * 6000)))["notification"]["body"]
    assert body.endswith("…")
    assert set(body[:-1]) == {letter}
    assert len(body) > 100


@pytest.mark.parametrize("message", [push(title="t" * 5000), push(body="\ud800")])
async def test_what_cannot_be_made_to_fit_is_refused(message: Message) -> None:
    """Nothing goes out, not even for a token."""
    google = Google()
    assert isinstance(await channel(google).send(message), Refused)
    assert (google.pushes, google.exchanges) == ([], [])


async def test_a_device_without_a_token_is_refused_and_another_kind_is_a_bug() -> None:
    """The address is at fault; only bugs raise."""
    outcome = await channel(Google()).send(replace(PUSH, to=PushTarget("fcm")))
    assert isinstance(outcome, Refused)
    assert outcome.scope is Scope.ADDRESS
    with pytest.raises(TypeError):
        await channel(Google()).send(EMAIL)


# --- what an answer means


def sample_answer(row: dict[str, Any]) -> Answer:
    """An answer as the row of samples describes it."""
    if row.get("body_is_html"):
        return Answer(row["status"], {}, b"<html>Bad gateway</html>")
    body = row.get("body") or {
        "error": {
            "status": row.get("error_status", ""),
            "details": [{"errorCode": row["error_code"]}] if "error_code" in row else [],
        }
    }
    return Answer(row["status"], {}, json.dumps(body).encode())


EXPECTED: list[Outcome] = [
    Accepted("projects/foo/messages/fake_message_id"),
    Refused("400 INVALID_ARGUMENT", Scope.ADDRESS),
    Refused("400 INVALID_ARGUMENT", Scope.ADDRESS),
    Refused("400"),
    Refused("404 UNREGISTERED", Scope.ADDRESS),
    Refused("403 SENDER_ID_MISMATCH", Scope.ADDRESS),
    Misconfigured("401 THIRD_PARTY_AUTH_ERROR"),
    Deferred("401 the token is refused, the next attempt gets a fresh one"),
    Throttled(60.0, "429 QUOTA_EXCEEDED"),
    Uncertain("500 INTERNAL"),
    Uncertain("502"),
    Deferred("503 UNAVAILABLE"),
]


@pytest.mark.parametrize(
    ("row", "expected"),
    list(zip(data("vectors/push_error_samples.json")["fcm"], EXPECTED, strict=True)),
    ids=lambda value: str(value["status"]) if isinstance(value, dict) else "",
)
async def test_each_sample_is_one_outcome(row: dict[str, Any], expected: Outcome) -> None:
    """The error samples, row by row, after one push each."""
    google = Google(sample_answer(row))
    assert await channel(google).send(PUSH) == expected
    assert len(google.pushes) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200, {}, b"<html>"), Uncertain("200 without a name")),
        (Answer(404, {}, b""), Misconfigured("404")),
        (Answer(403, {}, b""), Misconfigured("403")),
        (Answer(429, {"retry-after": "5"}, b""), Throttled(5.0, "429")),
        (Answer(503, {"retry-after": "5"}, b""), Deferred("503", 5.0)),
        (Answer(504, {}, b""), Uncertain("504")),
        (Answer(400, {}, b'{"error": {"details": [1, {"fieldViolations": [2]}]}}'), Refused("400")),
        (Answer(400, {}, b'{"error": 5}'), Refused("400")),
    ],
)
def test_other_answers(answer: Answer, expected: Outcome) -> None:
    """What the samples leave open."""
    assert outcome_of(answer, now) == expected


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (NeverLeft("no connection"), Deferred("no connection")),
        (NeverLeft("withheld", withheld=True), Withheld()),
        (MayHaveArrived("lost"), Uncertain("lost")),
    ],
)
async def test_no_answer(result: Result, expected: Outcome) -> None:
    """What the transport says."""
    assert await channel(Google(result)).send(PUSH) == expected


# --- the bearer token


async def test_the_assertion_is_what_google_asks_for() -> None:
    """Signed by the account's key, for its own token_uri, good for an hour."""
    google = Google()
    await channel(google).send(PUSH)
    form = parse_qs(google.exchanges[0].body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assertion = form["assertion"][0]
    assert jwt.get_unverified_header(assertion)["kid"] == "kid-1"
    claims = jwt.decode(
        assertion,
        KEY.public_key(),
        algorithms=["RS256"],
        audience=CREDENTIALS["token_uri"],
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims == {
        "iss": "gw@shop-1.example",
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": "http://127.0.0.1:2/token",
        "iat": int(AT.timestamp()),
        "exp": int(AT.timestamp()) + 3600,
    }


async def test_many_messages_share_one_exchange() -> None:
    """Single flight, then from memory."""
    google = Google()
    made = channel(google)
    outcomes = await asyncio.gather(*(made.send(PUSH) for _ in range(50)))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len(google.exchanges) == 1


async def test_a_token_is_renewed_before_it_ends() -> None:
    """Some minutes early, and not earlier."""
    google, watch = Google(), Watch()
    made = channel(google, watch)
    await made.send(PUSH)
    watch.at = AT + timedelta(minutes=54)
    await made.send(PUSH)
    assert len(google.exchanges) == 1
    watch.at = AT + timedelta(minutes=56)
    await made.send(PUSH)
    assert len(google.exchanges) == 2
    assert google.pushes[-1].headers["authorization"] == "Bearer token-2"


async def test_a_refused_token_is_replaced_once_then_a_human_is_told() -> None:
    """401 for an old token is bad luck, 401 for a fresh one is configuration."""
    refused = Answer(401, {}, b'{"error": {"status": "UNAUTHENTICATED"}}')
    google = Google(refused, refused, TAKEN)
    made = channel(google)
    assert isinstance(await made.send(PUSH), Deferred)
    assert isinstance(await made.send(PUSH), Misconfigured)
    assert isinstance(await made.send(PUSH), Accepted)
    assert len(google.exchanges) == 2


async def test_a_token_refused_after_one_that_worked_is_bad_luck_again() -> None:
    """Only two refusals in a row are configuration."""
    refused = Answer(401, {}, b"")
    made = channel(Google(refused, TAKEN, refused))
    assert isinstance(await made.send(PUSH), Deferred)
    assert isinstance(await made.send(PUSH), Accepted)
    assert isinstance(await made.send(PUSH), Deferred)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (NeverLeft("no connection"), Deferred("token exchange: no connection")),
        (MayHaveArrived("lost"), Deferred("token exchange: lost")),
        (
            Answer(400, {}, b'{"error": "invalid_grant"}'),
            Misconfigured("token exchange: 400 invalid_grant"),
        ),
        (Answer(302, {}, b""), Misconfigured("token exchange: 302")),
        (Answer(429, {"retry-after": "9"}, b""), Deferred("token exchange: 429", 9.0)),
        (Answer(503, {}, b""), Deferred("token exchange: 503")),
        (Answer(200, {}, b"<html>"), Deferred("token exchange: 200")),
    ],
)
async def test_no_token_no_push_and_no_doubt(token: Result, expected: Outcome) -> None:
    """The message was not sent, so it is never uncertain; a fault is kept for seconds."""
    google, watch = Google(token=token), Watch()
    made = channel(google, watch)
    assert await made.send(PUSH) == expected
    assert await made.send(PUSH) == expected
    assert google.pushes == []
    assert len(google.exchanges) == 1
    google.token = None
    watch.at = AT + timedelta(seconds=6)
    assert isinstance(await made.send(PUSH), Accepted)


@pytest.mark.parametrize("name", ["project_id", "client_email", "private_key", "token_uri"])
def test_a_file_that_lacks_something_makes_no_channel(name: str) -> None:
    """The start is refused, not the first message."""
    bad = {key: value for key, value in CREDENTIALS.items() if key != name}
    with pytest.raises(ValueError, match=name):
        FcmChannel(FcmOptions(bad), Google(), now=now)


def test_a_key_that_cannot_sign_makes_no_channel() -> None:
    """As above."""
    bad = {**CREDENTIALS, "private_key": "nonsense"}
    with pytest.raises(ValueError, match="cannot sign"):
        FcmChannel(FcmOptions(bad), Google(), now=now)


def test_secrets_do_not_show() -> None:
    """The key is not part of what the options look like."""
    assert "PRIVATE" not in repr(FcmOptions(CREDENTIALS))
