"""The stream that goes to COPY against readers of its own, whatever the blocks cut apart."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl.contracts.reasons import Reason
from etl.contracts.types import Type
from etl.inbox import csv_records, value_forms
from etl.inbox.amounts import MoneyField
from etl.inbox.copy_stream import Fields, Stream
from tests.support import rfc4180

FIELDS = 3
NAMES = ("a", "b", "c")
values = st.text(alphabet='xy ,"\n\té0', max_size=6)
rows = st.lists(st.lists(values, min_size=FIELDS, max_size=FIELDS), max_size=12)
PLAIN = Fields(NAMES)
MONEY = {"b": MoneyField((1,), value_forms.cents)}
TYPED = Fields(
    NAMES,
    keys=(0,),
    forms={1: value_forms.form_of(Type.MONEY), 2: value_forms.form_of(Type.DATE)},
    money=MONEY,
)


def blocks_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def stream(data: bytes, size: int, fields: Fields = PLAIN) -> tuple[Stream, bytes]:
    header, found = csv_records.header_and_records(blocks_of(data, size))
    assert tuple(header) == fields.names
    sent = Stream(fields, b"7,")
    return sent, b"".join(sent.send(found))


def parsed(sent: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(sent.decode(), newline=""), strict=True))


@settings(max_examples=400, deadline=None)
@given(
    rows,
    st.integers(1, 40),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.booleans(),
)
@example([["x", "today's", "now"]], 5, "\n", csv.QUOTE_MINIMAL, False)
def test_every_row_goes_through_trimmed_with_its_line(
    drawn: list[list[str]], size: int, end: str, quoting: int, bom: bool
) -> None:
    # A row is rejected if one of its lines could be a row by itself.
    drawn = [row for row in drawn if not swallows(written([row], end, quoting))]
    data = (b"\xef\xbb\xbf" if bom else b"") + written([NAMES, *drawn], end, quoting)
    sent, stream_bytes = stream(data, size)
    line, wanted = 2, []
    for row in drawn:
        wanted.append(["7", str(line), *(field.strip(" \t") for field in row)])
        line += 1 + sum(field.count("\n") for field in row)
    # A row of nothing but blanks is written as a row of separators, so it is still a row.
    assert parsed(stream_bytes) == wanted
    assert sent.read == sent.sent == len(drawn)
    assert sent.rejects == []


def written(rows: Iterable[Iterable[str]], end: str, quoting: int) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator=end, quoting=quoting).writerows(rows)
    return out.getvalue().encode()


def swallows(record: bytes) -> bool:
    lines = record.decode().splitlines(keepends=True)
    return rfc4180.record(lines, FIELDS)[1] is None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(1, 64))
def test_whatever_the_bytes_every_record_is_sent_or_rejected(body: bytes, size: int) -> None:
    sent, stream_bytes = stream(b"a,b,c\n" + body, size)
    assert all(len(row) == FIELDS + 2 for row in parsed(stream_bytes))
    assert sent.read == len(parsed(stream_bytes)) + len(sent.rejects)
    again, same = stream(b"a,b,c\n" + body, 1 << 20)
    assert (same, again.rejects) == (stream_bytes, sent.rejects)


PIECES = [b'"', b'""', b",", b"\n", b"\r\n", b"x", b" ", b"2.50", b"2025-01-31", b"a,b,c", b"total"]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.integers(1, 64))
@example([b'x,5" pipe,x\n', b"x,x,x\n", b'x,2" tape,x\n'], 7)
@example([b'x,"5" pipe",x\n', b"x,x,x\n", b'x,"2" tape",x\n'], 7)
@example([b'x,"5 pipe,x\n', b"x,x,x\n", b'x,x,"x"\n'], 7)
@example([b'x,x,"Tape 2\n', b'x,x,x 5 yd"\n'], 7)
@example([b'x,"12 Main,x\n', b'x,Unit 5",x\n'], 7)
@example([b'x,x,"Tape 2\n', b'x,x,5"" pipe\n', b'x,x,5 yd"\n'], 7)
@example([b'x,x,"Tape 2\n', b'x,x,"5"" pipe"\n', b'x,x,5 yd"\n'], 7)
@example([b'x,x,"two, or\n', b'three, lines"\n'], 7)
@example([b'"two, or\n', b'three lines",x,x\n'], 7)
@example([b'x,"two\n', b'lines","a,b"\n'], 7)
def test_records_are_those_of_rfc_4180_and_lines_add_up(pieces: list[bytes], size: int) -> None:
    body = b"".join(pieces)
    sent, stream_bytes = stream(b"a,b,c\n" + body, size)
    wanted = rfc4180.read(body, list(NAMES))
    assert parsed(stream_bytes) == [["7", str(line), *row] for line, row in wanted.rows]
    assert [line for line, *_ in sent.rejects] == wanted.rejected
    assert (sent.blank, sent.read) == (wanted.blank, len(wanted.rows) + len(wanted.rejected))


@pytest.mark.parametrize("size", [7, 1 << 20])
def test_faults_are_rejected_one_row_each(size: int) -> None:
    body = b"\n".join(
        [
            b"1,2,2025-01-01",
            b"1,2",  # line 3
            b"",
            b'1,"never closed,3',  # line 5
            b"1,\xff,3",  # line 6
            b"1,a\rb,3",  # line 7
            b"1,2,Today",  # line 8
            b"today,2,",
            b'1,"2",""',
            b"1,a\0b,3",  # line 11
            b'1,5" pipe,3',  # line 12
            b'1,"5" pipe",3',  # line 13
            b"A,B,C",  # line 14
            b"TRAILER,7,",  # line 15
            b"4,1_000,",  # line 16
            b"4,,15-JAN-25",  # line 17
            b"4,5,",
        ]
    )
    sent, stream_bytes = stream(b"a,b,c\n" + body, size, TYPED)
    assert [(line, reason) for line, reason, _ in sent.rejects] == [
        (3, Reason.FIELD_COUNT),
        (5, Reason.OPEN_QUOTE),
        (6, Reason.NOT_UTF8),
        (7, Reason.STRAY_RETURN),
        (8, Reason.CLOCK_WORD),
        (11, Reason.NOT_UTF8),
        (12, Reason.STRAY_QUOTE),
        (13, Reason.STRAY_QUOTE),
        (14, Reason.REPEATED_HEADER),
        (15, Reason.TRAILER),
        (16, Reason.NOT_AN_AMOUNT),
        (17, Reason.NOT_A_DATE),
    ]
    assert [row[1] for row in parsed(stream_bytes)] == ["2", "9", "10", "18"]
    # Those of lines 2, 8, 9, 10 and 18; of the trailer and the header there are none.
    assert (sent.amounts.cents["b"], sent.amounts.unread["b"]) == (1300, 8)


def test_lines_of_the_stream_lead_back_to_those_of_the_file() -> None:
    sent, _ = stream(b'a,b,c\n1,2,3\n1,2\n\n1,"x\ny",3\n4,5,6\n', 7)
    # PostgreSQL reports the last line of a record in the stream.
    assert [sent.line_of(n) for n in (2, 4, 5)] == [2, 5, 7]


@pytest.mark.parametrize("size", [99, 1 << 20])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_empty_lines_in_bulk_keep_the_lines_of_the_rows(end: bytes, size: int) -> None:
    gap = end * 500
    body = gap + b"1,2,3" + gap + b'4,"x' + gap + b'y",6' + gap + b'7,"x,x' + gap + b"8,9,10" + gap
    sent, stream_bytes = stream(b"a,b,c\n" + body, size)
    wanted = rfc4180.read(body, list(NAMES))
    assert parsed(stream_bytes) == [["7", str(line), *row] for line, row in wanted.rows]
    assert [line for line, *_ in sent.rejects] == wanted.rejected
    assert (sent.blank, sent.read) == (wanted.blank, 4)


@pytest.mark.parametrize("opened", [b"", b'4,"never closed\n'])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_empty_lines_by_the_million_pass_in_seconds(end: bytes, opened: bytes) -> None:
    blocks = [b"a,b,c\n1,2,3\n" + opened, *[end * (1 << 19)] * 64, b"5,6,7\n"]
    begun = time.process_time()
    sent = Stream(PLAIN, b"7,")
    assert sum(map(len, sent.send(csv_records.header_and_records(blocks)[1])))
    assert (sent.sent, len(sent.rejects), sent.blank) == (2, bool(opened), 64 << 19)
    assert time.process_time() - begun < 3


SHORT = b"x" * 99 + b"\n"


@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize("long", [b"x" * (3 << 20), b'"' + SHORT * (20 << 10), b'"' * (2 << 20)])
def test_too_long_line_is_rejected_in_little_memory(long: bytes, end: bytes) -> None:
    data = b"a,b,c\n1,2,3\n4," + long + b",5\n6,7,8" + end
    sent, stream_bytes = stream(data, 1 << 16)
    assert [row[2:] for row in parsed(stream_bytes)] == [["1", "2", "3"], ["6", "7", "8"]]
    assert {reason for _, reason, _ in sent.rejects} <= {
        Reason.TOO_LONG,
        Reason.OPEN_QUOTE,
        Reason.FIELD_COUNT,
    }
    assert sent.read == 2 + len(sent.rejects)


@pytest.mark.parametrize(
    "date", [b"today", b'"NOW"', b"10:00 today", b"epoch ad", b'"mon, tomorrow"', b"\x0btoday"]
)
@pytest.mark.parametrize("size", [5, 1 << 20])
def test_a_date_that_the_clock_decides_is_rejected(date: bytes, size: int) -> None:
    dated = Fields(NAMES, forms={2: value_forms.form_of(Type.DATE)})
    data = b"a,b,c\ntoday,now,2025-01-01\n1,2," + date + b"\nsnow,2,\n"
    sent, stream_bytes = stream(data, size, dated)
    assert sent.rejects == [(3, Reason.CLOCK_WORD, 2)]
    assert [row[2:] for row in parsed(stream_bytes)] == [
        ["today", "now", "2025-01-01"],
        ["snow", "2", ""],
    ]


SIGNS = "0123456789.+-eExX_bnotrufalsyNTZ: ,/"
WRITTEN = [
    *("2025-01-31", "2025-01-31T10:00:00Z", "2025-01-31 10:00", "2025-01-31T10:00:00.123+05:30"),
    *("15-JAN-25", "1/5/25", "150125", "15.01.25", "1999-366", "J2460678", "2025-1-5", "20250131"),
    *("true", "F", "yes", "of", "on", "10.50", "-7", ".5", "5.", "1e3", "0x64", "0b11", "1_000"),
    *("2025", "99", "-", ".", "NaN", "Infinity", "2025-01-31 IST", "1.234", "9" * 17, ""),
]


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from([t for t in Type if t.form is not None]),
    st.lists(
        st.sampled_from(WRITTEN) | st.text(alphabet=SIGNS, max_size=21), min_size=1, max_size=6
    ),
    st.booleans(),
)
def test_block_check_accepts_no_value_that_the_row_check_refuses(
    type_: Type, drawn: list[str], quoted: bool
) -> None:
    form = value_forms.form_of(type_)
    assert form is not None
    drawn = [value.strip() for value in drawn if "," not in value]
    mark = '"' if quoted else ""
    body = "".join(f"k{n},,{mark}{value}{mark}\n" for n, value in enumerate(drawn))
    _, stream_bytes = stream(b"a,b,c\n" + body.encode(), 64, Fields(NAMES, forms={2: form}))
    passed = [row[4] for row in parsed(stream_bytes)]
    for value in set(passed) - {""}:
        assert form.pattern.fullmatch(value.encode()) or not would_be_taken(type_, value)
    assert {v for v in drawn if v and form.pattern.fullmatch(v.encode())} <= set(passed)


def would_be_taken(type_: Type, value: str) -> bool:
    """Whether PostgreSQL may take what a form refuses: numbers in digits it takes or refuses."""
    if type_ in (Type.INTEGER, Type.RATIO, Type.MONEY):
        return not set(value) <= set("0123456789.+-")
    if type_ is Type.BOOLEAN:
        return value.lower() in ("tr", "tru", "fa", "fal", "fals", "ye", "on", "of", "off")
    return True


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(WRITTEN)
        | st.decimals(-(10**11), 10**11, places=2).map(str)
        | st.text(alphabet="0123456789.+-", max_size=9),
        max_size=20,
    ),
    st.booleans(),
)
def test_amounts_of_whole_blocks_are_those_of_single_values(drawn: list[str], quoted: bool) -> None:
    mark = '"' if quoted else ""
    body = "".join(f"k{n},{mark}{value}{mark},\n" for n, value in enumerate(drawn))
    sent, _ = stream(b"a,b,c\n" + body.encode(), 1 << 20, Fields(NAMES, money=MONEY))
    read = [value_forms.cents(value.encode()) for value in drawn]
    assert sent.amounts.cents["b"] == sum(cents or 0 for cents in read)
    assert sent.amounts.unread["b"] == read.count(None)


@pytest.mark.parametrize(
    "head",
    ["a,b\n".encode("utf-16"), b"a,b\rc,d\r", b'a,"b\n1,2\n', b"a,\xff\n", b"a," * 1600 + b"b\n"],
)
def test_a_first_line_that_is_no_header_is_refused(head: bytes) -> None:
    with pytest.raises(csv_records.HeaderError):
        csv_records.header_and_records([head])


@pytest.mark.parametrize("limit", [1 << 17, 1 << 24])
def test_a_name_of_a_megabyte_is_refused_whatever_else_is_read_as_csv(limit: int) -> None:
    before = csv.field_size_limit(limit)
    try:
        with pytest.raises(csv_records.HeaderError, match="too long to be a header"):
            csv_records.header_and_records([b"x" * (1 << 20) + b",a\n"])
    finally:
        csv.field_size_limit(before)


PROVIDERS = Fields(
    ("provider_id", "name", "specialty", "city", "address_1"),
    keys=(0,),
    required=(1, 2, 3),
    feed="providers",
    columns=("provider_id", "name", "npi", "specialty", "city"),
)
HEADER = b"provider_id,name,specialty,city,address_1\n"
TOTALS = [
    *("Total records: 160,,,,", "TRAILER 000160,,,,", "TRAILER|160,,,,", "Records=160,,,,"),
    *("160 rows,,,,", "(3 rows),,,,", "3 rows selected.,,,,", "TOTAL 3,,,,", "1 record,,,,"),
    *("Total Providers,160,,,", '"Number of records: 1,600",,,,', "*** END OF FILE ***,,,,"),
    *("TRAILER-000160,,,,", "Providers: 160,,,,", "160 providers,,,,", "-- Grand Total --,9,,,"),
    *("T,160,,,", "Summe,,,,", "Gesamt,160,,,", "TOTAL,Dr Oak,Surgery,Salem,1 Main"),
    *("TRAILER|160", "160 rows", "Total,160", "(3 rows)"),
]
HEADERS = [
    *("Provider_ID,,,,", "Provider ID,NPI,Name,City,", "PROVIDERID,NPI,,,", "provider-id,x,y,z,1"),
    *("name,provider_id,npi,city,specialty", "address_1,city,name,,", '"Name","City","NPI",,'),
    "Provider ID,NPI,Name",
]
ROWS = [
    *("T1000", "TOTALCARE01", "SUM123", "TOTAL9", "END-100", "COUNT_7", "160ROWS", "SUMMIT 1"),
    *("T", "Summe", "SUMMERS", "Totally Care", "ROW 12", "Provider 12", "Count Basie 3", "R-160"),
    *("#160", "name", "City", "NAMES", "160", "ENDO CARE", "TRL160", "RECORDS1", "Recordati 5"),
]


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize(
    ("lines", "reason"), [(TOTALS, Reason.TRAILER), (HEADERS, Reason.REPEATED_HEADER)]
)
def test_headers_and_totals_are_no_rows(lines: list[str], reason: Reason, quoted: bool) -> None:
    # A value with a line end makes the whole block be read record by record.
    more = 'P7,"Dr\nOak",Surgery,Salem,1 Main\n' if quoted else ""
    for line in lines:
        body = f"P1,Dr Oak,Surgery,Salem,1 Main\n{line}\n{more}P2,Dr Elm,Surgery,Salem,1 Main\n"
        sent, _ = stream(HEADER + body.encode(), 1 << 20, PROVIDERS)
        assert [(at, why) for at, why, _ in sent.rejects] == [(3, reason)], line


@pytest.mark.parametrize("quoted", [False, True])
def test_a_key_that_only_looks_like_a_total_or_a_header_is_a_row(quoted: bool) -> None:
    body = "".join(f"{key},Dr Oak,Surgery,Salem,1 Main\n" for key in ROWS)
    body += 'P7,"Dr\nOak",Surgery,Salem,1 Main\n' if quoted else ""
    sent, _ = stream(HEADER + body.encode(), 1 << 20, PROVIDERS)
    assert sent.rejects == []
    assert sent.sent == len(ROWS) + quoted
