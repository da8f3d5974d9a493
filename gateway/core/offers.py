"""Which offer answers a reason for leaving, read from a table that people write.

Invariant: a table that was read has exactly one answer for everybody, gives discounts only to who
left over the price or for a competitor, and offers nothing to people whose payment failed. Knows
texts and values: not where the table comes from, and nothing of pools but their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Final, get_args

from gateway.core.durations import text_of
from gateway.core.request import Churn, ChurnReason, Money, Offer, OfferKind
from gateway.core.toml_tables import Table, TomlFault, read

REASONS: Final[tuple[ChurnReason, ...]] = get_args(ChurnReason)
KINDS: Final[tuple[OfferKind, ...]] = get_args(OfferKind)
VALUES: Final = ("low", "medium", "high", "unknown")
RECENCY: Final = ("recent", "lapsed", "gone", "unknown")
DISCOUNTS: Final = frozenset({"amount_off", "percent_off"})
PRICE_REASONS: Final = frozenset({"price", "competitor"})
"""A competitor counts as price: there, the price is what they compared."""

_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_AMOUNT: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,6})?")
_TERMS: Final = ("percent", "amounts", "expires_in", "pool")
_KEYS: Final = ("name", "reasons", "values", "recency", "kind", *_TERMS, "why")
_PERCENT_MAX: Final = 100
_POOL_CHARS_MAX: Final = 128

Cell = tuple[str, str, str]
"""A reason, a band of value and a band of recency."""


@dataclass(frozen=True, slots=True)
class OfferRow:
    """An offer, or the choice to offer nothing, for people of these reasons and bands.

    `amounts` are decimal strings by currency; where there are any, the row is for people whose
    lifetime value is in one of the currencies.
    """

    name: str
    why: str
    reasons: frozenset[str]
    values: frozenset[str]
    recency: frozenset[str]
    kind: OfferKind | None
    percent: float | None
    amounts: Mapping[str, str]
    expires_in: str | None
    pool: str | None

    def cells(self) -> set[Cell]:
        """Everybody whom the row is for."""
        return set(product(self.reasons, self.values, self.recency))

    def fits(self, cell: Cell, currency: str | None) -> bool:
        """Whether it is for people of a cell and currency."""
        reason, value, recency = cell
        fits = reason in self.reasons and value in self.values and recency in self.recency
        return fits and (not self.amounts or currency in self.amounts)

    def offer(self, currency: str | None) -> Offer | None:
        """What the row offers to people of a currency; None for nothing."""
        if self.kind is None:
            return None
        amount = self.amounts.get(currency) if currency is not None else None
        return Offer(
            kind=self.kind,
            amount=Money(amount, currency) if amount and currency else None,
            percent=self.percent,
            expires_in=self.expires_in,
            pool=self.pool,
        )


@dataclass(frozen=True, slots=True)
class OfferTable:
    """Rows, of which the first that fits counts, and where the bands begin and end.

    `values` holds the least medium and the least high value by currency.
    """

    rows: tuple[OfferRow, ...]
    values: Mapping[str, tuple[Decimal, Decimal]]
    recent: timedelta
    lapsed: timedelta


@dataclass(frozen=True, slots=True)
class Chosen:
    """The offer for a person (None: nothing), the row that says so, and its reason."""

    offer: Offer | None
    row: str
    why: str


def choose(table: OfferTable, churn: Churn | None, now: datetime) -> Chosen:
    """The offer for a person who left like this, by the first row that fits.

    A reason that nobody gave is `other`. ValueError only for a table that `parse` did not make.
    """
    value = churn.lifetime_value if churn else None
    currency = value.currency if value else None
    cell = cell_of(table, churn, now)
    for row in table.rows:
        if row.fits(cell, currency):
            return Chosen(row.offer(currency), row.name, row.why)
    raise ValueError(f"no row for {', '.join(cell)}")


def cell_of(table: OfferTable, churn: Churn | None, now: datetime) -> Cell:
    """The reason and the bands of a person who left like this."""
    if churn is None:
        return "other", "unknown", "unknown"
    return (
        churn.reason or "other",
        _value_band(table, churn.lifetime_value),
        _recency_band(table, churn.last_active, now),
    )


def _value_band(table: OfferTable, value: Money | None) -> str:
    bounds = table.values.get(value.currency) if value else None
    if value is None or bounds is None:
        return "unknown"
    medium, high = bounds
    amount = Decimal(value.amount)
    if amount >= high:
        return "high"
    return "medium" if amount >= medium else "low"


def _recency_band(table: OfferTable, last_active: date | None, now: datetime) -> str:
    """Whole days by the UTC calendar; a day that lies ahead is recent."""
    if last_active is None:
        return "unknown"
    age = now.astimezone(UTC).date() - last_active
    if age <= table.recent:
        return "recent"
    return "lapsed" if age <= table.lapsed else "gone"


# --- reading ------------------------------------------------------------------------------------


def parse(text: str) -> OfferTable:
    """The table of a TOML text; `TomlFault` names the first key at fault."""
    whole = read(text)
    whole.only(("values", "recency", "rows"))
    whole.needs("recency", "rows")
    recent, lapsed = _recency(whole.table("recency"))
    values = whole.table("values")
    bands = {currency: _bounds(values, currency) for currency in values.values}
    rows = [(table, _row(table)) for table in whole.tables("rows")]
    _check_reach(whole, rows)
    return OfferTable(tuple(row for _, row in rows), bands, recent, lapsed)


def _recency(table: Table) -> tuple[timedelta, timedelta]:
    table.only(("recent", "lapsed"))
    recent, lapsed = (_days(table, key) for key in ("recent", "lapsed"))
    if recent >= lapsed:
        raise table.fault("lapsed", "must be longer than recent")
    return recent, lapsed


def _days(table: Table, key: str) -> timedelta:
    length = table.duration(key)
    if length is None:
        raise table.fault(key, "is missing")
    if length != timedelta(days=length.days):
        raise table.fault(key, "must be in whole days")
    return length


def _bounds(values: Table, currency: str) -> tuple[Decimal, Decimal]:
    _check_currency(values, currency)
    table = values.table(currency)
    table.only(("medium", "high"))
    table.needs("medium", "high")
    medium, high = (Decimal(_amount(table, key)) for key in ("medium", "high"))
    if medium >= high:
        raise table.fault("high", "must be over medium")
    return medium, high


def _check_currency(table: Table, key: str) -> None:
    if not _CURRENCY.fullmatch(key):
        raise table.fault(key, "is no ISO 4217 code, such as EUR")


def _amount(table: Table, key: str) -> str:
    text = table.text(key)
    if not _AMOUNT.fullmatch(text) or not Decimal(text):
        raise table.fault(key, 'must be an amount over 0 in quotes, such as "10.00"')
    return text


def _row(table: Table) -> OfferRow:
    table.only(_KEYS)
    table.needs("name", "reasons", "why")
    length = table.duration("expires_in")
    row = OfferRow(
        name=_said(table, "name"),
        why=_said(table, "why"),
        reasons=table.some_of("reasons", REASONS),
        values=_some_or_all(table, "values", VALUES),
        recency=_some_or_all(table, "recency", RECENCY),
        kind=_kind(table),
        percent=table.number("percent"),
        amounts=_amounts(table.table("amounts")),
        expires_in=text_of(length) if length is not None else None,
        pool=_said(table, "pool") if "pool" in table.values else None,
    )
    _check_terms(table, row)
    _check_kind(table, row)
    return row


def _said(table: Table, key: str) -> str:
    text = table.text(key)
    if not text.strip():
        raise table.fault(key, "is empty")
    return text


def _some_or_all(table: Table, key: str, offered: Iterable[str]) -> frozenset[str]:
    return table.some_of(key, offered) if key in table.values else frozenset(offered)


def _kind(table: Table) -> OfferKind | None:
    text = table.text("kind")
    for kind in KINDS:
        if kind == text:
            return kind
    if "kind" in table.values:
        raise table.fault("kind", f"must be one of {', '.join(KINDS)}; leave it out for no offer")
    return None


def _amounts(table: Table) -> Mapping[str, str]:
    for currency in table.values:
        _check_currency(table, currency)
    return {currency: _amount(table, currency) for currency in table.values}


def _check_terms(table: Table, row: OfferRow) -> None:
    """Every kind has its own terms, whole."""
    if row.kind is None:
        for key in _TERMS:
            if key in table.values:
                raise table.fault(key, "says nothing where there is no offer: kind is missing")
    for key, kind in (("percent", "percent_off"), ("amounts", "amount_off")):
        if row.kind == kind and not table.values.get(key):
            raise table.fault(key, f"is required by {kind}")
        if row.kind != kind and key in table.values:
            raise table.fault(key, f"belongs to {kind}")
    if row.percent is not None and row.percent > _PERCENT_MAX:
        raise table.fault("percent", f"is over {_PERCENT_MAX}")
    if row.pool is not None and len(row.pool) > _POOL_CHARS_MAX:
        raise table.fault("pool", f"is longer than {_POOL_CHARS_MAX} characters")


def _check_kind(table: Table, row: OfferRow) -> None:
    """What may be offered for which reason."""
    if row.kind is None:
        return
    if "payment" in row.reasons:
        raise table.fault("kind", "people whose payment failed get no offer")
    others = sorted(row.reasons - PRICE_REASONS)
    if row.kind in DISCOUNTS and others:
        what = f"a discount is for {' and '.join(sorted(PRICE_REASONS))}, not {', '.join(others)}"
        raise table.fault("kind", what)


def _check_reach(whole: Table, rows: Iterable[tuple[Table, OfferRow]]) -> None:
    """Everybody has a row, and every row has somebody."""
    left = set(product(REASONS, VALUES, RECENCY))
    names: set[str] = set()
    for table, row in rows:
        if row.name in names:
            raise table.fault("name", "is that of an earlier row")
        names.add(row.name)
        if not row.cells() & left:
            raise TomlFault(table.at, "is never reached: earlier rows take everybody it is for")
        if not row.amounts:
            # Who has another currency than the amounts goes on to the rows below.
            left -= row.cells()
    if left:
        what = "no row for reason {}, value {}, recency {}".format(*min(left))
        raise whole.fault("rows", what)
