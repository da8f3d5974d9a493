"""The play of the demo: a campaign goes in, people act, and what becomes of it is shown.

Invariant: each act waits for the facts that it follows from, never for a guess at how long they
take; all acts together have a deadline, and what has not ended by then is named. This file knows
the order of things; what is sent is in `demo_campaign.py` and `demo_acts.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway import demo_acts, demo_campaign
from gateway.app_demo import Stage
from gateway.clock import Clock
from gateway.demo_acts import Observed
from gateway.demo_campaign import Run
from gateway.demo_people import DEEDS, OPTED_OUT, PASSES_BY, PEOPLE, RETURNS, TWICE, Deed, names
from gateway.demo_stream import Told
from gateway.demo_tally import Tally, tally
from gateway.errors import GatewayError
from gateway.terminal_demo import Screen

ENDS_WITHIN_S = 60.0
QUIET_S = 1.5
# What is opened sooner than two seconds after it was sent counts as a scanner's doing.
READS_AFTER_S = 2.1
HEARD_WITHIN_S = 3.0


class Play:
    """What happens on the stage, from the first code to the results."""

    def __init__(
        self,
        stage: Stage,
        screen: Screen,
        clock: Clock,
        run: Run,
        *,
        ends_within_s: float = ENDS_WITHIN_S,
    ) -> None:
        self._stage = stage
        self._screen = screen
        self._clock = clock
        self._run = run
        self._ends_within_s = ends_within_s
        self._asked = demo_campaign.campaign(run)

    async def run(self) -> None:
        """Act by act, sum up; then tell what people do until the stream is closed.

        Raises GatewayError where the acts have no end in time.
        """
        try:
            async with asyncio.timeout(self._ends_within_s):
                state = await self._acts()
        except TimeoutError:
            waiting = tally(self._asked, self._stage.stream.recent()).waiting
            late = ", ".join(sorted({one.key for one in waiting})) or "none of them"
            what = f"after {self._ends_within_s:g} s requests have not ended: {late}"
            raise GatewayError(what) from None
        if self._stage.stream.closed:
            return  # somebody stopped it
        await self._sum_up(state)
        if not self._run.is_once:
            settings, campaign = self._stage.gateway.settings, self._run.campaign
            self._screen.next_steps(settings, demo_campaign.own_event(), campaign=campaign)
            await self._narrate()

    # --- the acts ---------------------------------------------------------------------------

    async def _acts(self) -> Tally:
        await self._prepare()
        await self._stage.publish(self._asked)
        self._screen.published(len(self._asked), len(PEOPLE))
        with self._screen.progress(len(self._asked)) as advance:
            await self._pass_the_shop()
            await self._read()
            await self._return()
            return await self._until_ended(advance)

    async def _prepare(self) -> None:
        """Codes, a fence, and one who has said no before."""
        await self._stage.call(demo_acts.pool_call(self._run))
        await self._stage.call(demo_acts.fence_call(self._run))
        await self._observe(demo_acts.opt_out(self._run, now=self._clock.now()))
        try:
            async with asyncio.timeout(HEARD_WITHIN_S):
                await self._heard(lambda told: _is_told(told, "recipient.unsubscribed", OPTED_OUT))
        except TimeoutError:
            # In a store that is kept the no of an earlier run stands, and is not told again.
            return

    async def _pass_the_shop(self) -> None:
        """Once their request is armed: seen before that, they would have been seen for nothing."""
        await self._heard(
            lambda told: (
                _is_told(told, "send.armed", PASSES_BY)
                or self._are_over(told, {(PASSES_BY, "geo_coupon")})
            )
        )
        now = self._clock.now()
        self._screen.act(now, f"{names()[PASSES_BY]} walks past the shop at {demo_campaign.SHOP}")
        await self._observe(demo_acts.shop_visit(self._run, now=now))

    async def _read(self) -> None:
        """Some open, click, or leave, a moment after their messages have arrived."""
        wanted = {(deed.key, deed.template) for deed in DEEDS} | {(PASSES_BY, "geo_coupon")}
        await self._heard(lambda told: self._are_over(told, wanted))
        await self._clock.sleep(READS_AFTER_S)
        done = [deed.does for deed in DEEDS if await self._do(deed)]
        opened, clicked, left = (done.count(does) for does in ("opens", "clicks", "leaves"))
        what = f"People read: {opened} only open, {clicked} follow a link, {left} unsubscribes"
        self._screen.act(self._clock.now(), what)

    async def _do(self, deed: Deed) -> bool:
        """Whether there was a message to do that with."""
        request_id = self._request_id(deed.key, deed.template)
        delivered = (
            fact.delivery_id
            for fact in self._stage.stream.recent()
            if fact.type == "message.delivered" and fact.request_id == request_id
        )
        content = self._stage.content(next(delivered, ""))
        if content is None:
            return False
        for call in demo_acts.deed_calls(content, deed.does):
            await self._stage.call(call)
        return True

    async def _return(self) -> None:
        """Some are customers again, and what waited for them ends."""
        clicked = {deed.key for deed in DEEDS if deed.does == "clicks" and deed.key in RETURNS}
        await self._heard(
            lambda told: all(_is_told(told, "message.clicked", key) for key in clicked)
        )
        now = self._clock.now()
        for key in RETURNS:
            code = self._code(key) if RETURNS[key].code else ""
            if code:
                await self._stage.call(demo_acts.redemption(key, code, self._run))
            await self._observe(demo_acts.returned(key, code, self._run, now=now))
        who = ", ".join(names()[key] for key in RETURNS)
        self._screen.act(now, f"They come back: {who}; what still waits for them ends")
        await self._heard(
            lambda told: all(_is_told(told, "conversion.attributed", key) for key in RETURNS)
        )

    def _code(self, key: str) -> str:
        """The code that somebody has of this campaign; empty for none."""
        ours = {one.request_id for one in self._asked if one.key == key}
        codes = (
            fact.coupon_code
            for fact in self._stage.stream.recent()
            if fact.coupon_code and fact.request_id in ours
        )
        return next(codes, "")

    # --- waiting ----------------------------------------------------------------------------

    async def _heard(self, is_enough: Callable[[Sequence[Told]], bool]) -> None:
        """Until what was told is enough, or nothing will be told any more."""
        stream = self._stage.stream
        while not stream.closed and not is_enough(told := stream.recent()):
            await stream.wait(told[-1].number if told else 0)

    async def _until_ended(self, advance: Callable[[int], None]) -> Tally:
        """How all ended; what only waits for its time is not waited for, unless it is `--once`."""
        stream = self._stage.stream
        while True:
            told = stream.recent()
            state = tally(self._asked, told)
            advance(state.ended)
            if not state.waiting or stream.closed:
                return state
            more = stream.wait(told[-1].number if told else 0)
            try:
                await asyncio.wait_for(more, None if self._run.is_once else QUIET_S)
            except TimeoutError:
                return state

    def _are_over(self, told: Sequence[Told], wanted: set[tuple[str, str]]) -> bool:
        """Whether the requests of these people and templates have ended, however they did."""
        ours = [one for one in self._asked if (one.key, one.template) in wanted]
        return not tally(ours, told).waiting

    def _request_id(self, key: str, template: str) -> str:
        return next(
            one.request_id for one in self._asked if (one.key, one.template) == (key, template)
        )

    async def _observe(self, event: Observed) -> None:
        await self._stage.publish([event])

    # --- telling ----------------------------------------------------------------------------

    async def _sum_up(self, state: Tally) -> None:
        started_at = self._run.starts_at
        last_at = max((fact.at for fact in self._stage.stream.recent()), default=started_at)
        self._screen.summary(state, took_s=(last_at - started_at).total_seconds())
        self._screen.repeated(self._sent_to_the_one_asked_twice())
        self._screen.results(await self._stage.results(self._run.campaign))

    def _sent_to_the_one_asked_twice(self) -> int:
        twice = next(one.request_id for one in self._asked if one.key == TWICE)
        told = self._stage.stream.recent()
        return sum(one.type == "message.sent" and one.request_id == twice for one in told)

    async def _narrate(self) -> None:
        """A line for each fact from now on."""
        stream, known = self._stage.stream, names()
        told = stream.recent()
        last = told[-1].number if told else 0
        while not stream.closed:
            for fact in stream.recent(last):
                last = fact.number
                self._screen.told(fact, known.get(fact.recipient_id, fact.recipient_id))
            await stream.wait(last)


def _is_told(told: Sequence[Told], kind: str, key: str) -> bool:
    return any(fact.type == kind and fact.recipient_id == key for fact in told)
