"""Checks of the facts: against staging, the dimensions and the calendar, and their states."""

from __future__ import annotations

from psycopg import sql

from etl.contracts.checks import CRITICAL, MAJOR, Check
from etl.db.statements import Parts, equal, names, statement
from etl.quality.checks.claim_ids import told_again
from etl.quality.checks.sql import EVERYTHING, SqlCheck, keys_of, rules, tallied_columns
from etl.render import claim_status
from etl.render.values import end
from etl.warehouse.tables import (
    DIMENSIONS,
    FACT_CLAIM,
    FACT_ENROLLMENT,
    FACTS,
    Dimension,
    Fact,
    Reference,
)

# Which dates of a fact its date keys stand for.
_DATE_KEYS = {
    FACT_CLAIM.name: {"date_key": "service_date"},
    FACT_ENROLLMENT.name: {
        "enrollment_start_date_key": "start_date",
        "enrollment_end_date_key": "end_date",
    },
}
# Whether a statement that reads its facts twice keeps them: those of a load are found once, all of
# them are read where they are, by as many workers as there are.
_FOUND_ONCE, _WHERE_THEY_ARE = sql.SQL("materialized"), sql.SQL("not materialized")
_OF_LOAD = sql.SQL("f.load_id = {}").format(sql.Placeholder("load_id"))
# How many keys of a dimension the facts of one load may name that nothing else tells of: so many,
# or of all keys that they name this share.
FEW_UNKNOWN, MOST_UNKNOWN_PERCENT = 20, 10
_BY_HAND = "Rows were changed or deleted by something other than a load: make full-load."
_STATES = "Earlier states of claims, or a claim's load_id, were changed by hand: make full-load."


def fact_checks() -> tuple[SqlCheck, ...]:
    """Everything that is asked of all the facts."""
    return (
        *(_against_staging(fact, EVERYTHING) for fact in FACTS.values()),
        *(_keyed(fact, EVERYTHING) for fact in FACTS.values()),
        *(_keys_known(dimension) for dimension in DIMENSIONS.values()),
        _claim_chain(),
        _claim_chain_told(),
        told_again("checks/facts.told_again"),
    )


def facts_gate() -> tuple[SqlCheck, ...]:
    """The same of the facts that a load, and those of its feed after it, told."""
    return (
        *(_against_staging(fact, _told_by_loads(fact)) for fact in FACTS.values()),
        _keyed(FACT_CLAIM, _OF_LOAD, statement("checks/facts.brought_claims")),
        _keyed(
            FACT_ENROLLMENT,
            sql.SQL("{} and {}").format(_OF_LOAD, _told_by_loads(FACT_ENROLLMENT)),
        ),
        *(_keys_known(dimension) for dimension in DIMENSIONS.values()),
        told_again("checks/facts.told_again_by_load"),
    )


def _keys_known(dimension: Dimension) -> SqlCheck:
    """Whether the facts of a load name many keys that nothing else tells of."""
    references = [
        (fact, ref)
        for fact in FACTS.values()
        for ref in fact.references
        if ref.dimension is dimension
    ]
    told = []
    for fact, ref in references:
        values = [
            sql.Identifier("s", column)
            if column
            else sql.SQL("extract(year from {})::integer").format(sql.Identifier("s", fact.date))
            for _, column in ref.key
        ]
        told.append(
            statement(
                "checks/facts.keys_told",
                key_values=sql.SQL(", ").join(values),
                staging=sql.Identifier(fact.feed.table),
            )
        )
    check = Check(
        f"{dimension.table}.keys_known",
        dimension.table,
        None,
        "integrity",
        MAJOR,
        "the facts of a load name many keys that no feed has told of",
        "Compare such keys with those of the feed: leading zeros that a spreadsheet took away, or "
        "another form of the key? Then ask for the file again; else ask where the feed is.",
        threshold=MOST_UNKNOWN_PERCENT,
        unit="percent of the keys named",
    )
    parts: dict[str, Parts] = {
        "dim": sql.Identifier(dimension.table),
        "sk": sql.Identifier(dimension.sk),
        "key_of_row": keys_of((dimension.sk,), "d"),
        "keys_told": sql.SQL("\nunion\n").join(told),
    }
    return SqlCheck(
        "checks/facts.keys_known",
        parts,
        {"keys_known": check},
        only_in_facts=True,
        values={"few": FEW_UNKNOWN},
    )


def _told_by_loads(fact: Fact) -> Parts:
    """Whether the loads asked about told of a fact."""
    return statement(
        "checks/facts.told_by_loads",
        key=sql.Identifier(fact.key),
        staging=sql.Identifier(fact.feed.table),
    )


def _asked(scope: Parts) -> dict[str, Parts]:
    """Which facts a statement is about, and how it reads them."""
    return {"scope": scope, "kept": _WHERE_THEY_ARE if scope is EVERYTHING else _FOUND_ONCE}


def _against_staging(fact: Fact, scope: Parts) -> SqlCheck:
    told_keys, held_keys = _natural_keys(fact)
    money = fact.feed.money
    parts: dict[str, Parts] = {
        "key": sql.Identifier(fact.key),
        "fact": sql.Identifier(fact.table),
        **_asked(scope),
        "told_state": _told_state(fact),
        "held_state": names(_state(fact), "f"),
        "told_keys": sql.SQL(", ").join(
            sql.SQL("{} as {}").format(value, sql.Identifier(name))
            for name, value in told_keys.items()
        ),
        "keys_differ": sql.SQL("row({}) is distinct from row({})").format(
            names(told_keys, "s"), sql.SQL(", ").join(held_keys)
        ),
        "references": sql.SQL("\n").join(_join(ref, "f") for ref in fact.references),
        "told_money": names(money, "s"),
        "held_money": names(money, "f"),
        "told_sums": _sums(money),
        "held_sums": _sums(money),
        "sums_that_differ": _sums_that_differ(money, "held", "told"),
        "totals": sql.SQL(", ").join(
            sql.SQL("coalesce(sum({0}), 0) as {0}").format(sql.Identifier(m)) for m in money
        ),
        "totals_without_earlier": sql.SQL(", ").join(
            sql.SQL("staged.{0} - earlier.{0} as {0}").format(sql.Identifier(m)) for m in money
        ),
        "key_of_row": keys_of((fact.key,)),
        "places": statement("checks/facts.places"),
    }
    if fact is FACT_CLAIM:
        name = "claims_against_staging"
        parts |= _netted(fact)
    else:
        name = "enrollments_against_staging"
        parts["latest"] = statement("checks/facts.latest_enrollments", **parts)
    told = (
        (
            "one_row_per_key",
            "consistency",
            CRITICAL,
            "what staging holds is missing from the fact or there more than once",
            _BY_HAND,
        ),
        (
            "no_orphan_version",
            "consistency",
            CRITICAL,
            "nothing in staging stands for the fact",
            _BY_HAND,
        ),
        (
            "latest_state",
            "consistency",
            CRITICAL,
            "the fact is not in its feed's latest state",
            _BY_HAND,
        ),
        (
            "keyed_as_told",
            "integrity",
            CRITICAL,
            "the fact is keyed to other than its feed names",
            _BY_HAND,
        ),
        (
            "money_total",
            "consistency",
            CRITICAL,
            "a money total differs from staging's",
            "The checks latest_state and one_row_per_key say which facts they are: make full-load.",
        ),
    )
    return SqlCheck(
        f"checks/facts.{name}",
        parts,
        rules(fact.table, *told),
        feed=fact.feed.name,
        only_in_facts=True,
    )


def _join(ref: Reference, fact: str) -> sql.Composed:
    return sql.SQL("left join {dim} on {fact}.{sk} = {dim}.{sk}").format(
        dim=sql.Identifier(ref.dimension.table),
        fact=sql.Identifier(fact),
        sk=sql.Identifier(ref.sk),
    )


def _keyed(fact: Fact, scope: Parts, facts: Parts | None = None) -> SqlCheck:
    """The keys of the facts in scope; ``facts``: where those are looked up, as ``f``."""
    money = fact.feed.money
    sks = [ref.sk for ref in fact.references]
    days = _DATE_KEYS[fact.name]
    filled = (fact.key, *sks, *days, *days.values(), "load_id")
    checks = rules(
        fact.table,
        (
            "joins_preserve_row_count",
            "integrity",
            CRITICAL,
            "joins to all the dimensions at once lose facts or repeat them",
            "A row of a dimension or of dim_date was deleted or is there twice: make full-load.",
        ),
        (
            "joins_keep_money",
            "integrity",
            CRITICAL,
            "joins to all the dimensions at once change a money total",
            "A row of a dimension or of dim_date was deleted or is there twice: make full-load.",
        ),
        ("keys_present", "completeness", CRITICAL, "a key, date or load is empty", _BY_HAND),
    )
    broken: dict[str, Parts] = {
        "keys_present": sql.SQL("num_nulls({}) > 0").format(names(filled, "f"))
    }
    for ref in fact.references:
        checks |= _in_force(fact, ref.sk)
        here = {
            "dim": sql.Identifier(ref.dimension.table),
            "sk": sql.Identifier(ref.sk),
            "date": sql.Identifier("f", fact.date),
            "same_key": equal(ref.dimension.key, "later", ref.dimension.table),
        }
        broken[f"{ref.sk}_has_version"] = sql.SQL("{dim}.{sk} is null").format(**here)
        broken[f"{ref.sk}_in_force"] = statement("checks/facts.out_of_force", **here)
    joins = [_join(ref, "f") for ref in fact.references]
    whole = [sql.Identifier(ref.dimension.table, ref.sk) for ref in fact.references]
    for date_key, date in days.items():
        rule = f"{date_key}_in_calendar"
        checks[rule] = Check(
            f"{fact.table}.{date_key}.in_calendar",
            fact.table,
            date_key,
            "integrity",
            CRITICAL,
            "dim_date lacks the day, or the key is of another day",
            _BY_HAND,
        )
        day = f"day_of_{date_key}"
        broken[rule] = sql.SQL("{} is distinct from {}").format(
            sql.Identifier(day, "full_date"), sql.Identifier("f", date)
        )
        joins.append(
            sql.SQL("left join dim_date as {day} on f.{date_key} = {day}.date_key").format(
                day=sql.Identifier(day), date_key=sql.Identifier(date_key)
            )
        )
        whole.append(sql.Identifier(day, "date_key"))
    return SqlCheck(
        "checks/facts.keyed",
        {
            "facts": facts or sql.SQL("{} as f").format(sql.Identifier(fact.table)),
            **_asked(scope),
            "sums": _sums(money),
            "is_whole": sql.SQL("num_nulls({}) = 0").format(sql.SQL(", ").join(whole)),
            "money_of_whole": sql.SQL(", ").join(
                sql.SQL("sum({0}) filter (where is_whole) as {0}").format(sql.Identifier(m))
                for m in money
            ),
            "columns": names((fact.key, *money), "f"),
            "flags": sql.SQL(",\n").join(
                sql.SQL("{} as {}").format(is_broken, sql.Identifier(rule))
                for rule, is_broken in broken.items()
            ),
            "references": sql.SQL("\n").join(joins),
            "sums_that_differ": _sums_that_differ(money, "joined", "alone"),
            **tallied_columns(broken, keys_of((fact.key,))),
        },
        checks,
        feed=fact.feed.name,
    )


def _in_force(fact: Fact, sk: str) -> dict[str, Check]:
    return rules(
        fact.table,
        (
            f"{sk}_has_version",
            "integrity",
            CRITICAL,
            "the dimension lacks the version",
            "A version was deleted by hand: make full-load.",
        ),
        (
            f"{sk}_in_force",
            "integrity",
            CRITICAL,
            "the version was not in force on the fact's date",
            "A version was changed by hand: make full-load.",
        ),
    )


def _claim_chain() -> SqlCheck:
    checks = rules(
        FACT_CLAIM.state,
        (
            "ends_in_fact",
            "consistency",
            CRITICAL,
            "the chain of a claim's states does not end in the fact's",
            _STATES,
        ),
        (
            "nets_to_paid",
            "consistency",
            CRITICAL,
            "the changes of a claim's paid amount do not add up to the fact's",
            _STATES,
        ),
        (
            "one_state_a_load",
            "uniqueness",
            CRITICAL,
            "two states of a claim are of one load",
            _STATES,
        ),
    )
    keys = keys_of((FACT_CLAIM.key,))
    return SqlCheck("checks/facts.claim_chain", tallied_columns(checks, keys), checks)


def _claim_chain_told() -> SqlCheck:
    fact = FACT_CLAIM
    named = dict.fromkeys(c for ref in fact.references for _, c in ref.key if c)
    kept = (fact.date, *fact.states)
    rule = (
        "states_match_staging",
        "consistency",
        CRITICAL,
        "a state is missing, was never told, or is not what staging tells",
        _STATES,
    )
    return SqlCheck(
        "checks/facts.claim_chain_told",
        {
            "places": statement("checks/facts.places"),
            **_netted(fact),
            "told_state": _told(fact, kept, is_netted=True),
            "held_state": names(kept, "h"),
            "told_keys_and_state": sql.SQL(", ").join(
                (
                    *(sql.SQL("coalesce({}, '')").format(sql.Identifier("s", c)) for c in named),
                    _told(fact, _state(fact), is_netted=True),
                )
            ),
            "key_of_row": keys_of((fact.key, "load_id")),
        },
        rules(fact.state, rule),
        feed=fact.feed.name,
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


def _told(fact: Fact, columns: tuple[str, ...], *, is_netted: bool = False) -> sql.Composed:
    """``is_netted``: without what a claim that is reversed under its own id has below zero."""
    told = []
    for name in columns:
        column = fact.feed.column(name)
        stored = column.type.stored
        value = sql.SQL("s.{}::{}").format(sql.Identifier(name), sql.SQL(stored))
        if is_netted and name in fact.feed.money:
            value = statement("checks/facts.netted", told=value)
        if fact is FACT_ENROLLMENT and name == "end_date":
            # Without an end, coverage runs to the end of the plan year.
            year_end = sql.SQL("make_date(extract(year from s.start_date)::integer, 12, 31)")
            value = end(column, "s", year_end)
        told.append(value)
    return sql.SQL(", ").join(told)


def _netted(fact: Fact) -> dict[str, Parts]:
    """Parts of statements that know that a claim can be reversed under its own id."""
    money = fact.feed.money
    return {
        "s_is_reversal": claim_status.is_reversal("s"),
        "told_claims": statement(
            "checks/facts.told_claims", **claim_status.reversals("s", "before")
        ),
        "netted_state": _told(fact, _state(fact), is_netted=True),
        "netted_money": sql.SQL(", ").join(
            sql.SQL("{} as {}").format(
                _told(fact, (m,), is_netted=True), sql.Identifier(f"netted_{m}")
            )
            for m in money
        ),
        "earlier_totals": sql.SQL(", ").join(
            statement(
                "checks/facts.earlier_total",
                amount=sql.Identifier(m),
                netted=sql.Identifier(f"netted_{m}"),
            )
            for m in money
        ),
    }


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
