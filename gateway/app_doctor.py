"""The doctor's rounds: each part of a gateway is tried as `run` would, and nothing is changed.

Invariant: a check sends nobody a message, creates no topic, no store and no file, and ends within
its deadline; what goes wrong is a line and never an exception. Providers are asked in
`app_doctor_calls.py`.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from gateway import policies
from gateway.app_commands import opened_store, patient_options
from gateway.app_doctor_calls import check_providers, check_public_url
from gateway.app_parts import catalog_of
from gateway.app_providers import webhooks_of
from gateway.bus.kafka import check_topics
from gateway.clock import SystemClock
from gateway.doctor import Check, fault, ok, skipped, wrong_setting
from gateway.errors import (
    BusUnavailable,
    SettingsError,
    StoreBehind,
    StoreError,
    TemplateError,
)
from gateway.settings import Settings

ANSWER_WITHIN_S = 8.0


async def examine(
    settings: Settings, tell: Callable[[Check], None], *, is_online: bool
) -> list[Check]:
    """All checks in order; `tell` hears each when it is done."""
    rounds: list[Callable[[], Awaitable[list[Check]]]] = [
        lambda: check_bus(settings),
        lambda: check_store(settings),
        lambda: check_files(settings),
        lambda: check_providers(settings),
        lambda: check_webhooks(settings),
        lambda: check_public_url(settings, is_online=is_online),
    ]
    done: list[Check] = [ok("settings", "all that `run` needs are there")]
    tell(done[0])
    for look in rounds:
        for check in await look():
            done.append(check)
            tell(check)
    return done


async def check_bus(settings: Settings) -> list[Check]:
    """Whether brokers answer, and all six topics are there and writable."""
    kafka = settings.kafka
    servers = ",".join(kafka.bootstrap_servers)
    topics = (
        kafka.sends_topic,
        kafka.presence_topic,
        kafka.conversions_topic,
        kafka.consent_topic,
        kafka.engagement_topic,
        kafka.dlq_topic,
    )
    try:
        options = replace(patient_options(settings), start_timeout_s=ANSWER_WITHIN_S)
        problems = await check_topics(options, topics)
    except SettingsError as error:
        return [wrong_setting("kafka", str(error), "mend the setting")]
    except BusUnavailable as error:
        todo = (
            "start Kafka, or mend WINBACK_KAFKA__BOOTSTRAP_SERVERS, __SECURITY_PROTOCOL or __SASL_*"
        )
        return [
            fault("kafka", f"no broker answers at {servers} ({error})", todo),
            skipped("topics", "no broker to ask"),
        ]
    found = [ok("kafka", f"answers at {servers}")]
    if not problems:
        return [*found, ok("topics", f"all {len(topics)} are there")]
    todo = "the gateway makes no topics: create it, or mend its WINBACK_KAFKA__*_TOPIC"
    return found + [fault("topics", problem, todo) for problem in problems]


async def check_store(settings: Settings) -> list[Check]:
    """Whether the store is there, of this version, and answers."""
    path = settings.store.url.path
    if path is not None and not path.exists():
        return [_future_store(path)]
    try:
        async with opened_store(settings) as store:
            backlog = await store.backlog(now=SystemClock().now())
    except StoreBehind as error:
        return [wrong_setting("store", str(error), "run `winback migrate`")]
    except SettingsError as error:
        return [wrong_setting("store", str(error), "mend WINBACK_STORE__URL")]
    except StoreError as error:
        what = f"WINBACK_STORE__URL: the store does not answer: {error}"
        return [fault("store", what, "see that the disk has room and no other program holds it")]
    waiting = sum(count for states in backlog.by_channel.values() for count in states.values())
    return [ok("store", f"answers; {waiting} deliveries open, {backlog.outbox} facts unpublished")]


def _future_store(path: Path) -> Check:
    folder = path.absolute().parent
    if folder.is_dir() and os.access(folder, os.W_OK):
        return ok("store", f"{path} is not there yet: `winback run` makes it")
    what = f"WINBACK_STORE__URL: {folder} is no folder that can be written to"
    return wrong_setting("store", what, "create the folder, or name another")


async def check_files(settings: Settings) -> list[Check]:
    """Templates, policy and fences, read as `run` reads them."""
    checks = []
    try:
        count = len(list(catalog_of(settings)))
        checks.append(ok("templates", f"{count} compiled"))
    except TemplateError as error:
        what = f"WINBACK_TEMPLATES__PATH: {error}"
        checks.append(wrong_setting("templates", what, "`winback preview TEMPLATE` shows it"))
    except SettingsError as error:
        checks.append(wrong_setting("templates", str(error), "mend WINBACK_TEMPLATES__PATH"))
    try:
        policies.load_policy(settings.policy.file)
        fences = policies.fences_of(settings)
        checks.append(ok("policy", f"read; {len(fences)} fences in the file"))
    except SettingsError as error:
        checks.append(wrong_setting("policy", str(error), "mend the file"))
    return checks


async def check_webhooks(settings: Settings) -> list[Check]:
    """Whether the keys that providers sign their calls with can be read."""
    try:
        readers = webhooks_of(settings)
    except (SettingsError, ValueError) as error:
        return [wrong_setting("webhooks", str(error), "copy the key again from the provider")]
    if not readers:
        return [skipped("webhooks", "no provider in use calls us")]
    routes = ", ".join(f"{settings.http.public_url}/webhooks/{name}" for name in readers)
    return [ok("webhooks", f"keys can be read; the provider must call {routes}")]
