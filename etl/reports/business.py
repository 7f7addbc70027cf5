"""The page on the business as a file, ``business.html``, read from schema ``mart``.

All of it is one state of the database. With ``AS_KNOWN=`` it is as it was known after a load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from etl.db.connection import connect, set_search_path
from etl.db.statements import Values, run, scalar, statement
from etl.errors import SchemaError, UsageError
from etl.reports import business_rows as page_rows
from etl.reports.as_known import Known, put_at
from etl.reports.business_data import top_items
from etl.reports.business_page import business_page
from etl.reports.frame import write_private
from etl.schema import revisions

PAGE = "business.html"
# What the page lists the costliest of, each a column of the claims, and whether claims that do not
# say it are left out.
ITEMS = {"specialty": False, "diagnosis_code": False, "drug_class": True}
SECTIONS = ("coverage", "flows", "spend", "claims", "quality")

_Row = TypeVar("_Row")
Advance = Callable[[str], None]


def write_business(
    url: str, folder: Path, as_known: str = "", advance: Advance = lambda _: None
) -> Path:
    """Write the page into the folder; where it is.

    ``as_known``: the load after which it is as known. ``advance`` is called with the name of each
    section before it is read. Raises ``UsageError`` where there is no warehouse, no such load or
    no folder to write into, ``SchemaError`` where the views are of another version.
    """
    with connect(url, "aca-warehouse report") as connection:
        revisions.refuse_of_before(connection)
        page = business_page(read_business(connection, as_known, advance))
    path = folder / PAGE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, page)
    except OSError as error:
        raise UsageError(
            f"The report cannot be written into {folder}: {error.strerror or 'it is no folder'}.",
            "Name a folder that can be written: make report TO=folder",
        ) from error
    return path


def read_business(
    connection: psycopg.Connection[Any], as_known: str = "", advance: Advance = lambda _: None
) -> page_rows.Business:
    """What the page is made of, before anything is hidden."""
    _ensure_marts(connection)
    with _one_state(connection):
        known = put_at(connection, as_known) if as_known else None
        if known is None:
            run(connection, "db/session.change_nothing")
            set_search_path(connection, ("mart",))
        return _read(connection, known, advance)


@contextmanager
def _one_state(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """One state of the database; what is made of the past goes again."""
    with connection.transaction(force_rollback=True):
        run(connection, "db/session.one_state")
        yield


def _ensure_marts(connection: psycopg.Connection[Any]) -> None:
    row = run(connection, "reports/business.is_there").fetchone()
    has_marts, is_of_this_version = row or (False, False)
    if not has_marts:
        raise UsageError(
            "There is nothing to report: there is no warehouse yet.",
            "Run make full-load first.",
        )
    if not is_of_this_version:
        raise SchemaError(
            "The views of schema mart are those of another version of the code.",
            "Run make migrate.",
        )


def _read(
    connection: psycopg.Connection[Any], known: Known | None, advance: Advance
) -> page_rows.Business:
    as_of = known.as_of if known else scalar(connection, "reports/business.as_of")
    if as_of is None:
        return page_rows.Business(datetime.now(UTC))

    def rows(
        kind: type[_Row], name: str, more: Values | None = None, **parts: sql.Composable
    ) -> list[_Row]:
        values = {"as_of": as_of, "load": known.load_id if known else None, **(more or {})}
        with connection.cursor(row_factory=class_row(kind)) as cursor:
            return cursor.execute(statement(f"reports/business.{name}", **parts), values).fetchall()

    def persons(cells: str, more: Values | None = None) -> list[page_rows.PersonsRow]:
        found = statement(f"reports/business.{cells}")
        return rows(page_rows.PersonsRow, "in_one_cell", more, cells=found)

    advance("coverage")
    coverage = rows(page_rows.CoverageRow, "coverage")
    covered = persons("covered")
    patients, patients_of_year = (
        persons("patients", {"period": period, "only_complete": is_over})
        for period, is_over in (("month", False), ("year", True))
    )
    advance("flows")
    flows = rows(page_rows.FlowRow, "flows")
    advance("spend")
    concentration = rows(page_rows.ShareRow, "concentration")
    bands = rows(page_rows.BandRow, "bands")
    advance("claims")
    items = {
        name: rows(page_rows.ItemRow, "items", {"is_said": is_said}, item=sql.Identifier(name))
        for name, is_said in ITEMS.items()
    }
    lag = rows(page_rows.LagRow, "lag")
    advance("quality")
    quality = rows(page_rows.QualityRow, "quality")
    rejected = run(connection, "reports/business.rejected").fetchone() or (0, 0)
    return page_rows.Business(
        made_at=datetime.now(UTC),
        as_of=as_of,
        load=_latest_load(connection, known),
        known=known.says if known else None,
        rows_open=None if known else rejected[0],
        rows_read=rejected[1],
        quality=quality[0] if quality else None,
        coverage=coverage,
        patients=patients,
        patients_of_year=patients_of_year,
        covered_in_year=covered,
        flows=flows,
        items=items,
        titles=_titles(connection, items["diagnosis_code"]),
        concentration=concentration,
        bands=bands,
        lag=lag,
    )


def _latest_load(
    connection: psycopg.Connection[Any], known: Known | None
) -> page_rows.Loaded | None:
    with connection.cursor(row_factory=class_row(page_rows.Loaded)) as cursor:
        query = statement("reports/business.latest_load")
        return cursor.execute(query, {"load": known.load_id if known else 2**62}).fetchone()


def _titles(
    connection: psycopg.Connection[Any], rows: Sequence[page_rows.ItemRow]
) -> dict[str, str]:
    """What the diagnoses that the page lists are called."""
    codes = {"codes": top_items(rows)}
    return dict(run(connection, "reports/business.titles", codes).fetchall())
