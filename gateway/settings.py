"""Every setting of the gateway: one field per variable, with its form, default and meaning.

Invariant: this list, with that of providers in `settings_providers.py`, is the only one.
`config.py` reads the environment by it, `docs/configuration.md` is printed from it, and a field
here is the variable `WINBACK_<SECTION>__<FIELD>`.
An absent text is empty, an absent list has no items, an absent file is None.
Knows no environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.settings_providers import (
    Apns,
    Email,
    Fcm,
    Push,
    Sendgrid,
    Sms,
    Smtp,
    Twilio,
    Webpush,
)
from gateway.settings_values import (
    BASE_URL,
    LINES,
    PATH,
    PORT_MAX,
    SECRET,
    SERVERS,
    SITE_URL,
    STORE_URL,
    TEXT,
    Secret,
    StoreUrl,
    choice,
    integer,
    number,
    secrets,
    setting,
)

RUN = frozenset({"run", "doctor"})
BRANDED = RUN | {"rehearse"}
BROKER = RUN | {"send", "dlq"}


_SASL = ("WINBACK_KAFKA__SECURITY_PROTOCOL", ("SASL_PLAINTEXT", "SASL_SSL"))


@dataclass(frozen=True, slots=True)
class Kafka:
    """Where events come from and go to."""

    bootstrap_servers: tuple[str, ...] = setting(SERVERS, "", "brokers to ask first", by=BROKER)
    group_id: str = setting(TEXT, "winback-gateway", "consumer group")
    sends_topic: str = setting(TEXT, "winback.sends", "requests and cancellations, in")
    presence_topic: str = setting(TEXT, "winback.presence", "where people are, in")
    conversions_topic: str = setting(TEXT, "winback.conversions", "who came back, in")
    consent_topic: str = setting(TEXT, "winback.consent", "who may be written to, in")
    engagement_topic: str = setting(TEXT, "winback.engagement", "all that happened, out")
    dlq_topic: str = setting(TEXT, "winback.sends.dlq", "dead letters, out")
    security_protocol: str = setting(
        choice("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"), "PLAINTEXT", "as in Kafka"
    )
    sasl_mechanism: str = setting(
        choice("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"), "PLAIN", "how to log in"
    )
    sasl_username: str = setting(TEXT, "", "name to log in with", needed_with=_SASL)
    sasl_password: Secret = setting(SECRET, "", "password to log in with", needed_with=_SASL)
    ssl_cafile: Path | None = setting(PATH, "", "authorities to trust; else the system's")
    ssl_certfile: Path | None = setting(PATH, "", "our certificate, with its key")
    ssl_keyfile: Path | None = setting(PATH, "", "the key of our certificate")


@dataclass(frozen=True, slots=True)
class Store:
    """Where the state is."""

    url: StoreUrl = setting(
        STORE_URL,
        "sqlite:///winback.db",
        "`sqlite:///` is relative to the working folder, `sqlite:////` absolute; or `postgresql://`",
    )


@dataclass(frozen=True, slots=True)
class Http:
    """What the gateway listens on, and what people and providers call it."""

    host: str = setting(TEXT, "0.0.0.0", "address to listen on")  # noqa: S104 - the contract's
    port: int = setting(integer(0, PORT_MAX), "8080", "port to listen on; 0 takes a free one")
    public_url: str = setting(
        BASE_URL, "", "base of every link; also what providers sign their calls for", by=RUN
    )
    connections_max: int = setting(
        integer(1, 100_000), "2000", "open connections, beyond which new ones wait"
    )


@dataclass(frozen=True, slots=True)
class Tracking:
    """What links are signed with."""

    secrets: tuple[Secret, ...] = setting(
        secrets(count_max=2, length_min=16),
        "",
        "current[,previous]; links signed with the previous one go on working",
        by=RUN,
    )


@dataclass(frozen=True, slots=True)
class Api:
    """Who may call `/v1` and see the dashboard."""

    keys: tuple[Secret, ...] = setting(
        secrets(count_max=100, length_min=8), "", "bearer keys", by=RUN
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """How fast and how much; rates are shared by all replicas, 0 is no limit."""

    email_per_second: float = setting(number(0, 100_000), "100", "e-mails a second; 0: no limit")
    sms_per_second: float = setting(number(0, 100_000), "10", "SMS a second; 0: no limit")
    push_per_second: float = setting(number(0, 100_000), "500", "pushes a second; 0: no limit")


@dataclass(frozen=True, slots=True)
class Templates:
    """Where templates are."""

    path: Path | None = setting(PATH, "", "folder of templates; else the packaged ones")


@dataclass(frozen=True, slots=True)
class Brand:
    """Who writes to people."""

    name: str = setting(TEXT, "", "name in mails and pages", by=BRANDED)
    site_url: str = setting(SITE_URL, "", "the brand's site; links may lead there", by=BRANDED)
    postal_address: str = setting(LINES, "", "address in the footer of e-mail", by=BRANDED)


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds sends back."""

    file: Path | None = setting(PATH, "", "caps, quiet hours, windows; else the packaged one")


@dataclass(frozen=True, slots=True)
class Geo:
    """Where people come near."""

    fences_file: Path | None = setting(PATH, "", "GeoJSON FeatureCollection, loaded at start")


@dataclass(frozen=True, slots=True)
class Consent:
    """What counts as a yes."""

    sms_proof: str = setting(
        choice("optional", "required"),
        "optional",
        "`required`: promotional SMS only to people with a consent record",
    )


@dataclass(frozen=True, slots=True)
class Intake:
    """How much is taken in at once."""

    batch_records: int = setting(integer(1, 5000), "200", "records admitted in one transaction")


@dataclass(frozen=True, slots=True)
class Lanes:
    """How many calls a lane has open at once: what a crash can leave in doubt."""

    email_concurrency: int = setting(integer(1, 2000), "256", "e-mail calls at once")
    sms_concurrency: int = setting(integer(1, 2000), "64", "SMS calls at once")
    push_concurrency: int = setting(integer(1, 2000), "256", "push calls at once")


@dataclass(frozen=True, slots=True)
class Retention:
    """How long details are kept; the identity of a request is kept for ever."""

    days: int = setting(integer(1, 3650), "180", "days that a finished send's story is kept")


@dataclass(frozen=True, slots=True)
class Shutdown:
    """How the process ends."""

    drain_s: float = setting(
        number(0, 600),
        "20",
        "seconds that open calls get to end after SIGTERM",
        name="DRAIN_SECONDS",
    )


@dataclass(frozen=True, slots=True)
class Log:
    """What is written to standard error, one JSON object a line."""

    level: str = setting(choice("debug", "info", "warning", "error"), "info", "least level")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, by section."""

    kafka: Kafka
    store: Store
    http: Http
    tracking: Tracking
    api: Api
    email: Email
    sendgrid: Sendgrid
    smtp: Smtp
    sms: Sms
    twilio: Twilio
    push: Push
    fcm: Fcm
    apns: Apns
    webpush: Webpush
    limits: Limits
    templates: Templates
    brand: Brand
    policy: Policy
    geo: Geo
    consent: Consent
    intake: Intake
    lanes: Lanes
    retention: Retention
    shutdown: Shutdown
    log: Log
