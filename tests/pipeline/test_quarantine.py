"""Rows set aside, corrected and replayed: as if they had been right at first, and no other way."""

from __future__ import annotations

import csv
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl.contracts.reasons import Reason
from etl.db.connection import connect
from etl.errors import BatchError, RejectThresholdError, UsageError
from etl.pipeline.commands import Pipeline
from etl.warehouse.tables import CUBES
from tests.support.as_known import as_known, present, without_clock
from tests.support.corrections import (
    BATCHES,
    Rows,
    claim,
    correct,
    export,
    member,
    rewrite,
    send,
)
from tests.support.feeds import write_batch
from tests.support.warehouse import Warehouse, failed_critical, fresh_warehouse


@pytest.fixture(autouse=True)
def _no_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The expectations of Great Expectations take long; the SQL checks are run by the tests."""
    monkeypatch.setattr(Pipeline, "run_checks", lambda self, *_: self.summary)


def replay(warehouse: Warehouse, path: Path) -> list[str]:
    with warehouse.pipeline() as pipeline:
        pipeline.replay(path)
    return warehouse.watcher.said


def cubes(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    return {name: sorted(warehouse.rows(f"select * from cubes.{name}"), key=repr) for name in CUBES}


def everything(warehouse: Warehouse) -> dict[str, Any]:
    """All that a reader can see, keys and loads apart, and what the ledger counts."""
    return {
        **warehouse.contents(keys=False),
        **cubes(warehouse),
        "linked": warehouse.rows(
            "select f.claim_id, m.member_id, m.validity_start_ts, p.provider_id, p.name, "
            "n.plan_id, n.validity_start_ts from warehouse.fact_claim f "
            "join warehouse.dim_member m using (member_sk) "
            "join warehouse.dim_provider p using (provider_sk) "
            "join warehouse.dim_plan n using (plan_sk) order by 1"
        ),
        "states": sorted(
            warehouse.rows(
                "select claim_id, as_of, status, paid_amount, is_latest "
                "from warehouse.fact_claim_history"
            ),
            key=repr,
        ),
        "ledger": warehouse.rows(
            "select l.as_of, f.feed, f.status, rows_read, rows_loaded, rows_rejected, "
            "rows_duplicate, totals::text, latest_effective_ts, distinct_keys, columns "
            "from ledger.load_file f join ledger.load l using (load_id) "
            "where l.status = 'loaded' order by 1, 2"
        ),
    }


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Compare what two warehouses hold, table by table."""
    for name, rows in wanted.items():
        assert found[name] == rows, name


def open_rows(warehouse: Warehouse) -> int:
    found = warehouse.rows("select coalesce(sum(rows_open), 0) from quality.quarantine_open")
    return int(found[0][0])


@pytest.fixture
def right(admin_url: str, template: str, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What the warehouse holds where every row was right at first."""
    inbox = tmp_path / "right"
    with fresh_warehouse(admin_url, template, inbox, tmp_path / "right-data") as warehouse:
        for number in range(len(BATCHES)):
            send(inbox, number, 1)
            warehouse.incremental(1)
        assert open_rows(warehouse) == 0
        yield everything(warehouse)


@pytest.mark.parametrize("order", [-1, pytest.param(1, marks=pytest.mark.slow)])
def test_a_replay_makes_what_would_be_had_the_rows_been_right(
    warehouse: Warehouse, right: dict[str, Any], order: int
) -> None:
    connection = warehouse.connection
    for number in range(len(BATCHES)):
        send(warehouse.inbox, number, 0)
        warehouse.incremental(1)
    dirty = everything(warehouse)
    assert dirty != right
    before = {
        n: present(connection) for (n,) in warehouse.rows("select max(load_id) from ledger.load")
    }
    for number in range(len(BATCHES))[::order]:
        for path in export(warehouse, BATCHES[number][0])[::order]:
            correct(number, path)
            said = replay(warehouse, path)
            assert len(said) == 1, said
            assert "came in and are closed" in said[0]
            (load_id,) = warehouse.rows("select max(load_id) from ledger.load")[0]
            before[load_id] = present(connection)
            assert failed_critical(warehouse.connection) == set()
    assert open_rows(warehouse) == 0
    same(everything(warehouse), right)
    for load_id, state in before.items():
        assert as_known(connection, load_id) == state, load_id
    for _ in range(2):
        warehouse.rebuild()
        same(everything(warehouse), right)
        assert failed_critical(warehouse.connection) == set()
        assert open_rows(warehouse) == 0
        for load_id, state in before.items():
            assert without_clock(as_known(connection, load_id)) == without_clock(state), load_id


def load(warehouse: Warehouse, batch_id: str, **feeds: Any) -> None:
    """Write a batch and load it."""
    write_batch(warehouse.inbox, batch_id, feeds.pop("manifest", None), **feeds)
    warehouse.incremental(1)


def put(**values: str) -> Callable[[Rows], Rows]:
    return lambda row: row | values


def beside(
    admin_url: str, template: str, tmp_path: Path, bring: Callable[[Warehouse], None]
) -> dict[str, Any]:
    """What another warehouse holds into which all was brought right at first."""
    found = {}
    with fresh_warehouse(admin_url, template, tmp_path / "other", tmp_path / "data") as other:
        bring(other)
        found = everything(other)
    return found


def test_rows_of_one_key_rank_as_if_they_had_been_right(
    warehouse: Warehouse, admin_url: str, template: str, tmp_path: Path
) -> None:
    sent = [
        claim(1, 1, paid_amount="1.00"),  # another claim 1 comes below: it waits as a conflict
        claim(1, 1, paid_amount="1.50"),
        claim(2, 2, paid_amount="2.00"),  # stands until the row below is right
        claim(2, 3, paid_amount="two"),
        claim(3, 3),
        claim(3, 3, claim_amount="?"),  # right, it is the same row once more
        claim(4, 4, paid_amount="four"),  # right, it falls behind the row below
        claim(4, 4, paid_amount="4.40"),
        *(claim(4, 4, paid_amount="4.40") for _ in range(2)),
        claim(5, 5),
        claim(6, 6, service_date="never"),
    ]
    mends = {
        2: {"claim_id": "C8"},
        5: {"paid_amount": "2.50"},
        7: {"claim_amount": "30.00"},
        8: {"paid_amount": "4.00"},
        13: {"service_date": "2025-03-03"},
    }
    right = [{**row, **mends.get(line, {})} for line, row in enumerate(sent, start=2)]
    later = [claim(6, 6, paid_amount="6.66"), claim(2, 2, paid_amount="2.22")]

    def bring(to: Warehouse, rows: list[dict[str, Any]]) -> None:
        load(to, "2025-01-10", claims=rows, members=[member(n) for n in range(1, 7)])
        load(to, "2025-01-12", claims=later)

    bring(warehouse, sent)
    state = present(warehouse.connection)
    (path,) = export(warehouse, "2025-01-10")
    rewrite(path, lambda row: row | mends[int(row["_line"])])
    assert replay(warehouse, path) == [
        "4 rows of claims.csv of batch 2025-01-10 came in and are closed.",
        "1 are bad again and stay open: make quarantine says why.",
    ]
    # The row that gave way is open in the place of the one that took its place.
    assert warehouse.rows(
        "select line, reason, left(raw_line, 5) from quality.rejected_row "
        "where closed_at is null order by 1"
    ) == [(4, Reason.CONFLICT.text, "C2,M2"), (8, Reason.CONFLICT.text, "C4,M4")]
    wanted = beside(admin_url, template, tmp_path, lambda other: bring(other, right))
    for _ in range(2):
        assert failed_critical(warehouse.connection) == set()
        same(everything(warehouse), wanted)
        warehouse.rebuild()
    assert without_clock(as_known(warehouse.connection, 2)) == without_clock(state)


def test_files_of_the_same_bytes_are_corrected_alike(
    warehouse: Warehouse, admin_url: str, template: str, tmp_path: Path
) -> None:
    def bring(to: Warehouse, year: str, price: str) -> None:
        """The same files on the first, fifth, sixth and, between the last two, a late batch."""
        feeds = {
            "members": [member(1, year=year, source_updated_at="2026-01-01T00:00:00Z"), member(2)],
            "claims": [claim(1, 1, paid_amount=price), claim(2, 2)],
        }
        load(to, "2025-01-01", **feeds)
        load(to, "2025-01-03", members=[member(1, state="OH")], claims=[claim(1, 1, channel="c")])
        load(to, "2025-01-05", **feeds)
        load(to, "2025-01-07", **feeds)

    def late(to: Warehouse) -> None:
        load(to, "2025-01-06", members=[member(2, state="WI")], claims=[claim(2, 2, channel="d")])

    bring(warehouse, "-", "-")
    assert warehouse.rows("select count(*) from ledger.load_file where status = 'skipped'") == [
        (2,)
    ]
    for path in export(warehouse, "2025-01-01"):
        rewrite(path, put(year="2025") if path.stem == "members" else put(paid_amount="3.00"))
        replay(warehouse, path)
    assert open_rows(warehouse) == 0
    with pytest.raises(UsageError, match="Nothing of batch 2025-01-05 is open"):
        export(warehouse, "2025-01-05")
    late(warehouse)
    assert open_rows(warehouse) == 0

    def bring_right(to: Warehouse) -> None:
        bring(to, "2025", "3.00")
        late(to)

    wanted = beside(admin_url, template, tmp_path, bring_right)
    for _ in range(2):
        assert failed_critical(warehouse.connection) == set()
        same(everything(warehouse), wanted)
        warehouse.rebuild()


DIRTY = [
    claim(1, 1, paid_amount="x"),
    claim(2, 2, service_date="y"),
    claim(3, 3, channel="caf@e9@ and na@e9@f"),
    claim(4, 4, is_oon="maybe", channel=""),
    *(claim(n, n) for n in range(5, 9)),
]


@pytest.fixture
def dirty(warehouse: Warehouse) -> Path:
    """Four claims set aside; their export."""
    folder = write_batch(warehouse.inbox, "2025-01-10", claims=DIRTY)
    file = folder / "claims.csv"
    file.write_bytes(file.read_bytes().replace(b"@e9@", b"\xe9"))
    warehouse.incremental(1)
    (path,) = export(warehouse, "2025-01-10")
    return path


def test_the_export_is_for_one_reader_and_is_never_written_over(
    warehouse: Warehouse, dirty: Path
) -> None:
    assert stat.S_IMODE(dirty.stat().st_mode) == 0o600
    assert stat.S_IMODE(dirty.parent.stat().st_mode) == 0o700
    with dirty.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["_line"], r["_reason"], r["_column"]) for r in rows] == [
        ("2", Reason.NOT_AN_AMOUNT.text, "paid_amount"),
        ("3", Reason.NOT_A_DATE.text, "service_date"),
        ("4", Reason.NOT_UTF8.text, ""),
        ("5", Reason.NOT_A_BOOLEAN.text, "is_oon"),
    ]
    assert rows[2]["channel"] == r"caf\xe9 and na\xe9f"
    assert rows[0]["_advice"] == Reason.NOT_AN_AMOUNT.advice
    with pytest.raises(UsageError, match="is there already"):
        export(warehouse, "2025-01-10")


def test_what_is_left_alone_or_bad_again_stays_open(warehouse: Warehouse, dirty: Path) -> None:
    state = everything(warehouse)
    assert replay(warehouse, dirty) == [
        "4 rows were left as they are and stay open.",
        "The rows of claims.csv of batch 2025-01-10 are none corrected: nothing to load.",
    ]
    assert everything(warehouse) == state
    mends = {
        "2": {"paid_amount": "1.005"},
        "3": {"service_date": "2025-01-09"},
        "4": {"channel": r"café and na\xe9f"},
    }
    rewrite(dirty, lambda row: row | mends[row["_line"]] if row["_line"] in mends else None)
    assert replay(warehouse, dirty) == [
        "1 rows still hold escaped bytes and stay open: write the text that is meant.",
        "1 rows of claims.csv of batch 2025-01-10 came in and are closed.",
        "1 are bad again and stay open: make quarantine says why.",
    ]
    assert warehouse.rows(
        "select line, reason, column_name, closed_at is null, closed_by "
        "from quality.rejected_row order by 1"
    ) == [
        (2, Reason.NOT_AN_AMOUNT.text, "paid_amount", True, None),
        (3, Reason.NOT_A_DATE.text, "service_date", False, 2),
        (4, Reason.NOT_UTF8.text, None, True, None),
        (5, Reason.NOT_A_BOOLEAN.text, "is_oon", True, None),
    ]
    assert failed_critical(warehouse.connection) == set()
    # The same file, corrected further, is good for what is open still.
    rewrite(dirty, lambda row: row | {"paid_amount": "1.01", "channel": "café and naïf"})
    said = replay(warehouse, dirty)
    assert said == ["2 rows of claims.csv of batch 2025-01-10 came in and are closed."]
    assert replay(warehouse, dirty) == [
        "The rows of claims.csv of batch 2025-01-10 were all dealt with before: nothing to load."
    ]
    assert warehouse.rows("select count(*) from ledger.load") == [(3,)]
    dirty.unlink()
    (path,) = export(warehouse, "2025-01-10")
    # Whoever says so has a row taken as it stands, here of no use.
    rewrite(path, put(_as_is="yes"))
    assert "1 are bad again" in replay(warehouse, path)[-1]
    assert open_rows(warehouse) == 1
    assert failed_critical(warehouse.connection) == set()


@pytest.mark.parametrize("how", ["semicolons", "reversed"])
def test_what_a_spreadsheet_does_to_the_file_does_no_harm(
    warehouse: Warehouse, dirty: Path, how: str
) -> None:
    mends = {"paid_amount": "2.00", "service_date": "2025-01-09", "channel": "a,b", "is_oon": "no"}
    with dirty.open(encoding="utf-8-sig") as file:
        names = next(csv.reader(file))
    dialect = {
        "semicolons": {"delimiter": ";", "lineterminator": "\r\n", "quoting": csv.QUOTE_ALL},
        "reversed": {"names": names[::-1], "lineterminator": "\r\n"},
    }[how]
    rewrite(dirty, put(**mends), **dialect)
    dirty.write_bytes(b"\xef\xbb\xbf" + dirty.read_bytes() + b"\r\n")
    assert replay(warehouse, dirty) == [
        "4 rows of claims.csv of batch 2025-01-10 came in and are closed."
    ]
    assert warehouse.rows(
        "select distinct channel, paid_amount::text, is_oon from warehouse.fact_claim "
        "where claim_id <= 'C4'"
    ) == [("a,b", "2.00", False)]


def test_what_is_no_export_is_refused_in_a_sentence(warehouse: Warehouse, dirty: Path) -> None:
    good = dirty.read_text(encoding="utf-8")
    head, first, *_ = good.splitlines()
    number = first.split(",")[0]
    for text, said in (
        ("", "is no export of the quarantine"),
        ("claim_id,paid_amount\nC1,1.00\n", "is no export of the quarantine"),
        (good.replace(",paid_amount", ",paid", 1), "has not the columns of its export"),
        (good + first.replace(number, "", 1) + "\n", "bears no number of the quarantine"),
        (good + first.replace(number, "new", 1) + "\n", "bears no number of the quarantine"),
        (good + first + "\n", "more than once"),
        (good + first.replace(number, "987654", 1) + "\n", "does not hold, the first as number"),
        (head + "\n", "holds no rows"),
        (good.encode().replace(b"caf", b"\xff").decode("latin-1"), ""),
    ):
        if said:
            dirty.write_text(text, encoding="utf-8")
            with pytest.raises(UsageError, match=said):
                replay(warehouse, dirty)
    dirty.write_bytes(good.encode("utf-16"))
    with pytest.raises(UsageError, match="is not UTF-8"):
        replay(warehouse, dirty)
    dirty.unlink()
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        replay(warehouse, dirty)
    assert open_rows(warehouse) == 4
    assert warehouse.rows("select count(*) from ledger.load") == [(1,)]


def test_a_refused_file_is_loaded_with_its_corrections(warehouse: Warehouse) -> None:
    bad = [claim(n, n, paid_amount="-" if n < 4 else "1.00") for n in range(1, 11)]
    write_batch(
        warehouse.inbox,
        "2025-01-10",
        {"files": {"claims.csv": {"totals": {"paid_amount": "8.50"}}}},
        claims=bad,
        members=[member(1)],
    )
    with pytest.raises(RejectThresholdError, match="3 x not a valid amount in paid_amount"):
        warehouse.incremental(0.1)
    (path,) = export(warehouse, "2025-01-10")
    rewrite(path, lambda row: row | {"paid_amount": "0.50"} if row["_line"] == "2" else None)
    with pytest.raises(RejectThresholdError, match="2 x not a valid amount"):
        replay_within(warehouse, path, 0.1)
    assert warehouse.rows("select count(*) from staging.claims_raw") == [(0,)]
    # What was corrected is kept: two are open now, and one more is enough.
    assert open_rows(warehouse) == 2
    path.unlink()
    (path,) = export(warehouse, "2025-01-10")
    rewrite(path, lambda row: row | {"paid_amount": "0.50"} if row["_line"] == "3" else None)
    replay_within(warehouse, path, 0.1)
    assert warehouse.rows("select count(*) from warehouse.fact_claim") == [(9,)]
    assert open_rows(warehouse) == 1
    path.unlink()
    (path,) = export(warehouse, "2025-01-10")
    rewrite(path, put(paid_amount="0.60"))
    # Now whole, the file is held against its manifest.
    with pytest.raises(BatchError, match=r"adds up to 8\.60 where its manifest says 8\.50"):
        replay(warehouse, path)
    assert open_rows(warehouse) == 1
    rewrite(path, put(paid_amount="0.50"))
    replay(warehouse, path)
    assert open_rows(warehouse) == 0
    state = everything(warehouse)
    warehouse.rebuild()
    assert everything(warehouse) == state
    assert failed_critical(warehouse.connection) == set()
    assert warehouse.rows("select note from ledger.load_file where feed = 'claims'")[-1][0] == (
        "2 rows taken as people corrected them"
    )


def replay_within(warehouse: Warehouse, path: Path, reject_share: float) -> None:
    with warehouse.pipeline(reject_share) as pipeline:
        pipeline.replay(path)


def test_a_refused_file_that_is_gone_cannot_be_loaded(warehouse: Warehouse) -> None:
    folder = write_batch(warehouse.inbox, "2025-01-10", claims=[claim(1, 1, paid_amount="-")])
    with pytest.raises(RejectThresholdError):
        warehouse.incremental()
    (path,) = export(warehouse, "2025-01-10")
    rewrite(path, put(paid_amount="1.00"))
    (folder / "claims.csv").write_text("another")
    with pytest.raises(BatchError, match="no longer in the inbox as it was"):
        replay(warehouse, path)
    assert warehouse.rows("select count(*) from quality.correction") == [(0,)]


def test_a_replay_that_is_killed_is_done_by_the_next(warehouse: Warehouse, dirty: Path) -> None:
    rewrite(
        dirty,
        put(paid_amount="2.00", service_date="2025-01-09", channel="d", is_oon="no"),
    )
    state = present(warehouse.connection)
    with connect(warehouse.url, "test", autocommit=False) as blocker:
        # Kept last, when everything else is done and not committed.
        blocker.execute("lock table quality.correction in share mode")
        process = warehouse.start("quarantine-replay", "--file", str(dirty))
        deadline = time.monotonic() + 60
        while not warehouse.rows(
            "select 1 from pg_locks where relation = 'quality.correction'::regclass and not granted"
        ):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
        process.communicate()
    assert present(warehouse.connection) == state
    done = warehouse.command("quarantine-replay", "--file", str(dirty))
    assert done.returncode in (0, 6), done.stderr  # such small feeds break a check or two
    assert "4 rows of claims.csv of batch 2025-01-10 came in" in done.stderr
    assert open_rows(warehouse) == 0
    assert failed_critical(warehouse.connection) == set()
    assert warehouse.rows("select kind, status from ledger.load order by load_id") == [
        ("batch", "loaded"),
        ("replay", "failed"),
        ("replay", "loaded"),
    ]


def test_only_stewards_read_what_was_set_aside(warehouse: Warehouse, dirty: Path) -> None:
    rewrite(dirty, lambda row: row | {"paid_amount": "2.00"} if row["_line"] == "2" else None)
    replay(warehouse, dirty)
    connection = warehouse.connection
    assert warehouse.rows("select count(*) from quality.correction") == [(1,)]
    try:
        connection.execute("create role test_analyst")
        connection.execute("create role test_steward in role aca_data_steward")
        connection.execute("grant usage on schema quality to test_analyst")
        connection.execute("grant select on all tables in schema quality to test_analyst")
        for role, sees in (("test_analyst", 0), ("test_steward", 1)):
            with connection.transaction():
                connection.execute(f"set local role {role}")
                (lines,) = warehouse.rows("select count(raw_line) from quality.rejected_row")[0]
                assert lines == 4 * sees
                assert warehouse.rows("select count(*) from quality.quarantined_line") == [
                    (4 * sees,)
                ]
                assert warehouse.rows("select count(*) from quality.correction") == [(sees,)]
                assert warehouse.rows("select sum(rows_open) from quality.quarantine_open") == [
                    (3,)
                ]
        connection.execute("set role test_steward")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from quality.correction")
    finally:
        connection.execute("reset role")
        for role in ("test_analyst", "test_steward"):
            connection.execute(f"drop owned by {role}")
            connection.execute(f"drop role {role}")


def test_a_row_of_a_snapshot_that_comes_back_as_it_was_before_is_held_as_first_told(
    warehouse: Warehouse,
) -> None:
    load(warehouse, "2025-01-10", claims=[claim(1, 1), claim(2, 2)])
    of_claims = {"files": {"claims.csv": {"kind": "snapshot"}}}
    cut = [claim(1, 1), claim(2, 2, paid_amount="x")]
    load(warehouse, "2025-02-10", manifest=of_claims, claims=cut)
    held = "select claim_id, load_id from warehouse.fact_claim order by 1"
    assert warehouse.rows(held) == [("C1", 1), ("C2", 1)]
    (path,) = export(warehouse, "2025-02-10", "claims")
    rewrite(path, lambda row: row | {"paid_amount": "2.10"})
    replay(warehouse, path)
    assert warehouse.rows(held) == [("C1", 1), ("C2", 1)]
    assert failed_critical(warehouse.connection) == set()
    before = warehouse.rows("select * from warehouse.fact_claim_history order by 1")
    warehouse.rebuild()
    assert len(warehouse.rows("select * from warehouse.fact_claim_history")) == len(before)
    assert failed_critical(warehouse.connection) == set()


def test_an_export_names_the_file_and_its_own_line_and_keeps_every_sign(
    warehouse: Warehouse,
) -> None:
    rows = [claim(n, n) for n in range(1, 9)] + [claim(9, 9, channel="@")]
    folder = write_batch(warehouse.inbox, "2025-01-10", claims=rows)
    head, *lines = (folder / "claims.csv").read_text().splitlines(keepends=True)
    (folder / "claims.csv").unlink()
    for number, of_part in ((1, lines[:7]), (2, lines[7:])):
        text = head + "".join(of_part).replace("@", '"5" pipe')
        (folder / f"claims_{number}.csv").write_text(text)
    warehouse.incremental(1)
    (path,) = export(warehouse, "2025-01-10", "claims")
    with path.open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["_file"], row["_line"], row["channel"]) == ("claims_2.csv", "3", '"5" pipe')


def test_the_commands_say_what_to_do(warehouse: Warehouse) -> None:
    done = warehouse.command("quarantine")
    assert (done.returncode, "Run make migrate" in done.stderr) == (8, True)
    warehouse.incremental()
    for arguments, code, said in (
        (("quarantine",), 0, "Nothing is open in the quarantine."),
        (("quarantine-export",), 2, "Which batch is meant?"),
        (("quarantine-export", "--batch", "x"), 2, "No batch 'x' was ever loaded."),
        (("quarantine-export", "--batch", "x", "--feed", "y"), 2, "There is no feed 'y'."),
        (("quarantine-replay",), 2, "Which file is meant?"),
        (("quarantine-replay", "--file", "/nowhere.csv"), 2, "/nowhere.csv cannot be read"),
    ):
        done = warehouse.command(*arguments)
        assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done
    load(warehouse, "2025-01-10", claims=DIRTY[:2], members=[member(1)])
    done = warehouse.command("quarantine")
    for said in ("claims.csv", "not a valid amount", "paid_amount", "make quarantine-export BATCH"):
        assert said in done.stdout
    done = warehouse.command("quarantine-export", "--batch", "2025-01-10", "--feed", "claims")
    path = warehouse.data / "quarantine" / "2025-01-10" / "claims.csv"
    assert done.returncode == 0, done.stderr
    assert f"make quarantine-replay FILE={path}" in done.stdout
    assert path.is_file()
    with warehouse.pipeline():
        done = warehouse.command("quarantine-replay", "--file", str(path))
        assert done.returncode == 7
        # Looking waits for nobody.
        assert warehouse.command("quarantine").returncode == 0
