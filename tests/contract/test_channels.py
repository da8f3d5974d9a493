"""Every channel keeps the channel contract: one attempt, one outcome, nothing raised."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from support.messages import EMAIL, PUSH, SMS, now
from support.scripted import Caller, ScriptedServer, always

from channels.contract import (
    Accepted,
    Channel,
    Deferred,
    Kind,
    Message,
    Misconfigured,
    Outcome,
    Refused,
    Throttled,
    Uncertain,
    Withheld,
)
from channels.fcm import FcmChannel, FcmOptions
from channels.http import Transport
from channels.http_lean import LeanTransport
from channels.sendgrid import SendGridChannel, SendGridOptions
from channels.twilio import TwilioChannel, TwilioOptions

TIMEOUT_S = 0.3
PEM = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    .decode()
)
ANY_OUTCOME = Accepted | Deferred | Throttled | Refused | Misconfigured | Uncertain | Withheld


@dataclass(frozen=True, slots=True)
class Case:
    """One provider: how to build its channel, a message for it, and its success."""

    kind: Kind
    message: Message
    build: Callable[[str, str, Transport], Channel]
    status: int
    body: bytes = b""


def sendgrid(url: str, _token_url: str, transport: Transport) -> Channel:
    """SendGrid at a local address."""
    options = SendGridOptions("SG.key", "hi@shop.example", base_url=url, timeout_s=TIMEOUT_S)
    return SendGridChannel(options, transport, now=now)


def twilio(url: str, _token_url: str, transport: Transport) -> Channel:
    """Twilio at a local address."""
    options = TwilioOptions("AC1", "t", "+15557122661", base_url=url, timeout_s=TIMEOUT_S)
    return TwilioChannel(options, transport, now=now)


def fcm(url: str, token_url: str, transport: Transport) -> Channel:
    """FCM at a local address, with its token exchange at another."""
    credentials = {
        "project_id": "shop",
        "client_email": "gw@shop.example",
        "private_key": PEM,
        "token_uri": f"{token_url}/token",
    }
    return FcmChannel(FcmOptions(credentials, url, TIMEOUT_S), transport, now=now)


CASES = [
    Case(Kind.EMAIL, EMAIL, sendgrid, 202),
    Case(Kind.SMS, SMS, twilio, 201, b'{"sid": "SM1"}'),
    Case(Kind.PUSH, PUSH, fcm, 200, b'{"name": "projects/shop/messages/1"}'),
]


@pytest.fixture(params=CASES, ids=lambda case: case.build.__name__)
def case(request: pytest.FixtureRequest) -> Case:
    """Each provider."""
    return request.param


@pytest.fixture
async def transport() -> AsyncIterator[LeanTransport]:
    """The transport that is the default."""
    transport = LeanTransport()
    yield transport
    await transport.aclose()


@pytest.fixture
async def token_url() -> AsyncIterator[str]:
    """Google's token exchange; the other providers do not use it."""
    body = b'{"access_token": "token", "expires_in": 3600}'
    async with ScriptedServer(always(200, body)) as server:
        yield server.url


def test_it_says_who_it_is(case: Case, transport: LeanTransport) -> None:
    """Name and kind, as events need them."""
    made = case.build("http://127.0.0.1:1", "http://127.0.0.1:1", transport)
    assert (made.name, made.kind) == (case.build.__name__, case.kind)


async def test_what_the_provider_takes_is_accepted(
    case: Case, transport: LeanTransport, token_url: str
) -> None:
    """One request, one outcome."""
    async with ScriptedServer(always(case.status, case.body)) as server:
        made = case.build(server.url, token_url, transport)
        assert isinstance(await made.send(case.message), Accepted)
        await made.aclose()
    assert len(server.requests) == 1


async def test_may_start_no_is_withheld_and_writes_nothing(
    case: Case, transport: LeanTransport, token_url: str
) -> None:
    """Not a byte reaches the provider."""
    async with ScriptedServer(always(case.status, case.body)) as server:
        made = case.build(server.url, token_url, transport)
        outcome = await made.send(replace(case.message, may_start=lambda: False))
        await transport.aclose()
        await asyncio.sleep(0.01)
    assert outcome == Withheld()
    assert (server.requests, server.stray) == ([], b"")


async def test_d6_d7_a_provider_that_hangs_is_cut_and_in_doubt(
    case: Case, transport: LeanTransport, token_url: str
) -> None:
    """Within the timeout and a second, after one POST."""

    async def hang(caller: Caller) -> None:
        await caller.request()
        await caller.hang()

    async with ScriptedServer(hang) as server:
        made = case.build(server.url, token_url, transport)
        started_s = time.monotonic()
        outcome = await made.send(case.message)
        took_s = time.monotonic() - started_s
    assert isinstance(outcome, Uncertain)
    assert took_s < TIMEOUT_S + 1
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_d7_an_unclear_answer_is_in_doubt_after_one_post(
    case: Case, transport: LeanTransport, token_url: str, status: int
) -> None:
    """No client tries again by itself."""
    async with ScriptedServer(always(status, b"<html>")) as server:
        outcome = await case.build(server.url, token_url, transport).send(case.message)
    assert isinstance(outcome, Uncertain)
    assert len(server.requests) == 1


async def test_retry_after_survives(case: Case, transport: LeanTransport, token_url: str) -> None:
    """Also through an SDK that hides it."""
    for status, expected in ((429, Throttled), (503, Deferred)):
        async with ScriptedServer(always(status, b"{}", Retry_After="17")) as server:
            outcome = await case.build(server.url, token_url, transport).send(case.message)
        assert isinstance(outcome, expected)
        assert outcome.retry_after_s == 17.0
        assert len(server.requests) == 1


async def test_a_provider_that_is_not_there_defers(
    case: Case, transport: LeanTransport, token_url: str
) -> None:
    """Surely not taken."""
    async with ScriptedServer(always(200)) as server:
        pass
    outcome = await case.build(server.url, token_url, transport).send(case.message)
    assert isinstance(outcome, Deferred)


async def test_a_provider_that_closes_leaves_doubt(
    case: Case, transport: LeanTransport, token_url: str
) -> None:
    """The request was written."""

    async def close(caller: Caller) -> None:
        await caller.request()

    async with ScriptedServer(close) as server:
        outcome = await case.build(server.url, token_url, transport).send(case.message)
    assert isinstance(outcome, Uncertain)
    assert len(server.requests) == 1


async def test_whatever_comes_back_is_an_outcome(
    case: Case, transport: LeanTransport, token_url: str
) -> None:
    """Random statuses, headers and bodies: never an exception, never a second request."""
    chance = random.Random(11)  # noqa: S311 - the same nonsense in each run
    bodies = [b"", b"{}", b"[]", b"null", b"<html>", b'{"code": "x"}', b'{"sid": null}', b"\xff"]
    bodies += [b'{"errors": {}}', b'{"errors": [[]]}', b'{"error": {"details": 3}}', b"[" * 5000]
    bodies += [b'{"code": 1e400}', b'{"code": [20003]}', b'{"name": 1}', b'{"error": null}']
    sent = 0

    async def nonsense(caller: Caller) -> None:
        while await caller.request():
            wait = chance.choice(["1", "-1", "soon", "9" * 40, "Mon, 99 Foo 2026", "\x01"])
            body = chance.choice(bodies)
            await caller.answer(chance.randrange(200, 600), body, Retry_After=wait)

    async with ScriptedServer(nonsense) as server:
        made = case.build(server.url, token_url, transport)
        for _ in range(300):
            outcome: Outcome = await made.send(case.message)
            assert isinstance(outcome, ANY_OUTCOME)
            # A provider that refuses our token is not asked again at once.
            sent += 1
        assert len(server.requests) <= sent
