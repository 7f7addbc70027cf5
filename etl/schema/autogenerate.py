"""What Alembic's autogenerate learns here: schemas, domains, and rules that have changed.

Only the environment of the migrations (``migrations/env.py``) imports this, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import psycopg
from alembic.autogenerate import comparators
from alembic.autogenerate.api import AutogenContext
from alembic.ddl.impl import ComparisonResult
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.operations import ops
from alembic.util import DispatchPriority, PriorityDispatchResult
from psycopg import sql
from sqlalchemy import CheckConstraint, Connection, inspect
from sqlalchemy.dialects.postgresql import DOMAIN

from etl.contracts.types import DOMAINS, Domain
from etl.db.statements import described, run, scalar
from etl.errors import SchemaError
from etl.schema.revisions import SCHEMAS
from etl.warehouse.tables import LIVE

# Where declared domains are made for a moment, to be compared with those that there are.
_TRIED = "aca_tried"


class Statement(ops.ExecuteSQLOp):
    """A statement of a migration, with the one that takes it back."""

    def __init__(self, up: sql.Composed, down: sql.Composed) -> None:
        super().__init__(up.as_string())
        self.up, self.down = up, down

    def reverse(self) -> Statement:
        """The statement of the downgrade."""
        return Statement(self.down, self.up)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """As ``alembic check`` names it."""
        return ("execute", self.sqltext)


class Implementation(PostgresqlImpl):
    """PostgreSQL, where a CHECK constraint of the same name can have another rule."""

    __dialect__ = "postgresql"

    def compare_check_constraint(
        self, metadata_constraint: CheckConstraint, reflected_constraint: CheckConstraint
    ) -> ComparisonResult:
        """Compare the rules as the server writes them: on a table that is made for it."""
        assert self.connection is not None
        table = reflected_constraint.table
        with self.connection.begin_nested() as trial:
            try:
                differ = _differ(
                    driver(self.connection),
                    sql.Identifier(str(table.schema), table.name),
                    (str(metadata_constraint.sqltext), str(reflected_constraint.sqltext)),
                )
            except psycopg.errors.UndefinedColumn:
                differ = True  # the migration adds it
            trial.rollback()
        return ComparisonResult.Different("another rule") if differ else ComparisonResult.Equal()


def driver(connection: Connection) -> psycopg.Connection[Any]:
    """The connection under SQLAlchemy's."""
    found = connection.connection.driver_connection
    assert isinstance(found, psycopg.Connection)
    return found


def _differ(
    connection: psycopg.Connection[Any], table: sql.Identifier, rules: Iterable[str]
) -> bool:
    run(connection, "schema/migration.try_table", table=table)
    for number, rule in enumerate(rules):
        run(
            connection,
            "schema/migration.try_rule",
            rule_name=sql.Identifier(f"rule_{number}"),
            rule=_text(rule),
        )
    return scalar(connection, "schema/migration.rules_differ")


@comparators.dispatch_for("schema", priority=DispatchPriority.FIRST, subgroup="aca_warehouse")
def _schemas_and_domains(
    context: AutogenContext, upgrade: ops.UpgradeOps, _: set[str | None]
) -> PriorityDispatchResult:
    """Write schemas and domains that are missing before the tables that need them."""
    assert context.connection is not None
    for name in sorted({*SCHEMAS} - {*inspect(context.connection).get_schema_names()}):
        upgrade.ops.append(_both("create_schema", "drop_schema", schema=sql.Identifier(name)))
    declared, found = _domains(context.connection)
    for domain in DOMAINS:
        if domain.name not in found:
            upgrade.ops.append(_both("create_domain", "drop_domain", **_parts(domain)))
        elif found[domain.name] != declared[domain.name]:
            upgrade.ops += _changed(domain, found[domain.name], declared[domain.name])
    return PriorityDispatchResult.CONTINUE


def _domains(connection: Connection) -> tuple[dict[str, Any], dict[str, Any]]:
    """Base, nullability and rule of the domains that are declared, and of those that there are."""
    own = driver(connection)
    with connection.begin_nested() as trial:
        run(own, "schema/migration.create_schema", schema=sql.Identifier(_TRIED))
        for domain in DOMAINS:
            run(own, "schema/migration.create_domain", **_parts(domain, _TRIED))
        declared, found = (
            {
                name: tuple(rest)
                for name, *rest in run(own, "schema/migration.domains", {"schema": s})
            }
            for s in (_TRIED, LIVE.schemas.staging)
        )
        trial.rollback()
    return declared, found


def _changed(domain: Domain, found: Any, declared: Any) -> list[Statement]:
    """The statements that give a domain another rule; its base type is that of its columns."""
    parts = _parts(domain)
    if found[0] != declared[0]:
        raise SchemaError(
            f"The domain {domain.name} has another base type, and columns of it contain values.",
            "Declare a domain of another name for the new type.",
        )
    before = {**parts, "rule": _text(found[2])}
    changes = []
    if found[2] != declared[2]:
        changes.append(
            Statement(_statement("drop_rule", **parts), _statement("add_rule", **before))
        )
        changes.append(Statement(_statement("add_rule", **parts), _statement("drop_rule", **parts)))
    if found[1] != declared[1]:
        actions = ("set", "drop") if declared[1] else ("drop", "set")
        up, down = (
            _statement("allow_null", **parts, set_or_drop=_text(action)) for action in actions
        )
        changes.append(Statement(up, down))
    return changes


def _parts(domain: Domain, schema: str = LIVE.schemas.staging) -> dict[str, sql.Composable]:
    return {
        "domain": sql.Identifier(schema, domain.name),
        "base": _text(domain.base),
        "nullable": _text("not null" if domain.not_null else ""),
        "rule_name": sql.Identifier(f"{domain.name}_check"),
        "rule": _text(domain.rule),
    }


def _both(up: str, down: str, **parts: sql.Composable) -> Statement:
    return Statement(_statement(up, **parts), _statement(down, **parts))


def _statement(name: str, **parts: sql.Composable) -> sql.Composed:
    """A named statement without the comment that says what it does."""
    text = described(f"schema/migration.{name}")[1]
    return sql.SQL(text).format(**parts)


def _text(said: str) -> sql.SQL:
    """A part that the declarations write as SQL."""
    return sql.SQL(said)


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Name a domain in a migration: a statement before the tables has made it."""
    if kind == "type" and isinstance(item, DOMAIN):
        context.imports.add("from sqlalchemy.dialects import postgresql")
        return (
            f"postgresql.DOMAIN({item.name!r}, sa.{item.data_type!r}, schema={item.schema!r}, "
            "create_type=False)"
        )
    return False
