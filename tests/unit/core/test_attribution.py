from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from support import sends

from gateway.core.attribution import Credit, Touched, credit, state_of

NOW = sends.NOW
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MS = timedelta(milliseconds=1)
WINDOWS = {"email": 5 * DAY, "sms": DAY, "push": DAY}
PLAN = sends.plan(sends.data(), secret=b"secret")
TEST = sends.plan(sends.data(test=True), secret=b"secret", name="r2")


def touch(seq: int, channel: str = "email", **more: Any) -> Touched:
    """A delivery that was sent an hour ago."""
    fields: dict[str, Any] = {
        "send_seq": seq,
        "position": 0,
        "plan": PLAN,
        "channel": channel,
        "sent_at": NOW - HOUR,
        "delivered_at": None,
        "clicked_at": None,
        "coupon_code": None,
        "is_holdout": False,
        **more,
    }
    return Touched(**fields)


def found(*touched: Touched, code: str | None = None) -> tuple[int, str, str | None] | None:
    """Whom a conversion now is credited to: send, rule, window; the same in any order."""
    answers: set[Credit | None] = set()
    for order in permutations(touched):
        answers.add(credit(order, WINDOWS, at=NOW, coupon_code=code))
    (answer,) = answers
    return None if answer is None else (answer.touched.send_seq, answer.by, answer.window)


def test_the_first_rule_that_finds_somebody_counts() -> None:
    """Coupon before click before delivered before accepted, whatever is the latest."""
    accepted = touch(1, sent_at=NOW)
    delivered = touch(2, sent_at=NOW - 4 * HOUR, delivered_at=NOW - HOUR)
    clicked = touch(3, sent_at=NOW - 5 * HOUR, clicked_at=NOW - 2 * HOUR)
    carrying = touch(4, sent_at=NOW - 6 * HOUR, coupon_code="AB2")
    everything = (accepted, delivered, clicked, carrying)
    assert found(*everything, code="AB2") == (4, "coupon", "P5D")
    assert found(*everything) == (3, "click", "P5D")
    assert found(accepted, delivered, carrying) == (2, "delivered", "P5D")
    assert found(accepted, carrying) == (1, "accepted", "P5D")
    assert found() is None


@pytest.mark.parametrize("moment", ["clicked_at", "delivered_at", "sent_at"])
def test_the_last_one_before_the_conversion_counts(moment: str) -> None:
    """Not the first, and not one that came after."""
    old, last, later = (
        touch(seq, **{"sent_at": NOW - 9 * DAY, moment: NOW + at})
        for seq, at in ((1, -2 * HOUR), (2, -HOUR), (3, MS))
    )
    answer = found(old, last, later)
    assert answer is not None
    assert answer[0] == 2


@pytest.mark.parametrize(("channel", "text"), [("email", "P5D"), ("sms", "P1D"), ("push", "P1D")])
def test_the_window_is_that_of_the_channel_and_holds_its_last_moment(
    channel: str, text: str
) -> None:
    """A conversion exactly a window later counts, a millisecond more does not."""
    window = WINDOWS[channel]
    assert found(touch(1, channel, sent_at=NOW - window)) == (1, "accepted", text)
    assert found(touch(1, channel, sent_at=NOW - window - MS)) is None


def test_a_window_counts_from_the_moment_that_credits() -> None:
    """A late click opens the window again; a rule whose window is over leaves it to the next."""
    late = touch(1, "sms", sent_at=NOW - 3 * DAY, clicked_at=NOW - HOUR)
    over = touch(2, sent_at=NOW - 9 * DAY, clicked_at=NOW - 6 * DAY)
    fresh = touch(3, "push", sent_at=NOW - HOUR)
    assert found(late, over, fresh) == (1, "click", "P1D")
    assert found(over, fresh) == (3, "accepted", "P1D")


def test_of_one_moment_the_later_send_counts_then_the_later_delivery() -> None:
    """Ties have an answer that does not depend on the store's order."""
    assert found(touch(1), touch(3), touch(2)) == (3, "accepted", "P5D")
    answer = credit([touch(1, position=1), touch(1)], WINDOWS, at=NOW)
    assert answer is not None
    assert answer.touched.position == 1


def test_a_channel_without_a_window_credits_nothing_but_codes() -> None:
    """A policy that leaves a channel out means it, also for a conversion at the same moment."""
    windows = {"email": DAY}
    sms = touch(1, "sms", sent_at=NOW, clicked_at=NOW, coupon_code="AB2")
    assert credit([sms], windows, at=NOW) is None
    assert credit([sms], windows, at=NOW, coupon_code="AB2") == Credit(sms, "coupon", None)


# --- coupons ------------------------------------------------------------------------------------


def test_a_code_proves_by_itself_also_after_the_window() -> None:
    """A code redeemed on its last day is credited; that no window held it is said."""
    old = touch(1, sent_at=NOW - 13 * DAY, coupon_code="AB2")
    assert found(old, touch(2, clicked_at=NOW - HOUR), code="AB2") == (1, "coupon", None)


def test_a_code_that_went_out_again_belongs_to_the_delivery_that_issued_it() -> None:
    """As in the facts about the coupon: the first that was accepted."""
    first = touch(1, sent_at=NOW - 3 * DAY, coupon_code="AB2")
    again = touch(2, "sms", sent_at=NOW - HOUR, coupon_code="AB2", clicked_at=NOW - HOUR)
    assert found(first, again, code="AB2") == (1, "coupon", "P5D")


@pytest.mark.parametrize("typed", ["AB2", "ab2", " a B2 "])
def test_a_code_is_known_however_it_was_typed(typed: str) -> None:
    """Shops pass on what people type; pools may hold small letters."""
    for kept in ("AB2", "ab2"):
        assert found(touch(1, coupon_code=kept), touch(2), code=typed) == (1, "coupon", "P5D")


@pytest.mark.parametrize("code", ["OTHER", "", None])
def test_a_code_of_nobody_leaves_it_to_the_other_rules(code: str | None) -> None:
    """Also where deliveries carried no code."""
    assert found(touch(1), touch(2, coupon_code="AB2"), code=code) == (2, "accepted", "P5D")


# --- hold-outs and tests ------------------------------------------------------------------------


def test_a_held_out_persons_conversion_is_of_the_newest_holdout_in_its_window() -> None:
    """The caller sees that the touch is a hold-out, and credits nobody."""
    old = touch(1, sent_at=NOW - 2 * DAY, is_holdout=True)
    new = touch(2, sent_at=NOW - DAY, is_holdout=True)
    assert found(old, new) == (2, "holdout", "P5D")
    assert found(touch(1, sent_at=NOW - 6 * DAY, is_holdout=True)) is None


def test_a_message_that_was_sent_comes_before_a_holdout() -> None:
    """Somebody held out of one campaign may have had a message of another."""
    held = touch(2, sent_at=NOW - HOUR, is_holdout=True)
    assert found(touch(1, sent_at=NOW - DAY), held) == (1, "accepted", "P5D")


def test_a_holdout_carries_no_code() -> None:
    """Nobody who got no message can redeem its coupon."""
    held = touch(1, is_holdout=True, coupon_code="AB2")
    assert found(held, code="AB2") == (1, "holdout", "P5D")


def test_a_test_takes_no_credit_from_what_is_real() -> None:
    """The whole path can be tried on a real person without their results changing."""
    trial = touch(2, plan=TEST, clicked_at=NOW - HOUR, coupon_code="AB2")
    assert found(trial, touch(1, sent_at=NOW - DAY), code="AB2") == (1, "accepted", "P5D")
    assert found(trial, touch(1, is_holdout=True)) == (1, "holdout", "P5D")
    assert found(trial, code="AB2") == (2, "coupon", "P5D")


# --- where a person stands ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        ("", "exhausted"),
        ("open", "silent"),
        ("clicked", "interested"),
        ("clicked open", "interested"),
        ("opted_out clicked open", "opted_out"),
        ("returned opted_out clicked open", "returned"),
        ("returned", "returned"),
    ],
)
def test_where_a_person_stands(facts: str, state: str) -> None:
    """What they did last counts for more than what we still plan."""
    assert (
        state_of(
            is_opted_out="opted_out" in facts,
            has_returned="returned" in facts,
            has_clicked="clicked" in facts,
            has_open="open" in facts,
        )
        == state
    )
