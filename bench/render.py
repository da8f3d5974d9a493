"""R1: our mail against a plain minijinja render of the same file.

Ours is what `Template.render` does: subject, preheader, tracked and signed links, pixel, checks of
size and control characters. `R1` is that without the plain-text twin, `R1 whole` with it. Theirs is
the author's own HTML file filled by a plain environment with escaping: no strictness, no links.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import minijinja

from bench.figures import Comparison, Pair, Rate
from bench.places import Stopwatch, measured, on_core, rate_of, serving_core
from bench.requests import request
from gateway.catalog import load_catalog
from gateway.core import locales
from gateway.core.ids import delivery_id, send_id
from gateway.core.links import TrackedLinks
from gateway.core.render import EmailPart, Template
from gateway.core.request import SendData
from gateway.core.tokens import Tokens
from gateway.core.variables import BRAND_NAMES, Brand, Facts, facts_of
from gateway.core.wire import SENDS, decode

FOLDER = Path(__file__).with_name("templates")
BRAND = Brand("Example Coffee", "https://shop.example", "1 Example Street, 2100 Copenhagen")
LINKS = "https://links.example"
STEP = 50


async def compare(pairs: int, seconds: float) -> Sequence[Comparison]:
    """R1 and R1 whole."""
    with on_core(serving_core()):
        found = await measured("render", {"pairs": pairs, "seconds": seconds})
    names = {
        "R1": "our subject, preheader, HTML, links",
        "R1 whole": "our whole mail with its plain twin",
    }
    return [
        Comparison(
            name,
            ours,
            "plain minijinja, HTML only",
            [Pair(rate_of(one[name]), rate_of(one["plain"])) for one in found["rounds"]],
        )
        for name, ours in names.items()
    ]


async def measure(arguments: dict[str, Any]) -> Any:
    """In the child: rounds of rates, in turn."""
    template, facts = _template(), _facts()
    tokens = Tokens(["bench-only-signing-secret"], LINKS)
    links = TrackedLinks(tokens, delivery_id(send_id("/bench", "1"), 0))
    short = _without_twin(template)
    works: dict[str, Callable[[], object]] = {
        "R1": lambda: short.render("email", facts, links),
        "R1 whole": lambda: template.render("email", facts, links),
        "plain": _plain(facts),
    }
    rounds = [
        {name: asdict(_rate(work, arguments["seconds"])) for name, work in works.items()}
        for _ in range(arguments["pairs"] + 1)
    ]
    return {"rounds": rounds[1:]}


def _template() -> Template:
    template = load_catalog(FOLDER, BRAND).get("comeback")
    assert template is not None
    return template


def _facts() -> Facts:
    event = decode(request("r", 1)[1], (), SENDS, zones=frozenset({"Europe/Copenhagen"}))
    assert isinstance(event.data, SendData)
    return facts_of(event.data)


def _without_twin(template: Template) -> Template:
    part = template.parts["email"]["en"]
    assert isinstance(part, EmailPart)
    return replace(template, parts={"email": {"en": replace(part, text=part.preheader)}})


def _plain(facts: Facts) -> Callable[[], str]:
    source = (FOLDER / "comeback/en/email.html").read_text(encoding="utf-8")
    environment = minijinja.Environment(
        filters={
            "money": lambda value: locales.money(value["amount"], value["currency"], locale="en"),
            "date": lambda value: locales.day(str(value), "long", locale="en"),
        },
    )
    environment.add_template("mail.html", source.split("---\n", 2)[2])
    context = {
        "recipient": facts.recipient,
        "variables": facts.variables,
        "churn": facts.churn,
        "brand": {name: getattr(BRAND, name) for name in BRAND_NAMES},
        "unsubscribe_url": f"{LINKS}/t/u/x",
        "preferences_url": f"{LINKS}/t/u/x",
    }
    return lambda: environment.render_template("mail.html", **context)


def _rate(work: Callable[[], object], seconds: float) -> Rate:
    watch, count = Stopwatch(), 0
    watch.start()
    while True:
        for _ in range(STEP):
            work()
        count += STEP
        rate = watch.stop(count)
        if rate.seconds >= seconds:
            return rate
