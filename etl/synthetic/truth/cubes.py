"""What the cubes of coverage and care must contain after some batches: rows as tuples.

Their columns are those of the statements of the same names in ``sql/synthetic/tables.sql``. Text is
``str``, months and days are dates, amounts are whole cents, stays and high-cost years in dollars.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from typing import Any

import numpy as np

from etl.reference import high_cost_pools, planned_drgs
from etl.synthetic.core.rng import Ints
from etl.synthetic.core.span import day_of
from etl.synthetic.truth import care, exposure
from etl.synthetic.truth.exposure import Months, Spans
from etl.synthetic.truth.groups import Groups
from etl.synthetic.truth.loaded_rows import Table, is_last_of

Rows = Iterable[tuple[Any, ...]]


@dataclass
class Cubes:
    """The cubes that follow from ``tables`` of loaded rows; ``day``: the one they speak of."""

    tables: dict[str, Table]
    day: date

    def rows(self) -> Iterator[tuple[str, Rows]]:
        """Each cube by name with its rows."""
        yield "member_month", self._member_months()
        yield "exposure_month", self._exposure()
        yield "enrollment_flow_month", self._flows()
        yield "inpatient_stay", (tuple(stay.values()) for stay in self._stays)
        yield "readmission_month", _readmissions(self._stays)
        yield "high_cost_year", self._high_cost_years()

    @cached_property
    def _spans(self) -> Spans:
        return exposure.spans(self.tables)

    @cached_property
    def _months(self) -> Months:
        return exposure.member_months(self._spans)

    def _texts(self, name: str, positions: Ints) -> list[str]:
        texts = [text.decode() or "(none)" for text in self._spans.names[name].tolist()]
        return [texts[position] for position in positions.tolist()]

    def _member_months(self) -> Rows:
        """Of each member and plan: how many months, the first and last one, and sums over them."""
        rows = self._months
        groups = Groups(rows["member"], rows["plan"])
        sums = (
            *("covered_days", "overlapped_days", "any", "mid", "new", "renewed", "last"),
            *("net", "credit", "premium"),
        )
        return zip(
            self._texts("member", groups.first(rows["member"])),
            self._texts("plan", groups.first(rows["plan"])),
            groups.size.tolist(),
            _dates(groups.least(rows["month"])),
            _dates(groups.most(rows["month"])),
            *(groups.total(rows[name]).tolist() for name in sums),
            strict=True,
        )

    def _exposure(self) -> Rows:
        rows, cell = self._months, ("month", "state", "tier", "csr")
        # A member with two plans in a cell is one member.
        of_member = Groups(*(rows[name] for name in (*cell, "member")))
        members = Groups(*(of_member.first(rows[name]) for name in cell))
        groups = Groups(*(rows[name] for name in cell))
        sums = ("any", "mid", "net", "credit", "premium")
        month, days = groups.first(rows["month"]), groups.total(rows["covered_days"])
        return zip(
            _dates(month),
            *(self._texts(name, groups.first(rows[name])) for name in cell[1:]),
            members.size.tolist(),
            days.tolist(),
            map(_share, days.tolist(), exposure.days_in(month).tolist()),
            *(groups.total(rows[name]).tolist() for name in sums),
            strict=True,
        )

    def _flows(self) -> Rows:
        is_any = self._months["any"] > 0
        rows = {name: column[is_any] for name, column in self._months.items()}
        cell = ("month", "state", "tier")
        groups = Groups(*(rows[name] for name in cell))
        at_start = groups.total(rows["member_continues"] > 0)
        new = groups.total(rows["member_new"] > 0)
        returned = groups.total(rows["member_begins"]) - new
        ended = groups.total(rows["member_ends"])
        return zip(
            _dates(groups.first(rows["month"])),
            *(self._texts(name, groups.first(rows[name])) for name in cell[1:]),
            groups.total(rows["any"]).tolist(),
            *(a.tolist() for a in (at_start, new, returned, ended)),
            (at_start + new + returned - ended).tolist(),
            strict=True,
        )

    @cached_property
    def _stays(self) -> list[care.Row]:
        rows = self.tables["stays"]
        rows = rows[is_last_of(rows, "claim_id")]
        claims = [_claim(rows.dtype.names or (), row) for row in rows.tolist()]
        covered = _covered(self._spans, {claim["member_id"] for claim in claims})
        return care.stays(claims, covered, self.day, set(planned_drgs()))

    def _high_cost_years(self) -> Rows:
        rows = self.tables["claims"]
        rows = rows[is_last_of(rows, "claim_id")]
        years = Groups(rows["member_id"], rows["service_date"].astype("S4"))
        is_paid = np.isin(rows["status"], [status.encode() for status in care.PAYABLE])
        is_adjudicated = np.isin(rows["status"], [s.encode() for s in care.ADJUDICATED])
        paid = years.total(np.where(is_paid, rows["paid_amount"], 0))
        allowed = years.total(np.where(is_adjudicated, rows["allowed_amount"], 0))
        high = paid >= care.LEAST_CENTS
        for member, day, *cents in zip(
            years.first(rows["member_id"])[high].tolist(),
            years.first(rows["service_date"])[high].tolist(),
            allowed[high].tolist(),
            paid[high].tolist(),
            strict=True,
        ):
            allowed_usd, paid_usd = (Decimal(amount) / 100 for amount in cents)
            row = care.high_cost_year(
                member.decode(), int(day[:4]), allowed_usd, paid_usd, high_cost_pools()
            )
            yield tuple((row or {}).values())


def _dates(months: Ints) -> list[date]:
    """The first days of months that are counted from January 1970."""
    found: list[date] = months.astype("datetime64[M]").astype("datetime64[D]").tolist()
    return found


def _share(days: int, of_days: int) -> Decimal:
    return (Decimal(days) / of_days).quantize(Decimal("0.000001"), ROUND_HALF_UP)


def _claim(names: Iterable[str], row: tuple[Any, ...]) -> care.Row:
    """A claim of a stay as its feed has it."""
    claim: care.Row = {}
    for name, value in zip(names, row, strict=True):
        if isinstance(value, int):
            claim[name] = Decimal(value) / 100
        elif name.endswith("_date"):
            claim[name] = date.fromisoformat(value.decode()) if value else None
        else:
            claim[name] = value.decode()
    return claim


def _covered(coverage: Spans, members: set[str]) -> Callable[[str, date], bool]:
    """Whether one of these members is covered on a day."""
    days = defaultdict(list)
    names = [name.decode() for name in coverage.names["member"].tolist()]
    for member, start, end in zip(
        coverage.member.tolist(), coverage.start.tolist(), coverage.end.tolist(), strict=True
    ):
        if names[member] in members:
            days[names[member]].append((day_of(start), day_of(end)))
    return lambda member, day: any(start <= day <= end for start, end in days[member])


def _readmissions(stays: list[care.Row]) -> Rows:
    for row in care.readmission_months(stays):
        index = row["index_stays"]
        rate = Decimal(row["readmissions"]) / index if index else None
        yield (*row.values(), rate and rate.quantize(Decimal("0.0001"), ROUND_HALF_UP))
