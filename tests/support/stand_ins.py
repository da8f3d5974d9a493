"""Stand-ins for SendGrid, Twilio and FCM: real HTTP servers on loopback, in a thread of their own.

Invariant: every message of a call is in the journal before the call is answered. What becomes of
a message is written in its address (`busy-…@`, a number's ending, a device token's start), or in
`outage` for a provider as a whole. They are fast: a parser in C and no framework.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httptools
import msgspec

from support.journal import Call, Journal

_JSON = ("Content-Type", "application/json")
_REASONS = {200: "OK", 201: "Created", 202: "Accepted", 404: "Not Found"}


class Act(StrEnum):
    """What a stand-in does with a message; the value is the word that an address starts with."""

    TAKE = "take"
    REFUSE = "refuse"  # the message is at fault
    BOUNCE = "bounce"  # the address is at fault
    OPTOUT = "optout"  # the provider holds an opt-out (Twilio only)
    THROTTLE = "throttle"  # 429 with Retry-After, the first time; then taken
    LATER = "later"  # 503 the first time; then taken
    BUSY = "busy"  # 503
    BREAK = "break"  # 500
    HANG = "hang"
    RESET = "reset"


ACT_OF_ENDING: Mapping[str, Act] = {
    "9001": Act.REFUSE,
    "9002": Act.BOUNCE,
    "9003": Act.OPTOUT,
    "9004": Act.THROTTLE,
    "9005": Act.LATER,
    "9006": Act.BUSY,
    "9007": Act.BREAK,
    "9008": Act.HANG,
    "9009": Act.RESET,
}
"""What the last four digits of a telephone number ask for."""

STATUS: Mapping[Act, int] = {
    Act.REFUSE: 400,
    Act.BOUNCE: 400,
    Act.OPTOUT: 400,
    Act.THROTTLE: 429,
    Act.LATER: 503,
    Act.BUSY: 503,
    Act.BREAK: 500,
}


def act_for(address: str) -> Act:
    """What an address asks for."""
    ending = ACT_OF_ENDING.get(address[-4:]) if address.startswith("+") else None
    word = address.partition("-")[0]
    return ending or (Act(word) if word in set(Act) else Act.TAKE)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; status 0 hangs, -1 resets the connection."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def wire(self) -> bytes:
        """The bytes of the answer."""
        head = [f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Problem')}"]
        head += [f"{name}: {value}" for name, value in self.headers]
        head.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(head).encode() + b"\r\n\r\n" + self.body


HANG, RESET = Reply(0), Reply(-1)


class StandIns:
    """All three providers under one base URL: `with StandIns() as providers: providers.url`.

    `latency_s` is how long each takes to answer. `outage` maps a provider's name to what it does
    with everything; `retry_after_s` goes with every 429.
    """

    def __init__(self, *, latency_s: float = 0.0, retry_after_s: int = 3) -> None:
        self.journal = Journal()
        self.outage: dict[str, Act] = {}
        self.latency_s = latency_s
        self.retry_after_s = retry_after_s
        self.wires: set[_Wire] = set()
        self._port = 0
        self._seen: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stand-ins", daemon=True)

    @property
    def url(self) -> str:
        """The base URL of every provider."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the stand-ins did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(
            loop.create_server(lambda: _Wire(self, loop), "127.0.0.1", 0, backlog=1024)
        )
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        loop.run_forever()
        server.close()
        for wire in list(self.wires):
            wire.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    # --- what is answered -------------------------------------------------------------------

    def answer(self, path: str, body: bytes) -> Reply:
        """Write down and answer one request."""
        if path == "/token":
            token = {"access_token": "stand-in", "expires_in": 3599, "token_type": "Bearer"}
            return Reply(200, json.dumps(token).encode(), (_JSON,))
        for ending, provider in _PROVIDERS.items():
            if path.endswith(ending):
                return self._take(provider, body)
        return Reply(404)

    def _take(self, provider: _Provider, body: bytes) -> Reply:
        act, ids = Act.TAKE, ("", "")
        for to, delivery_id, attempt_id in provider.messages(body):
            act, ids = self._act(provider.name, to), (delivery_id, attempt_id)
            self.journal.note(
                Call(time.monotonic(), provider.name, to, *ids, act=act.value, body=body)
            )
        if act is Act.HANG:
            return HANG
        if act is Act.RESET:
            return RESET
        if act is Act.TAKE:
            return provider.taken(ids[1])
        wait = (("Retry-After", str(self.retry_after_s)),) if act is Act.THROTTLE else ()
        status, problem = provider.problem(act)
        return Reply(status, json.dumps(problem).encode(), (_JSON, *wait))

    def _act(self, provider: str, to: str) -> Act:
        act = self.outage.get(provider) or act_for(to)
        is_first = to not in self._seen
        self._seen.add(to)
        return act if is_first or act not in (Act.LATER, Act.THROTTLE) else Act.TAKE


class _Wire(asyncio.Protocol):
    """One connection, kept alive; one request at a time."""

    def __init__(self, stand_ins: StandIns, loop: asyncio.AbstractEventLoop) -> None:
        self._stand_ins = stand_ins
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._stand_ins.wires.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._stand_ins.wires.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_url(self, part: bytes) -> None:
        self._url += part

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        url, body = self._url.decode(), b"".join(self._body)
        self._url, self._body = b"", []
        reply = self._stand_ins.answer(urlsplit(url).path, body)
        if self._stand_ins.latency_s > 0:
            self._loop.call_later(self._stand_ins.latency_s, self._say, reply)
        else:
            self._say(reply)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _say(self, reply: Reply) -> None:
        if self._transport is None or self._transport.is_closing() or reply is HANG:
            return
        if reply is RESET:
            wire = self._transport.get_extra_info("socket")
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()
            return
        self._transport.write(reply.wire())


# --- how each provider reads and answers ----------------------------------------------------

Messages = list[tuple[str, str, str]]
"""Of each message of a call: to, delivery id, attempt id."""


@dataclass(frozen=True, slots=True)
class _Provider:
    name: str
    messages: Callable[[bytes], Messages]
    taken: Callable[[str], Reply]
    problem: Callable[[Act], tuple[int, Mapping[str, Any]]]


def _of_sendgrid(body: bytes) -> Messages:
    mail = msgspec.json.decode(body)
    return [
        (one["to"][0]["email"], one["custom_args"]["delivery_id"], one["custom_args"]["attempt_id"])
        for one in mail["personalizations"]
    ]


def _of_twilio(body: bytes) -> Messages:
    form = parse_qs(body.decode())
    query = parse_qs(urlsplit(form["StatusCallback"][0]).query)
    return [(form["To"][0], query["delivery"][0], query["attempt"][0])]


def _of_fcm(body: bytes) -> Messages:
    message = msgspec.json.decode(body)["message"]
    return [(message["token"], message["data"]["delivery_id"], message["data"]["attempt_id"])]


def _sendgrid_problem(act: Act) -> tuple[int, Mapping[str, Any]]:
    error = {
        Act.REFUSE: {"message": "The content is refused.", "field": "content"},
        Act.BOUNCE: {
            "message": "Does not contain a valid address.",
            "field": "personalizations.0.to.0.email",
        },
    }.get(act, {"message": "Not now.", "field": None})
    return STATUS[act], {"errors": [error]}


def _twilio_problem(act: Act) -> tuple[int, Mapping[str, Any]]:
    codes = {Act.REFUSE: 21617, Act.BOUNCE: 21211, Act.OPTOUT: 21610, Act.THROTTLE: 20429}
    problem: dict[str, Any] = {"status": STATUS[act], "message": "Not this way."}
    return STATUS[act], problem | ({"code": codes[act]} if act in codes else {})


def _fcm_problem(act: Act) -> tuple[int, Mapping[str, Any]]:
    codes = {
        Act.REFUSE: (400, "INVALID_ARGUMENT"),
        Act.BOUNCE: (404, "UNREGISTERED"),
        Act.THROTTLE: (429, "QUOTA_EXCEEDED"),
        Act.BREAK: (500, "INTERNAL"),
    }
    status, code = codes.get(act, (503, "UNAVAILABLE"))
    return status, {"error": {"code": status, "details": [{"errorCode": code}]}}


_PROVIDERS: Mapping[str, _Provider] = {
    "/v3/mail/send": _Provider(
        "sendgrid",
        _of_sendgrid,
        lambda attempt_id: Reply(202, b"", (("X-Message-Id", f"sg-{attempt_id}"),)),
        _sendgrid_problem,
    ),
    "/Messages.json": _Provider(
        "twilio",
        _of_twilio,
        lambda attempt_id: Reply(
            201, json.dumps({"sid": f"SM-{attempt_id}", "status": "queued"}).encode(), (_JSON,)
        ),
        _twilio_problem,
    ),
    "/messages:send": _Provider(
        "fcm",
        _of_fcm,
        lambda attempt_id: Reply(
            200, json.dumps({"name": f"projects/test/messages/{attempt_id}"}).encode(), (_JSON,)
        ),
        _fcm_problem,
    ),
}
