"""A walk through every documented operation of a running gateway, with documented examples.

Invariant: each answer is held against its documentation before the walk goes on.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from support import schemas
from support.gateway_process import KEY
from support.stage import Stage

_IN_PATH = re.compile(r"\{(\w+)\}")
KEYED = {"Authorization": f"Bearer {KEY}"}


class Tour:
    """Asks by method and documented path; `done` holds what was answered with 2xx or 3xx."""

    def __init__(self, on: Stage) -> None:
        self.on = on
        self.done: set[tuple[str, str]] = set()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **names: str,
    ) -> tuple[int, bytes]:
        """One call; `names` fill the path, else its documented examples do.

        Without a body the documented example is sent, where there is one.
        """
        operation = schemas.operations()[method, path]
        sent = {**KEYED, **_content_type(operation), **(headers or {})}
        if body is None and "requestBody" in operation and not headers:
            body = schemas.example_of(operation)
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        status, answer, got = await self.on.gateway.ask(
            method, _filled(path, operation, names), body=raw, headers=sent
        )
        wrong = schemas.answer_faults(operation, status, got, answer)
        assert not wrong, f"{method} {path} {status}: {wrong}"
        if status < 400:
            self.done.add((method, path))
        return status, answer

    async def json(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """The same with the answer read."""
        status, answer = await self.ask(method, path, **more)
        return status, json.loads(answer) if answer else None

    async def until(self, path: str, is_so: Any, **names: str) -> Any:
        """GET until the answer is as wanted."""
        async with asyncio.timeout(15):
            while True:
                status, answer = await self.json("GET", path, **names)
                if status == 200 and is_so(answer):
                    return answer
                await asyncio.sleep(0.05)


def _content_type(operation: Mapping[str, Any]) -> dict[str, str]:
    kinds = list(operation.get("requestBody", {}).get("content", ()))
    kind = "application/json" if "application/json" in kinds else next(iter(kinds), "")
    return {"Content-Type": kind} if kind else {}


def _filled(path: str, operation: Mapping[str, Any], names: Mapping[str, str]) -> str:
    examples = {
        one["name"]: one["example"]
        for one in operation.get("parameters", ())
        if one["in"] == "path"
    }
    return _IN_PATH.sub(lambda found: quote({**examples, **names}[found[1]], safe=""), path)
