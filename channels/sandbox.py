"""The sandbox: a provider that sends nothing, for `demo`, `rehearse` and tests.

Invariant: it obeys the channel contract like a real provider, `may_start` included, and what it
keeps is bounded. Nothing leaves the process. This file knows nothing of the gateway.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from channels.answers import Now
from channels.contract import (
    Accepted,
    Content,
    Deferred,
    Destination,
    Kind,
    Message,
    Outcome,
    PushTarget,
    Receipt,
    ReceiptType,
    Refused,
    Scope,
    Throttled,
    Uncertain,
    Withheld,
)
from channels.http import Transport

PROVIDER = "sandbox"
KEPT_MAX = 500

OnAccepted = Callable[[Receipt], None]


class Fate(StrEnum):
    """What becomes of a message in the sandbox."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    DEFERRED = "deferred"
    THROTTLED = "throttled"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"


LOCAL_PARTS: Mapping[str, Fate] = MappingProxyType(
    {
        "bounce": Fate.BOUNCED,
        "defer": Fate.DEFERRED,
        "throttle": Fate.THROTTLED,
        "refuse": Fate.REFUSED,
        "doubt": Fate.UNCERTAIN,
    }
)
NUMBER_ENDINGS: Mapping[str, Fate] = MappingProxyType(
    {
        "0001": Fate.BOUNCED,
        "0002": Fate.DEFERRED,
        "0003": Fate.THROTTLED,
        "0004": Fate.REFUSED,
        "0005": Fate.UNCERTAIN,
    }
)
TOKEN_STARTS: Mapping[str, Fate] = MappingProxyType(
    {
        "dead-": Fate.REFUSED,
        "bounce-": Fate.BOUNCED,
        "defer-": Fate.DEFERRED,
        "throttle-": Fate.THROTTLED,
        "doubt-": Fate.UNCERTAIN,
    }
)
OUTCOMES: Mapping[Fate, Outcome] = MappingProxyType(
    {
        Fate.DEFERRED: Deferred("sandbox: later"),
        Fate.THROTTLED: Throttled(1.0, "sandbox: too fast"),
        Fate.REFUSED: Refused("sandbox: no such address", Scope.ADDRESS),
        Fate.UNCERTAIN: Uncertain("sandbox: no answer"),
    }
)


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """Which channel the sandbox stands in for, and who hears of receipts.

    `on_accepted` is called soon after `send` has answered, once per accepted message.
    """

    kind: Kind
    on_accepted: OnAccepted | None = None


@dataclass(frozen=True, slots=True)
class Captured:
    """A message as the demo's inbox shows it."""

    captured_at: datetime
    kind: Kind
    to: Destination
    to_name: str
    content: Content
    send_id: str
    delivery_id: str
    attempt_id: str
    campaign: str
    fate: Fate


class SandboxChannel:
    """Takes everything and keeps the newest 500 messages.

    Some destinations have another fate, so that a demo and a test can show it:

    - e-mail, by local part (what follows a `+` does not count): `bounce@` is accepted and then
      bounces, `defer@`, `throttle@`, `refuse@` (address at fault), `doubt@` (no clear answer);
    - phone numbers, by last digits: `0001` bounces, `0002` defers, `0003` throttles,
      `0004` is refused, `0005` is in doubt;
    - device tokens, by start: `dead-` is refused, `bounce-`, `defer-`, `throttle-`, `doubt-`.
    """

    name = PROVIDER

    def __init__(
        self,
        options: SandboxOptions,
        transport: Transport | None = None,  # noqa: ARG002 - every factory is called alike
        *,
        now: Now,
    ) -> None:
        self.kind = options.kind
        self._on_accepted = options.on_accepted
        self._now = now
        self._kept: deque[Captured] = deque(maxlen=KEPT_MAX)

    async def send(self, message: Message) -> Outcome:
        if not message.may_start():
            return Withheld()
        fate = fate_of(message.to)
        self._keep(message, fate)
        outcome = OUTCOMES.get(fate)
        if outcome is not None:
            return outcome
        provider_id = f"sandbox-{message.attempt_id}"
        if self._on_accepted is not None:
            receipt = self._receipt(message, fate, provider_id)
            asyncio.get_running_loop().call_soon(self._on_accepted, receipt)
        return Accepted(provider_id)

    def captured(self, limit: int = KEPT_MAX) -> tuple[Captured, ...]:
        """The newest messages, newest first."""
        return tuple(reversed(self._kept))[:limit]

    def _keep(self, message: Message, fate: Fate) -> None:
        self._kept.append(
            Captured(
                captured_at=self._now(),
                kind=self.kind,
                to=message.to,
                to_name=message.to_name,
                content=message.content,
                send_id=message.send_id,
                delivery_id=message.delivery_id,
                attempt_id=message.attempt_id,
                campaign=message.campaign,
                fate=fate,
            )
        )

    def _receipt(self, message: Message, fate: Fate, provider_id: str) -> Receipt:
        bounced = fate is Fate.BOUNCED
        return Receipt(
            type=ReceiptType.BOUNCED if bounced else ReceiptType.DELIVERED,
            provider=PROVIDER,
            delivery_id=message.delivery_id,
            attempt_id=message.attempt_id,
            provider_message_id=provider_id,
            occurred_at=self._now(),
            dedupe_key=f"{provider_id}:{fate}",
            reason="sandbox: bounced" if bounced else "",
        )

    async def aclose(self) -> None:
        """What was kept stays readable."""


def fate_of(to: Destination) -> Fate:
    """What the sandbox does with a destination."""
    if isinstance(to, PushTarget):
        found = (fate for start, fate in TOKEN_STARTS.items() if to.token.startswith(start))
        return next(found, Fate.DELIVERED)
    local, at, _ = to.partition("@")
    if at:
        return LOCAL_PARTS.get(local.partition("+")[0].lower(), Fate.DELIVERED)
    return NUMBER_ENDINGS.get(to[-4:], Fate.DELIVERED)
