from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.messages import AT, EMAIL, SMS, email, now
from support.smtp_relay import Act, Relay

from channels.contract import (
    Accepted,
    Deferred,
    Kind,
    Misconfigured,
    Outcome,
    Refused,
    Scope,
    Throttled,
    Uncertain,
    Withheld,
)
from channels.registry import REGISTRY
from channels.smtp import SmtpChannel, SmtpOptions, outcome_of_fault
from channels.smtp_answers import Reply, Stage, outcome_of

TIMEOUT_S = 0.3
FEATURES = pytest.mark.parametrize("features", [("PIPELINING",), ("8BITMIME",)], ids=str)


def options(relay: Relay, **changes: Any) -> SmtpOptions:
    """The relay under test."""
    given = SmtpOptions("127.0.0.1", relay.port, "", "", tls=False, from_address="hi@shop.example")
    return replace(given, **{"from_name": "Shop", **changes})


@asynccontextmanager
async def channel(relay: Relay, **changes: Any) -> AsyncIterator[SmtpChannel]:
    """A channel to the relay, closed afterwards."""
    made = SmtpChannel(options(relay, **changes), now=now)
    yield made
    await made.aclose()


async def sent_to(relay: Relay, **changes: Any) -> Outcome:
    """The outcome of one mail."""
    async with channel(relay, **changes) as made:
        return await made.send(EMAIL)


# --- the way a mail goes --------------------------------------------------------------------


def test_it_is_in_the_registry() -> None:
    """Under the name that events carry."""
    given = SmtpOptions("127.0.0.1", 25, "", "", tls=False, from_address="hi@shop.example")
    made = REGISTRY.build(Kind.EMAIL, "smtp", options=given, transport=None, now=now)  # type: ignore[arg-type]
    assert (made.name, made.kind) == ("smtp", Kind.EMAIL)


@FEATURES
async def test_a_mail_goes_out_whole(features: tuple[str, ...]) -> None:
    """One transaction, with the relay's own name for it as the provider's id."""
    async with Relay(features=features) as relay:
        assert await sent_to(relay) == Accepted("4TfQ2z")
    assert relay.commands == [
        "EHLO shop.example",
        "MAIL FROM:<hi@shop.example>",
        "RCPT TO:<ana@example.com>",
        "DATA",
        "QUIT",
    ]
    mail = message_from_bytes(relay.mails[0])
    assert mail["Subject"] == "We miss you"
    assert mail["List-Unsubscribe"] == "<https://gw.example.com/t/u/token>"
    assert mail["Message-ID"] == "<de-1@shop.example>"


async def test_a_pipelining_relay_gets_the_envelope_in_one_go() -> None:
    """It does not answer MAIL, and has RCPT and DATA all the same."""
    async with Relay({"MAIL": Act.HANG}) as hung:
        assert isinstance(await sent_to(hung, timeout_s=TIMEOUT_S), Deferred)
    seen: list[bytes] = []

    async def caller(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        await reader.readline()
        writer.write(b"250-x\r\n250 PIPELINING\r\n")
        seen.append(await reader.readuntil(b"DATA\r\n"))
        writer.close()

    server = await asyncio.start_server(caller, "127.0.0.1", 0)
    relay = Relay()
    relay.port = server.sockets[0].getsockname()[1]
    assert isinstance(await sent_to(relay), Deferred)
    server.close()
    await server.wait_closed()
    assert seen[0].count(b"\r\n") == 3


async def test_without_a_name_of_the_relays_the_mail_has_ours() -> None:
    """Its Message-ID, which the relay's log has too."""
    async with Relay({".": "250 fine"}) as relay:
        assert await sent_to(relay, message_domain="mail.shop.example") == Accepted(
            "de-1@mail.shop.example"
        )
    assert relay.commands[0] == "EHLO mail.shop.example"


async def test_the_size_is_told_where_it_is_asked_for() -> None:
    """So that a relay can refuse before the content travels."""
    async with Relay() as relay:
        await sent_to(relay)
    size = int(relay.commands[1].partition("SIZE=")[2])
    assert size == len(relay.mails[0]) - len(b".\r\n")


async def test_dots_at_the_start_of_lines_survive() -> None:
    """A lone dot in a text does not end the mail."""
    text = ".\n..\n.a\nb\n.\nrest"
    async with Relay() as relay, channel(relay) as made:
        assert isinstance(await made.send(email(text=text, html="")), Accepted)
    arrived = relay.mails[0].removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")
    payload = message_from_bytes(arrived).get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.replace(b"\r\n", b"\n").rstrip(b"\n").decode() == text


async def test_the_date_is_the_given_time() -> None:
    """No other clock is read."""
    later = AT + timedelta(days=1)
    async with Relay() as relay:
        made = SmtpChannel(options(relay), now=lambda: later)
        await made.send(EMAIL)
        await made.aclose()
    assert message_from_bytes(relay.mails[0])["Date"] == "Tue, 03 Mar 2026 10:00:00 +0000"


# --- may_start ------------------------------------------------------------------------------


@FEATURES
async def test_may_start_no_is_withheld_and_writes_nothing(features: tuple[str, ...]) -> None:
    """Not a byte of the transaction; the connection is kept for the next mail."""
    async with Relay(features=features) as relay, channel(relay) as made:
        assert await made.send(replace(EMAIL, may_start=lambda: False)) == Withheld()
        assert relay.verbs == ["EHLO"]
        assert isinstance(await made.send(EMAIL), Accepted)
        assert relay.connections == 1


@FEATURES
async def test_may_start_is_asked_in_the_step_of_the_first_byte(features: tuple[str, ...]) -> None:
    """A no that comes with the very next step is too late, one that comes before is not."""
    writes: list[str] = []

    async with Relay(features=features) as relay, channel(relay) as made:
        await made.send(EMAIL)
        (session,) = made._pool._kept
        inner = session._transport

        class Ear:
            def __getattr__(self, name: str) -> Any:
                return getattr(inner, name)

            def write(self, data: bytes) -> None:
                writes.append("write")
                inner.write(data)

        def may_start() -> bool:
            asyncio.get_running_loop().call_soon(writes.append, "next step")
            writes.append("asked")
            return True

        session._transport = Ear()  # type: ignore[assignment]
        await made.send(replace(EMAIL, may_start=may_start))
    assert writes[:3] == ["asked", "write", "next step"]


async def test_may_start_is_asked_only_when_the_connection_is_ready() -> None:
    """A relay that is not there is found out without asking."""
    asked: list[int] = []

    def may_start() -> bool:
        asked.append(1)
        return True

    async with Relay({"CONNECT": "421 later"}) as relay, channel(relay) as made:
        assert isinstance(await made.send(replace(EMAIL, may_start=may_start)), Deferred)
    assert asked == []


# --- outcomes, row by row -------------------------------------------------------------------

ROWS: list[tuple[str, str, type[Outcome] | Refused]] = [
    ("CONNECT", "421 too many connections from you", Throttled),
    ("CONNECT", "421 shutting down", Deferred),
    ("CONNECT", "554 no service here", Deferred),
    ("CONNECT", "nonsense", Deferred),
    ("EHLO", "500 what", Accepted),  # then HELO
    ("MAIL", "421 4.7.0 rate limit exceeded", Throttled),
    ("MAIL", "451 4.3.0 later", Deferred),
    ("MAIL", "530 5.7.0 log in first", Misconfigured),
    ("MAIL", "550 5.7.1 sender not allowed", Misconfigured),
    ("MAIL", "552 5.3.4 too large", Refused),
    ("MAIL", "200x", Deferred),
    ("RCPT", "421 4.3.2 closing", Deferred),
    ("RCPT", "450 4.2.0 greylisted", Deferred),
    ("RCPT", "451 local error", Deferred),
    ("RCPT", "452 4.5.3 too many recipients", Deferred),
    ("RCPT", "550 no such user", Refused("RCPT 550 no such user", Scope.ADDRESS)),
    ("RCPT", "550 5.1.1 no", Refused("RCPT 550 5.1.1 no", Scope.ADDRESS)),
    ("RCPT", "551 moved", Refused("RCPT 551 moved", Scope.ADDRESS)),
    ("RCPT", "553 bad", Refused("RCPT 553 bad", Scope.ADDRESS)),
    ("RCPT", "550 5.7.1 no", Refused("RCPT 550 5.7.1 no", Scope.MESSAGE)),
    ("RCPT", "550 spam", Refused("RCPT 550 spam", Scope.MESSAGE)),
    ("RCPT", "550 5.2.2 full", Refused("RCPT 550 5.2.2 full", Scope.MESSAGE)),
    ("RCPT", "501 5.1.3 syntax", Refused("RCPT 501 5.1.3 syntax", Scope.ADDRESS)),
    ("RCPT", "552 5.2.2 full", Deferred),
    ("RCPT", "554 5.7.1 Relay access denied", Misconfigured),
    ("RCPT", "530 log in", Misconfigured),
    ("DATA", "451 later", Deferred),
    ("DATA", "554 no", Refused("DATA 554 no", Scope.MESSAGE)),
    ("DATA", "250 what", Deferred),
    (".", "421 closing", Deferred),
    (".", "450 later", Deferred),
    (".", "452 full", Deferred),
    (".", "552 too large", Refused("content 552 too large", Scope.MESSAGE)),
    (".", "554 5.6.0 no", Refused("content 554 5.6.0 no", Scope.MESSAGE)),
    (".", "550 5.1.1 gone", Refused("content 550 5.1.1 gone", Scope.ADDRESS)),
    (".", "535 what", Misconfigured),
    (".", "354 what", Uncertain),
    (".", "nonsense", Uncertain),
    (".", "250x", Uncertain),
]


@FEATURES
@pytest.mark.parametrize(("verb", "said", "expected"), ROWS, ids=str)
async def test_each_reply_has_its_outcome(
    features: tuple[str, ...], verb: str, said: str, expected: type[Outcome] | Refused
) -> None:
    """And the next mail goes out as if nothing had been."""
    says = {verb: (said, "354 go on" if verb == "DATA" else "250 Ok")}
    if verb == "CONNECT":
        says = {verb: (said, "220 hello")}
    async with Relay(says, features=features) as relay, channel(relay) as made:
        outcome = await made.send(EMAIL)
        if isinstance(expected, Refused):
            assert outcome == expected
        else:
            assert isinstance(outcome, expected)
        assert isinstance(await made.send(EMAIL), Accepted)
        assert relay.mails[-1].count(b"Message-ID: <de-1@shop.example>") == 1


@FEATURES
@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("CONNECT", Deferred),
        ("EHLO", Deferred),
        ("MAIL", Deferred),
        ("RCPT", Deferred),
        ("DATA", Deferred),
        (".", Uncertain),
    ],
)
@pytest.mark.parametrize("act", [Act.HANG, Act.CLOSE])
async def test_d6_without_a_reply_only_the_final_dot_leaves_doubt(
    features: tuple[str, ...], verb: str, expected: type[Outcome], act: Act
) -> None:
    """A relay that hangs is cut within the timeout and a second; one mail is written at most."""
    async with Relay({verb: act}, features=features) as relay:
        started_s = time.monotonic()
        outcome = await sent_to(relay, timeout_s=TIMEOUT_S)
        took_s = time.monotonic() - started_s
    assert isinstance(outcome, expected)
    assert took_s < TIMEOUT_S + 1
    assert len(relay.mails) == (1 if verb == "." else 0)
    assert relay.connections == 1


async def test_a_relay_that_is_not_there_defers() -> None:
    """Surely not taken."""
    async with Relay() as relay:
        pass
    assert isinstance(await sent_to(relay), Deferred)


async def test_a_refusal_is_not_forgotten_when_the_relay_then_goes() -> None:
    """The first refusal counts, whatever follows it."""
    async with Relay({"RCPT": "550 5.1.1 no", "DATA": Act.CLOSE}) as relay:
        assert await sent_to(relay) == Refused("RCPT 550 5.1.1 no", Scope.ADDRESS)
    async with Relay({"RCPT": "550 5.1.1 no", "DATA": Act.HANG}) as relay:
        outcome = await sent_to(relay, timeout_s=TIMEOUT_S)
    assert outcome == Refused("RCPT 550 5.1.1 no", Scope.ADDRESS)


async def test_no_content_follows_a_refused_envelope() -> None:
    """Also to a relay that says go on after it refused the recipient: no empty mail is made."""
    async with Relay({"RCPT": ("550 5.1.1 no", "250 Ok")}) as relay, channel(relay) as made:
        assert isinstance(await made.send(EMAIL), Refused)
        assert isinstance(await made.send(EMAIL), Accepted)
        assert (relay.connections, len(relay.mails)) == (2, 1)


async def test_after_a_refusal_the_connection_is_wiped_and_kept() -> None:
    """The same connection, with RSET before the next mail."""
    says = {"RCPT": ("550 5.1.1 no", "250 Ok"), "DATA": ("554 no recipients", "354 go on")}
    async with Relay(says) as relay, channel(relay) as made:
        assert isinstance(await made.send(EMAIL), Refused)
        assert isinstance(await made.send(EMAIL), Accepted)
        assert isinstance(await made.send(EMAIL), Accepted)
        assert relay.connections == 1
    assert relay.verbs == [
        "EHLO",
        *("MAIL", "RCPT", "DATA"),
        *("RSET", "MAIL", "RCPT", "DATA"),
        *("MAIL", "RCPT", "DATA"),
        "QUIT",
    ]


async def test_c2_reasons_hold_no_address() -> None:
    """What the relay says about people stays with the relay."""
    async with Relay({"RCPT": "550 5.1.1 <ana@example.com>: call +15551234567"}) as relay:
        outcome = await sent_to(relay)
    assert isinstance(outcome, Refused)
    assert outcome.reason == "RCPT 550 5.1.1 <address> call <number>"


@pytest.mark.parametrize("stage", list(Stage))
def test_every_code_at_every_stage_is_an_outcome(stage: Stage) -> None:
    """Only after the content may a reply leave doubt; only an address's refusal blames it."""
    for code in (-1, *range(200, 560)):
        for text in ("", "5.1.1 no", "5.7.1 no", "too many", "x" * 2000):
            outcome = outcome_of(stage, Reply(code, text))
            assert not isinstance(outcome, Accepted | Withheld)
            assert not isinstance(outcome, Uncertain) or stage is Stage.CONTENT
            if isinstance(outcome, Refused) and outcome.scope is Scope.ADDRESS:
                assert stage in {Stage.RCPT, Stage.CONTENT} or "5.1." in text


# --- what must not go out -------------------------------------------------------------------


async def test_s1_injection_is_refused_before_anything_is_opened() -> None:
    """Address, name, subject, headers, ids: the relay does not hear of it."""
    bad = [
        replace(EMAIL, to="ana@x.y>\r\nRCPT TO:<eve@x.y"),
        replace(EMAIL, to="ana@x.y, eve@x.y"),
        replace(EMAIL, to_name="Ana\r\nBcc: eve@x.y"),
        replace(EMAIL, attempt_id="a\r\nBcc: eve@x.y"),
        replace(EMAIL, delivery_id="a>\r\nBcc: eve@x.y"),
        email(subject="x\r\nBcc: eve@x.y"),
        email(headers={"Bcc": "eve@x.y"}),
        email(headers={"List-Id": "x\nBcc: eve@x.y"}),
    ]
    async with Relay() as relay, channel(relay) as made:
        for message in bad:
            outcome = await made.send(message)
            assert isinstance(outcome, Refused)
            assert "eve" not in outcome.reason
        assert relay.connections == 0


async def test_only_mail_is_taken() -> None:
    """Another content is a bug of the caller."""
    async with Relay() as relay, channel(relay) as made:
        with pytest.raises(TypeError):
            await made.send(SMS)


@pytest.mark.parametrize(
    "changes",
    [
        {"from_address": "nobody"},
        {"from_address": "a@b.c\r\n"},
        {"from_name": "a\nb"},
        {"message_domain": "a b"},
        {"connections_max": 0},
        {"host": "x" * 70 + ".example"},
    ],
    ids=str,
)
def test_options_that_will_not_do_are_refused(changes: dict[str, Any]) -> None:
    """At the start, not with the first mail."""
    with pytest.raises(ValueError, match=r"."):
        SmtpChannel(options(Relay(), **changes), now=now)


def test_the_password_is_not_shown() -> None:
    """Not in a traceback either."""
    assert "secret" not in repr(options(Relay(), password="secret"))


# --- connections ----------------------------------------------------------------------------


async def test_connections_are_kept_and_few() -> None:
    """40 mails at once over 4 connections, and a goodbye on each."""
    async with Relay() as relay:
        async with channel(relay, connections_max=4) as made:
            outcomes = await asyncio.gather(*(made.send(EMAIL) for _ in range(40)))
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert relay.connections <= 4
        assert relay.verbs.count("QUIT") == relay.connections
    assert len(relay.mails) == 40


async def test_waiting_for_a_connection_ends_with_the_timeout() -> None:
    """The wait is inside the deadline, and nothing was written."""
    few = {"connections_max": 1, "timeout_s": TIMEOUT_S}
    async with Relay({"MAIL": Act.HANG}) as relay, channel(relay, **few) as made:
        started_s = time.monotonic()
        outcomes = await asyncio.gather(*(made.send(EMAIL) for _ in range(5)))
        took_s = time.monotonic() - started_s
    assert all(isinstance(outcome, Deferred) for outcome in outcomes)
    assert took_s < TIMEOUT_S + 1


async def test_a_connection_that_the_relay_closed_is_not_used_again() -> None:
    """Idle connections end; the next mail gets a new one."""
    async with Relay() as relay, channel(relay) as made:
        await made.send(EMAIL)
        relay.disconnect()
        (session,) = made._pool._kept
        await session.closed(1)
        assert isinstance(await made.send(EMAIL), Accepted)
        assert relay.connections == 2


async def test_a_connection_that_failed_makes_room_for_the_next() -> None:
    """No number of failures uses the pool up."""
    says = {"CONNECT": ("421 later", "421 later", "421 later", "220 hello")}
    few = {"connections_max": 1, "timeout_s": 2.0}
    async with Relay(says) as relay, channel(relay, **few) as made:
        outcomes = [await made.send(EMAIL) for _ in range(4)]
    assert [type(one) for one in outcomes] == [Deferred, Deferred, Deferred, Accepted]


async def test_an_old_connection_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay may have forgotten it without a word."""
    monkeypatch.setattr("channels.smtp.IDLE_S_MAX", -1.0)
    async with Relay() as relay, channel(relay) as made:
        await made.send(EMAIL)
        assert isinstance(await made.send(EMAIL), Accepted)
        assert relay.connections == 2


async def test_a_connection_carries_a_bounded_number_of_mails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Relays close after about a hundred: better we do, between two mails."""
    monkeypatch.setattr("channels.smtp.TRANSACTIONS_MAX", 2)
    async with Relay() as relay, channel(relay) as made:
        for _ in range(5):
            assert isinstance(await made.send(EMAIL), Accepted)
        assert relay.connections == 3


async def test_a_reply_that_nobody_asked_for_ends_the_connection() -> None:
    """It would be taken for the answer to the next command."""
    async with Relay({".": ("250 Ok\r\n250 Again", "250 Ok")}) as relay, channel(relay) as made:
        assert isinstance(await made.send(EMAIL), Accepted)
        assert isinstance(await made.send(EMAIL), Accepted)
        assert relay.connections == 2


async def test_an_endless_reply_is_cut() -> None:
    """Memory is bounded, whatever a relay says."""
    for endless in ("250-" + "x" * 100_000, "\r\n".join(["250-more"] * 20_000)):
        async with Relay({"MAIL": endless}) as relay:
            assert isinstance(await sent_to(relay), Deferred)


async def test_a_cancelled_send_does_not_leave_its_connection_to_others() -> None:
    """Half a transaction is never continued by the next mail."""
    says = {".": (Act.HANG, "250 Ok")}
    async with Relay(says) as relay, channel(relay, connections_max=1) as made:
        sending = asyncio.create_task(made.send(EMAIL))
        await relay.arrived.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert isinstance(await made.send(EMAIL), Accepted)
        assert relay.connections == 2


# --- login and TLS --------------------------------------------------------------------------


async def test_the_login_is_made_once_per_connection() -> None:
    """With the password of the options, before the first mail."""
    login = {"username": "shop", "password": "secret"}
    relay = Relay({"AUTH": "235 2.7.0 welcome"}, features=("PIPELINING", "AUTH PLAIN"))
    async with relay, channel(relay, **login) as made:
        assert isinstance(await made.send(EMAIL), Accepted)
        assert isinstance(await made.send(EMAIL), Accepted)
    plain = b64encode(b"\0shop\0secret").decode()
    assert [line for line in relay.commands if line.startswith("AUTH")] == [f"AUTH PLAIN {plain}"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("535 5.7.8 no", Misconfigured),
        ("530 no", Misconfigured),
        ("534 no", Misconfigured),
        ("454 4.7.0 later", Deferred),
    ],
)
async def test_a_login_that_fails_is_ours_to_mend(said: str, expected: type[Outcome]) -> None:
    """A wrong password is told to a human; a login service that is down is waited for."""
    async with Relay({"AUTH": said}, features=("AUTH PLAIN",)) as relay:
        outcome = await sent_to(relay, username="shop", password="secret")
    assert isinstance(outcome, expected)
    assert "secret" not in repr(outcome)
    assert "MAIL" not in relay.verbs


async def test_a_relay_without_login_is_ours_to_mend() -> None:
    """A password for a relay that takes none."""
    async with Relay() as relay:
        outcome = await sent_to(relay, username="shop", password="secret")
    assert isinstance(outcome, Misconfigured)


def test_every_fault_of_the_library_is_an_outcome() -> None:
    """A new class in aiosmtplib fails here until somebody has thought about it."""
    made: dict[str, Callable[[], aiosmtplib.SMTPException]] = {
        "SMTPException": lambda: aiosmtplib.SMTPException("x"),
        "SMTPAuthenticationError": lambda: aiosmtplib.SMTPAuthenticationError(535, "x"),
        "SMTPConnectError": lambda: aiosmtplib.SMTPConnectError("x"),
        "SMTPConnectResponseError": lambda: aiosmtplib.SMTPConnectResponseError(421, "x"),
        "SMTPConnectTimeoutError": lambda: aiosmtplib.SMTPConnectTimeoutError("x"),
        "SMTPDataError": lambda: aiosmtplib.SMTPDataError(550, "x"),
        "SMTPHeloError": lambda: aiosmtplib.SMTPHeloError(550, "x"),
        "SMTPNotSupported": lambda: aiosmtplib.SMTPNotSupported("x"),
        "SMTPReadTimeoutError": lambda: aiosmtplib.SMTPReadTimeoutError("x"),
        "SMTPRecipientRefused": lambda: aiosmtplib.SMTPRecipientRefused(550, "x", "a@b.c"),
        "SMTPRecipientsRefused": lambda: aiosmtplib.SMTPRecipientsRefused([]),
        "SMTPResponseException": lambda: aiosmtplib.SMTPResponseException(-1, "x"),
        "SMTPSenderRefused": lambda: aiosmtplib.SMTPSenderRefused(550, "x", "a@b.c"),
        "SMTPServerDisconnected": lambda: aiosmtplib.SMTPServerDisconnected("x"),
        "SMTPTimeoutError": lambda: aiosmtplib.SMTPTimeoutError("x"),
    }
    assert set(made) == set(aiosmtplib.errors.__all__)
    misconfigured = {
        "SMTPException",
        "SMTPAuthenticationError",
        "SMTPNotSupported",
        "SMTPRecipientsRefused",
    }
    for name, make in made.items():
        expected = Misconfigured if name in misconfigured else Deferred
        assert isinstance(outcome_of_fault(make()), expected), name


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that vouches for itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(AT - timedelta(days=3650))
        .not_valid_after(AT + timedelta(days=3650))
        .add_extension(here, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "relay.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return file


@pytest.fixture
def serving(certificate: Path) -> ssl.SSLContext:
    """What a relay does TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("tls", [True, False], ids=["implicit", "starttls"])
async def test_tls_is_used_and_kept(
    certificate: Path, serving: ssl.SSLContext, *, tls: bool
) -> None:
    """From the first byte, or by STARTTLS where it is offered; then as many mails as one likes."""
    trusting = ssl.create_default_context(cafile=str(certificate))
    features = ("PIPELINING",) if tls else ("PIPELINING", "STARTTLS")
    says = {"STARTTLS": "220 go"}
    async with Relay(says, features=features, context=serving, tls=tls) as relay:
        async with channel(relay, tls=tls, tls_context=trusting) as made:
            for _ in range(3):
                assert isinstance(await made.send(email(text="x" * 200_000)), Accepted)
        assert relay.connections == 1
    assert relay.verbs.count("STARTTLS") == (0 if tls else 1)
    assert relay.verbs.count("EHLO") == (1 if tls else 2)
    assert relay.verbs[-1] == "QUIT"


@pytest.mark.parametrize("tls", [True, False], ids=["implicit", "starttls"])
async def test_a_relay_that_nobody_vouches_for_gets_nothing(
    serving: ssl.SSLContext, *, tls: bool
) -> None:
    """No password, no mail."""
    features = ("AUTH PLAIN",) if tls else ("AUTH PLAIN", "STARTTLS")
    says = {"STARTTLS": "220 go"}
    async with Relay(says, features=features, context=serving, tls=tls) as relay:
        outcome = await sent_to(relay, tls=tls, username="shop", password="secret")
    assert isinstance(outcome, Deferred)
    assert "certificate" in outcome.reason.lower()
    assert not {"AUTH", "MAIL"} & set(relay.verbs)


async def test_a_password_is_not_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only to this machine; elsewhere a relay without TLS is a fault to mend."""
    monkeypatch.setattr("channels.smtp._is_here", lambda _: False)
    async with Relay(features=("AUTH PLAIN",)) as relay:
        outcome = await sent_to(relay, username="shop", password="secret")
    assert outcome == Misconfigured("login: the relay offers no TLS, and a password needs it")
    assert "AUTH" not in relay.verbs
