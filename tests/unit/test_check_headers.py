"""Headers of checks are read strictly: what is wrong in one is an error with file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from etl.db.statements import FOLDER
from etl.quality.checks import header
from etl.quality.checks.registry import declarations, sql_checks

SOUND = """-- Checks of an example.
--: advice: Ask the sender.

-- name: example
-- An example. One row.
--: table: fact_claim
--: key: claim_id
--: gate: facts, scope = of_load
--: value: days = 31, few = 2
--: rule first: major, validity
--:   fails when: this is
--:     wrong
--:   may fail: 5 %
--: rule second: critical, volume
--:   fails when: that is wrong
--:   threshold: 8 robust z
--:   advice: Look.
select 1;

-- name: other
-- Another one. One row.
--: for each: feed with money
--: only in gate: stage
--: rules as in: example, only second
select 2;
"""


def read(tmp_path: Path, text: str) -> tuple[header.Declaration, ...]:
    path = tmp_path / "example.sql"
    path.write_text(text, encoding="utf-8")
    return header.read(path, "checks/example")


def test_header_is_read_with_its_defaults(tmp_path: Path) -> None:
    example, other = read(tmp_path, SOUND)
    first, second = example.rules
    assert (example.table, example.key, example.line) == ("fact_claim", ("claim_id",), 4)
    assert example.gates == {"facts": {"scope": "of_load"}}
    assert example.values == {"days": 31, "few": 2}
    assert (first.means, first.share, first.advice) == ("this is wrong", 0.05, "Ask the sender.")
    assert (first.threshold, first.unit) == ("0", "rows")
    assert (second.threshold, second.unit, second.advice) == ("8", "robust z", "Look.")
    assert (other.each, other.only_with, other.is_gate_only) == ("feed", "money", True)
    assert other.rules == (second,)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("--: table", "--: tabel", 6, "'tabel' is none of"),
        ("major", "mayor", 10, "'mayor' is none of"),
        ("validity", "valid", 10, "'valid' is none of"),
        ("--:   fails when: that is wrong\n", "", 14, "lacks 'fails when'"),
        ("--: advice: Ask the sender.\n", "", 9, "lacks an 'advice'"),
        ("--: table: fact_claim\n", "", 4, "needs a rule, and either 'table' or 'for each'"),
        ("--:   may fail", "--:  may fail", 13, "blanks follow --:"),
        ("may fail: 5 %", "may fail: five", 10, "not a number and %"),
        ("--:   may fail", "--:   fails when", 13, "given twice"),
        ("days = 31", "days", 4, "no NAME = VALUE"),
        ("only second", "only third", 20, "example has no rule 'third'"),
        ("as in: example", "as in: missing", 20, "no statement 'missing'"),
        ("--: key: claim_id", "--:   column: claim_id", 7, "belongs to no rule"),
    ],
)
def test_wrong_header_fails_with_file_and_line(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in SOUND
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(tmp_path, SOUND.replace(old, new, 1))
    assert str(caught.value).startswith(f"sql/checks/example.sql:{line}: ")


def test_every_file_of_checks_is_declared_and_every_check_comes_from_one() -> None:
    assert {one.file for one in declarations()} >= {"checks/staging", "checks/dims", "checks/facts"}
    assert all(len(entry.checks) >= 1 for entry in sql_checks())


# A value in the keys of failing rows: its name, and the column that it is of.
KEY_AND_COLUMN = re.compile(r"'(\w+)',\s*(?:\w+\.)?(\w+)\s*[,)]")


def test_keys_of_failing_rows_bear_the_names_of_their_columns() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (FOLDER / "checks").glob("*.sql")]
    found = [
        pair
        for text in texts
        for built in re.findall(r"some_keys\(\s*jsonb_build_object(\(.+?\))", text, re.DOTALL)
        for pair in KEY_AND_COLUMN.findall(built)
    ]
    assert len(found) > 20
    assert [pair for pair in found if pair[0] != pair[1]] == []
