"""Files in the form of their sender: the same records as those of a file with commas."""

from __future__ import annotations

import csv
import io

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
