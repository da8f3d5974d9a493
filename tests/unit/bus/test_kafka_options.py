from __future__ import annotations

from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from gateway.bus.kafka import KafkaOptions
from gateway.bus.kafka_options import connection_settings, consumer_settings, producer_settings
from gateway.errors import SettingsError

OPTIONS = KafkaOptions("127.0.0.1:1", topics=("t",))


def test_k1_the_consumer_is_safe() -> None:
    """Every default of aiokafka that loses or hides records is overridden."""
    settings = consumer_settings(OPTIONS)
    assert settings["enable_auto_commit"] is False
    assert settings["auto_offset_reset"] == "earliest"
    assert settings["isolation_level"] == "read_committed"
    assert StickyPartitionAssignor not in settings["partition_assignment_strategy"]
    for name in ("key_deserializer", "value_deserializer", "group_instance_id"):
        assert name not in settings


def test_k1_the_producer_is_safe() -> None:
    """Idempotent, acknowledged by all in-sync replicas, in large batches."""
    settings = producer_settings(OPTIONS)
    assert settings["enable_idempotence"] is True
    assert settings["acks"] == "all"
    assert settings["max_batch_size"] >= 256 * 1024


async def test_k1_aiokafka_takes_these_settings() -> None:
    """Real clients are made from them, and hold what we asked for."""
    consumer = AIOKafkaConsumer(**consumer_settings(OPTIONS))
    producer = AIOKafkaProducer(**producer_settings(OPTIONS))
    try:
        assert consumer._enable_auto_commit is False
        assert consumer._rebalance_timeout_ms == 30_000
        assert producer._txn_manager is not None
        assert producer._sender._acks == -1
    finally:
        await consumer.stop()
        await producer.stop()


@pytest.mark.parametrize(
    "override",
    [
        {"enable_auto_commit": True},
        {"auto_offset_reset": "latest"},
        {"acks": 1},
        {"group_instance_id": "a"},
        {"value_deserializer": bytes.decode},
    ],
)
def test_k1_there_is_no_way_to_say_something_unsafe(override: dict[str, Any]) -> None:
    """The unsafe choices are not options."""
    with pytest.raises(TypeError):
        KafkaOptions("127.0.0.1:1", **override)


@pytest.mark.parametrize(
    "override",
    [
        {"drain_s": 30.0},
        {"heartbeat_s": 30.0},
        {"request_timeout_s": 30.0},
        {"rebalance_timeout_s": 9.0},
    ],
)
def test_k3_times_that_do_not_fit_each_other_are_refused(override: dict[str, Any]) -> None:
    """A drain must end before the rebalance does, a request must outlive it."""
    with pytest.raises(ValueError, match=r"must (be|fit|exceed)"):
        KafkaOptions("127.0.0.1:1", **override)


@pytest.mark.parametrize(
    ("override", "variable"),
    [
        ({"security_protocol": "TLS"}, "WINBACK_KAFKA__SECURITY_PROTOCOL"),
        ({"sasl_mechanism": "GSSAPI"}, "WINBACK_KAFKA__SASL_MECHANISM"),
        ({"security_protocol": "SASL_SSL"}, "WINBACK_KAFKA__SASL_USERNAME"),
    ],
)
def test_a_wrong_setting_names_its_variable(override: dict[str, Any], variable: str) -> None:
    """The operator reads which variable to correct."""
    with pytest.raises(SettingsError, match=variable):
        KafkaOptions("127.0.0.1:1", **override)


def test_a_missing_certificate_names_its_variable() -> None:
    """A certificate file that is not there is a wrong setting, not a traceback."""
    options = KafkaOptions("127.0.0.1:1", security_protocol="SSL", ssl_cafile="/nowhere/ca.pem")
    with pytest.raises(SettingsError, match="WINBACK_KAFKA__SSL_CAFILE"):
        connection_settings(options)


def test_a_password_is_not_shown() -> None:
    """The options may be logged."""
    assert "hunter2" not in repr(KafkaOptions("127.0.0.1:1", sasl_password="hunter2"))
