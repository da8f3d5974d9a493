"""Quiet hours: until when a promotional message has to wait.

Invariant: an answer is never an instant that is quiet on any clock the person may live by, and it
is the earliest that is not. Wall clocks jump: between two changes of a zone's offset everything is
plain arithmetic, so a wait goes from change to change. Zones come from the atlas; time is given.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from gateway.core.hours import LOOKAHEAD_DAYS, Hours, all_but
from gateway.core.laws import Law, Laws
from gateway.core.places import Atlas, Place
from gateway.core.policy import Quiet

HORIZON: Final = timedelta(days=LOOKAHEAD_DAYS)
_STEP: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
_PREPARED_MAX: Final = 4096
_NEVER: Final = (datetime.max.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))

Clock = tuple[tzinfo, Hours]
"""One wall clock that the person may live by, and what is allowed on it."""


class QuietRules:
    """A policy's quiet hours with the laws, prepared per place and channel as they are asked for.

    What is prepared is kept, up to a bound, for the life of this object.
    """

    def __init__(self, quiet: Quiet, laws: Laws, atlas: Atlas) -> None:
        self._own = {name: all_but(*span) for name, span in quiet.by_channel.items()}
        self._laws = laws.rows if quiet.jurisdictions else ()
        self._regions = laws.regions
        self._atlas = atlas
        self._prepared: dict[tuple[Place, str], tuple[Clock, ...]] = {}
        self._open: dict[tuple[Place, str], tuple[datetime, datetime]] = {}

    def allow(self, place: Place, channel: str, *, now: datetime) -> bool:
        """Whether a channel may be used at a place now.

        Most people of a campaign share a few places, and a yes holds for hours: it is kept with
        the time until which it surely holds.
        """
        since, until = self._open.get((place, channel), _NEVER)
        if since <= now < until:
            return True
        until = now + _STEP
        for zone, hours in self.clocks(place, channel):
            closes_at = _closes_at(zone, hours, now)
            if closes_at is None:
                return False
            until = min(until, closes_at)
        if len(self._open) >= _PREPARED_MAX:
            self._open.clear()
        self._open[place, channel] = (now, until)
        return True

    def clocks(self, place: Place, channel: str) -> tuple[Clock, ...]:
        """The clocks that restrict a channel at a place; none when it has no quiet hours."""
        key = (place, channel)
        found = self._prepared.get(key)
        if found is None:
            if len(self._prepared) >= _PREPARED_MAX:
                self._prepared.clear()
            found = self._prepared[key] = self._prepare(place, channel)
        return found

    def _prepare(self, place: Place, channel: str) -> tuple[Clock, ...]:
        clocks = []
        for name in place.zones:
            hours = self._own.get(channel)
            for law in self._laws:
                if channel in law.channels and self._holds(law, place, name):
                    hours = law.hours if hours is None else hours & law.hours
            if hours is not None:
                clocks.append((self._atlas.zone_of(name), hours))
        return tuple(clocks)

    def _holds(self, law: Law, place: Place, zone: str) -> bool:
        for country in law.countries.intersection(place.countries):
            if not law.region:
                return True
            if place.region in self._regions[country]:
                return place.region == law.region
            # The region is not known: every region that uses this clock holds, and on a clock
            # that is not the country's own (a traveller's, a link's name) every region.
            if zone in law.zones or self._atlas.country_of.get(zone) != country:
                return True
        return False


def quiet_until(rules: QuietRules, place: Place, *, channel: str, now: datetime) -> datetime | None:
    """When a promotional message may go out at the earliest (aware, UTC), None if now.

    Where no instant of the next `HORIZON` is allowed on all clocks at once, the answer is the end
    of it: ask again then.
    """
    if rules.allow(place, channel, now=now):
        return None
    return _first_allowed(rules.clocks(place, channel), now)


def _closes_at(zone: tzinfo, hours: Hours, at: datetime) -> datetime | None:
    """Until when `at` surely stays allowed on one clock; None if it is not."""
    local = at.astimezone(zone)
    minute = hours.closes(local)
    if minute is None:
        return None
    past = timedelta(
        hours=local.hour,
        minutes=local.minute,
        seconds=local.second,
        microseconds=local.microsecond,
    )
    closes_at = at + (timedelta(minutes=minute) - past)
    # Over a change of the clock nothing is sure: then the yes is for this instant only.
    same = closes_at.astimezone(zone).utcoffset() == local.utcoffset()
    return closes_at if same else at


def _first_allowed(clocks: tuple[Clock, ...], now: datetime) -> datetime:
    at, end, content, turn = now, now + HORIZON, 0, 0
    while content < len(clocks) and at < end:
        zone, hours = clocks[turn % len(clocks)]
        allowed_at = _next_on(zone, hours, at=at, end=end)
        content = content + 1 if allowed_at == at else 1
        at, turn = allowed_at, turn + 1
    return at


def _next_on(zone: tzinfo, hours: Hours, *, at: datetime, end: datetime) -> datetime:
    """The first instant from `at` on that one clock allows, at most `end`."""
    while at < end:
        local = at.astimezone(zone)
        if hours.allow(local):
            return at
        wall = hours.next_allowed(local.replace(tzinfo=None))
        wait = _STEP if wall is None else min(_STEP, wall - local.replace(tzinfo=None))
        offset = local.utcoffset()
        if (at + wait).astimezone(zone).utcoffset() == offset:
            at += wait
        else:
            at = _change(zone, at, at + wait)
    return end


def _change(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """The first whole second after `before` with another offset; zones change on whole seconds."""
    offset = before.astimezone(zone).utcoffset()
    start = before.replace(microsecond=0)
    low, high = 0, int((after - start) / _SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if (start + middle * _SECOND).astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return start + high * _SECOND
