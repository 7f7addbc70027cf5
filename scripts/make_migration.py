"""Write the migration that brings the tables to what the declarations say."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from alembic import command
from alembic.operations.ops import MigrationScript
from psycopg import sql
from psycopg.conninfo import make_conninfo

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from etl.config import settings
from etl.db.connection import connect
from etl.errors import AcaError, ServerError, UsageError
from etl.schema.migrations import alembic_config
from etl.schema.revisions import MIGRATIONS, newest
from etl.server.server import ensure_running


def main(
    what: Annotated[str, typer.Option(help="What changes, in a few words.")] = "",
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Replace all migrations by one, made from nothing.")
    ] = False,
) -> None:
    """Compare the declarations with the migrations on an empty database; write what differs."""
    try:
        if not what.strip() and not baseline:
            raise UsageError(
                "A migration needs a few words about what changes.",
                'make migration WHAT="members get a nickname"',
            )
        number = f"{int(newest()) + 1:04}"
        with (
            empty_database(ensure_running(settings())) as url,
            without_migrations() if baseline else nullcontext(),
        ):
            written = write(url, number, "baseline" if baseline else what)
        typer.echo(f"Wrote {written}." if written else "The declarations have not changed.")
    except AcaError as error:
        typer.echo(f"{error.message} {error.hint}", err=True)
        raise typer.Exit(error.exit_code) from error


def write(url: str, number: str, what: str) -> Path | None:
    """Bring an empty database to the newest migration and write the next one, if there is one."""
    config = alembic_config(url)
    command.upgrade(config, "head")
    command.revision(
        config,
        what,
        autogenerate=True,
        rev_id=number,
        process_revision_directives=leave_out_empty,
    )
    return next((MIGRATIONS / "versions").glob(f"{number}_*.py"), None)


def leave_out_empty(_context: Any, _revision: Any, scripts: list[MigrationScript]) -> None:
    """Write no migration where nothing has changed."""
    if scripts[0].upgrade_ops is None or scripts[0].upgrade_ops.is_empty():
        scripts.clear()


@contextmanager
def without_migrations() -> Iterator[None]:
    """Do without the migrations that there are, for good unless what takes their place fails."""
    texts = {path: path.read_bytes() for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py")}
    for path in texts:
        path.unlink()
    try:
        yield
    except BaseException:
        for path, text in texts.items():
            path.write_bytes(text)
        raise


@contextmanager
def empty_database(url: str) -> Iterator[str]:
    """The address of an empty database on the same server, which is dropped in the end."""
    name = f"aca_migration_{os.getpid()}"
    with connect(url, "aca-warehouse migration") as connection:
        try:
            connection.execute(
                sql.SQL("create database {} template template0").format(sql.Identifier(name))
            )
        except psycopg.errors.InsufficientPrivilege as error:
            raise ServerError(
                "A migration is made on an empty database, which this role may not create.",
                "Leave DATABASE_URL empty for it: then the embedded server is used.",
            ) from error
        try:
            yield make_conninfo(url, dbname=name)
        finally:
            connection.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))


if __name__ == "__main__":
    typer.run(main)
