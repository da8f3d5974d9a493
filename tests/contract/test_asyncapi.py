"""The Kafka side of the contract: the document, real records, and an SDK that nobody here wrote."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import jsonschema
import msgspec
import pytest
import pytest_asyncio
from cloudevents.core.bindings import kafka as sdk
from cloudevents.core.v1.event import CloudEvent
from support import schemas
from support.events import ZONES, send_data
from support.reader import In
from support.schemas import document
from support.source import modules
from support.stage import DATA, Stage, new_topics, request, stage, structured
from support.stand_ins import StandIns
from support.topics import unique
from support.waiting import until

from channels.registry import REGISTRY
from gateway.bus.embedded import EmbeddedBroker
from gateway.config import variables
from gateway.core import wire
from gateway.core.engagement import EventType
from gateway.core.wire_shape import READINGS, SEND_REQUESTED

READ = {
    "sends": wire.SENDS,
    "presence": wire.PRESENCE,
    "conversions": wire.CONVERSIONS,
    "consent": wire.CONSENT,
}
KAFKA_TOPIC = re.compile(r"WINBACK_KAFKA__\w+_TOPIC")
BOTH_MODES = (sdk.to_structured_event, sdk.to_binary_event)
MESSAGES: Mapping[str, Any] = document("asyncapi")["components"]["messages"]


# --- the document -----------------------------------------------------------------------------


def test_the_document_is_asyncapi() -> None:
    """The document is valid by the schema that AsyncAPI publishes for 3.0.0."""
    schema = json.loads((DATA / "specs/asyncapi_3_0_0.json").read_text())
    jsonschema.Draft7Validator(schema).validate(document("asyncapi"))


def test_the_topics_are_those_of_the_settings() -> None:
    """Six topics, under their default names."""
    addresses = {channel["address"] for channel in document("asyncapi")["channels"].values()}
    defaults = {one.row.default for one in variables() if KAFKA_TOPIC.fullmatch(one.name)}
    assert addresses == defaults
    assert len(addresses) == 6


@pytest.mark.parametrize("topic", READ)
def test_a_topic_carries_what_the_wire_accepts_on_it(topic: str) -> None:
    """The types of a topic are there in both content modes, and each example decodes there."""
    found = [MESSAGES[name] for name in document("asyncapi")["channels"][topic]["messages"]]
    assert {one["name"] for one in found} == READ[topic]
    assert len(found) == 2 * len(READ[topic])
    for message in found:
        (example,) = message["examples"]
        named = example.get("headers", {"content-type": message["contentType"]})
        headers = [(name, str(value).encode()) for name, value in named.items()]
        value = msgspec.json.encode(example["payload"])
        assert wire.decode(value, headers, READ[topic], zones=ZONES).type == message["name"]
        assert not schemas.faults(example["payload"], message["payload"], "asyncapi")
        assert not schemas.faults(named, message["headers"], "asyncapi")


def test_every_output_type_has_a_message_and_its_example_fits() -> None:
    """All types of the engagement topic are there; each fits its own schema and no other's."""
    told = {MESSAGES[name]["name"]: MESSAGES[name] for name in _names("engagement")}
    assert set(told) == {kind.value for kind in EventType}
    for kind, message in told.items():
        payload = message["examples"][0]["payload"]
        assert payload["type"] == kind
        assert not schemas.faults(payload, message["payload"], "asyncapi")
        other = next(one for name, one in told.items() if name != kind)
        assert schemas.faults(payload, other["payload"], "asyncapi")


def _names(channel: str) -> list[str]:
    return list(document("asyncapi")["channels"][channel]["messages"])


def test_a_reason_that_is_none_is_refused_by_the_schema() -> None:
    """Reasons of an end without a message are words of the contract."""
    message = MESSAGES["SendSuppressed"]
    payload = message["examples"][0]["payload"]
    wrong = {**payload, "data": {**payload["data"], "reason": "rain"}}
    assert schemas.faults(wrong, message["payload"], "asyncapi")


def test_dead_letters_have_the_reasons_that_the_code_gives() -> None:
    """Each reason that the code refuses a record with is documented, and each documented used."""
    documented = set(MESSAGES["DeadLetter"]["headers"]["properties"]["dlq-reason"]["enum"])
    words = {
        node.value
        for module in modules()
        if module.path.startswith(("gateway/core/", "gateway/flows/", "gateway/store/"))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert documented <= words
    assert _refusals() <= documented


def _refusals() -> set[str]:
    """The first argument of each `RefusedError(…)` that is written out."""
    return {
        node.args[0].value
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "RefusedError"
        and isinstance(node.args[0], ast.Constant)
    }


def test_every_provider_is_documented() -> None:
    """A provider that can take a message is a word of the schema."""
    allowed = document("asyncapi")["components"]["schemas"]["FactData"]["properties"]["provider"]
    assert {provider.name for provider in REGISTRY} <= set(allowed["enum"])


# --- an SDK that nobody here wrote --------------------------------------------------------------


@pytest.mark.parametrize("kind", READINGS)
@pytest.mark.parametrize("written", BOTH_MODES)
def test_an_event_of_the_sdk_is_taken(kind: str, written: Any) -> None:
    """What the CloudEvents SDK writes for Kafka decodes, in both modes, to the same request."""
    (example,) = schemas.schema_files()[f"{kind}.json"]["examples"]
    message = written(CloudEvent({"type": kind, "source": "/sdk", "id": "e-1"}, example["data"]))
    event = _decoded(message, kind)
    assert (event.type, event.source, event.id) == (kind, "/sdk", "e-1")
    assert event.data == msgspec.convert(example["data"], READINGS[kind].struct)


def test_both_modes_of_the_sdk_are_one_identity() -> None:
    """The same event in the other mode is a duplicate and no conflict."""
    event = CloudEvent({"type": SEND_REQUESTED, "source": "/sdk", "id": "e-1"}, send_data())
    first, second = (_decoded(written(event), SEND_REQUESTED).digest for written in BOTH_MODES)
    assert first == second


def _decoded(message: sdk.KafkaMessage, kind: str) -> Any:
    headers = list(message.headers.items())
    return wire.decode(message.value, headers, frozenset({kind}), zones=ZONES)


# --- real records -------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def on(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One gateway for all tests here."""
    topics, folder = new_topics(), tmp_path_factory.mktemp("asyncapi")
    with StandIns() as providers:
        async with (
            EmbeddedBroker(topics.sizes()) as bootstrap,
            stage(bootstrap, topics, folder, providers) as running,
        ):
            yield running


@pytest.mark.asyncio(loop_scope="session")
async def test_the_sdk_publishes_and_reads_and_every_record_fits(on: Stage) -> None:
    """Requests by the SDK lead to messages; what is published about them the SDK reads."""
    people = {written.__name__: unique("sdk") for written in BOTH_MODES}
    await on.publish([_by_sdk(written, people[written.__name__]) for written in BOTH_MODES])
    no_route = request(unique("r"), unique("sdk"))
    await on.publish([structured(no_route)])
    for person in people.values():
        await on.out.see("message.sent", recipient_id=person)
    await on.out.see("send.suppressed", recipient_id=no_route["data"]["recipient"]["id"])
    by_type = {message["name"]: message["payload"] for message in MESSAGES.values()}
    for record in on.out.records:
        _fits(record, by_type)


def _by_sdk(written: Any, person: str) -> In:
    whole = request(unique("r"), person, "email", recipient={"email": f"{person}@mbox7.example"})
    names = ("type", "source", "id")
    event = CloudEvent({name: whole[name] for name in names}, whole["data"])
    message = written(event, key_mapper=lambda one: one.get_data()["recipient"]["id"])
    return In(message.value, message.key.encode(), list(message.headers.items()))


def _fits(record: Any, by_type: Mapping[str, Any]) -> None:
    message = sdk.KafkaMessage(dict(record.headers), record.key, record.value)
    event, plain = sdk.from_kafka_event(message), json.loads(record.value)
    assert event.get_id() == plain["id"]
    assert event.get_source() == "/winback-gateway"
    assert event.get_type() in {kind.value for kind in EventType}
    assert event.get_time() is not None
    assert event.get_data() == plain["data"]
    assert record.key.decode() == plain["data"]["recipient_id"]
    assert not schemas.faults(plain, by_type[plain["type"]], "asyncapi")
    closed = {"$ref": "#/components/schemas/Engagement"}
    assert not schemas.faults_closed(plain, closed), "a field is published and not documented"


@pytest.mark.asyncio(loop_scope="session")
async def test_a_real_dead_letter_fits_its_schema(on: Stage) -> None:
    """Value, key and headers are the original's, and the headers beside them as documented."""
    await on.publish([In(b"{", b"key", [("mine", b"1")])])
    await until(lambda: on.dead.records, within_s=15, what="a dead letter")
    (record,) = on.dead.records
    headers = {name: value.decode() for name, value in record.headers}
    assert not schemas.faults(headers, MESSAGES["DeadLetter"]["headers"], "asyncapi")
    assert (record.value, record.key, headers["mine"]) == (b"{", b"key", "1")
    assert (headers["dlq-reason"], headers["dlq-topic"]) == ("not_json", on.topics.sends)
