"""Distinct keys are recognized in the bytes of records; a repeated one is never missed."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.contracts.feeds.claim_lines import claim_lines
from etl.contracts.feeds.members import members
from etl.inbox import block_scan, csv_records
from etl.inbox import distinct_keys as module
from etl.inbox.distinct_keys import Keys, keys_of
from etl.inbox.readings import Direct, Reading

FIELDS = 3
values = st.text(alphabet='ab,"', max_size=3) | st.text(alphabet="ab", max_size=20)


def see(keys: Keys, records: list[bytes]) -> None:
    """Records as the stream has them: a block where one is laid out, else one by one."""
    layout = block_scan.lay_out(b"\n".join(records), FIELDS)
    if layout is None or len(layout.begins) != len(records):
        keys.see_values([csv_records.values_of(record) for record in records])
    else:
        keys.see(layout, np.ones(len(records), np.bool_))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(values, min_size=FIELDS, max_size=FIELDS), max_size=12),
    st.sampled_from([(0,), (1,), (2,), (0, 1), (2, 0)]),
    st.integers(1, 8),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.integers(1, 5),
)
def test_keys_are_said_to_differ_just_where_they_do(
    rows: list[list[str]], at: tuple[int, ...], block: int, quoting: int, in_memory: int
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
            see(keys, records[begin : begin + block])
        said_to_differ = keys.differ()
    named = [tuple(row[n] for n in at) for row in rows]
    assert said_to_differ == (len(set(named)) == len(named))


def test_a_key_is_the_same_in_a_block_and_by_itself() -> None:
    # The second is known by its values alone, since its last one goes over a line's end.
    keys = Keys((0,))
    see(keys, [b'"a""b",x,y'])
    see(keys, [b'"a""b",x,"y\nz"'])
    assert not keys.differ()


def test_rows_that_are_not_sent_have_no_key() -> None:
    layout = block_scan.lay_out(b"a,b,c\na,b,c\nb,b,c", FIELDS)
    assert layout is not None
    keys = Keys((0,))
    keys.see(layout, np.array([True, False, True]))
    assert keys.differ()


@pytest.mark.parametrize(
    ("records", "differ"),
    [
        ([b"C1,1,x", b"C1,2,x", b"C2,1,x"], True),
        ([b"C1,1,x", b"C2,1,x", b"C1,1,y"], False),
        # 01 is 1, so that only the server can say.
        ([b"C1,1,x", b"C1,02,x"], False),
        # What comes after a key's first part is none of it.
        ([b"C1,11,x", b"C11,1,x"], True),
        ([b"C" + b"1" * 300 + b",1,x", b"C2,1,x"], False),
    ],
)
def test_a_number_within_a_key_is_believed_only_without_zeros_before_it(
    records: list[bytes], differ: bool
) -> None:
    keys = keys_of(claim_lines, ["claim_id", "line_number", "service_date"], None)
    assert keys is not None
    see(keys, records)
    assert keys.differ() is differ


def test_keys_that_are_mapped_are_left_to_the_server() -> None:
    columns = ["member_id", "x", "y"]
    key = members.column("member_id")
    mapped = Direct([Reading(0, key, words={"a": "A", "b": "A"})], [])
    nothing = Direct([Reading(0, key, words={"none": None})], [])
    assert keys_of(members, columns, mapped) is None
    assert keys_of(members, columns, nothing) is not None
