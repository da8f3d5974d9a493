"""Who falls into which arm of an experiment, or is held out, and what an arm changes.

Invariant: the answer depends on the experiment and the person alone: never on the campaign, the
request, the process, the time or the order of the variants. Knows no secret, so that analysts can
repeat every draw; draws are BLAKE2b, not random.

The hold-out is drawn first, by a draw of its own: a larger hold-out only takes people out of arms.
The arms are drawn by weighted rendezvous (each variant draws for the person, and the draw that is
best for its weight wins): more weight for one variant, or a new variant, moves people into it and
nobody between the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import log
from typing import Final

from msgspec import structs

from gateway.core.plan import normal_address
from gateway.core.request import Experiment, SendData, Variant

DRAW_BITS: Final = 53
"""As many as a float holds exactly: a draw is never rounded up to one."""


@dataclass(frozen=True, slots=True)
class Arm:
    """The variant of a person by name (None: as the request says), or that they are held out."""

    variant: str | None
    is_holdout: bool


NO_ARM: Final = Arm(None, is_holdout=False)
HELD_OUT: Final = Arm(None, is_holdout=True)


def person_key(data: SendData) -> bytes:
    """Who a person is to experiments: their e-mail address, else their number, else their id.

    Two profiles with one address are one person, so that a duplicate cannot leak out of the
    hold-out. 16 bytes of BLAKE2b without a key: it is not for output or for the store.
    """
    who = data.recipient
    email = normal_address("email", who.email) if who.email else ""
    if email:
        kind, value = "email", email
    elif who.phone:
        kind, value = "sms", who.phone
    else:
        kind, value = "person", who.id
    return blake2b(f"{kind}:{value}".encode(), digest_size=16, person=b"arm person").digest()


def arm(experiment: Experiment, person_key: bytes) -> Arm:
    """The arm of a person; of variants with one name only the first counts.

    Without a variant that has weight, who is not held out gets what the request says.
    """
    if _draw(experiment.name, "", person_key, kind=b"holdout") < experiment.holdout:
        return HELD_OUT
    variants = _distinct(experiment.variants)
    heaviest = max((one.weight for one in variants), default=0.0)
    weights = {one.name: one.weight / heaviest for one in variants if one.weight > 0}
    # A weight too small beside the heaviest becomes nothing in the division: nobody draws it.
    drawn = [
        (-log(1 - _draw(experiment.name, name, person_key, kind=b"variant")) / weight, name)
        for name, weight in weights.items()
        if weight > 0
    ]
    return Arm(min(drawn)[1], is_holdout=False) if drawn else NO_ARM


def _distinct(variants: Sequence[Variant]) -> Sequence[Variant]:
    return tuple({one.name: one for one in reversed(variants)}.values())


def _draw(experiment: str, variant: str, person_key: bytes, *, kind: bytes) -> float:
    """A number from 0 to under 1, the same for the same names and person."""
    named = f"{len(experiment)}:{experiment}{len(variant)}:{variant}".encode()
    digest = blake2b(named + person_key, digest_size=8, person=kind).digest()
    return (int.from_bytes(digest, "big") >> (64 - DRAW_BITS)) / (1 << DRAW_BITS)


def applied(data: SendData, arm: Arm) -> SendData:
    """The request as its arm has it: another template or offer, variables over the request's own.

    A variable that the variant does not name stays. ValueError where the experiment has no variant
    of the arm's name.
    """
    if arm.variant is None:
        return data
    found = [one for one in _variants(data) if one.name == arm.variant]
    if not found:
        raise ValueError("the request's experiment has no such variant")
    variant = found[0]
    return structs.replace(
        data,
        template=variant.template if variant.template is not None else data.template,
        variables={**data.variables, **(variant.variables or {})},
        offer=variant.offer if variant.offer is not None else data.offer,
    )


def path_in(variant: Variant, place: int, path: str) -> str:
    """Where the request says what a path of the applied request names: itself, or its variant."""
    told = path.removeprefix("$.data.")
    field, _, name = told.partition(".")
    is_its_own = {
        "template": variant.template is not None,
        "offer": variant.offer is not None,
        "variables": name.partition(".")[0].partition("[")[0] in (variant.variables or {}),
    }
    if not is_its_own.get(field, False):
        return path
    return f"$.data.experiment.variants[{place}].{told}"


def _variants(data: SendData) -> Sequence[Variant]:
    return data.experiment.variants if data.experiment is not None else ()
