"""Both transports do the same with everything that a peer can do to them (D6, D7)."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.scripted import Caller, ScriptedServer, always

from channels.http import Answer, MayHaveArrived, NeverLeft, Request, Transport
from channels.http_aiohttp import AiohttpTransport
from channels.http_lean import LeanTransport

Maker = Callable[..., Transport]


@pytest.fixture(params=[LeanTransport, AiohttpTransport], ids=["lean", "aiohttp"])
def make(request: pytest.FixtureRequest) -> Maker:
    """The class under test: it is made inside the running loop."""
    return request.param


@pytest.fixture
async def transport(make: Maker) -> AsyncIterator[Transport]:
    """A transport with its own settings."""
    made = make()
    yield made
    await made.aclose()


def post(server: ScriptedServer, **changes: object) -> Request:
    """A request to the server."""
    request = Request(
        "POST",
        f"{server.url}/v3/mail/send?a=b%20c",
        {"content-type": "text/plain", "x-one": "1"},
        b"hello",
        may_start=lambda: True,
        timeout_s=5.0,
    )
    return replace(request, **changes)


async def test_the_request_arrives_as_it_was_given(transport: Transport) -> None:
    """Method, path with query, headers and body are on the wire, and the answer comes back."""
    async with ScriptedServer(always(202, b"ok", X_Message_Id="m1")) as server:
        result = await transport.request(post(server))
    assert isinstance(result, Answer)
    assert (result.status, result.body, result.headers["x-message-id"]) == (202, b"ok", "m1")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert head.startswith(b"POST /v3/mail/send?a=b%20c HTTP/1.1\r\n")
    assert {b"x-one: 1", b"content-type: text/plain", b"content-length: 5"} <= set(lines)
    assert f"host: 127.0.0.1:{server.port}".encode() in lines
    assert body == b"hello"


async def test_a_request_without_a_body_is_sent(transport: Transport) -> None:
    """An empty body is a body of no bytes."""
    async with ScriptedServer(always(200)) as server:
        result = await transport.request(post(server, method="GET", body=b""))
    assert isinstance(result, Answer)
    assert server.requests[0].startswith(b"GET ")


async def test_one_connection_serves_many_requests(transport: Transport) -> None:
    """Connections are kept."""
    async with ScriptedServer(always(200)) as server:
        for _ in range(5):
            assert isinstance(await transport.request(post(server)), Answer)
    assert (server.connections, len(server.requests)) == (1, 5)


async def test_many_requests_at_once_all_get_their_own_answer(transport: Transport) -> None:
    """Answers are not mixed up between connections."""

    async def echo(caller: Caller) -> None:
        while request := await caller.request():
            await caller.answer(200, request.partition(b"\r\n\r\n")[2])

    async with ScriptedServer(echo) as server:
        bodies = [f"body {number}".encode() for number in range(200)]
        results = await asyncio.gather(
            *(transport.request(post(server, body=body)) for body in bodies)
        )
    assert [result.body for result in results if isinstance(result, Answer)] == bodies


async def test_the_number_of_connections_is_bounded(make: Maker) -> None:
    """More requests than connections wait for their turn."""
    transport = make(connections_max=3)
    async with ScriptedServer(always(200)) as server:
        results = await asyncio.gather(*(transport.request(post(server)) for _ in range(50)))
        await transport.aclose()
    assert all(isinstance(result, Answer) for result in results)
    assert server.connections <= 3


async def test_a_turn_that_does_not_come_in_time_never_left(make: Maker) -> None:
    """Waiting for a free connection has the deadline of connecting."""

    async def hang(caller: Caller) -> None:
        await caller.request()
        await caller.hang()

    transport = make(connections_max=1)
    async with ScriptedServer(hang) as server:
        first = asyncio.create_task(transport.request(post(server)))
        await server.arrived.wait()
        second = await transport.request(post(server, connect_timeout_s=0.05))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await transport.aclose()
    assert isinstance(second, NeverLeft)
    assert not second.withheld
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nRetry-After: 3\r\nretry-after: 9\r\n\r\nabcdefg",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nabcdefg",
        b"HTTP/1.1 103 H\r\nlink: <x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nabcdefg",
    ],
    ids=["chunked", "sized", "continue", "early hints"],
)
@pytest.mark.parametrize("drip", [False, True], ids=["at once", "byte by byte"])
async def test_answers_come_in_many_shapes(
    transport: Transport, wire: bytes, *, drip: bool
) -> None:
    """However an answer is framed and cut into pieces, it is the same answer."""

    async def script(caller: Caller) -> None:
        await caller.request()
        for piece in [wire[at : at + 1] for at in range(len(wire))] if drip else [wire]:
            await caller.say(piece)
            await asyncio.sleep(0)
        await caller.request()

    async with ScriptedServer(script) as server:
        result = await transport.request(post(server))
    assert isinstance(result, Answer)
    assert (result.status, result.body) == (200, b"abcdefg")
    assert result.headers.get("retry-after", "3") == "3"


async def test_an_answer_that_ends_with_the_connection_is_whole(transport: Transport) -> None:
    """HTTP/1.0 style: no length, the close is the end."""

    async def script(caller: Caller) -> None:
        await caller.request()
        await caller.say(b"HTTP/1.0 200 OK\r\n\r\nabc")
        caller.writer.close()

    async with ScriptedServer(script) as server:
        result = await transport.request(post(server))
        again = await transport.request(post(server))
    assert isinstance(result, Answer)
    assert result.body == b"abc"
    assert isinstance(again, Answer)
    assert server.connections == 2


async def test_a_redirect_is_an_answer(transport: Transport) -> None:
    """No redirect is followed: that would be a second request."""
    async with ScriptedServer(always(307, location="/elsewhere")) as server:
        result = await transport.request(post(server))
    assert isinstance(result, Answer)
    assert result.status == 307
    assert len(server.requests) == 1


# --- nothing was written


async def test_may_start_no_writes_no_byte(transport: Transport) -> None:
    """The connection is made, the question is asked, and nothing is written."""
    asked: list[int] = []

    def no() -> bool:
        asked.append(1)
        return False

    async with ScriptedServer(always(200)) as server:
        result = await transport.request(post(server, may_start=no))
        assert isinstance(result, NeverLeft)
        assert result.withheld
        await transport.request(post(server))
        warm = await transport.request(post(server, may_start=no))
        assert isinstance(warm, NeverLeft)
        assert warm.withheld
        await transport.aclose()
        await asyncio.sleep(0.01)
    assert len(asked) == 2
    assert len(server.requests) == 1
    assert server.stray == b""


async def test_may_start_is_asked_after_the_connection_is_ready(make: Maker) -> None:
    """A no that comes while we wait for a connection is heard."""
    release = asyncio.Event()
    allowed = True

    async def slow(caller: Caller) -> None:
        while await caller.request():
            await release.wait()
            await caller.answer(200)

    transport = make(connections_max=1)
    async with ScriptedServer(slow) as server:
        first = asyncio.create_task(transport.request(post(server)))
        await server.arrived.wait()
        second = asyncio.create_task(transport.request(post(server, may_start=lambda: allowed)))
        await asyncio.sleep(0.01)
        allowed = False
        release.set()
        results = await asyncio.gather(first, second)
        await transport.aclose()
    assert isinstance(results[0], Answer)
    assert isinstance(results[1], NeverLeft)
    assert results[1].withheld
    assert len(server.requests) == 1


async def test_a_closed_port_never_left(transport: Transport) -> None:
    """Connection refused is known to have written nothing; it is not withheld."""
    async with ScriptedServer(always(200)) as server:
        pass
    result = await transport.request(post(server))
    assert isinstance(result, NeverLeft)
    assert not result.withheld


async def test_a_closed_transport_never_left(make: Maker) -> None:
    """After `aclose` nothing goes out."""
    transport = make()
    async with ScriptedServer(always(200)) as server:
        await transport.request(post(server))
        await transport.aclose()
        result = await transport.request(post(server))
    assert isinstance(result, NeverLeft)
    assert len(server.requests) == 1


async def test_a_connection_closed_while_idle_is_not_used(transport: Transport) -> None:
    """A server that closes after its answer costs a new connection, not a message in doubt."""

    async def once(caller: Caller) -> None:
        await caller.request()
        await caller.answer(200)

    async with ScriptedServer(once) as server:
        for _ in range(3):
            assert isinstance(await transport.request(post(server)), Answer)
            await asyncio.sleep(0.02)
    assert server.connections == 3


# --- it may have arrived


async def close(caller: Caller) -> None:
    """Read the request, then close without a word."""
    await caller.request()


async def close_inside(caller: Caller) -> None:
    """Close within the body."""
    await caller.request()
    await caller.say(b"HTTP/1.1 202 OK\r\ncontent-length: 10\r\n\r\nabc")


async def close_inside_head(caller: Caller) -> None:
    """Close within the head."""
    await caller.request()
    await caller.say(b"HTTP/1.1 202 OK\r\ncontent-le")


async def close_inside_chunk(caller: Caller) -> None:
    """Close before the last chunk."""
    await caller.request()
    await caller.say(b"HTTP/1.1 202 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")


async def reset(caller: Caller) -> None:
    """Read the request, then reset."""
    await caller.request()
    caller.reset()


async def garbage(caller: Caller) -> None:
    """Not HTTP."""
    await caller.request()
    await caller.say(b"\x16\x03\x01 this is not HTTP\r\n\r\n" * 3)
    await caller.hang()


async def big_body(caller: Caller) -> None:
    """An honest length over the bound."""
    await caller.request()
    await caller.answer(202, bytes((1 << 20) + 1))
    await caller.hang()


async def endless_chunks(caller: Caller) -> None:
    """Chunks without end."""
    await caller.request()
    await caller.say(b"HTTP/1.1 202 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await caller.say(b"8000\r\n" + bytes(0x8000) + b"\r\n")


async def endless_header(caller: Caller) -> None:
    """One header line without end."""
    await caller.request()
    await caller.say(b"HTTP/1.1 202 OK\r\nx-long: ")
    while True:
        await caller.say(b"a" * 0x8000)


@pytest.mark.parametrize(
    "script",
    [
        close,
        close_inside,
        close_inside_head,
        close_inside_chunk,
        reset,
        garbage,
        big_body,
        endless_chunks,
        endless_header,
    ],
)
async def test_d7_without_a_whole_answer_it_may_have_arrived(
    transport: Transport, script: Callable[[Caller], object]
) -> None:
    """Whatever goes wrong after the request was written is doubt, and is not tried again."""
    async with ScriptedServer(script) as server:
        result = await transport.request(post(server))
        assert isinstance(result, MayHaveArrived)
        assert len(server.requests) == 1
        assert server.connections == 1


async def test_d7_a_close_after_writing_on_a_kept_connection_is_doubt(
    transport: Transport,
) -> None:
    """The second request on a connection that dies is not written again on a new one."""

    async def script(caller: Caller) -> None:
        await caller.request()
        await caller.answer(200)
        await caller.request()

    async with ScriptedServer(script) as server:
        assert isinstance(await transport.request(post(server)), Answer)
        assert isinstance(await transport.request(post(server)), MayHaveArrived)
    assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_reset_at_accept_is_no_answer(transport: Transport) -> None:
    """A peer that resets at once gives no answer, and no exception."""

    async def script(caller: Caller) -> None:
        caller.reset()

    async with ScriptedServer(script) as server:
        result = await transport.request(post(server))
    assert isinstance(result, NeverLeft | MayHaveArrived)
    assert server.requests == []


async def drip(caller: Caller) -> None:
    """A byte now and then, for ever."""
    await caller.request()
    await caller.say(b"HTTP/1.1 202 OK\r\ncontent-length: 100000\r\n\r\n")
    while True:
        await caller.say(b".")
        await asyncio.sleep(0.05)


async def hang(caller: Caller) -> None:
    """Accept, read, say nothing."""
    await caller.request()
    await caller.hang()


@pytest.mark.parametrize("script", [hang, drip])
async def test_d6_a_silent_or_slow_server_is_cut(
    transport: Transport, script: Callable[[Caller], object]
) -> None:
    """The total deadline holds within a second, and what was written is in doubt."""
    async with ScriptedServer(script) as server:
        started_s = time.monotonic()
        result = await transport.request(post(server, timeout_s=0.3))
        took_s = time.monotonic() - started_s
    assert isinstance(result, MayHaveArrived)
    assert 0.25 <= took_s < 1.3


async def test_d6_a_handshake_that_hangs_is_cut(transport: Transport) -> None:
    """A server that never finishes TLS is cut at the connect deadline; nothing has left."""

    async def silent(caller: Caller) -> None:
        await caller.hang()

    async with ScriptedServer(silent) as server:
        url = server.url.replace("http:", "https:")
        started_s = time.monotonic()
        result = await transport.request(post(server, url=url, connect_timeout_s=0.3))
        took_s = time.monotonic() - started_s
    assert isinstance(result, NeverLeft)
    assert took_s < 1.3


async def test_bytes_after_an_answer_do_not_answer_the_next_request(transport: Transport) -> None:
    """A peer that says more than it was asked loses the connection, and only that."""

    async def script(caller: Caller) -> None:
        while await caller.request():
            await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na" * 2)

    async with ScriptedServer(script) as server:
        for _ in range(2):
            result = await transport.request(post(server))
            assert isinstance(result, Answer)
            assert result.body == b"a"
    assert server.connections == 2


async def test_a_cancelled_request_does_not_poison_the_next(transport: Transport) -> None:
    """The connection of a cancelled request is not used again: its answer is still to come."""
    late = asyncio.Event()

    async def script(caller: Caller) -> None:
        while request := await caller.request():
            if request.endswith(b"slow"):
                await late.wait()
            await caller.answer(200, request[-4:])

    async with ScriptedServer(script) as server:
        task = asyncio.create_task(transport.request(post(server, body=b"slow")))
        await server.arrived.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        late.set()
        result = await transport.request(post(server, body=b"fast"))
    assert task.cancelled()
    assert isinstance(result, Answer)
    assert result.body == b"fast"


# --- TLS


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority of this run, and certificates that it signed."""
    folder = tmp_path_factory.mktemp("tls")
    ca_key, ca_name = ec.generate_private_key(ec.SECP256R1()), _name("test authority")
    _write(folder / "ca.pem", _certificate(ca_key, ca_name, issuer=(ca_key, ca_name)))
    for file, host in (("good", "127.0.0.1"), ("other", "127.0.0.9")):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(key, _name(file), issuer=(ca_key, ca_name), host=host)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (folder / f"{file}.pem").write_bytes(
            pem + certificate.public_bytes(serialization.Encoding.PEM)
        )
    return folder


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _certificate(
    key: ec.EllipticCurvePrivateKey,
    name: x509.Name,
    *,
    issuer: tuple[ec.EllipticCurvePrivateKey, x509.Name],
    host: str = "",
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=not host, path_length=None), critical=True)
    )
    if host:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer[0], hashes.SHA256())


def serving(file: Path) -> ssl.SSLContext:
    """A server's TLS context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_tls_with_a_known_authority_works_and_is_kept(make: Maker, ca: Path) -> None:
    """An authority given by file is trusted, and TLS connections are kept too."""
    transport = make(tls_ca_file=str(ca / "ca.pem"))
    async with ScriptedServer(always(200, b"ok"), serving(ca / "good.pem")) as server:
        for _ in range(3):
            result = await transport.request(post(server))
            assert isinstance(result, Answer)
            assert result.body == b"ok"
        await transport.aclose()
    assert server.connections == 1


@pytest.mark.parametrize(("certificate", "trusts"), [("other", True), ("good", False)])
async def test_tls_that_does_not_match_never_left(
    make: Maker, ca: Path, certificate: str, *, trusts: bool
) -> None:
    """A wrong name or an unknown authority: not one byte of the request is written."""
    transport = make(tls_ca_file=str(ca / "ca.pem")) if trusts else make()
    async with ScriptedServer(always(200), serving(ca / f"{certificate}.pem")) as server:
        result = await transport.request(post(server))
        await transport.aclose()
    assert isinstance(result, NeverLeft)
    assert not result.withheld
    assert server.requests == []


async def test_d7_a_close_under_tls_is_doubt(make: Maker, ca: Path) -> None:
    """Inside TLS a close after the request is doubt as well."""
    transport = make(tls_ca_file=str(ca / "ca.pem"))
    async with ScriptedServer(close, serving(ca / "good.pem")) as server:
        result = await transport.request(post(server))
        await transport.aclose()
    assert isinstance(result, MayHaveArrived)
    assert len(server.requests) == 1


async def in_two_records(caller: Caller) -> None:
    """Head and body each in a TLS record of their own, on the wire together."""
    while await caller.request():
        caller.writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 5\r\n\r\n")
        caller.writer.write(b"hello")
        await caller.writer.drain()


async def test_an_answer_in_two_tls_records_is_whole(make: Maker, ca: Path) -> None:
    """Several TLS records that are read at once are one answer, byte for byte."""
    transport = make(tls_ca_file=str(ca / "ca.pem"))
    async with ScriptedServer(in_two_records, serving(ca / "good.pem")) as server:
        answers = [await transport.request(post(server)) for _ in range(5)]
        await transport.aclose()
    assert [answer.body if isinstance(answer, Answer) else answer for answer in answers] == (
        [b"hello"] * 5
    )
