"""Brokers and stand-ins for whole-system tests; all of them run in the session's one loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from support.kafka import RealKafka
from support.parts import Parts
from support.stand_ins import StandIns


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kafka(parts: Parts) -> AsyncIterator[RealKafka]:
    """One Apache Kafka for all system tests: each makes topics of its own."""
    async with RealKafka(parts.kafka_libs) as running:
        yield running


@pytest.fixture
def providers() -> Iterator[StandIns]:
    """SendGrid, Twilio and FCM for one test."""
    with StandIns() as running:
        yield running
