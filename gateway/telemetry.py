"""Logs and metrics: how the gateway explains itself. The only user of the metrics library.

Logs are JSON lines with a constant event name and fields; no field is ever an address, a token, a
body or a key. Metric children are made once, because making them is the cost.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from channels.contract import Kind

OUTCOMES = (
    "accepted",
    "deferred",
    "throttled",
    "refused",
    "misconfigured",
    "uncertain",
    "withheld",
)
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_encode = msgspec.json.Encoder(enc_hook=str).encode
FIELD_MAX = 2048


def log_to_stderr(level: str, *, is_json: bool) -> None:
    """Send structured logs to standard error, and other libraries' warnings through the same."""
    shape: list[Any] = (
        [_bounded, structlog.processors.format_exc_info, _as_json]
        if is_json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *shape,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=(
            structlog.BytesLoggerFactory(sys.stderr.buffer)
            if is_json
            else structlog.PrintLoggerFactory(sys.stderr)
        ),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)
    # These two write whole requests, or one line a second while a broker is away.
    for name in ("twilio.http_client", "aiokafka"):
        logging.getLogger(name).setLevel(logging.ERROR)


class _Forward(logging.Handler):
    """What libraries log, as one of our events: the logger's name, never its arguments' text."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, "library.said", library=record.name, where=record.funcName)


def _bounded(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str) and len(value) > FIELD_MAX:
            event[name] = value[:FIELD_MAX]
    return event


def _as_json(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
    return _encode(event)


class Metrics:
    """All metrics of the process; names are `winback_<noun>_<unit>`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        records = Counter(
            "winback_records", "Records read, by what became of them", ["result"],
            registry=self.registry,
        )  # fmt: skip
        self.records = {
            result: records.labels(result)
            for result in ("accepted", "duplicate", "conflict", "refused", "change")
        }
        outcomes = Counter(
            "winback_attempts", "Attempts by channel and outcome", ["channel", "outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.attempts = {
            (kind.value, outcome): outcomes.labels(kind.value, outcome)
            for kind in Kind
            for outcome in OUTCOMES
        }
        seconds = Histogram(
            "winback_attempt_seconds", "How long a provider took to answer", ["channel"],
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30), registry=self.registry,
        )  # fmt: skip
        self.attempt_seconds = {kind.value: seconds.labels(kind.value) for kind in Kind}
        self.unknown_fields = self._counter("unknown_fields", "Unknown fields kept out of requests")
        self.published = self._counter("published", "Records acknowledged on output topics")
        self.unpublishable = self._counter("unpublishable", "Facts the broker will never take")
        self.stale = self._counter("stale_settlements", "Outcomes whose claim had been lost")
        self.orphans = self._counter("orphan_receipts", "Receipts for deliveries not ours")
        self.unread = self._counter("unread_receipts", "Receipt elements nobody could read")
        self.dropped_hits = self._counter("dropped_hits", "Opens and clicks lost to a full buffer")
        self.deliveries = Gauge(
            "winback_deliveries", "Open deliveries", ["channel", "state"], registry=self.registry
        )
        self.outbox = self._gauge("outbox_records", "Facts that wait to be published")
        self.oldest_due_s = self._gauge("oldest_due_seconds", "Age of the oldest due delivery")
        self.lag = Gauge(
            "winback_lag_records", "Records not yet committed", ["topic", "partition"],
            registry=self.registry,
        )  # fmt: skip
        self.store_up = self._gauge("store_up", "Whether the store answered last time")

    def _counter(self, name: str, what: str) -> Counter:
        return Counter(f"winback_{name}", what, registry=self.registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"winback_{name}", what, registry=self.registry)

    def text(self) -> bytes:
        """Everything measured, as Prometheus text."""
        return generate_latest(self.registry)
