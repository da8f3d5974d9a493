"""The reference transport, over aiohttp: the one that honours an egress proxy.

Invariant: the same as the lean transport's, held by the same contract suite. aiohttp keeps the
head back until the first byte of the body, so the body is where `may_start` is asked.
This file knows no provider.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from channels.http import (
    BODY_BYTES_MAX,
    HEAD_BYTES_MAX,
    Answer,
    MayHaveArrived,
    NeverLeft,
    Request,
    Result,
)


class _WithheldError(Exception):
    """`may_start` said no."""


class _AskingBody(aiohttp.BytesPayload):
    """A body that asks before it lets itself, and the head in front of it, be written."""

    def __init__(self, body: bytes, may_start: Callable[[], bool]) -> None:
        super().__init__(body)
        self._may_start = may_start
        self.is_withheld = False
        self.is_started = False

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        if not self._may_start():
            self.is_withheld = True
            raise _WithheldError
        self.is_started = True
        await super().write_with_length(writer, content_length)


class AiohttpTransport:
    """`Transport` over an aiohttp session; proxies come from the environment.

    Make it inside a running loop. `tls_ca_file` replaces the machine's certificate authorities.
    """

    def __init__(self, *, connections_max: int = 256, tls_ca_file: str | None = None) -> None:
        context = ssl.create_default_context(cafile=tls_ca_file)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit_per_host=connections_max, limit=0, ssl=context),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
            auto_decompress=False,
            max_line_size=HEAD_BYTES_MAX,
            max_field_size=HEAD_BYTES_MAX,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def request(self, request: Request) -> Result:
        if self._session.closed:
            return NeverLeft("transport closed")
        body = _AskingBody(request.body, request.may_start)
        try:
            return await self._exchange(request, body)
        except (aiohttp.ClientError, OSError) as fault:
            # TimeoutError is an OSError; asyncio's and aiohttp's timeouts are TimeoutErrors.
            name = type(fault).__name__
        if body.is_withheld:
            return NeverLeft("withheld", withheld=True)
        return MayHaveArrived(name) if body.is_started else NeverLeft(name)

    async def _exchange(self, request: Request, body: _AskingBody) -> Result:
        timeout = aiohttp.ClientTimeout(
            total=request.timeout_s, connect=request.connect_timeout_s, ceil_threshold=60
        )
        async with self._session.request(
            request.method,
            request.url,
            headers=request.headers,
            data=body,
            timeout=timeout,
            allow_redirects=False,
        ) as response:
            content = await _bounded(response.content)
            if content is None:
                response.close()
                return MayHaveArrived("oversized answer")
            headers: dict[str, str] = {}
            for name, value in response.headers.items():
                headers.setdefault(name.lower(), value)
            return Answer(response.status, headers, content)

    async def aclose(self) -> None:
        await self._session.close()


async def _bounded(stream: aiohttp.StreamReader) -> bytes | None:
    parts: list[bytes] = []
    size_bytes = 0
    async for part in stream.iter_any():
        size_bytes += len(part)
        if size_bytes > BODY_BYTES_MAX:
            return None
        parts.append(part)
    return b"".join(parts)
