"""What people and providers tell us: opens and clicks (buffered), receipts, yes and no (durable).

A no is in the store and at the last gate before it is acknowledged. A click never waits for the
store; a hit that finds the buffer full is counted and lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from channels.contract import Reading, Receipt, ReceiptType, Reply
from gateway.clock import Clock
from gateway.core import ids
from gateway.core.engagement import EventType, publishable
from gateway.core.gates import Cause
from gateway.core.plan import normal_address
from gateway.core.replies import Said, said
from gateway.core.request import ConsentData
from gateway.core.wire_http import FaultsError, decode_consent
from gateway.errors import EventsRefused, StoreUnavailable
from gateway.flows.contract import Seen, ShortLink, Standing, Topic
from gateway.flows.stops import Stops
from gateway.flows.wake import Bell
from gateway.store.contract import Answer, Change, Engagements, Hit
from gateway.telemetry import Metrics

log = structlog.get_logger()

HITS_MAX = 50_000
GATHER_S = 0.01
RETRY_S = 0.5
ALL = ("email", "sms", "push")

COUNTED = frozenset(
    {ReceiptType.ACCEPTED, ReceiptType.DELIVERED, ReceiptType.BOUNCED, ReceiptType.FAILED}
)
HIT_TYPES: Mapping[ReceiptType, str] = {
    ReceiptType.OPENED: "opened",
    ReceiptType.CLICKED: "clicked",
}


class Engage:
    """The way in for everything that happens after a message went out."""

    def __init__(
        self,
        *,
        store: Engagements,
        secret: bytes,
        stops: Stops,
        clock: Clock,
        metrics: Metrics,
        outbox_bell: Bell,
        public_url: str,
        zones: frozenset[str],
    ) -> None:
        self._store = store
        self._secret = secret
        self._stops = stops
        self._clock = clock
        self._metrics = metrics
        self._outbox_bell = outbox_bell
        self._public_url = public_url
        self._zones = zones
        self._hits: list[Hit] = []
        self._bell = Bell()

    # --- opens and clicks -------------------------------------------------------------------

    def opened(self, seen: Seen) -> None:
        """Note an open: buffered, never blocks."""
        self._note(seen, "opened", link=None, url=None)

    def clicked(self, seen: Seen, *, link: int, url: str) -> None:
        """Note a click: buffered, never blocks."""
        self._note(seen, "clicked", link=link, url=url)

    def _note(self, seen: Seen, what: str, *, link: int | None, url: str | None) -> None:
        if len(self._hits) >= HITS_MAX:
            self._metrics.dropped_hits.inc()
            return
        shown = publishable(url, public_url=self._public_url) if url else None
        self._hits.append(
            Hit(
                type=what,
                delivery_id=seen.delivery_id,
                occurred_at=seen.at,
                user_agent=seen.user_agent,
                is_prefetch=seen.prefetch,
                link=link,
                url=shown,
            )
        )
        self._bell.ring()

    async def run(self) -> None:
        """Record noted hits for ever, those of some milliseconds together."""
        while True:
            await self._bell.wait(1.0)
            if self._hits:
                await asyncio.sleep(GATHER_S)
                await self.flush()

    async def flush(self) -> None:
        """Record all hits noted so far; while the store is away they wait here."""
        while self._hits:
            batch, self._hits = self._hits[:500], self._hits[500:]
            try:
                await self._store.record(now=self._clock.now(), hits=batch)
            except StoreUnavailable as away:
                self._hits = batch + self._hits
                log.warning("engage.store_unavailable", what=str(away))
                await self._clock.sleep(RETRY_S)
                return
            self._outbox_bell.ring()

    # --- links and pages --------------------------------------------------------------------

    async def short_link(self, code: str) -> ShortLink | None:
        """Where a short link leads. Raises StoreUnavailable."""
        found = await self._store.link(code)
        return ShortLink(*found) if found else None

    async def standing(self, delivery_id: str) -> Standing | None:
        """What the person behind a delivery gets. Raises StoreUnavailable."""
        found = await self._store.stands(delivery_id)
        if found is None:
            return None
        plan, channel, reaches = found
        locale = next(route.locale for route in plan.routes if route.channel == channel)
        return Standing(
            locale,
            channel,
            email=reaches["email"],
            sms=reaches["sms"],
            push=reaches["push"],
            topics=(Topic(plan.campaign, is_on=reaches["campaign"]),),
        )

    async def refuse(
        self, delivery_id: str, *, channels: tuple[str, ...], how: str, topic: str | None = None
    ) -> bool:
        """Keep a no, durable when it returns; False when the delivery is not known.

        With a `topic` it is about the campaign of that name alone.
        """
        now = self._clock.now()
        wanted = ("all",) if "all" in channels else channels
        return await self._change(
            [
                Change(
                    cause=Cause.UNSUBSCRIBE,
                    channel=channel,
                    is_revoked=True,
                    occurred_at=now,
                    source=how,
                    delivery_id=delivery_id,
                    topic=topic or "",
                    fact=EventType.UNSUBSCRIBED,
                )
                for channel in wanted
            ]
        )

    async def allow(
        self, delivery_id: str, *, channels: tuple[str, ...], topic: str | None = None
    ) -> bool:
        """Keep a yes, the way back from `refuse`; the same answers."""
        now = self._clock.now()
        return await self._change(
            [
                Change(
                    cause=Cause.UNSUBSCRIBE,
                    channel=channel,
                    is_revoked=False,
                    occurred_at=now,
                    source="preferences",
                    delivery_id=delivery_id,
                    topic=topic or "",
                    fact=EventType.RESUBSCRIBED,
                    undoes=(Cause.UNSUBSCRIBE, Cause.CONSENT),
                )
                for channel in channels
            ]
        )

    async def _change(self, changes: Sequence[Change]) -> bool:
        if not changes:
            return True
        answers = await self._store.record(now=self._clock.now(), changes=changes)
        self._tell_gate(changes, answers)
        return all(answer is not None for answer in answers)

    def _tell_gate(
        self, changes: Sequence[Change], answers: Sequence[Sequence[bytes] | None]
    ) -> None:
        """No claim made before a no starts after its acknowledgement.

        A no to one campaign withholds the others' claims once, and the store lets them out. A
        yes opens nothing here: claims that are made after it know it.
        """
        for change, subjects in zip(changes, answers, strict=True):
            channels = ALL if change.channel == "all" else (change.channel,)
            if subjects and change.is_revoked:
                self._stops.close(subjects, channels)
        self._outbox_bell.ring()

    async def change(self, recipient_id: str, body: bytes) -> None:
        """Keep a change of consent about a person, durable when it returns.

        Raises EventsRefused or StoreUnavailable.
        """
        try:
            data = decode_consent(body, recipient_id, zones=self._zones)
        except FaultsError as error:
            raise EventsRefused([(one.path, one.detail) for one in error.faults]) from error
        await self.consent(data)

    async def consent(self, data: ConsentData) -> None:
        """Keep a word of consent, durable when it returns. Raises StoreUnavailable."""
        await self._change([self._consent(data)])

    def _consent(self, data: ConsentData) -> Change:
        """A word about a person, an address, or both; a yes undoes a page's or an API's no."""
        is_revoked = data.state == "revoked"
        named = (
            ("person", data.recipient_id),
            ("email", data.email and normal_address("email", data.email)),
            ("sms", data.phone),
        )
        return Change(
            cause=Cause.CONSENT,
            channel=data.channel,
            is_revoked=is_revoked,
            occurred_at=data.occurred_at or self._clock.now(),
            source=data.source,
            recipient_id=data.recipient_id or "",
            subjects=[ids.subject_key(self._secret, kind, value) for kind, value in named if value],
            topic=data.topic or "",
            evidence=data.evidence or "",
            fact=EventType.UNSUBSCRIBED if is_revoked else EventType.RESUBSCRIBED,
            undoes=() if is_revoked else (Cause.CONSENT, Cause.UNSUBSCRIBE),
        )

    # --- providers --------------------------------------------------------------------------

    async def receive(self, reading: Reading) -> None:
        """Keep what a provider said, durable when it returns. Raises StoreUnavailable."""
        now = self._clock.now()
        changes = [
            change
            for change in (
                *(_change_of_receipt(one, now) for one in reading.receipts),
                *(self._change_of_reply(one, now) for one in reading.replies),
            )
            if change is not None
        ]
        answers = await self._store.record(
            now=now,
            hits=[self._hit(one, now) for one in reading.receipts if one.type in HIT_TYPES],
            receipts=[one for one in reading.receipts if one.type in COUNTED],
            changes=changes,
            answers=[self._answer(one, now) for one in reading.replies],
        )
        self._tell_gate(changes, answers)
        self._metrics.orphans.inc(sum(answer is None for answer in answers))
        self._metrics.unread.inc(reading.unread)

    def _hit(self, receipt: Receipt, now: datetime) -> Hit:
        url = publishable(receipt.url, public_url=self._public_url) if receipt.url else None
        return Hit(
            type=HIT_TYPES[receipt.type],
            delivery_id=receipt.delivery_id,
            occurred_at=receipt.occurred_at or now,
            user_agent=receipt.user_agent,
            machine=receipt.machine,
            key=receipt.dedupe_key,
            url=url,
        )

    def _phone(self, reply: Reply) -> bytes:
        return ids.subject_key(self._secret, "sms", reply.address)

    def _answer(self, reply: Reply, now: datetime) -> Answer:
        return Answer(
            subject=self._phone(reply),
            said=said(reply.text).value,
            provider=reply.provider,
            key=reply.provider_message_id,
            occurred_at=now,
        )

    def _change_of_reply(self, reply: Reply, now: datetime) -> Change | None:
        meant = said(reply.text)
        if meant not in (Said.STOP, Said.START):
            return None
        is_stop = meant is Said.STOP
        return Change(
            cause=Cause.STOP,
            channel="sms",
            is_revoked=is_stop,
            occurred_at=now,
            source=reply.provider,
            subjects=(self._phone(reply),),
            evidence=f"reply {meant.value}",
            fact=EventType.UNSUBSCRIBED if is_stop else EventType.RESUBSCRIBED,
            undoes=() if is_stop else (Cause.STOP, Cause.PROVIDER),  # 21610 is the carrier's STOP
        )


def _change_of_receipt(receipt: Receipt, now: datetime) -> Change | None:
    """Complaints and the provider's own opt-outs are about the person of the delivery."""
    told = {
        ReceiptType.COMPLAINED: (Cause.COMPLAINT, True, EventType.COMPLAINED),
        ReceiptType.UNSUBSCRIBED: (Cause.PROVIDER, True, EventType.UNSUBSCRIBED),
        ReceiptType.RESUBSCRIBED: (Cause.PROVIDER, False, EventType.RESUBSCRIBED),
    }.get(receipt.type)
    if told is None or not receipt.delivery_id:
        return None
    cause, is_revoked, fact = told
    is_email = receipt.provider == "sendgrid"
    if is_email and cause is Cause.PROVIDER:
        cause = Cause.UNSUBSCRIBE  # an unsubscribe at the e-mail provider is about promotions
    return Change(
        cause=cause,
        channel="email" if is_email else "sms",
        is_revoked=is_revoked,
        occurred_at=receipt.occurred_at or now,
        source=receipt.provider,
        delivery_id=receipt.delivery_id,
        evidence=receipt.reason,
        fact=fact,
        undoes=() if is_revoked else (cause,),
    )
