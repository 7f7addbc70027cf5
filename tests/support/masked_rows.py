"""What masked schemas have to show of a row: the rule of the Privacy Rule, written once more.

It shares nothing with ``etl/access``: columns are named here by hand, each relation's by the names
that it has. 45 CFR 164.514(e)(2) says what a limited data set is without, 164.514(b)(2)(i) what
safe harbor is without.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]

LIMITED, SAFE_HARBOR = "limited", "safe_harbor"

# Nobody's rows: what a plan, a provider, a day or a code is.
OF_CODES = ("dim_diagnosis", "dim_procedure", "dim_drg", "dim_csr_variant")
OF_NOBODY = ("dim_plan", "dim_provider", "dim_date", *OF_CODES)
NAMES_AND_ADDRESSES = {"first_name", "last_name", "street", "phone", "email", "attr_hash"}
AREAS = {
    *("city", "region", "geography_sk", "geographic_reporting"),
    "wisconsin_area_deprivation_index",
}
NUMBERS = {"claim_id", "enrollment_id", "stay_id", "readmission_stay_id", "number"}
# When a row came, from which a day of care follows where loads are daily.
ARRIVALS = {"load_id", "known_to_load_id", "created_at", "as_of", "batch_id"}
# With the end of coverage, mostly that of the year, they give its start.
DURATIONS = {
    *("coverage_days", "length_days", "days_to_readmission"),
    *("covered_days", "member_months_day"),
}
# Of February alone 28 or 29, of January alone a renewal, and of the last month that it is not over.
WITHIN_YEAR = {"days_in_month", "is_renewed", "is_complete"}
DATES = {
    *("service_date", "admit_date", "discharge_date", "paid_date", "start_date", "end_date"),
    *("date_key", "enrollment_start_date_key", "enrollment_end_date_key", "source_updated_at"),
    *("validity_start_ts", "validity_end_ts", "known_from_ts", "month", "first_month_over"),
    "last_service_date",
    *("from_date", "to_date", "first_covered_date", "line_from", "line_to"),
}
# The first three digits where 20,000 persons or fewer live, by the censuses of 2000 and of 2010.
FEW_LIVE_IN = {
    *(36, 59, 63, 102, 203, 205, 369, 556, 692, 790, 821, 823, 830, 831, 878, 879, 884, 890, 893),
}


@dataclass
class Codes:
    """The codes of a schema for persons and for surrogate keys, as the crosswalk has them."""

    schema: str
    of_person: dict[str, str]
    of_key: dict[int, int]

    @classmethod
    def read(cls, connection: psycopg.Connection[Any], schema: str) -> Codes:
        """The codes in force now."""
        persons = connection.execute(
            f"select member_id, {schema}_ref::text from access.member_crosswalk"
        )
        keys = connection.execute(f"select member_sk, {schema}_sk from access.member_key")
        return cls(schema, dict(persons.fetchall()), dict(keys.fetchall()))


def masked(relation: str, row: Row, codes: Codes) -> Row:
    """What a masked schema has to show of a row of the warehouse or of its cubes."""
    if relation.startswith(OF_NOBODY):
        return row
    if relation == "dim_geography" and codes.schema == SAFE_HARBOR:
        return {column: None if column in AREAS else value for column, value in row.items()}
    return {column: _masked(column, value, codes) for column, value in row.items()}


def _masked(column: str, value: Any, codes: Codes) -> Any:
    if column in NAMES_AND_ADDRESSES:
        return None
    if column == "member_id":
        return codes.of_person[value]
    if column in ("member_sk", "latest_member_sk"):
        return None if value is None else codes.of_key[value]
    if codes.schema == LIMITED:
        return value
    if column in AREAS | NUMBERS | ARRIVALS | DURATIONS | WITHIN_YEAR:
        return None
    if value is None:
        return None
    if column == "dob":
        return date(max(value.year, date.today().year - 90), 1, 1)
    if column == "zip":
        return _zip3(value)
    if column == "rating_age":
        return min(value, 90)
    if column == "age_group":
        return "90+" if any(int(n) > 89 for n in re.findall(r"\d+", value)) else value
    return _year(value) if column in DATES else value


def _zip3(value: str) -> str | None:
    if not re.fullmatch(r"[0-9]{5}(-?[0-9]{4})?", value):
        return None
    return "000" if int(value[:3]) in FEW_LIVE_IN else value[:3]


def _year(value: Any) -> Any:
    """The first day of the year; neither the key of no day nor a time without end is a date."""
    if isinstance(value, int):
        return value if value < 0 else value // 10000 * 10000 + 101
    if value.year == 9999:
        return value
    if isinstance(value, datetime):
        return value.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    return date(value.year, 1, 1)


def rows(connection: psycopg.Connection[Any], relation: str) -> list[Row]:
    """All rows of a relation."""
    return connection.cursor(row_factory=dict_row).execute(f"select * from {relation}").fetchall()


def columns(connection: psycopg.Connection[Any], relation: str) -> list[str]:
    """The columns of a relation."""
    described = connection.execute(f"select * from {relation} limit 0").description or ()
    return [column.name for column in described]


def counted(found: list[Row]) -> Counter[str]:
    """Rows without an order, which a view does not promise."""
    return Counter(repr(sorted(row.items())) for row in found)
