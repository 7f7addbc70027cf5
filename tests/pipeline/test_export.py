"""Exports: what a role reads, of one state, typed and summed; and what becomes of a broken one."""

from __future__ import annotations

import json
import math
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow.parquet as pq
import pytest

from etl.access.roles import Role, named
from etl.config import ROOT
from etl.db.connection import connect, reading, set_config
from etl.docs import report_queries
from etl.errors import ServerError, UsageError
from etl.export import make, tables
from etl.export.make import MANIFEST, Export, Request, export
from etl.export.tables import Table
from etl.files.checksums import sha256_of
from etl.pipeline.erase import erase
from etl.synthetic.generate import generate
from etl.warehouse.tables import LIVE, MARTS_OF_CUBES, OPEN_END
from tests.support.access import address, login_of, logins
from tests.support.looking import Record
from tests.support.masked_rows import counted
from tests.support.warehouse import Warehouse
from tests.support.watching import Silent

DRAWN = """
    member_id | first_name | last_name | broker_name     | state | source_updated_at
    ZZ-quote  | Zq"anna    | Quigley   | =cmd()          | FL    | 2025-12-20T00:00:00Z
    ZZ-moves  | Peregrine  | Wandersby | Smith, Sons     | OH    | 2025-12-20T00:00:00Z
"""
CLAIMS = """
    claim_id | member_id | service_date | claim_amount | paid_amount | status
    zz1      | ZZ-moves  | 2025-12-22   | 99999999.99  | 99999999.99 | approved
    zz2      | ZZ-moves  | 2025-12-22   | 0.01         | -0.01       | approved
"""
LATER = """
    claim_id | member_id | service_date | claim_amount | paid_amount | status
    zz2      | ZZ-moves  | 2025-12-22   | 5.00         | 5.00        | adjusted
"""
# Whose own function an export is as long as any of them.
EXPORTERS = [
    ("analyst", "claim,dim_member,fact_claim,high_cost_year"),
    *(
        pytest.param(short, "all", marks=pytest.mark.slow)
        for short in ("analyst", "deid", "phi", "steward", "auditor")
    ),
]


@pytest.fixture(scope="module")
def world(module_warehouse: Warehouse) -> Warehouse:
    """Generated members and drawn ones, and a claim that a second load adjusts."""
    generate(module_warehouse.inbox, members=150)
    module_warehouse.send("2025-12-31", members=DRAWN, claims=CLAIMS)
    module_warehouse.rebuild()
    module_warehouse.send("2026-01-31", claims=LATER)
    module_warehouse.incremental()
    return module_warehouse


def role(short: str) -> Role:
    found = named(short)
    assert found is not None
    return found


def exported(
    warehouse: Warehouse, short: str, folder: Path, *, watcher: Any = None, **request: Any
) -> Export:
    """An export by the owner's session acting as a role."""
    with connect(warehouse.url, "test") as session:
        make.act_as(session, role(short))
        asked = {"file_format": "parquet", "root": folder, "to": folder / "to", **request}
        return export(session, Request(role(short), **asked), watcher or Silent())


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


def parquet_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / f"{name}.parquet"
    return pq.read_table(path if path.exists() else folder / name).to_pylist()


def read_by(session: psycopg.Connection[Any], name: str) -> list[dict[str, Any]]:
    """The rows of a relation as files have them, said once more and slowly."""
    cursor = session.execute(f"select * from {name}")
    columns = [column.name for column in cursor.description or ()]
    rows = []
    for values in cursor:
        row = dict(zip(columns, map(plain, values), strict=True))
        if "validity_end_ts" in row:
            row["is_open"] = row["validity_end_ts"] and row["validity_end_ts"] == OPEN_END
            if row["is_open"]:
                row["validity_end_ts"] = None
        rows.append(row)
    return rows


def plain(value: Any) -> Any:
    """A value without the scale or zone in which it is written."""
    if isinstance(value, Decimal):
        return value.quantize(Decimal(1).scaleb(-20), context=Context(prec=60)).normalize(
            Context(prec=60)
        )
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return value if isinstance(value, bool | int | date | None) else str(value)


def plain_rows(rows: list[dict[str, Any]]) -> Counter[Any]:
    found: Counter[Any] = counted(
        [{name: plain(value) for name, value in row.items()} for row in rows]
    )
    return found


@pytest.mark.parametrize(("short", "asked"), EXPORTERS)
def test_each_table_has_the_rows_and_sums_that_its_role_reads(
    world: Warehouse, short: str, asked: str, tmp_path: Path
) -> None:
    done = exported(world, short, tmp_path, asked=asked)
    said = manifest(done.folder)
    assert (said["role"], said["format"], said["as_of"]) == (short, "parquet", "2026-01-31")
    assert {"claim", "dim_member", "fact_claim", "high_cost_year"} <= {
        t["name"] for t in said["tables"]
    }
    with connect(world.url, "test") as session:
        make.act_as(session, role(short))
        set_config(session, "search_path", ", ".join(role(short).path), is_local=False)
        for table in said["tables"]:
            wanted = read_by(session, table["name"])
            found = parquet_rows(done.folder, table["name"])
            assert len(found) == table["rows"] == sum(f["rows"] for f in table["files"])
            assert plain_rows(found) == plain_rows(wanted), table["name"]
            for column, total in table["totals_usd"].items():
                amounts = (row[column] for row in wanted if row[column] is not None)
                assert Decimal(total) == sum(amounts, Decimal(0)), (table["name"], column)
            if found:
                assert [c["name"] for c in table["columns"]] == list(found[0])
    for file in said["files"]:
        path = done.folder / file["path"]
        assert (sha256_of(path), path.stat().st_size) == (file["sha256"], file["bytes"])
    assert done.folder.stat().st_mode & 0o777 == 0o700


def test_marts_are_exported_where_no_table_is_named(world: Warehouse, tmp_path: Path) -> None:
    names = [t.table.name for t in exported(world, "analyst", tmp_path).tables]
    assert names[:5] == ["claim", "claim_line", "claim_diagnosis", "enrollment", "member_timeline"]
    assert {"pmpm_month", "cost_month"} < set(names)
    assert not [name for name in names if name.startswith(("dim_", "fact_"))]
    # What says nothing de-identified is not there for who reads that.
    deid = [t.table.name for t in exported(world, "deid", tmp_path / "deid").tables]
    assert set(names) - set(deid) >= {"cost_month", *MARTS_OF_CUBES}


def test_no_date_is_later_than_a_library_can_hold(world: Warehouse, tmp_path: Path) -> None:
    done = exported(world, "phi", tmp_path, asked="dim_member,dim_plan,dim_provider")
    for name in ("dim_member", "dim_plan", "dim_provider"):
        rows = parquet_rows(done.folder, name)
        assert {row["is_open"] for row in rows} >= {True}
        assert all((row["validity_end_ts"] is None) == row["is_open"] for row in rows)
        frame = pq.read_table(done.folder / f"{name}.parquet").to_pandas()
        assert (
            frame["validity_end_ts"].dt.year.max() < 2262 or frame["validity_end_ts"].isna().all()
        )


def test_tables_are_as_they_were_known_after_a_load(world: Warehouse, tmp_path: Path) -> None:
    first = world.value(
        "select load_id from ledger.load where batch_id = '2025-12-31' and status = 'loaded'"
    )
    for short in ("analyst", "phi"):
        done = exported(world, short, tmp_path / short, as_known=first)
        assert (done.load.load_id, done.load.as_of) == (first, "2025-12-31")
        with connect(world.url, "test") as session, reading(session, role(short).path):
            session.execute("select as_known_at(%s)", [first])
            for name in ("fact_claim", "dim_member", "fact_enrollment"):
                found = plain_rows(parquet_rows(done.folder, name))
                assert found == plain_rows(read_by(session, name)), name
        paid = {r["claim_id"]: r["paid_amount"] for r in parquet_rows(done.folder, "fact_claim")}
        assert paid["zz2"] == Decimal("-0.01")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"asked": "claim,nix"}, "There is no table 'nix'"),
        ({"asked": "fact_claim; drop table x"}, "There is no table"),
        ({"short": "deid", "asked": "pmpm_month"}, "The role deid may not read pmpm_month"),
        ({"short": "phi", "asked": "member_crosswalk"}, "There is no table"),
        ({"asked": "claim", "as_known": 1}, "claim is not kept as it was known"),
        ({"short": "deid", "as_known": 1}, "The role deid sees nothing as it was known"),
        ({"as_known": 99}, "as known after load 99: there is no load 99"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    world: Warehouse, tmp_path: Path, request_: dict[str, Any], said: str
) -> None:
    asked = dict(request_)
    with pytest.raises(UsageError, match=re.escape(said)) as refused:
        exported(world, asked.pop("short", "analyst"), tmp_path, **asked)
    assert refused.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_line_says_in_a_sentence_what_is_wrong(
    world: Warehouse, tmp_path: Path
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").touch()
    for arguments, said in (
        (["--format", "pdf"], "There is no format 'pdf'"),
        (["--as-known", "May"], "AS_KNOWN is 'May'"),
        (["--role", "boss"], "There is no role 'boss'"),
        (["--role", "scoped"], "Which states somebody of the role scoped sees"),
        (["--to", str(world.inbox / "x")], "lies in the inbox"),
        (["--to", str(world.data / "backups" / "x")], "lies in the folder of backups"),
        (["--to", str(full)], "is there and is no empty folder"),
        (["--to", str(full / "mine" / "x")], "cannot be written"),
        (["--table", "nix"], "There are, for the role analyst:"),
    ):
        ended = world.command("export", *arguments)
        assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
        assert said in ended.stderr
        assert "Traceback" not in ended.stderr
    assert [path.name for path in full.iterdir()] == ["mine"]


@pytest.mark.slow
def test_a_login_exports_as_the_role_that_it_has(world: Warehouse, tmp_path: Path) -> None:
    people = {"ann_x": ("aca_analyst_scoped", ["FL"]), "bob_x": ("aca_analyst_deid", [])}
    with logins(world.connection, people):
        for login, short in (("ann_x", "scoped"), ("bob_x", "deid")):
            where = {"DATABASE_URL": address(world.url, login)}
            to = tmp_path / login
            ended = world.command("export", "--table", "claim", "--to", str(to), **where)
            assert ended.returncode == 0, ended.stderr
            assert f"read as {short}" in ended.stdout
            assert str(to) in ended.stdout
        refused = world.command("export", "--role", "phi", "--to", str(tmp_path / "phi"), **where)
        assert "The login bob_x has not got the role phi" in refused.stderr
    states = {row["state"] for row in parquet_rows(tmp_path / "ann_x", "claim")}
    assert states == {"FL"}
    assert {row["claim_id"] for row in parquet_rows(tmp_path / "bob_x", "claim")} == {None}


class Meanwhile(Silent):
    """Does something once, before a table is written."""

    def __init__(self, table: str, act: Any) -> None:
        super().__init__()
        self.table, self.act = table, act

    def begin(self, stage: str, what: str, total: int | None = None) -> None:
        if what == self.table:
            self.table = ""
            self.act()


def test_all_tables_are_of_the_state_at_the_beginning(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.send("2025-01-10", members=[{"member_id": "M1"}], claims=[{"claim_id": "c1"}])
    warehouse.incremental()
    warehouse.send("2025-01-11", claims=[{"claim_id": "c2"}])
    watcher = Meanwhile("fact_claim", warehouse.incremental)
    done = exported(warehouse, "phi", tmp_path, asked="claim,fact_claim", watcher=watcher)
    assert warehouse.value("select count(*) from warehouse.fact_claim") == 2
    assert [table.rows for table in done.tables] == [1, 1]
    assert done.load.as_of == "2025-01-10"


def test_tables_of_two_builds_are_never_exported(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = tables._table

    def after_a_swap(session: Any, name: str, *found: Any, **choices: Any) -> Table:
        if name == "enrollment":  # the names were looked up, and nothing is locked yet
            with connect(warehouse.url, "test") as other:
                other.execute("alter view limited.enrollment rename to enrollment_before")
                other.execute("create view limited.enrollment as table limited.enrollment_before")
                other.execute("grant select on limited.enrollment to aca_analyst")
        return described(session, name, *found, **choices)

    monkeypatch.setattr(tables, "_table", after_a_swap)
    with pytest.raises(ServerError, match="A full load went live while the export began"):
        exported(warehouse, "analyst", tmp_path, asked="claim,enrollment")
    assert list(tmp_path.glob("*to*")) == []


@pytest.mark.parametrize("file_format", ["parquet", "csv", "xlsx", "duckdb"])
def test_a_warehouse_without_a_load_has_typed_files(
    warehouse: Warehouse, tmp_path: Path, file_format: str
) -> None:
    done = exported(warehouse, "analyst", tmp_path, file_format=file_format)
    said = manifest(done.folder)
    assert said["load"] == {"load_id": None, "batch_id": None}
    assert len(said["tables"]) >= 5  # there are no cubes before the first load
    assert {table["rows"] for table in said["tables"]} == {0}
    assert all((done.folder / file["path"]).stat().st_size > 0 for file in said["files"])


def test_of_two_exports_to_one_folder_one_is_there_whole(world: Warehouse, tmp_path: Path) -> None:
    second: list[Export] = []
    watcher = Meanwhile(
        "enrollment", lambda: second.append(exported(world, "analyst", tmp_path, asked="claim"))
    )
    with pytest.raises(UsageError, match="cannot be written"):
        exported(world, "analyst", tmp_path, asked="claim,enrollment", watcher=watcher)
    assert [path.name for path in tmp_path.iterdir()] == ["to"]
    assert [table["name"] for table in manifest(tmp_path / "to")["tables"]] == ["claim"]


@pytest.mark.slow
def test_a_killed_export_leaves_nothing_that_looks_whole(world: Warehouse, tmp_path: Path) -> None:
    to = tmp_path / "to"
    arguments = ("export", "--table", "all", "--to", str(to))
    for seconds in (0.0, 0.05, 0.2):
        running = world.start(*arguments)
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".to.*")) and running.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(seconds)
        running.kill()
        running.ended()
        if to.exists():  # it was faster
            assert manifest(to)["tables"]
            shutil.rmtree(to)
    stopped = world.start(*arguments)
    while not list(tmp_path.glob(".to.*/claim.parquet")) and stopped.poll() is None:
        time.sleep(0.002)
    stopped.send_signal(15)
    ended = stopped.ended()
    if ended.returncode:
        assert (ended.returncode, to.exists()) == (143, False), ended.stderr
        assert "Traceback" not in ended.stderr
    shutil.rmtree(to, ignore_errors=True)
    assert world.command(*arguments).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["to"]


def test_a_disk_without_room_is_not_begun_on(
    world: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UsageError, match="has 1 MiB free, and the export may need"):
        exported(world, "analyst", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_export_of_persons_is_a_look(two_members: Record, tmp_path: Path) -> None:
    owner = two_members.login("ann_exports", "phi")
    with connect(owner, "test") as session:
        make.act_as(session, role("phi"))
        request = Request(role("phi"), "csv", tmp_path, "dim_member,claim", to=tmp_path / "to")
        export(session, request, Silent())
    assert "warehouse.dim_member" in two_members.read_by("ann_exports")


@pytest.mark.slow
def test_an_erasure_removes_exports_of_persons(warehouse: Warehouse) -> None:
    warehouse.send(
        "2025-01-10", members=[{"member_id": "M1", "last_name": "Zqsmith"}, {"member_id": "M2"}]
    )
    warehouse.incremental()
    ended = [
        warehouse.command("export", "--role", short, "--table", "dim_member", "--format", "csv")
        for short in ("phi", "analyst")
    ]
    assert [one.returncode for one in ended] == [0, 0], ended
    exports = warehouse.data / "exports"
    (of_phi,) = exports.glob("*-phi-csv")
    assert "Zqsmith" in (of_phi / "dim_member.csv").read_text()
    warehouse.run(erase, "M1", "request of the member")
    assert [path.name for path in exports.iterdir()] == ["load-1-analyst-csv"]
    assert warehouse.command("export", "--role", "phi", "--format", "csv").returncode == 0
    for path in exports.rglob("*.csv"):
        assert "Zqsmith" not in path.read_text()


# What a report asks that no file has, and why.
UNANSWERED = {
    "files_behind_a_number": "ledger",
    "loads_live_when": "ledger",
    "paid_as_known_after_each_load": "ledger",
    "checks_failing": "quality",
    "rows_rejected": "quality",
    "claims_changed_since_a_load": "fact_claim_as_known_at",
    "put_at_an_instant": "",  # it asks no table
}


@pytest.fixture(scope="module")
def laptop(world: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("laptop")
    exported(world, "analyst", folder, file_format="duckdb", asked="all")
    (folder / "to").rename(folder / "moved")
    with duckdb.connect(str(folder / "moved" / "warehouse.duckdb"), read_only=True) as opened:
        # Wherever the laptop is.
        opened.execute("set timezone = 'America/New_York'")
        yield opened


def test_a_documented_report_answers_in_duckdb_as_in_the_warehouse(
    world: Warehouse, laptop: Any
) -> None:
    """Exact, but for the columns that DuckDB computes as DOUBLE, which the page lists."""
    in_double: dict[str, list[str]] = {}
    with login_of(world.connection, world.url, "aca_analyst") as analyst:
        analyst.execute("set search_path = limited, public")
        for name, report in report_queries.reports().items():
            if name in UNANSWERED:
                if report.question is not None:
                    with pytest.raises(duckdb.CatalogException, match=UNANSWERED[name]):
                        laptop.execute(report.question)
                continue
            assert report.question is not None
            wanted = analyst.execute(report.question).fetchall()
            answer = laptop.execute(report.question)
            doubles = [n for n, column in enumerate(answer.description) if column[1] == "DOUBLE"]
            if doubles:
                in_double[name] = [answer.description[n][0] for n in doubles]
            found, due = split(answer.fetchall(), doubles), split(wanted, doubles)
            assert found.keys() == due.keys(), name
            for exact, numbers in due.items():
                assert found[exact] == pytest.approx(numbers, rel=1e-9), (name, exact)
    said = (ROOT / "docs" / "export.md").read_text("utf-8")
    (listed,) = re.findall(r"^In `DOUBLE`: (.*?)\.$", said, re.M | re.S)
    assert dict(re.findall(r"`(\w+)` \((`[^)]*`)\)", listed)) == {
        name: ", ".join(f"`{column}`" for column in columns) for name, columns in in_double.items()
    }


# Is equal to itself alone, and has a place among numbers.
NOTHING = -math.inf


def split(rows: list[tuple[Any, ...]], doubles: list[int]) -> dict[Any, list[float]]:
    """The numbers of some columns, in order, by what the rest of a row says exactly."""
    found: dict[Any, list[list[float]]] = {}
    for row in rows:
        exact = tuple(value for place, value in enumerate(row) if place not in doubles)
        numbers = [NOTHING if row[n] is None else float(row[n]) for n in doubles]
        found.setdefault(exact, []).append(numbers)
    return {
        (exact, len(several)): [number for numbers in sorted(several) for number in numbers]
        for exact, several in found.items()
    }


EXAMPLES = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "export.md").read_text("utf-8"), re.M | re.S
)


@pytest.fixture(scope="module")
def taken_away(world: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the examples of the page run."""
    folder = tmp_path_factory.mktemp("page")
    exported(world, "phi", folder, asked="enrollment,pmpm_month,dim_member")
    exported(world, "phi", folder / "d", asked="claim", file_format="duckdb")
    shutil.move(folder / "d" / "to" / "warehouse.duckdb", folder / "to")
    return folder / "to"


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_page_gives_the_sums_of_the_warehouse(
    world: Warehouse,
    number: int,
    taken_away: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(taken_away)
    with login_of(world.connection, world.url, "aca_analyst_phi"):
        url = address(world.url, "aca_analyst_phi_test")
        path = ",".join(LIVE.schemas.readers_path)
        given = {"url": f"{url} options='-c search_path={path}'"}
        exec(EXAMPLES[number], given)
    paid = world.value("select sum(paid_usd) from mart.pmpm_month where claim_type = 'all'")
    sums = {
        "by_tier": lambda rows: sum(amount for _, amount in rows) == paid,
        "premium": lambda total: (
            total == world.value("select sum(premium_usd) from mart.enrollment")
        ),
        "paid": lambda total: total == paid,
        "dollars": lambda column: sum(column.to_pylist()) == paid,
        "members": lambda rows: (
            sum(count for _, count in rows)
            == world.value(
                "select count(*) from warehouse.dim_member "
                "where '2025-07-01' >= validity_start_ts and '2025-07-01' < validity_end_ts"
            )
        ),
    }
    checked = [name for name in sums if name in given]
    assert len(checked) == 1
    assert sums[checked[0]](given[checked[0]]), given[checked[0]]
