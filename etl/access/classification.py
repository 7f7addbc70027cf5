"""The identifier of a person that each column of each relation is.

A feed's column says it itself, a cube's column in ``sql/cubes``. Here are the columns that the
warehouse adds. A column that is nowhere has no identifier known: ``UnclassifiedError``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from etl.access.treatments import Standard, Treatment, treatment_of
from etl.contracts.column import Identifier
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.db.statements import described
from etl.warehouse.code_sets import CODE_SETS
from etl.warehouse.details import DETAILS
from etl.warehouse.measures import MEASURES
from etl.warehouse.tables import (
    CUBES,
    DIM_MEMBER,
    DIMENSIONS,
    FACTS,
    MARTS,
    MARTS_OF_CUBES,
    MEMBER_LIMITED,
    MEMBER_SCOPE,
    past_of,
)

NONE = Identifier.NONE


# A claim is of one member, whether a row says the number or not.
_OF_ONE_PERSON = (Identifier.MEMBER_NUMBER, Identifier.RECORD_NUMBER)


def is_of_people(feed: Feed) -> bool:
    """Whether each row of a feed is about one person; a plan, a provider or a day is nobody."""
    return any(column.identifier in _OF_ONE_PERSON for column in feed.columns)


def words_of(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# What the warehouse adds to rows about a person.
_OF_PERSON = {
    "geography_sk": Identifier.AREA,
    "validity_start_ts": Identifier.DATE,
    "validity_end_ts": Identifier.DATE,
    "known_from_ts": Identifier.DATE,
    "attr_hash": Identifier.HASH,
    "date_key": Identifier.DATE,
    "enrollment_start_date_key": Identifier.DATE,
    "enrollment_end_date_key": Identifier.DATE,
    "coverage_days": Identifier.DURATION,
    "load_id": Identifier.ARRIVAL,
    "known_to_load_id": Identifier.ARRIVAL,
    "withdrawn_load_id": Identifier.ARRIVAL,
    "created_at": Identifier.ARRIVAL,
    "load_timestamp": Identifier.ARRIVAL,
    "as_of": Identifier.ARRIVAL,
    "batch_id": Identifier.ARRIVAL,
}
# What it adds that says nothing of a person, in rows about one or not.
_OF_NOBODY = words_of(
    """
    source_line is_inferred current_flag hash_version is_latest is_from_claim is_principal
    """
)
# The keys of dimensions.
_KEYS = {
    key: Identifier.SURROGATE_KEY if is_of_people(dimension.feed) else NONE
    for dimension in DIMENSIONS.values()
    for key in (dimension.sk, f"latest_{dimension.sk}")
} | {codes.sk: NONE for codes in CODE_SETS.values()}
# The member dimension as the limited standard shows it: the table, and the views that it is made
# of.
MEMBER_MASKED = "dim_member_masked"
MEMBER_LIMITED_ROWS = f"{MEMBER_LIMITED}_rows"
LIMITED_ROWS = (MEMBER_LIMITED, MEMBER_MASKED, MEMBER_LIMITED_ROWS)
# Tables without a feed.
_CALENDAR = words_of(
    """
    date_key full_date year quarter month month_name month_start day_of_month day_of_week
    day_name is_weekend plan_year is_open_enrollment load_id created_at
    """
)
_GEOGRAPHY = {
    "geography_sk": Identifier.AREA,
    "state": NONE,
    "region": Identifier.AREA,
    "load_id": NONE,
    "created_at": NONE,
}
# What a code means is about nobody.
_OF_CODES = {
    codes.table: (codes.code, *codes.attributes, "load_id", "created_at")
    for codes in CODE_SETS.values()
}
# Columns of the schemas that no rebuild replaces which contain what a row or a key of a feed says.
_KEPT_OF_PERSON = {
    "raw_line": Identifier.WHOLE_ROW,
    "record": Identifier.WHOLE_ROW,
    "key": Identifier.MEMBER_NUMBER,
    "failing_keys": Identifier.MEMBER_NUMBER,
    "member_id": Identifier.MEMBER_NUMBER,
    "member_sk": Identifier.SURROGATE_KEY,
    # What people sent to the server can name anybody, and so can what they disclosed.
    **dict.fromkeys(
        ("statement", "parameters", "recipient", "what", "purpose"), Identifier.WHOLE_ROW
    ),
    "hash": Identifier.HASH,
    "last_hash": Identifier.HASH,
    "fingerprints": Identifier.HASH,
}
# Their other columns, by name.
_KEPT_OF_NOBODY = words_of(
    """
    load_id batch_id as_of status is_rebuild started_at finished_at error error_code build_id
    live_at kind subject feed file_name refusal_code size_bytes modified_ns xxh3_128 rows_read
    rows_loaded rows_rejected rows_duplicate rows_filtered rows_added totals latest_effective_ts
    notes columns distinct_keys contract findings header bytes_read lines_read lines_blank part
    changed_ns first_line stage_run_id stage counts schema_name cube_name definition_hash made_at
    fact_rekey_id fact dimension reason facts first_date last_date refused_batch_id folder
    advice refused_at tried_at settled_at decision_id says decided_at decided_by os_user
    rejected_row_id file line column_name created_at closed_at closed_by reversed_in_full
    created_by check_name table_name severity answered_by means unit threshold threshold_share
    defined_at retired_at changed_at changed_by check_run_id checks failed failed_critical gate
    is_whole months months_in_part since_load_id all_since is_by_month open_run_id
    found_by_run_id is_of_share
    passed rows_checked rows_failed message measured rows_judged metric member limited_ref
    safe_harbor_ref limited_sk safe_harbor_sk limited safe_harbor login state role added_at
    added_by relation_name access identifier standard treatment why placed_at placed_by
    released_at member_token erased_at erased_by through_load_id files_done_at key_check
    rows_expired expired_lines retention_run_id horizon years counted_from archive_folder
    manifest_sha256 ran_at ran_by year row_count first_day last_day sha256 position looked_at person
    client_address application_name database_name transaction_id session_id session_line
    statement_at source brought_at disclosed_on entered_at entered_by chain through_position
    rows_deleted older_than deleted_at deleted_by read_at batch_rank batch_number last_line
    passed_then weight weight_passed score score_change first_run_id last_run_id runs_failed
    failing_since resolved_at time_to_resolve episodes unresolved median_time_to_resolve
    longest_time_to_resolve since_last latest_as_of age behind files usual_interval file_line
    is_refused rows_open since report recorded_at shape shape_hash cost rows seconds day calls
    query_id is_top counted_since pages
    incident_id objective began_at detected_at allowed acknowledged_at
    acknowledged_by alerted_at recovery_alerted_at
    backup_id path bytes parent_backup_id proven_at drill_id succeeded
    rto_seconds rpo_seconds
    attempt_id run_began_at number command ended_at error_class sqlstate exit_code
    waited_seconds sender held_feed_id held_since after_load_id resumed_at resumed_by
    form same_as_load_id other_lines
    archive_id partition_name returned_at
    """
)
_DESCRIBED_COLUMN = re.compile(r"\(\s*'(\w+)',\s*'([^']*)',\s*'((?:[^']|'')*)'\s*\)")


class UnclassifiedError(LookupError):
    """Nobody said which identifier a column is, so no masked schema may show it."""


def identifier_of(schema: str, relation: str, column: str) -> Identifier:
    """Which identifier a column is.

    ``schema``: that of the live build, such as ``warehouse``, or one that no rebuild replaces.
    Raises ``UnclassifiedError``.
    """
    try:
        if schema == "cubes" and relation in CUBES:
            return cube_columns(relation)[column]
        if schema == "mart" and relation in (*MARTS, *MARTS_OF_CUBES, *CUBES):
            return mart_columns(relation)[column]
        if schema in ("staging", "warehouse", "internal", "as_known", "history"):
            return _of_build(relation, column)
        if column in _KEPT_OF_NOBODY:
            return NONE
        return _KEPT_OF_PERSON[column]
    except LookupError:
        pass
    raise UnclassifiedError(f"{schema}.{relation}.{column}: no identifier is declared")


@cache
def cube_columns(cube: str) -> dict[str, Identifier]:
    """The columns of a cube in their order, each with its identifier, as ``sql/cubes`` says."""
    return _columns_of(f"cubes/{cube}")


@cache
def mart_columns(mart: str) -> dict[str, Identifier]:
    """The columns of a mart likewise, as ``sql/mart`` says, or ``sql/cubes`` of one of a cube."""
    return cube_columns(mart) if mart in CUBES else _columns_of(f"mart/{mart}")


def _columns_of(file: str) -> dict[str, Identifier]:
    return {column: Identifier(kind) for column, kind, _ in described_columns(file)}


def described_columns(file: str) -> list[tuple[str, str, str]]:
    """The columns of a cube's or mart's file: name, identifier, and what each means.

    What a measure means is declared in ``etl/warehouse/measures.py``; the file says what else is so
    of the column.
    """
    found = [
        (column, kind, said.replace("''", "'"))
        for column, kind, said in _DESCRIBED_COLUMN.findall(described(f"{file}.columns")[1])
    ]
    return [
        (column, kind, MEASURES[column].comment(said) if column in MEASURES else said)
        for column, kind, said in found
    ]


@cache
def declared() -> str:
    """All that is declared of the columns of builds, in a text that changes with any of it."""
    feeds = [(f.name, c.name, c.identifier.value) for f in FEEDS.values() for c in f.staged]
    cubes = {cube: mart_columns(cube) for cube in (*CUBES, *MARTS, *MARTS_OF_CUBES)}
    of_build = f"{_OF_PERSON}{sorted(_OF_NOBODY)}{_KEYS}{sorted(_CALENDAR)}{_GEOGRAPHY}{_OF_CODES}"
    return f"{feeds}{cubes}{of_build}"


def identifies(schema: str, relation: str, columns: list[str]) -> bool:
    """Whether a relation says who a person is: by name, number, address or a whole row.

    A fact does not: it has keys and dates, which say so only together with the member dimension.
    """
    return any(identifier_of(schema, relation, column) in DIRECT for column in columns)


# By these a row says who a person is.
DIRECT = frozenset(
    (
        Identifier.NAME,
        Identifier.STREET,
        Identifier.PHONE,
        Identifier.EMAIL,
        Identifier.MEMBER_NUMBER,
        Identifier.HASH,
        Identifier.WHOLE_ROW,
    )
)


def _of_build(relation: str, column: str) -> Identifier:
    if column in _OF_NOBODY:
        return NONE
    if relation in LIMITED_ROWS:
        return _of_limited(column)
    if column in _KEYS:
        return _KEYS[column]
    if relation == MEMBER_SCOPE:
        return {"state": NONE, "part": NONE, "bits": Identifier.SURROGATE_KEY}[column]
    if relation == "dim_geography":
        return _GEOGRAPHY[column]
    if relation == "dim_date":
        return NONE if column in _CALENDAR else _OF_PERSON[column]
    if column in _OF_CODES.get(relation, ()):
        return NONE
    feed = _feeds()[relation]
    declared = _identifiers(feed.name)
    staged = _columns_of_details().get(relation, {}).get(column, column)
    if staged in declared:
        return declared[staged]
    identifier = _OF_PERSON[column]
    return identifier if is_of_people(feed) else NONE


def _of_limited(column: str) -> Identifier:
    """A column of the limited rows: a code and what is withheld identify nobody."""
    if column == "version_sk":
        return Identifier.SURROGATE_KEY
    identifier = _of_build(DIM_MEMBER.table, column)
    is_kept = treatment_of(identifier, Standard.LIMITED) is Treatment.KEEP
    return identifier if is_kept else NONE


@cache
def _identifiers(feed: str) -> dict[str, Identifier]:
    """The identifier of each column of a feed."""
    return {column.name: column.identifier for column in FEEDS[feed].staged}


@cache
def _feeds() -> dict[str, Feed]:
    """The feed of each relation of a build that has one."""
    feeds = {feed.table: feed for feed in FEEDS.values()}
    for dimension in DIMENSIONS.values():
        for name in ("{}", "{}_current", "{}_as_is"):
            feeds[name.format(dimension.table)] = dimension.feed
        feeds[past_of(dimension.table)] = dimension.feed
    for fact in FACTS.values():
        for name in (fact.table, past_of(fact.table), fact.state, f"{fact.table}_history"):
            feeds[name] = fact.feed
    for detail in DETAILS:
        feeds |= dict.fromkeys((detail.table, detail.past), detail.feed)
    return feeds


@cache
def _columns_of_details() -> dict[str, Mapping[str, str]]:
    """For each table of what facts consist of, the feed's column that each of its columns is."""
    return {table: detail.carried for detail in DETAILS for table in (detail.table, detail.past)}
