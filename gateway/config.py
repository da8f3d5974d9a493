"""The only reader of the environment.

Invariant: `load` returns settings that are complete for the command, or raises SettingsError with
one line that starts with the name of the variable at fault and holds no secret.
The list of variables is `settings.py`; this file knows only how they are found and which of them
depend on each other.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from gateway.errors import SettingsError
from gateway.settings import BROKER, Kafka, Settings
from gateway.settings_values import Row, is_loopback

PREFIX = "WINBACK_"
SECRETS_DIR = "WINBACK_SECRETS_DIR"
SECRET_FILE_BYTES_MAX = 65_536
STARTING = frozenset({"run", "demo", "doctor"})
DEMO_DEFAULTS: Mapping[str, str] = {
    "WINBACK_HTTP__HOST": "127.0.0.1",
    "WINBACK_STORE__URL": "sqlite:///winback-demo.db",
    "WINBACK_TRACKING__SECRETS": "demo-only-signing-secret",
    "WINBACK_API__KEYS": "demo-only-key",
    "WINBACK_BRAND__NAME": "Example Coffee",
    "WINBACK_BRAND__SITE_URL": "https://shop.example",
    "WINBACK_BRAND__POSTAL_ADDRESS": "1 Example Street, 2100 Copenhagen, Denmark",
}
"""What `demo` and `preview` take for what is not set; the public URL follows the port."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: its full name, where its value goes, and its row of the table."""

    name: str
    section: str
    field: str
    row: Row


def variables() -> Iterator[Variable]:
    """Every variable of the table, section by section."""
    for section, kind in get_type_hints(Settings).items():
        for entry in fields(kind):
            row: Row = entry.metadata["row"]
            name = f"{PREFIX}{section}__{row.name or entry.name}".upper()
            yield Variable(name, section, entry.name, row)


def load_here(*, command: str) -> Settings:
    """The settings of this process, for `command`."""
    return load(os.environ, command=command)


def load(environ: Mapping[str, str], *, command: str) -> Settings:
    """The settings in `environ` and its WINBACK_SECRETS_DIR, complete for `command`.

    An empty value counts as not set. Raises SettingsError for the first fault.
    """
    table = {variable.name: variable for variable in variables()}
    given = _gather(environ, table)
    if command in {"demo", "preview"}:
        given = _with_demo_defaults(given)
    settings = _read(given, table)
    _check_required(given, table, command=command)
    _check_needed_with(settings, given, table, command=command)
    if command in STARTING:
        _check_together(settings, given)
    if command == "demo":
        _check_demo_stays_here(settings, given)
    return settings


# --- finding ----------------------------------------------------------------------------------


def _gather(environ: Mapping[str, str], table: Mapping[str, Variable]) -> dict[str, str]:
    own = {name: text for name, text in environ.items() if name.startswith(PREFIX)}
    folder = own.pop(SECRETS_DIR, "")
    files = _secret_files(Path(folder)) if folder else {}
    for name in sorted([*own, *files]):
        _check_known(name, table)
    for name in sorted(own.keys() & files.keys()):
        if own[name]:
            raise SettingsError(f"{name} is set both in the environment and in {SECRETS_DIR}")
    return {name: text for name, text in {**own, **files}.items() if text}


def _secret_files(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise SettingsError(f"{SECRETS_DIR} is not a folder")
    # Kubernetes keeps hidden folders beside the files; whatever is not named like us is not ours.
    named = (path for path in sorted(folder.iterdir()) if path.name.startswith(PREFIX))
    return {path.name: _secret_file(path) for path in named}


def _secret_file(path: Path) -> str:
    try:
        if path.stat().st_size > SECRET_FILE_BYTES_MAX:
            raise SettingsError(f"{path.name} is a file too large to be a secret")
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.name} is a file that cannot be read as text") from error
    return text.removesuffix("\n").removesuffix("\r")


def _check_known(name: str, table: Mapping[str, Variable]) -> None:
    if name in table:
        return
    close = difflib.get_close_matches(name, [*table, SECRETS_DIR], n=1, cutoff=0.8)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise SettingsError(f"{name} is not a setting{hint}")


def _with_demo_defaults(given: Mapping[str, str]) -> dict[str, str]:
    port = given.get("WINBACK_HTTP__PORT", "8080")
    public_url = {"WINBACK_HTTP__PUBLIC_URL": f"http://127.0.0.1:{port}"}
    return {**DEMO_DEFAULTS, **public_url, **given}


# --- reading ----------------------------------------------------------------------------------


def _read(given: Mapping[str, str], table: Mapping[str, Variable]) -> Settings:
    values: dict[str, dict[str, Any]] = {}
    for name, variable in table.items():
        if name in given:
            section = values.setdefault(variable.section, {})
            section[variable.field] = _value(variable, given[name])
    sections = get_type_hints(Settings).items()
    return Settings(**{name: kind(**values.get(name, {})) for name, kind in sections})


def _value(variable: Variable, text: str) -> Any:
    try:
        return variable.row.form.parse(text)
    except ValueError as error:
        # Without the cause: a parser's own words may hold the text, which may be a secret.
        raise SettingsError(f"{variable.name} {error}") from None


# --- what depends on what -----------------------------------------------------------------------


def _check_required(
    given: Mapping[str, str], table: Mapping[str, Variable], *, command: str
) -> None:
    for variable in table.values():
        if command in variable.row.by and variable.name not in given:
            raise SettingsError(f"{variable.name} is required ({variable.row.meaning})")


def _check_needed_with(
    settings: Settings, given: Mapping[str, str], table: Mapping[str, Variable], *, command: str
) -> None:
    for variable in table.values():
        used = command in STARTING or (command in BROKER and variable.section == "kafka")
        if not used or variable.name in given or variable.row.needed_with is None:
            continue
        other_name, choices = variable.row.needed_with
        other = table[other_name]
        value = getattr(getattr(settings, other.section), other.field)
        chosen = {value} if isinstance(value, str) else set(value)
        for choice in sorted(chosen.intersection(choices)):
            raise SettingsError(f"{variable.name} is required when {other_name} has {choice}")


def _check_together(settings: Settings, given: Mapping[str, str]) -> None:
    twilio = settings.twilio
    if settings.sms.provider == "twilio" and not (
        twilio.from_number or twilio.messaging_service_sid
    ):
        raise SettingsError(
            "WINBACK_TWILIO__FROM or WINBACK_TWILIO__MESSAGING_SERVICE_SID is required"
            " when WINBACK_SMS__PROVIDER has twilio"
        )
    if settings.kafka.ssl_keyfile and not settings.kafka.ssl_certfile:
        raise SettingsError("WINBACK_KAFKA__SSL_CERTFILE is required with its key")
    _check_topics_differ(settings.kafka, given)


def _check_topics_differ(kafka: Kafka, given: Mapping[str, str]) -> None:
    topics = {
        f"WINBACK_KAFKA__{entry.name}".upper(): getattr(kafka, entry.name)
        for entry in fields(kafka)
        if entry.name.endswith("_topic")
    }
    counts = Counter(topics.values())
    for name, topic in topics.items():
        if counts[topic] > 1 and name in given:
            raise SettingsError(f"{name} is the name of another topic too")


def _check_demo_stays_here(settings: Settings, given: Mapping[str, str]) -> None:
    if is_loopback(settings.http.host):
        return
    # Everybody knows the demo's key: whoever opens the demo to others brings a key.
    for name in ("WINBACK_API__KEYS", "WINBACK_TRACKING__SECRETS"):
        if given[name] == DEMO_DEFAULTS[name]:
            raise SettingsError(f"{name} is required when the demo listens on {settings.http.host}")
