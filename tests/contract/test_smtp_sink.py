"""Our mails as postfix's own test server receives them: a peer that nobody here wrote."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest
from support.messages import EMAIL, email, now
from support.parts import Parts

from channels.contract import (
    Accepted,
    Deferred,
    EmailContent,
    Message,
    Misconfigured,
    Outcome,
    Refused,
    Uncertain,
)
from channels.smtp import SmtpChannel, SmtpOptions

MAILS = 200
CONNECTIONS = 4
READY_S = 10.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def answers(port: int) -> bool:
    """Whether a server greets."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    greeting = await reader.readline()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return greeting.startswith(b"220")


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for another process."""
    async with asyncio.timeout(READY_S):
        while not await holds():  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(0.02)


@asynccontextmanager
async def sink(program: Path, *arguments: str, port: int = 0) -> AsyncIterator[int]:
    """A running smtp-sink; gives its port."""
    port = port or free_port()
    user = ("-u", getpass.getuser()) if os.geteuid() == 0 else ()
    process = await asyncio.create_subprocess_exec(
        str(program), *user, *arguments, f"127.0.0.1:{port}", "100"
    )
    try:
        await until(lambda: answers(port))
        yield port
    finally:
        # The program is started by a shell that puts itself in its place: the id stays.
        os.kill(process.pid, signal.SIGTERM)
        await process.wait()


@asynccontextmanager
async def channel(port: int, timeout_s: float = 10.0) -> AsyncIterator[SmtpChannel]:
    """A channel to the sink."""
    options = SmtpOptions(
        "127.0.0.1",
        port,
        "",
        "",
        tls=False,
        from_address="hi@shop.example",
        from_name="Shop",
        connections_max=CONNECTIONS,
        timeout_s=timeout_s,
    )
    made = SmtpChannel(options, now=now)
    yield made
    await made.aclose()


def numbered(number: int) -> Message:
    """One of many mails, with everything in it that is hard to write down."""
    headers = {
        "List-Unsubscribe": f"<https://gw.example.com/t/u/{'t' * (number * 3)}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    message = email(
        subject=f"Мы скучаем {number} " + "по вам " * (number % 20),
        text=f"Привет {number}\n.\n..\n" + "x = y \n" * number,
        html=f"<p>{number}</p>" + "<b>=é</b>" * number,
        headers=headers,
    )
    return replace(
        message,
        to=f"person{number}@example.com",
        to_name=f"Person, {number}",
        delivery_id=f"de-{number}",
        attempt_id=f"at-{number}",
    )


def body(mail: EmailMessage, kind: str) -> str:
    """The text of one part."""
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n").removesuffix("\n")


def check(mail: EmailMessage, sent: Message) -> None:
    """What arrived is what was sent."""
    content = sent.content
    assert isinstance(content, EmailContent)
    assert [part.defects for part in mail.walk() if part.defects] == []
    assert mail["X-Mail-Args"].startswith("<hi@shop.example>")
    assert mail.get_all("X-Rcpt-Args") == [f"<{sent.to}>"]
    assert mail["Subject"] == content.subject
    assert mail["To"].addresses[0].display_name == sent.to_name
    assert mail["X-Attempt-ID"] == sent.attempt_id
    for name, value in content.headers.items():
        assert mail[name] == value
    assert body(mail, "plain") == content.text.removesuffix("\n")
    assert body(mail, "html") == content.html


def read_all(folder: Path) -> list[EmailMessage]:
    """The mails that the sink wrote into files."""
    files = (file.read_bytes() for file in folder.iterdir())
    return [
        cast("EmailMessage", message_from_bytes(octets, policy=policy.default)) for octets in files
    ]


async def test_c1_c2_two_hundred_mails_arrive_once_and_whole(parts: Parts, tmp_path: Path) -> None:
    """Over four connections, read back from the files that the sink wrote."""
    sent = {f"<de-{number}@shop.example>": numbered(number) for number in range(MAILS)}
    async with sink(parts.smtp_sink, "-d", f"{tmp_path}/%M.") as port, channel(port) as made:
        outcomes = await asyncio.gather(*(made.send(message) for message in sent.values()))
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    arrived = read_all(tmp_path)
    assert sorted(mail["Message-ID"] for mail in arrived) == sorted(sent)
    for mail in arrived:
        check(mail, sent[mail["Message-ID"]])


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "one by one"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-f", "MAIL"), Misconfigured),
        (("-f", "RCPT"), Refused),
        (("-f", "."), Refused),
        (("-r", "MAIL"), Deferred),
        (("-r", "RCPT"), Deferred),
        (("-r", "DATA"), Deferred),
        (("-r", "."), Deferred),
        (("-B", "550 5.1.1 no such user", "-f", "RCPT"), Refused),
        (("-q", "MAIL"), Deferred),
        (("-q", "RCPT"), Deferred),
        (("-q", "DATA"), Deferred),
        (("-q", "."), Uncertain),
    ],
    ids=str,
)
async def test_faults_of_a_real_peer_have_their_outcomes(
    parts: Parts, arguments: tuple[str, ...], expected: type[Outcome], *, pipelining: bool
) -> None:
    """Several mails in a row, on kept and on new connections."""
    more = () if pipelining else ("-p",)
    async with sink(parts.smtp_sink, *more, *arguments) as port, channel(port) as made:
        outcomes = [await made.send(EMAIL) for _ in range(3)]
    assert [type(outcome) for outcome in outcomes] == [expected] * 3


async def test_d6_a_slow_peer_is_cut(parts: Parts) -> None:
    """It answers each command later than we wait."""
    async with sink(parts.smtp_sink, "-w", "3") as port, channel(port, timeout_s=0.5) as made:
        async with asyncio.timeout(1.5):
            assert isinstance(await made.send(EMAIL), Deferred | Uncertain)


async def test_m_f3_a_peer_that_comes_back_is_used_again(parts: Parts) -> None:
    """While it is away mails wait, and no restart of ours is needed."""
    port = free_port()
    async with channel(port) as made:
        async with sink(parts.smtp_sink, port=port):
            assert isinstance(await made.send(EMAIL), Accepted)
        assert isinstance(await made.send(EMAIL), Deferred)
        async with sink(parts.smtp_sink, port=port):
            assert isinstance(await made.send(EMAIL), Accepted)
