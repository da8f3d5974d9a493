"""The demo, put together: a broker, a gateway on it, a sandbox behind it, and who listens.

Invariant: whatever the settings say, nothing of the demo leaves this machine: the broker is the
embedded one and all channels are sandboxes. It decides nothing else.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from channels.contract import Content
from channels.http import Answer, Request
from channels.http_lean import LeanTransport
from channels.sandbox import Captured
from gateway import app, app_parts
from gateway.app import Extra, Gateway
from gateway.bus.contract import Outgoing, RecordRefused
from gateway.bus.embedded import EMBEDDED, EmbeddedBroker
from gateway.bus.kafka import KafkaOptions, KafkaSink, KafkaSource
from gateway.clock import Clock
from gateway.config import DEMO_DEFAULTS
from gateway.demo_acts import Call, Observed
from gateway.demo_campaign import CONTENT_TYPE, Asked
from gateway.demo_stream import Stream, told_of
from gateway.errors import BusUnavailable, GatewayError
from gateway.settings import Kafka, Settings
from gateway.web.inbox import Inbox
from gateway.web.pages import load_pages

PARTITIONS = 4
GROUP = "winback-demo-inbox"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
FAULTS_FROM = 400


@dataclass(frozen=True, slots=True)
class Stage:
    """A gateway and what the demo does with it."""

    gateway: Gateway
    stream: Stream
    sink: KafkaSink
    source: KafkaSource
    transport: LeanTransport

    async def listen(self) -> None:
        """Tell the stream what comes on the output topics, until `stop`."""
        dlq_topic = self.gateway.settings.kafka.dlq_topic
        async for batch in self.source.batches():
            self.stream.tell([told_of(record, dlq_topic=dlq_topic) for record in batch.records])
            await self.source.commit(batch)

    async def publish(self, asked: Sequence[Asked | Observed]) -> None:
        """Publish a campaign, or what people did, as upstream would. Raises BusUnavailable."""
        headers = (("content-type", CONTENT_TYPE.encode()),)
        answers = await self.sink.publish(
            [Outgoing(self._topic(one), one.key.encode(), one.value, headers) for one in asked]
        )
        for answer in answers:
            if isinstance(answer, RecordRefused):
                raise BusUnavailable("the broker refused a record of the demo") from answer

    def _topic(self, one: Asked | Observed) -> str:
        kafka = self.gateway.settings.kafka
        if isinstance(one, Asked):
            return kafka.sends_topic
        return {
            "consent": kafka.consent_topic,
            "conversions": kafka.conversions_topic,
            "presence": kafka.presence_topic,
        }[one.topic]

    async def call(self, call: Call) -> None:
        """Ask the gateway's own HTTP: the API with a key, a link as a browser would.

        Raises GatewayError where it does not answer, or says no.
        """
        settings = self.gateway.settings
        host = f"[{settings.http.host}]" if ":" in settings.http.host else settings.http.host
        path = call.url.removeprefix(settings.http.public_url)
        request = Request(
            method=call.method,
            # Its own port: the public name, if there is one, may not lead here yet.
            url=f"http://{host}:{self.gateway.server.port}{path}",
            headers=_headers(settings, call),
            body=_body(call),
            may_start=lambda: True,
        )
        answer = await self.transport.request(request)
        if not isinstance(answer, Answer):
            raise GatewayError(f"the demo's own gateway did not answer: {answer.reason}")
        if answer.status >= FAULTS_FROM:
            # Not the path: a link's token is in it.
            raise GatewayError(f"the demo's own gateway answered {call.method} by {answer.status}")

    def content(self, delivery_id: str) -> Content | None:
        """What a delivery brought, None where nothing is caught of it (any more)."""
        found = (one.content for one in _captured(self.gateway) if one.delivery_id == delivery_id)
        return next(found, None)

    async def results(self, campaign: str) -> Mapping[str, Any]:
        """What a campaign brought, as `winback results` has it."""
        return await self.gateway.desk.results(campaign)

    def stop(self) -> None:
        """Begin to end."""
        self.stream.close()
        self.source.stop()
        self.gateway.stop()


def _headers(settings: Settings, call: Call) -> Mapping[str, str]:
    if call.url.startswith("/"):
        key = settings.api.keys[0].reveal()
        return {"authorization": f"Bearer {key}", "content-type": "application/json"}
    if call.body:
        return {"user-agent": BROWSER, "content-type": "application/x-www-form-urlencoded"}
    return {"user-agent": BROWSER}


def _body(call: Call) -> bytes:
    body = call.body
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def broker(settings: Settings) -> EmbeddedBroker:
    """A broker with all topics of the contract; entering gives its address."""
    kafka = settings.kafka
    topics = (
        kafka.sends_topic,
        kafka.presence_topic,
        kafka.conversions_topic,
        kafka.consent_topic,
        kafka.engagement_topic,
        kafka.dlq_topic,
    )
    return EmbeddedBroker(dict.fromkeys(topics, PARTITIONS))


@asynccontextmanager
async def staged(
    settings: Settings, clock: Clock, names: Mapping[str, str], *, campaign: str
) -> AsyncIterator[Stage]:
    """Everything open, nothing running yet. `names` are those of the people in the campaign."""
    stream = Stream()
    options = KafkaOptions(
        bootstrap_servers=",".join(settings.kafka.bootstrap_servers),
        group_id=GROUP,
        topics=(settings.kafka.engagement_topic, settings.kafka.dlq_topic),
        **EMBEDDED,
    )

    def routes(gateway: Gateway) -> Iterable[Any]:
        web = app_parts.web_options(settings)
        return Inbox(
            captured=lambda: _captured(gateway),
            stream=stream,
            names=names,
            results=lambda: gateway.desk.results(campaign),
            pages=load_pages(web),
            options=web,
            clock=clock,
        ).routes()

    extra = Extra(fetch_wait_ms=EMBEDDED["fetch_wait_ms"], routes=routes)
    async with (
        app.running(settings, clock=clock, extra=extra) as gateway,
        KafkaSink(options, clock) as sink,
        KafkaSource(options, clock) as source,
        aclosing(LeanTransport()) as transport,
    ):
        yield Stage(gateway, stream, sink, source, transport)


def _captured(gateway: Gateway) -> Sequence[Captured]:
    """What all sandboxes hold, newest first."""
    kept = [one for inbox in gateway.inboxes.values() for one in inbox.captured()]
    return sorted(kept, key=lambda one: one.captured_at, reverse=True)


# --- settings -------------------------------------------------------------------------------


def settings_for_demo(settings: Settings, *, bootstrap: str, folder: Path) -> Settings:
    """The same settings, kept on this machine; a store that nobody named goes into `folder`.

    The public URL follows the port, and the shop is a page of the demo unless it was named.
    """
    placed = replace(
        settings,
        http=_http(settings),
        kafka=_kafka(settings.kafka, bootstrap),
        email=replace(settings.email, provider="sandbox"),
        sms=replace(settings.sms, provider="sandbox"),
        push=replace(settings.push, providers=("sandbox",)),
        # There is no provider to be gentle with.
        limits=replace(settings.limits, email_per_second=0, sms_per_second=0, push_per_second=0),
    )
    return _with_shop(_with_store(placed, folder))


def _kafka(kafka: Kafka, bootstrap: str) -> Kafka:
    return Kafka(
        bootstrap_servers=(bootstrap,),
        group_id=kafka.group_id,
        sends_topic=kafka.sends_topic,
        presence_topic=kafka.presence_topic,
        conversions_topic=kafka.conversions_topic,
        consent_topic=kafka.consent_topic,
        engagement_topic=kafka.engagement_topic,
        dlq_topic=kafka.dlq_topic,
    )


def _http(settings: Settings) -> Any:
    http = settings.http
    port = free_port(http.host, http.port)
    followed = http.public_url == f"http://127.0.0.1:{http.port}"
    public_url = f"http://127.0.0.1:{port}" if followed else http.public_url
    return replace(http, port=port, public_url=public_url)


def _with_store(settings: Settings, folder: Path) -> Settings:
    path = settings.store.url.path
    if path is None or f"sqlite:///{path}" != DEMO_DEFAULTS["WINBACK_STORE__URL"]:
        return settings
    url = replace(settings.store.url, path=folder / path.name)
    return replace(settings, store=replace(settings.store, url=url))


def _with_shop(settings: Settings) -> Settings:
    brand, public_url = settings.brand, settings.http.public_url
    is_named = brand.site_url != DEMO_DEFAULTS["WINBACK_BRAND__SITE_URL"]
    if is_named or urlsplit(public_url).hostname not in LOOPBACK:
        return settings
    return replace(settings, brand=replace(brand, site_url=f"{public_url}/shop"))


def free_port(host: str, wanted: int) -> int:
    """The wanted port if nobody listens there, else a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in (wanted, 0):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the server will do it: a connection that is only closing holds no port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no port is free on {host}")
