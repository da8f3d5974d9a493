"""A gateway with everything around it: topics, stand-ins for providers, readers of its output.

Invariant: each stage has topics, a store and a consumer group of its own, so that stages can
share a broker and never meet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.events import binary, encoded, event
from support.gateway_process import KEY, GatewayProcess
from support.reader import At, In, TopicReader, publish
from support.signers import TWILIO_TOKEN, SendGridSigner, write_service_account
from support.stand_ins import StandIns
from support.topics import unique

DATA = Path(__file__).resolve().parents[1] / "data"
SITE = "https://shop.example"
PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one stage."""

    sends: str
    presence: str
    conversions: str
    consent: str
    engagement: str
    dlq: str

    def sizes(self) -> dict[str, int]:
        """Each with its number of partitions."""
        return dict.fromkeys(dataclasses.astuple(self), PARTITIONS)


def new_topics() -> Topics:
    """Names that no other stage has."""
    return Topics(*(unique(field.name) for field in dataclasses.fields(Topics)))


def named_topics(topics: Topics) -> dict[str, str]:
    """The topics by the word that the settings have for them."""
    return dataclasses.asdict(topics)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a test holds in its hands."""

    bootstrap: str
    topics: Topics
    providers: StandIns
    gateway: GatewayProcess
    out: TopicReader
    dead: TopicReader
    signer: SendGridSigner
    group: str

    async def publish(self, records: Sequence[In]) -> list[At]:
        """Publish to the sends topic."""
        return await publish(self.bootstrap, self.topics.sends, records)

    async def receive(self, *events: dict[str, Any]) -> int:
        """A signed call of SendGrid's event webhook; the status of its answer."""
        body, headers = self.signer.sign(events)
        status, _, _ = await self.gateway.ask(
            "POST", "/webhooks/sendgrid", body=body, headers=headers
        )
        return status


@asynccontextmanager
async def stage(
    bootstrap: str, topics: Topics, folder: Path, providers: StandIns, **settings: str
) -> AsyncIterator[Stage]:
    """A running gateway; `settings` are given without `WINBACK_`."""
    signer, group = SendGridSigner(), unique("group")
    account = write_service_account(folder / "account.json", f"{providers.url}/token")
    policy = folder / "policy.toml"
    policy.write_text("[quiet_hours]\n")  # a test must pass at night too
    given = {
        "KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "KAFKA__GROUP_ID": group,
        **{f"KAFKA__{name.upper()}_TOPIC": topic for name, topic in named_topics(topics).items()},
        "STORE__URL": f"sqlite:///{folder / 'store.db'}",
        "TRACKING__SECRETS": "a-signing-secret-for-tests",
        "API__KEYS": KEY,
        "EMAIL__PROVIDER": "sendgrid",
        "EMAIL__FROM_ADDRESS": "hello@shop.example",
        "SENDGRID__API_KEY": "SG.test",
        "SENDGRID__BASE_URL": providers.url,
        "SENDGRID__WEBHOOK_PUBLIC_KEY": signer.public_key,
        "SMS__PROVIDER": "twilio",
        "TWILIO__ACCOUNT_SID": "AC0123456789",
        "TWILIO__AUTH_TOKEN": TWILIO_TOKEN,
        "TWILIO__FROM": "+4570000000",
        "TWILIO__BASE_URL": providers.url,
        "PUSH__PROVIDERS": "fcm",
        "FCM__CREDENTIALS_FILE": str(account),
        "FCM__BASE_URL": providers.url,
        "LIMITS__EMAIL_PER_SECOND": "0",
        "LIMITS__SMS_PER_SECOND": "0",
        "LIMITS__PUSH_PER_SECOND": "0",
        "BRAND__NAME": "Example Coffee",
        "BRAND__SITE_URL": SITE,
        "BRAND__POSTAL_ADDRESS": "1 Example Street, 2100 Copenhagen",
        "TEMPLATES__PATH": str(DATA / "templates"),
        "POLICY__FILE": str(policy),
        **settings,
    }
    async with AsyncExitStack() as stack:
        out = await stack.enter_async_context(TopicReader(bootstrap, topics.engagement))
        dead = await stack.enter_async_context(TopicReader(bootstrap, topics.dlq))
        named = {f"WINBACK_{name}": text for name, text in given.items()}
        gateway = await stack.enter_async_context(GatewayProcess(folder, named))
        yield Stage(bootstrap, topics, providers, gateway, out, dead, signer, group)


def request(
    name: str,
    person: str,
    *channels: str,
    template: str = "comeback",
    recipient: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A structured request for one person, as plain JSON values."""
    data = {
        "campaign": "spring",
        "template": template,
        "recipient": {"id": person, **(recipient or {})},
        "variables": {"plan": "gold"} if template == "comeback" else {},
        **more,
    }
    if channels:
        data["channels"] = list(channels)
    return event(data, id=name, source="/campaigns/spring")


def structured(whole: dict[str, Any], *, key: str | None = "") -> In:
    """The event as a record in structured mode; the key is the recipient id."""
    return In(
        encoded(whole),
        _key(whole, key),
        [("content-type", b"application/cloudevents+json; charset=utf-8")],
    )


def in_binary(whole: dict[str, Any], *, key: str | None = "") -> In:
    """The event as a record in binary mode."""
    value, headers = binary(whole)
    return In(value, _key(whole, key), headers)


def _key(whole: dict[str, Any], key: str | None) -> bytes | None:
    wanted = whole["data"]["recipient"]["id"] if key == "" else key
    return None if wanted is None else wanted.encode()
