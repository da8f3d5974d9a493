"""The gates, whatever is known: no closed way is taken, no cap is broken, no end is unexplained."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from support import sends

from gateway.core import gates
from gateway.core.gates import ADDRESS_CAUSES, EVERYTHING, Cause, End, Go, Known, Reason, Rules
from gateway.core.gates import Standing as Word
from gateway.core.plan import Plan
from gateway.core.policy import Cap, parse
from gateway.policies import load_atlas, quiet_rules

CHANNELS = ("email", "sms", "push")
SECRET = b"secret"
CAMPAIGN = "spring"
NIGHT = quiet_rules(parse('[quiet_hours]\nsms = ["21:00", "08:00"]\n', ""), load_atlas())
ASKED = sends.data(campaign=CAMPAIGN)
WHOLE = sends.plan(ASKED, secret=SECRET, channels=CHANNELS)

moments = st.integers(-14 * 24, 14 * 24).map(lambda hours: sends.NOW + timedelta(hours=hours))
channels = st.sampled_from(CHANNELS)
touches = st.lists(st.tuples(channels, moments), max_size=8)
windows = st.integers(1, 14).map(lambda days: timedelta(days=days))
caps = st.builds(
    Cap, windows, st.integers(1, 4), st.frozensets(channels, min_size=1, max_size=len(CHANNELS))
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A send on some channels in some order, promotional or not, with or without limits in time."""
    order = draw(st.lists(channels, min_size=1, max_size=3, unique=True))
    routes = tuple(route for name in order for route in WHOLE.routes if route.channel == name)
    return structs.replace(
        WHOLE,
        routes=routes,
        purpose=draw(st.sampled_from(["promotional", "transactional"])),
        not_before=draw(st.none() | moments),
        expires_at=draw(st.none() | moments),
        zones=draw(st.sampled_from([(), ("UTC",), ("America/New_York", "Asia/Tokyo")])),
    )


@st.composite
def words(draw: st.DrawFn) -> list[Word]:
    """Yeses and noes of the person and their addresses, of any cause and scope."""
    subjects = sorted({WHOLE.person, *(key for one in WHOLE.routes for key in one.subjects)})
    one = st.builds(
        Word,
        subject=st.sampled_from(subjects),
        channel=channels,
        topic=st.sampled_from(["", CAMPAIGN, "autumn"]),
        cause=st.sampled_from(list(Cause)),
        is_revoked=st.booleans(),
        occurred_at=moments,
    )
    return draw(st.lists(one, max_size=5))


rules = st.builds(
    Rules,
    caps=st.lists(caps, max_size=3).map(tuple),
    quiet=st.sampled_from([None, NIGHT]),
    needs_sms_proof=st.booleans(),
)


def known(said: list[Word], touched: list[tuple[str, datetime]]) -> Known:
    """What the store knows."""
    by_subject: dict[bytes, list[Word]] = {}
    for word in said:
        by_subject.setdefault(word.subject, []).append(word)
    return Known(by_subject, touched)


def closes(word: Word, plan: Plan, channel: str) -> bool:
    """The rule of consent in other words than the code's: does this word close the channel."""
    concerns = {plan.person, *next(r.subjects for r in plan.routes if r.channel == channel)}
    if not word.is_revoked or word.channel != channel or word.subject not in concerns:
        return False
    return word.topic in ("", CAMPAIGN) and (plan.is_promotional or word.cause in EVERYTHING)


@given(plans(), words(), touches, rules)
def test_c6_c16_what_goes_out_was_closed_by_nobody(
    plan: Plan, said: list[Word], touched: list[tuple[str, datetime]], by: Rules
) -> None:
    """No word closes the way taken; some word, cap or time closes every better one."""
    answer = gates.ask(plan, known(said, touched), by, now=sends.NOW)
    if isinstance(answer, End):
        return
    channel = plan.routes[answer.position].channel
    assert not any(closes(word, plan, channel) for word in said)
    for place in range(answer.position):
        passed = plan.routes[place].channel
        assert any(passed in gate.detail for gate in answer.gates), "skipped without a reason"


@given(plans(), words(), touches, rules)
def test_c12_what_goes_out_keeps_its_time(
    plan: Plan, said: list[Word], touched: list[tuple[str, datetime]], by: Rules
) -> None:
    """Not before `not_before`, before the end, and asked again at its due time it is not late."""
    answer = gates.ask(plan, known(said, touched), by, now=sends.NOW)
    if isinstance(answer, End):
        return
    assert answer.due_at >= max(sends.NOW, plan.not_before or sends.NOW)
    assert plan.expires_at is None or answer.due_at < plan.expires_at
    if not by.caps:
        again = gates.ask(plan, known(said, touched), by, now=answer.due_at)
        assert isinstance(again, Go)
        assert again.due_at == answer.due_at


@given(plans(), st.lists(moments, min_size=1, max_size=25), st.lists(caps, min_size=1, max_size=3))
def test_c21_whatever_is_let_out_in_whatever_order_no_cap_breaks(
    plan: Plan, when: list[datetime], limits: list[Cap]
) -> None:
    """A person's history of one answer after another holds every cap in every window."""
    plan = structs.replace(plan, not_before=None, expires_at=None, purpose="promotional")
    sent: list[tuple[str, datetime]] = []
    for now in sorted(when):
        answer = gates.ask(plan, known([], sent), Rules(caps=tuple(limits)), now=now)
        if isinstance(answer, Go):
            sent.append((plan.routes[answer.position].channel, now))
        else:
            assert answer.reason is Reason.FREQUENCY_CAP
    for cap in limits:
        counted = [moment for channel, moment in sent if channel in cap.channels]
        for end in counted:
            assert len([one for one in counted if end - cap.window < one <= end]) <= cap.max


@given(plans(), words(), touches, rules)
def test_receipts_know_neither_caps_nor_nights(
    plan: Plan, said: list[Word], touched: list[tuple[str, datetime]], by: Rules
) -> None:
    """A transactional send is answered as if there were no rules at all."""
    plan = structs.replace(plan, purpose="transactional")
    one = gates.ask(plan, known(said, touched), by, now=sends.NOW)
    other = gates.ask(plan, known(said, []), Rules(), now=sends.NOW)
    assert one == other


@given(plans(), words(), touches, rules)
def test_every_end_has_a_reason_that_is_true(
    plan: Plan, said: list[Word], touched: list[tuple[str, datetime]], by: Rules
) -> None:
    """Expired, closed by a word of that kind, capped or unproven; and the record says which."""
    answer = gates.ask(plan, known(said, touched), by, now=sends.NOW)
    if isinstance(answer, Go):
        return
    noes = [word for word in said if any(closes(word, plan, r.channel) for r in plan.routes)]
    unproven = by.needs_sms_proof and any(route.channel == "sms" for route in plan.routes)
    truths: dict[Reason, Any] = {
        Reason.CONSENT: unproven or any(word.cause not in ADDRESS_CAUSES for word in noes),
        Reason.SUPPRESSED_ADDRESS: any(word.cause in ADDRESS_CAUSES for word in noes),
        Reason.FREQUENCY_CAP: by.caps and touched and plan.is_promotional,
        Reason.EXPIRED: plan.expires_at is not None,
    }
    assert truths[answer.reason]
    assert answer.gates[-1].answer != "passed"


@given(words(), st.booleans())
def test_c22_only_a_general_yes_to_sms_is_proof(said: list[Word], is_first: bool) -> None:  # noqa: FBT001 - hypothesis fills by position
    """With proof required, an SMS goes out only where such a word of consent stands."""
    plan = structs.replace(WHOLE, routes=(WHOLE.routes[1],))
    rest = [word for word in said if word.cause is not Cause.CONSENT or word.topic]
    yes = Word(plan.person, "sms", "", Cause.CONSENT, is_revoked=False, occurred_at=sends.NOW)
    by = Rules(needs_sms_proof=True)
    assert isinstance(gates.ask(plan, known(rest, []), by, now=sends.NOW), End)
    open_words = [word for word in rest if not closes(word, plan, "sms")]
    both = [yes, *open_words] if is_first else [*open_words, yes]
    assert isinstance(gates.ask(plan, known(both, []), by, now=sends.NOW), Go)
