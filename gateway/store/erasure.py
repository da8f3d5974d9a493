"""Who was erased: asked before anything that a person once sent is shown or sent again."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.gates import Cause
from gateway.store.rows import standings_for
from gateway.store.script import Script


def erased(subjects: Iterable[bytes]) -> Script[frozenset[bytes]]:
    """Those of these subjects (keyed hashes of people and addresses) that were erased."""
    known = yield from standings_for(subjects)
    return frozenset(
        subject
        for subject, standings in known.items()
        if any(one.cause is Cause.ERASED and one.is_revoked for one in standings)
    )
