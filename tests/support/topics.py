"""Topics for tests: made, changed and named so that tests do not meet.

Invariant: a topic made here answers (has a leader for each partition) before it is given out.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

READY_TIMEOUT_S = 60.0
_GAP_S = 0.1


def unique(name: str) -> str:
    """A name that no other test has."""
    return f"{name}.{uuid.uuid4().hex[:8]}"


@asynccontextmanager
async def admin_client(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A started admin client."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def create_topics(
    bootstrap: str,
    topics: Mapping[str, int],
    *,
    replicas: int = 1,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Make topics with their numbers of partitions; topics that exist are left alone."""
    wanted = [
        NewTopic(name, partitions, replicas, topic_configs=dict(settings or {}))
        for name, partitions in topics.items()
    ]
    async with asyncio.timeout(READY_TIMEOUT_S), admin_client(bootstrap) as admin:
        answer = await admin.create_topics(wanted)
        for name, code, *_ in answer.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(name)
        while not await _all_led(admin, topics):  # noqa: ASYNC110 - a broker sends no event
            await asyncio.sleep(_GAP_S)


async def change_topic(bootstrap: str, topic: str, settings: Mapping[str, str]) -> None:
    """Change settings of one topic."""
    change = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(settings))
    async with asyncio.timeout(READY_TIMEOUT_S), admin_client(bootstrap) as admin:
        for answer in await admin.alter_configs([change]):
            for code, text, *_ in answer.resources:
                if code:
                    raise for_code(code)(text)


async def wait_until_ready(bootstrap: str, *, brokers: int = 1) -> None:
    """Wait until an admin client sees this many brokers and a controller."""
    async with asyncio.timeout(READY_TIMEOUT_S):
        while not await _answers(bootstrap, brokers):  # noqa: ASYNC110 - as above
            await asyncio.sleep(_GAP_S)


async def _answers(bootstrap: str, brokers: int) -> bool:
    try:
        async with admin_client(bootstrap) as admin:
            cluster = await admin.describe_cluster()
    except (KafkaError, OSError, TimeoutError):
        return False
    return len(cluster["brokers"]) >= brokers and cluster["controller_id"] >= 0


async def _all_led(admin: AIOKafkaAdminClient, topics: Mapping[str, int]) -> bool:
    found = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
    return all(
        len(found.get(name, ())) >= partitions
        and all(partition["leader"] >= 0 for partition in found[name])
        for name, partitions in topics.items()
    )
