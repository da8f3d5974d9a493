"""What the pages show is true: examples run, lists are whole, links lead somewhere."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.source import ROOT

from channels.contract import EmailContent
from gateway import policies
from gateway.__main__ import cli
from gateway.bus.contract import Record
from gateway.bus.embedded import EMBEDDED, EmbeddedBroker
from gateway.bus.kafka import KafkaOptions, KafkaSource
from gateway.catalog import load_catalog
from gateway.clock import SystemClock
from gateway.config import load
from gateway.core import bodies, offers, wire
from gateway.core.compile import compile_template
from gateway.core.engagement import EventType, FactData
from gateway.core.fence_features import read_feature
from gateway.core.fences import is_open
from gateway.core.gates import Reason
from gateway.core.links import PlainLinks
from gateway.core.meta import TemplateSource
from gateway.core.request import Event, Recipient, SendData
from gateway.core.variables import Brand, facts_of, sample_facts
from gateway.core.wire import SENDS, decode
from gateway.core.wire_http import decode_consent
from gateway.errors import RefusedError, SettingsError
from gateway.flows.desk import SCOPE
from gateway.settings import Kafka, Settings
from gateway.telemetry import Metrics
from gateway.web.api import Api

README = ROOT / "README.md"
PUBLISHING = ROOT / "docs/publishing.md"
TEMPLATES = ROOT / "docs/templates.md"
WINBACK = ROOT / "docs/winback.md"
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if path.name != "configuration.md"
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
ZONES: frozenset[str] = frozenset()
ALL_TYPES = wire.SENDS | wire.PRESENCE | wire.CONVERSIONS | wire.CONSENT
CALL = re.compile(r"curl -X (\w+) http://localhost:8080(/\S+) .*?--data '(.*?)'", re.DOTALL)


def _blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


def _block(path: Path, language: str) -> str:
    """The one fenced block of a language on a page."""
    (found,) = _blocks(path, language)
    return found


def _environment(text: str) -> Mapping[str, str]:
    """An environment file as a shell would read it."""
    pairs = (word.partition("=") for word in shlex.split(text, comments=True))
    return {name: value for name, _, value in pairs}


@pytest.fixture(scope="module")
def settings() -> Settings:
    """The example environment, as `winback run` reads it."""
    return load(_environment(_block(README, "dotenv")), command="run")


# --- the first message --------------------------------------------------------------------------


def test_the_example_environment_starts_all_three_providers(settings: Settings) -> None:
    """Whoever fills in the example has real e-mail, SMS and push."""
    assert settings.email.provider == "sendgrid"
    assert settings.sms.provider == "twilio"
    assert settings.push.providers == ("fcm",)
    assert settings.brand.postal_address.endswith("Denmark")


def test_the_example_environment_has_nothing_to_spare() -> None:
    """Each line without which another provider or the start would fail is there: remove and see."""
    whole = _environment(_block(README, "dotenv"))
    required = [name for name in whole if _fails(whole, without=name)]
    defaults = {
        "WINBACK_STORE__URL",
        "WINBACK_EMAIL__PROVIDER",
        "WINBACK_SMS__PROVIDER",
        "WINBACK_PUSH__PROVIDERS",
    }
    assert set(whole) - set(required) == defaults


def _fails(whole: Mapping[str, str], *, without: str) -> bool:
    rest = {name: value for name, value in whole.items() if name != without}
    try:
        load(rest, command="run")
    except SettingsError:
        return True
    return False


def test_the_example_event_is_taken_by_its_template(settings: Settings) -> None:
    """The event passes the contract, and its template can be rendered on all its channels."""
    data = decode(_block(README, "json").encode(), (), SENDS, zones=ZONES).data
    assert isinstance(data, SendData)
    brand = Brand(settings.brand.name, settings.brand.site_url, settings.brand.postal_address)
    template = load_catalog(None, brand).get(data.template)
    assert template is not None
    assert template.faults(facts_of(data), data.channels or ()) == []
    assert data.channels


async def test_the_example_script_publishes_the_event(tmp_path: Path) -> None:
    """The script is run as it stands, and what arrives on the topic is the event with its key."""
    (tmp_path / "send.json").write_text(_block(README, "json"))
    (tmp_path / "publish.py").write_text(_block(README, "python"))
    async with EmbeddedBroker({"winback.sends": 2}) as bootstrap:
        done = await asyncio.create_subprocess_exec(
            sys.executable, "publish.py", bootstrap, cwd=tmp_path, env={"PATH": os.defpath}
        )
        assert await asyncio.wait_for(done.wait(), 30) == 0
        record = await asyncio.wait_for(_first_record(bootstrap), 30)
    event = decode(record.value, record.headers, SENDS, zones=ZONES)
    assert isinstance(event.data, SendData)
    assert record.key == event.data.recipient.id.encode()


async def _first_record(bootstrap: str) -> Record:
    options = KafkaOptions(bootstrap, topics=("winback.sends",), **EMBEDDED)
    async with KafkaSource(options, SystemClock()) as source:
        async for batch in source.batches():
            return batch.records[0]
    raise AssertionError("the source ended")


def test_the_example_creates_the_topics_that_are_read_and_written() -> None:
    """Whoever runs the example has every topic of the default settings, and no other."""
    (loop,) = [block for block in _blocks(README, "sh") if "kafka-topics" in block]
    (named,) = re.findall(r"for topic in (.*); do", loop)
    (prefix,) = re.findall(r'--topic "(.*)\$topic"', loop)
    fields = [name for name in Kafka.__dataclass_fields__ if name.endswith("_topic")]
    topics = {getattr(load({}, command="preview").kafka, name) for name in fields}
    assert {prefix + name for name in named.split()} == topics
    listed = re.findall(r"^\| `(winback\.[a-z.]+)` \|", README.read_text(), re.MULTILINE)
    assert set(listed) == topics


# --- a programme ----------------------------------------------------------------------------------


def _events() -> list[Event]:
    """The events of the page on programmes, decoded."""
    zones = frozenset({"Europe/Copenhagen"})
    blocks = _blocks(WINBACK, "json")
    return [decode(block.encode(), (), ALL_TYPES, zones=zones) for block in blocks]


def test_every_event_of_the_programme_is_taken(settings: Settings) -> None:
    """Each example passes the contract, and each request's template fills on its channels."""
    brand = Brand(settings.brand.name, settings.brand.site_url, settings.brand.postal_address)
    catalog = load_catalog(None, brand)
    types = {event.type for event in _events()}
    assert types == ALL_TYPES - wire.CONSENT
    for event in _events():
        if isinstance(event.data, SendData):
            template = catalog.get(event.data.template)
            assert template is not None
            channels = event.data.channels or template.channels
            assert template.faults(facts_of(event.data), channels) == []


def test_the_touches_of_the_programme_belong_together() -> None:
    """All touches are of one campaign, person and experiment, so one draw decides all of them."""
    touches = [event.data for event in _events() if isinstance(event.data, SendData)]
    experiments = {(t.experiment.name, t.experiment.holdout) for t in touches if t.experiment}
    assert len(touches) > 1
    assert len(experiments) == 1
    assert len({(t.campaign, t.recipient.id, t.recipient.email) for t in touches}) == 1
    assert all(touch.experiment and (touch.expires_at or touch.geo) for touch in touches)


def test_the_policy_of_the_programme_is_read(tmp_path: Path) -> None:
    """The example file is a policy, and the tables that it leaves out are the packaged ones."""
    (tmp_path / "policy.toml").write_text(_block(WINBACK, "toml"))
    policy, packaged = policies.load_policy(tmp_path / "policy.toml"), policies.load_policy(None)
    assert policy.caps
    assert set(policy.quiet.by_channel) == {"email", "sms", "push"}
    assert (policy.doubt_wait, policy.geo) == (packaged.doubt_wait, packaged.geo)


def test_every_call_of_the_programme_is_a_route_with_a_body_that_is_taken() -> None:
    """The `curl` lines are calls that the gateway answers, with bodies that pass."""
    calls = CALL.findall(WINBACK.read_text())
    assert len(calls) == WINBACK.read_text().count("curl -X")
    for method, path, body in calls:
        _take_body(method, path, body.encode())


def _take_body(method: str, path: str, body: bytes) -> None:
    match method, path.strip("/").split("/")[1:]:
        case "PUT", ["coupon-pools", _]:
            assert bodies.read(bodies.Pool, body).generate
        case "PUT", ["fences", name]:
            fence = read_feature(body, name, zones=frozenset({"Europe/Copenhagen"}))
            assert fence.groups
            assert is_open(fence, datetime(2027, 3, 15, 9, tzinfo=UTC))
        case "PUT", ["switches", scope]:
            assert SCOPE.fullmatch(scope)
            assert bodies.read(bodies.SwitchState, body).state == "stopped"
        case "POST", ["coupons", _, "redeem"]:
            assert bodies.read(bodies.Redeem, body).order_id
        case _:
            pytest.fail(f"{method} {path}: no such call")


def test_the_offers_of_the_programme_are_those_of_the_table() -> None:
    """What the page says of each reason is what the packaged table gives."""
    kinds = {
        reason: {row.kind for row in policies.load_offers().rows if reason in row.reasons}
        for reason in offers.REASONS
    }
    assert kinds["payment"] == {None}
    assert kinds["price"] == kinds["competitor"]
    assert kinds["price"] == {"percent_off", "amount_off", "free_shipping", None}
    assert kinds["service"] == kinds["product"] == {"consultation", "gift", None}
    assert kinds["outgrown"] == {"consultation", None}
    assert kinds["forgot"] == {"free_shipping", None}
    assert kinds["other"] == {"gift", None}
    assert all(row.pool is None for row in policies.load_offers().rows)


# --- commands and links -------------------------------------------------------------------------


def test_every_make_target_that_a_page_names_exists() -> None:
    """`make something` in any page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (path.name, target)
        for path in PAGES
        for target in re.findall(r"(?:^|`)make ([a-z]+)", path.read_text(), re.MULTILINE)
    }
    assert ("README.md", "demo") in named
    assert ("README.md", "test") in named
    assert {target for _, target in named} <= targets


def test_every_command_that_a_page_names_exists() -> None:
    """`winback something` in a page is a command of this version."""
    assert {"run", "demo"} <= set(cli.commands)
    for path in PAGES:
        for command in re.findall(r"(?:`|bin/|\$ )winback ([a-z]+)", path.read_text()):
            assert command in cli.commands, f"{path.name}: winback {command}"


def _anchors(path: Path) -> set[str]:
    """The anchors of a page, as its headings get them."""
    titles = HEADING.findall(path.read_text())
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.strip().replace(" ", "-") for title in plain}


def _links() -> Iterator[tuple[Path, str]]:
    for path in PAGES:
        for target in LINK.findall(re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)):
            # A template's own link, or another site.
            if "{{" not in target and "://" not in target and "…" not in target:
                yield path, target


@pytest.mark.parametrize(("page", "target"), [(p.relative_to(ROOT), t) for p, t in _links()])
def test_every_link_leads_somewhere(page: Path, target: str) -> None:
    """A link of a page is a file of this project, with the heading that it names."""
    file, _, anchor = target.partition("#")
    path = (ROOT / page.parent / file).resolve() if file else ROOT / page
    assert path.exists(), f"{page}: {target}"
    if anchor:
        assert anchor in _anchors(path), f"{page}: {target}"


# --- what the pages list ------------------------------------------------------------------------


def _between(path: Path, start: str, end: str) -> str:
    text = path.read_text()
    return text[text.index(start) : text.index(end, text.index(start) + len(start))]


def test_publishing_lists_every_field_of_a_request() -> None:
    """The tables of `data` and `recipient` name each field of the schema, and no other."""
    listed = _between(PUBLISHING, "### `data`", "Money is")
    data, recipient = listed.split("`recipient`:")
    for table, struct in ((data, SendData), (recipient, Recipient)):
        rows = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
        assert sorted(names) == sorted(struct.__struct_fields__)


def test_publishing_lists_every_field_and_type_of_an_output_event() -> None:
    """A consumer can rely on the page: all fields in order, and each type that is published."""
    section = _between(PUBLISHING, "## What comes back", "## What a no does")
    (fields,) = [line for line in section.splitlines() if line.startswith("`send_id` ")]
    assert re.findall(r"`(\w+)`", fields) == list(FactData.__struct_fields__)
    told = set(re.findall(r"^\| `(winback\.[\w.]+)` \|", section, re.MULTILINE))
    assert told == {kind.value for kind in EventType}


def test_publishing_lists_every_reason_of_a_suppressed_send() -> None:
    """The table of reasons has each one once, and no other."""
    section = _between(PUBLISHING, "| `reason` of `send.suppressed` |", "Where several channels")
    rows = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)[1:]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(reason.value for reason in Reason)


def test_publishing_lists_every_route_of_the_api() -> None:
    """The table of HTTP is what is answered under `/v1`."""
    section = _between(PUBLISHING, "## HTTP", "## Not yet")
    listed = set()
    for row in re.findall(r"^\| (`[A-Z].+?) \|", section, re.MULTILINE):
        listed |= _routes_of(row)
    parts: Any = None  # only the table of routes is asked for
    routes = [*Api(parts, parts, parts, parts, parts).routes()]
    answered = {(one.method, re.sub(r"{\w+}", "{}", one.path)) for one in routes}
    assert listed == answered


def _routes_of(row: str) -> set[tuple[str, str]]:
    """`PUT`, `DELETE /v1/a/{id}`, `/v1/b`: a method alone goes with the next path."""
    methods: list[str] = []
    found: set[tuple[str, str]] = set()
    is_done = False
    for word in re.findall(r"[A-Z]+|/[^\s`,]+", re.sub(r"{\w+}", "{}", row)):
        if word.startswith("/"):
            found |= {(method, word) for method in methods}
            is_done = True
            continue
        methods = [word] if is_done else [*methods, word]
        is_done = False
    return found


def test_publishing_shows_a_dead_letter_as_it_is() -> None:
    """The example of a detail is what the decoder says."""
    event = msgspec.json.decode(_block(README, "json"))
    event["data"]["recipient"]["email"] = "anna"
    with pytest.raises(RefusedError) as refused:
        decode(msgspec.json.encode(event), (), SENDS, zones=ZONES)
    assert f"`{refused.value}`" in PUBLISHING.read_text()


def test_publishing_shows_a_change_of_consent_that_is_taken() -> None:
    """The body for the consent route passes as it stands."""
    data = decode_consent(_block(PUBLISHING, "json").encode(), "r-1001", zones=ZONES)
    assert (data.channel, data.state) == ("all", "revoked")


BRAND = Brand("Example Coffee", "https://shop.example", "1 Example Street, Copenhagen")


def _rendered(texts: Mapping[str, str], locale: str) -> str:
    """The plain twin of a template with these texts, in the packaged frame, for examples."""
    frame = (ROOT / "templates/_layout/email.html").read_text()
    source = TemplateSource("spring", texts, {"email.html": frame})
    template = compile_template(source, BRAND)
    facts = sample_facts(template.variables, BRAND, locale=locale)
    content = template.render("email", facts, PlainLinks()).content
    assert isinstance(content, EmailContent)
    return content.text


def test_the_template_on_the_page_compiles() -> None:
    """The example of `meta.toml` and the example e-mail are one template that works."""
    meta = _block(TEMPLATES, "toml").replace(', "sms", "push"', "")
    text = _rendered({"meta.toml": meta, "en/email.md": _block(TEMPLATES, "markdown")}, "en")
    assert "You have been away since October 1, 2029." in text
    assert "Use it now:\nhttps://shop.example" in text


def test_the_filters_write_what_the_page_says() -> None:
    """Each filter's example is what comes out, in English and Danish."""
    rows = re.findall(
        r"^\| `(?:money|percent)` \| `(.+?)`: `(.+?)`(?: in English)?, `(.+?)`",
        TEMPLATES.read_text(),
        re.MULTILINE,
    )
    assert len(rows) == len(("money", "percent"))
    for expression, english, danish in rows:
        body = "---\nsubject: x\n---\n\n" + expression.replace("\\|", "|")
        texts = {"meta.toml": "", "en/email.md": body, "da/email.md": body}
        assert english in _rendered(texts, "en")
        assert danish in _rendered(texts, "da").replace("\u00a0", " ")


def test_the_runbook_lists_every_metric_and_no_other() -> None:
    """What an operator is told to watch is what `/metrics` has."""
    kept = {metric.name for metric in Metrics().registry.collect()}
    named = re.findall(r"^\| `(winback_\w+)", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    assert {name.removesuffix("_total") for name in named} == kept
    assert len(named) == len(set(named))
