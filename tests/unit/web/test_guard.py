"""Slow, silent and broken clients, over raw sockets on loopback."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from unit.web.fakes import OPTIONS, FakeEngage, Site, serving

from gateway.web.options import WebOptions
from gateway.web.ports import Standing

QUICK = replace(
    OPTIONS,
    head_timeout_s=0.15,
    body_timeout_s=0.15,
    answer_timeout_s=0.6,
    keepalive_timeout_s=0.3,
    close_timeout_s=0.2,
)
PIXEL = b"GET /t/o/x.gif HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /t/u/good HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\n"
PATIENCE_S = 5.0

Socket = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(site: Site, *, say: bytes = b"") -> Socket:
    """A connection that has said something."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
    writer.write(say)
    await writer.drain()
    return reader, writer


async def heard(socket: Socket) -> bytes:
    """All that comes until the server ends the connection."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            return await socket[0].read()
        except ConnectionResetError:
            return b""
        finally:
            socket[1].close()


async def one_answer(socket: Socket) -> bytes:
    """The head of the next answer."""
    async with asyncio.timeout(PATIENCE_S):
        return await socket[0].readuntil(b"\r\n\r\n")


async def drip(socket: Socket, data: bytes, *, gap_s: float) -> None:
    """Send byte by byte until the server has had enough."""
    for at in range(len(data)):
        if socket[0].at_eof():
            return
        socket[1].write(data[at : at + 1])
        await asyncio.sleep(gap_s)


async def emptied(site: Site) -> None:
    """Wait until no connection is left."""
    async with asyncio.timeout(PATIENCE_S):
        while site.server.connections:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("said", [b"", b"GET /t/o/x.gif HTT", PIXEL[:-2], PIXEL + b"GET /t"])
async def test_s20_a_head_has_a_deadline(said: bytes) -> None:
    """Silent connections and half heads are ended, also behind a whole request."""
    async with serving(QUICK) as site:
        socket = await connect(site, say=said)
        answer = await heard(socket)
        assert answer.startswith(b"HTTP/1.1 200") == said.startswith(PIXEL)
        assert site.server.connections == 0


async def test_s20_dripping_does_not_move_the_deadline() -> None:
    """A byte now and then buys no time: of a head that needs 2 s, 0.15 s are allowed."""
    async with serving(QUICK) as site:
        socket = await connect(site)
        async with asyncio.TaskGroup() as group:
            group.create_task(drip(socket, PIXEL * 3, gap_s=0.02), name="drip")
            ended = group.create_task(heard(socket), name="heard")
        assert ended.result() == b""


async def test_s20_a_stalled_body_is_answered_408_and_ended() -> None:
    """A body that does not come costs the client the connection and nobody else anything."""
    async with serving(QUICK) as site:
        answer = await heard(await connect(site, say=POST + b"List-"))
        assert b" 408 " in answer.partition(b"\r\n")[0]
        assert b"connection: close" in answer.lower()
        assert site.engage.kept == []


async def test_s20_a_body_nobody_reads_does_not_hold_the_connection() -> None:
    """An answer that needs no body waits for it only a moment."""
    async with serving(QUICK) as site:
        said = b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc"
        assert b" 200 " in await heard(await connect(site, say=said))


async def test_s20_a_client_that_never_reads_is_ended() -> None:
    """Answers that are not taken off the socket end with the answer's deadline."""
    async with serving(QUICK) as site:
        reader, writer = await connect(site)
        reader._transport.pause_reading()
        asked = 0
        async with asyncio.timeout(PATIENCE_S):
            while site.server.connections or not asked:
                if not writer.transport.is_closing():
                    writer.write(PIXEL.replace(b"/t/o/x.gif", b"/t/u/good") * 20)
                asked += 20
                await asyncio.sleep(0.01)
        writer.transport.abort()
        assert site.server.connections == 0


async def test_keep_alive_connections_serve_again_and_end_when_idle() -> None:
    """A second request is answered on the same connection; idle ones end."""
    async with serving(QUICK) as site:
        socket = await connect(site)
        for _ in range(2):
            socket[1].write(PIXEL)
            assert b"200 OK" in await one_answer(socket)
        await heard(socket)
        assert site.server.connections == 0


async def test_s20_silent_crowd_makes_room_for_people() -> None:
    """At the bound the connection that has waited longest goes, and a person gets in."""
    options = replace(OPTIONS, connections_max=5)
    async with serving(options) as site:
        crowd = [await connect(site) for _ in range(5)]
        person = await connect(site, say=PIXEL)
        assert b"200 OK" in await one_answer(person)
        assert await heard(crowd[0]) == b""
        assert site.server.connections == 5
        for _, writer in [*crowd, person]:
            writer.close()


class SlowEngage(FakeEngage):
    """A store that answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.asked = asyncio.Event()

    async def standing(self, delivery_id: str) -> Standing | None:
        self.asked.set()
        await self.let.wait()
        return await super().standing(delivery_id)


async def test_a_full_house_says_so() -> None:
    """When every connection is being answered, the next one gets 503 and is closed."""
    engage = SlowEngage()
    async with serving(replace(OPTIONS, connections_max=1), engage=engage) as site:
        busy = await connect(site, say=PIXEL.replace(b"/t/o/x.gif", b"/t/u/good"))
        await engage.asked.wait()
        refused = await heard(await connect(site, say=PIXEL))
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"Retry-After" in refused
        engage.let.set()
        assert b"200 OK" in await one_answer(busy)
        busy[1].close()


async def test_o6_leaving_lets_a_request_end() -> None:
    """A request that is being answered when the server leaves gets its answer."""
    engage = SlowEngage()
    async with serving(engage=engage) as site:
        socket = await connect(site, say=PIXEL.replace(b"/t/o/x.gif", b"/t/u/good"))
        await engage.asked.wait()
        asyncio.get_running_loop().call_later(0.1, engage.let.set)
    assert b"200 OK" in await heard(socket)


UNREADABLE = {
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "bad method": b"F()O /secret-token HTTP/1.1\r\nHost: x\r\n\r\n",
    "two lengths": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
    ),
    "length and chunked": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"
    ),
    "folded header": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "bare cr": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc: d\r\n\r\n",
    "huge head": b"GET /secret-token HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 70000 + b"\r\n\r\n",
    "odd chunk": b"POST /t/u/good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("kind", UNREADABLE)
async def test_s21_unreadable_requests_are_400_and_closed(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no HTTP, or is two things at once, is refused without repeating it anywhere."""
    with capture_logs() as logged:
        async with serving(QUICK) as site:
            answer = await heard(await connect(site, say=UNREADABLE[kind]))
            assert site.engage.kept == []
    assert answer.split(b" ")[1] == b"400"
    assert b"aiohttp" not in answer
    for text in (answer.decode(), caplog.text, str(logged)):
        assert "secret-token" not in text
        assert "Traceback" not in text


async def test_a_client_that_leaves_in_its_body_is_no_fault() -> None:
    """Half a body and goodbye: nothing is kept and nothing is logged as a fault."""
    with capture_logs() as logged:
        async with serving(QUICK) as site:
            _, writer = await connect(site, say=POST + b"List-")
            await asyncio.sleep(0.05)
            writer.transport.abort()
            await emptied(site)
            assert site.engage.kept == []
    assert logged == []


def test_the_bounds_hold_what_the_requirement_says() -> None:
    """S20: slow ones end within 30 s, idle ones within 75 s; W13: a body has at most 1 MiB."""
    options = WebOptions("https://x.example", "X", "https://x.example", ("k",))
    assert max(options.head_timeout_s, options.body_timeout_s, options.answer_timeout_s) <= 30
    assert options.keepalive_timeout_s <= 75
    assert options.body_bytes_max <= 1024 * 1024
