"""The rules of layers: rooms, homes and sources. Each is a function from modules to its breaches.

There is no list of exemptions: who needs another rule changes the table, and says why.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch

from support.source import Import, Module, imports

# --- rooms ------------------------------------------------------------------------------------

CONTRACTS = (
    "channels.contract",
    "gateway.bus.contract",
    "gateway.store.contract",
)
# The first pattern that fits a module names its room; a room may import itself and what is listed.
ROOMS: dict[str, tuple[str, ...]] = {
    "channels": (),
    "gateway.core": ("channels.contract", "gateway.errors"),
    "gateway.flows": (
        *CONTRACTS,
        "gateway.core",
        "gateway.errors",
        "gateway.clock",
        "gateway.catalog",  # the templates as values; reading them is over when a flow starts
        "gateway.telemetry",
    ),
    "gateway.store": (
        "channels.contract",
        "gateway.bus.contract",  # the outbox holds records
        "gateway.core",
        "gateway.errors",
        "gateway.clock",
    ),
    "gateway.bus": ("gateway.core", "gateway.errors", "gateway.clock"),
    "gateway.web": (
        "channels.contract",
        "gateway.flows",
        "gateway.core",
        "gateway.errors",
        "gateway.clock",
    ),
    "gateway.errors": (),
    "gateway.clock": (),
    "gateway.settings": ("gateway.settings_values", "gateway.settings_providers"),
    "gateway.settings_providers": ("gateway.settings_values",),
    "gateway.settings_values": (),
    "gateway.config": ("gateway.settings", "gateway.settings_values", "gateway.errors"),
    "gateway.catalog": ("gateway.core", "gateway.errors"),
    "gateway.preview": ("gateway.core", "gateway.errors", "gateway.catalog"),
    "gateway.telemetry": ("channels.contract", "gateway.core", "gateway.errors", "gateway.clock"),
}
COMPOSITION = ("gateway/app.py", "gateway/app_*.py")
# What only the composition root may take up: everything else sees the contract.
IMPLEMENTATIONS = ("gateway.bus", "gateway.flows", "gateway.store", "gateway.web", "channels")
PROVIDERS = ("sendgrid", "smtp", "twilio", "fcm", "apns", "webpush", "sandbox")
NOT_IN_CORE = frozenset(
    {
        "asyncio",
        "concurrent",
        "http",
        "importlib",
        "io",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "uuid",
    }
)

# --- third-party libraries: one home each -------------------------------------------------------

HOMES: dict[str, tuple[str, ...]] = {
    "aiohttp": ("gateway/web/*", "channels/http_aiohttp.py"),
    "aiosmtplib": ("channels/smtp.py",),
    "aiokafka": ("gateway/bus/kafka*.py",),
    "asyncpg": ("gateway/store/postgres*.py",),
    "babel": ("gateway/core/*",),
    "click": ("gateway/__main__.py", "gateway/commands*.py", "gateway/terminal*.py"),
    "confluent_kafka": ("gateway/bus/embedded.py",),
    "cryptography": (
        "channels/apns*.py",
        "channels/fcm*.py",
        "channels/google_auth.py",
        "channels/sendgrid*.py",
        "channels/twilio*.py",
        "channels/webpush*.py",
    ),
    "css_inline": ("gateway/core/*",),
    "httptools": ("channels/http*.py",),
    "jwt": ("channels/fcm.py", "channels/google_auth.py"),
    "markdown_it": ("gateway/core/*",),
    "minijinja": ("gateway/core/*",),
    "msgspec": ("gateway/core/*", "channels/*", "gateway/store/*", "gateway/telemetry.py"),
    "phonenumbers": ("gateway/core/*",),
    "prometheus_client": ("gateway/telemetry.py",),
    "rich": ("gateway/__main__.py", "gateway/commands*.py", "gateway/terminal*.py"),
    "sendgrid": ("channels/sendgrid.py",),
    "sqlite3": ("gateway/store/sqlite*.py",),
    "structlog": (
        "gateway/telemetry.py",
        "gateway/flows/*",
        "gateway/bus/*",
        "gateway/web/*",
        "gateway/store/*",
    ),
    "tenacity": ("gateway/bus/*", "gateway/store/*"),
    "twilio": ("channels/twilio.py",),
}
IN_ONE_FILE = frozenset({"babel", "css_inline", "markdown_it", "minijinja", "phonenumbers"})

CLOCK_READS = frozenset(
    {
        "monotonic",
        "monotonic_ns",
        "perf_counter",
        "perf_counter_ns",
        "time",
        "time_ns",
        "localtime",
        "gmtime",
    }
)


def room_of(name: str) -> str:
    """The room that a module belongs to: the longest entry of the table that fits, else itself."""
    fitting = [room for room in ROOMS if name == room or name.startswith(f"{room}.")]
    return max(fitting, key=len, default=name)


def rooms(found: Iterable[Module]) -> Iterator[str]:
    """Rooms import only what the table allows; a module at the root only what is no room's own."""
    for module in found:
        room = room_of(module.name)
        if _fits(module.path, COMPOSITION):
            continue
        for used in _own_imports(module):
            target = _target(used)
            if room_of(target) == room and room in ROOMS:
                continue
            if not _may_import(room, target):
                yield module.at(used.node, f"{room} may not import {target}")


def adapters(found: Iterable[Module]) -> Iterator[str]:
    """Providers never import each other, nor is a provider imported by the other channel files."""
    for module in found:
        if not module.name.startswith("channels.") or module.name == "channels.registry":
            continue
        for used in _own_imports(module):
            provider = _provider(_target(used))
            if provider and _provider(module.name) != provider:
                yield module.at(used.node, f"only the registry may import the provider {provider}")


def homes(found: Iterable[Module]) -> Iterator[str]:
    """Each third-party library has one home; one without a home is not used."""
    users: dict[str, set[str]] = defaultdict(set)
    for module in found:
        for used in imports(module.tree):
            library = used.library
            if library in {"channels", "gateway"}:
                continue
            if library in sys.stdlib_module_names and library not in HOMES:
                continue
            users[library].add(module.path)
            if not _fits(module.path, HOMES.get(library, ())):
                yield module.at(used.node, f"{library} has its home elsewhere")
    for library in sorted(IN_ONE_FILE & users.keys()):
        if len(users[library]) > 1:
            yield f"{library} has more than one file: {', '.join(sorted(users[library]))}"


def purity(found: Iterable[Module]) -> Iterator[str]:
    """The core decides: no I/O, no asyncio, no logging, no clock, no chance."""
    for module in found:
        if module.name.startswith("gateway.core"):
            for used in imports(module.tree):
                if used.library in NOT_IN_CORE:
                    yield module.at(used.node, f"the core may not use {used.module}")


def environment(found: Iterable[Module]) -> Iterator[str]:
    """Only config.py reads the environment."""
    for module in found:
        if module.path != "gateway/config.py":
            yield from _uses(module, "os", {"environ", "environb", "getenv", "getenvb"})


def clock(found: Iterable[Module]) -> Iterator[str]:
    """Only clock.py reads the time."""
    for module in found:
        if module.path == "gateway/clock.py":
            continue
        yield from _uses(module, "time", CLOCK_READS)
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Attribute) or node.attr not in {"now", "utcnow", "today"}:
                continue
            if ast.unparse(node.value).rpartition(".")[2] in {"datetime", "date"}:
                yield module.at(node, f"only clock.py may use {ast.unparse(node)}")


def logs(found: Iterable[Module]) -> Iterator[str]:
    """Logs are set up in telemetry.py; elsewhere structlog only gives a logger."""
    for module in found:
        if module.path == "gateway/telemetry.py":
            continue
        for used in imports(module.tree):
            if used.module == "structlog" and used.member not in {"", "get_logger"}:
                yield module.at(used.node, f"structlog.{used.member} belongs to telemetry.py")
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Attribute) or ast.unparse(node.value) != "structlog":
                continue
            if node.attr not in {"get_logger", "typing"}:
                yield module.at(node, f"structlog.{node.attr} belongs to telemetry.py")


def cycles(found: Iterable[Module]) -> Iterator[str]:
    """Imports make no circle."""
    known = {module.name: module for module in found}
    graph = {name: _edges(module, known) for name, module in known.items()}
    done: set[str] = set()
    for start in sorted(graph):
        yield from _circles(graph, start, [], done)


# --- how they look ------------------------------------------------------------------------------


def _fits(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def _own_imports(module: Module) -> Iterator[Import]:
    return (used for used in imports(module.tree) if used.library in {"channels", "gateway"})


def _target(used: Import) -> str:
    # `from gateway import errors` names the module by its member.
    return f"{used.module}.{used.member}" if used.module in {"gateway", "channels"} else used.module


def _may_import(room: str, target: str) -> bool:
    allowed = ROOMS.get(room)
    if allowed is not None:
        return any(target == name or target.startswith(f"{name}.") for name in allowed)
    return target in CONTRACTS or not target.startswith(IMPLEMENTATIONS)


def _provider(name: str) -> str:
    last = name.removeprefix("channels.") if name.startswith("channels.") else ""
    return next((one for one in PROVIDERS if last == one or last.startswith(f"{one}_")), "")


def _uses(module: Module, library: str, members: Iterable[str]) -> Iterator[str]:
    for used in imports(module.tree):
        if used.module == library and used.member in members:
            yield module.at(used.node, f"may not use {library}.{used.member}")
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Attribute) or node.attr not in members:
            continue
        if ast.unparse(node.value) == library:
            yield module.at(node, f"may not use {library}.{node.attr}")


def _edges(module: Module, known: dict[str, Module]) -> set[str]:
    names = {f"{used.module}.{used.member}" for used in _own_imports(module)}
    names |= {used.module for used in _own_imports(module)}
    return names & known.keys() - {module.name, "channels", "gateway"}


def _circles(
    graph: dict[str, set[str]], name: str, path: list[str], done: set[str]
) -> Iterator[str]:
    if name in path:
        yield "circle of imports: " + " -> ".join([*path[path.index(name) :], name])
        return
    if name in done:
        return
    for target in sorted(graph[name]):
        yield from _circles(graph, target, [*path, name], done)
    done.add(name)
