"""The settings of channels and their providers; the rest of the list is in `settings.py`.

Invariant: a setting that a provider cannot do without says which choice of provider needs it.
Knows no environment and no channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.settings_values import (
    ADDRESS,
    BASE_URL,
    CONTACT_URL,
    HOSTS,
    LINES,
    PATH,
    SECRET,
    SMTP_URL,
    TEXT,
    Secret,
    SmtpUrl,
    choice,
    integer,
    listed,
    number,
    setting,
)

_TIMEOUT_MEANING = "seconds until a call without an answer is given up"
_MAIL = ("WINBACK_EMAIL__PROVIDER", ("sendgrid", "smtp"))
_SENDGRID = ("WINBACK_EMAIL__PROVIDER", ("sendgrid",))
_SMTP = ("WINBACK_EMAIL__PROVIDER", ("smtp",))
_TWILIO = ("WINBACK_SMS__PROVIDER", ("twilio",))
_FCM = ("WINBACK_PUSH__PROVIDERS", ("fcm",))
_APNS = ("WINBACK_PUSH__PROVIDERS", ("apns",))
_WEBPUSH = ("WINBACK_PUSH__PROVIDERS", ("webpush",))


@dataclass(frozen=True, slots=True)
class Email:
    """Who takes our e-mail, and from whom it is."""

    provider: str = setting(
        choice("sendgrid", "smtp", "sandbox"), "sandbox", "who takes our e-mail"
    )
    from_address: str = setting(ADDRESS, "", "sender of every e-mail", needed_with=_MAIL)
    from_name: str = setting(TEXT, "", "sender's name; else the brand's")


@dataclass(frozen=True, slots=True)
class Sendgrid:
    """SendGrid's mail API and event webhook."""

    api_key: Secret = setting(SECRET, "", "key with the right to send mail", needed_with=_SENDGRID)
    base_url: str = setting(BASE_URL, "https://api.sendgrid.com", "where the API is")
    webhook_public_key: str = setting(
        LINES, "", "verification key of the signed event webhook", needed_with=_SENDGRID
    )
    batch_size: int = setting(
        integer(1, 1000), "100", "recipients per call; a call in doubt is that many in doubt"
    )
    timeout_s: float = setting(number(1, 30), "15", _TIMEOUT_MEANING, name="TIMEOUT_SECONDS")


@dataclass(frozen=True, slots=True)
class Smtp:
    """A mail relay."""

    url: SmtpUrl | None = setting(SMTP_URL, "", "the relay", needed_with=_SMTP)
    timeout_s: float = setting(number(1, 30), "15", _TIMEOUT_MEANING, name="TIMEOUT_SECONDS")


@dataclass(frozen=True, slots=True)
class Sms:
    """Who takes our SMS."""

    provider: str = setting(choice("twilio", "sandbox"), "sandbox", "who takes our SMS")


@dataclass(frozen=True, slots=True)
class Twilio:
    """Twilio; one of `from_number` and `messaging_service_sid` is needed."""

    account_sid: str = setting(TEXT, "", "account", needed_with=_TWILIO)
    auth_token: Secret = setting(
        SECRET, "", "token of the account; also signs the webhooks", needed_with=_TWILIO
    )
    from_number: str = setting(TEXT, "", "sender: E.164 number or sender id", name="FROM")
    messaging_service_sid: str = setting(TEXT, "", "sender: a pool of numbers")
    base_url: str = setting(BASE_URL, "https://api.twilio.com", "where the API is")
    timeout_s: float = setting(number(1, 30), "15", _TIMEOUT_MEANING, name="TIMEOUT_SECONDS")


@dataclass(frozen=True, slots=True)
class Push:
    """Who takes our push."""

    providers: tuple[str, ...] = setting(
        listed(
            choice("fcm", "apns", "webpush", "sandbox"),
            "list of `fcm`, `apns`, `webpush`, `sandbox`",
        ),
        "sandbox",
        "who takes our push, by platform; `sandbox` takes what no other one does",
    )


@dataclass(frozen=True, slots=True)
class Fcm:
    """Firebase Cloud Messaging."""

    credentials_file: Path | None = setting(
        PATH, "", "service account file; its `token_uri` is obeyed", needed_with=_FCM
    )
    base_url: str = setting(BASE_URL, "https://fcm.googleapis.com", "where the API is")
    timeout_s: float = setting(number(1, 30), "15", _TIMEOUT_MEANING, name="TIMEOUT_SECONDS")


@dataclass(frozen=True, slots=True)
class Apns:
    """Apple's push service."""

    key_file: Path | None = setting(PATH, "", "signing key (.p8)", needed_with=_APNS)
    key_id: str = setting(TEXT, "", "id of the key", needed_with=_APNS)
    team_id: str = setting(TEXT, "", "id of the team", needed_with=_APNS)
    topic: str = setting(TEXT, "", "bundle id of the app", needed_with=_APNS)
    base_url: str = setting(BASE_URL, "https://api.push.apple.com", "where the API is")
    timeout_s: float = setting(number(1, 30), "15", _TIMEOUT_MEANING, name="TIMEOUT_SECONDS")


@dataclass(frozen=True, slots=True)
class Webpush:
    """Push to browsers."""

    private_key_file: Path | None = setting(PATH, "", "VAPID key (PEM)", needed_with=_WEBPUSH)
    subject: str = setting(
        CONTACT_URL, "", "whom a push service can write to", needed_with=_WEBPUSH
    )
    allowed_hosts: tuple[str, ...] = setting(
        HOSTS,
        "fcm.googleapis.com,updates.push.services.mozilla.com,web.push.apple.com,*.notify.windows.com",
        "push services that we call; an endpoint elsewhere is refused",
    )
    timeout_s: float = setting(number(1, 30), "15", _TIMEOUT_MEANING, name="TIMEOUT_SECONDS")
