"""What the page on the business embeds: aggregates of which none is of 1 to 10 persons.

Whoever has the page has everything in it, so what may not be seen is left out here and not by the
page's script. Amounts are whole cents; ``None`` is a number that is hidden.
"""

from __future__ import annotations

import calendar
import operator
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import product
from typing import Any, NamedTuple

from etl.reports.business_rows import (
    BandRow,
    Business,
    CoverageRow,
    FlowRow,
    ItemRow,
    LagRow,
    PersonsRow,
    ShareRow,
)
from etl.reports.small_cells import ALL, Count, Hidden, Key, Table, hide
from etl.schema.masked import FEWEST_PERSONS

# So many specialties, diagnoses and classes of drugs are listed.
MOST_ITEMS = 10


class Period(NamedTuple):
    """A month or quarter; those of a year that are complete are hidden together."""

    first: date
    is_complete: bool

    @property
    def block(self) -> tuple[int, date | None]:
        """What is hidden together: a period that goes on is in none of the year's sums."""
        return (self.first.year, None if self.is_complete else self.first)


@dataclass(slots=True)
class Family:
    """Measures that are hidden together: values and persons by period, state and tier.

    ``counts``: several where persons are counted apart, such as those who came and who went.
    """

    measures: tuple[str, ...]
    periods: list[Period]
    counts: dict[tuple[date, str, str], tuple[Count, ...]] = field(default_factory=dict)
    values: dict[tuple[date, str, str], tuple[int, ...]] = field(default_factory=dict)

    def add(self, key: tuple[date, str, str], values: tuple[int, ...]) -> None:
        """Add values to those of a cell."""
        before = self.values.get(key, (0,) * len(values))
        self.values[key] = tuple(map(operator.add, before, values))

    def counted_by(self, rows: Iterable[PersonsRow]) -> Family:
        """The family, its cells judged by these persons."""
        persons = {(r.period, r.state, r.metal_tier): r.persons for r in rows}
        for key, values in self.values.items():
            self.counts[key] = (Count(persons.get(key, 0), key in persons or any(values)),)
        return self

    def shown(self) -> dict[str, Any]:
        """The measures by state and tier without what is hidden, and their sums.

        Sums are left out where nothing is hidden: then the page's script adds the cells.
        """
        keys = sorted({(state, tier) for _, state, tier in self.values})
        hidden = {p.block: self._hidden(p.block, keys) for p in self.periods}
        cells: dict[str, list[list[int | None]]] = {}
        sums = [] if set(hidden.values()) <= {Hidden()} else [ALL]
        states, tiers = ([*sums, *sorted({k[at] for k in keys})] for at in (0, 1))
        for state, tier in product(states, tiers):
            of = [k for k in keys if state in (ALL, k[0]) and tier in (ALL, k[1])]
            if of:
                cells[f"{state}|{tier}"] = self._series(state, tier, of, hidden)
        return {"measures": self.measures, "cells": cells}

    def _hidden(self, block: tuple[int, date | None], keys: Collection[Key]) -> Hidden:
        none = (Count(),) * self._counted
        table: Table = {
            key: [
                count
                for p in self.periods
                if p.block == block
                for count in self.counts.get((p.first, *key), none)
            ]
            for key in keys
        }
        return hide(table)

    @property
    def _counted(self) -> int:
        return len(next(iter(self.counts.values()), ()))

    def _series(
        self,
        state: str,
        tier: str,
        keys: Sequence[Key],
        hidden: dict[tuple[int, date | None], Hidden],
    ) -> list[list[int | None]]:
        """One list a measure, with a number a period."""
        zeros = (0,) * len(self.measures)
        series: list[list[int | None]] = [[] for _ in self.measures]
        for period in self.periods:
            is_hidden = hidden[period.block].covers(state, tier)
            found = (self.values.get((period.first, *key), zeros) for key in keys)
            sums = [sum(column) for column in zip(*found, strict=True)]
            for numbers, value in zip(series, sums, strict=True):
                numbers.append(None if is_hidden else value)
        return series


def embedded(business: Business) -> dict[str, Any]:
    """The data of the page, ready to be written as JSON."""
    months = sorted({Period(r.month, r.is_complete) for r in business.coverage})
    quarters = sorted({Period(r.quarter, r.is_complete) for r in business.flows})
    years = sorted({Period(_year(month), True) for month, complete in months if complete})
    states, tiers = (
        sorted({getattr(row, name) for row in business.coverage})
        for name in ("state", "metal_tier")
    )
    return {
        "few": FEWEST_PERSONS - 1,
        "states": states,
        "tiers": _by_metal(tiers),
        "months": [
            {
                "first": str(month.first),
                "days": calendar.monthrange(month.first.year, month.first.month)[1],
                "complete": month.is_complete,
            }
            for month in months
        ],
        "quarters": [{"first": str(q.first), "complete": q.is_complete} for q in quarters],
        "years": [str(year.first.year) for year in years],
        "coverage": _coverage(business, months).shown(),
        "paid": _paid(business, months).shown(),
        "coverageOfYear": _coverage_of_years(business, years).shown(),
        "paidOfYear": _paid_of_years(business, years).shown(),
        "flows": _flows(business.flows, quarters).shown(),
        "items": {name: _items(rows, business.titles) for name, rows in business.items.items()},
        "concentration": _concentration(business.concentration),
        "bands": _bands(business.bands),
        "lag": [row for row in map(_lag, business.lag) if row],
    }


# The order in which people name metal tiers.
_METALS = ("Catastrophic", "Bronze", "Silver", "Gold", "Platinum")


def _by_metal(tiers: Iterable[str]) -> list[str]:
    places = {metal: n for n, metal in enumerate(_METALS)}
    return sorted(tiers, key=lambda tier: (places.get(tier, len(places)), tier))


def _cents(amount: Decimal) -> int:
    return int((amount * 100).to_integral_value())


def _year(month: date) -> date:
    return month.replace(month=1)


def _coverage(business: Business, months: list[Period]) -> Family:
    family = Family(("members", "covered_days", "premium_usd"), months)
    for row in business.coverage:
        key = (row.month, row.state, row.metal_tier)
        values = (row.members, row.covered_days, _cents(row.premium_usd))
        family.values[key] = values
        family.counts[key] = (Count(row.members, any(values)),)
    return family


def _coverage_of_years(business: Business, years: list[Period]) -> Family:
    """Sums of the complete months of a year; member-months in millionths."""
    family = Family(("member_months", "premium_usd"), years)
    for row in filter(_is_complete, business.coverage):
        key = (_year(row.month), row.state, row.metal_tier)
        days = calendar.monthrange(row.month.year, row.month.month)[1]
        family.add(key, (round(row.covered_days * 1_000_000 / days), _cents(row.premium_usd)))
    return family.counted_by(business.covered_in_year)


def _paid(business: Business, months: list[Period]) -> Family:
    """Paid amounts, of which those persons are counted who have a claim that is paid for."""
    family = Family(("paid_usd",), months)
    for row in business.coverage:
        family.add((row.month, row.state, row.metal_tier), (_cents(row.paid_usd),))
    return family.counted_by(business.patients)


def _paid_of_years(business: Business, years: list[Period]) -> Family:
    """Sums of the complete months of a year."""
    family = Family(("paid_usd",), years)
    for row in filter(_is_complete, business.coverage):
        family.add((_year(row.month), row.state, row.metal_tier), (_cents(row.paid_usd),))
    return family.counted_by(business.patients_of_year)


def _is_complete(row: CoverageRow) -> bool:
    return row.is_complete


def _flows(rows: Sequence[FlowRow], quarters: list[Period]) -> Family:
    family = Family(("beginnings", "endings"), quarters)
    for row in rows:
        key = (row.quarter, row.state, row.metal_tier)
        family.values[key] = (row.beginnings, row.endings)
        family.counts[key] = (
            Count(row.persons_beginning, row.beginnings > 0),
            Count(row.persons_ending, row.endings > 0),
        )
    return family


def top_items(rows: Iterable[ItemRow]) -> list[str]:
    """The items with the largest paid amounts of all years, the largest first."""
    paid: dict[str, Decimal] = {}
    for row in rows:
        paid[row.item] = paid.get(row.item, Decimal()) + row.paid_usd
    return sorted(paid, key=lambda item: (-paid[item], item))[:MOST_ITEMS]


def _items(rows: Sequence[ItemRow], titles: dict[str, str] | Any) -> list[dict[str, Any]]:
    """The listed items by year.

    What a year's total has more than the listed ones is of the others, so of these one at least
    has to be of more than few persons.
    """
    listed = top_items(rows)
    years = sorted({row.year for row in rows})
    shown: dict[tuple[str, int], ItemRow] = {}
    for year in years:
        of_year = [row for row in rows if row.year == year]
        keep = [r for r in of_year if r.item in listed and r.members >= FEWEST_PERSONS]
        rest = [r for r in of_year if r not in keep]
        if rest and max(r.members for r in rest) < FEWEST_PERSONS and keep:
            keep.remove(min(keep, key=lambda r: r.paid_usd))
        shown |= {(row.item, year): row for row in keep}
    present = {(row.item, row.year) for row in rows}
    return [
        {
            "item": item,
            "title": titles.get(item, ""),
            "years": {
                str(year): [row.members, _cents(row.paid_usd)]
                if (row := shown.get((item, year)))
                else None
                for year in years
                if (item, year) in present
            },
        }
        for item in listed
    ]


def _concentration(rows: Sequence[ShareRow]) -> dict[str, list[list[int]]]:
    """By year the shares of members, how many they are and what they come to.

    Two shares that differ by few persons would give away what these cost.
    """
    years: dict[str, list[list[int]]] = {}
    for row in sorted(rows, key=lambda r: (r.year, -r.of_hundred)):
        kept = years.setdefault(str(row.year), [])
        is_apart = not kept or kept[-1][1] - row.members >= FEWEST_PERSONS
        if row.members >= FEWEST_PERSONS and is_apart:
            kept.append([row.of_hundred, row.members, _cents(row.paid_usd)])
    return {year: kept[::-1] for year, kept in years.items()}


def _bands(rows: Sequence[BandRow]) -> dict[str, list[list[Any]]]:
    """By year the bands, the highest first, joined until each is of more than few persons."""
    years: dict[str, list[list[Any]]] = {}
    for row in rows:
        bands = years.setdefault(str(row.year), [])
        if bands and bands[-1][1] < FEWEST_PERSONS:
            last = bands.pop()
            bands.append([row.band, last[1] + row.members, last[2] + _cents(row.paid_usd)])
        else:
            bands.append([row.band, row.members, _cents(row.paid_usd)])
    for bands in years.values():
        if len(bands) > 1 and bands[-1][1] < FEWEST_PERSONS:
            few = bands.pop()
            bands[-1] = [few[0], bands[-1][1] + few[1], bands[-1][2] + few[2]]
    return {
        year: [band for band in bands if band[1] >= FEWEST_PERSONS] for year, bands in years.items()
    }


def _lag(row: LagRow) -> list[Any] | None:
    if row.members < FEWEST_PERSONS:
        return None
    return [str(row.month), row.half_days, row.nine_tenths_days]
