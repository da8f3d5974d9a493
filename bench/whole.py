"""The whole gateway, as `winback run` builds it, until a topic is empty and all is told.

The clock starts with the first batch of records and stops when the broker has acknowledged as many
outcomes as there are requests. Nothing of the gateway is replaced: its source and its sink are the
real ones, and note the time.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.figures import Rate
from bench.places import Stopwatch
from gateway import app, config
from gateway.bus.contract import Batch, Outgoing
from gateway.bus.kafka import KafkaOptions
from gateway.clock import Clock
from gateway.telemetry import log_to_stderr

TEMPLATES = Path(__file__).with_name("templates")
GIVE_UP_S = 120.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which topic to empty, where to, and how many requests it holds."""

    bootstrap: str
    topic: str
    outcomes: str
    sink_url: str
    count: int


class _Progress:
    """When the first record came in and when the last outcome was out."""

    def __init__(self, wanted: int) -> None:
        self.watch = Stopwatch()
        self.done: asyncio.Future[Rate] = asyncio.get_running_loop().create_future()
        self._wanted = wanted
        self._published = 0

    def published(self, count: int) -> None:
        self._published += count
        if self._published >= self._wanted and not self.done.done():
            self.done.set_result(self.watch.stop(self._published))


class _TimedSource(app.KafkaSource):
    def __init__(self, progress: _Progress, options: KafkaOptions, clock: Clock) -> None:
        super().__init__(options, clock)
        self._progress = progress

    async def batches(self) -> AsyncIterator[Batch]:
        async for batch in super().batches():
            self._progress.watch.start()
            yield batch


class _CountingSink(app.KafkaSink):
    def __init__(self, progress: _Progress, options: KafkaOptions, clock: Clock) -> None:
        super().__init__(options, clock)
        self._progress = progress

    async def publish(self, records: Sequence[Outgoing]) -> Sequence[Exception | None]:
        answers = await super().publish(records)
        self._progress.published(sum(answer is None for answer in answers))
        return answers


async def empty_by_gateway(wanted: Wanted) -> Rate:
    """Run the gateway on a fresh SQLite file until the topic is empty; then end it cleanly."""
    progress = _Progress(wanted.count)
    app.KafkaSource = partial(_TimedSource, progress)
    app.KafkaSink = partial(_CountingSink, progress)
    with TemporaryDirectory(prefix="bench-store-") as folder:
        settings = config.load(_environment(wanted, Path(folder)), command="run")
        log_to_stderr(settings.log.level, is_json=True)
        async with app.running(settings, extra=app.Extra(fetch_wait_ms=10)) as gateway:
            flows = asyncio.create_task(gateway.supervisor.run())
            await asyncio.wait(
                {flows, progress.done}, timeout=GIVE_UP_S, return_when="FIRST_COMPLETED"
            )
            gateway.stop()
            await flows
    if not progress.done.done():
        raise TimeoutError("not all requests came to an end")
    return progress.done.result()


def _environment(wanted: Wanted, folder: Path) -> dict[str, str]:
    return {
        "WINBACK_KAFKA__BOOTSTRAP_SERVERS": wanted.bootstrap,
        "WINBACK_KAFKA__GROUP_ID": f"{wanted.topic}.group",
        "WINBACK_KAFKA__SENDS_TOPIC": wanted.topic,
        "WINBACK_KAFKA__ENGAGEMENT_TOPIC": wanted.outcomes,
        "WINBACK_STORE__URL": f"sqlite:///{folder / 'store.db'}",
        "WINBACK_HTTP__HOST": "127.0.0.1",
        "WINBACK_HTTP__PORT": "0",
        "WINBACK_HTTP__PUBLIC_URL": "https://links.example",
        "WINBACK_TRACKING__SECRETS": "bench-only-signing-secret",
        "WINBACK_API__KEYS": "bench-only-key",
        "WINBACK_EMAIL__PROVIDER": "sendgrid",
        "WINBACK_EMAIL__FROM_ADDRESS": "hello@shop.example",
        "WINBACK_SENDGRID__API_KEY": "bench",
        "WINBACK_SENDGRID__BASE_URL": wanted.sink_url,
        "WINBACK_SENDGRID__WEBHOOK_PUBLIC_KEY": _public_key(),
        "WINBACK_LIMITS__EMAIL_PER_SECOND": "0",
        "WINBACK_TEMPLATES__PATH": str(TEMPLATES),
        "WINBACK_BRAND__NAME": "Example Coffee",
        "WINBACK_BRAND__SITE_URL": "https://shop.example",
        "WINBACK_BRAND__POSTAL_ADDRESS": "1 Example Street, 2100 Copenhagen, Denmark",
    }


def _public_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return b64encode(
        key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).decode()
