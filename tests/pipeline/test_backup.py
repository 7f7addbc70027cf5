"""Backups of the embedded server, restored: the same to the last row, or nothing at all."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from etl.errors import RestoreError
from etl.operations.backup import store
from tests.support.backups import Site, flip, site


@pytest.fixture
def here() -> Iterator[Site]:
    with site() as made:
        yield made


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
