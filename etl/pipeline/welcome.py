"""What psql is opened with: where one is, what the warehouse is like, and what can be asked."""

from __future__ import annotations

from etl.db.connection import connect
from etl.docs.report_queries import reports
from etl.pipeline import latest
from etl.pipeline.screen import Screen


def show(url: str) -> None:
    """Say it with the eyes of the session that begins: what its role may not read is left out."""
    with connect(url, "aca-warehouse psql") as connection:
        found = latest.read(connection)
        info = connection.info
        lines = [("Server", f"{info.dbname} on {info.host} port {info.port}, as {info.user}")]
    lines += found.lines or [("Empty", "Nothing is loaded yet: make full-load")]
    names = list(reports())
    lines += [
        ("Reports", f":reports lists the {len(names)} documented ones, :{names[0]} asks one"),
        ("Tables", r"\dv lists the views that analysts read, \d+ claim describes one"),
    ]
    console = Screen()
    for label, said in lines:
        console.write_line(said, label)
    console.print()
