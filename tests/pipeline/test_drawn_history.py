"""The example drawn at the head of each numbered file of ``sql/dims/`` is what the file does."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from etl.db.connection import set_search_path
from etl.db.statements import FOLDER
from etl.pipeline import commands
from etl.stages.dims import rebuild_history, simple_path
from etl.stages.dims.work import DimensionWork, FeedLoad
from etl.warehouse.tables import DIM_MEMBER, LIVE
from tests.support import rehearsal
from tests.support.tables import Drawn, draw, drawn
from tests.support.warehouse import Warehouse

FILES = sorted(path.stem for path in (FOLDER / "dims").glob("[0-9]_*.sql"))
RENAMED = {"valid_from": "validity_start_ts", "valid_until": "validity_end_ts"}
# The columns of a drawn table that its feed does not have.
ADDED = {"member_sk", *RENAMED}


def example(file: str) -> dict[str, Drawn]:
    """The tables drawn at the head of a file, by their titles."""
    head, _, _ = (FOLDER / "dims" / f"{file}.sql").read_text(encoding="utf-8").partition("-- name")
    found = re.findall(r"^-- ([a-z].*):\n((?:--   .*\n)+)", head, re.MULTILINE)
    return {title: draw(table.replace("--   ", "")) for title, table in found}


def bring(warehouse: Warehouse, day: str, kind: str, members: Drawn, claims: Drawn) -> None:
    """Put a batch with the drawn rows into the inbox."""
    feeds = {
        name: [{k: v for k, v in row.items() if k not in ADDED} for row in rows]
        for name, rows in (("members", members), ("claims", claims))
        if rows
    }
    warehouse.send(day, {"files": {"members.csv": {"kind": kind}}}, **feeds)


def load_before(warehouse: Warehouse, versions: Drawn, claims: Drawn) -> None:
    """Load a batch for each start of a version, the first of them with the claims."""
    for number, start in enumerate(sorted({row["valid_from"] for row in versions})):
        members = [row for row in versions if row["valid_from"] == start]
        day = start if number else "2025-01-01"
        bring(warehouse, day, "delta", members, [] if number else claims)
        warehouse.incremental()


def temporary_table(warehouse: Warehouse, table: str, columns: str, kind: str, day: str) -> Drawn:
    """A table that the steps of the load that is due leave for one another."""
    with warehouse.pipeline() as pipeline:
        commands.run_stages(pipeline, ("stage",))
        (load_id,) = pipeline.ledger.execute("select max(load_id) from ledger.load").fetchone()
        as_of = datetime.fromisoformat(day).replace(tzinfo=UTC)
        load = FeedLoad(load_id, as_of, kind == "snapshot", LIVE)
        with pipeline.work.transaction(force_rollback=True):
            set_search_path(pipeline.work, LIVE.schemas.path)
            with DimensionWork(pipeline.work, DIM_MEMBER, load, LIVE.schemas) as work:
                rebuild_history.find_keys(work, simple_path.classify(work))
                rebuild_history.lay_out(work)
                return drawn(pipeline.work, f"select {columns} from {table}")


@pytest.mark.parametrize("file", FILES)
def test_drawn_arrivals_of_a_file_give_its_drawn_result(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    tables = example(file)
    before, arrivals, after = (
        next(title for title in tables if title.startswith(word))
        for word in ("before", "arrivals", "after")
    )
    load_before(warehouse, tables[before], tables.get("facts before", []))
    if "after, published" in tables:
        rehearsal.begin(warehouse.connection, monkeypatch)
        warehouse.rebuild()
    kind, day = re.fullmatch(r"arrivals, (delta|snapshot) as of ([-\d]+)", arrivals).groups()
    bring(warehouse, day, kind, tables[arrivals], [])
    names = dict.fromkeys(name for row in tables[after] for name in row)
    columns = ", ".join(f"{RENAMED.get(name, name)} as {name}" for name in names)
    if after.startswith("after, the table "):
        table = after.removeprefix("after, the table ")
        found = temporary_table(warehouse, table, columns, kind, day)
    else:
        warehouse.incremental()
        table = {
            "after, the dimension": "dim_member",
            "after, the facts": "fact_claim",
            "after, published": "dim_member",
        }[after]
        query = f"select {columns} from warehouse.{table} where member_sk > 0"
        found = drawn(warehouse.connection, query)
    assert sorted(found, key=repr) == sorted(tables[after], key=repr)
