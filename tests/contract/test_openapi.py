"""The HTTP side of the contract: as printed, as routed, as answered, and under random data."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import pytest_asyncio
from schemathesis.specs.openapi.definitions import OPENAPI_31
from support import schema_random, schemas
from support.events import ZONES
from support.gateway_process import KEY
from support.mails import mail_of, short_links_of
from support.schema_tour import Tour
from support.schemas import DOCS, operations
from support.signers import sign_twilio
from support.source import ROOT
from support.stage import Stage, new_topics, stage
from support.stand_ins import StandIns
from support.topics import unique

from gateway.bus.embedded import EmbeddedBroker
from gateway.core import bodies
from gateway.core.fence_features import read_feature
from gateway.core.wire import decode
from gateway.core.wire_http import decode_consent
from gateway.core.wire_shape import READINGS
from gateway.errors import EventsRefused, RefusedError
from gateway.web.options import WebOptions
from gateway.web.ports import Ports
from gateway.web.server import build

FEW = 5
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", str(FEW)))
"""Random cases for each operation, after those that the schema alone names; F-5 asks for 1,000."""
RUN_S = max(240, EXAMPLES * 6)
STRUCTS = {"Redeem": bodies.Redeem, "Pool": bodies.Pool, "SwitchState": bodies.SwitchState}
CASES_MIN = 50
"""For each operation: what the schema alone names is more."""


# --- as printed -----------------------------------------------------------------------------


def test_the_pages_are_what_the_code_prints(tmp_path: Path) -> None:
    """docs/openapi.yaml, docs/asyncapi.yaml and docs/schemas/ are what `make fmt` would print."""
    subprocess.run(
        [sys.executable, "scripts/contract_pages.py", str(tmp_path)], cwd=ROOT, check=True
    )
    printed = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.*")}
    committed = {path.relative_to(DOCS) for path in (DOCS / "schemas").iterdir()}
    assert {name for name in printed if name.parent.name} == committed
    changed = [str(name) for name, text in printed.items() if (DOCS / name).read_text() != text]
    assert not changed, f"run `make fmt`: {changed}"


def test_the_document_is_openapi() -> None:
    """The document is valid by the schema of OpenAPI 3.1, and no operation id stands twice."""
    jsonschema.Draft202012Validator(OPENAPI_31).validate(schemas.document("openapi"))
    named = [operation["operationId"] for operation in operations().values()]
    assert len(set(named)) == len(named)


def test_every_reference_leads_somewhere() -> None:
    """No document refers to a component that is not there, and none is there for nothing."""
    for name in ("openapi", "asyncapi"):
        whole = schemas.document(name)
        refs = set(re.findall(r"#/components/(\w+)/(\w+)", json.dumps(whole)))
        there = {
            (kind, one)
            for kind, found in whole["components"].items()
            for one in found
            if kind != "securitySchemes"
        }
        assert refs == there, refs ^ there


@pytest.mark.parametrize("name", sorted(schemas.schema_files()))
def test_a_schema_file_is_a_schema_and_its_examples_fit(name: str) -> None:
    """Each file is JSON Schema 2020-12 that its own examples pass and an empty object does not."""
    whole = schemas.schema_files()[name]
    jsonschema.Draft202012Validator.check_schema(whole)
    assert whole["$id"] == f"urn:winback:{name.removesuffix('.json')}"
    for example in whole["examples"]:
        assert not schemas.faults_in_file(example, name)
    assert schemas.faults_in_file({}, name)


@pytest.mark.parametrize("kind", READINGS)
def test_an_example_of_an_event_is_one_that_the_wire_takes(kind: str) -> None:
    """What the schema of an event shows decodes, and without a required field neither passes."""
    name = f"{kind}.json"
    (example,) = schemas.schema_files()[name]["examples"]
    assert decode(msgspec.json.encode(example), (), frozenset({kind}), zones=ZONES).type == kind
    required = [
        info.name for info in msgspec.structs.fields(READINGS[kind].struct) if info.required
    ]
    for field in required:
        less = {**example, "data": {k: v for k, v in example["data"].items() if k != field}}
        assert schemas.faults_in_file(less, name)
        with pytest.raises(RefusedError):
            decode(msgspec.json.encode(less), (), frozenset({kind}), zones=ZONES)


@pytest.mark.parametrize("name", ["coupon-redeem", "coupon-pool", "switch-state"])
def test_an_example_of_a_body_is_one_that_the_desk_takes(name: str) -> None:
    """What the schema of a body shows is read."""
    (example,) = schemas.schema_files()[f"{name}.json"]["examples"]
    struct = {"coupon-redeem": "Redeem", "coupon-pool": "Pool", "switch-state": "SwitchState"}
    assert bodies.read(STRUCTS[struct[name]], json.dumps(example).encode())


def test_the_examples_of_fence_and_consent_are_taken() -> None:
    """What the other two bodies show is read by what reads them."""
    (fence,) = schemas.schema_files()["fence.json"]["examples"]
    assert read_feature(json.dumps(fence).encode(), zones=ZONES).id == fence["id"]
    (word,) = schemas.schema_files()["consent-change.json"]["examples"]
    assert decode_consent(json.dumps(word).encode(), "ada", zones=ZONES).recipient_id == "ada"


def test_a_body_takes_a_whole_number_however_it_is_written() -> None:
    """100.0 is an integer to JSON Schema, so it is one to the desk; half a code is none."""
    wanted = bodies.read(bodies.Pool, b'{"generate": {"count": 1e2}}')
    assert wanted.generate is not None
    assert wanted.generate.count == 100
    with pytest.raises(EventsRefused) as refused:
        bodies.read(bodies.Pool, b'{"generate": {"count": 1.5}}')
    assert refused.value.faults[0][0] == "$.generate.count"


def test_a_body_with_a_null_character_is_refused() -> None:
    """What no PostgreSQL column takes is named before it gets there."""
    with pytest.raises(EventsRefused) as refused:
        bodies.read(bodies.Redeem, b'{"order_id": "a\\u0000b"}')
    assert refused.value.faults == (("$.order_id", "text with a null character"),)


# --- as routed ------------------------------------------------------------------------------


def test_the_documented_routes_are_those_of_the_router() -> None:
    """Every route is documented, and no other; HEAD goes with GET."""
    nothing: dict[str, Any] = dict.fromkeys(field.name for field in fields(Ports))
    hooks = dict.fromkeys(("sendgrid", "twilio/status", "twilio/inbound"))
    options = WebOptions("https://go.example", "Shop", "https://shop.example", ("key",))
    app = build(Ports(**{**nothing, "webhooks": hooks}), options)
    routed = {
        (route.method, _bare(route.resource.canonical))
        for route in app.router.routes()
        if route.resource is not None
    }
    documented = {(method, _bare(path)) for method, path in operations()}
    heads = {("HEAD", path) for method, path in documented if method == "GET"}
    assert routed == documented | heads


def _bare(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def test_only_what_people_and_probes_ask_for_is_open() -> None:
    """Every operation of the API and of the dashboard asks for a key."""
    is_open = {path for (_, path), one in operations().items() if one.get("security") == []}
    assert {path for _, path in operations() if path.startswith("/v1")}.isdisjoint(is_open)
    assert all(
        path.startswith("/t/") or path in {"/livez", "/readyz", "/startupz", "/metrics", "/"}
        for path in is_open
    )


# --- as answered ----------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def on(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One gateway with the packaged templates, for all tests here."""
    topics, folder = new_topics(), tmp_path_factory.mktemp("openapi")
    with StandIns() as providers:
        async with (
            EmbeddedBroker(topics.sizes()) as bootstrap,
            stage(
                bootstrap, topics, folder, providers, TEMPLATES__PATH=str(ROOT / "templates")
            ) as running,
        ):
            yield running


@pytest.fixture
def tour(on: Stage) -> Tour:
    """A walk that has not begun."""
    return Tour(on)


@pytest.mark.asyncio(loop_scope="session")
async def test_every_documented_operation_answers_as_documented(tour: Tour) -> None:
    """Each operation works, with the documented examples, and says nothing undocumented."""
    await _campaign(tour)
    email = await tour.on.providers.journal.first_to("cleo@shop.example")
    sms = await tour.on.providers.journal.first_to("+4520999123")
    await _links(tour, mail_of(email), short_links_of(sms)[0])
    await _webhooks(tour, email.delivery_id)
    await _support(tour, email.send_id)
    await _coupons(tour, email.send_id)
    await _team(tour, email.send_id)
    await _end(tour)
    assert tour.done == set(operations()), set(operations()) - tour.done


async def _campaign(tour: Tour) -> None:
    for method, path in (
        ("PUT", "/v1/fences/{fence_id}"),
        ("PUT", "/v1/coupon-pools/{pool}"),
        ("PUT", "/v1/switches/{scope}"),
        ("POST", "/v1/presence"),
        ("POST", "/v1/conversions"),
        ("POST", "/v1/sends"),
    ):
        status, _ = await tour.ask(method, path)
        assert status in {200, 202}
    status, again = await tour.json("POST", "/v1/sends")
    assert [one["status"] for one in again["sends"]] == ["duplicate"]
    mail = _request("email", {"email": "cleo@shop.example"}, expires_in="P7D", pool="spring")
    text = _request("sms", {"phone": "+4520999123"})
    assert (await tour.ask("POST", "/v1/sends", body=[mail, text]))[0] == 202
    other = {**mail, "data": {**mail["data"], "campaign": "autumn"}}
    assert (await tour.ask("POST", "/v1/sends", body=other))[0] == 409


def _request(channel: str, address: Mapping[str, str], **offer: str) -> dict[str, Any]:
    example = schemas.example_of(operations()["POST", "/v1/sends"])
    data = {
        **example["data"],
        "recipient": {"id": "cleo", **address},
        "channels": [channel],
        "offer": {"kind": "percent_off", "percent": 10, **offer},
        "purpose": "transactional",
        "test": False,
    }
    del data["variables"], data["fallback"]
    return {**example, "id": unique("tour"), "data": data}


async def _links(tour: Tour, mail: Any, short: str) -> None:
    token = mail.pixel.rpartition("/")[2].removesuffix(".gif")
    assert (await tour.ask("GET", "/t/o/{token}.gif", token=token))[0] == 200
    click = mail.clicks[0].rpartition("/")[2]
    assert (await tour.ask("GET", "/t/c/{token}", token=click))[0] == 302
    assert (await tour.ask("GET", "/t/s/{code}", code=short.rpartition("/")[2]))[0] == 302
    page = mail.one_click.rpartition("/")[2]
    assert (await tour.ask("GET", "/t/u/{token}", token=page))[0] == 200
    one_click = b"List-Unsubscribe=One-Click"
    assert (await tour.ask("POST", "/t/u/{token}", token=page, body=one_click))[0] == 200
    for method in ("GET", "POST"):
        assert (await tour.ask(method, "/t/u/{token}", body=b""))[0] == 404


async def _webhooks(tour: Tour, delivery_id: str) -> None:
    event = {"event": "delivered", "timestamp": int(time.time()), "delivery_id": delivery_id}
    body, headers = tour.on.signer.sign([{**event, "sg_event_id": "e-1"}])
    assert (await tour.ask("POST", "/webhooks/sendgrid", body=body, headers=headers))[0] == 200
    for path, form in (
        ("/webhooks/twilio/status", {"MessageSid": "SM1", "MessageStatus": "delivered"}),
        ("/webhooks/twilio/inbound", {"MessageSid": "SM2", "From": "+4520999123", "Body": "hi"}),
    ):
        body, headers = sign_twilio(f"{tour.on.gateway.url}{path}", form)
        assert (await tour.ask("POST", path, body=body, headers=headers))[0] == 200
        assert (await tour.ask("POST", path, body=b"", headers={"X-Twilio-Signature": "x"}))[
            0
        ] == 403


async def _support(tour: Tour, send_id: str) -> None:
    assert (await tour.ask("PUT", "/v1/recipients/{recipient_id}/consent"))[0] == 204
    path = "/v1/sends/{send_id}"
    story = await tour.until(path, lambda found: found["deliveries"], send_id=send_id)
    assert story["events"], "a story without an event shows nothing of their form"
    status, _ = await tour.ask("GET", path, send_id="nobody")
    assert status == 404
    _, person = await tour.json("GET", "/v1/recipients/{recipient_id}", recipient_id="cleo")
    assert {len(person["sends"]), len(person["coupons"])} == {2, 1}
    _, results = await tour.json("GET", "/v1/campaigns/{campaign}/results")
    assert results["total"]["targeted"] > 0


async def _coupons(tour: Tour, send_id: str) -> None:
    (event,) = await tour.on.out.see("coupon.issued", send_id=send_id)
    path, code = "/v1/coupons/{code}/redeem", event["data"]["coupon_code"]
    assert (await tour.ask("POST", path))[0] == 404
    assert (await tour.ask("POST", path, code=code))[0] == 200
    assert (await tour.ask("POST", path, code=code, body={"order_id": "another"}))[0] == 409
    _, counts = await tour.json("GET", "/v1/coupon-pools/{pool}")
    assert counts["codes"] == {"free": 99, "redeemed": 1}


async def _team(tour: Tour, send_id: str) -> None:
    for path in ("/livez", "/readyz", "/startupz", "/metrics", "/v1/fences", "/v1/switches"):
        assert (await tour.ask("GET", path))[0] == 200
    assert (await tour.ask("POST", "/", body=f"key={KEY}".encode()))[0] == 303
    assert (await tour.ask("POST", "/", body=b"key=wrong"))[0] == 401
    pages = [path for method, path in operations() if method == "GET" and _is_page(path)]
    for path in pages:
        names = {"send_id": send_id} if "{send_id}" in path else {}
        assert (await tour.ask("GET", path, **names))[0] == 200
        assert (await tour.ask("GET", path, headers={"Authorization": ""}, **names))[0] == 401


def _is_page(path: str) -> bool:
    return "dashboard" in operations()["GET", path]["tags"]


async def _end(tour: Tour) -> None:
    assert (await tour.ask("DELETE", "/v1/fences/{fence_id}"))[0] == 204
    assert (await tour.ask("DELETE", "/v1/fences/{fence_id}"))[0] == 404
    path = "/v1/recipients/{recipient_id}"
    assert (await tour.ask("DELETE", path, recipient_id="cleo"))[0] == 204


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    "path",
    [
        "/v1/coupon-pools/a%00b",
        "/v1/recipients/%00",
        "/v1/sends/%00",
        f"/v1/recipients/{'x' * 129}",
    ],
)
async def test_a_name_that_nothing_can_have_is_not_found(on: Stage, path: str) -> None:
    """A null character or too long a name is 404 before the store is asked."""
    status, problem = await on.gateway.api("GET", f"/v1/{path}")
    assert (status, problem["status"]) == (404, 404)


# --- under random data ----------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.timeout(RUN_S + 60)
async def test_f5_no_data_makes_an_answer_that_is_not_documented(on: Stage, tmp_path: Path) -> None:
    """Schemathesis: no 5xx, bad data refused, keys not ignored, every answer as documented."""
    ran = await schema_random.run(
        on.gateway.url, tmp_path, examples=EXAMPLES, is_whole=EXAMPLES > FEW, within_s=RUN_S
    )
    assert ran.code == 0, ran.faults
    assert ran.operations == len(operations())
    assert ran.cases > CASES_MIN * ran.operations, ran.said[-2000:]
    assert "web_fault" not in on.gateway.log
