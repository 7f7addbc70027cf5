"""What the statements of checks are composed of: the names of one feed, dimension, fact or detail.

A subject is what a check tests. Its ``parts`` fill the ``{braces}`` in a statement, its
``words`` for those in a header; a statement of the same file, or of fragments, can be one
(``etl/quality/checks/registry.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from psycopg import sql
from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint

from etl.access.classification import DIRECT
from etl.contracts.column import Identifier
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.reasons import Reason
from etl.contracts.types import Type
from etl.db.statements import Parts, equal, names, statement, texts
from etl.quality.checks import detail_parts, fact_parts
from etl.render import claim_measures, claim_status, hashing, staged_rows, validity
from etl.schema.warehouse_tables import live_tables
from etl.warehouse.details import DETAILS, Detail
from etl.warehouse.tables import (
    CUBES,
    DIM_PLAN,
    DIMENSIONS,
    FACT_CLAIM,
    FACTS,
    VIEW,
    Cube,
    Dimension,
    Fact,
    Reference,
)

Words = dict[str, str]
# The constraints that an index enforces.
_KEYS = (PrimaryKeyConstraint, UniqueConstraint)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a check is asked of.

    ``of``: the declared feed, dimension, fact or detail, none of several together. ``repeated``:
    the words of what a rule can be repeated for, such as each reference of a fact.
    """

    of: Feed | Dimension | Fact | Detail | None
    feed: str | None
    words: Words
    parts: dict[str, Parts]
    repeated: dict[str, list[Words]] = field(default_factory=dict)


@cache
def subjects() -> dict[str, tuple[Subject, ...]]:
    """What ``for each`` of a header can say, with what that is."""
    dimensions = tuple(_dimension(dimension) for dimension in DIMENSIONS.values())
    facts = tuple(_fact(fact) for fact in FACTS.values())
    details = tuple(_detail(detail) for detail in DETAILS)
    return {
        "feed": tuple(_feed(feed) for feed in FEEDS.values()),
        "dimension": dimensions,
        "fact": facts,
        "cube that is a view": tuple(_view(c) for c in CUBES.values() if c.kind is VIEW),
        "detail": details,
        "dimension, fact or detail": (*dimensions, *facts, *details),
        "cubes of claims": (_cubes("service_date", "month"),),
        "cubes of claims by day": (_cubes("service_date"),),
        "cubes of claims by month": (_cubes("month"),),
        "dimension and its unique columns": tuple(
            _unique(subject, columns)
            for subject in dimensions
            if isinstance(subject.of, Dimension)
            for columns in subject.of.feed.unique
        ),
    }


def subject_of(table: str) -> Subject:
    """What a check is asked of that names its table."""
    for kind in ("feed", "dimension", "fact", "detail"):
        for subject in subjects()[kind]:
            if table in (subject.words["table"], subject.words.get("state")):
                return subject
    parts: dict[str, Parts] = {}
    if table == "access":
        parts["direct_identifiers"] = sql.Literal(sorted(kind.value for kind in DIRECT))
    if table == "planner":
        parts["declared_indexes"] = sql.Literal(_declared_indexes())
    if table in CUBES:
        members = sql.Identifier(CUBES[table].touched)
        parts = {
            "state": claim_status.state(),
            "all_members": sql.SQL("true"),
            "touched_members": statement("cubes/build.of_touched_members", members=members),
        }
    return Subject(None, None, {}, parts)


def _declared_indexes() -> list[str]:
    """The indexes of every table and cube, by name, those of keys among them."""
    found = {cube.grain_index for cube in CUBES.values()}
    for table in live_tables().tables.values():
        # A table without a primary key has one of no columns here.
        keys = (k for k in table.constraints if isinstance(k, _KEYS) and len(k.columns))
        found |= {str(one.name) for one in (*table.indexes, *keys) if one.name}
    return sorted(found)


def keys_of(columns: Iterable[str]) -> sql.Composed:
    """The object that identifies a failing row, by columns or by ``row.column``."""
    return sql.SQL("jsonb_build_object({})").format(
        sql.SQL(", ").join(
            sql.SQL("{}, {}").format(
                sql.Literal(column.rpartition(".")[2]), sql.Identifier(*column.split("."))
            )
            for column in columns
        )
    )


def counted(flags: Iterable[str], keys: Parts) -> dict[str, Parts]:
    """Parts of a statement that counts the rows of which each of some flags is true, in one scan.

    ``tallies`` are the columns to count, ``tallied`` the rows (rule, rows failed, keys) of these.
    """
    tallies, rows = [], []
    for number, flag in enumerate(flags, start=1):
        failed, shown = sql.Identifier(f"failed_{number}"), sql.Identifier(f"keys_{number}")
        tallies.append(
            sql.SQL(
                "count(*) filter (where {flag}) as {failed}, "
                "some_keys({keys}) filter (where {flag}) as {shown}"
            ).format(flag=sql.Identifier(flag), failed=failed, keys=keys, shown=shown)
        )
        rows.append(sql.SQL("({}, {}, {})").format(sql.Literal(flag), failed, shown))
    return {"tallies": sql.SQL(",\n").join(tallies), "tallied": sql.SQL(",\n").join(rows)}


def _feed(feed: Feed) -> Subject:
    words = {"table": feed.table, "feed": feed.name, "freshness_days": str(feed.freshness_days)}
    return Subject(
        feed,
        feed.name,
        words,
        {
            "staging": sql.Identifier(feed.table),
            "totals": sql.SQL(", ").join(
                sql.SQL("{}, coalesce(sum({}), 0)").format(sql.Literal(m), sql.Identifier(m))
                for m in feed.money
            ),
            "totals_of_both": sql.SQL(", ").join(
                sql.SQL("{0}, coalesce(sum((h.totals ->> {0})::numeric), 0)").format(sql.Literal(m))
                for m in feed.money
            ),
            "texts": names((c.name for c in feed.columns if c.type is Type.TEXT), "s"),
            "line_reason": sql.Literal(Reason.LINE.text),
            "of_load": _of_load(),
        },
    )


def _dimension(dimension: Dimension) -> Subject:
    feed, key = dimension.feed, dimension.key
    words = {
        "table": dimension.table,
        "past": dimension.past,
        "name": dimension.name,
        "feed": feed.name,
        "row_key": dimension.sk,
        "natural_key": ", ".join(key),
    }
    return Subject(
        dimension,
        feed.name,
        words,
        {
            "dim": sql.Identifier(dimension.table),
            "name": sql.Literal(dimension.table),
            **validity.BOUNDS,
            "past": sql.Identifier(dimension.past),
            "sk": sql.Identifier(dimension.sk),
            "sk_name": sql.Literal(dimension.sk),
            "keys_of_past": names([dimension.sk], "p"),
            "keys": names(key),
            "keys_of_dim": names(key, "d"),
            "keys_of_staging": names(key, "s"),
            "key_s_compared": equal(key, "s", "compared"),
            "key_d_s": equal(key, "d", "s"),
            "key_staged_stored": equal(key, "staged", "stored"),
            "key_texts": texts(key, "compared"),
            "either_key": sql.SQL(", ").join(
                sql.SQL("coalesce(staged.{0}, stored.{0}) as {0}").format(sql.Identifier(k))
                for k in key
            ),
            "staging": sql.Identifier(feed.table),
            "marked": staged_rows.marked(feed),
            "effective": staged_rows.effective(feed, as_of=sql.SQL("l.as_of at time zone 'UTC'")),
            "drivers": names(dimension.drivers),
            "type_1": names(dimension.type_1),
            "hash_of_dim": hashing.of_columns(dimension, "d"),
            "hash_version": sql.Literal(dimension.hash_version),
            "of_load": _of_load(),
            "keys_named_by_facts": _named_by_facts(dimension),
            "is_erased": _is_erased(dimension),
        },
    )


def _fact(fact: Fact) -> Subject:
    # A plan of a year is one plan, whenever it came; who people were changes with time.
    changing = [r.dimension for r in fact.references if r.dimension is not DIM_PLAN]
    words = {
        "table": fact.table,
        "past": fact.past,
        "state": fact.state,
        "name": fact.name,
        "row_key": fact.key,
        "changing": " and ".join(d.name for d in changing),
    }
    return Subject(
        fact,
        fact.feed.name,
        words,
        fact_parts.of_fact(fact, changing),
        {
            "reference": [{"sk": ref.sk} for ref in fact.references],
            "date key": [{"date_key": key} for key in fact_parts.DATE_KEYS[fact.name]],
        },
    )


def _view(cube: Cube) -> Subject:
    """A cube whose grain is only a unique index, which lets empty values pass."""
    words = {"table": cube.name, "grain": ", ".join(cube.grain)}
    return Subject(None, None, words, {"grain": names(cube.grain)})


def _detail(detail: Detail) -> Subject:
    words = {"table": detail.table, "past": detail.past, "row_key": ", ".join(detail.key)}
    return Subject(detail, detail.feed.name, words, detail_parts.of_detail(detail))


def _cubes(*claims_by: str) -> Subject:
    """All the cubes that count every claim by its day or month, in one pass over the facts."""
    cubes = [cube for cube in CUBES.values() if cube.claims_by in claims_by]
    return Subject(
        None,
        None,
        {"table": FACT_CLAIM.table},
        {
            "cubes": sql.Literal([cube.name for cube in cubes]),
            "days_of_cubes": claim_measures.days_of(cubes),
            "month": sql.Identifier("month"),
            "member_and_day": names(("member_id", "service_date")),
            "state": claim_status.state(),
            **claim_measures.fragments(),
        },
        {"cube": [{"cube": cube.name, "table": cube.name} for cube in cubes]},
    )


def _unique(subject: Subject, columns: tuple[str, ...]) -> Subject:
    """A dimension with columns whose values no two current rows share."""
    words = {"columns": "_".join(columns), "columns_and": " and ".join(columns)}
    parts = {"columns": names(columns)}
    return Subject(
        subject.of, subject.feed, subject.words | words, subject.parts | parts, subject.repeated
    )


def _of_load() -> Parts:
    """Whether a row is one of the current load."""
    return sql.SQL("load_id = {}").format(sql.Placeholder("load_id"))


def _is_erased(dimension: Dimension) -> Parts:
    """Whether a version is of a person who was erased."""
    for key in dimension.key:
        if dimension.feed.column(key).identifier is Identifier.MEMBER_NUMBER:
            return statement("access/erasure.is_erased", number=sql.Identifier(key))
    return sql.SQL("false")


def _named_by_facts(dimension: Dimension) -> Parts:
    """The keys of a dimension that facts name, from the staging tables of all facts."""
    named: list[tuple[Fact, Reference]] = [
        (fact, ref)
        for fact in FACTS.values()
        for ref in fact.references
        if ref.dimension.name == dimension.name
    ]
    return sql.SQL("\nunion\n").join(
        statement(
            "checks/facts.named_keys",
            key_values=sql.SQL(", ").join(
                fact_parts.staged_key(fact, column) for _, column in ref.key
            ),
            staging=sql.Identifier(fact.feed.table),
        )
        for fact, ref in named
    )
