"""`python -m bench [pipeline|transport|render|store …] [--pairs N] [--seconds S] [--json]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import redirect_stdout

from bench import pipeline, render, store, transport
from bench.figures import Comparison
from bench.places import MeasurementError, measured_core, serving_core

Compare = Callable[[int, float], Awaitable[Sequence[Comparison]]]


def _benches() -> dict[str, Compare]:
    return {
        "pipeline": pipeline.compare,
        "transport": transport.compare,
        "render": render.compare,
        "store": store.compare,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all by default")
    parser.add_argument("--pairs", type=int, default=7, help="pairs to take of each")
    parser.add_argument("--seconds", type=float, default=1.5, help="about how long a side runs")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in _benches()]:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(_benches())}")
    if given.pairs < 1 or given.seconds <= 0:
        parser.error("pairs and seconds are positive")
    return given


async def _run(given: argparse.Namespace) -> Sequence[Comparison]:
    found: list[Comparison] = []
    benches = _benches()
    for name in given.names or benches:
        for comparison in await benches[name](given.pairs, given.seconds):
            print(comparison.text(), end="\n\n", flush=True)
            found.append(comparison)
    return found


def main() -> None:
    """Measure, and print what was found."""
    given = _arguments()
    # With --json, standard output is the document; what is told on the way goes beside it.
    with redirect_stdout(sys.stderr if given.json else sys.stdout):
        if measured_core() is None or serving_core() is None:
            print("warning: one core only: broker and sink slow down what is measured")
        found = asyncio.run(_run(given))
        for comparison in found:
            print(comparison.summary())
    if given.json:
        print(json.dumps([comparison.plain() for comparison in found], indent=2))


if __name__ == "__main__":
    try:
        main()
    except MeasurementError as fault:
        sys.exit(f"bench: {fault}")
