"""`winback demo` as a person runs it: a process of its own, on free ports."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import aiohttp

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
ONCE_WITHIN_S = 60
SHOWN_WITHIN_S = 30
SEEN_WITHIN_S = 5


@dataclass
class Demo:
    """A demo that runs, and what it has said so far."""

    process: asyncio.subprocess.Process
    said: str
    url: str = ""

    async def end(self) -> int:
        self.process.terminate()
        rest, _ = await asyncio.wait_for(self.process.communicate(), SHOWN_WITHIN_S)
        self.said += rest.decode()
        return await self.process.wait()


async def start(folder: Path, *arguments: str, **environ: str) -> asyncio.subprocess.Process:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("WINBACK_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "demo",
        *arguments,
        cwd=folder,
        env={**clean, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


@asynccontextmanager
async def demo(folder: Path, *, port: int = 0) -> AsyncIterator[Demo]:
    """A demo up to the point where it says how to stop it."""
    process = await start(folder, WINBACK_HTTP__PORT=str(port))
    shown = Demo(process, "")
    try:
        async with asyncio.timeout(SHOWN_WITHIN_S):
            while "Ctrl-C" not in shown.said:
                assert process.stdout is not None
                line = await process.stdout.readline()
                assert line, shown.said
                shown.said += line.decode()
        found = re.search(r"inbox +(http://\S+)/inbox", shown.said)
        assert found is not None
        shown.url = found[1]
        yield shown
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def text(client: aiohttp.ClientSession, url: str) -> str:
    async with client.get(url) as answer:
        assert answer.status == 200, url
        return await answer.text()


async def until(stream: aiohttp.ClientResponse, *words: str) -> None:
    """Read the live stream until a row has all the words."""
    async with asyncio.timeout(SEEN_WITHIN_S):
        async for line in stream.content:
            if all(word in line.decode() for word in words):
                return
    raise AssertionError(words)


async def test_demo_once_ends_by_itself_with_a_summary(tmp_path: Path) -> None:
    """Every record comes to an end, the table says which, and nothing is left in the folder."""
    process = await start(tmp_path, "--once", WINBACK_HTTP__PORT="0")
    out, _ = await asyncio.wait_for(process.communicate(), ONCE_WITHIN_S)
    said = out.decode()
    assert process.returncode == 0, said
    count = re.search(r"(\d+) of (\d+) records have come to their end", said)
    assert count is not None
    assert count[1] == count[2]
    rows = {
        line.split("  ")[0]: [int(number) for number in line.split()[-6:]]
        for line in said.splitlines()
        if re.match(r"(email|sms|push|no channel|total) +\d", line)
    }
    assert set(rows) == {"email", "sms", "push", "no channel", "total"}
    sent, delivered, bounced, _, suppressed, dead = rows["total"]
    assert delivered > 30
    assert sent > delivered
    assert bounced >= 2
    assert dead == 2
    reasons = dict(reversed(pair) for pair in re.findall(r"(\d+) (\w+)", reasons_of(said)))
    assert {"consent", "no_route"} <= set(reasons)
    assert reasons["converted"] == "3"
    assert int(reasons["held_out"]) >= 4
    assert sum(int(count) for count in reasons.values()) == suppressed
    assert all(rows[channel][1] > 0 for channel in ("email", "sms", "push"))
    assert "messages sent for it: 1" in said
    assert "walks past the shop" in said
    check_results(said)
    assert "\x1b" not in said
    assert left_in(tmp_path) == []


def reasons_of(said: str) -> str:
    return one(r"each for a reason: ([^.]+)\.", said)


def check_results(said: str) -> None:
    """The table of `winback results`: all but the hold-out, the hold-out, every group, the lift."""
    _, _, table = said.partition("Results of come-back-for-coffee\n")
    rows = {cells[0]: cells[1:] for line in table.splitlines() if (cells := re.split(r"  +", line))}
    assert rows["people"][:3] == ["targeted", "sent", "delivered"]
    treated, held = rows["all but the hold-out"], rows["hold-out"]
    assert int(treated[0]) + int(held[0]) == 30
    assert held[1:7] == ["0"] * 6
    assert int(treated[3]) >= 8
    assert int(treated[4]) >= 5
    assert treated[5:7] == ["1", "3"]
    assert treated[8] == "428.00 DKK, 24.90 EUR"
    named = {name.partition(" ")[0] for name in rows if name.count(" ") == 1}
    assert {"variant", "channel", "reason", "offer"} <= named
    assert int(rows["variant plain"][0]) + int(rows["variant news"][0]) == int(treated[0])
    assert re.search(r"Lift: \+\d+\.\d percentage points against the hold-out", table)


async def test_demo_once_ends_on_a_store_that_is_kept(tmp_path: Path) -> None:
    """A second run has codes and a place of its own, and is not held up by the first."""
    kept = {"WINBACK_STORE__URL": "sqlite:///kept.db", "WINBACK_HTTP__PORT": "0"}
    campaigns = set()
    for _ in range(2):
        process = await start(tmp_path, "--once", **kept)
        out, _ = await asyncio.wait_for(process.communicate(), ONCE_WITHIN_S)
        assert process.returncode == 0, out.decode()
        campaigns.add(one(r"Results of (\S+)", out.decode()))
    assert len(campaigns) == 2


async def test_a_click_and_a_no_show_up_in_the_stream(tmp_path: Path) -> None:
    """From a captured message, through the real routes, to the topic and the page."""
    async with demo(tmp_path) as shown, aiohttp.ClientSession(headers=BROWSER) as client:
        page = await text(client, f"{shown.url}/inbox")
        mail = await text(client, shown.url + one(r'iframe src="([^"]+)"', page))
        last = one(r'data-last="(\d+)"', page)
        async with client.get(f"{shown.url}/inbox/stream?after={last}") as stream:
            link = one(r'href="([^"]+/t/c/[^"]+)"', mail)
            async with client.get(link, allow_redirects=False) as answer:
                assert answer.status == 302
                assert answer.headers["Location"] == f"{shown.url}/shop"
            await until(stream, "<b>clicked</b>", "Zoë", f"{shown.url}/shop")
            no = {"List-Unsubscribe": "One-Click"}
            action = one(r'action="([^"]+/t/u/[^"]+)"', page)
            async with client.post(action, data=no) as answer:
                assert answer.status == 200
            await until(stream, "<b>unsubscribed</b>", "Zoë")
            own = own_event(shown.said)
            headers = {
                "Authorization": "Bearer demo-only-key",
                "Content-Type": "application/cloudevents+json",
            }
            async with client.post(f"{shown.url}/v1/sends", data=own, headers=headers) as answer:
                assert answer.status == 202, await answer.text()
            await until(stream, "<b>delivered</b>", ">me<")
        assert "<bdi>Ada</bdi>" in await text(client, f"{shown.url}/inbox?person=me")
        assert await shown.end() == 0
    assert "recipient.unsubscribed" in shown.said
    assert "Ended; nothing is left running." in shown.said


async def test_ctrl_c_ends_the_demo_well(tmp_path: Path) -> None:
    """The way that the demo itself tells."""
    async with demo(tmp_path) as shown:
        shown.process.send_signal(signal.SIGINT)
        await asyncio.wait_for(shown.process.communicate(), SHOWN_WITHIN_S)
        assert shown.process.returncode == 0


async def test_a_taken_port_is_no_obstacle(tmp_path: Path) -> None:
    """Another port answers, and the page's links lead there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with demo(tmp_path, port=port) as shown, aiohttp.ClientSession() as client:
            assert f"{port} is taken" in shown.said
            assert shown.url != f"http://127.0.0.1:{port}"
            page = await text(client, f"{shown.url}/inbox")
            assert one(r'action="([^"]+)/t/u/', page) == shown.url
            assert await shown.end() == 0


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def own_event(said: str) -> str:
    """The event of the command that the terminal shows."""
    return one(r"-d '(.*)'\n", said)


def one(pattern: str, found: str) -> str:
    match = re.search(pattern, found)
    assert match is not None, pattern
    return unescape(match[1])
