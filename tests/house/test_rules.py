from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator

import pytest
from support import habits, layers
from support.source import ROOT, Module, modules

Rule = Callable[[Iterable[Module]], Iterator[str]]

RULES = (
    layers.rooms,
    layers.adapters,
    layers.homes,
    layers.purity,
    layers.environment,
    layers.clock,
    layers.logs,
    habits.catch_all,
    habits.import_habits,
    habits.state,
    layers.cycles,
    habits.sizes,
    habits.words,
    habits.docstrings,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps_the_rule(rule: Rule) -> None:
    """Every rule of the house holds for every file, without exemption."""
    breaches = list(rule(modules()))
    assert not breaches, "\n".join(breaches)


BREACHES: list[tuple[Rule, str, str, str]] = [
    (layers.rooms, "channels/smtp.py", "import gateway.errors", "channels may not import"),
    (layers.rooms, "channels/smtp.py", "from gateway import errors", "gateway.errors"),
    (layers.rooms, "gateway/core/plan.py", "from gateway.flows.intake import x", "gateway.core"),
    (layers.rooms, "gateway/core/plan.py", "from channels.http import x", "channels.http"),
    (layers.rooms, "gateway/core/plan.py", "from gateway.clock import x", "gateway.clock"),
    (layers.rooms, "gateway/flows/intake.py", "from gateway.store.sqlite import x", "store.sqlite"),
    (layers.rooms, "gateway/flows/intake.py", "from gateway.store import sqlite", "gateway.store"),
    (layers.rooms, "gateway/flows/intake.py", "from gateway.config import load", "config"),
    (layers.rooms, "gateway/store/sqlite.py", "from gateway.bus.kafka import x", "bus"),
    (layers.rooms, "gateway/web/api.py", "from gateway.store.contract import x", "store"),
    (layers.rooms, "gateway/commands.py", "from gateway.bus.kafka import x", "bus.kafka"),
    (layers.rooms, "gateway/commands.py", "from channels import registry", "channels.registry"),
    (layers.rooms, "gateway/errors.py", "import gateway.clock", "gateway.clock"),
    (layers.adapters, "channels/fcm.py", "from channels.apns import x", "apns"),
    (layers.adapters, "channels/http.py", "from channels.twilio_codes import x", "twilio"),
    (layers.homes, "gateway/flows/intake.py", "import aiokafka", "aiokafka"),
    (layers.homes, "gateway/core/plan.py", "import sqlite3", "sqlite3"),
    (layers.homes, "gateway/core/plan.py", "from requests import get", "requests"),
    (layers.purity, "gateway/core/plan.py", "import asyncio", "asyncio"),
    (layers.purity, "gateway/core/plan.py", "from random import random", "random"),
    (layers.environment, "gateway/app.py", "import os\nos.environ['HOME']", "os.environ"),
    (layers.environment, "gateway/app.py", "from os import getenv", "os.getenv"),
    (layers.clock, "gateway/app.py", "import time\ntime.monotonic()", "time.monotonic"),
    (layers.clock, "gateway/app.py", "from time import time", "time.time"),
    (layers.clock, "gateway/app.py", "x = datetime.now(UTC)", "datetime.now"),
    (layers.clock, "gateway/app.py", "x = datetime.date.today()", "date.today"),
    (layers.logs, "gateway/flows/relay.py", "import structlog\nstructlog.configure()", "configure"),
    (layers.logs, "gateway/flows/relay.py", "from structlog import configure", "configure"),
    (habits.catch_all, "gateway/app.py", "try:\n  f()\nexcept Exception:\n  pass", "catches"),
    (habits.catch_all, "gateway/app.py", "try:\n  f()\nexcept:\n  pass", "catches"),
    (habits.catch_all, "gateway/app.py", "try:\n  f()\nexcept (A, Exception):\n  pass", "catches"),
    (habits.catch_all, "gateway/app.py", "with suppress(Exception):\n  f()", "suppresses"),
    (habits.import_habits, "gateway/app.py", "def f():\n  import json", "inside a function"),
    (habits.import_habits, "gateway/app.py", "from . import errors", "relative"),
    (habits.state, "gateway/app.py", "seen = {}", "seen"),
    (habits.state, "gateway/app.py", "seen: set[str] = set()", "seen"),
    (habits.state, "gateway/app.py", "def f():\n  global x", "global"),
    (habits.sizes, "gateway/app.py", "x = 1\n" * 401, "401 lines"),
    (habits.sizes, "gateway/app.py", "def f():\n" + "  x = 1\n" * 60, "f has 61 lines"),
    (
        habits.sizes,
        "gateway/app.py",
        "def f():\n if a:\n  for b in c:\n   with d:\n    while e:\n     f()",
        "f nests 4 deep",
    ),
    (habits.words, "gateway/utils.py", "", "gateway/utils.py"),
    (habits.words, "gateway/app.py", "class TaskManager: ...", "TaskManager"),
    (habits.words, "gateway/app.py", "class BaseChannel: ...", "BaseChannel"),
    (habits.words, "gateway/app.py", "def send_notification(): ...", "send_notification"),
    (habits.words, "gateway/app.py", "def f(job): ...", "job"),
    (habits.docstrings, "gateway/app.py", "x = 1", "gateway/app.py"),
]


@pytest.mark.parametrize(("rule", "path", "text", "said"), BREACHES)
def test_a_breach_is_found_and_said(rule: Rule, path: str, text: str, said: str) -> None:
    """Each rule sees what it is there for, and says where."""
    found = list(rule([Module(path, text)]))
    assert found
    assert all(said in line and path in line for line in found)


ALLOWED: list[tuple[Rule, str, str]] = [
    (layers.rooms, "gateway/app.py", "from gateway.store.sqlite import x"),
    (layers.rooms, "gateway/flows/intake.py", "from gateway.store.contract import x"),
    (layers.rooms, "gateway/commands.py", "from gateway.app import x\nimport gateway.config"),
    (layers.rooms, "gateway/bus/kafka.py", "from gateway.bus.contract import x"),
    (layers.adapters, "channels/registry.py", "from channels.fcm import x"),
    (layers.adapters, "channels/twilio.py", "from channels.twilio_codes import x"),
    (layers.homes, "gateway/bus/kafka_sink.py", "import aiokafka.errors\nimport json"),
    (layers.environment, "gateway/config.py", "import os\nos.environ"),
    (layers.clock, "gateway/clock.py", "import time\ntime.monotonic()"),
    (layers.clock, "gateway/core/plan.py", "def f(now): return now + clock.now()"),
    (habits.catch_all, "gateway/app.py", "try:\n  f()\nexcept BaseException:\n  g()\n  raise"),
    (habits.catch_all, "gateway/flows/dispatch.py", "try:\n  f()\nexcept Exception:\n  g()"),
    (habits.state, "gateway/app.py", "CODES = {1: 2}\n__all__ = ['x']\ntext = 'a'"),
    (
        habits.sizes,
        "gateway/app.py",
        "def f():\n if a:\n  pass\n elif b:\n  pass\n elif c:\n  pass\n elif d:\n  pass",
    ),
    (habits.words, "gateway/app.py", "base_url = ''\nasync def f(task): ...\nx.jobless = 1"),
]


@pytest.mark.parametrize(("rule", "path", "text"), ALLOWED)
def test_what_is_no_breach_is_let_be(rule: Rule, path: str, text: str) -> None:
    """A rule that shouts at good code would be switched off."""
    assert list(rule([Module(path, text)])) == []


def test_a_circle_of_imports_is_found() -> None:
    """Two files that need each other are one file."""
    pair = [
        Module("gateway/core/a.py", "from gateway.core.b import x"),
        Module("gateway/core/b.py", "from gateway.core import a"),
    ]
    assert list(layers.cycles(pair)) == [
        "circle of imports: gateway.core.a -> gateway.core.b -> gateway.core.a"
    ]


def test_a_library_of_one_file_is_in_one_file() -> None:
    """The second user of the template engine is told where the first one is."""
    pair = [Module(f"gateway/core/{name}.py", "import babel") for name in ("a", "b")]
    assert list(layers.homes(pair)) == [
        "babel has more than one file: gateway/core/a.py, gateway/core/b.py"
    ]


def test_the_packages_are_all_looked_at() -> None:
    """The rules see every file that is installed."""
    paths = {module.path for module in modules()}
    assert {"channels/contract.py", "gateway/config.py", "gateway/core/ids.py"} <= paths
    assert len(paths) == sum(1 for name in ("channels", "gateway") for _ in _python(name))


def _python(package: str) -> Iterator[str]:
    return (path.name for path in (ROOT / package).rglob("*.py"))


def test_every_test_says_what_it_shows() -> None:
    """A test has a sentence: in its docstring, or in a name of five words and more."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
        and len(node.name.split("_")) <= 5
    ]
    assert not silent, "\n".join(silent)
