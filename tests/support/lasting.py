"""Every row that commands left, apart from what differs where a run was killed."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import psycopg

from etl.contracts.refusals import Refusal
from etl.db.connection import connect
from etl.warehouse.staging import is_partition

SCHEMAS = ["staging", "warehouse", "internal", "cubes", "ledger", "quality"]
# Columns of clock times and counters, which differ from run to run.
_CLOCKS = {"started_at", "finished_at", "live_at", "created_at", "defined_at", "load_timestamp"}
_CLOCKS |= {"refused_at", "tried_at", "settled_at", "changed_at", "decided_at", "made_at", "ran_at"}
_CLOCKS |= {"all_since", "returned_at"}
_CLOCKS |= {"measured", "message"}  # of a check, some of which measure days until now
_NUMBERS = {"stage_run_id", "check_run_id", "fact_rekey_id", "retention_run_id"}
_LOADS = {"load_id", "build_id", "known_to_load_id", "closed_by"}
# Codes of masked schemas, which are random.
_CODES = {("dim_member_limited", "member_sk"), ("dim_member_limited", "member_id")}
# Names and numbers of files, of which a killed run leaves some out.
_CODES |= {("staging_archive", "file_name"), ("staging_archive", "archive_id")}
_CODES |= {("staging_archive_load", "archive_id")}
# What is noted of runs, of which a killed one makes fewer or more.
_NOTES = ["attempt", "incident", "report_plan", "relation_use", "statement_counted"]
# Why loads and stages came to nothing that were killed, or that lost their server.
_LOST = (Refusal.INTERRUPTED, Refusal.REBUILD_NOT_LIVE, Refusal.SERVER_TROUBLE)
_NOTHING = [str(code) for code in _LOST]
Contents = dict[str, list[str]]


def contents(url: str) -> Contents:
    """Every row of every table; see ``_contents``."""
    with connect(url, "test") as connection:
        return _contents(connection)


def _contents(connection: psycopg.Connection[Any]) -> Contents:
    """Every row of every table, loads by their place among those that last.

    What a killed run noted of itself in the ledger is left out, and so is a build that another has
    replaced; not what whoever sums the ledger or the quarantine would count twice: files said to
    be loaded, rejected rows, profiles and facts keyed again of loads that do not last. A gate that
    was passed by a stage which was killed behind it counts once.
    """
    lasting = [
        load_id
        for (load_id,) in connection.execute(
            "select load_id from ledger.load where status <> 'superseded' "
            "and coalesce(error_code, '') <> all(%s) order by 1",
            [_NOTHING],
        )
    ]
    interrupted = {
        load_id
        for (load_id,) in connection.execute(
            "select load_id from ledger.load where error_code = any(%s)", [_NOTHING]
        )
    }
    entries = {
        number: (sum(load < load_id for load in lasting), load_id, *rest)
        for number, load_id, *rest in connection.execute(
            "select rejected_row_id, load_id, feed, line, column_name from quality.quarantined_row"
        )
    }

    of_loads = ("quarantined_row", "feed_profile", "fact_rekey")
    dead: dict[str, set[int]] = defaultdict(set, dict.fromkeys(of_loads, interrupted))
    dead["quarantined_line"] = {n for n, entry in entries.items() if entry[1] in interrupted}

    def value_of(column: str, value: Any) -> Any:
        if value is None:
            return None
        if column in _LOADS:
            return sum(load < value for load in lasting)
        if column == "failing_keys":
            # Loads of a replaced build are not comparable.
            return [{k: v for k, v in key.items() if k not in _LOADS} for key in value]
        if column == "rejected_row_id":
            return entries[value][0], *entries[value][2:]
        return "some time" if column == "closed_at" else value

    def lasts(table: str, row: dict[str, Any]) -> bool:
        """Whether a row of the ledger or of quality is more than what a killed run noted."""
        if (table == "load_file" and row["status"] == "loaded") or table == "cube_refresh":
            return True
        if row.get("load_id", row.get("rejected_row_id")) in dead[table]:
            return True
        return (
            row.get("load_id") in (None, *lasting)
            and entries.get(row.get("rejected_row_id"), (0, lasting[0]))[1] in lasting
            and row.get("error_code") not in _NOTHING
            and row.get("finished_at", True) is not None
        )

    found: Contents = {}
    for schema, table in connection.execute(
        "select schemaname, tablename from pg_tables where schemaname = any(%s) "
        "and tablename <> all(%s) order by 1, 2",
        [SCHEMAS, _NOTES],
    ).fetchall():
        if is_partition(table):  # whose name has its first load, and whose rows the whole has
            continue
        rows = connection.execute(f"select * from {schema}.{table}")
        names = [column.name for column in rows.description or ()]
        stored = [dict(zip(names, row, strict=True)) for row in rows]
        if table == "cube_refresh":
            # Cubes are made through the last load there is, which may have come to nothing.
            for row in stored:
                del row["load_id"]
        if table == "check_result":
            # Loads that came to nothing count where a partition of staging ends.
            for row in stored:
                if row["table_name"] == "planner":
                    del row["rows_checked"]
        lines = [
            repr(
                [
                    value_of(k, v)
                    for k, v in row.items()
                    if k not in _CLOCKS | _NUMBERS and (table, k) not in _CODES
                ]
            )
            for row in stored
            if schema not in ("ledger", "quality") or lasts(table, row)
            # Stages of no load, such as the cubes, run again with other counts.
            if table != "stage_run" or row["load_id"] is not None
        ]
        # A stage that is killed after its gate runs its gate again.
        is_note = table in ("check_run", "check_result")
        found[f"{schema}.{table}"] = sorted(set(lines) if is_note else lines)
    return found


def differing(found: Contents, wanted: Contents) -> dict[str, tuple[list[str], list[str]]]:
    """Tables that differ, each with rows that are too many and rows that are missing."""
    different = {}
    for table in wanted.keys() | found.keys():
        left, right = found.get(table, []), wanted.get(table, [])
        if left != right:
            more, less = list(left), list(right)
            for row in left:
                if row in less:
                    less.remove(row)
                    more.remove(row)
            different[table] = (more, less)
    return different
