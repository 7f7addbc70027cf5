"""Dirty feeds, read with csv alone: every defect is where it is said to be, and nothing else is."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import pytest

from etl.errors import UsageError
from etl.synthetic.core.encode import header, lines
from etl.synthetic.core.known_feeds import FEEDS
from etl.synthetic.defects import defects as makers
from etl.synthetic.defects.dirt import (
    DUPLICATE,
    EXTRA_COLUMN,
    KINDS,
    LOADED,
    REFUSED,
    REJECTED,
    Defect,
    Dirt,
    parse,
)
from etl.synthetic.defects.injector import DefectInjector, DirtyBlock
from tests.support.blocks import Row, block_of, drawn_rows, npi

SEED, DAY, ROWS = 11, 20_423, 600
ROW_KINDS = [k for k in KINDS.values() if not k.whole_file and not k.of_set]
SETS = ("claim_lines", "claim_diagnoses")
CASES = [(kind.name, feed) for kind in ROW_KINDS for feed in kind.columns]


@dataclass(frozen=True)
class File:
    """A dirty file, the rows it was made of, and what its injector says of it."""

    feed: str
    clean: list[Row]
    data: bytes
    blocks: list[tuple[int, DirtyBlock]]  # with the position in the file of the block's first row
    defects: list[Defect]

    @property
    def records(self) -> list[tuple[int, list[str]]]:
        """Line and fields of each record after the header."""
        text = self.data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        found, line = [], 1
        for record in reader:
            found.append((line, record))
            line = reader.line_num + 1
        return found[1:]

    def aligned(self) -> list[tuple[Defect | None, list[str], int | None]]:
        """Each record with its defect and the row that it replaces; none where it was added.

        Of a row that is missing the record is empty.
        """
        at_line = {d.line: d for d in self.defects}
        assert len(at_line) == len(self.defects)
        found, at = [], 0
        for line, record in self.records:
            defect = at_line.pop(line, None)
            if defect is not None and defect.kind == "missing_line":
                found.append((defect, [], at))
                defect, at = None, at + 1
            is_added = defect is not None and KINDS[defect.kind].adds
            found.append((defect, record, None if is_added else at))
            at += not is_added
        assert at == len(self.clean)
        assert not at_line, "defects on lines where no record begins"
        return found

    def total(self, field: str) -> int:
        return sum(getattr(dirty, field) for _, dirty in self.blocks)


def dirty(
    dirt: str,
    feed: str,
    *,
    rows: int = ROWS,
    blocks: int = 2,
    seed: int = SEED,
    spare: np.ndarray | None = None,
) -> File:
    clean = drawn_rows(feed, rows)
    injector = DefectInjector(parse(dirt), seed, DAY, FEEDS[feed])
    data, made = injector.header(), []
    for part in np.array_split(np.arange(rows), blocks):
        block = block_of(FEEDS[feed], [clean[i] for i in part])
        made.append(
            (
                int(part[0]) if len(part) else 0,
                injector.inject(block, None if spare is None else spare[part]),
            )
        )
        data += made[-1][1].data
    return File(feed, clean, data, made, [d for _, s in made for d in s.defects])


def names(feed: str) -> list[str]:
    return [c.name for c in FEEDS[feed].columns]


def check_accounts(file: File) -> None:
    """Counts, totals and what will be loaded, each worked out again from the file."""
    feed, aligned = FEEDS[file.feed], file.aligned()
    outcomes = Counter(d.outcome for d in file.defects)
    assert file.total("rows") == sum(bool(record) for _, record, _ in aligned)
    assert file.total("rejected_records") == outcomes[REJECTED]
    assert file.total("duplicates") == outcomes[DUPLICATE]
    for column in feed.money:
        expected, at = Decimal(0), names(file.feed).index(column)
        for defect, record, row in aligned:
            if not record:
                continue
            lost = defect is not None and defect.outcome == REJECTED and row is not None
            expected += Decimal((file.clean[row][column] if lost else record[at]) or 0)
        assert sum(s.totals[column] for _, s in file.blocks) == expected * 100
    loaded = [
        # Without a column that the whole file has too many.
        [value.strip(" ") for value in record[: len(names(file.feed))]]
        for defect, record, _ in aligned
        if record and (defect is None or defect.outcome == LOADED)
    ]
    expected_rows = []
    for first, part in file.blocks:
        gone = set(part.rejected.tolist())
        for position in range(len(file.clean) if len(file.blocks) == 1 else ROWS // 2):
            if position in gone:
                continue
            row = dict(file.clean[first + position])
            for column, values in part.changed.items():
                if position in values:
                    assert row[column] != values[position].decode(), "no change"
                    row[column] = values[position].decode()
            expected_rows.append(list(row.values()))
        expected_rows += [[row[c].decode() for c in names(file.feed)] for row in part.added]
    assert sorted(expected_rows) == sorted(loaded)


@pytest.mark.parametrize(("kind", "feed"), CASES)
def test_every_row_defect_is_of_its_kind_and_at_its_line(kind: str, feed: str):
    # A quarter of the rows is fit for those of a set's first row.
    share = 0.1 if kind in ("line_total", "missing_line") else 0.03
    file = dirty(f"{kind},{share}", feed)
    assert 5 <= len(file.defects) <= 40
    assert any(part.defects for _, part in file.blocks[1:]), "none in the second block"
    aligned = file.aligned()
    for place, (defect, record, row) in enumerate(aligned):
        if defect is None:
            assert record == list(file.clean[row].values())
            continue
        assert (defect.kind, defect.feed, defect.outcome) == (kind, feed, KINDS[kind].outcome)
        if defect.column is not None:
            assert defect.column in KINDS[kind].columns[feed]
        before = aligned[place - 1][1] if place else []
        after = aligned[place + 1][1] if place + 1 < len(aligned) else []
        clean = file.clean[row] if row is not None else None
        assert ORACLES[kind](Seen(feed, defect.column, record, clean, before, after))
    check_accounts(file)


@dataclass(frozen=True)
class Seen:
    """A record with a defect, the row that it replaces, and its neighbors in the file."""

    feed: str
    column: str | None
    record: list[str]
    clean: Row | None
    before: list[str]
    after: list[str]

    def only_column(self, other: list[str], *columns: str) -> bool:
        """Whether the record differs from another in these columns and in no other."""
        pairs = zip(names(self.feed), self.record, other, strict=True)
        return [n for n, mine, its in pairs if mine != its] == list(columns)

    def of(self, column: str) -> str:
        return self.record[names(self.feed).index(column)]

    @property
    def new(self) -> str:
        """The value with the defect; nothing else of the row has changed."""
        assert self.only_column(list(self.clean.values()), self.column)
        return self.of(self.column)

    @property
    def old(self) -> str:
        return self.clean[self.column]

    def key_and_time(self, record: list[str]) -> list[str]:
        feed = FEEDS[self.feed]
        columns = [*feed.key, *filter(None, [feed.effective])]
        return [record[names(self.feed).index(c)] for c in columns]


def is_no(kind: Callable[[str], object], value: str) -> bool:
    try:
        kind(value)
    except (ValueError, InvalidOperation):
        return True
    return False


def has_field_too_many(long: list[str], short: list[str]) -> bool:
    cut = [long[:i] + long[i + 1 :] for i in range(len(long))]
    return short in cut


def is_other_start(seen: Seen) -> bool:
    days = (
        date.fromisoformat(seen.of("start_date")),
        date.fromisoformat(seen.before[names(seen.feed).index("start_date")]),
    )
    return (
        seen.only_column(seen.before, "enrollment_id", "start_date")
        and re.fullmatch(r"XE\d+E\d{8}", seen.of("enrollment_id")) is not None
        and days[0] != days[1]
        and days[0].year == days[1].year
        and days[0].isoformat() <= (seen.of("end_date") or "2025-12-31")
    )


ORACLES: dict[str, Callable[[Seen], bool]] = {
    "bad_date": lambda s: is_no(date.fromisoformat, s.new),
    "bad_amount": lambda s: is_no(Decimal, s.new) and "$" not in s.new,
    "dollar_amount": lambda s: s.new == f"${Decimal(s.old):,.2f}",
    "missing_field": lambda s: has_field_too_many(list(s.clean.values()), s.record),
    "extra_field": lambda s: has_field_too_many(s.record, list(s.clean.values())),
    "bad_encoding": lambda s: is_no(lambda v: v.encode("utf-8"), s.new),
    "line_feed": lambda s: (
        re.sub(r"\s", "", s.new) == s.old.replace(" ", "")
        and re.fullmatch(r"\S[^\n]*\n[^\n]*\S", s.new) is not None
    ),
    "trailing_spaces": lambda s: s.new.rstrip(" ") == s.old != s.new,
    "duplicate": lambda s: s.record == s.before,
    "conflicting_duplicate": lambda s: (
        s.only_column(s.after, CONFLICTS[s.feed])
        and s.key_and_time(s.record) == s.key_and_time(s.after)
    ),
    "orphan_member": lambda s: re.fullmatch(r"XM\d+[EC]\d{8}", s.new) is not None,
    "orphan_provider": lambda s: re.fullmatch(r"XP\d+C\d{8}", s.new) is not None,
    "paid_above_allowed": lambda s: (
        Decimal(s.new) > Decimal(s.clean["allowed_amount"]) and s.clean["status"] == "approved"
    ),
    "end_before_start": lambda s: s.new < s.clean["start_date"],
    "service_outside_coverage": lambda s: int(s.new[:4]) == int(s.old[:4]) - 28,
    "overlapping_enrollment": is_other_start,
    "line_total": lambda s: (
        s.clean["line_number"] == "1" and Decimal(s.new) - Decimal(s.old) == Decimal("0.01")
    ),
    "missing_line": lambda s: s.clean["line_number"] == "1" and s.after[1] == "2",
    "repeated_position": lambda s: (
        s.only_column(s.after, "diagnosis_code")
        and s.key_and_time(s.record) == s.key_and_time(s.after)
    ),
    "unknown_code": lambda s: (
        s.clean.get("position", s.clean.get("line_number")) != "1"
        and s.new in ("U99X9", "QQ999")
        and s.old not in ("", s.new)
    ),
    "bad_npi": lambda s: s.old == npi(int(s.old[1:9])) != s.new and len(s.new) == 10,
    "bad_diagnosis": lambda s: (
        not re.match(FEEDS["claims"].column("diagnosis_code").check.pattern, s.new)
    ),
}
CONFLICTS = {
    "members": "last_name",
    "plans": "name",
    "providers": "name",
    "enrollments": "premium_paid",
    "claims": "paid_amount",
    "claim_lines": "line_paid",
}


def test_every_kind_can_be_made_and_varies():
    assert makers.MAKERS.keys() == {k.name for k in ROW_KINDS}
    for kind, values in (
        ("bad_date", {"13/45/2025", "2025-02-30"}),
        ("bad_amount", {"12.3.4", "N/A"}),
    ):
        file = dirty(f"{kind},0.04", "claims")
        at = {c: i for i, c in enumerate(names("claims"))}
        found = [(d.column, r[at[d.column]]) for d, r, _ in file.aligned() if d]
        columns = {column for column, _ in found}
        assert {value for _, value in found} == values
        assert len(set(found)) > len(columns) > 1
    assert b'"$1' in dirty("dollar_amount", "claims").data


@pytest.mark.parametrize("feed", list(FEEDS))
@pytest.mark.parametrize("dirt", ["0.04", "0.3", ",".join(k.name for k in ROW_KINDS)])
def test_all_kinds_together_add_up(feed: str, dirt: str):
    file = dirty(dirt, feed)
    check_accounts(file)
    if dirt[0] != "0":
        applicable = {k.name for k in ROW_KINDS if feed in k.columns}
        assert {d.kind for d in file.defects} == applicable
    else:
        # The share of 600 rows; a defect that does not fit its row or set is left out.
        share, least = float(dirt), 0.5 if feed in SETS else 0.6
        assert share * least * ROWS <= len(file.defects) <= share * 1.4 * ROWS


def test_each_kind_by_name_has_the_share_for_itself():
    file = dirty("bad_diagnosis,orphan_member,trailing_spaces,0.1", "claims")
    found = Counter(d.kind for d in file.defects)
    assert found.keys() == {"bad_diagnosis", "orphan_member", "trailing_spaces"}
    assert all(0.07 * ROWS < n < 0.13 * ROWS for n in found.values())


def test_invented_keys_are_fresh():
    every = ",".join(["orphan_member", "orphan_provider", "overlapping_enrollment", "0.2"])
    found = [
        value
        for feed in ("claims", "enrollments")
        for _, part in dirty(every, feed).blocks
        for values in (
            *(list(part.changed.get(c, {}).values()) for c in ("member_id", "provider_id")),
            [row["enrollment_id"] for row in part.added],
        )
        for value in values
    ]
    assert len(found) > 100
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("feed", list(FEEDS))
def test_clean_feeds_are_as_without_an_injector(feed: str):
    file = dirty("", feed)
    block = block_of(FEEDS[feed], file.clean)
    assert file.data == header(FEEDS[feed]) + lines(block.records())
    assert file.total("rows") == ROWS
    assert all(part.totals.keys() == set(FEEDS[feed].money) for _, part in file.blocks)
    check_accounts(file)
    # A kind that a feed cannot have does not change it.
    if feed != "providers":
        assert dirty("bad_npi", feed).data == file.data


def test_same_arguments_same_bytes():
    first, again = (dirty("0.1", "claims") for _ in range(2))
    assert (first.data, first.defects) == (again.data, again.defects)
    assert dirty("0.1", "claims", seed=SEED + 1).data != first.data
    injectors = [DefectInjector(parse("0.1"), SEED, day, FEEDS["claims"]) for day in (DAY, DAY + 1)]
    block = block_of(FEEDS["claims"], first.clean)
    assert injectors[0].inject(block).data != injectors[1].inject(block).data


@pytest.mark.parametrize("dirt", ["bad_date,0.04", "bad_date,missing_field,bad_amount,0.04"])
def test_no_file_of_few_blocks_or_many_is_dirty_enough_to_be_refused(dirt: str):
    for rows, blocks in ((24, 1), (25, 1), (260, 20), (600, 2)):
        file = dirty(dirt, "claims", rows=rows, blocks=blocks)
        assert file.total("rejected_records") == len(file.defects) <= rows * 0.04
        # As many kinds as fit, each of them once before any comes again.
        fit = min(rows * 4 // 100, dirt.count(","))
        assert len({d.kind for d in file.defects}) == fit
    assert dirty("bad_date,0.3", "claims").total("rejected_records") > 0.2 * ROWS


def test_a_named_defect_is_in_every_file_that_is_large_enough():
    for kind in ROW_KINDS:
        for feed in kind.columns:
            # So rare that it would hardly be drawn, and in blocks that are too small by themselves.
            file = dirty(f"{kind.name},0.000001", feed, rows=40, blocks=4)
            assert [d.kind for d in file.defects] == [kind.name], feed
    # Or in which nearly every row is hit, and each by one defect.
    loaded = [k for k in ROW_KINDS if "claims" in k.columns and k.outcome == LOADED]
    file = dirty(",".join([*(k.name for k in loaded), "0.5"]), "claims", rows=25, blocks=1)
    assert {d.kind for d in file.defects} == {k.name for k in loaded}
    check_accounts(file)


@pytest.mark.parametrize("feed", SETS)
def test_no_set_has_two_defects_and_a_clean_one_has_none(feed: str):
    source, rows = FEEDS[feed], drawn_rows(feed, ROWS)
    clean = np.arange(ROWS) < ROWS // 2
    part = DefectInjector(parse("0.5"), SEED, DAY, source).inject(
        block_of(source, rows), clean=clean
    )
    hit = Counter(rows[position]["claim_id"] for position in part.touched)
    assert len(part.touched) == len(part.defects) > 20
    assert max(hit.values()) == 1
    assert min(part.touched) >= ROWS // 2


def test_a_late_set_is_counted_once_at_its_first_row():
    source, rows = FEEDS["claim_lines"], drawn_rows("claim_lines", 30)
    late = np.array([row["claim_id"] in ("C00000002", "C00000004") for row in rows])
    block = replace(block_of(source, rows), late=late)
    for request in ("", "bad_date,0.5"):
        injector = DefectInjector(parse(request), SEED, DAY, source)
        part = injector.inject(block)
        found = [d for d in part.defects if d.kind == "late_set"]
        starts = [p for p, row in enumerate(rows) if late[p] and row["line_number"] == "1"]
        assert [d.line for d in found] == [2 + p for p in starts]
        assert {(d.column, d.outcome) for d in found} == {(None, LOADED)}
    assert DefectInjector(parse("truncated"), SEED, DAY, source).inject(block).defects == found
    assert DefectInjector(parse("truncated"), SEED, DAY, FEEDS["claims"]).refused


def test_sets_wait_in_batches_that_are_asked_for_it():
    assert Dirt(0.02, ("late_set", "crlf")).waiting == 0.02
    assert Dirt(0.02, ("crlf",)).waiting == 0
    # Of a batch that is refused none can come later.
    assert Dirt(0.02, ("late_set", "truncated")).waiting == 0
    share = Dirt(0.1)
    assert share.waiting == pytest.approx(0.1 / len(share.of("claim_lines")))


def test_rows_that_are_needed_stay():
    spare = np.arange(ROWS) % 2 == 0
    for kind, feed in CASES:
        file = dirty(f"{kind},0.2", feed, spare=spare)
        hit = set()
        for first, part in file.blocks:
            hit |= {first + p for p in part.rejected.tolist()}
            for column in ("member_id", "provider_id"):
                hit |= {first + p for p in part.changed.get(column, {})}
        assert not any(spare[p] for p in hit)
        assert file.defects


@pytest.mark.parametrize("feed", list(FEEDS))
def test_harmless_defects_of_a_whole_file_change_no_value(feed: str, tmp_path: Path):
    source = FEEDS[feed]
    for kind in ("byte_order_mark", "crlf", "extra_column"):
        injector = DefectInjector(parse(kind), SEED, DAY, source)
        data = injector.header() + injector.inject(block_of(source, drawn_rows(feed, 30))).data
        assert not injector.refused
        assert (data[:3] == b"\xef\xbb\xbf") == (kind == "byte_order_mark")
        assert data.count(b"\r\n") == (31 if kind == "crlf" else 0)
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        rows = list(reader)
        if kind == "extra_column":
            assert {row.pop(EXTRA_COLUMN) for row in rows} == {"1"}
        assert rows == drawn_rows(feed, 30)
        path = tmp_path / "file.csv"
        path.write_bytes(data)
        column = EXTRA_COLUMN if kind == "extra_column" else None
        assert injector.finish(path) == [Defect(kind, feed, 1, column, LOADED)]
        assert path.read_bytes() == data


def test_whole_files_and_rows_are_dirty_together():
    """Lines are counted the same with carriage returns, and rows keep the column too many."""
    file = dirty("crlf,extra_column,byte_order_mark,line_feed,missing_field,0.03", "members")
    lengths = Counter(len(record) for _, record in file.records)
    wide = len(names("members")) + 1
    assert set(lengths) == {wide, wide - 1}
    narrow = {line for line, record in file.records if len(record) < wide}
    assert narrow == {d.line for d in file.defects if d.kind == "missing_field"}
    broken = {line for line, record in file.records if any("\n" in v for v in record)}
    assert broken == {d.line for d in file.defects if d.kind == "line_feed"} != set()
    text = re.sub(rb'"[^"]*"', b"", file.data)
    assert text.count(b"\r\n") == text.count(b"\n") == ROWS + 1


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_fatal_defects_damage_the_whole_file(tmp_path: Path, suffix: str):
    clean = drawn_rows("claims", 50)
    for kind in ("truncated", "renamed_column", "missing_column"):
        # Other defects are left out of a file that will be refused.
        injector = DefectInjector(parse(f"{kind},bad_date,crlf"), SEED, DAY, FEEDS["claims"])
        part = injector.inject(block_of(FEEDS["claims"], clean))
        data = injector.header() + part.data
        assert injector.refused
        assert part.rows == 50
        assert part.defects == []
        path = tmp_path / f"{kind}{suffix}"
        path.write_bytes(gzip.compress(data) if suffix == ".csv.gz" else data)
        whole = path.read_bytes()
        (defect,) = injector.finish(path)
        assert (defect.kind, defect.line, defect.outcome) == (kind, 1, REFUSED)
        left = path.read_bytes()
        if kind == "truncated":
            assert whole.startswith(left)
            assert len(whole) * 0.4 < len(left) < len(whole) * 0.6
            assert b"\n" not in whole[len(left) - 1 : len(left) + 1]
            continue
        assert left == whole
        rows = list(csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True))
        for row, was in zip(rows, clean, strict=True):
            if kind == "renamed_column":
                assert row.pop("paid_amt") == was["paid_amount"]
            assert row == {k: v for k, v in was.items() if k != defect.column}
    for feed in ("members", "plans", "providers", "enrollments"):
        assert not DefectInjector(parse("truncated,missing_column"), SEED, DAY, FEEDS[feed]).refused


def test_a_cut_is_never_between_two_lines(tmp_path: Path):
    injector = DefectInjector(parse("truncated"), SEED, DAY, FEEDS["claims"])
    for text, left in (("ab\ncd\n", "a"), ("abc\ndef\n", "ab"), ("abcd\nef\n", "abc")):
        path = tmp_path / "claims.csv"
        path.write_text(text, newline="")
        injector.finish(path)
        assert path.read_text() == left


def test_a_share_hits_about_one_file_in_ten_as_a_whole(tmp_path: Path):
    found = Counter(
        defect.kind
        for day in range(200)
        for feed in FEEDS.values()
        for defect in DefectInjector(parse("0.01"), SEED, day, feed).finish(tmp_path)
    )
    assert found.keys() == {"byte_order_mark", "crlf", "extra_column"}
    assert all(0.07 <= n / (200 * len(FEEDS)) <= 0.13 for n in found.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        (" 0 ", None),
        ("0.0", None),
        ("0.02", Dirt(0.02)),
        ("0.5", Dirt(0.5)),
        ("bad_npi", Dirt(0.01, ("bad_npi",))),
        ("crlf, BAD_DATE ,0.2", Dirt(0.2, ("bad_date", "crlf"))),
        ("0.00001,crlf,crlf", Dirt(0.00001, ("crlf",))),
    ],
)
def test_request_gives_its_kinds_and_shares(text: str, expected: Dirt | None):
    found = parse(text)
    assert found == expected
    if found is not None:
        assert parse(str(found)) == found
        assert len({found, expected}) == 1


@pytest.mark.parametrize(
    "text",
    ["rust", "0.6", "-0.1", "nan", "bad_npi,0", "0.1,0.2", "bad_npi,", "0,", "bad_npi;crlf", "1e3"],
)
def test_unknown_request_is_refused_with_the_known_kinds(text: str):
    with pytest.raises(UsageError) as error:
        parse(text)
    assert repr(text) in error.value.message
    assert all(name in error.value.message for name in KINDS)
