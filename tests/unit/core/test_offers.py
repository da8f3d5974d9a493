from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest
from support import sends
from support.source import ROOT

from gateway.core.offers import (
    DISCOUNTS,
    PRICE_REASONS,
    REASONS,
    RECENCY,
    VALUES,
    OfferTable,
    cell_of,
    choose,
    parse,
)
from gateway.core.request import Churn, Money, Offer, SendData
from gateway.core.toml_tables import TomlFault
from gateway.core.wire_rules import first_broken

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)
PACKAGED = (ROOT / "gateway/offers.toml").read_text()
TABLE = parse(PACKAGED)

SMALL = """
[values]
EUR = { medium = "100", high = "500.50" }
[recency]
recent = "P60D"
lapsed = "P180D"
[[rows]]
name = "gone"
reasons = ["price"]
values = ["high"]
recency = ["gone"]
kind = "amount_off"
amounts = { EUR = "10.00" }
expires_in = "P14D"
pool = "tens"
why = "They were worth much."
[[rows]]
name = "share"
reasons = ["competitor", "price"]
kind = "percent_off"
percent = 12.5
why = "The price."
[[rows]]
name = "rest"
reasons = ["service", "product", "forgot", "outgrown", "payment", "other"]
why = "Nothing to give."
"""


def churn(days: int | None = 10, amount: str | None = None, **more: Any) -> Churn:
    """Somebody who was active so many days ago and was worth so much."""
    return Churn(
        last_active=None if days is None else NOW.date() - timedelta(days=days),
        lifetime_value=None if amount is None else Money(amount, more.pop("currency", "EUR")),
        **more,
    )


def everybody(table: OfferTable) -> list[Churn]:
    """One person for every reason, band, currency and recency, known or not."""
    people = []
    money: list[Money | None] = [None, Money("1000000", "XTS")]
    for currency, (medium, high) in table.values.items():
        money += [Money(text, currency) for text in ("0", str(medium), str(high))]
    days = (None, 0, table.recent.days + 1, table.lapsed.days + 1)
    for reason, value, ago in product((None, *REASONS), money, days):
        active = None if ago is None else NOW.date() - timedelta(days=ago)
        people.append(Churn(reason=reason, last_active=active, lifetime_value=value))
    return people


# --- the packaged table -------------------------------------------------------------------------


def test_everybody_has_an_answer_and_every_row_has_somebody() -> None:
    """No one falls through, no row is there for nobody, and each answer says why."""
    chosen = [choose(TABLE, one, NOW) for one in everybody(TABLE)]
    assert {one.row for one in chosen} == {row.name for row in TABLE.rows}
    assert all(one.why.endswith(".") and len(one.why) > 20 for one in chosen)
    cells = {cell_of(TABLE, one, NOW) for one in everybody(TABLE)}
    assert cells == set(product(REASONS, VALUES, RECENCY))


def test_only_who_left_over_the_price_gets_a_discount() -> None:
    """A competitor counts as price; to all others a discount would say the price was wrong."""
    discounted = {
        one.reason
        for one in everybody(TABLE)
        if (offer := choose(TABLE, one, NOW).offer) is not None and offer.kind in DISCOUNTS
    }
    assert discounted == PRICE_REASONS


def test_who_did_not_pay_is_never_sold_to() -> None:
    """A failed payment is repaired, whoever it is."""
    payment = [one for one in everybody(TABLE) if one.reason == "payment"]
    assert payment
    assert {choose(TABLE, one, NOW).offer for one in payment} == {None}


def test_every_offer_would_pass_as_a_request() -> None:
    """What is chosen here keeps the rules for offers that come from upstream."""
    offers = [offer for one in everybody(TABLE) if (offer := choose(TABLE, one, NOW).offer)]
    assert offers
    for offer in offers:
        request = SendData("spring", "hello", sends.data().recipient, offer=offer)
        assert first_broken(request, zones=frozenset(), is_large=False) is None


def test_people_worth_more_and_away_longer_never_get_a_smaller_share() -> None:
    """The largest discount is for the best people who have been away the longest."""
    shares = [
        offer.percent
        for days in (10, 100, 400)
        for amount in ("100", "500")
        if (offer := choose(TABLE, churn(days, amount, reason="price"), NOW).offer) is not None
        and offer.percent is not None
    ]
    best = choose(TABLE, churn(400, "500", reason="price"), NOW).offer
    assert best is not None
    assert best.percent == max(shares)


# --- choosing -----------------------------------------------------------------------------------


def test_the_first_row_that_fits_is_taken() -> None:
    """With everything that the row says about the offer."""
    chosen = choose(parse(SMALL), churn(400, "500.50", reason="price"), NOW)
    ten = Offer(kind="amount_off", amount=Money("10.00", "EUR"), expires_in="P2W", pool="tens")
    assert (chosen.offer, chosen.row, chosen.why) == (ten, "gone", "They were worth much.")


def test_an_amount_is_only_for_people_of_its_currency() -> None:
    """Euros are not kroner: without an amount of theirs, people go on to the next row."""
    text = SMALL.replace("[values]", '[values]\nDKK = { medium = "1", high = "2" }')
    chosen = choose(parse(text), churn(400, "900", currency="DKK", reason="price"), NOW)
    assert chosen.row == "share"
    assert chosen.offer == Offer(kind="percent_off", percent=12.5)


def test_a_reason_that_nobody_gave_is_other() -> None:
    """Nothing is given away for a guess."""
    table = parse(SMALL)
    for nobody in (None, Churn(), Churn(reason="other")):
        assert choose(table, nobody, NOW).row == "rest"
        assert choose(table, nobody, NOW).offer is None


@pytest.mark.parametrize(
    ("amount", "currency", "band"),
    [
        ("-5", "EUR", "low"),
        ("99.999999", "EUR", "low"),
        ("100", "EUR", "medium"),
        ("100.00", "EUR", "medium"),
        ("500.49", "EUR", "medium"),
        ("500.5", "EUR", "high"),
        ("999999999999999999", "EUR", "high"),
        ("100", "DKK", "unknown"),
        (None, "EUR", "unknown"),
    ],
)
def test_bands_of_value_are_exact(amount: str | None, currency: str, band: str) -> None:
    """Each begins at its amount; a currency without bands is not guessed."""
    someone = churn(amount=amount, currency=currency) if amount else churn()
    assert cell_of(parse(SMALL), someone, NOW)[1] == band


@pytest.mark.parametrize(
    ("days", "band"),
    [(-1, "recent"), (0, "recent"), (60, "recent"), (61, "lapsed"), (180, "lapsed"),
     (181, "gone"), (None, "unknown")],
)  # fmt: skip
def test_bands_of_recency_hold_their_last_day(days: int | None, band: str) -> None:
    """Whole days; one that lies ahead is recent."""
    assert cell_of(parse(SMALL), churn(days), NOW)[2] == band


def test_today_is_the_day_in_utc() -> None:
    """The same person has the same offer on every replica, whatever its zone."""
    late = datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    someone = Churn(last_active=date(2026, 3, 1) - timedelta(days=61))
    assert cell_of(parse(SMALL), someone, late)[2] == "recent"
    assert cell_of(parse(SMALL), someone, late + timedelta(hours=2))[2] == "lapsed"


# --- reading ------------------------------------------------------------------------------------

NOBODY = 'name = "more"\nreasons = ["price"]\nwhy = "No."\n[[rows]]\n'
GONE = 'values = ["high"]\nrecency = ["gone"]\n'


@pytest.mark.parametrize(
    ("was", "now", "key"),
    [
        ("[values]", "[valeus]", "valeus"),
        ('[recency]\nrecent = "P60D"\nlapsed = "P180D"', "", "recency"),
        ('lapsed = "P180D"', "", "recency.lapsed"),
        ('"P180D"', '"P60D"', "recency.lapsed"),
        ('"P60D"', '"PT36H"', "recency.recent"),
        ('"P60D"', "60", "recency.recent"),
        ("lapsed =", "later =", "recency.later"),
        ("EUR = {", "euro = {", "values.euro"),
        ('medium = "100"', "medium = 100", "values.EUR.medium"),
        ('medium = "100"', 'medium = "0"', "values.EUR.medium"),
        ('medium = "100"', 'medium = "1e2"', "values.EUR.medium"),
        ('medium = "100"', 'medium = "600"', "values.EUR.high"),
        ('medium = "100"', 'medium = "500.5"', "values.EUR.high"),
        (', high = "500.50"', "", "values.EUR.high"),
        ('name = "gone"\n', "", "rows[0].name"),
        ('name = "gone"', 'name = " "', "rows[0].name"),
        ('name = "share"', 'name = "gone"', "rows[1].name"),
        ('why = "They were worth much."', "", "rows[0].why"),
        ('reasons = ["price"]', "", "rows[0].reasons"),
        ('reasons = ["price"]', 'reasons = ["prize"]', "rows[0].reasons"),
        ('values = ["high"]', "values = []", "rows[0].values"),
        ('recency = ["gone"]', 'recency = ["away"]', "rows[0].recency"),
        ('kind = "amount_off"', 'kind = "money_off"', "rows[0].kind"),
        ('kind = "amount_off"', 'kind = ""', "rows[0].kind"),
        ('kind = "amount_off"\n', "", "rows[0].amounts"),
        ('amounts = { EUR = "10.00" }', "", "rows[0].amounts"),
        ('amounts = { EUR = "10.00" }', "amounts = {}", "rows[0].amounts"),
        ('EUR = "10.00"', 'EUR = "-10.00"', "rows[0].amounts.EUR"),
        ('EUR = "10.00"', 'Eur = "10.00"', "rows[0].amounts.Eur"),
        ('expires_in = "P14D"', 'expires_in = "P1M"', "rows[0].expires_in"),
        ('expires_in = "P14D"', 'expires_in = "PT0S"', "rows[0].expires_in"),
        ('pool = "tens"', 'pool = ""', "rows[0].pool"),
        ('pool = "tens"', f'pool = "{"p" * 129}"', "rows[0].pool"),
        ("pool =", "pond =", "rows[0].pond"),
        ("percent = 12.5", "", "rows[1].percent"),
        ("percent = 12.5", "percent = 100.5", "rows[1].percent"),
        ("percent = 12.5", "percent = 0", "rows[1].percent"),
        ("percent = 12.5", 'percent = "12"', "rows[1].percent"),
        ('kind = "percent_off"', 'kind = "gift"', "rows[1].percent"),
        ('why = "Nothing', 'pool = "tens"\nwhy = "Nothing', "rows[2].pool"),
        ('why = "Nothing', 'kind = "consultation"\nwhy = "Nothing', "rows[2].kind"),
        ('["competitor", "price"]', '["competitor", "price", "service"]', "rows[1].kind"),
        (', "other"]', "]", "rows"),
        ('reasons = ["service", "product"', 'reasons = ["product"', "rows"),
        ('name = "rest"', f'{NOBODY}name = "rest"', "rows[2]"),
        ("[[rows]]", "[[row]]", "row"),
        ("[values]", "[values", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_key(was: str, now: str, key: str) -> None:
    """Nothing is half read; what is written wrong is named."""
    assert was in SMALL
    with pytest.raises(TomlFault) as fault:
        parse(SMALL.replace(was, now))
    assert fault.value.key == key


def test_a_gap_is_told_with_who_falls_into_it() -> None:
    """Whoever writes the table reads which row is missing."""
    text = SMALL.replace('kind = "percent_off"', 'values = ["low"]\nkind = "percent_off"')
    with pytest.raises(TomlFault, match="no row for reason competitor, value high, recency gone"):
        parse(text)


def test_amounts_alone_do_not_close_a_gap() -> None:
    """People of another currency need a row as well."""
    text = SMALL.replace('"competitor", "price"', '"competitor"').replace(GONE, "")
    with pytest.raises(TomlFault, match="no row for reason price"):
        parse(text)


def test_people_who_did_not_pay_get_nothing_from_any_table() -> None:
    """Not a discount, and not anything else."""
    for kind in ("gift", "consultation", "points", "free_shipping"):
        with pytest.raises(TomlFault, match="payment failed"):
            parse(SMALL.replace('why = "Nothing', f'kind = "{kind}"\nwhy = "Nothing'))


def test_a_table_that_nobody_read_is_told() -> None:
    """Only a table made by hand has nobody's row."""
    with pytest.raises(ValueError, match="no row for other, unknown, unknown"):
        choose(OfferTable((), {}, timedelta(1), timedelta(2)), None, NOW)
