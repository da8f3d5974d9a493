"""The doctor's calls to the outside: each provider's most harmless one, and our own public URL.

Invariant: no call here can send, change or cost anything: they ask who we are and what we may do.
A provider's answer is never shown beyond its status.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import smtplib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from channels.contract import Deferred, Kind, Misconfigured, Receipt
from channels.fcm import SCOPE
from channels.google_auth import GoogleTokens
from channels.http import Answer, Request, Transport
from channels.http_lean import LeanTransport
from gateway.app_providers import providers_of
from gateway.clock import SystemClock
from gateway.doctor import Check, fault, ok, skipped, wrong_setting
from gateway.errors import SettingsError
from gateway.settings import Settings
from gateway.settings_values import SmtpUrl, is_loopback

LIVEZ_WITHIN_S = 8.0
REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
NO_ANSWER = "see that this machine may reach it; the provider's status page tells more"

Asked = Callable[[Settings, Transport], Awaitable[Check]]


async def check_providers(settings: Settings) -> list[Check]:
    """Whether each provider's channel can be made, and the provider knows us."""
    transport = LeanTransport()
    try:
        try:
            providers_of(settings, transport, SystemClock(), _ignore)
        except SettingsError as error:
            return [wrong_setting("providers", str(error), "mend the setting")]
        return [
            await _check_one(kind, name, settings, transport) for kind, name in _names(settings)
        ]
    finally:
        await transport.aclose()


def _names(settings: Settings) -> list[tuple[Kind, str]]:
    push = [(Kind.PUSH, name) for name in settings.push.providers]
    return [(Kind.EMAIL, settings.email.provider), (Kind.SMS, settings.sms.provider), *push]


async def _check_one(kind: Kind, name: str, settings: Settings, transport: Transport) -> Check:
    ask: Mapping[str, Asked] = {
        "sendgrid": _sendgrid,
        "twilio": _twilio,
        "fcm": _fcm,
        "smtp": _smtp,
    }
    if name == "sandbox":
        return skipped(str(kind), "the sandbox reaches nobody")
    if name not in ask:
        return ok(str(kind), f"{name}: settings and key can be read; it has no harmless call")
    return await ask[name](settings, transport)


def _ignore(_: Receipt) -> None:
    """The doctor sends nothing, so there are no receipts."""


async def _sendgrid(settings: Settings, transport: Transport) -> Check:
    sendgrid, variable = settings.sendgrid, "WINBACK_SENDGRID__API_KEY"
    answer = await _get(
        transport,
        f"{sendgrid.base_url}/v3/scopes",
        f"Bearer {sendgrid.api_key.reveal()}",
        timeout_s=sendgrid.timeout_s,
    )
    check = _judged("email", "sendgrid", answer, variable)
    scopes = _object(answer).get("scopes")
    if check is None and isinstance(scopes, list) and "mail.send" not in scopes:
        return wrong_setting(
            "email", f"{variable}: the key may not send mail", "give it the scope mail.send"
        )
    return check or ok("email", "sendgrid knows the key, which may send mail")


async def _twilio(settings: Settings, transport: Transport) -> Check:
    twilio = settings.twilio
    pair = f"{twilio.account_sid}:{twilio.auth_token.reveal()}"
    answer = await _get(
        transport,
        f"{twilio.base_url}/2010-04-01/Accounts/{quote(twilio.account_sid, safe='')}.json",
        f"Basic {base64.b64encode(pair.encode()).decode()}",
        timeout_s=twilio.timeout_s,
    )
    variables = "WINBACK_TWILIO__ACCOUNT_SID or WINBACK_TWILIO__AUTH_TOKEN"
    check = _judged("sms", "twilio", answer, variables)
    state = _object(answer).get("status", "active")
    if check is None and state != "active":
        return fault("sms", "twilio: the account is not active", "ask Twilio why")
    return check or ok("sms", "twilio knows the account")


async def _fcm(settings: Settings, transport: Transport) -> Check:
    variable = "WINBACK_FCM__CREDENTIALS_FILE"
    path = settings.fcm.credentials_file
    try:
        credentials = json.loads(path.read_text(encoding="utf-8")) if path else {}
        tokens = GoogleTokens(
            credentials,
            transport,
            scope=SCOPE,
            now=SystemClock().now,
            timeout_s=settings.fcm.timeout_s,
        )
    except (OSError, ValueError) as error:
        return wrong_setting("push", f"{variable}: {error}", "download the file again")
    match await tokens.current():
        case Misconfigured(reason):
            todo = "download the service account file again; is its key still good?"
            return wrong_setting("push", f"{variable}: fcm: {reason}", todo)
        case Deferred(reason=reason):
            return fault("push", f"fcm does not answer: {reason}", NO_ANSWER)
        case _:
            return ok("push", "fcm gives the service account a token")


async def _smtp(settings: Settings, _: Transport) -> Check:
    url = settings.smtp.url
    if url is None:
        return wrong_setting("email", "WINBACK_SMTP__URL is required", "name the relay")
    where = f"{url.host}:{url.port}"
    try:
        await asyncio.to_thread(_greet, url, settings.smtp.timeout_s)
    except smtplib.SMTPAuthenticationError:
        what = f"WINBACK_SMTP__URL: {where} refuses the user name or password"
        return wrong_setting("email", what, "mend the URL")
    except (OSError, smtplib.SMTPException) as error:
        what = f"smtp: {where} does not answer as it should ({type(error).__name__})"
        return fault("email", what, "start the relay, or mend WINBACK_SMTP__URL")
    return ok("email", f"smtp: {where} answers")


def _greet(url: SmtpUrl, timeout_s: float) -> None:
    context = ssl.create_default_context()
    if url.tls:
        relay: smtplib.SMTP = smtplib.SMTP_SSL(
            url.host, url.port, timeout=timeout_s, context=context
        )
    else:
        relay = smtplib.SMTP(url.host, url.port, timeout=timeout_s)
    with relay:
        relay.ehlo()
        if not url.tls and relay.has_extn("starttls"):
            relay.starttls(context=context)
            relay.ehlo()
        if url.username:
            relay.login(url.username, url.password.reveal())
        relay.noop()


# --- answers --------------------------------------------------------------------------------


async def _get(transport: Transport, url: str, authorization: str, *, timeout_s: float) -> Any:
    headers = {"authorization": authorization, "user-agent": "winback-gateway"}
    request = Request("GET", url, headers, b"", lambda: True, timeout_s=timeout_s)
    return await transport.request(request)


def _judged(name: str, provider: str, answer: Any, variable: str) -> Check | None:
    """What is wrong with an answer; None for a 200."""
    if not isinstance(answer, Answer):
        return fault(name, f"{provider} does not answer: {answer.reason}", NO_ANSWER)
    if answer.status == HTTPStatus.OK:
        return None
    if answer.status in REFUSED:
        what = f"{variable}: {provider} refuses it ({answer.status})"
        return wrong_setting(name, what, "copy it again from the provider's console")
    return fault(name, f"{provider} answers {answer.status}", NO_ANSWER)


def _object(answer: Any) -> Mapping[str, Any]:
    try:
        found = json.loads(answer.body) if isinstance(answer, Answer) else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# --- our own front --------------------------------------------------------------------------


async def check_public_url(settings: Settings, *, is_online: bool) -> list[Check]:
    """Whether a gateway answers at the base of every link; beyond this machine only if told."""
    name, url = "public URL", settings.http.public_url
    is_here = is_loopback(urlsplit(url).hostname or "")
    if not is_here and not is_online:
        return [skipped(name, f"{url} was not called; `--online` calls it")]
    try:
        status = await asyncio.to_thread(_head, url)
    except ConnectionRefusedError:
        if is_here and not is_online:
            return [skipped(name, f"nobody listens at {url} yet; `winback run` will")]
        return [fault(name, f"nobody listens at {url}", "start the gateway, see to its ingress")]
    except (OSError, http.client.HTTPException) as error:
        what = f"WINBACK_HTTP__PUBLIC_URL: {url} cannot be reached ({type(error).__name__})"
        return [fault(name, what, "see to its name, certificate and ingress")]
    if status != HTTPStatus.OK:
        what = f"WINBACK_HTTP__PUBLIC_URL: {url}/livez answers {status}"
        return [fault(name, what, "it must lead to this gateway, without a path of its own")]
    return [ok(name, f"{url} answers")]


def _head(url: str) -> int:
    parts = urlsplit(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=LIVEZ_WITHIN_S)
    try:
        connection.request("HEAD", "/livez")
        return connection.getresponse().status
    finally:
        connection.close()
