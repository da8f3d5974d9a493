"""Kafka, as the rest of the gateway sees it: options in; a source, a sink, a look and a check out.

Invariant: aiokafka is used by the `kafka*.py` files of this room and by nothing else; its
exceptions never leave it.
"""

from __future__ import annotations

from gateway.bus.kafka_errors import TopicMissing
from gateway.bus.kafka_options import KafkaOptions
from gateway.bus.kafka_reader import TopicLook, topic_look
from gateway.bus.kafka_sink import KafkaSink
from gateway.bus.kafka_source import KafkaSource
from gateway.bus.kafka_topics import check_topics

__all__ = [
    "KafkaOptions",
    "KafkaSink",
    "KafkaSource",
    "TopicLook",
    "TopicMissing",
    "check_topics",
    "topic_look",
]
