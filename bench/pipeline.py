"""P1, P2: the whole gateway against the bare loops, in interleaved pairs, messages per second.

Each run empties a topic of its own in a fresh process on the measured core; broker and sink are on
the serving core. A run of the gateway counts only if the sink got exactly one POST per request,
the output topic an outcome per request, and all offsets are committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench import requests
from bench.figures import Comparison, Pair, Rate
from bench.places import MeasurementError, measured, on_core, rate_of, serving_core
from bench.sink import Sink, running_sink
from gateway.bus.embedded import EmbeddedBroker

KINDS = ("bare-aiohttp", "gateway", "bare-lean")
OTHER_TOPICS = (
    "winback.presence", "winback.conversions", "winback.consent", "winback.sends.dlq",
)  # fmt: skip
TRIAL_COUNT = 2000
"""Records of the first round, which finds out how fast everything is and is not counted."""


@dataclass(frozen=True, slots=True)
class _Run:
    rate: Rate
    body_bytes: float


@dataclass(frozen=True, slots=True)
class _Stage:
    bootstrap: str
    sink: Sink


async def compare(pairs: int, seconds: float) -> Sequence[Comparison]:
    """P1 and P2; prints each pair as it is taken."""
    with on_core(serving_core()):
        async with running_sink() as sink, EmbeddedBroker(_topics(pairs)) as bootstrap:
            stage = _Stage(bootstrap, sink)
            trial = await _round(stage, 0, dict.fromkeys(KINDS, TRIAL_COUNT))
            counts = {kind: _count_for(run.rate, seconds) for kind, run in trial.items()}
            rounds = []
            for number in range(1, pairs + 1):
                rounds.append(await _round(stage, number, counts))
                _tell(number, rounds[-1])
    _tell_sizes(trial["gateway"])
    return [
        Comparison(
            "P1",
            "whole gateway",
            "bare aiohttp loop",
            [_pair(one, "bare-aiohttp", "bare-lean") for one in rounds],
            state="bare lean loop",
        ),
        Comparison(
            "P2",
            "whole gateway",
            "bare lean loop",
            [_pair(one, "bare-lean") for one in rounds],
        ),
    ]


def _pair(runs: dict[str, _Run], theirs: str, state: str | None = None) -> Pair:
    machine = None if state is None else runs[state].rate
    return Pair(runs["gateway"].rate, runs[theirs].rate, machine)


def _topics(pairs: int) -> dict[str, int]:
    names = [name for number in range(pairs + 1) for kind in KINDS for name in _names(kind, number)]
    return dict.fromkeys(names, requests.PARTITIONS) | dict.fromkeys(OTHER_TOPICS, 1)


def _names(kind: str, number: int) -> tuple[str, str]:
    return f"bench.{kind}.{number}", f"bench.{kind}.{number}.out"


def _count_for(rate: Rate, seconds: float) -> int:
    return max(TRIAL_COUNT, min(requests.records_max(), int(rate.per_s * seconds)))


async def _round(stage: _Stage, number: int, counts: dict[str, int]) -> dict[str, _Run]:
    # The order alternates, so that neither side always has the better half of a drift.
    order = KINDS if number % 2 else tuple(reversed(KINDS))
    return {kind: await _run(stage, kind, number, count=counts[kind]) for kind in order}


async def _run(stage: _Stage, kind: str, number: int, *, count: int) -> _Run:
    topic, outcomes = _names(kind, number)
    await requests.fill(stage.bootstrap, topic, count)
    posts_before, bytes_before = await stage.sink.taken()
    found = await measured(
        kind,
        {
            "bootstrap": stage.bootstrap,
            "topic": topic,
            "outcomes": outcomes,
            "sink_url": stage.sink.url,
            "count": count,
        },
    )
    posts, body_bytes = await stage.sink.taken()
    told, committed = await _offsets(stage.bootstrap, topic, outcomes)
    # An outcome may be told twice (the outbox promises at least once), a mail not.
    if (posts - posts_before, committed) != (count, count) or told < count:
        raise MeasurementError(
            f"{kind}: of {count} requests {posts - posts_before} were posted, "
            f"{told} told, {committed} committed"
        )
    if told > count:
        print(f"{kind}: {told - count} of {count} outcomes were told twice")
    return _Run(rate_of(found), (body_bytes - bytes_before) / count)


async def _offsets(bootstrap: str, topic: str, outcomes: str) -> tuple[int, int]:
    """How many outcomes there are, and how many requests are committed."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=f"{topic}.group", enable_auto_commit=False
    )
    inside = [TopicPartition(topic, number) for number in range(requests.PARTITIONS)]
    outside = [TopicPartition(outcomes, number) for number in range(requests.PARTITIONS)]
    async with consumer:
        consumer.assign(inside)
        told = sum((await consumer.end_offsets(outside)).values())
        committed = sum([await consumer.committed(where) or 0 for where in inside])
    return told, committed


def _tell(number: int, runs: dict[str, _Run]) -> None:
    told = "  ".join(f"{kind} {runs[kind].rate.text()}" for kind in KINDS)
    pair = _pair(runs, "bare-aiohttp")
    print(
        f"pipeline {number}: {told}  ratio {pair.ratio:.3f}, cpu {pair.cpu_ratio:.3f}", flush=True
    )


def _tell_sizes(run: _Run) -> None:
    key, value = requests.request("00000000", 0)
    print(f"a request has {len(key) + len(value)} bytes, our body {run.body_bytes:,.0f} bytes")
