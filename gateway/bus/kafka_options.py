"""How we speak to Kafka: the settings, and what becomes of them for aiokafka.

Invariant: no setting can make the bus lose records or hand one out before it is durable;
the unsafe choices (auto-commit, start at latest, acks other than all) have no field here.
Environment variables are not read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.helpers import create_ssl_context

from gateway.errors import SettingsError

_PROTOCOLS = frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})
_MECHANISMS = frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"})


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """Settings of the bus. `topics` are the input topics; the sink does not need them.

    `fetch_wait_ms` is how long an idle fetch waits at the broker (10 with the embedded one).
    `drain_s` is how long a rebalance waits for batches in hand; it must end well before
    `rebalance_timeout_s`, and a join request is held that long, so `request_timeout_s` is longer.
    `publish_timeout_s` counts from the last answer of a broker.
    `look_every_s` is how often an input topic that was missing is looked for.
    `record_bytes_max` is where we refuse a record ourselves: a broker cuts the connection of
    whoever sends far too much, and that would look like an outage for ever.
    """

    bootstrap_servers: str
    group_id: str = "winback-gateway"
    topics: Sequence[str] = ()
    client_id: str = "winback-gateway"
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    compression: str | None = None
    batch_records_max: int = 500
    batch_bytes_max: int = 256 * 1024
    record_bytes_max: int = 8 * 1024 * 1024
    fetch_wait_ms: int = 500
    commit_interval_s: float = 1.0
    commit_timeout_s: float = 5.0
    publish_timeout_s: float = 10.0
    start_timeout_s: float = 60.0
    close_timeout_s: float = 5.0
    drain_s: float = 5.0
    session_timeout_s: float = 30.0
    heartbeat_s: float = 3.0
    rebalance_timeout_s: float = 30.0
    request_timeout_s: float = 40.0
    poll_interval_s_max: float = 600.0
    look_every_s: float = 30.0

    def __post_init__(self) -> None:
        if self.security_protocol not in _PROTOCOLS:
            raise SettingsError(
                f"WINBACK_KAFKA__SECURITY_PROTOCOL: one of {', '.join(sorted(_PROTOCOLS))}"
            )
        if self.sasl_mechanism not in _MECHANISMS:
            raise SettingsError(
                f"WINBACK_KAFKA__SASL_MECHANISM: one of {', '.join(sorted(_MECHANISMS))}"
            )
        if self.security_protocol.startswith("SASL") and not self.sasl_username:
            raise SettingsError("WINBACK_KAFKA__SASL_USERNAME: needed by the security protocol")
        if not self.heartbeat_s < self.session_timeout_s:
            raise ValueError("heartbeat_s must be below session_timeout_s")
        if not self.drain_s + self.commit_timeout_s < self.rebalance_timeout_s:
            raise ValueError("drain_s and commit_timeout_s must fit into rebalance_timeout_s")
        if not self.rebalance_timeout_s < self.request_timeout_s:
            raise ValueError("request_timeout_s must exceed rebalance_timeout_s")


def connection_settings(options: KafkaOptions) -> dict[str, Any]:
    """What every aiokafka client takes. Reads the certificate files; raises `SettingsError`."""
    settings: dict[str, Any] = {
        "bootstrap_servers": options.bootstrap_servers,
        "client_id": options.client_id,
        "security_protocol": options.security_protocol,
    }
    if options.security_protocol.startswith("SASL"):
        settings |= {
            "sasl_mechanism": options.sasl_mechanism,
            "sasl_plain_username": options.sasl_username,
            "sasl_plain_password": options.sasl_password,
        }
    if options.security_protocol.endswith("SSL"):
        settings["ssl_context"] = _ssl_context(options)
    return settings


def consumer_settings(options: KafkaOptions) -> dict[str, Any]:
    """What `AIOKafkaConsumer` takes; every default of it that loses records is overridden."""
    return connection_settings(options) | {
        "group_id": options.group_id,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        # The sticky assignor shares state between consumers of a process and can stall a group.
        "partition_assignment_strategy": (RoundRobinPartitionAssignor,),
        "max_poll_records": options.batch_records_max,
        "fetch_min_bytes": 1,
        "fetch_max_wait_ms": options.fetch_wait_ms,
        "session_timeout_ms": _ms(options.session_timeout_s),
        "heartbeat_interval_ms": _ms(options.heartbeat_s),
        "rebalance_timeout_ms": _ms(options.rebalance_timeout_s),
        "max_poll_interval_ms": _ms(options.poll_interval_s_max),
        "request_timeout_ms": _ms(options.request_timeout_s),
    }


def producer_settings(options: KafkaOptions) -> dict[str, Any]:
    """What `AIOKafkaProducer` takes: idempotent, acknowledged by all, in large batches."""
    return connection_settings(options) | {
        "enable_idempotence": True,
        "acks": "all",
        "max_batch_size": options.batch_bytes_max,
        "compression_type": options.compression,
        # Shorter than our own deadline would hide the broker's answer from us.
        "request_timeout_ms": _ms(options.publish_timeout_s),
    }


def _ssl_context(options: KafkaOptions) -> Any:
    try:
        return create_ssl_context(
            cafile=options.ssl_cafile,
            certfile=options.ssl_certfile,
            keyfile=options.ssl_keyfile,
        )
    except OSError as error:
        raise SettingsError(f"WINBACK_KAFKA__SSL_CAFILE: cannot be used: {error}") from error


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
