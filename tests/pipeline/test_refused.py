"""What is refused or waits is said first, by every command that says how things are."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
import pytest

from etl.cli import guard
from etl.config import Settings
from etl.errors import AlreadyRunningError, BatchError, CheckFailedError
from etl.inbox.batch import look_through
from etl.inbox.refused import REFUSED, STOPPED, WAITING
from etl.pipeline import commands, console, guards, screen, status_screen, stopping
from etl.pipeline.running import refuse_to_end_run
from etl.pipeline.session import RunContext, utc_now
from etl.pipeline.status import held_in
from etl.quality.report import read_report
from etl.quality.report_page import quality_page
from etl.server.server import Status
from tests.support.page_parts import read_page
from tests.support.warehouse import Warehouse

HOSTILE = "2025-01-04 [x] [red]:smile: \x1b[2J\u202e"
SHOWN = r"2025-01-04 [x] [red]:smile: \x1b[2J\u202e"


def send(warehouse: Warehouse, folder: str, manifest: str | None = None) -> Path:
    made = warehouse.send(folder, providers=[{"provider_id": folder[:10]}])
    if manifest is not None:
        (made / "manifest.json").write_text(manifest)
    return made


def load(warehouse: Warehouse) -> None:
    warehouse.run(commands.run_stages, ("stage", "dims", "facts"))


def check(warehouse: Warehouse) -> list[str]:
    """What dq-check prints; the checks themselves do not run."""
    warehouse.run(commands.dq_check)
    return warehouse.watcher.said


def held(warehouse: Warehouse) -> list[tuple[str, str]]:
    return [(b.folder, b.state) for b in warehouse.overview().held]


def test_status_names_a_refused_batch_until_it_is_settled(warehouse: Warehouse) -> None:
    send(warehouse, "2025-01-01")
    load(warehouse)
    assert check(warehouse) == []
    # Before the next run: an unreadable folder is refused, the others wait.
    send(warehouse, "2025-01-02", manifest="{")
    (send(warehouse, "2025-01-03") / "providers.csv").write_bytes(b"provider_id\nA\n")
    send(warehouse, HOSTILE, manifest='{"files": 7}')
    send(warehouse, "2025-01-05")
    waiting = [("2025-01-03", WAITING), ("2025-01-05", WAITING)]
    assert held(warehouse) == [("2025-01-02", REFUSED), (SHOWN, REFUSED), *waiting]
    with pytest.raises(BatchError, match="3 batches are not in the warehouse"):
        load_and_check(warehouse)
    assert sorted(held(warehouse)) == [
        ("2025-01-02", REFUSED),
        ("2025-01-03", REFUSED),
        (SHOWN, REFUSED),
    ]
    # Each leaves one record, also where no load began and however often it is tried.
    for _ in range(2):
        with pytest.raises(BatchError):
            load(warehouse)
    assert warehouse.rows(
        "select folder, load_id is null, reason like '%' || left(folder, 10) || '%', "
        "advice <> '', settled_at is null, refusal_code from ledger.refused_batch order by folder"
    ) == [
        ("2025-01-02", True, True, True, True, "bad_manifest"),
        ("2025-01-03", False, True, True, True, "wrong_header"),
        (SHOWN, True, True, True, True, "bad_manifest"),
    ]
    codes = "select error_code from ledger.load where status = 'failed'"
    assert set(warehouse.rows(codes)) == {("wrong_header",)}
    assert "(wrong_header)" in warehouse.command("status").stdout
    # Settled: deleted, renamed so that it is no batch, or loaded.
    shutil.rmtree(warehouse.inbox / "2025-01-02")
    (warehouse.inbox / HOSTILE).rename(warehouse.inbox / "_aside")
    shutil.rmtree(warehouse.inbox / "2025-01-03")
    send(warehouse, "2025-01-03")
    with pytest.raises(BatchError, match=r"A batch is not in the warehouse .*: 2025-01-03"):
        check(warehouse)
    load(warehouse)
    assert check(warehouse) == []
    assert held(warehouse) == []
    assert warehouse.rows("select count(*) from ledger.refused_batch where settled_at is null") == [
        (0,)
    ]


def load_and_check(warehouse: Warehouse) -> None:
    with pytest.raises(BatchError):
        load(warehouse)
    check(warehouse)


def test_status_names_a_batch_stopped_by_a_gate_until_it_is_loaded(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(warehouse, "2025-01-01")
    send(warehouse, "2025-01-02")

    def stop(_: RunContext, stage: str, *__: object) -> None:
        if stage == "dims":
            raise CheckFailedError("The work on the batch was rolled back.", "Look for a cause.")

    with monkeypatch.context() as patched:
        patched.setattr(RunContext, "gate_load", stop)
        with pytest.raises(CheckFailedError):
            load(warehouse)
    assert held(warehouse) == [("2025-01-01", STOPPED), ("2025-01-02", WAITING)]
    assert warehouse.value("select refusal_code from ledger.refused_batch") == "gate_failed"
    with pytest.raises(BatchError, match="A batch is not in the warehouse"):
        check(warehouse)
    load(warehouse)
    assert check(warehouse) == []
    assert held(warehouse) == []


def test_status_names_the_batch_at_which_a_run_failed(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(warehouse, "2025-01-01")

    def break_down(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(guards, "guard_snapshots", break_down)
        with pytest.raises(ZeroDivisionError):
            load(warehouse)
    [batch] = warehouse.overview().held
    assert (batch.folder, batch.state) == ("2025-01-01", REFUSED)
    assert "ZeroDivisionError" in batch.reason
    load(warehouse)
    assert held(warehouse) == []


def test_names_with_terminal_escapes_are_shown_escaped(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse.send(
        "2025-01-03",
        {"batch_id": "[/x] [x] [red]:smile:"},
        providers=[{"provider_id": "A"}, *[{"provider_id": f"B{n}"} for n in range(30)]],
    )
    with (warehouse.inbox / "2025-01-03" / "providers.csv").open("a") as file:
        file.write("short\n")
    load(warehouse)
    send(warehouse, HOSTILE, manifest="{")
    settings = Settings(warehouse.url, warehouse.inbox, warehouse.data, 0.05)
    status = Status(False, True, 5432, "18", None, None)
    capsys.readouterr()
    status_screen.show_status(status, settings, warehouse.overview())
    rows = warehouse.connection.execute(
        "select batch_id, file, is_refused, reason, column_name, rows_open, first_line, since "
        "from quality.quarantine_open"
    ).fetchall()
    console.show_quarantine(rows)
    _, [error] = look_through(warehouse.inbox)
    screen.show_error(error)
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith(f"Refused  batch {SHOWN}: manifest.json of batch ")
    assert out.count("[/x]") >= 4  # of its stages and its rejected row
    assert f"batch {SHOWN} cannot be used" in err
    assert "\x1b" not in out + err
    assert "\u202e" not in out + err


def test_report_page_begins_with_what_is_refused(warehouse: Warehouse) -> None:
    send(warehouse, "2025-01-01")
    load(warehouse)
    warehouse.connection.execute("insert into quality.check_run (finished_at) values (now())")
    send(warehouse, "2025-01-02 <b>", manifest="{")
    with warehouse.pipeline():
        pass
    seen = quality_page(read_report(warehouse.connection, held=held_in(warehouse.inbox, utc_now())))
    parts = read_page(seen)
    assert parts.wrong == []
    assert parts.ids.index("held") < parts.ids.index("score")
    assert "manifest.json of batch 2025-01-02 &lt;b&gt; cannot be used" in seen


def test_blocked_command_names_the_running_one(warehouse: Warehouse) -> None:
    refuse_to_end_run(warehouse.url, command="down")
    with warehouse.pipeline():
        with pytest.raises(
            AlreadyRunningError, match=r"make test by .+, process \d+, since 2"
        ) as e:
            refuse_to_end_run(warehouse.url, command="down")
        assert "make down FORCE=yes" in e.value.hint
        # Also from another database of the server, which is stopped as a whole.
        with pytest.raises(AlreadyRunningError):
            refuse_to_end_run(warehouse.url.rsplit("/", 1)[0] + "/postgres", command="down")
        assert "make test by" in warehouse.overview().running[0]
        second = warehouse.command("incremental")
    assert second.returncode == 7
    assert "Another run is working on this warehouse.\nIt is make test by " in second.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("incremental", "it continues from the last stage that was done"),
        ("dims", "it continues from the last stage that was done"),
        ("full-load", "it begins again from the first batch"),
        ("quarantine-replay", "no row comes in twice"),
        ("", "Run it again."),
    ],
)
@pytest.mark.parametrize("error", [KeyboardInterrupt, psycopg.errors.InternalError])
def test_stopped_command_says_what_the_next_one_does(
    capsys: pytest.CaptureFixture[str], error: type[BaseException], command: str, said: str
) -> None:
    def call() -> None:
        guard.at_work.set(command)
        raise error

    assert guard.guarded(call) == (stopping.INTERRUPTED if error is KeyboardInterrupt else 1)
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_missing_inbox_settles_no_refusal_and_fails_its_readers(warehouse: Warehouse) -> None:
    send(warehouse, "2025-01-01")
    load(warehouse)
    send(warehouse, "2025-01-02", manifest="{")
    with pytest.raises(BatchError):
        load(warehouse)
    aside = warehouse.inbox.rename(warehouse.inbox.parent / "aside")
    assert held(warehouse) == [("the inbox", REFUSED), ("2025-01-02", REFUSED)]
    with warehouse.pipeline() as pipeline, pytest.raises(BatchError, match="files of it are"):
        commands.dq_check(pipeline)
    for command in ("incremental", "full-load"):
        said = warehouse.command(command)
        assert said.returncode == BatchError.exit_code, said.stderr
        assert "is not there, and files of it are loaded" in said.stderr
    assert warehouse.command("cubes").returncode == 0
    aside.rename(warehouse.inbox)
    assert held(warehouse) == [("2025-01-02", REFUSED)]
    with pytest.raises(BatchError, match="2025-01-02"):
        check(warehouse)
