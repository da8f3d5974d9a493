"""Parts made of settings alone: the first half of composition."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from datetime import timedelta

from channels.contract import Kind
from gateway.bus.kafka import KafkaOptions
from gateway.catalog import Catalog, load_catalog
from gateway.clock import Clock
from gateway.core import wire
from gateway.core.gates import Rules
from gateway.core.places import Atlas
from gateway.core.policy import Policy
from gateway.core.tokens import Tokens
from gateway.core.variables import Brand
from gateway.errors import SettingsError
from gateway.flows.dispatch import LaneOptions
from gateway.policies import quiet_rules
from gateway.settings import Settings
from gateway.store.contract import DLQ, ENGAGEMENT
from gateway.store.scripted import Conduct
from gateway.store.sqlite import SqliteStore
from gateway.web.options import WebOptions

START_WITHIN_S = 20.0
CLAIM_FOR = timedelta(seconds=90)


def store_of(
    settings: Settings, *, clock: Clock, conduct: Conduct, owns: bool = True
) -> SqliteStore:
    """The store that the settings name."""
    url = settings.store.url
    if url.path is None:
        raise SettingsError("WINBACK_STORE__URL: PostgreSQL is not built in yet; use sqlite:///…")
    return SqliteStore(str(url.path), clock=clock, conduct=conduct, owns=owns)


def conduct_of(settings: Settings, policy: Policy, atlas: Atlas) -> Conduct:
    """What the store's transactions go by."""
    rules = Rules(
        caps=policy.caps,
        quiet=quiet_rules(policy, atlas),
        needs_sms_proof=settings.consent.sms_proof == "required",
    )
    cooldown = policy.geo.cooldown or timedelta()
    return Conduct(policy.doubt_wait, rules, policy.attribution, cooldown)


def brand_of(settings: Settings) -> Brand:
    """Who the mails are from."""
    brand = settings.brand
    return Brand(brand.name, brand.site_url, brand.postal_address)


def catalog_of(settings: Settings) -> Catalog:
    """All templates, compiled."""
    return load_catalog(settings.templates.path, brand_of(settings))


def tokens_of(settings: Settings) -> Tokens:
    """What signs and reads links."""
    secrets = [secret.reveal() for secret in settings.tracking.secrets]
    return Tokens(secrets, settings.http.public_url)


def kafka_options(settings: Settings, *, fetch_wait_ms: int = 500) -> KafkaOptions:
    """How to speak to Kafka."""
    kafka = settings.kafka
    return KafkaOptions(
        bootstrap_servers=",".join(kafka.bootstrap_servers),
        group_id=kafka.group_id,
        topics=tuple(types_of(settings)),
        security_protocol=kafka.security_protocol,
        sasl_mechanism=kafka.sasl_mechanism,
        sasl_username=kafka.sasl_username or None,
        sasl_password=kafka.sasl_password.reveal() or None,
        ssl_cafile=str(kafka.ssl_cafile) if kafka.ssl_cafile else None,
        ssl_certfile=str(kafka.ssl_certfile) if kafka.ssl_certfile else None,
        ssl_keyfile=str(kafka.ssl_keyfile) if kafka.ssl_keyfile else None,
        batch_records_max=settings.intake.batch_records,
        fetch_wait_ms=fetch_wait_ms,
    )


def topics_of(settings: Settings) -> Mapping[str, str]:
    """The outbox's words as topic names."""
    kafka = settings.kafka
    return {ENGAGEMENT: kafka.engagement_topic, DLQ: kafka.dlq_topic}


def types_of(settings: Settings) -> Mapping[str, frozenset[str]]:
    """Which event types belong on which topic."""
    kafka = settings.kafka
    return {
        kafka.sends_topic: wire.SENDS,
        kafka.presence_topic: wire.PRESENCE,
        kafka.conversions_topic: wire.CONVERSIONS,
        kafka.consent_topic: wire.CONSENT,
    }


def zones() -> frozenset[str]:
    """The time zones that this machine knows."""
    return frozenset(zoneinfo.available_timezones())


def web_options(settings: Settings) -> WebOptions:
    """What the web can be told at start."""
    return WebOptions(
        public_url=settings.http.public_url,
        brand_name=settings.brand.name,
        brand_site=settings.brand.site_url,
        api_keys=tuple(key.reveal() for key in settings.api.keys),
        connections_max=settings.http.connections_max,
    )


def lane_options(settings: Settings, kind: Kind) -> LaneOptions:
    """How a channel's lane goes."""
    limits, lanes = settings.limits, settings.lanes
    concurrency, rate_per_s = {
        Kind.EMAIL: (lanes.email_concurrency, limits.email_per_second),
        Kind.SMS: (lanes.sms_concurrency, limits.sms_per_second),
        Kind.PUSH: (lanes.push_concurrency, limits.push_per_second),
    }[kind]
    return LaneOptions(kind.value, concurrency, rate_per_s, CLAIM_FOR, START_WITHIN_S)
