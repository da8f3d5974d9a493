"""Are the topics there, and can they be written? Asked at start; nothing is ever created.

Invariant: topics are looked up in the list of all topics. A metadata request that names a topic
makes aiokafka ask the broker to create it, so a name is used only once it is known to exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from gateway.bus.kafka_close import close_admin
from gateway.bus.kafka_errors import TopicMissing, as_unavailable
from gateway.bus.kafka_options import KafkaOptions, connection_settings

_MIN_ISR = "min.insync.replicas"


async def check_topics(options: KafkaOptions, topics: Sequence[str]) -> list[str]:
    """What is wrong with these topics, one sentence each; empty when all is well.

    Raises `BusUnavailable` when no broker answers.
    """
    async with _admin(options) as admin:
        found = await _describe(admin)
        known = [topic for topic in topics if topic in found]
        minimum = await _min_insync(admin, known)
    problems = [f"topic {topic} does not exist" for topic in topics if topic not in found]
    for topic in known:
        problems.extend(_faults(topic, found[topic], minimum.get(topic)))
    return problems


async def present_topics(options: KafkaOptions, topics: Sequence[str]) -> list[str]:
    """Those of the topics that exist.

    Raises `TopicMissing` when none does, `BusUnavailable` when no broker answers.
    """
    async with _admin(options) as admin:
        found = await _describe(admin)
    present = [topic for topic in topics if topic in found]
    if not present:
        raise TopicMissing(f"no such topic: {', '.join(topics)}")
    return present


@asynccontextmanager
async def _admin(options: KafkaOptions) -> AsyncIterator[Any]:
    # Not `async with`: its close waits for brokers, ours has a deadline.
    admin = AIOKafkaAdminClient(
        **connection_settings(options),
        request_timeout_ms=int(options.publish_timeout_s * 1000),
    )
    try:
        async with asyncio.timeout(options.start_timeout_s):
            await admin.start()
            yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise as_unavailable(error) from error
    finally:
        await close_admin(admin, timeout_s=options.close_timeout_s)


async def _describe(admin: Any) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    topics = await admin.describe_topics(None)
    return {topic["topic"]: topic["partitions"] for topic in topics}


async def _min_insync(admin: Any, topics: Sequence[str]) -> Mapping[str, int]:
    """`min.insync.replicas` per topic; empty where the broker does not tell."""
    if not topics:
        return {}
    wanted = [
        ConfigResource(ConfigResourceType.TOPIC, topic, configs={_MIN_ISR: None})
        for topic in topics
    ]
    try:
        answers = await admin.describe_configs(wanted)
    except KafkaError:
        return {}  # The embedded broker cannot, and an ACL may forbid it: no reason not to start.
    return dict(_read_min_insync(answers))


def _read_min_insync(answers: Iterable[Any]) -> Iterable[tuple[str, int]]:
    resources = (resource for answer in answers for resource in answer.resources)
    for _code, _text, _kind, topic, entries in resources:
        values = dict(entry[:2] for entry in entries)
        if values.get(_MIN_ISR) is not None:
            yield topic, int(values[_MIN_ISR])


def _faults(
    topic: str, partitions: Sequence[Mapping[str, Any]], minimum: int | None
) -> Iterable[str]:
    leaderless = sum(1 for partition in partitions if partition["leader"] < 0)
    if leaderless:
        yield f"topic {topic} has {leaderless} partitions without a leader"
    replicas = min((len(partition["replicas"]) for partition in partitions), default=0)
    if minimum is not None and replicas and minimum > replicas:
        yield (
            f"topic {topic} needs {minimum} replicas in sync and has {replicas}: "
            "nothing can be published"
        )
