"""H1: our transport against aiohttp's client, 64 in flight, bodies of 6 KB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.bare import Post, aiohttp_post, lean_post, post_all
from bench.figures import Comparison, Pair, Rate
from bench.places import Stopwatch, measured, on_core, rate_of, serving_core
from bench.sink import running_sink

BODY = b"b" * 6000
TRIAL_COUNT = 2000


async def compare(pairs: int, seconds: float) -> Sequence[Comparison]:
    """H1."""
    with on_core(serving_core()):
        async with running_sink() as sink:
            found = await measured(
                "transport", {"url": f"{sink.url}/", "pairs": pairs, "seconds": seconds}
            )
    taken = [Pair(rate_of(ours), rate_of(theirs)) for ours, theirs in found["pairs"]]
    return [Comparison("H1", "lean transport", "aiohttp client", taken)]


async def measure(arguments: dict[str, Any]) -> Any:
    """In the child: pairs of rates over kept connections."""
    url, seconds = arguments["url"], arguments["seconds"]
    async with lean_post(url) as lean, aiohttp_post(url) as theirs:
        posts = (lean, theirs)
        trials = [await _rate(post, TRIAL_COUNT) for post in posts]
        counts = [int(trial.per_s * seconds) for trial in trials]
        return {
            "pairs": [
                [
                    asdict(await _rate(post, count))
                    for post, count in zip(posts, counts, strict=True)
                ]
                for _ in range(arguments["pairs"])
            ]
        }


async def _rate(post: Post, count: int) -> Rate:
    watch = Stopwatch()
    watch.start()
    await post_all(post, [BODY] * count)
    return watch.stop(count)
