"""Dirty batches through the pipeline: what was put in is what is found, to the line."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
import xxhash

from etl.errors import BatchError
from etl.pipeline import commands
from etl.synthetic.core.known_feeds import FEEDS
from etl.synthetic.defects.dirt import KINDS, LOADED, REFUSED, REJECTED, Defect, parse
from etl.synthetic.defects.injector import DefectInjector
from tests.support.blocks import block_of, drawn_rows
from tests.support.warehouse import Warehouse

ROWS, SEED = 600, 5
ROW_KINDS = [k for k in KINDS.values() if not k.whole_file and not k.of_set]
FATAL = [k.name for k in KINDS.values() if k.outcome == REFUSED]
# Where every row's amounts can be read, the pipeline compares them with the manifest.
SUMMABLE = [k.name for k in ROW_KINDS if k.outcome != REJECTED or k.adds]
HARMLESS = "byte_order_mark,crlf,extra_column,line_feed,missing_field,duplicate"


@dataclass
class Sent:
    """What a file contains, according to its injector."""

    rows: int = 0
    duplicates: int = 0
    loaded: list[tuple[str, ...]] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)

    def lines(self, outcome: str) -> list[int]:
        return sorted(d.line for d in self.defects if d.outcome == outcome and d.line > 1)


def send(inbox: Path, day: date, dirt: str, *feeds: str, compressed: bool = False) -> dict:
    """Write a batch with the manifest of its sender; what was sent, by feed."""
    folder = inbox / day.isoformat()
    folder.mkdir()
    files, found = {}, {}
    for feed in feeds:
        source, sent = FEEDS[feed], Sent()
        injector = DefectInjector(parse(dirt), SEED, (day - date(1970, 1, 1)).days, source)
        data, totals = injector.header(), Counter(dict.fromkeys(source.money, 0))
        clean = drawn_rows(feed, ROWS)
        for rows in (clean[:250], clean[250:]):
            dirty = injector.inject(block_of(source, rows))
            data += dirty.data
            totals.update(dirty.totals)
            sent.rows += dirty.rows
            sent.duplicates += dirty.duplicates
            sent.defects += dirty.defects
            gone = set(dirty.rejected.tolist())
            for position, row in enumerate(rows):
                changes = {c: v[position] for c, v in dirty.changed.items() if position in v}
                new = row | {c: v.decode() for c, v in changes.items()}
                if position not in gone:
                    sent.loaded.append(tuple(new.values()))
            sent.loaded += [tuple(v.decode() for v in row.values()) for row in dirty.added]
        path = folder / (source.file_name + (".gz" if compressed else ""))
        path.write_bytes(gzip.compress(data, mtime=0) if compressed else data)
        files[path.name] = {
            "kind": "delta",
            "rows": sent.rows,
            "xxh3_128": xxhash.xxh3_128_hexdigest(path.read_bytes()),
            "totals": {c: f"{n // 100}.{n % 100:02d}" for c, n in totals.items()},
        }
        sent.defects += injector.finish(path)
        found[feed] = sent
    (folder / "manifest.json").write_text(json.dumps({"files": files}), encoding="utf-8")
    return found


def staged(warehouse: Warehouse, feed: str, day: date) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and values as text of each row in staging."""
    instant = "to_char({} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    values = ", ".join(
        f"coalesce({instant.format(c.name) if c.name == 'source_updated_at' else c.name}::text, '')"
        for c in FEEDS[feed].columns
    )
    for line, *row in warehouse.rows(
        f"select source_line, {values} from staging.{feed}_raw "
        f"where load_id = (select load_id from ledger.load where batch_id = '{day}')"
    ):
        yield line, tuple(row)


def test_every_injected_defect_is_found_at_its_line(warehouse: Warehouse):
    batches = {
        date(2025, 3, 1): (",".join(k.name for k in ROW_KINDS), False),
        date(2025, 3, 2): (",".join([*SUMMABLE, "0.03"]), True),
        date(2025, 3, 3): (HARMLESS, False),
        date(2025, 3, 4): ("0.05", False),
    }
    sent = {
        day: send(warehouse.inbox, day, dirt, *FEEDS, compressed=compressed)
        for day, (dirt, compressed) in batches.items()
    }
    put_in = {d.kind for files in sent.values() for file in files.values() for d in file.defects}
    assert put_in == KINDS.keys() - {*FATAL, "late_set"}
    warehouse.run(commands.run_stages, ("stage",))
    counted = {
        (day, feed): counts
        for day, feed, *counts in warehouse.rows(
            "select as_of::date, feed, f.status, rows_read, rows_rejected, rows_duplicate, "
            "rows_loaded from ledger.load_file as f join ledger.load using (load_id)"
        )
    }
    assert counted == {
        (day, feed): [
            "loaded",
            file.rows,
            len(file.lines(REJECTED)),
            file.duplicates,
            len(file.loaded),
        ]
        for day, files in sent.items()
        for feed, file in files.items()
    }
    quarantine = Counter(
        warehouse.rows(
            "select as_of::date, feed, line from quality.rejected_row "
            "join ledger.load using (load_id)"
        )
    )
    assert quarantine == Counter(
        (day, feed, line)
        for day, files in sent.items()
        for feed, file in files.items()
        for line in file.lines(REJECTED)
    )
    for day, files in sent.items():
        for feed, file in files.items():
            found = dict(staged(warehouse, feed, day))
            assert sorted(found.values()) == sorted(file.loaded)
            assert set(file.lines(LOADED)) <= found.keys()
    # The sender's totals were compared with the rows wherever that can be done.
    notes = dict(warehouse.rows("select feed, notes from ledger.load_file where load_id = 2"))
    assert notes.keys() == FEEDS.keys()
    assert not any("not compared" in str(of_file) for of_file in notes.values())
    # None of the defects stops the later stages: unknown keys are inferred.
    warehouse.incremental()
    for kind, table in (("orphan_member", "dim_member"), ("orphan_provider", "dim_provider")):
        key = table.removeprefix("dim_") + "_id"
        assert warehouse.rows(
            f"select count(*) from warehouse.{table} where {key} like 'X%' and is_inferred"
        ) == [
            (
                sum(
                    d.kind == kind
                    for files in sent.values()
                    for file in files.values()
                    for d in file.defects
                ),
            )
        ]


def test_rejected_rows_name_the_column_of_the_injected_defect(warehouse: Warehouse):
    day = date(2025, 3, 1)
    dirt = "bad_date,bad_amount,dollar_amount,end_before_start,conflicting_duplicate"
    feeds = send(warehouse.inbox, day, dirt, *FEEDS)
    warehouse.run(commands.run_stages, ("stage",))
    found = {
        (feed, line): column
        for feed, line, column in warehouse.rows(
            "select feed, line, column_name from quality.rejected_row"
        )
    }
    assert found == {
        (d.feed, d.line): FEEDS[d.feed].key[0] if KINDS[d.kind].adds else d.column
        for file in feeds.values()
        for d in file.defects
    }


def test_fatal_defects_refuse_the_file_and_leave_nothing(warehouse: Warehouse):
    messages = {
        "truncated": r"claims\.csv.* is not the file that its manifest describes",
        "renamed_column": r"lacks required columns: paid_amount \(the file has 'paid_amt'\)",
        "missing_column": r"lacks required columns: diagnosis_code\.",
    }
    assert messages.keys() == set(FATAL)
    for number, (kind, message) in enumerate(messages.items(), 1):
        day = date(2025, 3, number)
        feeds = send(warehouse.inbox, day, kind, "claims", "plans", compressed=number == 1)
        assert [d.outcome for d in feeds["claims"].defects] == [REFUSED]
        with pytest.raises(BatchError, match=message), warehouse.pipeline() as pipeline:
            commands.run_stages(pipeline, ("stage",))
        assert warehouse.rows(
            "select feed, l.status, f.status, rows_loaded "
            f"from ledger.load as l join ledger.load_file as f using (load_id) "
            f"where batch_id = '{day}'"
        ) == [("claims", "failed", "refused", 0)]
        for path in (warehouse.inbox / str(day)).iterdir():
            path.unlink()
        (warehouse.inbox / str(day)).rmdir()
    assert warehouse.value("select count(*) from staging.plans_raw") == 0
