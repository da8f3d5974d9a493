"""What aiokafka's exceptions mean to us.

Invariant: every exception class of `aiokafka.errors` is in one table here; a test lists them.
A class that a newer aiokafka brings counts as an outage until it is placed: that loses nothing.
"""

from __future__ import annotations

from enum import Enum

from aiokafka import errors as kafka

from gateway.errors import BusUnavailable


class Answer(Enum):
    """What follows from an exception in answer to a batch."""

    TOO_LARGE = "too_large"  # some record, or the batch, is over a size limit: divide
    REFUSED = "refused"  # some record will never be taken: divide
    AGAIN = "again"  # the producer is spent, the records are not: new producer, same records
    UNAVAILABLE = "unavailable"  # nothing is wrong with the records: later


class TopicMissing(BusUnavailable):
    """A topic does not exist; we create none. Somebody has to, then everything goes on."""


TOO_LARGE = frozenset(
    {
        kafka.MessageSizeTooLargeError,
        kafka.RecordListTooLargeError,
        kafka.RecordTooLargeError,
    }
)
REFUSED = frozenset(
    {
        kafka.CorruptRecordException,
        kafka.InvalidTimestampError,
        kafka.PolicyViolationError,
        kafka.UnsupportedForMessageFormatError,
        # aiokafka does not know INVALID_RECORD (87) and calls it this.
        kafka.UnknownError,
    }
)
AGAIN = frozenset(
    {
        kafka.KafkaError,  # "Unexpected error during batch delivery": the sender task is dead
        kafka.ConcurrentTransactions,
        kafka.DuplicateSequenceNumber,
        kafka.IllegalOperation,
        kafka.IllegalStateError,
        kafka.InvalidProducerEpoch,
        kafka.InvalidProducerIdMapping,
        kafka.InvalidTransactionTimeout,
        kafka.InvalidTxnState,
        kafka.OutOfOrderSequenceNumber,
        kafka.ProducerClosed,
        kafka.ProducerFenced,
        kafka.TransactionCoordinatorFenced,
        kafka.UnknownProducerId,
    }
)
UNAVAILABLE = frozenset(
    {
        kafka.AuthenticationFailedError,
        kafka.AuthenticationMethodNotSupported,
        kafka.BrokerNotAvailableError,
        kafka.BrokerResponseError,
        kafka.Cancelled,
        kafka.ClusterAuthorizationFailedError,
        kafka.CommitFailedError,
        kafka.ConsumerStoppedError,
        kafka.CorrelationIdError,
        kafka.DelegationTokenAuthDisabled,
        kafka.DelegationTokenAuthorizationFailed,
        kafka.DelegationTokenExpired,
        kafka.DelegationTokenNotFound,
        kafka.DelegationTokenOwnerMismatch,
        kafka.DelegationTokenRequestNotAllowed,
        kafka.FetchSessionIdNotFound,
        kafka.GroupAuthorizationFailedError,
        kafka.GroupCoordinatorNotAvailableError,
        kafka.GroupIdNotFound,
        kafka.GroupLoadInProgressError,
        kafka.IllegalArgumentError,
        kafka.IllegalGenerationError,
        kafka.IllegalSaslStateError,
        kafka.IncompatibleBrokerVersion,
        kafka.InconsistentGroupProtocolError,
        kafka.InvalidCommitOffsetSizeError,
        kafka.InvalidConfigurationError,
        kafka.InvalidFetchRequestError,
        kafka.InvalidFetchSessionEpoch,
        kafka.InvalidGroupIdError,
        kafka.InvalidPartitionsError,
        kafka.InvalidPrincipalType,
        kafka.InvalidReplicationAssignmentError,
        kafka.InvalidReplicationFactorError,
        kafka.InvalidRequestError,
        kafka.InvalidRequiredAcksError,
        kafka.InvalidSessionTimeoutError,
        kafka.InvalidTopicError,
        kafka.KafkaConfigurationError,
        kafka.KafkaConnectionError,
        kafka.KafkaProtocolError,
        kafka.KafkaStorageError,
        kafka.KafkaTimeoutError,
        kafka.KafkaUnavailableError,
        kafka.LeaderNotAvailableError,
        kafka.ListenerNotFound,
        kafka.LogDirNotFound,
        kafka.MemberIdRequired,
        kafka.MetadataEmptyBrokerList,
        kafka.NoBrokersAvailable,
        kafka.NoError,
        kafka.NoOffsetForPartitionError,
        kafka.NodeNotReadyError,
        kafka.NonEmptyGroup,
        kafka.NotControllerError,
        kafka.NotCoordinatorForGroupError,
        kafka.NotEnoughReplicasAfterAppendError,
        kafka.NotEnoughReplicasError,
        kafka.NotLeaderForPartitionError,
        kafka.OffsetMetadataTooLargeError,
        kafka.OffsetOutOfRangeError,
        kafka.OperationNotAttempted,
        kafka.QuotaViolationError,
        kafka.ReassignmentInProgress,
        kafka.RebalanceInProgressError,
        kafka.ReplicaNotAvailableError,
        kafka.RequestTimedOutError,
        kafka.SaslAuthenticationFailed,
        kafka.SecurityDisabled,
        kafka.StaleControllerEpochError,
        kafka.StaleLeaderEpochCodeError,
        kafka.StaleMetadata,
        kafka.TooManyInFlightRequests,
        kafka.TopicAlreadyExistsError,
        kafka.TopicAuthorizationFailedError,
        kafka.TransactionalIdAuthorizationFailed,
        kafka.UnknownMemberIdError,
        kafka.UnknownTopicOrPartitionError,
        kafka.UnrecognizedBrokerVersion,
        kafka.UnsupportedCodecError,
        kafka.UnsupportedSaslMechanismError,
        kafka.UnsupportedVersionError,
    }
)
PARTITION_FAULTS = frozenset(
    {
        kafka.CorruptRecordException,
        kafka.RecordTooLargeError,
        kafka.TopicAuthorizationFailedError,
        kafka.UnsupportedCodecError,
    }
)
"""What a poll of one partition raises about that partition alone."""

LOST_PARTITION = (kafka.CommitFailedError, kafka.IllegalStateError)
"""What a commit raises when the partitions have gone to somebody else."""


def answer_of(error: BaseException) -> Answer:
    """What to do with the records of a batch that was answered with this."""
    kind = type(error)
    if kind in TOO_LARGE:
        return Answer.TOO_LARGE
    if kind in REFUSED:
        return Answer.REFUSED
    if kind in AGAIN:
        return Answer.AGAIN
    return Answer.UNAVAILABLE


def is_partition_fault(error: BaseException) -> bool:
    """Whether one partition is at fault: what it holds cannot be read, or not by us."""
    return type(error) in PARTITION_FAULTS or not isinstance(error, kafka.KafkaError)


def as_unavailable(error: BaseException) -> BusUnavailable:
    """The same, in our own words."""
    return BusUnavailable(f"{type(error).__name__}: Kafka does not answer as it should")
