"""Every yes and every no: one ledger that only grows, and the newest word of each subject."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gateway.core import facts, ids
from gateway.core.engagement import EventType
from gateway.core.facts import Fact
from gateway.core.gates import Cause, Standing, Standings
from gateway.core.plan import Plan
from gateway.store.contract import Change
from gateway.store.rows import standings_for, tell_facts
from gateway.store.script import Ask, Row, Script, Tell, to_ms

CHANNELS = ("email", "sms", "push")

Told = tuple[Plan, int, int]
"""The delivery that a change answers: plan, position, and the number of its send."""


def tell_changes(
    changes: Sequence[Change], *, now: datetime, secret: bytes | None = None
) -> Script[None]:
    """Write changes into the ledger; a change that says nothing new is not told again."""
    for change in changes:
        yield from tell_change(change, now=now, secret=secret)


def tell_change(
    change: Change, *, now: datetime, secret: bytes | None, told: Told | None = None
) -> Script[Sequence[bytes]]:
    """One change; the subjects that it is about.

    With `secret` the people whom its addresses belong to are subjects too; with `told` its fact
    names the delivery that it answers.
    """
    people = yield from _people(change)
    subjects = list(change.subjects)
    if secret is not None:
        subjects += [ids.subject_key(secret, "person", person) for person in people]
    subjects = list(dict.fromkeys(subjects))
    if change.recipient_id and not change.delivery_id:  # an address that came with a person
        known = [(subject, change.recipient_id, change.channel) for subject in change.subjects]
        yield Tell("insert_addresses", known)
    standings = yield from standings_for(subjects)
    channels = CHANNELS if change.channel == "all" else (change.channel,)
    said = [
        (subject, channel, cause)
        for subject in subjects
        for channel in channels
        for cause in _causes(change)
        if _is_news(change, standings, subject, (channel, cause))
    ]
    yield Tell("upsert_standings", [_standing_row(change, *one) for one in said])
    yield Tell("insert_ledger", [_ledger_row(change, *one, now=now) for one in said])
    news = [one for one in said if change.is_revoked or _undoes(change, standings, one)]
    if news and change.fact is not None:
        wanted = [channel for channel in channels if any(one[1] == channel for one in news)]
        send_seq = told[2] if told else None
        found = _facts(change, people, subjects[0], wanted, told=told)
        yield from tell_facts([(send_seq, fact) for fact in found])
    return subjects


def _people(change: Change) -> Script[list[str]]:
    """The people a change is about: the one it names, else those its addresses belong to."""
    if change.recipient_id:
        return [change.recipient_id]
    found = yield Ask("recipients_of", [(subject,) for subject in change.subjects])
    return list(dict.fromkeys(person for _, person in found))


def _causes(change: Change) -> Sequence[Cause]:
    return change.undoes if not change.is_revoked and change.undoes else (change.cause,)


def _is_news(change: Change, standings: Standings, subject: bytes, what: tuple[str, Cause]) -> bool:
    """A word is news unless the same was said before or a later word stands already."""
    before = _before(change, standings, subject, what)
    if before is None:  # a yes is worth keeping only as proof of consent
        return change.is_revoked or what[1] is Cause.CONSENT
    return before.is_revoked != change.is_revoked and before.occurred_at <= change.occurred_at


def _undoes(change: Change, standings: Standings, said: tuple[bytes, str, Cause]) -> bool:
    """A yes is told where it takes back a no."""
    before = _before(change, standings, said[0], (said[1], said[2]))
    return before is not None and before.is_revoked


def _before(
    change: Change, standings: Standings, subject: bytes, what: tuple[str, Cause]
) -> Standing | None:
    for standing in standings.get(subject, ()):
        if (standing.channel, standing.cause, standing.topic) == (*what, change.topic):
            return standing
    return None


def _standing_row(change: Change, subject: bytes, channel: str, cause: Cause) -> Row:
    said_at = to_ms(change.occurred_at)
    return (subject, channel, change.topic, cause.value, int(change.is_revoked), said_at)


def _ledger_row(
    change: Change, subject: bytes, channel: str, cause: Cause, *, now: datetime
) -> Row:
    return (
        subject, channel, change.topic, cause.value, int(change.is_revoked), change.source,
        change.evidence, to_ms(change.occurred_at), to_ms(now),
    )  # fmt: skip


def _facts(
    change: Change,
    people: Sequence[str],
    subject: bytes,
    channels: Sequence[str],
    *,
    told: Told | None,
) -> list[Fact]:
    """One fact per person, or one keyed by the address where nobody is known."""
    said_at = str(to_ms(change.occurred_at))
    return [
        facts.of_person(
            EventType(change.fact or ""),
            name=(change.cause.value, change.topic, said_at),
            recipient_id=person,
            subject=subject,
            channel=channel,
            at=change.occurred_at,
            reason=change.cause.value,
            detail=change.topic or None,
            provider=change.source if change.cause is Cause.PROVIDER else None,
            answers=None if told is None else (told[0], told[1]),
        )
        for person in (people or (None,))
        for channel in channels
    ]
