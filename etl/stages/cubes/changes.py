"""What changed since the cubes were last made: which tables, and which claims how."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import names, run, scalar, statement
from etl.render import claim_measures, claim_status
from etl.stages import tables
from etl.warehouse.code_sets import GROWING
from etl.warehouse.tables import (
    DIM_MEMBER,
    DIM_PLAN,
    DIM_PROVIDER,
    DIMENSIONS,
    FACT_CLAIM,
    FACTS,
    Build,
    Dimension,
    Fact,
)

# The tables whose rows are kept as they were.
_PASTS: tuple[Dimension | Fact, ...] = (*DIMENSIONS.values(), *FACTS.values())
# Up to so many changes, or such a share of the claims, cost less to follow than to make all again.
_FEW = 50_000
_FEW_OF_CLAIMS = 0.05

# What the cubes use of a claim, and what distinguishes one state of it from another.
_CLAIM = names(
    (
        *("claim_id", "service_date", "member_sk", "provider_sk", "plan_sk", "status"),
        *("claim_amount", "allowed_amount", "paid_amount", "claim_type", "load_id"),
    )
)

# The columns by which what changed is joined and grouped.
_CLAIM_KEYS = ("claim_id", "service_date", "member_sk", "provider_sk", "plan_sk", "load_id")
_KEYS: dict[str, tuple[str, ...]] = {
    "plans_before": ("plan_sk",),
    "providers_before": ("provider_sk",),
    "members_before": ("member_sk", "member_id"),
    "claims_before": _CLAIM_KEYS,
    "claims_after": _CLAIM_KEYS,
    "claim_changes": (
        *("member_id", "service_date", "month"),
        *("state", "metal_tier", "specialty", "claim_type"),
    ),
    "claims_of_member_months": ("member_id", "month", "metal_tier", "specialty"),
}


def made_through(connection: psycopg.Connection[Any], build: Build) -> int | None:
    """The load that cubes of a build are made through when they are made now.

    ``None`` where none says what they were made of: a load has changed dimensions and not yet
    facts, or somebody changed rows by hand.
    """
    for entry in _PASTS:
        index = sql.Identifier(f"{entry.past}_known_to_load_id_idx").as_string(connection)
        run(connection, "cubes/changes.summarize", {"index": index})
    found = scalar(connection, "cubes/changes.latest_load", build.values)
    if found is None or any(_has_past_rows(connection, entry.past, found) for entry in _PASTS):
        return None
    return int(found)


def are_few(connection: psycopg.Connection[Any], schema: str, since: int) -> bool:
    """Whether so few claims changed since a load that following them costs less than all again.

    ``schema``: that of the facts.
    """
    changed = scalar(connection, "cubes/changes.size", {"since": since})
    if changed <= _FEW:
        return True
    claims = tables.rows_about(connection, schema, FACT_CLAIM.table)
    return bool(changed <= _FEW_OF_CLAIMS * claims)


def unchanged_tables(connection: psycopg.Connection[Any], read: set[str], since: int) -> set[str]:
    """Those of the tables that are as they were after a load; one that is not ours never is.

    Rows that somebody inserted by hand into a fact are not seen: no load brought them.
    """
    asked = {"since": since}
    unchanged = {
        table
        for table in read & {*GROWING, *(d.table for d in DIMENSIONS.values())}
        if not scalar(connection, "cubes/changes.has_new_rows", asked, table=sql.Identifier(table))
    }
    unchanged |= {
        fact.table
        for fact in FACTS.values()
        if fact.table in read
        and not scalar(connection, "cubes/changes.has_new_file", {**asked, "feed": fact.feed.name})
    }
    return unchanged - {
        entry.table
        for entry in _PASTS
        if entry.table in unchanged and _has_past_rows(connection, entry.past, since)
    }


def _has_past_rows(connection: psycopg.Connection[Any], past: str, since: int) -> bool:
    asked = {"since": since}
    return bool(scalar(connection, "cubes/changes.has_past_rows", asked, past=sql.Identifier(past)))


def find(connection: psycopg.Connection[Any], since: int) -> int:
    """Find how claims changed since a load: table ``claim_changes``, and those it is made of.

    Returns how many rows of changes there are.
    """
    steps = _Steps(connection, since)
    steps.run("followed_since")
    steps.run("plans_before", "plans_before")
    steps.run("providers_before", "providers_before")
    steps.run("members_before", "members_before")
    steps.run("claims_before", "claims_before")
    steps.run("claims_after", "claims_after")
    steps.run("claims_on_other_days")
    for dimension in (DIM_PROVIDER, DIM_MEMBER, DIM_PLAN):
        changed = f"{dimension.name}s_changed"
        if steps.run(changed):
            steps.add_claims_of(changed, dimension.sk, has_index=dimension is not DIM_PLAN)
    found = steps.run("claim_changes", "claim_changes")
    steps.run("claims_of_member_months", "claims_of_member_months")
    return found


class _Steps:
    """Statements of ``cubes/changes`` about one load, with the parts that they share."""

    def __init__(self, connection: psycopg.Connection[Any], since: int) -> None:
        self.connection = connection
        self.since = since
        keys = (
            *("member_id", "service_date"),
            *("state", "metal_tier", "specialty", "claim_type"),
        )
        self.parts: dict[str, sql.Composable] = {
            "claim": _CLAIM,
            "state": claim_status.state(),
            "summed": claim_measures.summed(keys, statement("cubes/changes.signed_claims")),
            **claim_measures.fragments(),
        }

    def add_claims_of(self, changed: str, sk: str, *, has_index: bool) -> None:
        """Add the claims of versions that changed; whether an index leads to them."""
        parts = {"changed": sql.Identifier(changed), "sk": sql.Identifier(sk), "claim": _CLAIM}
        found_by = "looked_up" if has_index else "scanned"
        of_versions = statement(f"cubes/changes.{found_by}", **parts)
        self.run(
            "claims_of_versions", "claims_before", "claims_after", of_versions=of_versions, **parts
        )

    def run(self, name: str, *changed_tables: str, **parts: sql.Composable) -> int:
        """How many rows a step finds; the tables that it fills get new statistics."""
        statement_name, asked = f"cubes/changes.{name}", {"since": self.since}
        found = run(self.connection, statement_name, asked, **{**self.parts, **parts}).rowcount
        for table in changed_tables:
            tables.analyze_columns(self.connection, table, _KEYS[table])
        return found
