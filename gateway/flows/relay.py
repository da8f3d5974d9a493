"""From the outbox to Kafka, in order; what the broker acknowledged is marked, nothing else.

While the broker is away the facts wait in the store. A fact may be published twice; its id is the
same both times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from gateway.bus.contract import Outgoing, RecordRefused, Sink
from gateway.clock import Clock
from gateway.errors import BusUnavailable, StoreUnavailable
from gateway.flows.wake import Bell
from gateway.store.contract import DLQ, Outbox
from gateway.telemetry import Metrics

log = structlog.get_logger()

EVENT_HEADERS = (("content-type", b"application/cloudevents+json; charset=utf-8"),)
BATCH_MAX = 1000
IDLE_S = 0.5
RETRY_S = 1.0


class Relay:
    """Publishes the outbox. `topics` maps the outbox's words to topic names."""

    def __init__(
        self,
        *,
        store: Outbox,
        sink: Sink,
        topics: Mapping[str, str],
        clock: Clock,
        metrics: Metrics,
        bell: Bell,
    ) -> None:
        self._store = store
        self._sink = sink
        self._topics = topics
        self._clock = clock
        self._metrics = metrics
        self._bell = bell

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            try:
                if await self.publish_some() == 0:
                    await self._bell.wait(IDLE_S)
            except (BusUnavailable, StoreUnavailable) as away:
                log.warning("relay.waits", kind=type(away).__name__)
                await self._clock.sleep(RETRY_S)

    async def flush(self) -> None:
        """Publish all that is pending now."""
        while await self.publish_some():
            pass

    async def publish_some(self) -> int:
        """Publish the oldest pending facts; how many."""
        pending = await self._store.pending(BATCH_MAX)
        if not pending:
            return 0
        await self._publish([self._to_topic(one.record) for one in pending])
        await self._store.published(pending[-1].mark)
        self._metrics.published.inc(len(pending))
        return len(pending)

    def _to_topic(self, record: Outgoing) -> Outgoing:
        headers = record.headers if record.topic == DLQ else EVENT_HEADERS
        return Outgoing(self._topics[record.topic], record.key, record.value, headers)

    def _is_letter(self, record: Outgoing) -> bool:
        return record.topic == self._topics[DLQ]

    async def _publish(self, records: Sequence[Outgoing]) -> None:
        answers = await self._sink.publish(records)
        too_large = [
            Outgoing(record.topic, record.key, None, (*record.headers, ("dlq-truncated", b"true")))
            for record, answer in zip(records, answers, strict=True)
            if isinstance(answer, RecordRefused) and answer.too_large and self._is_letter(record)
        ]
        refused = sum(answer is not None for answer in answers) - len(too_large)
        if too_large:
            again = await self._sink.publish(too_large)
            refused += sum(answer is not None for answer in again)
        if refused:
            self._metrics.unpublishable.inc(refused)
            log.error("relay.unpublishable", count=refused)
