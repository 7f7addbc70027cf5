"""Checks in SQL: reconciliation, integrity and the rules of versions (``sql/checks``).

A statement answers several checks in one pass: it returns a row for each of its rules, with rows
checked and rows failed. Here is which rules there are, on which tables, and how bad a breach is.
"""

from __future__ import annotations

from psycopg import sql

from etl.checks.arrivals import arrival_checks
from etl.checks.business import business_checks
from etl.checks.sql import SqlCheck
from etl.contract import IS_DELETED, Source
from etl.db.statements import equal, names, statement
from etl.quality import CRITICAL, MINOR, Check
from etl.render import hashing
from etl.sources import FEEDS
from etl.warehouse import (
    CUBES,
    DIMENSIONS,
    FACT_CLAIM,
    FACT_ENROLLMENT,
    FACTS,
    Dimension,
    Fact,
    past_of,
)

# Which dates of a fact its date keys stand for.
_DATE_KEYS = {
    FACT_CLAIM.name: {"date_key": "service_date"},
    FACT_ENROLLMENT.name: {
        "enrollment_start_date_key": "start_date",
        "enrollment_end_date_key": "end_date",
    },
}


def sql_checks() -> tuple[SqlCheck, ...]:
    """Every check in SQL, in the order in which they run."""
    return (
        *(_against_ledger(source) for source in FEEDS.values()),
        *(_versions(dimension) for dimension in DIMENSIONS.values()),
        *(_hashes(dimension) for dimension in DIMENSIONS.values()),
        *(_keys(dimension) for dimension in DIMENSIONS.values()),
        *(_one_key(dimension) for dimension in DIMENSIONS.values()),
        *(_against_staging(fact) for fact in FACTS.values()),
        *(
            _in_force(fact, reference.dimension)
            for fact in FACTS.values()
            for reference in fact.references
        ),
        *(
            _in_calendar(fact, date_key, date)
            for fact in (FACT_CLAIM, FACT_ENROLLMENT)
            for date_key, date in _DATE_KEYS[fact.name].items()
        ),
        *(_joined(fact) for fact in FACTS.values()),
        _claim_chain(),
        _claim_chain_told(),
        *(_kept(entry.table) for entry in (*DIMENSIONS.values(), *FACTS.values())),
        *_cubes(),
        *business_checks(),
        *arrival_checks(),
    )


def _checks(table: str, *rules: tuple[str, str, str, str]) -> dict[str, Check]:
    """Checks by rule from (rule, dimension of quality, severity, meaning of a failure)."""
    return {
        rule: Check(f"{table}.{rule}", table, None, dimension, severity, means)
        for rule, dimension, severity, means in rules
    }


def _against_ledger(source: Source) -> SqlCheck:
    totals = sql.SQL(", ").join(
        sql.SQL("{}, coalesce(sum({}), 0)").format(sql.Literal(m), sql.Identifier(m))
        for m in source.money
    )
    rules = [
        ("rows_as_in_file", "consistency", CRITICAL, "staging holds other rows than were loaded"),
        ("load_known", "integrity", CRITICAL, "the row's load is not one of this build"),
        (
            "file_accounted",
            "consistency",
            CRITICAL,
            "rows read are not those loaded, rejected and duplicate",
        ),
    ]
    if source.money:
        rules.append(
            (
                "totals_as_in_file",
                "consistency",
                CRITICAL,
                "a control total differs between manifest, file and staging",
            )
        )
    return SqlCheck(
        "checks/staging.against_ledger",
        {"staging": sql.Identifier(source.table), "totals": totals},
        _checks(source.table, *rules),
        feed=source.name,
    )


def _versions(dimension: Dimension) -> SqlCheck:
    source = dimension.source
    as_of = sql.SQL("l.as_of at time zone 'UTC'")
    rules = [
        ("sk_unique", "uniqueness", CRITICAL, "two versions have one surrogate key"),
        ("keys_present", "completeness", CRITICAL, "a key is empty"),
        ("no_empty_version", "consistency", CRITICAL, "a version ends when or before it starts"),
        ("no_overlap", "consistency", CRITICAL, "two versions of one key overlap"),
        ("first_from_1900", "consistency", CRITICAL, "a first version starts after 1900-01-01"),
        ("one_current", "uniqueness", CRITICAL, "a key has more than one current version"),
        (
            "ends_explained",
            "consistency",
            CRITICAL,
            "a version ends, none follows at once, and neither a snapshot that lacks the key nor a "
            "delete marker says why",
        ),
        ("current_is_open", "consistency", CRITICAL, "the current flag disagrees with the end"),
        ("neighbours_differ", "consistency", CRITICAL, "a version repeats the one before it"),
    ]
    if dimension.type_1:
        rules.append(
            (
                "type_1_everywhere",
                "consistency",
                CRITICAL,
                "a Type 1 attribute differs between versions of one key",
            )
        )
    return SqlCheck(
        "checks/dims.versions",
        {
            "dim": sql.Identifier(dimension.table),
            "name": sql.Literal(dimension.table),
            "sk": sql.Identifier(dimension.sk),
            "keys_of_dim": names(dimension.key, "d"),
            "key_s_compared": equal(dimension.key, "s", "compared"),
            "staging": sql.Identifier(source.table),
            "marked": _marked(source),
            "effective": sql.SQL("coalesce(s.{} at time zone 'UTC', {})").format(
                sql.Identifier(source.effective), as_of
            )
            if source.effective
            else as_of,
            "drivers": names(dimension.drivers),
            "type_1": names(dimension.type_1),
        },
        _checks(dimension.table, *rules),
        feed=dimension.source.name,
    )


def _marked(source: Source) -> sql.Composable:
    """Whether a staged row is a delete marker."""
    return sql.Identifier("s", IS_DELETED.name) if source.deletable else sql.SQL("false")


def _keys(dimension: Dimension) -> SqlCheck:
    rules = (
        (
            "keys_as_told",
            "completeness",
            CRITICAL,
            "the feed tells of a key that has no version, or only an inferred row",
        ),
        (
            "none_unfounded",
            "consistency",
            CRITICAL,
            "no row of the feed named the key, and it is not inferred",
        ),
    )
    return SqlCheck(
        "checks/dims.keys",
        {
            "dim": sql.Identifier(dimension.table),
            "sk": sql.Identifier(dimension.sk),
            "staging": sql.Identifier(dimension.source.table),
            "marked": _marked(dimension.source),
            "keys_of_staging": names(dimension.key, "s"),
            "keys_of_dim": names(dimension.key, "d"),
            "key_told_held": equal(dimension.key, "told", "held"),
        },
        _checks(dimension.table, *rules),
    )


def _one_key(dimension: Dimension) -> SqlCheck:
    rule = (
        "sk_one_key",
        "uniqueness",
        CRITICAL,
        "one surrogate key was given to two keys, now or in the past",
    )
    return SqlCheck(
        "checks/past.one_key",
        {
            "dim": sql.Identifier(dimension.table),
            "past": sql.Identifier(dimension.past),
            "sk": sql.Identifier(dimension.sk),
            "keys": names(dimension.key),
            "keys_of_dim": names(dimension.key, "d"),
        },
        _checks(dimension.table, rule),
    )


def _kept(table: str) -> SqlCheck:
    past = past_of(table)
    rules = (
        (
            "made_before_changed",
            "consistency",
            CRITICAL,
            "a load changed the row before another one made it",
        ),
        (
            "changed_by_a_load",
            "integrity",
            CRITICAL,
            "the load that changed the row is neither in the ledger nor the next one",
        ),
        (
            "present_is_last_known",
            "consistency",
            MINOR,
            "something other than a load changed the row since the latest load",
        ),
    )
    return SqlCheck("checks/past.kept", {"past": sql.Identifier(past)}, _checks(past, *rules))


def _hashes(dimension: Dimension) -> SqlCheck:
    rule = (
        "attr_hash_recomputed",
        "integrity",
        CRITICAL,
        "the stored hash is not that of the row's change drivers",
    )
    return SqlCheck(
        "checks/dims.hashes",
        {
            "dim": sql.Identifier(dimension.table),
            "hash_of_dim": hashing.of_columns(dimension, "d"),
            "hash_version": sql.Literal(dimension.hash_version),
        },
        _checks(dimension.table, rule),
    )


def _against_staging(fact: Fact) -> SqlCheck:
    told_keys, held_keys = _natural_keys(fact)
    money = fact.source.money
    parts = {
        "key": sql.Identifier(fact.key),
        "fact": sql.Identifier(fact.table),
        "told_state": _told_state(fact),
        "held_state": names(_state(fact), "f"),
        "told_keys": sql.SQL(", ").join(
            sql.SQL("{} as {}").format(value, sql.Identifier(name))
            for name, value in told_keys.items()
        ),
        "keys_differ": sql.SQL("row({}) is distinct from row({})").format(
            names(told_keys, "s"), sql.SQL(", ").join(held_keys)
        ),
        "references": sql.SQL("\n").join(
            sql.SQL("left join {dim} on {same}").format(
                dim=sql.Identifier(ref.dimension.table),
                same=sql.SQL("f.{sk} = {dim}.{sk}").format(
                    sk=sql.Identifier(ref.sk), dim=sql.Identifier(ref.dimension.table)
                ),
            )
            for ref in fact.references
        ),
        "told_money": names(money, "s"),
        "held_money": names(money, "f"),
        "told_sums": _sums(money),
        "held_sums": _sums(money),
        "sums_that_differ": _sums_that_differ(money, "held", "told"),
    }
    latest = "latest_claims" if fact is FACT_CLAIM else "latest_enrollments"
    parts["latest"] = statement(f"checks/facts.{latest}", **parts)
    rules = (
        (
            "each_once",
            "consistency",
            CRITICAL,
            "what staging holds is missing from the fact or there more than once",
        ),
        ("none_unfounded", "consistency", CRITICAL, "nothing in staging stands for the fact"),
        ("latest_state", "consistency", CRITICAL, "the fact is not in its feed's latest state"),
        ("keyed_as_told", "integrity", CRITICAL, "the fact is keyed to other than its feed names"),
        ("money_total", "consistency", CRITICAL, "a money total differs from staging's"),
    )
    return SqlCheck(
        "checks/facts.against_staging", parts, _checks(fact.table, *rules), only_in_facts=True
    )


def _joined(fact: Fact) -> SqlCheck:
    money = fact.source.money
    sks = [ref.sk for ref in fact.references]
    date_key, *other_date_keys = _DATE_KEYS[fact.name]
    joins = [
        sql.SQL("inner join {dim} on f.{sk} = {dim}.{sk}").format(
            dim=sql.Identifier(ref.dimension.table), sk=sql.Identifier(ref.sk)
        )
        for ref in fact.references
    ] + [
        sql.SQL("inner join dim_date as {day} on f.{date_key} = {day}.date_key").format(
            day=sql.Identifier(f"day_of_{other}"), date_key=sql.Identifier(other)
        )
        for other in other_date_keys
    ]
    rules = (
        ("keys_present", "completeness", CRITICAL, "a key, date or load is empty"),
        (
            "joins_keep_facts",
            "integrity",
            CRITICAL,
            "joins to all the dimensions at once lose facts or repeat them",
        ),
        (
            "joins_keep_money",
            "integrity",
            CRITICAL,
            "joins to all the dimensions at once change a money total",
        ),
    )
    return SqlCheck(
        "checks/facts.joined",
        {
            "fact": sql.Identifier(fact.table),
            "keys_of_fact": names(
                (
                    fact.key,
                    *sks,
                    *_DATE_KEYS[fact.name],
                    *_DATE_KEYS[fact.name].values(),
                    "load_id",
                ),
                "f",
            ),
            "sums": sql.SQL(", ").join(
                sql.SQL("sum(f.{0}) as {0}").format(sql.Identifier(m)) for m in money
            ),
            "date_key": sql.Identifier(date_key),
            "references": sql.SQL("\n").join(joins),
            "sums_that_differ": _sums_that_differ(money, "joined", "alone"),
        },
        _checks(fact.table, *rules),
    )


def _claim_chain() -> SqlCheck:
    rules = (
        (
            "ends_in_fact",
            "consistency",
            CRITICAL,
            "the chain of a claim's states does not end in the fact's",
        ),
        (
            "nets_to_paid",
            "consistency",
            CRITICAL,
            "the changes of a claim's paid amount do not add up to the fact's",
        ),
        ("one_state_a_load", "uniqueness", CRITICAL, "two states of a claim are of one load"),
    )
    return SqlCheck("checks/facts.claim_chain", {}, _checks(FACT_CLAIM.state, *rules))


def _claim_chain_told() -> SqlCheck:
    fact = FACT_CLAIM
    named = dict.fromkeys(c for ref in fact.references for _, c in ref.key if c)
    kept = (fact.date, *fact.states)
    rule = (
        "as_staging_tells",
        "consistency",
        CRITICAL,
        "a state is missing, was never told, or is not what staging tells",
    )
    return SqlCheck(
        "checks/facts.claim_chain_told",
        {
            "told_state": _told(fact, kept),
            "held_state": names(kept, "h"),
            "told_keys_and_state": sql.SQL(", ").join(
                (
                    *(sql.SQL("coalesce({}, '')").format(sql.Identifier("s", c)) for c in named),
                    _told_state(fact),
                )
            ),
        },
        _checks(fact.state, rule),
        only_in_facts=True,
    )


def _sums_that_differ(money: tuple[str, ...], left: str, right: str) -> sql.Composed:
    return sql.SQL(" + ").join(
        sql.SQL("({} is distinct from {})::integer").format(
            sql.Identifier(left, m), sql.Identifier(right, m)
        )
        for m in money
    )


def _sums(money: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("sum({0}) as {0}").format(sql.Identifier(m)) for m in money)


def _state(fact: Fact) -> tuple[str, ...]:
    """Columns that tell a fact's state beside its keys."""
    dates = ("start_date", "end_date") if fact is FACT_ENROLLMENT else (fact.date,)
    return (*dates, *fact.carried)


def _told_state(fact: Fact) -> sql.Composed:
    """The columns of ``_state`` as staging tells them, in the types of the fact."""
    return _told(fact, _state(fact))


def _told(fact: Fact, columns: tuple[str, ...]) -> sql.Composed:
    told = []
    for name in columns:
        stored = fact.source.column(name).type.stored
        value = sql.SQL("s.{}::{}").format(sql.Identifier(name), sql.SQL(stored))
        if fact is FACT_ENROLLMENT and name == "end_date":
            # Without an end, coverage runs to the end of the plan year.
            year_end = sql.SQL("make_date(extract(year from s.start_date)::integer, 12, 31)")
            value = sql.SQL("coalesce({}, {})").format(value, year_end)
        told.append(value)
    return sql.SQL(", ").join(told)


def _natural_keys(fact: Fact) -> tuple[dict[str, sql.Composable], list[sql.Composable]]:
    """Natural keys that staging names for a fact, and those of the versions it points at.

    The unknown row -1 counts as no key, on both sides.
    """
    told: dict[str, sql.Composable] = {}
    held: list[sql.Composable] = []
    for ref in fact.references:
        dim = sql.Identifier(ref.dimension.table)
        named = sql.SQL("coalesce({}) <> ''").format(
            sql.SQL(", ").join(sql.Identifier("s", column) for _, column in ref.key if column)
        )
        for key, column in ref.key:
            value = (
                sql.Identifier("s", column)
                if column
                else sql.SQL("extract(year from {})::integer").format(
                    sql.Identifier("s", fact.date)
                )
            )
            told[key] = sql.SQL("case when {} then {} end").format(named, value)
            held.append(
                sql.SQL("case when f.{sk} <> -1 then {dim}.{key} end").format(
                    sk=sql.Identifier(ref.sk), dim=dim, key=sql.Identifier(key)
                )
            )
    return told, held


def _in_force(fact: Fact, dimension: Dimension) -> SqlCheck:
    rules = (
        (f"{dimension.sk}_has_version", "integrity", CRITICAL, "the dimension lacks the version"),
        (
            f"{dimension.sk}_in_force",
            "integrity",
            CRITICAL,
            "the version was not in force on the fact's date",
        ),
    )
    by_name = _checks(fact.table, *rules)
    return SqlCheck(
        "checks/facts.in_force",
        {
            "fact": sql.Identifier(fact.table),
            "date": sql.Identifier(fact.date),
            "dim": sql.Identifier(dimension.table),
            "sk": sql.Identifier(dimension.sk),
            "same_key": equal(dimension.key, "later", "d"),
        },
        dict(zip(("has_version", "version_in_force"), by_name.values(), strict=True)),
    )


def _in_calendar(fact: Fact, date_key: str, date: str) -> SqlCheck:
    check = Check(
        f"{fact.table}.{date_key}.in_calendar",
        fact.table,
        date_key,
        "integrity",
        CRITICAL,
        "dim_date lacks the day, or the key is of another day",
    )
    return SqlCheck(
        "checks/facts.in_calendar",
        {
            "fact": sql.Identifier(fact.table),
            "date_key": sql.Identifier(date_key),
            "date": sql.Identifier(date),
        },
        {"in_calendar": check},
    )


def _cubes() -> tuple[SqlCheck, ...]:
    def check(cube: str, rule: str, means: str) -> Check:
        return Check(f"{cube}.{rule}", cube, None, "consistency", CRITICAL, means)

    high_cost = "high_cost_member_tracking"
    metal = "claims_by_plan_metal_month"
    stale = "; if facts were loaded since, make cubes brings it up to date"
    return (
        SqlCheck(
            "checks/cubes.money_by_month",
            {},
            {
                cube: check(
                    cube,
                    "money_as_in_facts",
                    "a month's claims or money differ from the facts'" + stale,
                )
                for cube in CUBES
                if cube != high_cost
            },
        ),
        SqlCheck(
            "checks/cubes.covered_days",
            {},
            {
                "covered_days": check(
                    metal, "covered_days", "coverage differs from the facts'" + stale
                )
            },
        ),
        SqlCheck(
            "checks/cubes.high_cost",
            {},
            {
                high_cost: check(
                    high_cost,
                    "rolling_paid",
                    "twelve months differ from the days they hold" + stale,
                )
            },
        ),
    )
