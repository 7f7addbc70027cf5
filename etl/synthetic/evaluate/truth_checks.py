"""Checks of a warehouse of synthetic feeds against the truth that the generator wrote.

Only ``dq-check`` runs these, and only on a warehouse that contains every batch of the truth up to
its last one, byte for byte: with any other there is nothing to compare. A load never reads the
truth. The dimensions are compared with what they must contain after the last batch. Where batches
came in their order, the same is done for what was known after each of the others. Claims, their
lines and their diagnoses are compared by what they add up to, the cubes of coverage and care row by
row, unless rows have expired or members were erased since.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.checks import Check, Finding
from etl.contracts.feeds import FEEDS
from etl.db.connection import reading
from etl.db.statements import names, run, scalar
from etl.quality.truth import truth_checks
from etl.render import validity
from etl.synthetic.truth import loaded_rows, truth_file
from etl.synthetic.truth.claims import Claims
from etl.synthetic.truth.cubes import Cubes
from etl.warehouse.tables import DIMENSIONS, Build, Dimension


def run_truth_checks(
    connection: psycopg.Connection[Any], build: Build, folder: Path
) -> Iterator[tuple[Check, Finding | None]]:
    """Each check with what it found, in figures compared; none if nothing is comparable.

    ``None`` where a check could not be evaluated.
    """
    with reading(connection, build.schemas.path):
        files = run(connection, "synthetic/truth.files", build.values).fetchall()
        truth = comparable(folder, files)
        if truth is None:
            return
        checks = truth_checks()
        loads = _loads_in_order(connection, build)
        by_batch = {t["batch_id"]: t["dimensions"] for t in truth}
        for dimension in DIMENSIONS.values():
            expected = [truth[-1]["dimensions"][dimension.table]]
            found = [_counts(connection, dimension)]
            if loads:
                expected += [by_batch[batch_id][dimension.table] for batch_id in loads]
                found += _counts_after(connection, dimension, list(loads.values()))
            compared = [
                s[name] == count
                for s, f in zip(expected, found, strict=True)
                for name, count in f.items()
            ]
            yield checks[dimension.table], Finding(len(compared), compared.count(False))
        by_name = {(t["batch_id"], name): f for t in truth for name, f in t["files"].items()}
        for feed in FEEDS.values():
            of_feed = [row for row in files if row[1] == feed.name]
            wrong = sum(_figures(by_name[row[0], row[2]]) != _counted(row) for row in of_feed)
            yield checks[feed.table], Finding(len(of_feed), wrong)
        for table, found_in_table in _in_tables(connection, folder, sorted({r[0] for r in files})):
            yield checks[table], found_in_table


def _in_tables(
    connection: psycopg.Connection[Any], folder: Path, batch_ids: list[str]
) -> Iterator[tuple[str, Finding | None]]:
    """Facts and cubes with how many rows the truth does not have, or has and the table lacks.

    ``None`` of a cube that is not there; nothing where the truth cannot say what is in them.
    """
    tables = loaded_rows.read(folder, batch_ids)
    if tables is None or not scalar(connection, "synthetic/tables.is_as_sent"):
        return
    cubes = Cubes(tables, date.fromisoformat(batch_ids[-1]))
    for table, rows in chain(Claims(tables).rows(), cubes.rows()):
        if not scalar(connection, "synthetic/tables.is_there", {"name": table}):
            yield table, None
            continue
        # By their hashes: of large feeds there are millions.
        expected = set(map(hash, rows))
        found = set(map(hash, run(connection, f"synthetic/tables.{table}")))
        yield table, Finding(len(expected | found), len(expected ^ found))


def comparable(folder: Path, files: list[tuple[Any, ...]]) -> list[dict[str, Any]] | None:
    """The truth of the batches loaded, in order, if it covers exactly these."""
    loaded: dict[str, dict[str, str]] = {}
    for batch_id, _, file_name, checksum, *_ in files:
        loaded.setdefault(batch_id, {})[file_name] = checksum.hex
    if not loaded:
        return None
    batch_ids = [p.stem for p in sorted(folder.glob("*.json")) if p.stem <= max(loaded)]
    found = (truth_file.read(folder, batch_id) for batch_id in batch_ids)
    truth = [batch for batch in found if batch is not None]
    expected = {
        t["batch_id"]: {name: file["xxh3_128"] for name, file in t["files"].items()}
        for t in truth
        if not t["refused"]
    }
    return truth if expected == loaded else None


def _loads_in_order(connection: psycopg.Connection[Any], build: Build) -> dict[str, int]:
    """The last load of each batch whose state is still known, without the last batch.

    Empty if the batches came in another order than theirs: the truth has no such state.
    """
    batches = run(connection, "synthetic/truth.batches", build.values).fetchall()
    if not all(is_in_order for *_, is_in_order in batches):
        return {}
    return {batch_id: load_id for batch_id, load_id, _ in batches[:-1] if load_id is not None}


def _counts(connection: psycopg.Connection[Any], dimension: Dimension) -> dict[str, int]:
    """The counts of a dimension as it is."""
    cursor = run(
        connection,
        "synthetic/truth.dimension_counts",
        dim=sql.Identifier(dimension.table),
        sk=sql.Identifier(dimension.sk),
        key=names(dimension.key),
    )
    (found,) = _by_name(cursor)
    return found


def _counts_after(
    connection: psycopg.Connection[Any], dimension: Dimension, loads: list[int]
) -> list[dict[str, int]]:
    """The counts of a dimension as it was known after each of the loads."""
    cursor = run(
        connection,
        "synthetic/truth.dimension_counts_after",
        {"loads": loads},
        dim=sql.Identifier(dimension.table),
        past=sql.Identifier(dimension.past),
        sk=sql.Identifier(dimension.sk),
        **validity.BOUNDS,
    )
    return _by_name(cursor)


def _by_name(cursor: psycopg.Cursor[Any]) -> list[dict[str, int]]:
    columns = [c.name for c in cursor.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _figures(file: dict[str, Any]) -> tuple[Any, ...]:
    """What the truth says of a file, in the form in which ``_counted`` gives the ledger's."""
    counts = (file[name] for name in ("rows", "loaded", "rejected", "duplicate"))
    return *counts, {column: sums["loaded"] for column, sums in file["totals"].items()}


def _counted(row: tuple[Any, ...]) -> tuple[Any, ...]:
    *_, read, loaded, rejected, duplicate, totals = row
    return read, loaded, rejected, duplicate, {c: _loaded(sums) for c, sums in totals.items()}


def _loaded(sums: dict[str, str]) -> str:
    """The dollars of a column that were loaded, also of rows that have expired since."""
    expired = Decimal(sums.get("expired", 0))
    return str(Decimal(sums["loaded"]) + expired) if expired else sums["loaded"]
