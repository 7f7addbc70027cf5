"""The stream that goes to COPY against Python's own CSV reader, whatever the blocks cut apart."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl.contract import Reason
from etl.db import records

FIELDS = 3
values = st.text(alphabet='ab ,"\n\té0', max_size=6)
rows = st.lists(st.lists(values, min_size=FIELDS, max_size=FIELDS), max_size=12)


def stream(data: bytes, size: int) -> tuple[records.Stream, bytes]:
    blocks = (data[at : at + size] for at in range(0, len(data), size))
    header, found = records.header_and_records(blocks)
    assert header == ["a", "b", "c"]
    sent = records.Stream(fields=FIELDS, prefix=b"7,", dates=frozenset({2}))
    return sent, b"".join(sent.send(found))


def parsed(sent: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(sent.decode(), newline="")))


@settings(max_examples=400, deadline=None)
@given(
    rows,
    st.integers(1, 40),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
)
@example([["a", "today's", "now"]], 5, "\n", csv.QUOTE_MINIMAL, False)
def test_every_row_goes_through_trimmed_with_its_line(
    drawn: list[list[str]], size: int, end: str, quoting: int, bom: bool
) -> None:
    drawn = [row for row in drawn if row[2].strip() != "now"]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end, quoting=quoting).writerows([["a", "b", "c"], *drawn])
    text = out.getvalue()
    data = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    sent, stream_bytes = stream(data, size)
    line, wanted = 2, []
    for row in drawn:
        wanted.append(["7", str(line), *(field.strip(" \t") for field in row)])
        line += 1 + sum(field.count("\n") for field in row)
    # A row of nothing but blanks is written as a row of separators, so it is still a row.
    assert parsed(stream_bytes) == wanted
    assert sent.read == len(drawn)
    assert sent.rejects == []


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(1, 64))
def test_whatever_the_bytes_every_record_is_sent_or_set_aside(body: bytes, size: int) -> None:
    sent, stream_bytes = stream(b"a,b,c\n" + body, size)
    assert all(len(row) == FIELDS + 2 for row in parsed(stream_bytes))
    assert sent.read == len(parsed(stream_bytes)) + len(sent.rejects)
    again, same = stream(b"a,b,c\n" + body, 1 << 20)
    assert (same, again.rejects) == (stream_bytes, sent.rejects)


def test_faults_are_set_aside_one_row_each() -> None:
    body = b"\n".join(
        [
            b"1,2,3",
            b"1,2",  # line 3
            b"",
            b'1,"never closed,3',  # line 5
            b"1,\xff,3",  # line 6
            b"1,a\rb,3",  # line 7
            b"1,2,Today",  # line 8
            b"today,2,3",
            b'1,"x\ny",3',
            b"1,a\0b,3",  # line 12
            b"4,5,6",
        ]
    )
    sent, stream_bytes = stream(b"a,b,c\n" + body, 7)
    assert sent.rejects == [
        (3, Reason.FIELD_COUNT),
        (5, Reason.OPEN_QUOTE),
        (6, Reason.NOT_UTF8),
        (7, Reason.STRAY_RETURN),
        (8, Reason.CLOCK_WORD),
        (12, Reason.NOT_UTF8),
    ]
    assert [row[1] for row in parsed(stream_bytes)] == ["2", "9", "10", "13"]
    # PostgreSQL reports the last line of a record in the stream.
    assert [sent.line_of(n) for n in (1, 2, 4, 5)] == [2, 9, 10, 13]


@pytest.mark.parametrize(
    "date", [b"today", b'"NOW"', b"10:00 today", b"epoch ad", b'"mon, tomorrow"', b"\x0btoday"]
)
@pytest.mark.parametrize("size", [5, 1 << 20])
def test_a_date_that_the_clock_decides_is_set_aside(date: bytes, size: int) -> None:
    sent, stream_bytes = stream(b"a,b,c\ntoday,now,todays\n1,2," + date + b"\nsnow,2,3\n", size)
    assert sent.rejects == [(3, Reason.CLOCK_WORD)]
    assert [row[2:] for row in parsed(stream_bytes)] == [
        ["today", "now", "todays"],
        ["snow", "2", "3"],
    ]


@pytest.mark.parametrize(
    "head",
    ["a,b\n".encode("utf-16"), b"a,b\rc,d\r", b'a,"b\n1,2\n', b"a,\xff\n", b"a," * 1600 + b"b\n"],
)
def test_a_first_line_that_is_no_header_is_refused(head: bytes) -> None:
    with pytest.raises(records.HeaderError):
        records.header_and_records([head])
