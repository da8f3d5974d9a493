from __future__ import annotations

from itertools import combinations

import pytest
from aiokafka import errors as kafka

from gateway.bus.kafka_errors import (
    AGAIN,
    REFUSED,
    TOO_LARGE,
    UNAVAILABLE,
    Answer,
    TopicMissing,
    answer_of,
    is_partition_fault,
)
from gateway.errors import BusUnavailable

TABLES = (TOO_LARGE, REFUSED, AGAIN, UNAVAILABLE)


def test_every_exception_of_aiokafka_has_its_place() -> None:
    """A new aiokafka with a new exception fails here until it is placed."""
    known = {
        value
        for value in vars(kafka).values()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert len(known) > 90
    assert known - frozenset().union(*TABLES) == set()


def test_no_exception_has_two_places() -> None:
    """What follows from an answer is never a matter of order."""
    for one, other in combinations(TABLES, 2):
        assert one & other == set()


def test_what_aiokafka_would_retry_is_never_a_refusal() -> None:
    """A record is refused only for what the broker will say again tomorrow."""
    for kind in REFUSED | TOO_LARGE:
        assert not kind.retriable


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (kafka.MessageSizeTooLargeError(), Answer.TOO_LARGE),
        (kafka.InvalidTimestampError(), Answer.REFUSED),
        (kafka.OutOfOrderSequenceNumber(), Answer.AGAIN),
        (kafka.ProducerFenced(), Answer.AGAIN),
        (kafka.KafkaConnectionError(), Answer.UNAVAILABLE),
        (kafka.TopicAuthorizationFailedError(), Answer.UNAVAILABLE),
        (RuntimeError(), Answer.UNAVAILABLE),
    ],
)
def test_answers(error: Exception, answer: Answer) -> None:
    """One of each kind; what is unknown counts as an outage, which loses nothing."""
    assert answer_of(error) is answer


def test_a_group_that_may_not_read_is_no_partition_s_fault() -> None:
    """Only what a partition holds puts it aside; the rest concerns the whole source."""
    assert is_partition_fault(kafka.CorruptRecordException())
    assert is_partition_fault(ValueError("cannot be decoded"))
    assert not is_partition_fault(kafka.GroupAuthorizationFailedError())


def test_a_missing_topic_is_retriable() -> None:
    """Somebody will make it, and then everything goes on."""
    assert issubclass(TopicMissing, BusUnavailable)
    assert TopicMissing.retriable
