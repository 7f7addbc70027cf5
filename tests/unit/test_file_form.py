"""Files in the form of their sender: the same records as those of a file with commas."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.contracts.file_form import DELIMITERS, FileForm
from etl.inbox import csv_records, file_form
from etl.inbox.copy_stream import fault_of

NAMES = ["a", "b, c", "d"]
_OTHERS = [sign for sign in DELIMITERS if sign != ","]
_VALUES = st.text(st.sampled_from('xé,;\t|"\x1f '), max_size=6).map(lambda text: f"x{text}x")
_ROWS = st.lists(st.lists(_VALUES, min_size=3, max_size=3), min_size=1, max_size=5)


def written(rows: list[list[str]], delimiter: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows([NAMES, *rows])
    return text.getvalue().encode()


def read(data: bytes, form: FileForm, size: int = 1 << 20) -> tuple[list[str], list[bytes]]:
    blocks = (data[at : at + size] for at in range(0, len(data), size))
    names, records = file_form.header_and_records(blocks, form)
    return names, [record for _, block in records for record in block]


@given(_ROWS, st.sampled_from(_OTHERS), st.integers(1, 40))
def test_values_are_those_that_were_written_with_another_delimiter(
    rows: list[list[str]], delimiter: str, size: int
) -> None:
    names, records = read(written(rows, delimiter), FileForm(delimiter), size)
    assert names == NAMES
    values = [[value.decode() for value in csv_records.values_of(record)] for record in records]
    assert values == rows


@given(st.text(st.sampled_from('x,;"\x1f \n\r'), max_size=40), st.integers(1, 40))
def test_any_text_has_the_faults_that_it_has_with_commas(text: str, size: int) -> None:
    """Commas and semicolons change places: where a field ends, quotes and lines are the same."""
    data = b"a;b\n" + text.encode()
    _, found = read(data, FileForm(";"), size)
    _, wanted = read(data.replace(b",", b"\x1f").replace(b";", b","), FileForm(), size)
    faults = [[fault_of(r.removesuffix(b"\r"), 2) for r in records] for records in (found, wanted)]
    assert faults[0] == faults[1]
    assert sum(r.count(b"\n") + 1 for r in found) == sum(r.count(b"\n") + 1 for r in wanted)


def test_a_sign_that_is_no_delimiter_is_refused_where_it_is_declared() -> None:
    for sign in ("", " ", '"', "x", ";;"):
        with pytest.raises(ValueError, match="is no delimiter"):
            FileForm(sign)


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("form", "text", "names", "lines", "around"),
    [
        (FileForm(before=2), "Report\n\na,b\n1,2\n3,4\n", ["a", "b"], {4: "1,2", 5: "3,4"}, (3, 0)),
        (
            FileForm(before="#"),
            "# x\n# y\na,b\n1,2\n#,5\n",
            ["a", "b"],
            {4: "1,2", 5: "#,5"},
            (3, 0),
        ),
        (FileForm(before="#"), "a,b\n1,2", ["a", "b"], {2: "1,2"}, (1, 0)),
        (FileForm(after=2), "a,b\n1,2\n3,4\n\nx\ny", ["a", "b"], {2: "1,2", 3: "3,4"}, (1, 3)),
        (FileForm(after="T,"), "a,b\nT,1\n3,4\nT,2\n\n", ["a", "b"], {2: "T,1", 3: "3,4"}, (1, 2)),
        (FileForm(";", after="T;"), "a;b\n1;2\nT;1\nT;2", ["a", "b"], {2: "1,2"}, (1, 2)),
        (FileForm(names=("a", "b")), "1,2\n3,4\n", ["a", "b"], {1: "1,2", 2: "3,4"}, (0, 0)),
        (
            FileForm("\t", names=("a", "b"), before=1, after="End"),
            "\ufeffx\n1\t2,5\n3\t4\r\nEnd of file",
            ["a", "b"],
            {2: '1,"2,5"', 3: "3,4"},
            (1, 1),
        ),
    ],
)
def test_lines_around_the_rows_are_counted_and_left_out(
    form: FileForm,
    text: str,
    names: list[str],
    lines: dict[int, str],
    around: tuple[int, int],
    size: int,
) -> None:
    data = text.encode()
    blocks = (data[at : at + size] for at in range(0, len(data), size))
    found, records = file_form.header_and_records(blocks, form)
    rows, line = {}, 0
    for line, block in records:
        for at, record in enumerate(block):
            if record:
                rows[line + at] = record.removesuffix(b"\r").decode()
    assert (found, rows, (records.before, records.after)) == (names, lines, around)


def test_a_footer_that_would_be_a_file_is_rows() -> None:
    """A pattern that fits the rows too takes no more of them than a footer has lines."""
    data = b"a,b\n" + b"1,2\n" * 250
    _, records = file_form.header_and_records([data[:300], data[300:]], FileForm(after="1"))
    rows = sum(len(block) for _, block in records)
    assert (rows, records.after) == (150, 100)


def test_names_of_fields_are_as_many_as_the_first_line_has() -> None:
    with pytest.raises(csv_records.HeaderError, match="has 3 fields on its first line"):
        file_form.header_and_records([b"1,2,3\n"], FileForm(names=("a", "b")))


@pytest.mark.parametrize(
    "wrong",
    [{"names": ("a", "A ")}, {"before": -1}, {"after": 101}, {"before": "x*"}, {"after": "("}],
)
def test_a_form_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"names|lines|pattern|matches"):
        FileForm(**wrong)
