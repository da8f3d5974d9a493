"""The command line as an operator uses it: processes beside a running gateway."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.events import encoded
from support.gateway_process import GatewayProcess
from support.reader import In, publish
from support.stage import DATA, Stage, new_topics, request, stage, structured
from support.stand_ins import Reply, StandIns
from support.topics import unique
from support.waiting import until, until_told

from gateway.bus.embedded import EmbeddedBroker
from gateway.core import ids

pytestmark = pytest.mark.asyncio(loop_scope="session")

WITHIN_S = 60.0
SOURCE = "/campaigns/spring"
OTHER_TOPICS = ("winback.presence", "winback.conversions", "winback.consent")
NAME, TOKEN = "Anna Larsen", "devicetokenanna"


class Office(StandIns):
    """Stand-ins that also answer the doctor's questions."""

    scopes_status = 200
    scopes: tuple[str, ...] = ("mail.send", "user.read")

    def answer(self, path: str, body: bytes) -> Reply:
        if path == "/v3/scopes":
            return Reply(self.scopes_status, json.dumps({"scopes": self.scopes}).encode())
        if path.startswith("/2010-04-01/Accounts/") and not body:
            return Reply(200, b'{"status": "active"}')
        return super().answer(path, body)


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command wrote, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)


async def winback(
    settings: Mapping[str, str], *words: str, folder: Path, stdin: bytes = b""
) -> Ended:
    """Run one command to its end; it writes no traceback and no escape codes, whatever happens."""
    outside = {name: text for name, text in os.environ.items() if "WINBACK_" not in name}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**outside, **settings},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), WITHIN_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    ended = Ended(process.returncode, out.decode(), err.decode())
    assert "Traceback" not in ended.err
    assert "\x1b" not in ended.out
    return ended


@dataclass(frozen=True, slots=True)
class Room:
    """A stage and a way to run commands beside it."""

    on: Stage
    folder: Path
    templates: Path

    @property
    def settings(self) -> Mapping[str, str]:
        """What the gateway was given."""
        return settings_of(self.on.gateway)

    async def winback(self, *words: str, stdin: bytes = b"", **changed: str) -> Ended:
        """Run a command with the gateway's settings, some of them changed."""
        given = {**self.settings, **{f"WINBACK_{name}": text for name, text in changed.items()}}
        return await winback(given, *words, folder=self.folder, stdin=stdin)

    async def refuse(self, whole: dict[str, Any]) -> str:
        """Publish what will be refused; where its dead letter came to stand."""
        count = len(self.on.dead.records)
        await self.on.publish([structured(whole, key=None)])
        await until(lambda: len(self.on.dead.records) > count, within_s=15, what="a dead letter")
        record = self.on.dead.records[-1]
        return f"{record.partition}:{record.offset}"


def settings_of(gateway: GatewayProcess) -> Mapping[str, str]:
    return gateway._settings


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    """The providers."""
    with Office() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def room(tmp_path_factory: pytest.TempPathFactory, office: Office) -> AsyncIterator[Room]:
    """One gateway for all tests here: each has people and campaigns of its own."""
    topics, folder = new_topics(), tmp_path_factory.mktemp("commands")
    templates = folder / "templates"
    shutil.copytree(DATA / "templates", templates)
    sizes = {**topics.sizes(), **dict.fromkeys(OTHER_TOPICS, 1)}
    async with (
        EmbeddedBroker(sizes) as bootstrap,
        stage(bootstrap, topics, folder, office, TEMPLATES__PATH=str(templates)) as on,
    ):
        yield Room(on, folder, templates)


def for_person(**more: Any) -> tuple[dict[str, Any], str]:
    """A request by e-mail for somebody new, and the address."""
    person = unique("person")
    recipient = {"email": f"{person}@mbox7.example", "name": NAME}
    whole = request(unique("r"), person, "email", recipient=recipient, **more)
    return whole, recipient["email"]


# --- send, explain, results -----------------------------------------------------------------


async def test_send_publishes_and_explain_tells_what_became_of_it(room: Room) -> None:
    """Two events, one a line; both become messages, and the story of one says how."""
    first, address = for_person()
    second, other = for_person()
    (room.folder / "two.ndjson").write_bytes(encoded(first) + b"\n" + encoded(second) + b"\n")
    ended = await room.winback("send", "two.ndjson", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.json["published"] == 2
    send_id = ended.json["sends"][0]["send_id"]
    assert send_id == ids.send_id(SOURCE, first["id"])
    assert (await room.on.providers.journal.first_to(address)).send_id == send_id
    await room.on.providers.journal.first_to(other)
    await room.on.out.see("message.sent", send_id=send_id)

    told = await room.winback("explain", send_id)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith(f"send {send_id}: sent\n")
    for text in ("gate consent: passed", "attempt 1 by sendgrid: accepted", "message.sent"):
        assert text in told.out
    assert "mbox7" not in told.out
    story = (await room.winback("explain", send_id, "--json")).json
    assert (story["send_id"], story["state"]) == (send_id, "sent")


async def test_send_reads_standard_input(room: Room) -> None:
    """A dash is standard input; without --json each event is a line with its send id."""
    whole, address = for_person()
    ended = await room.winback("send", "-", stdin=encoded([whole]))
    assert (ended.code, ended.err) == (0, "")
    send_id = ids.send_id(SOURCE, whole["id"])
    assert f"{SOURCE} {whole['id']}: send {send_id}\n" in ended.out
    assert ended.out.endswith(f"Published 1 to {room.on.topics.sends}.\n")
    await room.on.providers.journal.first_to(address)


async def test_send_publishes_nothing_of_a_file_with_a_fault(room: Room) -> None:
    """Every fault is a line with its path; exit code 2, and no record is on the topic."""
    good, address = for_person()
    bad, _ = for_person()
    del bad["data"]["campaign"]
    body = encoded([good, bad, {"id": "x"}])
    ended = await room.winback("send", "-", stdin=body)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines() == [
        "$[1].data.campaign: is required (invalid_field)",
        "$[2].specversion: is required (not_a_cloudevent)",
        "2 events cannot be taken: nothing was published",
    ]
    marker, later = for_person()
    await room.on.publish([structured(marker)])
    await room.on.providers.journal.first_to(later)
    assert not room.on.providers.journal.to(address)


async def test_results_are_a_table_and_a_sentence(room: Room) -> None:
    """What a campaign brought, and that nobody was held out."""
    campaign = unique("campaign")
    for whole, _ in (for_person(campaign=campaign), for_person(campaign=campaign)):
        await room.on.publish([structured(whole)])
    await room.on.out.see("message.sent", 2, campaign=campaign)
    found = await room.winback("results", campaign, "--json")
    assert (found.code, found.json["total"]["sent"]) == (0, 2)
    shown = await room.winback("results", campaign)
    (row,) = [line for line in shown.out.splitlines() if line.startswith("all but")]
    assert row.split()[4:6] == ["2", "2"]
    assert "nobody was held out" in shown.out
    empty = await room.winback("results", "nobody-knows")
    assert (empty.code, "No request of campaign" in empty.out) == (0, True)


# --- switch ---------------------------------------------------------------------------------


async def test_switch_holds_a_campaign_back_and_lets_it_go_on(room: Room) -> None:
    """Set beside the running gateway: nothing goes out until it runs again."""
    whole, address = for_person(campaign=unique("campaign"))
    scope = f"campaign:{whole['data']['campaign']}"
    ended = await room.winback("switch", scope, "stopped", "--reason", "wrong price", "--json")
    assert (ended.code, ended.json["state"]) == (0, "stopped")
    await _told(room, scope, "stopped")
    await room.on.publish([structured(whole)])
    send_id = ids.send_id(SOURCE, whole["id"])
    await _held(room, send_id)
    assert not room.on.providers.journal.to(address)
    ended = await room.winback("switch", scope, "running", "--reason", "mended")
    assert (ended.code, ended.out) == (0, f"{scope} is running.\n")
    assert (await room.on.providers.journal.first_to(address)).send_id == send_id


async def test_switch_with_discard_ends_what_waits(room: Room) -> None:
    """What was held back ends as killed and is never sent."""
    whole, address = for_person(campaign=unique("campaign"))
    scope = f"campaign:{whole['data']['campaign']}"
    await room.winback("switch", scope, "stopped", "--reason", "first")
    await _told(room, scope, "stopped")
    await room.on.publish([structured(whole)])
    await _held(room, ids.send_id(SOURCE, whole["id"]))
    ended = await room.winback("switch", scope, "stopped", "--discard", "--reason", "over")
    assert "1 sends that waited were ended as killed" in ended.out
    (event,) = await room.on.out.see("send.suppressed", request_id=whole["id"])
    assert event["data"]["reason"] == "killed"
    assert not room.on.providers.journal.to(address)


async def _told(room: Room, scope: str, state: str) -> None:
    _, found = await room.on.gateway.api("GET", "/v1/switches")
    assert scope in json.dumps(found)
    assert state in json.dumps(found)


async def _held(room: Room, send_id: str) -> None:
    async def is_held() -> bool:
        status, story = await room.on.gateway.api("GET", f"/v1/sends/{send_id}")
        return status == 200 and story["state"] in ("held", "queued")

    await until_told(is_held, within_s=15, what="the send is held")


# --- dead letters ---------------------------------------------------------------------------


async def test_dlq_shows_letters_masked(room: Room) -> None:
    """Time, reason, detail, source and event; of the person only the shape."""
    whole, address = for_person()
    whole["data"]["channels"] = ["pigeon"]
    whole["data"]["recipient"] |= {
        "phone": "+4520123456",
        "push": [{"platform": "fcm", "token": TOKEN}],
    }
    whole["data"]["variables"] = {"plan": "for Anna only"}
    place = await room.refuse(whole)
    listed = await room.winback("dlq", "list", "--json")
    (found,) = [one for one in listed.json if one["event_id"] == whole["id"]]
    assert f"{found['partition']}:{found['offset']}" == place
    assert (found["reason"], found["topic"]) == ("invalid_field", room.on.topics.sends)
    assert found["detail"].startswith("$.data.channels[0]: ")
    plain = await room.winback("dlq", "list", "--reason", "invalid_field")
    (row,) = [line for line in plain.out.splitlines() if whole["id"] in line]
    assert row.startswith(f"{place}  ")
    shown = await room.winback("dlq", "show", place, "--json")
    assert shown.json["value"]["data"]["campaign"] == "spring"
    assert shown.json["value"]["data"]["recipient"]["email"] == f"<text {len(address)}>"
    for private in (address, "+4520123456", NAME, TOKEN, "for Anna only"):
        assert private not in shown.out + listed.out + plain.out


async def test_dlq_replay_twice_sends_one_message(room: Room) -> None:
    """The letter of a request that can be taken by now goes back twice: one message goes out."""
    whole, address = for_person()
    place = await _mended(room, whole)
    first = await room.winback("dlq", "replay", place, "--json")
    assert (first.code, first.json) == (0, {"published": 1, "left": []})
    await room.on.providers.journal.first_to(address)
    again = await room.winback("dlq", "replay", "--all", "--reason", "unknown_template")
    assert (again.code, again.out) == (0, "Published 2 again.\n")
    await until_told(_is_duplicate(room), within_s=15, what="the second copy is a duplicate")
    assert len(room.on.providers.journal.to(address)) == 1
    assert len(await room.on.out.see("message.sent", request_id=whole["id"])) == 1


async def _mended(room: Room, whole: dict[str, Any]) -> str:
    """A letter as the gateway wrote it, of a request whose template has come since."""
    late = {**whole, "data": {**whole["data"], "template": "late"}, "id": unique("r")}
    await room.refuse(late)
    headers = room.on.dead.records[-1].headers
    record = In(encoded(whole), whole["data"]["recipient"]["id"].encode(), headers)
    (at,) = await publish(room.on.bootstrap, room.on.topics.dlq, [record])
    return f"{at.partition}:{at.offset}"


def _is_duplicate(room: Room) -> Any:
    async def is_duplicate() -> bool:
        return await room.on.gateway.metric("winback_records_total", result="duplicate") == 1

    return is_duplicate


async def test_dlq_knows_nobody_who_was_erased(room: Room) -> None:
    """Letters of an erased person, by id or by address alone, are not listed, shown or replayed."""
    whole, address = for_person()
    person = whole["data"]["recipient"]["id"]
    await room.on.publish([structured(whole)])
    await room.on.providers.journal.first_to(address)
    by_id = request(unique("r"), person, "email", recipient={"email": "x"})
    by_address = request(unique("r"), "", "email", recipient={"email": address.upper()})
    places = [await room.refuse(by_id), await room.refuse(by_address)]
    before = {one["event_id"] for one in (await room.winback("dlq", "list", "--json")).json}
    assert {by_id["id"], by_address["id"]} <= before
    assert (await room.on.gateway.api("DELETE", f"/v1/recipients/{person}"))[0] in (200, 204)
    after = {one["event_id"] for one in (await room.winback("dlq", "list", "--json")).json}
    assert after == before - {by_id["id"], by_address["id"]}
    for place in places:
        shown = await room.winback("dlq", "show", place)
        assert (shown.code, shown.err) == (2, f"PARTITION:OFFSET: no dead letter at {place}\n")
    replayed = await room.winback("dlq", "replay", *places, "--json")
    assert replayed.code == 2
    assert replayed.json["published"] == 0


async def test_dlq_replay_refuses_what_cannot_go_back(room: Room) -> None:
    """A truncated letter, one of a foreign topic, one that is not there: a sentence for each."""
    sends, dlq = room.on.topics.sends.encode(), room.on.topics.dlq
    headers = [("dlq-reason", b"too_large"), ("dlq-topic", sends), ("dlq-truncated", b"true")]
    foreign = [("dlq-reason", b"not_json"), ("dlq-topic", b"payments")]
    (cut, odd) = await publish(
        room.on.bootstrap, dlq, [In(None, b"k", headers), In(b"{", b"k", foreign)]
    )
    places = [f"{cut.partition}:{cut.offset}", f"{odd.partition}:{odd.offset}", "99:7"]
    ended = await room.winback("dlq", "replay", *places)
    assert ended.code == 2
    assert f"{places[0]} was not published: it was too large to be kept" in ended.out
    assert f"{places[1]} was not published: it came from payments" in ended.out
    assert "99:7 was not published: it is no dead letter that is there" in ended.out
    assert ended.out.endswith("Published 0 again.\n")


# --- doctor ---------------------------------------------------------------------------------


async def test_doctor_finds_all_well(room: Room) -> None:
    """Every check is ok: broker, topics, store, templates, providers, webhooks, public URL."""
    ended = await room.winback("doctor")
    assert (ended.code, ended.err) == (0, ""), ended.out
    lines = ended.out.splitlines()
    assert all(line.startswith("ok ") for line in lines)
    for name in ("kafka", "topics", "store", "templates", "policy", "email", "sms", "push"):
        assert any(line.split()[1] == name for line in lines), name
    found = (await room.winback("doctor", "--json")).json
    assert found["healthy"]
    assert len(found["checks"]) == len(lines)


async def test_doctor_says_what_to_do(room: Room, office: Office) -> None:
    """Each thing that is wrong has a line with a remedy; the code tells a setting from the rest."""
    down = await room.winback("doctor", KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert down.code == 70
    (line,) = [line for line in down.out.splitlines() if line.startswith("fault")]
    assert "no broker answers at 127.0.0.1:1" in line
    assert "WINBACK_KAFKA__BOOTSTRAP_SERVERS" in line
    missing = await room.winback("doctor", KAFKA__DLQ_TOPIC="not.made")
    assert missing.code == 70
    assert "topic not.made does not exist" in missing.out
    office.scopes_status = 401
    try:
        refused = await room.winback("doctor")
    finally:
        office.scopes_status = 200
    assert refused.code == 2
    assert "WINBACK_SENDGRID__API_KEY: sendgrid refuses it (401)" in refused.out
    assert "SG.test" not in refused.out


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"TEMPLATES__PATH": "nowhere"}, "WINBACK_TEMPLATES__PATH"),
        ({"POLICY__FILE": "nowhere"}, "WINBACK_POLICY__FILE"),
        ({"STORE__URL": "sqlite:////nowhere/at/all.db"}, "WINBACK_STORE__URL"),
        ({"SENDGRID__WEBHOOK_PUBLIC_KEY": "x"}, "WINBACK_SENDGRID__WEBHOOK_PUBLIC_KEY"),
        ({"FCM__CREDENTIALS_FILE": "nowhere"}, "WINBACK_FCM__CREDENTIALS_FILE"),
        ({"EMAIL__PROVIDER": "smtp", "SMTP__URL": "smtp://127.0.0.1:1"}, "WINBACK_"),
    ],
)
async def test_doctor_names_the_setting_at_fault(
    room: Room, changed: dict[str, str], named: str
) -> None:
    """A fault line names the variable; a setting's fault is 2, a relay that is down 70."""
    ended = await room.winback("doctor", **changed)
    assert ended.code == (70 if "SMTP__URL" in changed and "smtp:" in ended.out else 2), ended.out
    faults = [line for line in ended.out.splitlines() if line.startswith("fault")]
    assert faults
    assert all(named in line for line in faults)


# --- mistakes -------------------------------------------------------------------------------

MISTAKES = [
    (("send", "nowhere.json"), "FILE: nowhere.json: No such file"),
    (("send",), "Missing argument 'FILE'"),
    (("explain", "aaaaaaaaaaaaaaaaaaaaaaaaaa"), "SEND_ID: "),
    (("switch", "fax", "stopped", "--reason", "x"), "SCOPE: "),
    (("switch", "global", "off", "--reason", "x"), "'off' is not one of"),
    (("switch", "global", "stopped"), "Missing option '--reason'"),
    (("switch", "global", "stopped", "--reason", " "), "--reason: "),
    (("switch", "global", "running", "--discard", "--reason", "x"), "--discard: "),
    (("dlq", "show", "x"), "PARTITION:OFFSET"),
    (("dlq", "show", "0:99999"), "PARTITION:OFFSET: "),
    (("dlq", "replay"), "PARTITION:OFFSET: "),
    (("dlq", "replay", "0:1", "--all"), "PARTITION:OFFSET: "),
    (("dlq", "list", "--reason", "bad_mood"), "'bad_mood' is not one of"),
    (("nonsense",), "nonsense"),
]


@pytest.mark.parametrize(("words", "named"), MISTAKES)
async def test_a_mistake_is_one_line_that_names_what_is_wrong(
    room: Room, words: tuple[str, ...], named: str
) -> None:
    """Exit code 2, one line on standard error, nothing on standard output."""
    ended = await room.winback(*words)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert named in line


@pytest.mark.parametrize(
    ("words", "changed", "named"),
    [
        (("explain", "x"), {"STORE__URL": "sqlite:///none.db"}, "WINBACK_STORE__URL"),
        (("results", "x"), {"STORE__URL": "sqlite:///none.db"}, "WINBACK_STORE__URL"),
        (("run",), {"STORE__URL": "sqlite:////nowhere/at/all.db"}, "WINBACK_STORE__URL"),
        (("dlq", "list"), {"KAFKA__BOOTSTRAP_SERVERS": ""}, "WINBACK_KAFKA__BOOTSTRAP_SERVERS"),
        (("doctor",), {"BRAND__NAME": ""}, "WINBACK_BRAND__NAME"),
        (("doctor",), {"BRAND__NAMES": "x"}, "WINBACK_BRAND__NAMES"),
    ],
)
async def test_a_wrong_setting_is_one_line_that_names_it(
    room: Room, words: tuple[str, ...], changed: dict[str, str], named: str
) -> None:
    """Exit code 2; looking at a store that is not there makes none."""
    ended = await room.winback(*words, **changed)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith(named)
    assert not (room.folder / "none.db").exists()


@pytest.mark.parametrize("words", [("dlq", "list"), ("dlq", "replay", "--all"), ("send", "-")])
async def test_a_broker_that_is_away_is_one_line_and_70(room: Room, words: tuple[str, ...]) -> None:
    """No broker is no mistake of whoever typed."""
    whole, _ = for_person()
    ended = await room.winback(*words, stdin=encoded(whole), KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert (ended.code, ended.out) == (70, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("fault: ")
