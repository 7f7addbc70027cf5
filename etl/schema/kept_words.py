"""What columns mean in ledger, quality, access and audit whose names say it: one meaning a name.

A table says of a column what is so of it alone; what is the same wherever the name is stands here.
The views of quality and of the ledger have their own columns here too.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import MetaData

from etl.warehouse.tables import KEPT

WORDS: Mapping[str, str] = {
    "added_at": "When it was added, UTC.",
    "added_by": "The login that added it.",
    "age": "Time since then, as of now.",
    "archive_id": "The file of archived staging.",
    "attempt_id": "The attempt of a run.",
    "backup_id": "The backup.",
    "batch_id": "The batch: the manifest's batch_id, else the folder's name.",
    "batch_number": "Place of the batch among all; loads of one batch share it.",
    "batch_rank": "Place of the load among all, in the order in which batches became true.",
    "began_at": "When it began, UTC.",
    "behind": "Time between its newest batch and the newest of any feed.",
    "brought_at": "When it was brought here from the server's log, UTC.",
    "changed_at": "When it was last changed, UTC.",
    "changed_by": "The login that changed it.",
    "check_name": "Name of the check.",
    "check_run_id": "The run of the checks.",
    "checks": "Checks that ran.",
    "column_name": "The column; empty for the whole table or row.",
    "counts": "What the stage counted, by kind.",
    "created_at": "When it was written, UTC.",
    "created_by": "The load that made it.",
    "cube_name": "Name of the cube.",
    "database_name": "The database that the session was in.",
    "decided_at": "When it was decided, UTC.",
    "decided_by": "The login that decided it.",
    "decision_id": "The decision.",
    "defined_at": "Since when it is defined so, UTC.",
    "deleted_at": "When they were deleted, UTC.",
    "deleted_by": "The login that deleted them.",
    "drill_id": "The restore drill.",
    "entered_at": "When it was entered, UTC.",
    "entered_by": "The login that entered it.",
    "episodes": "Times that a check began to fail.",
    "erased_at": "When the member was erased, UTC.",
    "erased_by": "The login that erased the member.",
    "fact_rekey_id": "The change of keys.",
    "failed": "Checks that failed.",
    "failed_critical": "Critical checks that failed.",
    "failing_since": "Start of the first run at which it failed, UTC.",
    "feed": "The feed: members, plans, providers and so on.",
    "file": "The file inside the batch folder.",
    "file_line": "Line of the file itself, of several parts each from its own beginning.",
    "files": "Files of the feed that were loaded.",
    "finished_at": "When it was over, UTC; empty while it runs or if it was cut short.",
    "first_run_id": "The first run of the checks at which it failed.",
    "found_by_run_id": "The run of the checks that counted this.",
    "held_feed_id": "The feed that is held.",
    "held_since": "Since when it is held, UTC.",
    "is_of_share": "Whether it was counted in a share of the months, and not in all rows.",
    "is_refused": "Whether the file was refused whole.",
    "last_line": "The last line of the file's rows; empty where no other file follows.",
    "last_run_id": "The last run of the checks at which it failed.",
    "latest_as_of": "When the facts of its newest batch became true, UTC.",
    "load_id": "The load.",
    "longest_time_to_resolve": "The longest time from a failure to the run that passed.",
    "made_at": "When it was made, UTC.",
    "measured": "What was measured.",
    "median_time_to_resolve": "Half of the failures were over sooner than this.",
    "passed_then": "Whether it passed by the thresholds of its own day.",
    "placed_at": "When it was placed, UTC.",
    "placed_by": "The login that placed it.",
    "ran_at": "When it ran, UTC.",
    "ran_by": "The login that ran it.",
    "read_at": "When it was read, UTC.",
    "recorded_at": "When it was recorded, UTC.",
    "refused_batch_id": "The entry of a refused batch.",
    "rejected_row_id": "The rejected row.",
    "resolved_at": "Start of the first run after it that passed, UTC; empty while it fails.",
    "retention_run_id": "The run of retention.",
    "rows": "Rows that it returned or changed.",
    "rows_deleted": "Rows that were deleted.",
    "rows_duplicate": "Rows that repeat another row of the file.",
    "rows_expired": "Rows older than the horizon of retention, which were not loaded.",
    "rows_failed": "Rows that fail the check.",
    "rows_loaded": "Rows that are in staging.",
    "rows_open": "Rejected rows that nobody has dealt with.",
    "rows_read": "Rows of the file.",
    "rows_rejected": "Rows that were rejected.",
    "runs_failed": "Runs of the checks in a row at which it failed.",
    "schema_name": "The schema.",
    "score": "Share of the checks that passed, by weight, 0 to 1.",
    "score_change": "How the score differs from that of the run before.",
    "seconds": "Seconds that it took.",
    "session_id": "The session, as the server's log calls it.",
    "severity": "critical, major or minor, as judged today.",
    "since": "When the first of them was rejected, UTC.",
    "since_last": "Time between the batch of the feed before and this one.",
    "size_bytes": "Size of the file in bytes.",
    "stage_run_id": "The run of a stage.",
    "started_at": "When it began, UTC.",
    "succeeded": "Whether it succeeded.",
    "table_name": "The table that is checked.",
    "time_to_resolve": "Time from the first run that failed to the first after it that passed.",
    "unresolved": "Failures that are not over yet.",
    "usual_interval": "Median of the times between batches of the feed.",
    "weight": "Weight of the checks: 5 of a critical one, 3 of a major one, 1 of a minor one.",
    "weight_passed": "Weight of the checks that passed.",
}
# The tables whose columns the views of quality show, the nearest first.
_SHOWN: Mapping[str, tuple[str, ...]] = {
    "batch_order": ("ledger.load",),
    "rejected_row": ("quality.quarantined_row", "quality.quarantined_line"),
    "source_file": ("ledger.load_file_part", "ledger.load"),
    "quarantine_open": ("quality.quarantined_row", "ledger.load", "ledger.load_file_part"),
    "feed_arrival": ("ledger.load_file", "ledger.load"),
}
_RESULTS = ("quality.check_result", "quality.check_definition", "quality.check_run")


def complete(metadata: MetaData) -> None:
    """Say of each column of the kept schemas what its name means, where its table does not."""
    for table in metadata.tables.values():
        if table.schema in KEPT:
            for column in table.columns:
                column.comment = column.comment or WORDS.get(column.name)


def of_view(metadata: MetaData, name: str) -> dict[str, str]:
    """What the columns of a view on ledger or quality mean."""
    meanings: dict[str, str] = {}
    for shown in _SHOWN.get(name, _RESULTS):
        for column in metadata.tables[shown].columns:
            meanings.setdefault(column.name, column.comment or "")
    # What a view counts is its own, also where a table has a column of the name.
    return {**WORDS, **meanings}
