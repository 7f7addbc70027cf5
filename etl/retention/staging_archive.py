"""Settled partitions of staging as Parquet files: written, read, and staged again when asked for.

A file gets its name once it is on disk and read back: loaded into a table of its own it has each
row of the partition. In the transaction that says so the rows leave staging. Whoever asks for rows
that are in a file gets its partition back whole, in the transaction in which they are asked for.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from etl.contracts.column import Identifier
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.db.statements import insert, names, run, statement
from etl.errors import AcaError, RestoreError, UsageError
from etl.files.checksums import sha256_of, sync
from etl.render import claim_status
from etl.retention import horizon
from etl.retention.expire import totals_of
from etl.warehouse.details import DETAILS
from etl.warehouse.staging import PARTITIONED
from etl.warehouse.tables import FACT_CLAIM, LIVE

_FILE = "retention/staging_archive"
_ALL = tuple(PARTITIONED)
# Where a row came from; the columns of its feed follow.
_LINEAGE = ("load_id", "source_line", "load_timestamp")
# A file that is being written.
_PARTIAL = ".partial"
_READ_BACK = "archive_read_back"


@dataclass(frozen=True, slots=True)
class StagingFile:
    """A file whose rows are in no table; days of service as in its rows, if they have any."""

    archive_id: int
    feed: str
    partition_name: str
    file_name: str
    row_count: int
    first_day: date | None
    last_day: date | None
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StagingArchive:
    """The folder of archived staging; ``sound``: files of which the bytes were looked at."""

    folder: Path
    sound: set[str] = field(default_factory=set)

    def files(
        self,
        connection: psycopg.Connection[Any],
        feeds: Collection[str] = _ALL,
        loads: Collection[int] | None = None,
        before: date | None = None,
    ) -> list[StagingFile]:
        """Files of feeds: of those with ``loads`` that have rows of them, or such days."""
        values = {
            "feeds": list(feeds),
            "loads": None if loads is None else list(loads),
            "horizon": before,
        }
        return [StagingFile(*row) for row in run(connection, f"{_FILE}.files", values)]

    def path(self, file: StagingFile) -> Path:
        """Where a file is; ``RestoreError`` if it is not as it was written."""
        path = self.folder / file.file_name
        if file.file_name not in self.sound:
            try:
                is_sound = sha256_of(path) == file.sha256
                said = "is not as it was written"
            except OSError as error:
                is_sound, said = False, f"cannot be read ({error.strerror})"
            if not is_sound:
                raise RestoreError(
                    f"{path}, which has rows of staging that are asked for, {said}.",
                    "Nothing was changed. Put the file back from a copy of its folder; without "
                    "one, make full-load takes all rows from the inbox again.",
                )
            self.sound.add(file.file_name)
        return path

    def bring_back(self, connection: psycopg.Connection[Any], files: Iterable[StagingFile]) -> int:
        """Put the rows of files into their partitions, in the caller's transaction; how many."""
        files = list(files)
        for file in files:
            self.path(file)
        for file in files:
            feed, partition = FEEDS[file.feed], _partition(file.partition_name)
            if self.read_into(connection, feed, file, partition) != file.row_count:
                raise AcaError(
                    f"{file.file_name} of archived staging gave other than its "
                    f"{file.row_count:,} rows.",
                    "Nothing was changed. This is a fault of the program: report it.",
                )
            index = f"{LIVE.schemas.internal}.{file.partition_name}_load_id_idx"
            run(connection, "stage/stage.summarize", index=sql.Literal(index))
            columns = names(["load_id", *feed.key])
            run(connection, "stage/stage.analyze", table=partition, columns=columns)
        ids = [file.archive_id for file in files]
        run(connection, f"{_FILE}.return", {"archive_ids": ids})
        return sum(file.row_count for file in files)

    def read_into(
        self,
        connection: psycopg.Connection[Any],
        feed: Feed,
        file: StagingFile,
        table: sql.Identifier,
        among: Collection[str] | None = None,
    ) -> int:
        """Put rows of a file into a table, with ``among`` those of these claims; how many."""
        return _fill(connection, feed, self.path(file), table, among)

    def bring_back_loads(
        self,
        connection: psycopg.Connection[Any],
        feeds: Collection[str] = _ALL,
        loads: Collection[int] | None = None,
    ) -> int:
        """Bring back what files have of loads, or all."""
        return self.bring_back(connection, self.files(connection, feeds, loads))

    def bring_back_claims(
        self,
        connection: psycopg.Connection[Any],
        feeds: Collection[str],
        claims: sql.Composable,
        values: Mapping[str, Any],
        loads: Collection[int] | None = None,
    ) -> int:
        """Bring back files, of some loads if these are named, that have any claim of a query."""
        files = self.files(connection, feeds, loads)
        if not files:
            return 0
        query = sql.Composed([claims])
        wanted = {claim for (claim,) in connection.execute(query, values)}
        return self.bring_back(connection, self.having(files, wanted))

    def bring_back_asked(self, connection: psycopg.Connection[Any], loads: Sequence[int]) -> int:
        """Bring back what is asked for of the claims of loads, whether these are late or not.

        That is whether an amount below zero reverses an earlier one, and whether all rows of a
        claim are from before the horizon.
        """
        values = {"loads": list(loads), "horizon": horizon.in_force(connection)}
        parts = [
            statement(f"{_FILE}.parts_that_ask", staging=sql.Identifier(detail.feed.table))
            for detail in DETAILS
        ]
        is_reversal = claim_status.is_reversal("r")
        asking = statement(f"{_FILE}.claims_that_ask", r_is_reversal=is_reversal)
        claims = _union([asking, *parts])
        return self.bring_back_claims(connection, _ALL, claims, values)

    def bring_back_old(self, connection: psycopg.Connection[Any], before: date) -> int:
        """Bring back all rows of claims that have one from before a day."""
        values = {"horizon": before}
        rows = self.bring_back(connection, self.files(connection, before=before))
        claims = _union(
            [
                statement(f"{_FILE}.old_claims", staging=sql.Identifier(FEEDS[feed].table))
                for feed in _ALL
            ]
        )
        return rows + self.bring_back_claims(connection, _ALL, claims, values)

    def bring_back_members(
        self, connection: psycopg.Connection[Any], members: Collection[str]
    ) -> int:
        """Bring back files that name any of these members."""
        of_members = Identifier.MEMBER_NUMBER
        found: list[StagingFile] = []
        for feed in _ALL:
            column = next((c.name for c in FEEDS[feed].staged if c.identifier is of_members), None)
            if column is not None:
                files = self.files(connection, [feed])
                found += self.having(files, members, column)
        return self.bring_back(connection, found)

    def having(
        self, files: Iterable[StagingFile], wanted: Collection[str], column: str | None = None
    ) -> list[StagingFile]:
        """Files with one of some values in a column, by default that of claims."""
        files = list(files)
        if not files or not wanted:
            return []
        import pyarrow as pa

        from etl.retention import parquet

        values = pa.array(sorted(wanted), pa.string())
        return [
            file
            for file in files
            if parquet.values_among(self.path(file), column or PARTITIONED[file.feed], values)
        ]

    def claims_of(
        self, files: Iterable[StagingFile], periods: Collection[tuple[date, date]] | None = None
    ) -> Iterator[str]:
        """Claims of files, with ``periods`` of rows with a day in one of them (the end is none)."""
        for file in files:
            if periods is not None:
                days = (file.first_day, file.last_day)
                within = [period for period in periods if _meets(period, *days)]
                if not within:
                    continue
            from etl.retention import parquet

            key, day = PARTITIONED[file.feed], FACT_CLAIM.date
            yield from parquet.keys_of(
                self.path(file), key, None if periods is None else (day, within)
            )

    def clear(self, connection: psycopg.Connection[Any]) -> None:
        """Remove files that nobody needs: what a killed run left, and those of returned rows."""
        for archive_id, file_name in run(connection, f"{_FILE}.to_remove").fetchall():
            for name in (file_name, file_name + _PARTIAL):
                (self.folder / name).unlink(missing_ok=True)
            for done in ("forget", "note_removed"):
                run(connection, f"{_FILE}.{done}", {"archive_id": archive_id})

    def begin(
        self, connection: psycopg.Connection[Any], feed: Feed, partition_name: str, os_user: str
    ) -> tuple[int, str]:
        """Say which file is going to be written; its number and name."""
        number = partition_name.rpartition("_")[2]
        values = {
            "feed": feed.name,
            "partition_name": partition_name,
            "file_name": f"{feed.name}-{number}-{secrets.token_hex(4)}.parquet",
            "os_user": os_user,
        }
        (archive_id,) = run(connection, f"{_FILE}.begin", values).fetchone() or (0,)
        return archive_id, values["file_name"]

    def put_away(
        self,
        connection: psycopg.Connection[Any],
        feed: Feed,
        partition_name: str,
        archive_id: int,
        file_name: str,
    ) -> int:
        """Let the rows of a partition be in a file and no longer in staging; how many.

        Belongs into one transaction. Raises ``UsageError`` where the folder cannot be written to.
        """
        partition = _partition(partition_name)
        run(connection, f"{_FILE}.keep_writers_out", partition=partition)
        found = _measure(connection, feed, partition)
        path = self.folder / file_name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            _write(connection, feed, partition, found, path)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise UsageError(
                f"{self.folder} cannot be written to ({error.strerror or type(error).__name__}).",
                "Nothing left staging. Let the user who runs make write to that folder, or name "
                "another place in DATA_DIR.",
            ) from error
        _note(connection, archive_id, found, path)
        deleted = run(connection, f"{_FILE}.delete_rows", partition=partition).rowcount
        if deleted != sum(load.rows for load in found):
            raise AcaError(
                f"Of {partition_name} others than the archived rows would have been deleted.",
                "Nothing left staging. This is a fault of the program: report it.",
            )
        return deleted


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a table has of a load; ``totals``: US dollars by money column, as text."""

    load_id: int
    rows: int
    totals: dict[str, str]
    first_day: date | None
    last_day: date | None
    hashes: Any


def _measure(
    connection: psycopg.Connection[Any], feed: Feed, table: sql.Identifier
) -> list[_Measured]:
    found = run(connection, f"{_FILE}.measure", table=table, totals=totals_of(feed))
    return [_Measured(*row) for row in found]


def _write(
    connection: psycopg.Connection[Any],
    feed: Feed,
    partition: sql.Identifier,
    expected: list[_Measured],
    path: Path,
) -> None:
    """Write the rows of a partition, load them into another table, and compare the two."""
    from etl.retention import parquet

    partial = path.with_name(path.name + _PARTIAL)
    query = statement(
        f"{_FILE}.rows",
        partition=partition,
        columns=parquet.columns(feed, exact=True),
        row_key=names(feed.key, "s"),
    )
    with connection.cursor() as cursor, cursor.copy(query) as rows:
        parquet.write(rows, feed, partial, exact=True)
    table = sql.Identifier(_READ_BACK)
    run(connection, f"{_FILE}.create_read_back", table=table, partition=partition)
    _fill(connection, feed, partial, table)
    found = _measure(connection, feed, table)
    run(connection, "tables.drop", table=table)
    if found != expected:
        raise AcaError(
            f"{partial.name} of archived staging reads back as "
            f"{sum(load.rows for load in found):,} rows, and "
            f"{sum(load.rows for load in expected):,} were to go; or their sums or values differ.",
            "Nothing left staging. Look at the disk's health, then run again.",
        )
    partial.replace(path)
    sync(path.parent)


def _fill(
    connection: psycopg.Connection[Any],
    feed: Feed,
    path: Path,
    table: sql.Identifier,
    among: Collection[str] | None = None,
) -> int:
    """Stream rows of a file into a table; how many."""
    import pyarrow as pa

    from etl.retention import parquet

    there = set(parquet.columns_of(path))
    columns = [c for c in (*_LINEAGE, *(c.name for c in feed.staged)) if c in there]
    key = PARTITIONED[feed.name]
    only = None if among is None else (key, pa.array(sorted(among), pa.string()))
    into = statement(f"{_FILE}.fill", table=table, columns=names(columns))
    with connection.cursor() as cursor:
        with cursor.copy(into) as copy:
            for block in parquet.as_csv(path, columns, only):
                copy.write(block)
        return cursor.rowcount


def _note(
    connection: psycopg.Connection[Any], archive_id: int, found: list[_Measured], path: Path
) -> None:
    """Enter a file, and what it has of each load, in the ledger."""
    days = [day for load in found for day in (load.first_day, load.last_day) if day is not None]
    values = {
        "archive_id": archive_id,
        "row_count": sum(load.rows for load in found),
        "first_day": min(days, default=None),
        "last_day": max(days, default=None),
        "size_bytes": path.stat().st_size,
        "sha256": sha256_of(path),
    }
    run(connection, f"{_FILE}.finish", values)
    rows = [
        {
            "archive_id": archive_id,
            "load_id": load.load_id,
            "row_count": load.rows,
            "totals": Jsonb(load.totals),
        }
        for load in found
    ]
    insert(connection, "staging_archive_load", rows)


def _meets(period: tuple[date, date], first_day: date | None, last_day: date | None) -> bool:
    """Whether a period can have a day of a file."""
    if first_day is None or last_day is None:
        return False
    return first_day < period[1] and period[0] <= last_day


def _partition(name: str) -> sql.Identifier:
    return sql.Identifier(LIVE.schemas.internal, name)


def _union(queries: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL("\nunion\n").join(queries)
