"""Backups of the embedded server, restored: the same to the last row, or nothing at all."""

from __future__ import annotations

import random
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from types import SimpleNamespace

import psycopg
import pyrage
import pytest
from psycopg import sql

from etl.access.erasure import Tokens
from etl.config import Settings
from etl.db.connection import connect
from etl.errors import RestoreError, UsageError
from etl.operations.backup import restore as restores
from etl.operations.backup import store
from etl.operations.backup.drill import drill
from etl.operations.backup.restore import confirm, restore, undo
from etl.operations.backup.take import take
from etl.pipeline import archive_staging, commands, erase
from etl.server import exchange, server
from etl.warehouse import staging
from tests.support.backups import Site, flip, site
from tests.support.feeds import write_batch
from tests.support.managed import Managed
from tests.support.watching import Silent


@pytest.fixture
def here() -> Iterator[Site]:
    with site() as made:
        yield made


@pytest.mark.slow
def test_chain_is_restored_as_it_was_and_the_database_before_it_is_kept(here: Site) -> None:
    here.ask("create table public.seen (n bigint, j json)")
    here.ask("insert into public.seen select n, '{}' from generate_series(1, 1000) as n")
    full = here.backup()
    here.ask("update public.seen set n = -n where n > 990")
    last = here.backup()
    assert (full.label.kind, last.label.kind) == ("full", "incremental")
    assert (last.label.parent, last.bytes < full.bytes) == (full.name, True)
    here.ask("drop table public.seen")

    restored = here.restore()
    assert restored.backup.name == last.name
    assert here.ask("select sum(n) from public.seen") == sum(range(1, 991)) - sum(range(991, 1001))
    listed = "select string_agg(kind || (proven_at is not null), ' ' order by started_at) from "
    assert here.ask(f"{listed} ledger.backup") == "fullfalse incrementaltrue"
    assert here.leftovers() == []

    here.restore(full.name)
    assert here.ask("select sum(n) from public.seen") == sum(range(1, 1001))
    # A restored database has a log of its own, on which no older backup goes on.
    assert here.backup().label.kind == "full"


@pytest.mark.slow
def test_undone_restore_brings_back_what_was_replaced_without_who_was_erased_since(
    here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="nothing to undo"):
        undo(here.settings, Silent())
    here.load("2025-01-01", "M1")
    here.backup()
    here.load("2025-01-02", "M2")
    loaded = "select string_agg(batch_id, ' ' order by load_id) from ledger.load"
    assert here.restore().due == ["2025-01-02"]
    with here.run() as context:
        erase.erase(context, "M1", "asked")

    # Without the key nobody can be erased, and nothing changes places.
    folder = here.settings.data / "erasure"
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(RestoreError, match="could not be applied"):
        undo(here.settings, Silent())
    assert here.ask(loaded) == "2025-01-01"
    folder.with_name("elsewhere").rename(folder)

    # Right after the exchange, nothing of theirs is live.
    theirs = "select count(*) from staging.members_raw where member_id = 'M1'"
    at_once: list[object] = []
    monkeypatch.setattr(
        restores, "_bring_back_replicas", lambda *_: at_once.append(here.ask(theirs))
    )
    undone = undo(here.settings, Silent())
    assert at_once == [0]
    assert (undone.due, undone.lost) == ([], [])
    assert "kept-" in undone.kept
    assert here.ask(loaded) == "2025-01-01 2025-01-02"
    assert here.ask("select count(*) from staging.members_raw where member_id = 'M1'") == 0
    assert here.ask("select count(*) from staging.members_raw where member_id = 'M2'") == 1
    assert here.leftovers() == []

    # What is written now is on the line of the log from before the restore.
    assert here.backup().label.kind == "incremental"
    assert undo(here.settings, Silent()).due == ["2025-01-02"]
    assert here.ask(loaded) == "2025-01-01"
    confirm(here.settings)
    with pytest.raises(UsageError, match="nothing to undo"):
        undo(here.settings, Silent())


@pytest.mark.slow
def test_kills_at_any_moment_of_an_undo_leave_one_of_the_two_databases_live(here: Site) -> None:
    here.ask("create table public.seen as select 1 as n")
    here.backup()
    here.ask("update public.seen set n = 2")
    here.restore()
    draw, longest, seen = random.Random("undo"), 1.0, set()
    for _ in range(20):
        started = time.monotonic()
        process = here.start("restore", "--undo")
        with suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0, longest))
        if process.poll() is None:
            process.kill()
        elif process.poll() == 0:
            longest = time.monotonic() - started
        process.ended()
        longest *= 1.2
        seen.add(here.ask("select n from public.seen"))
        assert here.leftovers() == []
        assert len(exchange.kept(server.home_of(here.settings))) == 1
    assert seen == {1, 2}
    before = here.ask("select n from public.seen")
    undo(here.settings, Silent())
    assert here.ask("select n from public.seen") == 3 - before


@pytest.mark.slow
def test_flipped_bit_in_any_file_of_a_chain_is_found_and_nothing_changes(here: Site) -> None:
    here.ask("create table public.seen as select * from generate_series(1, 1000) as n")
    full = here.backup()
    here.ask("insert into public.seen values (0)")
    here.backup()
    here.restore()
    here.ask("create table public.live ()")
    files = [file for one in here.backups() for file in sorted(one.folder.iterdir())]
    names = {"base.tar.gz", "log.tar.gz", "backup_manifest", "backup.json", "proven.json"}
    assert names <= {file.name for file in files}
    draw = random.Random(1)
    for file in files:
        kept = file.read_bytes()
        if not kept:
            continue
        for _ in range(3):
            flip(file, draw.randrange(len(kept)))
            with pytest.raises(RestoreError, match=r"damaged|gone"):
                here.restore(here_last(full, here))
            file.write_bytes(kept)
    assert here.ask("select count(*) from public.live") == 0


def here_last(full: store.Backup, here: Site) -> str:
    """The name of the incremental backup, also while it cannot be read."""
    names = [p.name for p in here.settings.backups.iterdir() if p.is_dir() and p.name != full.name]
    return names[0]


@pytest.mark.slow
def test_moment_before_a_dropped_schema_is_restored_and_later_batches_are_named() -> None:
    with site(archive_log=True) as here:
        here.load("2025-01-01", "M1")
        here.backup()
        here.load("2025-01-02", "M2")
        before = here.ask("select clock_timestamp()::text")
        here.load("2025-01-03", "M3")
        here.ask("drop schema warehouse cascade")
        here.ask("select pg_switch_wal()")

        restored = here.restore(at=before)
        assert not restored.is_short
        members = "select string_agg(member_id, ' ' order by member_id) from warehouse.dim_member"
        assert here.ask(f"{members} where member_sk > 0") == "M1 M2"
        assert (restored.due, restored.lost) == (["2025-01-03"], [])
        assert not here.ask("select pg_is_in_recovery()")

        # The restored database writes a line of its own, which is kept as well.
        here.load("2025-01-04", "M4")
        later = here.ask("select clock_timestamp()::text")
        here.ask("drop schema warehouse cascade")
        restored = here.restore(at=later)
        assert here.ask(f"{members} where member_sk > 0") == "M1 M2 M3 M4"

        beyond = here.restore(at="2999-01-01")
        assert beyond.is_short
        assert here.ask("select to_regclass('warehouse.dim_member')") is not None
        with pytest.raises(RestoreError, match="No backup is from before"):
            here.restore(at="2001-01-01")
        assert here.backup().label.kind == "full"


@pytest.mark.slow
def test_encrypted_backup_needs_the_private_key_of_a_recipient() -> None:
    ours, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    with site(recipients=(str(ours.to_public()), str(other.to_public()))) as here:
        here.ask(
            "create table public.seen as select 'SECRET-' || n as s from generate_series(1, 9) n"
        )
        made = here.backup()
        assert {p.name for p in made.folder.iterdir()} >= {"base.tar.gz.age", "log.tar.gz.age"}
        here.ask("drop table public.seen")
        key = here.settings.data / "key.txt"
        for text, said in (
            (str(pyrage.x25519.Identity.generate()), "not encrypted to"),
            ("nothing", "no private key of age"),
        ):
            key.write_text(text)
            with pytest.raises(RestoreError, match=said):
                here.with_backup(identity=key).restore()
        with pytest.raises(RestoreError, match="no private key is named"):
            here.restore()
        key.write_text(f"# created by somebody\n{other}\n")
        here.with_backup(identity=key).restore()
        assert here.ask("select count(*) from public.seen") == 9


@pytest.mark.slow
def test_members_erased_since_a_backup_are_erased_in_what_is_restored(here: Site) -> None:
    here.load("2025-01-01", "M1")
    here.backup()
    with here.run() as context:
        erase.erase(context, "M1", "asked")
    named = "select count(*) from staging.members_raw where member_id = 'M1'"
    assert here.ask(named) == 0
    key = here.settings.data / "erasure" / "key"
    kept = key.read_text()
    key.unlink()
    with pytest.raises(RestoreError, match="The key of erasures"):
        here.restore()
    key.write_text(kept)
    here.restore()
    assert here.ask(named) == 0
    assert here.ask("select count(*) from access.erased") == 1


@pytest.mark.slow
@pytest.mark.parametrize("is_encrypted", [False, True])
def test_rows_of_staging_in_files_come_back_with_a_backup(
    here: Site, monkeypatch: pytest.MonkeyPatch, is_encrypted: bool
) -> None:
    monkeypatch.setattr(staging, "MOST_LOADS", 1)
    if is_encrypted:
        identity = pyrage.x25519.Identity.generate()
        key = here.settings.data / "key.txt"
        key.write_text(f"{identity}\n")
        key.chmod(0o600)
        here = here.with_backup(recipients=(str(identity.to_public()),), identity=key)
    rows = "select string_agg(claim_id, ' ' order by claim_id) from staging.claims_raw"
    for day in ("2025-01-01", "2025-01-02", "2025-01-03"):
        claims = [{"claim_id": day, "member_id": "M1", "service_date": day}]
        write_batch(here.settings.inbox, day, claims=claims)
        with here.run() as context:
            commands.run_stages(context, ("stage", "dims", "facts"))
            commands.run_cubes(context)
    with here.run() as context:
        archive_staging.archive(context, date(2100, 1, 1), confirmed=True)
    place = here.settings.staging_archive
    files = sorted(path.name for path in place.iterdir())
    assert (here.ask(rows), len(files)) == (None, 3)
    here.backup(full=True)

    # A drill reads the files and leaves them alone.
    drill(here.settings, Silent())
    assert sorted(path.name for path in place.iterdir()) == files
    # Brought back since, and so no longer in any file: a restored database asks for them.
    with here.run() as context:
        archive_staging.bring_back(context)
    assert here.ask(rows) == "2025-01-01 2025-01-02 2025-01-03"
    assert list(place.iterdir()) == []
    here.backup()
    here.restore(here.backups()[0].name)
    here.restore(next(b.name for b in here.backups() if b.label.kind == "full"))
    assert here.ask(rows) is None
    assert sorted(path.name for path in place.iterdir()) == files
    with here.run() as context:
        archive_staging.bring_back(context)
    assert here.ask(rows) == "2025-01-01 2025-01-02 2025-01-03"


@pytest.mark.slow
def test_older_backup_is_refused_with_another_key_than_that_of_its_tokens(here: Site) -> None:
    here.load("2025-01-01", "M1")
    before = here.backup()
    with here.run() as context:
        erase.erase(context, "M1", "asked")
    after = here.backup()
    folder = here.settings.data / "erasure"
    kept = {file.name: file.read_bytes() for file in folder.iterdir()}

    def files() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    # As on a machine with a key of its own, of which a list knows or does not.
    (folder / "key").write_text("ab" * 32)
    lists = [kept, {}, {"key-check": Tokens(bytes.fromhex("ab" * 32)).key_check.encode()}]
    for found in lists:
        for name in ("key-check", "erased"):
            (folder / name).unlink(missing_ok=True)
            if name in found:
                (folder / name).write_bytes(found[name])
        there = files()
        with pytest.raises(RestoreError, match=r"The key of erasures, .*, is another one"):
            here.restore(after.name if found else before.name)
        assert files() == there
        assert here.ask("select count(*) from access.erased") == 1
        assert here.leftovers() == []
    # The list of the last one knows this key alone: the backups know the other.
    done = here.start("restore", "--backup", before.name).ended()
    assert (done.returncode, done.stderr.count("is another one")) == (9, 1)

    for name, content in kept.items():
        (folder / name).write_bytes(content)
    here.restore(before.name)
    assert here.ask("select count(*) from staging.members_raw where member_id = 'M1'") == 0


@pytest.mark.slow
def test_lost_disk_is_restored_from_the_backups_alone(here: Site) -> None:
    here.load("2025-01-01", "M1")
    kept = here.settings.data.parent / "kept"
    here = here.with_backup(folder=kept)
    here.backup()
    server.remove(here.settings)
    shutil.rmtree(here.settings.data)
    here.restore()
    assert here.ask("select count(*) from warehouse.dim_member where member_sk > 0") == 1


@pytest.mark.slow
def test_without_room_nothing_is_begun(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    with pytest.raises(UsageError, match="1 MiB free"):
        here.backup()
    assert [p.name for p in here.settings.backups.iterdir()] == ["lock"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["backup", "restore"])
def test_kills_at_any_moment_leave_the_data_and_the_proven_backup(here: Site, command: str) -> None:
    here.load("2025-01-01", "M1")
    proven = here.backup()
    here.restore()
    here.ask("create table public.seen as select * from generate_series(1, 1000) as n")
    here.backup()
    draw, longest = random.Random(command), 1.0
    for _ in range(20):
        started = time.monotonic()
        process = here.start(command)
        with suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0, longest))
        if process.poll() is None:
            process.kill()
        elif process.poll() == 0:
            longest = time.monotonic() - started
        process.ended()
        longest *= 1.2
        assert here.ask("select sum(n) from public.seen") == 500500
        for backup in here.backups():
            store.verify(backup)
    assert proven.name in [one.name for one in here.backups() if one.proven_at]
    here.restore(proven.name)
    assert here.ask("select to_regclass('public.seen')") is None
    here.restore()
    assert here.ask("select sum(n) from public.seen") == 500500
    assert here.leftovers() == []
    assert [p.name for p in here.settings.backups.glob("*.partial")] == []


@pytest.mark.slow
def test_dump_of_another_server_is_drilled_on_a_second_one_and_restored_next_to_it(
    managed: Managed,
) -> None:
    managed.send("2025-01-01", members=[{"member_id": "M1"}])
    managed.incremental()
    settings = Settings(managed.address, managed.inbox, managed.data, 0.05)
    made = take(settings, print)
    assert made.label.kind == "dump"
    assert "password" not in (made.folder / "roles.sql").read_text().lower()
    drilled = drill(settings, Silent())
    assert (drilled.backup.name, drilled.rto_seconds > 0) == (made.name, True)
    rows = "select succeeded, message from ledger.drill"
    assert managed.rows(rows) == [(True, "Every table and report came out as in the backup.")]

    with pytest.raises(RestoreError, match="may not create a database"):
        restore(settings, Silent())
    managed.admin.execute(sql.SQL("alter role {} createdb").format(sql.Identifier(managed.owner)))
    managed.send("2025-01-02", members=[{"member_id": "M2"}])
    managed.incremental()
    with pytest.raises(RestoreError, match="may not end use the database managed"):
        restore(settings, Silent())
    managed.admin.close()
    restored = restore(settings, Silent())
    assert restored.due == ["2025-01-02"]
    with connect(managed.address, "test") as connection:
        members = "select member_id from warehouse.dim_member where member_sk > 0"
        assert connection.execute(members).fetchall() == [("M1",)]

    def members_now() -> list[tuple[str]]:
        with connect(managed.address, "test") as connection:
            return connection.execute(f"{members} order by 1").fetchall()

    assert undo(settings, Silent()).due == []
    assert members_now() == [("M1",), ("M2",)]
    assert undo(settings, Silent()).due == ["2025-01-02"]
    assert members_now() == [("M1",)]
    assert [name.rpartition("_kept_")[0] for name in confirm(settings)] == ["managed"]


@pytest.mark.slow
def test_backup_while_others_write_is_of_one_state(here: Site) -> None:
    here.ask("create table public.one (n bigint)")
    here.ask("create table public.other (n bigint)")
    url, is_over = here.url, threading.Event()

    def write() -> None:
        with psycopg.connect(url, autocommit=True) as session:
            while not is_over.is_set():
                with session.transaction():
                    session.execute("insert into public.one select generate_series(1, 10)")
                    session.execute("insert into public.other values (1)")

    with psycopg.connect(url) as long, ThreadPoolExecutor() as writers:
        long.execute("insert into public.one values (0)")  # still open at the mark
        done = [writers.submit(write) for _ in range(2)]
        made = here.backup()
        is_over.set()
        for writer in done:
            writer.result()
    here.restore()
    rows = {name: made.label.tables[f"public.{name}"][0] for name in ("one", "other")}
    assert rows["one"] == 10 * rows["other"] > 0
    assert here.ask("select count(*) from public.one") == rows["one"]
