"""The main job, whole: requests from Kafka, messages at the providers, facts on Kafka."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.campaign import MARKS, SOURCE, Campaign, Poison, campaign
from support.kafka import RealKafka
from support.reader import At
from support.stage import Stage, Topics, new_topics, stage
from support.stand_ins import StandIns
from support.topics import admin_client, change_topic, create_topics
from support.waiting import until

from gateway.bus.embedded import EmbeddedBroker

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENVELOPE = {
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "data",
}
FLAT = {
    "send_id",
    "delivery_id",
    "request_source",
    "request_id",
    "campaign",
    "template",
    "template_version",
    "variant",
    "locale",
    "channel",
    "provider",
    "provider_message_id",
    "recipient_id",
    "occurred_at",
    "attempt",
    "reason",
    "detail",
    "url",
    "link",
    "actor",
    "actor_reasons",
    "segments",
    "cost",
    "coupon_code",
    "offer_kind",
    "value",
    "currency",
    "attributed_to",
    "window",
    "is_holdout",
    "is_test",
}
"""Every field that section 1.3 of the contract names."""

PROVIDERS = {"email": "sendgrid", "sms": "twilio", "push": "fcm"}
DLQ_HEADERS = ("reason", "detail", "topic", "partition", "offset", "timestamp")
SMALL, LARGE = 500, 10_000
LARGEST_BYTES = 9 * 1024 * 1024


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def real(request: pytest.FixtureRequest) -> RealKafka | None:
    """The real Kafka, or None where the embedded broker serves."""
    if request.param == "embedded":
        return None
    kafka: RealKafka = request.getfixturevalue("kafka")
    return kafka


@pytest.fixture
def count(real: RealKafka | None) -> int:
    """How many requests: few for the embedded broker, which keeps little."""
    return SMALL if real is None else LARGE


@pytest_asyncio.fixture(loop_scope="session")
async def bootstrap(real: RealKafka | None, topics: Topics) -> AsyncIterator[str]:
    """A broker that has the topics."""
    if real is None:
        async with EmbeddedBroker(topics.sizes()) as address:
            yield address
        return
    limit = {"max.message.bytes": str(LARGEST_BYTES)}
    await create_topics(real.bootstrap, topics.sizes(), settings=limit)
    await change_topic(real.bootstrap, topics.sends, {"max.message.bytes": str(2 * LARGEST_BYTES)})
    yield real.bootstrap


@pytest.fixture
def topics() -> Topics:
    """Topics of this test alone."""
    return new_topics()


@pytest_asyncio.fixture(loop_scope="session")
async def on(
    bootstrap: str, topics: Topics, tmp_path: Path, providers: StandIns
) -> AsyncIterator[Stage]:
    """A gateway on each broker in turn."""
    async with stage(bootstrap, topics, tmp_path, providers) as running:
        yield running


async def test_k6_every_request_is_one_message_and_every_fault_one_dead_letter(
    count: int, on: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """Main job and K6: nothing lost, nothing twice, nothing told that is personal."""
    made = campaign(count, with_giants=count == LARGE)
    began_s = time.monotonic()
    places = await on.publish(made.records)
    await on.out.see("message.sent", len(made.channels), within_s=60)
    took_s = time.monotonic() - began_s
    await until(
        lambda: len(on.dead.records) >= len(made.poison), within_s=30, what="all dead letters"
    )
    assert await on.gateway.stop() == 0

    check_messages(on, made)
    check_events(on, made)
    check_dead_letters(on, made, places)
    check_nothing_personal(on)
    if count == LARGE:
        assert await uncommitted(on, places) == {}
    with capsys.disabled():
        figures = f"{len(made.records)} records, {len(made.channels)} messages, {took_s:.1f} s"
        sys.stdout.write(f"\nmain job: {figures}, {len(made.channels) / took_s:.0f} messages/s\n")


def check_messages(on: Stage, made: Campaign) -> None:
    """Each identity is exactly one provider call, on the channel that was asked for."""
    told = {event["data"]["send_id"]: event["data"] for event in on.out.of("message.sent")}
    calls = on.providers.journal.calls
    assert Counter(on.providers.journal.per_send().values()) == {1: len(made.channels)}
    assert {call.send_id for call in calls} == set(told)
    for call in calls:
        data = told[call.send_id]
        assert call.provider == PROVIDERS[made.channels[data["request_id"]]]
        assert data["recipient_id"][-4:] in call.to, "the message went to somebody else"


def check_events(on: Stage, made: Campaign) -> None:
    """Exactly one fact for each message; every event is whole and flat."""
    sent = on.out.of("message.sent")
    named = Counter(
        (event["data"]["request_source"], event["data"]["request_id"]) for event in sent
    )
    assert named == {(SOURCE, name): 1 for name in made.channels}
    by_type = Counter(event["type"] for event in on.out.events)
    assert set(by_type) == {"winback.message.sent.v1"}
    for record, event in zip(on.out.records, on.out.events, strict=True):
        assert dict(record.headers)["content-type"].startswith(b"application/cloudevents+json")
        assert set(event) == ENVELOPE
        assert set(event["data"]) == FLAT
        assert event["specversion"] == "1.0"
        assert event["data"]["provider"] == PROVIDERS[event["data"]["channel"]]
        assert event["data"]["locale"] in ("en", "da")
        assert record.key.decode() == event["data"]["recipient_id"]


def check_dead_letters(on: Stage, made: Campaign, places: list[At]) -> None:
    """Each record that could not be taken is in the dead letters once, unchanged, with reasons."""
    letters: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
    for letter in on.dead.records:
        headers = dict(letter.headers)
        letters[headers["dlq-partition"].decode(), headers["dlq-offset"].decode()].append(letter)
    assert len(on.dead.records) == len(made.poison)
    for place, poison in made.poison.items():
        at = places[place]
        (letter,) = letters[str(at.partition), str(at.offset)]
        _check_letter(letter, poison, at, on.topics)


def _check_letter(letter: Any, poison: Poison, at: At, topics: Topics) -> None:
    own = list(poison.record.headers)
    assert letter.key == poison.record.key
    assert list(letter.headers[: len(own)]) == own
    names = [name for name, _ in letter.headers[len(own) :]]
    told = {name: value.decode() for name, value in letter.headers[len(own) :]}
    if poison.is_too_large_for_the_broker:
        assert letter.value is None
        assert told.pop("dlq-truncated") == "true"
        names.remove("dlq-truncated")
    else:
        assert letter.value == poison.record.value
    assert names == [f"dlq-{name}" for name in DLQ_HEADERS]
    assert told["dlq-reason"] == poison.reason, told
    assert told["dlq-detail"].startswith(f"{poison.path or '$'}"), told
    assert told["dlq-topic"] == topics.sends
    assert told["dlq-timestamp"] == str(at.timestamp_ms)
    assert not MARKS.search(told["dlq-detail"].encode())


def check_nothing_personal(on: Stage) -> None:
    """No address, number or token in an output event, a key or the gateway's log."""
    for record in on.out.records:
        assert not MARKS.search(record.value), record.value
        assert not MARKS.search(record.key)
    assert not MARKS.search(on.gateway.log.encode())


async def uncommitted(on: Stage, places: list[At]) -> dict[int, int]:
    """How many records each partition's committed offset is short of its end."""
    ends: dict[int, int] = {}
    for at in places:
        ends[at.partition] = max(ends.get(at.partition, 0), at.offset + 1)
    async with admin_client(on.bootstrap) as admin:
        found = await admin.list_consumer_group_offsets(on.group)
    done = {partition.partition: place.offset for partition, place in found.items()}
    return {
        number: end - done.get(number, 0)
        for number, end in ends.items()
        if done.get(number, 0) < end
    }
