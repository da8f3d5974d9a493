"""F1: look-ups among 100,000 fences against look-ups among 1,000.

A ratio of about one says that a look-up does not get slower with the number of fences. Both maps
have the same ten fences as large as a country and ninety of half a kilometre to twenty; what grows
is the number of circles of 50 m to 2 km. Half of the places are in the middle of a fence, half are
anywhere in the same part of the map. `python -m bench.fences` also prints the time to build, the
time to change one fence, the memory of fences and index, and how many fences a look-up finds: more
fences in one place are more work, whatever the index.
"""

from __future__ import annotations

import asyncio
import gc
import math
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import asdict
from random import Random
from typing import Any

from bench.figures import Comparison, Pair, Rate
from bench.places import Stopwatch, measured, on_core, rate_of, serving_core
from gateway.core.fences import Fence, FenceIndex
from gateway.core.shapes import Area, Circle, Ring, Shape, polygon

FEW, MANY = 1_000, 100_000
SOUTH, NORTH, WEST, EAST = 36.0, 60.0, -10.0, 30.0
COUNTRIES, DISTRICTS = 10, 90
PLACES = 2_000
CORNERS = 24
SEED = 20_260_601
KM_DEG = 1 / 111.195

Place = tuple[float, float]


async def compare(pairs: int, seconds: float) -> Sequence[Comparison]:
    """F1."""
    with on_core(serving_core()):
        found = await measured("fences", {"pairs": pairs, "seconds": seconds})
    return [_comparison(found)]


async def measure(arguments: dict[str, Any]) -> Any:
    """In the child: rounds of rates, in turn."""
    few, many = FenceIndex.of(_fences(FEW)), FenceIndex.of(_fences(MANY))
    gc.freeze()  # the collector would count a hundred thousand fences again and again
    places = {"few": _places(few), "many": _places(many)}
    rounds = [
        {
            "many": asdict(_rate(many, places["many"], arguments["seconds"])),
            "few": asdict(_rate(few, places["few"], arguments["seconds"])),
        }
        for _ in range(arguments["pairs"] + 1)
    ]
    return {"rounds": rounds[1:]}


def _comparison(found: dict[str, Any]) -> Comparison:
    pairs = [Pair(rate_of(one["many"]), rate_of(one["few"])) for one in found["rounds"]]
    return Comparison("F1", f"{MANY:,} fences", f"{FEW:,} fences", pairs)


# --- a part of the map ----------------------------------------------------------------------


def _fences(count: int) -> list[Fence]:
    chance = Random(SEED)  # noqa: S311 - the same map in every run
    return [Fence(f"fence-{number:06}", _shape(number, chance)) for number in range(count)]


def _shape(number: int, chance: Random) -> Shape:
    latitude, longitude = _anywhere(chance)
    if number < COUNTRIES:
        return _around(latitude, longitude, chance.uniform(2.0, 5.0), chance)
    if number < COUNTRIES + DISTRICTS:
        return _around(latitude, longitude, chance.uniform(0.5, 20.0) * KM_DEG, chance)
    return Circle(latitude, longitude, chance.uniform(50.0, 2_000.0))


def _around(latitude: float, longitude: float, size_deg: float, chance: Random) -> Area:
    turns = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
    reach = [size_deg * chance.uniform(0.6, 1.0) for _ in turns]
    longitudes = [longitude + far * math.cos(turn) for turn, far in zip(turns, reach, strict=True)]
    latitudes = [latitude + far * math.sin(turn) for turn, far in zip(turns, reach, strict=True)]
    ring = Ring((*longitudes, longitudes[0]), (*latitudes, latitudes[0]))
    return Area((polygon(ring),), "Polygon")


def _anywhere(chance: Random) -> Place:
    return chance.uniform(SOUTH, NORTH), chance.uniform(WEST, EAST)


def _places(index: FenceIndex) -> list[Place]:
    chance = Random(SEED + 1)  # noqa: S311 - the same walk in every run
    fences = list(index.fences.values())
    half = range(PLACES // 2)
    places = [_middle(chance.choice(fences).shape) for _ in half]
    places += [_anywhere(chance) for _ in half]
    chance.shuffle(places)
    return places


def _middle(shape: Shape) -> Place:
    if isinstance(shape, Circle):
        return shape.latitude, shape.longitude
    box = shape.polygons[0].box
    return (box.south + box.north) / 2, (box.west + box.east) / 2


# --- what is measured -----------------------------------------------------------------------


def _rate(index: FenceIndex, places: Sequence[Place], seconds: float) -> Rate:
    watch, count = Stopwatch(), 0
    watch.start()
    while True:
        for latitude, longitude in places:
            index.containing(latitude, longitude)
        count += len(places)
        rate = watch.stop(count)
        if rate.seconds >= seconds:
            return rate


def _tell_size(count: int) -> None:
    tracemalloc.start()
    fences = _fences(count)
    of_fences, _ = tracemalloc.get_traced_memory()
    index = FenceIndex.of(fences)
    whole, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    build_s = _seconds(lambda: FenceIndex.of(fences))
    change_s = _seconds(lambda: index.with_fence(fences[0]))
    places = _places(index)
    hits = sum(len(index.containing(*place)) for place in places) / len(places)
    print(
        f"{count:>7,} fences: built in {build_s:.3f} s, one changed in {change_s * 1e3:.2f} ms;"
        f" fences {of_fences / 1e6:.1f} MB, index {(whole - of_fences) / 1e6:.1f} MB;"
        f" {len(index.cells):,} cells, {len(index.levels)} levels, {hits:.2f} found a look-up"
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


async def _alone(pairs: int, seconds: float) -> None:
    for count in (FEW, MANY):
        _tell_size(count)
    comparison = _comparison(await measure({"pairs": pairs, "seconds": seconds}))
    print(comparison.text())


if __name__ == "__main__":
    asyncio.run(_alone(pairs=5, seconds=1.0))
