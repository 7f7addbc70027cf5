"""Old claims and enrollments go to the archive and leave the warehouse, and do not come back."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest

from etl.db.connection import connect
from etl.pipeline import commands
from etl.pipeline.status import notices
from tests.support.archives import read
from tests.support.databases import fresh_database
from tests.support.feeds import write_batch
from tests.support.retention import (
    HORIZON,
    OLD_CLAIMS,
    money,
    rebuild_gives_the_same,
    retain,
    seen,
    send_all,
    traces,
)
from tests.support.tables import draw
from tests.support.warehouse import Warehouse, differing_cubes, failed_critical


@pytest.fixture
def sent(warehouse: Warehouse) -> Warehouse:
    """A warehouse with four batches of three years."""
    send_all(warehouse)
    return warehouse


@pytest.mark.slow
def test_without_confirmation_what_would_go_is_only_shown(sent: Warehouse) -> None:
    before = seen(sent)
    said = retain(sent, confirmed=False)
    assert seen(sent) == before
    assert not (sent.data / "archive").exists()
    assert len(said) == 1
    assert f"Before {HORIZON}" in said[0]
    assert "make retention YEARS=1 CONFIRM=yes" in said[0]
    assert sent.rows("select count(*) from ledger.retention_run") == [(0,)]


def test_old_rows_leave_every_table_and_the_rest_stays(sent: Warehouse) -> None:
    # Claims of which a row was rejected: of a claim that goes it is forgotten.
    sent.connection.execute(
        "insert into quality.rejected_key (load_id, feed, key) "
        "values (1, 'claims', '{OLD}'), (1, 'claims', '{NEW}'), (1, 'members', '{OLD}')"
    )
    before = seen(sent)
    retain(sent)
    after = seen(sent)
    assert sent.rows("select feed, key[1] from quality.rejected_key order by 1") == [
        ("claims", "NEW"),
        ("members", "OLD"),
    ]
    assert sent.rows("select claim_id from warehouse.fact_claim order by 1") == [
        ("BACK",),
        ("MOVED",),
        ("NEW",),
        ("NEWER",),
    ]
    for table in (
        *("staging.claims_raw", "warehouse.fact_claim"),
        *("internal.fact_claim_past", "internal.fact_claim_state"),
    ):
        assert not sent.rows(
            f"select * from {table} where claim_id = any('{{{','.join(OLD_CLAIMS)}}}')"
        )
    # What has one day within the horizon stays as a whole.
    assert sent.rows("select count(*) from staging.claims_raw where claim_id = 'MOVED'") == [(2,)]
    assert sent.rows("select enrollment_id from warehouse.fact_enrollment") == [("E3",)]
    for table in ("dim_date", "dim_geography", "dim_member", "dim_plan", "dim_provider"):
        assert after[table] == before[table], table
    for fact in ("fact_claim", "fact_enrollment"):
        assert [row for row in before[fact] if row in after[fact]] == after[fact]
    assert failed_critical(sent.connection) == set()
    assert differing_cubes(sent.connection) == []


@pytest.mark.slow
def test_what_was_read_is_loaded_or_expired(sent: Warehouse) -> None:
    loaded = money(sent, "loaded")
    retain(sent)
    expired = money(sent, "expired")
    assert expired > 0
    assert money(sent, "loaded") + expired == loaded == money(sent, "in_file")
    assert sent.rows(
        "select sum(rows_read), sum(rows_loaded), sum(rows_expired) from ledger.load_file "
        "where feed = 'claims'"
    ) == [(15, 7, 8)]


@pytest.mark.slow
def test_the_archive_has_the_rows_and_says_so(sent: Warehouse) -> None:
    rows = {
        (load_id, line)
        for load_id, line in sent.rows("select load_id, source_line from staging.claims_raw")
    }
    retain(sent)
    folder = sent.data / "archive" / f"before-{HORIZON}"
    files = read(folder)
    assert sorted(files) == [
        "claims-2022.parquet",
        "claims-2023.parquet",
        "enrollments-2023.parquet",
    ]
    left = set(sent.rows("select load_id, source_line from staging.claims_raw"))
    archived = [row for name, found in files.items() if "claims" in name for row in found]
    assert {(row["load_id"], row["source_line"]) for row in archived} == rows - left
    assert sum(row["paid_amount"] for row in archived) == money(sent, "expired")
    [first] = files["claims-2022.parquet"]
    assert (first["claim_id"], first["paid_amount"]) == ("OLDER", Decimal("20.02"))
    assert first["batch_id"] == "2023-02-01"
    assert f"{first['as_of']:%Y-%m-%d %Z}" == "2023-02-01 UTC"
    manifest = json.loads((folder / "manifest.json").read_text())
    noted = sent.rows(
        "select file_name, feed, year, row_count, totals, first_day::text, last_day::text, "
        "size_bytes, sha256 from ledger.retention_file order by 1"
    )
    assert noted == sorted(tuple(file.values()) for file in manifest["files"])
    assert [
        (file["file_name"], file["first_day"], file["last_day"]) for file in manifest["files"]
    ] == [
        ("enrollments-2023.parquet", "2023-05-31", "2023-12-31"),
        ("claims-2022.parquet", "2022-12-31", "2022-12-31"),
        ("claims-2023.parquet", "2023-01-15", "2023-12-31"),
    ]
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}
    assert (sent.data / "archive").stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_a_full_load_gives_the_same_warehouse(sent: Warehouse) -> None:
    retain(sent)
    rebuild_gives_the_same(sent)
    assert failed_critical(sent.connection) == set()


@pytest.mark.slow
def test_months_without_a_claim_lose_their_partitions(sent: Warehouse) -> None:
    partitions = (
        "select inhrelid::regclass::text from pg_inherits "
        "where inhparent = 'warehouse.fact_claim'::regclass order by 1"
    )
    retain(sent)
    # BACK is of December 2023.
    kept = [f"internal.fact_claim_{m}" for m in ("2023_12", "2024_01", "2025_01")]
    assert sent.rows(partitions) == [(name,) for name in kept]
    sent.rebuild(1)
    assert sent.rows(partitions) == [(name,) for name in kept]


@pytest.mark.slow
def test_an_empty_warehouse_has_nothing_to_let_go(warehouse: Warehouse) -> None:
    assert retain(warehouse) == ["Nothing to do: no batch is loaded."]


@pytest.mark.slow
def test_a_second_run_has_nothing_to_do(sent: Warehouse) -> None:
    retain(sent)
    before = seen(sent)
    said = retain(sent)
    assert said == [
        f"Nothing to do: no row lies before {HORIZON}, 1 year before 2025; "
        f"those from before {HORIZON} have gone."
    ]
    assert seen(sent) == before


@pytest.mark.slow
def test_members_on_hold_keep_their_rows_until_it_is_released(sent: Warehouse) -> None:
    sent.connection.execute("insert into access.legal_hold (member_id, why) values ('M1', 'suit')")
    of_member = "select claim_id from staging.claims_raw where member_id = 'M1' order by 1, load_id"
    before = sent.rows(of_member)
    retain(sent)
    assert sent.rows(of_member) == before
    assert sent.rows("select claim_id from warehouse.fact_claim where claim_id = 'OLDER'") == []
    # What comes of the member later stays too, and a full load gives the same.
    write_batch(
        sent.inbox,
        "2025-04-01",
        claims=draw("""
            claim_id | member_id | service_date
            HELD     | M1        | 2023-03-03
            NOT      | M2        | 2023-03-03
        """),
    )
    sent.incremental(1)
    kept = seen(sent)
    assert sent.rows(
        "select claim_id from warehouse.fact_claim where claim_id in ('HELD', 'NOT')"
    ) == [("HELD",)]
    sent.rebuild(1)
    rebuilt = seen(sent)
    for name, rows in kept.items():
        assert rebuilt[name] == rows, name
    sent.connection.execute("update access.legal_hold set released_at = now()")
    retain(sent)
    assert len(sent.rows(of_member)) == 3  # BACK twice, and NEWER
    assert failed_critical(sent.connection) == set()


@pytest.mark.slow
def test_no_table_and_no_log_names_what_has_gone(sent: Warehouse) -> None:
    with sent.pipeline(1, checks=None) as pipeline:
        commands.run_checks(pipeline)
    assert set(traces(sent, OLD_CLAIMS)) > {"staging.claims_raw", "quality.check_result"}
    results = "select check_run_id, check_name, rows_failed from quality.check_result"
    failed = set(sent.rows(results))
    retain(sent)
    for gone in (OLD_CLAIMS, ["E1", "E2"]):
        assert traces(sent, gone) == []
    log = sent.data / "logs" / "etl.jsonl"
    assert not log.exists() or not re.search(r"\bOLDER\b", log.read_text())
    # How many rows failed at the time stays.
    assert failed <= set(sent.rows(results))
    sent.rebuild(1)
    assert traces(sent, OLD_CLAIMS) == []


@pytest.mark.slow
def test_a_restored_backup_is_noticed_and_old_rows_go_again(
    sent: Warehouse, admin_url: str
) -> None:
    sent.connection.close()  # or its database could not be copied
    with fresh_database(admin_url, sent.url.rpartition("/")[2]) as backup:
        with connect(sent.url, "test") as sent.connection:
            retain(sent)
            wanted = seen(sent)
        with connect(backup, "test") as connection:
            restored = Warehouse(backup, sent.inbox, sent.data, connection)
            [said] = notices(restored.url, sent.data / "archive")
            assert f"rows from before {HORIZON}" in said
            retain(restored)
            assert seen(restored) == wanted
            assert notices(restored.url, sent.data / "archive") == []
    # The same rows are in the same archive.
    assert [path.name for path in (sent.data / "archive").iterdir()] == [f"before-{HORIZON}"]
