"""One customer from the first message to the last trace: a real process on a real Kafka."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import business
from support.business import Person, ask, instant, put, suppressed, tell
from support.kafka import RealKafka
from support.mails import mail_of, sms_of
from support.stage import Stage, new_topics, stage
from support.stand_ins import StandIns
from support.topics import create_topics, unique

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.kafka]

SHOP = (55.6761, 12.5683)
NEAR = {"latitude": 55.6765, "longitude": 12.5687}
CAMPAIGN = "winter"
HUMAN_AFTER_S = 2.1


class Timeline:
    """What happened to one customer, each line a moment, printed at the end."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._lines: list[str] = []

    def note(self, what: str) -> None:
        """Write down what has just happened."""
        self._lines.append(f"{time.monotonic() - self._began_s:6.2f} s  {what}")

    def show(self) -> None:
        """Print it."""
        sys.stdout.write("\n" + "\n".join(self._lines) + "\n")


async def test_the_story_of_one_customer(
    kafka: RealKafka, tmp_path: Path, providers: StandIns, capsys: pytest.CaptureFixture[str]
) -> None:
    """E-mail, click, armed, SMS near the shop with a code, redeemed, returned, stopped, erased."""
    topics, told = new_topics(), Timeline()
    await create_topics(kafka.bootstrap, topics.sizes())
    settings = {"TEMPLATES__PATH": business.TEMPLATES, "LOG__LEVEL": "debug"}
    async with stage(kafka.bootstrap, topics, tmp_path, providers, **settings) as on:
        customer = Person(unique("customer"))
        await put(on, "/v1/coupon-pools/shop", {"generate": {"count": 2, "prefix": "SP-"}})
        await business.fence(on, "old-town", SHOP, groups=["shops"])
        try:
            await _goes_away_and_hears_from_us(on, customer, told)
            code = await _passes_the_shop(on, customer, told)
            await _returns(on, customer, code, told)
            await _says_goodbye(on, customer, told)
            await _is_forgotten(on, customer, tmp_path, told)
        finally:
            with capsys.disabled():
                told.show()


async def _goes_away_and_hears_from_us(on: Stage, customer: Person, told: Timeline) -> None:
    """A request on Kafka becomes a mail; the person opens and clicks."""
    whole = customer.request("email", campaign=CAMPAIGN, churn={"reason": "forgot"})
    await tell(on, on.topics.sends, whole)
    (sent,) = await on.out.see("message.sent", request_id=whole["id"])
    call = on.providers.journal.to(customer.email)[0]
    mail = mail_of(call)
    told.note(f"e-mail sent: {mail.subject!r} by {sent['data']['provider']}")
    await business.mail_event(on, call, "delivered")
    await on.out.see("message.delivered", delivery_id=call.delivery_id)
    told.note("e-mail delivered")
    await asyncio.sleep(HUMAN_AFTER_S)  # who clicks sooner is taken for a scanner
    await business.click(on, mail.clicks[0])
    (clicked,) = await on.out.see("message.clicked", delivery_id=call.delivery_id)
    assert clicked["data"]["actor"] == "human"
    assert (await business.held(on, customer))["state"] == "interested"
    told.note(f"clicked by a {clicked['data']['actor']}: interested")


async def _passes_the_shop(on: Stage, customer: Person, told: Timeline) -> str:
    """An armed SMS waits for the person to pass the shop, and carries a code of their own."""
    armed = customer.request(
        "sms",
        campaign=CAMPAIGN,
        template="geo_coupon",
        offer=business.offer("shop", expires_in="P7D"),
        geo={"fences": ["shops"], "expires_at": instant(3600)},
    )
    waiting = customer.request("push", campaign="spring", not_before=instant(3600))
    receipt = customer.request(
        "email", campaign="orders", purpose="transactional", not_before=instant(3600)
    )
    await tell(on, on.topics.sends, armed, waiting, receipt)
    await on.out.see("send.armed", request_id=armed["id"])
    told.note("SMS armed: waits for the shops")
    await business.quiet(0.7)
    assert on.providers.journal.to(customer.phone) == []
    seen_s = time.monotonic()
    await tell(on, on.topics.presence, customer.presence(**NEAR))
    call = await on.providers.journal.first_to(customer.phone)
    told.note(f"seen at the shop: SMS at the provider {call.at_s - seen_s:.2f} s later")
    assert call.at_s - seen_s < 2
    (issued,) = await on.out.see("coupon.issued", recipient_id=customer.id)
    code = str(issued["data"]["coupon_code"])
    assert code in sms_of(call)
    assert "STOP" in sms_of(call)
    told.note(f"coupon issued: {code[:5]}…, 15 percent off")
    return code


async def _returns(on: Stage, customer: Person, code: str, told: Timeline) -> None:
    """The code is redeemed, the order comes by Kafka, what was planned to sell is called off."""
    value = {"amount": "84.50", "currency": "EUR"}
    status, _ = await on.gateway.api(
        "POST", f"/v1/coupons/{code}/redeem", {"order_id": "o-17", "value": value}
    )
    assert status == 200
    (redeemed,) = await on.out.see("coupon.redeemed", recipient_id=customer.id)
    told.note(f"redeemed at the till: {redeemed['data']['value']} {redeemed['data']['currency']}")
    back = customer.conversion(order_id="o-17", coupon_code=code, value=value)
    await tell(on, on.topics.conversions, back, back)
    (credited,) = await on.out.see("conversion.attributed", recipient_id=customer.id)
    assert credited["data"]["attributed_to"] == redeemed["data"]["delivery_id"]
    (stopped,) = await on.out.see("send.suppressed", recipient_id=customer.id, reason="converted")
    assert stopped["data"]["campaign"] == "spring"
    held = await business.held(on, customer)
    assert (held["state"], held["revenue"]) == ("returned", {"EUR": "84.50"})
    assert [one["state"] for one in held["sends"]] == ["delivered", "sent", "suppressed", "queued"]
    told.note("returned: credited to the SMS; the queued push is stopped, the receipt is not")
    _, results = await on.gateway.api("GET", f"/v1/campaigns/{CAMPAIGN}/results")
    total: dict[str, Any] = results["total"]
    assert (total["targeted"], total["clicked"], total["returned"]) == (1, 1, 1)
    assert total["revenue"] == {"EUR": "84.50"}


async def _says_goodbye(on: Stage, customer: Person, told: Timeline) -> None:
    """One click on the first mail's way out, and no promotional mail leaves again."""
    mail = mail_of(on.providers.journal.to(customer.email)[0])
    status, _, _ = await on.gateway.ask(
        "POST", mail.one_click, body=business.ONE_CLICK, headers=business.FORM
    )
    assert status == 200
    await on.out.see("recipient.unsubscribed", recipient_id=customer.id)
    (shut,) = await ask(on, customer.request("email"))
    assert await suppressed(on, shut) == ["consent"]
    told.note("unsubscribed with one click: the next mail is suppressed")


async def _is_forgotten(on: Stage, customer: Person, folder: Path, told: Timeline) -> None:
    """Erased: no table and no log line names them, nothing planned leaves, a re-import is shut."""
    assert (await on.gateway.api("DELETE", f"/v1/recipients/{customer.id}"))[0] == 204
    assert (await on.gateway.api("GET", f"/v1/recipients/{customer.id}"))[0] == 404
    assert await on.gateway.stop() == 0
    rows = business.rows_of(folder / "store.db")
    for mark in (customer.mark, customer.phone):
        assert business.found_in(rows, mark.encode()) == set()
        assert mark not in on.gateway.log
    told.note("erased: no row and no log line names them")
    await on.gateway.start()
    (again,) = await ask(on, customer.request("email", "sms", "push"))
    assert await suppressed(on, again) == ["consent"]
    calls = [one for one in on.providers.journal.calls if customer.mark in one.to]
    calls += on.providers.journal.to(customer.phone)
    assert len(calls) == 2, "one mail and one SMS in all"
    told.note("imported again: still left in peace")
