"""Win-back send events in from Kafka, messages out, engagement back to Kafka."""

__version__ = "0.1.0"
