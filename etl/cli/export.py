"""The command that writes tables as files to take away."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import psycopg
import typer

from etl.access import logins
from etl.access.roles import ROLES, SCOPED, Role
from etl.cli.access import login_url
from etl.config import Settings, settings
from etl.db.connection import connect
from etl.db.statements import scalar
from etl.errors import UsageError
from etl.pipeline.console import Terminal
from etl.pipeline.screen import Screen, table
from etl.server import server

if TYPE_CHECKING:
    from etl.export import make

SESSION = "aca-warehouse export"
FORMATS = ("parquet", "csv", "xlsx", "duckdb")
_MIB = 2**20

app = typer.Typer()


@app.command("export")
def export(
    file_format: Annotated[
        str, typer.Option("--format", help="parquet, csv, xlsx or duckdb.")
    ] = FORMATS[0],
    tables: Annotated[
        str, typer.Option("--table", help="Tables, with commas between; all; none: the marts.")
    ] = "",
    as_known: Annotated[str, typer.Option(help="As known after this load.")] = "",
    to: Annotated[str, typer.Option(help="Folder to write, new or empty.")] = "",
    role: Annotated[str, typer.Option(help="Who reads; analyst if nobody is named.")] = "",
    states: Annotated[str, typer.Option(help="States of the role scoped, such as FL,OH.")] = "",
) -> None:
    """Write tables as files, as a role reads them, with a manifest of what they come to."""
    if file_format not in FORMATS:
        raise UsageError(
            f"There is no format {file_format!r}.", f"Name one of {', '.join(FORMATS)}."
        )
    # Few commands need pyarrow and DuckDB, which take as long to load as all the rest.
    from etl.export import make

    known = _load_id(as_known)
    chosen = settings()
    found, url = _reader(chosen, role, states)
    request = make.Request(
        found,
        file_format,
        chosen.exports,
        tables,
        known,
        Path(to) if to else None,
        {
            chosen.inbox: "the inbox, which would load it",
            chosen.backups: "the folder of backups, which has nothing else in it",
            chosen.archive: "the archive of old rows, which has nothing else in it",
        },
    )
    with connect(url, SESSION) as connection:
        make.act_as(connection, found)
        _show(make.export(connection, request, Terminal()), request)


def _load_id(text: str) -> int | None:
    if text and not re.fullmatch("[0-9]{1,18}", text):
        raise UsageError(
            f"AS_KNOWN is {text!r}, which is no number of a load.",
            "ledger.load lists the loads: AS_KNOWN=1",
        )
    return int(text) if text else None


def _reader(chosen: Settings, short: str, states: str) -> tuple[Role, str]:
    """The role that reads, and the address of a login that has it.

    On the embedded server that is a login to look with the role's eyes. On another it is the one
    of ``DATABASE_URL``: the role that it has, and as an owner any but scoped, whose states are
    those of a login.
    """
    named = logins.role_of(short) if short else None
    if not chosen.database_url:
        found = named or logins.role_of("analyst")
        return found, login_url(chosen, found, states)
    url = server.ensure_running(chosen)
    with connect(url, SESSION) as connection:
        own = _own_role(connection)
    found = named or own or logins.role_of("analyst")
    if states or (found.name == SCOPED and own != found):
        raise UsageError(
            "Which states somebody of the role scoped sees is said of the login.",
            "Make one: make role-add LOGIN=name ROLE=scoped STATES=FL; then name its address in "
            "DATABASE_URL.",
        )
    return found, url


def _own_role(connection: psycopg.Connection[object]) -> Role | None:
    name = scalar(connection, "export/export.own_role", {"roles": list(ROLES)})
    return ROLES[name] if name else None


def _show(done: make.Export, request: make.Request) -> None:
    screen = Screen()
    shown = table("Exported", "table", "rows", "files", right=("rows", "files"))
    for one in done.tables:
        shown.add_row(one.table.name, f"{one.rows:,}", f"{len(one.written.files):,}")
    screen.write_numbers(shown)
    changed = sum(one.written.texts_changed for one in done.tables)
    if changed:
        screen.write_line(
            f"{changed:,} texts that a spreadsheet would run begin with an apostrophe now; the "
            "manifest counts them by table."
        )
    for name, why in done.left_out.items():
        screen.write_line(f"{name} was left out: {why.rstrip('.')}.")
    as_of = done.load.as_of or "no day yet"
    screen.write_line(
        f"{len(done.tables):,} tables, {done.size_bytes / _MIB:,.1f} MiB, read as "
        f"{request.role.short}, of {as_of}, are in {done.folder}"
    )
    screen.write_line("manifest.json in it has counts, sums, checksums and columns.")
    if request.role.is_identified:
        screen.write_line("They may say who a person is: only you may enter the folder.")
