"""Our real requests, over the real lean transport, against the providers' own API documents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from support import prism
from support.messages import DATA, EMAIL, SMS, now
from support.parts import Parts

from channels.contract import Accepted, Misconfigured, Refused
from channels.http import Answer, Request, Result
from channels.http_lean import LeanTransport
from channels.sendgrid import SendGridChannel, SendGridOptions
from channels.twilio import TwilioChannel, TwilioOptions

pytestmark = pytest.mark.prism

ACCOUNT = "AC00000000000000000000000000000000"
SENDGRID = DATA / "specs/sendgrid_tsg_mail_v3.json"
TWILIO = DATA / "specs/twilio_api_v2010_messages.json"


class Tap:
    """The lean transport, with a hand on the request and an ear on the answer."""

    def __init__(self, **changes: Any) -> None:
        self._inner = LeanTransport()
        self._changes = changes
        self.answers: list[Answer] = []

    async def request(self, request: Request) -> Result:
        result = await self._inner.request(replace(request, **self._changes))
        assert isinstance(result, Answer), result
        self.answers.append(result)
        return result

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest.fixture
async def sendgrid(parts: Parts) -> AsyncIterator[SendGridOptions]:
    """SendGrid as its API document describes it."""
    async with prism.serving(parts.prism, SENDGRID) as url:
        yield SendGridOptions("SG.key", "hi@shop.example.com", "Shop", url)


@pytest.fixture
async def twilio(parts: Parts) -> AsyncIterator[TwilioOptions]:
    """Twilio as its API document describes it."""
    async with prism.serving(parts.prism, TWILIO) as url:
        yield TwilioOptions(
            ACCOUNT,
            "token",
            from_number="+15557122661",
            base_url=url,
            public_url="https://gw.example.com",
        )


async def test_sendgrid_takes_our_mail_and_refuses_a_broken_one(sendgrid: SendGridOptions) -> None:
    """202 for what we send; 400 for the same without a sender, so the check is a real one."""
    tap = Tap()
    outcome = await SendGridChannel(sendgrid, tap, now=now).send(EMAIL)
    assert isinstance(outcome, Accepted)
    assert [answer.status for answer in tap.answers] == [202]
    await tap.aclose()

    broken = Tap(body=await _without_sender(sendgrid))
    outcome = await SendGridChannel(sendgrid, broken, now=now).send(EMAIL)
    assert isinstance(outcome, Refused)
    assert "from" in broken.answers[0].headers["sl-violations"]
    await broken.aclose()


async def _without_sender(options: SendGridOptions) -> bytes:
    from_us: list[bytes] = []

    class Catch:
        async def request(self, request: Request) -> Result:
            from_us.append(request.body)
            return Answer(202, {}, b"")

        async def aclose(self) -> None: ...

    await SendGridChannel(options, Catch(), now=now).send(EMAIL)
    mail = msgspec.json.decode(from_us[0])
    del mail["from"]
    return msgspec.json.encode(mail)


async def test_sendgrid_without_our_key_is_misconfigured(sendgrid: SendGridOptions) -> None:
    """No Authorization header: 401."""
    tap = Tap(headers={"content-type": "application/json"})
    outcome = await SendGridChannel(sendgrid, tap, now=now).send(EMAIL)
    assert isinstance(outcome, Misconfigured)
    await tap.aclose()


async def test_twilio_takes_our_text_and_refuses_a_broken_one(twilio: TwilioOptions) -> None:
    """201 for what we send; a validity that is no number is refused."""
    tap = Tap()
    outcome = await TwilioChannel(twilio, tap, now=now).send(replace(SMS, expires_in_s=600))
    assert isinstance(outcome, Accepted)
    assert outcome.provider_id.startswith(("SM", "MM"))
    assert [answer.status for answer in tap.answers] == [201]
    await tap.aclose()

    broken = Tap(body=b"To=%2B15558675310&Body=hi&ValidityPeriod=long")
    outcome = await TwilioChannel(twilio, broken, now=now).send(SMS)
    assert isinstance(outcome, Refused)
    assert b"ValidityPeriod" in broken.answers[0].body
    await broken.aclose()


async def test_twilio_with_another_account_form_is_refused(twilio: TwilioOptions) -> None:
    """The account in the path is checked: what reaches Twilio is our path."""
    tap = Tap()
    bad = replace(twilio, account_sid="nonsense")
    outcome = await TwilioChannel(bad, tap, now=now).send(SMS)
    assert isinstance(outcome, Refused)
    assert tap.answers[0].status == 422
    await tap.aclose()
