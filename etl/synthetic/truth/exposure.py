"""Who must be covered in which month by which plan, counted day by day.

The rules are those of ``sql/cubes/member_month.sql``, which cuts coverage into sections; here each
member has a row of days, and each day is painted by the span that it belongs to. Money is in whole
cents, days are counted from 1970-01-01 and months from January 1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.rng import Ints
from etl.synthetic.truth.groups import Groups
from etl.synthetic.truth.loaded_rows import Table, is_last_of

UNKNOWN = b"(unknown)"
_NOBODY = -1
_MEMBERS_AT_ONCE = 2_000  # so many rows of days are in memory


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans of coverage, each member's in the order in which later ones go before earlier ones.

    ``member``, ``plan``, ``state``, ``tier`` and ``csr`` are positions in ``names``, which are
    sorted; ``end`` is the last day covered; ``net`` and ``credit`` are cents a month.
    """

    member: Ints
    plan: Ints
    start: Ints
    end: Ints
    net: Ints
    credit: Ints
    state: Ints
    tier: Ints
    csr: Ints
    names: dict[str, NDArray[np.bytes_]]


# Columns of numbers, of which each row is a member, month and plan; see ``Spans`` for the names.
Months = dict[str, NDArray[Any]]


def spans(tables: dict[str, Table]) -> Spans:
    """The coverage that enrollments leave, by the rows that are loaded."""
    rows = tables["enrollments"]
    rows = rows[
        is_last_of(rows, "enrollment_id") & is_last_of(rows, "member_id", "plan_id", "start_date")
    ]
    rows = rows[np.lexsort((rows["enrollment_id"], rows["start_date"], rows["member_id"]))]
    year = rows["start_date"].astype("S4")
    year_end = np.char.add(year, b"-12-31")
    end = np.where(rows["end_date"] == b"", year_end, rows["end_date"])
    state, tier = places(tables, rows, rows["start_date"])
    columns = {
        "member": rows["member_id"],
        "plan": rows["plan_id"],
        "csr": rows["csr_variant"],
        "state": state,
        "tier": tier,
    }
    found = {name: np.unique(column, return_inverse=True) for name, column in columns.items()}
    return Spans(
        start=_days(rows["start_date"]),
        end=_days(end),
        net=rows["premium_paid"],
        credit=rows["aptc_amount"],
        names={name: values for name, (values, _) in found.items()},
        **{name: positions for name, (_, positions) in found.items()},
    )


def places(
    tables: dict[str, Table], rows: Table, day: NDArray[np.bytes_]
) -> tuple[NDArray[np.bytes_], NDArray[np.bytes_]]:
    """Of rows with a member and a plan: the member's state, and the plan's tier in a day's year.

    No member of the generator changes state, and no plan its tier within a year.
    """
    states = dict(tables["members"][["member_id", "state"]].tolist())
    tiers = {(plan, of_year): tier for plan, of_year, tier in tables["plans"].tolist()}
    plans = zip(rows["plan_id"].tolist(), day.astype("S4").tolist(), strict=True)
    return _looked_up(states, rows["member_id"].tolist()), _looked_up(tiers, list(plans))


def _looked_up(values: dict[Any, bytes], keys: list[Any]) -> NDArray[np.bytes_]:
    return np.array([values.get(key, UNKNOWN) for key in keys], dtype="S")


def _days(dates: NDArray[np.bytes_]) -> Ints:
    return dates.astype("datetime64[D]").astype(np.int64)


def member_months(coverage: Spans) -> Months:
    """The rows of ``member_month``: a row per member, month and plan with a day of coverage."""
    calendar = _Calendar.around(coverage)
    parts = [_months(coverage, runs) for runs in _runs(coverage, calendar)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True, slots=True)
class _Calendar:
    """Every day of some whole months: its month, and whether that begins or has its middle."""

    first: int
    month: Ints
    begins: NDArray[np.bool_]
    is_mid: NDArray[np.bool_]

    @classmethod
    def around(cls, coverage: Spans) -> _Calendar:
        first = coverage.start.min().astype("datetime64[D]").astype("datetime64[M]")
        last = coverage.end.max().astype("datetime64[D]").astype("datetime64[M]")
        days = np.arange(first, last + 1, dtype="datetime64[D]")
        month = days.astype("datetime64[M]")
        place = days - month.astype("datetime64[D]")
        one = np.timedelta64(1, "D")
        return cls(
            int(days[0].astype(np.int64)),
            month.astype(np.int64),
            place == 0 * one,
            place == 14 * one,
        )


def days_in(month: Ints) -> Ints:
    """How many days each month has."""
    months = month.astype("datetime64[M]")
    return ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)


def _runs(coverage: Spans, calendar: _Calendar) -> Iterator[Months]:
    """Days in a row of a month that belong to the same span, some members at a time."""
    for low in range(0, int(coverage.member.max(initial=-1)) + 1, _MEMBERS_AT_ONCE):
        owner, spans_on = _painted(coverage, calendar, low)
        covered = owner != _NOBODY
        before, after = _shifted(covered, 1, fill=False), _shifted(covered, -1, fill=False)
        begins, ends = covered & ~before, covered & ~after
        other = owner != _shifted(owner, 1, fill=_NOBODY)
        at = np.flatnonzero(covered & (other | calendar.begins))
        member, day = np.divmod(at, owner.shape[1])

        def counted(days: NDArray[np.bool_], at: Ints = at) -> Ints:
            return np.add.reduceat(days.ravel(), at, dtype=np.int64)

        yield {
            "member": member + low,
            "span": owner.ravel()[at],
            "month": calendar.month[day],
            "first_day": day + calendar.first,
            "covered_days": counted(covered),
            "overlapped_days": counted(spans_on > 1),
            "mid": counted(covered & calendar.is_mid),
            "begins": counted(begins),
            "ends": counted(ends),
            "new": (day == covered.argmax(axis=1)[member]).astype(np.int64),
            "continues": (calendar.begins[day] & before[member, day]).astype(np.int64),
        }


def _painted(
    coverage: Spans, calendar: _Calendar, low: int
) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """For members from ``low`` on and each day: the span it belongs to, and how many include it."""
    rows = slice(*np.searchsorted(coverage.member, (low, low + _MEMBERS_AT_ONCE)))
    members = coverage.member[rows] - low
    size = int(members.max(initial=-1)) + 1, len(calendar.month)
    owner, spans_on = np.full(size, _NOBODY, dtype=np.int32), np.zeros(size, dtype=np.int8)
    first = (coverage.start[rows] - calendar.first).tolist()
    after = (coverage.end[rows] + 1 - calendar.first).tolist()
    numbers = range(rows.start, rows.stop)
    for number, member, begin, end in zip(numbers, members.tolist(), first, after, strict=True):
        owner[member, begin:end] = number  # over those that started before
        spans_on[member, begin:end] += 1
    return owner, spans_on


def _shifted(days: NDArray[Any], by: int, fill: int) -> NDArray[Any]:
    """Of each day what was so the day before it (1), or will be the day after (-1)."""
    found = np.roll(days, by, axis=1)
    found[:, 0 if by > 0 else -1] = fill
    return found


def _months(coverage: Spans, runs: Months) -> Months:
    """Runs as rows of member, month and plan, and which of a member's rows counts the member."""
    span = runs["span"]
    days = runs["covered_days"]
    groups = Groups(runs["member"], runs["month"], coverage.plan[span])
    rows = {name: groups.first(runs[name]) for name in ("member", "month", "first_day")}
    for name in ("plan", "tier", "csr", "state"):
        rows[name] = groups.first(getattr(coverage, name)[span])
    length = days_in(rows["month"])
    for name in ("net", "credit"):
        # By share of days, half a cent up.
        shares = groups.total(getattr(coverage, name)[span] * days)
        rows[name] = (2 * shares + length) // (2 * length)
    rows["premium"] = rows["net"] + rows["credit"]
    for name in ("covered_days", "overlapped_days", "mid", "begins", "ends", "new", "continues"):
        rows[name] = groups.total(runs[name])
    rows["last"] = (rows["ends"] > 0).astype(np.int64)
    rows["renewed"] = ((rows["continues"] > 0) & (rows["month"] % 12 == 0)).astype(np.int64)
    return _with_any(rows)


def _with_any(rows: Months) -> Months:
    """The rows, with ``any`` at the plan with most days, which has the flows of the month too."""
    best = np.lexsort((rows["plan"], rows["first_day"], -rows["covered_days"]))
    rows = {name: column[best] for name, column in rows.items()}
    months = Groups(rows["member"], rows["month"])
    number = np.arange(len(best))
    is_any = months.each(months.first(number)) == number
    rows["any"] = is_any.astype(np.int64)
    for name in ("new", "begins", "ends", "continues"):
        rows[f"member_{name}"] = np.where(is_any, months.each(months.total(rows[name])), 0)
    return rows
