"""One measurement in a process of its own: `python -m bench.child NAME`.

Arguments come as JSON on standard input, what was found goes out as one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any

from bench import bare, render, store, transport, whole

Measure = Callable[[dict[str, Any]], Coroutine[Any, Any, Any]]


async def _gateway(arguments: dict[str, Any]) -> Any:
    return asdict(await whole.empty_by_gateway(whole.Wanted(**arguments)))


async def _bare_aiohttp(arguments: dict[str, Any]) -> Any:
    return asdict(await bare.empty_by_aiohttp(bare.Wanted(**arguments)))


async def _bare_lean(arguments: dict[str, Any]) -> Any:
    return asdict(await bare.empty_by_lean(bare.Wanted(**arguments)))


def _measure(name: str) -> Measure:
    return {
        "gateway": _gateway,
        "bare-aiohttp": _bare_aiohttp,
        "bare-lean": _bare_lean,
        "transport": transport.measure,
        "render": render.measure,
        "store": store.measure,
    }[name]


if __name__ == "__main__":
    result = asyncio.run(_measure(sys.argv[1])(json.load(sys.stdin)))
    json.dump(result, sys.stdout)
