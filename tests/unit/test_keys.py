"""Distinct keys are recognized in the bytes of records; a repeated one is never missed."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.inbox import distinct_keys as module
from etl.inbox.distinct_keys import Keys

FIELDS = 3
values = st.text(alphabet='ab,"', max_size=3)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(values, min_size=FIELDS, max_size=FIELDS), max_size=12),
    st.integers(0, FIELDS - 1),
    st.integers(1, 8),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.integers(1, 5),
)
def test_keys_are_said_to_differ_only_if_they_do(
    rows: list[list[str]], at: int, block: int, quoting: int, in_memory: int
) -> None:
    records = []
    for row in rows:
        out = io.StringIO()
        csv.writer(out, lineterminator="", quoting=quoting).writerow(row)
        records.append(out.getvalue().encode())
    keys = Keys(at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_IN_MEMORY", in_memory)
        for begin in range(0, len(records), block):
            keys.see(records[begin : begin + block])
        said_to_differ = keys.differ()
    named = [row[at] for row in rows]
    is_plain = not any(b'"' in record for record in records)
    differ = len(set(named)) == len(named)
    assert differ or not said_to_differ
    assert said_to_differ or not (differ and is_plain)


def test_a_quote_elsewhere_does_not_hide_the_first_field() -> None:
    keys = Keys(0)
    keys.see([b'a,"x,y"', b"b,z"])
    assert keys.differ()
