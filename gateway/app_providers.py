"""Which provider serves which channel, from settings: the providers' part of composition."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from channels.contract import Channel, Kind, Receipt, WebhookReader
from channels.fcm import FcmOptions
from channels.http import Transport
from channels.registry import REGISTRY
from channels.sandbox import SandboxChannel, SandboxOptions
from channels.sendgrid import SendGridOptions, SendGridWebhook
from channels.smtp import SmtpOptions
from channels.twilio import TwilioInboundWebhook, TwilioOptions, TwilioStatusWebhook
from gateway.clock import Clock
from gateway.errors import SettingsError
from gateway.settings import Settings

ANY = ""
TEST = "test"

Providers = Mapping[Kind, Mapping[str, Channel]]


def providers_of(
    settings: Settings, transport: Transport, clock: Clock, on_accepted: Callable[[Receipt], None]
) -> Providers:
    """Per kind, which provider serves which platform; `""` is any, `test` reaches nobody."""

    def make(kind: Kind, name: str) -> Channel:
        options = _options(settings, name, kind, on_accepted)
        try:
            return REGISTRY.build(kind, name, options=options, transport=transport, now=clock.now)
        except KeyError as error:
            variable = "PUSH__PROVIDERS" if kind is Kind.PUSH else f"{kind.name}__PROVIDER"
            raise SettingsError(f"WINBACK_{variable}: {name} is not built in yet") from error
        except ValueError as error:
            raise SettingsError(f"WINBACK_{name.upper()}__*: {error}") from error

    push = {
        ANY if name == "sandbox" else name: make(Kind.PUSH, name)
        for name in settings.push.providers
    }
    by_kind: dict[Kind, dict[str, Channel]] = {
        Kind.EMAIL: {ANY: make(Kind.EMAIL, settings.email.provider)},
        Kind.SMS: {ANY: make(Kind.SMS, settings.sms.provider)},
        Kind.PUSH: push,
    }
    for kind, channels in by_kind.items():
        channels[TEST] = SandboxChannel(SandboxOptions(kind), transport, now=clock.now)
    return by_kind


def _options(
    settings: Settings, name: str, kind: Kind, on_accepted: Callable[[Receipt], None]
) -> Any:
    match name:
        case "sendgrid":
            return SendGridOptions(
                api_key=settings.sendgrid.api_key.reveal(),
                from_address=settings.email.from_address,
                from_name=settings.email.from_name or settings.brand.name,
                base_url=settings.sendgrid.base_url,
                webhook_public_key=settings.sendgrid.webhook_public_key,
                timeout_s=settings.sendgrid.timeout_s,
            )
        case "smtp":
            return _smtp(settings)
        case "twilio":
            return TwilioOptions(
                account_sid=settings.twilio.account_sid,
                auth_token=settings.twilio.auth_token.reveal(),
                from_number=settings.twilio.from_number,
                messaging_service_sid=settings.twilio.messaging_service_sid,
                base_url=settings.twilio.base_url,
                public_url=settings.http.public_url,
                timeout_s=settings.twilio.timeout_s,
            )
        case "fcm":
            return FcmOptions(
                credentials=_credentials(settings),
                base_url=settings.fcm.base_url,
                timeout_s=settings.fcm.timeout_s,
            )
        case _:
            return SandboxOptions(kind, on_accepted)


def _smtp(settings: Settings) -> SmtpOptions:
    relay = settings.smtp.url
    if relay is None:
        raise SettingsError("WINBACK_SMTP__URL: is missing")
    return SmtpOptions(
        host=relay.host,
        port=relay.port,
        username=relay.username,
        password=relay.password.reveal(),
        tls=relay.tls,
        from_address=settings.email.from_address,
        from_name=settings.email.from_name or settings.brand.name,
        timeout_s=settings.smtp.timeout_s,
    )


def _credentials(settings: Settings) -> Mapping[str, object]:
    path = settings.fcm.credentials_file
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"WINBACK_FCM__CREDENTIALS_FILE: {error}") from error
    if not isinstance(found, dict):
        raise SettingsError("WINBACK_FCM__CREDENTIALS_FILE: not a service account file")
    return found


def webhooks_of(settings: Settings) -> Mapping[str, WebhookReader]:
    """A reader per webhook route, for the providers in use."""
    readers: dict[str, WebhookReader] = {}
    if settings.email.provider == "sendgrid":
        try:
            readers["sendgrid"] = SendGridWebhook(settings.sendgrid.webhook_public_key)
        except ValueError as error:
            raise SettingsError(f"WINBACK_SENDGRID__WEBHOOK_PUBLIC_KEY: {error}") from error
    if settings.sms.provider == "twilio":
        token = settings.twilio.auth_token.reveal()
        readers["twilio/status"] = TwilioStatusWebhook(token)
        readers["twilio/inbound"] = TwilioInboundWebhook(token)
    return readers


def inboxes_of(providers: Providers) -> Mapping[Kind, SandboxChannel]:
    """The sandboxes in use, whose messages the demo shows."""
    found = {kind: channels.get(ANY) for kind, channels in providers.items()}
    return {kind: one for kind, one in found.items() if isinstance(one, SandboxChannel)}
