"""Which providers there are: one line each.

Invariant: a name stands once per kind, and every factory is called alike, with its options, a
transport and the time. A new provider is its own file and one line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from channels.answers import Now
from channels.contract import Channel, Kind
from channels.fcm import FcmChannel, FcmOptions
from channels.http import Transport
from channels.sandbox import SandboxChannel, SandboxOptions
from channels.sendgrid import SendGridChannel, SendGridOptions
from channels.smtp import SmtpChannel, SmtpOptions
from channels.twilio import TwilioChannel, TwilioOptions


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider for one kind: the class of its options, and what makes its channel."""

    name: str
    kind: Kind
    options: type
    channel: Callable[..., Channel]


class Registry:
    """Providers by kind and name. Raises ValueError for a name that stands twice."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._providers: dict[tuple[Kind, str], Provider] = {}
        for provider in providers:
            key = provider.kind, provider.name
            if key in self._providers:
                raise ValueError(f"{provider.kind} has two providers named {provider.name}")
            self._providers[key] = provider

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._providers.values())

    def names(self, kind: Kind) -> tuple[str, ...]:
        """The names that a setting may choose from, in order."""
        return tuple(provider.name for provider in self if provider.kind is kind)

    def build(
        self, kind: Kind, name: str, *, options: Any, transport: Transport, now: Now
    ) -> Channel:
        """The channel of a provider; raises KeyError for a name that nobody has.

        Raises TypeError for options of another provider, ValueError for options that will not do.
        """
        provider = self._providers[kind, name]
        if not isinstance(options, provider.options):
            raise TypeError(f"{name} takes {provider.options.__name__}")
        return provider.channel(options, transport, now=now)


REGISTRY = Registry(
    (
        Provider("sendgrid", Kind.EMAIL, SendGridOptions, SendGridChannel),
        Provider("smtp", Kind.EMAIL, SmtpOptions, SmtpChannel),
        Provider("twilio", Kind.SMS, TwilioOptions, TwilioChannel),
        Provider("fcm", Kind.PUSH, FcmOptions, FcmChannel),
        Provider("sandbox", Kind.EMAIL, SandboxOptions, SandboxChannel),
        Provider("sandbox", Kind.SMS, SandboxOptions, SandboxChannel),
        Provider("sandbox", Kind.PUSH, SandboxOptions, SandboxChannel),
    )
)
