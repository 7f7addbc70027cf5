"""Checks of the slowly changing dimensions: versions, hashes, keys."""

from __future__ import annotations

from psycopg import sql

from etl.contracts.checks import CRITICAL
from etl.contracts.column import IS_DELETED
from etl.contracts.feed import Feed
from etl.db.statements import Parts, equal, names, statement, texts
from etl.quality.checks.sql import EVERYTHING, SqlCheck, keys_of, rules, tallied_columns
from etl.render import hashing, validity
from etl.warehouse.tables import DIMENSIONS, Dimension

_OF_LOAD = sql.SQL("load_id = {}").format(sql.Placeholder("load_id"))


def dimension_checks() -> tuple[SqlCheck, ...]:
    """The rules of versions on all that the dimensions hold."""
    dimensions = DIMENSIONS.values()
    return (
        *(_versions(dimension, EVERYTHING) for dimension in dimensions),
        *(_hashes(dimension, EVERYTHING) for dimension in dimensions),
        *(_keys(dimension) for dimension in dimensions),
        *(_one_key(dimension) for dimension in dimensions),
    )


def dims_gate() -> tuple[SqlCheck, ...]:
    """The same of the keys that a load changed or named."""
    dimensions = DIMENSIONS.values()
    return (
        *(_versions(dimension, _touched(dimension)) for dimension in dimensions),
        *(_hashes(dimension, _OF_LOAD) for dimension in dimensions),
        *(_keys_told(dimension) for dimension in dimensions),
    )


def _restate(dimension: Dimension) -> str:
    """What to do where versions are wrong but staging, from which they come, is right."""
    return (
        f"A version was changed by hand: make restate DIM={dimension.name} shows what staging "
        "tells and repairs it; else make full-load."
    )


def _touched(dimension: Dimension) -> Parts:
    """Whether the load in hand changed any version of a row's key."""
    return statement(
        "checks/dims.touched",
        dim=sql.Identifier(dimension.table),
        past=sql.Identifier(dimension.past),
        keys=names(dimension.key),
    )


def _versions(dimension: Dimension, scope: Parts) -> SqlCheck:
    source = dimension.feed
    as_of = sql.SQL("l.as_of at time zone 'UTC'")
    advice = _restate(dimension)
    told = [
        ("keys_present", "completeness", CRITICAL, "a key is empty", advice),
        (
            "no_empty_version",
            "consistency",
            CRITICAL,
            "a version ends when or before it starts",
            advice,
        ),
        ("no_overlap", "consistency", CRITICAL, "two versions of one key overlap", advice),
        (
            "first_from_1900",
            "consistency",
            CRITICAL,
            "a first version starts after 1900-01-01",
            advice,
        ),
        ("one_current", "uniqueness", CRITICAL, "a key has more than one current version", advice),
        (
            "version_end_has_cause",
            "consistency",
            CRITICAL,
            "a version ends, none follows at once, and neither a snapshot that lacks the key nor a "
            "delete marker says why",
            advice,
        ),
        (
            "current_is_open",
            "consistency",
            CRITICAL,
            "the current flag disagrees with the end",
            advice,
        ),
        (
            "neighbours_differ",
            "consistency",
            CRITICAL,
            "a version repeats the one before it",
            advice,
        ),
    ]
    if dimension.type_1:
        told.append(
            (
                "type_1_everywhere",
                "consistency",
                CRITICAL,
                "a Type 1 attribute differs between versions of one key",
                advice,
            )
        )
    by_row = [rule for rule, *_ in told]
    told.append(
        (
            "sk_unique",
            "uniqueness",
            CRITICAL,
            "two versions have one surrogate key",
            "The primary key was taken off the table: make full-load makes it anew.",
        )
    )
    return SqlCheck(
        "checks/dims.versions",
        {
            "dim": sql.Identifier(dimension.table),
            "name": sql.Literal(dimension.table),
            **validity.BOUNDS,
            "sk": sql.Identifier(dimension.sk),
            "keys_of_dim": names(dimension.key, "d"),
            "key_s_compared": equal(dimension.key, "s", "compared"),
            "key_texts": texts(dimension.key, "compared"),
            "staging": sql.Identifier(source.table),
            "marked": _marked(source),
            "effective": sql.SQL("coalesce(s.{} at time zone 'UTC', {})").format(
                sql.Identifier(source.effective), as_of
            )
            if source.effective
            else as_of,
            "drivers": names(dimension.drivers),
            "type_1": names(dimension.type_1),
            "scope": scope,
            **tallied_columns(by_row, keys_of((dimension.sk,))),
        },
        rules(dimension.table, *told),
        feed=source.name,
    )


def _marked(feed: Feed) -> sql.Composable:
    """Whether a staged row is a delete marker."""
    return sql.Identifier("s", IS_DELETED.name) if feed.deletable else sql.SQL("false")


def _hashes(dimension: Dimension, scope: Parts) -> SqlCheck:
    rule = (
        "attr_hash_recomputed",
        "integrity",
        CRITICAL,
        "the stored hash is not that of the row's change drivers",
        _restate(dimension),
    )
    return SqlCheck(
        "checks/dims.hashes",
        {
            "dim": sql.Identifier(dimension.table),
            "hash_of_dim": hashing.of_columns(dimension, "d"),
            "hash_version": sql.Literal(dimension.hash_version),
            "scope": scope,
            "key_of_row": keys_of((dimension.sk,), "d"),
        },
        rules(dimension.table, rule),
        feed=dimension.feed.name,
    )


def _keys_told(dimension: Dimension) -> SqlCheck:
    """That every key that the load in hand told is held; what nobody told is not asked."""
    return SqlCheck(
        "checks/dims.keys_told",
        {**_key_parts(dimension), "key_d_s": equal(dimension.key, "d", "s")},
        rules(dimension.table, _as_told(dimension)),
        feed=dimension.feed.name,
    )


def _keys(dimension: Dimension) -> SqlCheck:
    unfounded = (
        "no_orphan_version",
        "consistency",
        CRITICAL,
        "no row of the feed named the key, and it is not inferred",
        _restate(dimension),
    )
    return SqlCheck(
        "checks/dims.keys",
        {
            **_key_parts(dimension),
            "sk": sql.Identifier(dimension.sk),
            "keys_of_dim": names(dimension.key, "d"),
            "key_told_held": equal(dimension.key, "told", "held"),
            "either_key": sql.SQL(", ").join(
                sql.SQL("coalesce(told.{0}, held.{0}) as {0}").format(sql.Identifier(k))
                for k in dimension.key
            ),
        },
        rules(dimension.table, _as_told(dimension), unfounded),
        feed=dimension.feed.name,
    )


def _as_told(dimension: Dimension) -> tuple[str, str, str, str, str]:
    return (
        "keys_match_staging",
        "completeness",
        CRITICAL,
        "the feed tells of a key that has no version, or only an inferred row",
        _restate(dimension),
    )


def _key_parts(dimension: Dimension) -> dict[str, Parts]:
    return {
        "dim": sql.Identifier(dimension.table),
        "staging": sql.Identifier(dimension.feed.table),
        "marked": _marked(dimension.feed),
        "keys_of_staging": names(dimension.key, "s"),
        "key_of_row": keys_of(dimension.key),
    }


def _one_key(dimension: Dimension) -> SqlCheck:
    rule = (
        "sk_one_key",
        "uniqueness",
        CRITICAL,
        "one surrogate key was given to two keys, now or in the past",
        "Rows of the past were changed by hand, and what was known before cannot be trusted: "
        "make full-load.",
    )
    return SqlCheck(
        "checks/past.one_key",
        {
            "dim": sql.Identifier(dimension.table),
            "past": sql.Identifier(dimension.past),
            "sk": sql.Identifier(dimension.sk),
            "keys": names(dimension.key),
            "keys_of_dim": names(dimension.key, "d"),
            "key_of_row": keys_of((dimension.sk,)),
        },
        rules(dimension.table, rule),
    )
