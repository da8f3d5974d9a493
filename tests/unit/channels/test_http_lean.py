"""What only the lean transport promises."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from support.scripted import Caller, ScriptedServer, always

from channels.http import Answer, MayHaveArrived, NeverLeft, Request
from channels.http_connection import Connection
from channels.http_lean import LeanTransport

REQUEST = b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def post(url: str, timeout_s: float = 5.0, **headers: str) -> Request:
    """A request."""
    return Request("POST", url, headers, b"x", lambda: True, timeout_s=timeout_s)


@contextmanager
def closing_server(connections: int) -> Iterator[tuple[str, threading.Semaphore]]:
    """A server in a thread that answers once per connection and closes; says when it has."""
    listener = socket.create_server(("127.0.0.1", 0))
    closed = threading.Semaphore(0)

    def serve() -> None:
        for _ in range(connections):
            caller, _ = listener.accept()
            caller.recv(1 << 16)
            caller.sendall(ANSWER)
            caller.close()
            closed.release()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", closed
    finally:
        thread.join(timeout=5)
        listener.close()


async def test_a_close_that_the_loop_has_not_seen_yet_is_seen_before_writing() -> None:
    """The loop is kept busy while the server closes: the connection still is not used."""
    transport = LeanTransport()
    with closing_server(2) as (url, closed):
        assert isinstance(await transport.request(post(url)), Answer)
        assert closed.acquire(timeout=5)
        assert isinstance(await transport.request(post(url)), Answer)
    await transport.aclose()


async def test_an_idle_connection_is_closed() -> None:
    """We close before servers do."""
    gone = asyncio.Event()

    async def script(caller: Caller) -> None:
        while await caller.request():
            await caller.answer(200)
        gone.set()

    transport = LeanTransport(idle_s_max=0.05)
    async with ScriptedServer(script) as server:
        await transport.request(post(server.url))
        async with asyncio.timeout(2):
            await gone.wait()
        assert isinstance(await transport.request(post(server.url)), Answer)
        assert server.connections == 2
        await transport.aclose()


async def test_the_queue_is_fair() -> None:
    """Who waits first is served first, also against newcomers."""
    transport = LeanTransport(connections_max=1)
    done: list[int] = []

    async def one(number: int, url: str) -> None:
        await transport.request(post(url))
        done.append(number)
        if number < 5:
            await one(number + 100, url)

    async with ScriptedServer(always(200)) as server:
        await asyncio.gather(*(one(number, server.url) for number in range(10)))
        await transport.aclose()
    assert done[:10] == list(range(10))


async def test_a_cancelled_wait_gives_its_turn_to_the_next() -> None:
    """No place is lost, whenever the cancellation comes."""
    transport = LeanTransport(connections_max=1)
    async with ScriptedServer(always(200)) as server:
        for steps in range(12):
            tasks = [asyncio.create_task(transport.request(post(server.url))) for _ in range(4)]
            for _ in range(steps):
                await asyncio.sleep(0)
            tasks[1].cancel()
            tasks[2].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(results[3], Answer)
        await transport.aclose()


async def test_a_late_deadline_does_not_touch_the_next_request() -> None:
    """A timer that fires after its answer finds the connection serving somebody else."""
    async with ScriptedServer(always(200)) as server:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(lambda _: None, lambda _: None), "127.0.0.1", server.port
        )
        first = connection.send(REQUEST)
        await first
        second = connection.send(REQUEST)
        connection.give_up_on(first, "late")
        assert isinstance(await second, Answer)
        connection.give_up("done")
        await asyncio.sleep(0)


async def test_a_withheld_request_leaves_its_connection_to_the_next() -> None:
    """The only connection is free again, and still the same."""
    transport = LeanTransport(connections_max=1)
    async with ScriptedServer(always(200)) as server:
        withheld = replace(post(server.url), may_start=lambda: False)
        for _ in range(3):
            assert isinstance(await transport.request(withheld), NeverLeft)
            assert isinstance(await transport.request(post(server.url, timeout_s=0.5)), Answer)
        await transport.aclose()
    assert server.connections == 1


async def test_an_answer_of_endless_framing_is_cut_by_its_size() -> None:
    """Chunk extensions make no body, but they are bytes all the same."""

    async def script(caller: Caller) -> None:
        await caller.request()
        await caller.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await caller.say(b"1;x=" + b"a" * 0x4000 + b"\r\n.\r\n")

    transport = LeanTransport()
    async with ScriptedServer(script) as server:
        assert await transport.request(post(server.url)) == MayHaveArrived("oversized answer")
        await transport.aclose()


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "http://", "http://user:pass@127.0.0.1/", "http://h:99999/", "x"]
)
async def test_a_url_that_no_request_may_have_is_a_bug(url: str) -> None:
    """Raised, because settings are checked long before."""
    transport = LeanTransport()
    with pytest.raises(ValueError, match=r"."):
        await transport.request(post(url))
    await transport.aclose()


@pytest.mark.parametrize("bad", ["a\r\nx: y", "a\nb", "a\rb", "☃"])
async def test_s1_a_header_with_a_line_break_never_leaves(bad: str) -> None:
    """The last line of defence against header injection."""
    transport = LeanTransport()
    async with ScriptedServer(always(200)) as server:
        with pytest.raises(ValueError, match=r"."):
            await transport.request(post(server.url, name=bad))
        assert server.connections == 0
    await transport.aclose()
