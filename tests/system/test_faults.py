"""Faults, whole: the gateway killed or stopped, the broker away, providers at their worst."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.journal import Call
from support.kafka import RealKafka
from support.reader import In
from support.stage import Stage, new_topics, request, stage, structured
from support.stand_ins import StandIns
from support.topics import create_topics
from support.waiting import until, until_told

from gateway.bus.embedded import EmbeddedBroker
from gateway.core.ids import send_id

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNT = 2000
CONCURRENCY = 16
KINDS = ("email", "sms", "push")


def person_request(number: int, *channels: str, **more: Any) -> dict[str, Any]:
    """One of many requests, each to a person of its own."""
    person = f"cust-{number:05d}"
    addresses = {
        "email": f"{person}@mbox7.example",
        "phone": f"+452{number:06d}0",
        "push": [{"platform": "fcm", "token": f"devicetoken{number}"}],
    }
    return request(f"r-{number}", person, *channels, recipient=addresses, **more)


def many(first: int = 0, last: int = COUNT) -> list[In]:
    """Promotional requests over all channels."""
    return [structured(person_request(n, KINDS[n % 3])) for n in range(first, last)]


def send_ids(last: int = COUNT) -> set[str]:
    """The send ids of `many`."""
    return {send_id("/campaigns/spring", f"r-{number}") for number in range(last)}


def sent_ids(on: Stage) -> set[str]:
    """What the facts call sent."""
    return {event["data"]["send_id"] for event in on.out.of("message.sent")}


def lag(on: Stage) -> str:
    """How far it is, for failures."""
    return f"{len(on.out.of('message.sent'))} sent, {len(on.providers.journal)} calls"


# --- the gateway goes -----------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="session")
async def on(kafka: RealKafka, tmp_path: Path, providers: StandIns) -> AsyncIterator[Stage]:
    """A gateway on the real Kafka, whose providers take their time."""
    providers.latency_s = 0.05
    topics = new_topics()
    await create_topics(kafka.bootstrap, topics.sizes())
    more = {f"LANES__{kind.upper()}_CONCURRENCY": str(CONCURRENCY) for kind in KINDS}
    async with stage(kafka.bootstrap, topics, tmp_path, providers, **more) as running:
        yield running


@pytest.mark.kafka
async def test_d1_d5_a_kill_in_the_middle_loses_nothing_and_sends_nothing_twice(
    on: Stage,
) -> None:
    """After SIGKILL and restart every request is sent once or in doubt; receipts end doubts."""
    await on.publish(many())
    await on.providers.journal.reach(COUNT // 3, within_s=30)
    await on.gateway.kill()
    calls_before = len(on.providers.journal)
    assert calls_before < COUNT, "it was killed too late to show anything"
    await on.gateway.start()
    await until_told(lambda: _all_settled(on), within_s=60, what="all sent or in doubt")

    doubtful = send_ids() - sent_ids(on)
    assert 0 < len(doubtful) <= CONCURRENCY * len(KINDS), "more in doubt than were in flight"
    assert sent_ids(on) <= send_ids()
    assert set(on.providers.journal.per_send().values()) == {1}, "somebody was written to twice"
    assert send_ids() - doubtful <= set(on.providers.journal.per_send())
    for doubted in sorted(doubtful)[:10]:
        status, story = await on.gateway.api("GET", f"/v1/sends/{doubted}")
        assert (status, story["state"]) == (200, "in_doubt")
    await _prove_mails(on, doubtful)


async def _all_settled(on: Stage) -> bool:
    in_doubt = await on.gateway.metric("winback_deliveries", state="in_doubt")
    return len(sent_ids(on)) + in_doubt == COUNT


async def _prove_mails(on: Stage, doubtful: set[str]) -> None:
    """D5: a receipt for an attempt in doubt is the proof that it was taken."""
    taken = [call for call in on.providers.journal.of("sendgrid") if call.send_id in doubtful]
    assert taken, "no mail was under way at the kill"
    assert await on.receive(*(_processed(call) for call in taken)) == 200
    wanted = {call.send_id for call in taken}
    await until(lambda: wanted <= sent_ids(on), within_s=15, what="proven mails are sent")
    assert set(on.providers.journal.per_send().values()) == {1}


def _processed(call: Call) -> dict[str, Any]:
    return {
        "event": "processed",
        "timestamp": int(time.time()),
        "sg_message_id": f"sg-{call.attempt_id}",
        "sg_event_id": f"{call.attempt_id}-processed",
        "delivery_id": call.delivery_id,
        "attempt_id": call.attempt_id,
    }


@pytest.mark.kafka
async def test_k13_a_stop_in_the_middle_drains_and_ends_with_zero(on: Stage) -> None:
    """After SIGTERM nothing is in doubt; the next start does the rest, each once."""
    await on.publish(many())
    await on.providers.journal.reach(COUNT // 3, within_s=30)
    on.gateway.signal(signal.SIGTERM)
    await until_told(lambda: _not_ready(on), within_s=1, what="not ready at once", gap_s=0.02)
    assert await on.gateway.ended() == 0
    calls = on.providers.journal.per_send()
    assert len(calls) < COUNT, "it was stopped too late to show anything"
    await until(
        lambda: set(calls) == sent_ids(on), within_s=10, what="every call of before is told"
    )
    assert on.providers.journal.per_send() == calls, "a call was made after the end"

    await on.gateway.start()
    await on.out.see("message.sent", COUNT, within_s=40)
    assert sent_ids(on) == send_ids()
    assert set(on.providers.journal.per_send().values()) == {1}
    assert await on.gateway.metric("winback_deliveries", state="in_doubt") == 0


async def _not_ready(on: Stage) -> bool:
    return await on.gateway.probe("readyz") != 200


@pytest.mark.kafka
async def test_k13_a_broker_that_comes_back_is_taken_up_again(on: Stage, kafka: RealKafka) -> None:
    """Requests go out and facts wait while the broker is away; afterwards all of it is there."""
    await on.publish(many(0, COUNT // 2))
    await on.providers.journal.reach(COUNT // 6, within_s=30)
    await kafka.stop(kill=True)
    try:
        await asyncio.sleep(2)
        assert await on.gateway.probe("livez") == 200
    finally:
        await kafka.start()
    await on.publish(many(COUNT // 2, COUNT))
    await on.out.see("message.sent", COUNT, within_s=60)
    assert sent_ids(on) == send_ids()
    assert set(on.providers.journal.per_send().values()) == {1}


# --- providers at their worst ---------------------------------------------------------------

HANGING = tuple(range(1, 4))
BUSY, HELD = 20, 40
RETRY_AFTER_S = 4


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def troubled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A gateway that has had all its troubles at once, one on each channel."""
    topics = new_topics()
    folder = tmp_path_factory.mktemp("troubles")
    with StandIns(retry_after_s=RETRY_AFTER_S) as providers:
        async with (
            EmbeddedBroker(topics.sizes()) as bootstrap,
            stage(bootstrap, topics, folder, providers, SENDGRID__TIMEOUT_SECONDS="1") as running,
        ):
            await _make_trouble(running)
            yield running


async def _make_trouble(on: Stage) -> None:
    hanging = [person_request(n, "email") for n in HANGING]
    for whole in hanging:
        whole["data"]["recipient"]["email"] = f"hang-{whole['id']}@mbox7.example"
    busy = person_request(BUSY, "push")
    busy["data"]["recipient"]["push"] = [{"platform": "fcm", "token": "later-device"}]
    held = person_request(HELD, "sms")
    held["data"]["recipient"]["phone"] = "+4520009004"
    await on.publish([structured(one) for one in (*hanging, busy, held)])
    await on.providers.journal.first_to("+4520009004")
    await on.providers.journal.reach(len(HANGING) + 2, within_s=15)
    after = [
        person_request(n, kind)
        for n, kind in ((51, "sms"), (52, "sms"), (53, "email"), (54, "push"))
    ]
    await on.publish([structured(one) for one in after])


async def test_d6_a_hanging_provider_is_cut_and_leaves_a_doubt(troubled: Stage) -> None:
    """A call without an answer is given up after the timeout, in doubt, and not made again."""
    on = troubled
    for number in HANGING:
        name = send_id("/campaigns/spring", f"r-{number}")

        async def is_doubtful(name: str = name) -> bool:
            _, story = await on.gateway.api("GET", f"/v1/sends/{name}")
            return bool(story["state"] == "in_doubt")

        await until_told(is_doubtful, within_s=5, what="in doubt after the timeout")
        assert on.providers.journal.per_send()[name] == 1


async def test_d6_other_lanes_and_other_mails_go_on(troubled: Stage) -> None:
    """While calls hang, are refused or held, what is not concerned goes out at once."""
    (mail,) = await troubled.out.see("message.sent", request_id="r-53")
    (push,) = await troubled.out.see("message.sent", request_id="r-54")
    assert mail["data"]["attempt"] == push["data"]["attempt"] == 1


async def test_a_429_holds_the_whole_lane_as_long_as_it_says(troubled: Stage) -> None:
    """After Retry-After the lane goes on, and not a moment before."""
    journal = troubled.providers.journal
    (first,) = journal.to("+4520009004")[:1]
    for name in ("r-51", "r-52"):
        await troubled.out.see("message.sent", request_id=name, within_s=RETRY_AFTER_S + 10)
    others = [call for call in journal.of("twilio") if call.to != first.to]
    assert len(others) == 2
    assert min(call.at_s for call in others) - first.at_s >= RETRY_AFTER_S
    await troubled.out.see("message.sent", request_id=f"r-{HELD}", within_s=40)
    again = journal.to(first.to)
    assert len(again) == 2
    assert again[1].at_s - again[0].at_s >= RETRY_AFTER_S


async def test_a_503_is_tried_again_within_30_s(troubled: Stage) -> None:
    """A provider that recovers gets the message on the first retry."""
    (event,) = await troubled.out.see("message.sent", request_id=f"r-{BUSY}", within_s=40)
    first, second = troubled.providers.journal.to("later-device")
    assert event["data"]["attempt"] == 2
    assert 1 <= second.at_s - first.at_s <= 31
