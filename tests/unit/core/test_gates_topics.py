"""A word about one campaign: what it closes, and what it leaves alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.sends import NOW, data, plan

from gateway.core.gates import Cause, End, Go, Known, Rules, Standing, ask
from gateway.core.plan import Plan

SECRET = b"s" * 32


def asked(standings: dict[bytes, list[Standing]], made: Plan, **rules: bool) -> Go | End:
    """The gates' answer."""
    return ask(made, Known(standings), Rules(**rules), now=NOW)


def said(made: Plan, topic: str, **more: object) -> dict[bytes, list[Standing]]:
    """What the plan's person said of a campaign."""
    fields = {"channel": "email", "cause": Cause.CONSENT, "is_revoked": True, **more}
    standing = Standing(made.person, topic=topic, occurred_at=NOW - timedelta(1), **fields)  # type: ignore[arg-type]
    return {made.person: [standing]}


@pytest.mark.parametrize("channel", ["email", "all"])
def test_a_no_to_a_campaign_closes_its_sends(channel: str) -> None:
    """The campaign of that name ends as `consent`."""
    made = plan(data(campaign="spring"), secret=SECRET)
    answer = asked(said(made, "spring", channel=channel), made)
    assert isinstance(answer, End)
    assert answer.reason == "consent"


def test_a_no_to_a_campaign_leaves_the_others_alone() -> None:
    """Another campaign goes out, and so does a transactional message of the same one."""
    made = plan(data(campaign="summer"), secret=SECRET)
    assert isinstance(asked(said(made, "spring"), made), Go)
    needed = plan(data(campaign="spring", purpose="transactional"), secret=SECRET)
    assert isinstance(asked(said(needed, "spring"), needed), Go)


def test_a_no_to_a_campaign_on_one_channel_leaves_the_next() -> None:
    """The next channel of the request is tried."""
    made = plan(data(campaign="spring"), secret=SECRET, channels=("email", "sms"))
    answer = asked(said(made, "spring"), made)
    assert isinstance(answer, Go)
    assert answer.position == 1


def test_a_no_to_a_channel_holds_for_every_campaign() -> None:
    """A yes to the campaign does not open a closed channel."""
    made = plan(data(campaign="spring"), secret=SECRET)
    standings = said(made, "")
    standings[made.person] += said(made, "spring", is_revoked=False)[made.person]
    assert isinstance(asked(standings, made), End)


def test_a_yes_to_a_campaign_is_no_proof_for_sms() -> None:
    """Where SMS needs proof of consent, only a word about the channel is one."""
    made = plan(data(campaign="spring"), secret=SECRET, channels=("sms",))
    of_campaign = said(made, "spring", channel="sms", is_revoked=False)
    assert isinstance(asked(of_campaign, made, needs_sms_proof=True), End)
    of_channel = said(made, "", channel="sms", is_revoked=False)
    assert isinstance(asked(of_channel, made, needs_sms_proof=True), Go)
