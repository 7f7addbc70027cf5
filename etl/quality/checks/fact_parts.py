"""What the checks of facts are composed of: their columns in staging and in the fact, and joins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import sql

from etl.db.statements import Parts, equal, names, statement
from etl.render import claim_status, staged_rows
from etl.render.values import end
from etl.warehouse.tables import FACT_ENROLLMENT, Dimension, Fact, Reference

# Which dates of a fact its date keys are of.
DATE_KEYS = {
    "claim": {"date_key": "service_date"},
    "enrollment": {
        "enrollment_start_date_key": "start_date",
        "enrollment_end_date_key": "end_date",
    },
}


def of_fact(fact: Fact, changing: Sequence[Dimension]) -> dict[str, Parts]:
    """The parts of a fact; ``changing``: the dimensions whose values depend on the day."""
    return {
        "fact": sql.Identifier(fact.table),
        "facts": sql.SQL("{} as f").format(sql.Identifier(fact.table)),
        "key": sql.Identifier(fact.key),
        "keys_of_past": names([fact.key], "p"),
        "past": sql.Identifier(fact.past),
        "date": sql.Identifier(fact.date),
        "staging": sql.Identifier(fact.feed.table),
        "references": sql.SQL("\n").join(_join(ref) for ref in fact.references),
        "state": claim_status.state(),
        **_money(fact),
        **_against_staging(fact),
        **_keyed(fact),
        **(_reversals(fact) if fact.states else {}),
        "known_from": sql.SQL(", ").join(
            sql.Identifier(d.table, "known_from_ts") for d in changing
        ),
        "joins_of_changing": sql.SQL(" ").join(
            sql.SQL("inner join {dim} on f.{sk} = {dim}.{sk}").format(
                dim=sql.Identifier(d.table), sk=sql.Identifier(d.sk)
            )
            for d in changing
        ),
    }


def staged_key(fact: Fact, column: str | None) -> sql.Composable:
    """A column that names a dimension's key in staging; ``None``: the year of the fact's date."""
    if column:
        return sql.Identifier("s", column)
    return sql.SQL("extract(year from {})::integer").format(sql.Identifier("s", fact.date))


def _join(ref: Reference) -> sql.Composed:
    return sql.SQL("left join {dim} on {fact}.{sk} = {dim}.{sk}").format(
        dim=sql.Identifier(ref.dimension.table),
        fact=sql.Identifier("f"),
        sk=sql.Identifier(ref.sk),
    )


def _money(fact: Fact) -> dict[str, Parts]:
    money = fact.feed.money
    sums = _listed("sum({0}) as {0}", money)
    return {
        "sums": sums,
        "staged_money": names(money, "s"),
        "stored_money": names(money, "f"),
        "totals": _listed("coalesce(sum({0}), 0) as {0}", money),
        "stored_totals": _listed("coalesce(sum(f.{0}), 0) as {0}", money),
        "totals_without_earlier": _listed("staged.{0} - earlier.{0} as {0}", money),
        "money_of_whole": _listed("sum({0}) filter (where is_whole) as {0}", money),
        "sums_stored_expected": _sums_that_differ(money, "stored", "expected"),
        "sums_joined_alone": _sums_that_differ(money, "joined", "alone"),
    }


def _listed(text: str, columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(text).format(sql.Identifier(c)) for c in columns)


def _sums_that_differ(money: tuple[str, ...], left: str, right: str) -> sql.Composed:
    return sql.SQL(" + ").join(
        sql.SQL("({} is distinct from {})::integer").format(
            sql.Identifier(left, m), sql.Identifier(right, m)
        )
        for m in money
    )


def _against_staging(fact: Fact) -> dict[str, Parts]:
    """Natural keys and state of a fact, by staging and by the fact itself.

    The unknown row -1 counts as no key, on both sides.
    """
    staged: dict[str, sql.Composable] = {}
    stored: list[sql.Composable] = []
    for ref in fact.references:
        named = sql.SQL("coalesce({}) <> ''").format(
            names((column for _, column in ref.key if column), "s")
        )
        for key, column in ref.key:
            staged[key] = sql.SQL("case when {} then {} end").format(
                named, staged_key(fact, column)
            )
            stored.append(
                sql.SQL("case when f.{} <> -1 then {} end").format(
                    sql.Identifier(ref.sk), sql.Identifier(ref.dimension.table, key)
                )
            )
    return {
        "staged_state": _staged(fact, _state(fact)),
        "stored_state": names(_state(fact), "f"),
        "staged_key_values": sql.SQL(", ").join(staged.values()),
        "stored_key_values": sql.SQL(", ").join(stored),
        "staged_keys": sql.SQL(", ").join(
            sql.SQL("{} as {}").format(value, sql.Identifier(key)) for key, value in staged.items()
        ),
        "keys_differ": sql.SQL("row({}) is distinct from row({})").format(
            names(staged, "s"), sql.SQL(", ").join(stored)
        ),
    }


def _state(fact: Fact) -> tuple[str, ...]:
    """Columns that are a fact's state next to its keys."""
    dates = ("start_date", "end_date") if fact is FACT_ENROLLMENT else (fact.date,)
    return (*dates, *fact.carried)


def _staged(fact: Fact, columns: tuple[str, ...], *, is_netted: bool = False) -> sql.Composed:
    """Columns as staging has them, in the types of the fact.

    ``is_netted``: without what a claim that is reversed under its own id has below zero.
    """
    values = []
    for name in columns:
        value = staged_rows.stored(fact.feed, name)
        if is_netted and name in fact.feed.money:
            value = statement("checks/facts_against_staging.netted", amount=value)
        if fact is FACT_ENROLLMENT and name == "end_date":
            # Without an end, coverage runs to the end of the plan year.
            year_end = sql.SQL("make_date(extract(year from s.start_date)::integer, 12, 31)")
            value = end(fact.feed.column(name), "s", year_end)
        values.append(value)
    return sql.SQL(", ").join(values)


def _reversals(fact: Fact) -> dict[str, Parts]:
    """Parts of statements that know that a claim can be reversed under its own id."""
    money = fact.feed.money
    kept = (fact.date, *fact.states)
    named = dict.fromkeys(c for ref in fact.references for _, c in ref.key if c)
    return {
        **claim_status.reversals("s", "h", "before"),
        "netted_state": _staged(fact, _state(fact), is_netted=True),
        "netted_money": sql.SQL(", ").join(
            sql.SQL("{} as {}").format(
                _staged(fact, (m,), is_netted=True), sql.Identifier(f"netted_{m}")
            )
            for m in money
        ),
        "earlier_totals": sql.SQL(", ").join(
            statement(
                "checks/facts_against_staging.earlier_total",
                amount=sql.Identifier(m),
                netted=sql.Identifier(f"netted_{m}"),
            )
            for m in money
        ),
        "staged_kept_state": _staged(fact, kept, is_netted=True),
        "stored_kept_state": names(kept, "h"),
        "staged_keys_and_state": sql.SQL(", ").join(
            (
                *(sql.SQL("coalesce({}, '')").format(sql.Identifier("s", c)) for c in named),
                _staged(fact, _state(fact), is_netted=True),
            )
        ),
    }


def _keyed(fact: Fact) -> dict[str, Parts]:
    """A fact joined to all its dimensions and days, and what can be wrong with each of these."""
    days = DATE_KEYS[fact.name]
    sks = [ref.sk for ref in fact.references]
    filled = (fact.key, *sks, *days, *days.values(), "load_id")
    flags: dict[str, Parts] = {
        "keys_present": sql.SQL("num_nulls({}) > 0").format(names(filled, "f"))
    }
    joins = [_join(ref) for ref in fact.references]
    whole = [sql.Identifier(ref.dimension.table, ref.sk) for ref in fact.references]
    for ref in fact.references:
        here = {
            "dim": sql.Identifier(ref.dimension.table),
            "sk": sql.Identifier(ref.sk),
            "date": sql.Identifier("f", fact.date),
            "same_key": equal(ref.dimension.key, "later", ref.dimension.table),
        }
        flags[f"{ref.sk}_has_version"] = sql.SQL("{dim}.{sk} is null").format(**here)
        flags[f"{ref.sk}_in_force"] = statement("checks/facts.out_of_force", **here)
    for date_key, date in days.items():
        day = f"day_of_{date_key}"
        flags[f"{date_key}_in_calendar"] = sql.SQL("{} is distinct from {}").format(
            sql.Identifier(day, "full_date"), sql.Identifier("f", date)
        )
        joins.append(
            sql.SQL("left join dim_date as {day} on f.{date_key} = {day}.date_key").format(
                day=sql.Identifier(day), date_key=sql.Identifier(date_key)
            )
        )
        whole.append(sql.Identifier(day, "date_key"))
    return {
        "columns": names((fact.key, *fact.feed.money), "f"),
        "is_whole": sql.SQL("num_nulls({}) = 0").format(sql.SQL(", ").join(whole)),
        "flags": sql.SQL(",\n").join(
            sql.SQL("{} as {}").format(is_broken, sql.Identifier(flag))
            for flag, is_broken in flags.items()
        ),
        "joins": sql.SQL("\n").join(joins),
    }
