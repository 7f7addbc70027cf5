"""Records with invented people, one for each record, rejected for the same reason or for none.

Of a sound record only the fields of people differ. Where a record will be rejected because its
fields cannot be distinguished, or because some value is in a column of another type, a name may be
anywhere in it: it becomes a record with the same fault, its key and its amounts, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from etl.contracts.column import Column
from etl.contracts.reasons import Reason
from etl.contracts.types import Type
from etl.inbox import copy_stream, csv_records, value_forms
from etl.inbox.block_scan import Layout, Marks
from etl.inbox.header import Header
from etl.inbox.no_rows import NoRows
from etl.masked_inbox import made
from etl.masked_inbox.people import People, is_replaced
from etl.masked_inbox.shared_keys import SharedKeys
from etl.render import parsing
from etl.stages.stage.rejected_keys import keys_of
from etl.stages.stage.rejects import money_fields

# So many fields of a column are remembered, if they are no longer than this.
_REMEMBERED = 1 << 16
_LONGEST_REMEMBERED = 100
_BLANKS = b" \t"
# Of no type, no key, and no word of a header or trailer.
_WRONG, _CLOCK_WORD = b"??", b"today"
_NO_KEY = b"?"
_SOME_TEXT, _SOME_NUMBER = b"x", b"0"
_TRAILER = b"TOTAL"
_OPEN_QUOTE, _STRAY_QUOTE = b'"?', b'?"?'
# A number of no more digits is nobody's; a longer one may be a member's, in the wrong column.
_DIGITS_OF_NOBODY = 3
_SOME_POSITION = b"1"
# What such types say names nobody.
_TIMES = (*(Type.DATE, Type.KEY_DATE, Type.TIMESTAMP, Type.YEAR, Type.KEY_YEAR, Type.BOOLEAN),)


class Rows:
    """Rewrites the records of files with one header.

    ``heads``: that of the rows, then those of other feeds under which the same files are read too.
    ``shared``: keys that other files have whole. Then ``rewritten`` raises ``ApartError`` for a
    record whose key the others would not have.
    """

    def __init__(
        self, heads: Sequence[Header], people: People, shared: SharedKeys | None = None
    ) -> None:
        head = heads[0]
        contract = head.contract
        contracts = [head.contract for head in heads]
        self._head = head
        self._count = len(head.names)
        self._parsing = contract.parsing
        self._nothing = {word.lower() for word in contract.parsing.null_words}
        self._columns: list[Column | None] = [
            None if target is None else contract.feed.column(target) for target in head.targets
        ]
        self._replaced: dict[int, made.Change] = {}
        # What is made of fields that are no columns as they stand.
        self._uses: dict[int, list[made.Use]] = {}
        # Of fields as they are written.
        self._changes: list[tuple[int, made.Change]] = []
        self._forms = {}
        self._cents = {
            at: money.read for money in money_fields(head).values() for at in money.positions
        }
        for at, column in enumerate(self._columns):
            uses = [use for c in contracts for use in made.uses_of(c, head.names[at])]
            changed = made.field_change(head.names[at], contracts, people)
            if column is None and not uses:
                self._changes.append((at, _emptied))
            elif changed:
                compared = shared.compared(at, heads, changed) if shared else changed
                self._changes.append((at, _in_place(compared)))
                is_as_it_stands = column is not None and is_replaced(column)
                if not is_as_it_stands:
                    self._uses[at] = uses
                if is_as_it_stands or any(use.names_people for use in uses):
                    self._replaced[at] = changed
            if column and (form := parsing.form(column, contract.parsing)):
                self._forms[at] = form
        self._no_rows = NoRows(
            head.names,
            head.key_fields,
            tuple(contract.targets),
            contract.feed.name,
            head.required_fields,
            head.marker_field,
        )

    def rewritten(self, block: list[bytes]) -> list[bytes]:
        """The records of a block, without the ends of their lines, one for each."""
        bodies = [record.removesuffix(b"\r") for record in block]
        plain = copy_stream.plain_block(block, self._count)
        if plain is None:
            return [self._looked_at(body) for body in bodies]
        odd = self._odd(plain[1]).tolist()
        return [
            self._looked_at(body) if is_odd else self._sound(body)
            for body, is_odd in zip(bodies, odd, strict=True)
        ]

    def _odd(self, layout: Layout) -> Marks:
        """Which records of a block have to be looked at one by one."""
        odd = self._no_rows.odd(layout)
        for at in self._forms:
            column = self._columns[at]
            assert column is not None  # it has a form
            form = value_forms.form_of(column.type)
            if form is not None and parsing.is_plain(column, self._parsing):
                odd |= form.odd(layout, at)
            else:
                odd |= layout.lengths(at) > 0
            if column.type is Type.KEY_DATE:
                odd |= layout.lengths(at) == 0
        return odd

    def _looked_at(self, record: bytes) -> bytes:
        if not record.strip(csv_records.NOTHING):
            return record
        if fault := copy_stream.fault_of(record, self._count):
            return self._blanked(record, fault)
        values = csv_records.values_of(csv_records.trimmed(record))
        if no_row := self._no_rows.fault(values):
            return self._no_row(no_row[0], record)
        wrong = self._wrong(values)
        return self._misfit(record, values, wrong) if wrong else self._sound(record)

    def _sound(self, record: bytes) -> bytes:
        """A record of which each value is in its column."""
        fields = csv_records.fields_of(record)
        for at, changed in self._changes:
            fields[at] = changed(fields[at])
        return b",".join(fields)

    def _wrong(self, values: list[bytes]) -> dict[int, bytes]:
        """Values that are not written as their types ask, by position, with what replaces them."""
        marker = self._head.marker_field
        is_marker = marker is not None and value_forms.is_true(values[marker])
        wrong = {}
        for at, form in self._forms.items():
            column, value = self._columns[at], values[at]
            if not value or self._says_nothing(value):
                if column is not None and column.type is Type.KEY_DATE and not is_marker:
                    wrong[at] = value
            elif not form.fullmatch(value.decode()):
                wrong[at] = self._as_wrong(at, value)
        return wrong

    def _as_wrong(self, at: int, value: bytes) -> bytes:
        column = self._columns[at]
        form = None if column is None else value_forms.form_of(column.type)
        is_clock_word = form is not None and form.fault(value) is Reason.CLOCK_WORD
        return _CLOCK_WORD if is_clock_word else _WRONG

    def _says_nothing(self, value: bytes) -> bool:
        return value.decode().lower() in self._nothing

    def _misfit(self, record: bytes, values: list[bytes], wrong: dict[int, bytes]) -> bytes:
        """A record that is rejected for a value: which values are in their columns is unknown."""
        kept = [
            wrong[at] if at in wrong else self._harmless(at, value)
            for at, value in enumerate(values)
        ]
        return _as_high(_joined(kept), record)

    def _harmless(self, at: int, value: bytes) -> bytes:
        column = self._columns[at]
        if not value:
            return b""
        if at in self._cents or self._says_nothing(value):
            return value
        if column is None:
            return self._harmless_made(at, value)
        if column.type in _TIMES:
            return value
        if column.type is Type.KEY_NUMBER:
            return value if len(value) <= _DIGITS_OF_NOBODY else _SOME_POSITION
        if replaced := self._replaced.get(at):
            return replaced(value).rstrip(b"\n")
        return _SOME_NUMBER if at in self._forms else _SOME_TEXT

    def _harmless_made(self, at: int, value: bytes) -> bytes:
        uses = self._uses.get(at, [])
        if made.says_what_is_listed(uses, value.decode()):
            return value
        if replaced := self._replaced.get(at):
            return replaced(value).rstrip(b"\n")
        # That there is a value may be what a condition asks.
        return _SOME_TEXT if any(use.column is None for use in uses) else b""

    def _no_row(self, reason: Reason, record: bytes) -> bytes:
        """A header or a trailer among the rows."""
        values = [b""] * self._count
        values[self._key_at] = self._word_of(reason)
        return _as_high(_joined(values), record)

    @property
    def _key_at(self) -> int:
        return self._head.key_fields[0]

    def _word_of(self, reason: Reason) -> bytes:
        """The text in place of a key by which a line is no row."""
        is_header = reason is Reason.REPEATED_HEADER
        return self._head.names[self._key_at].encode() if is_header else _TRAILER

    def _blanked(self, record: bytes, fault: Reason) -> bytes:
        """A record with the same fault, the key that it may be of, and amounts that can be read."""
        lead = self._lead(record)
        bare = csv_records.without_quoted(record)
        after_lead = b"," * max(bare.count(b",") - 1, 0)
        if fault is Reason.TOO_LONG:
            text = lead + b"," + after_lead
            return text.ljust(csv_records.LONGEST_RECORD + 1, _SOME_TEXT)
        if fault in (Reason.OPEN_QUOTE, Reason.STRAY_QUOTE):
            text = self._with_quote(record, fault, lead)
        elif fault is Reason.NOT_UTF8:
            rest = b"," + self._open_end if csv_records.is_open(record) else after_lead
            text = lead + b"," + _bad_byte(record) + rest
        elif fault is Reason.STRAY_RETURN:
            text = lead + b",\r" + _NO_KEY + after_lead
        else:
            reason = self._no_rows.fault_of_line(record)
            text = (self._word_of(reason) if reason else lead) + b"," * bare.count(b",")
        return _as_high(text, record)

    def _lead(self, record: bytes) -> bytes:
        """The key that a snapshot does not end for such a record, or what is no key."""
        if self._key_at:
            return _NO_KEY
        keys = keys_of(record.decode(errors="backslashreplace"), self._head)
        return self._replaced[0](next(iter(keys))[0].encode()) if keys else _NO_KEY

    @property
    def _open_end(self) -> bytes:
        """An open quote with more commas after it than a record has."""
        return _OPEN_QUOTE + b"," * (2 * self._count)

    def _with_quote(self, record: bytes, fault: Reason, lead: bytes) -> bytes:
        """A record with a quote that is not closed, or in the middle of a value.

        With all commas after an open quote no later line is taken for a part of its value. Where
        quotes leave too few commas outside, they do so here: at its end a file would be cut short.
        """
        is_open = fault is Reason.OPEN_QUOTE
        is_short = csv_records.without_quoted(record).count(b",") < self._count - 1
        values = copy_stream.values_despite(record, self._count, fault)
        if values is None:
            commas = b"" if is_short else b"," * (2 * self._count)
            return lead + b"," + (self._open_end if is_open else _STRAY_QUOTE + commas)
        kept = [b""] * self._count
        for at, cents in self._cents.items():
            is_unread = values[at] and cents(values[at]) is None
            kept[at] = _WRONG if is_unread else values[at]
        if 0 not in self._cents:
            kept[0] = lead
        thousands = self._parsing.thousands.encode()
        kept = [value.replace(thousands, b"") if thousands else value for value in kept]
        free = [at for at in range(1, self._count) if at not in self._cents]
        kept[free[0]] = _OPEN_QUOTE if is_open else _STRAY_QUOTE
        if is_short and not is_open:
            kept[free[-1]] = _STRAY_QUOTE
        return _joined(kept)


def _in_place(replaced: made.Change) -> made.Change:
    """What gives a field another value; blanks and quotes around it stay."""

    def changed(field: bytes) -> bytes:
        core = field.strip(_BLANKS)
        if core[:1] != b'"':
            return field.replace(core, replaced(core), 1) if core else field
        inner = core[1:-1]
        text = inner.strip(_BLANKS)
        if not text:
            return field
        new = inner.replace(text, replaced(text.replace(b'""', b'"')), 1)
        return field.replace(core, b'"' + new + b'"', 1)

    # Members' values come again in each claim.
    remembered = lru_cache(_REMEMBERED)(changed)
    return lambda field: (remembered if len(field) <= _LONGEST_REMEMBERED else changed)(field)


def _emptied(field: bytes) -> bytes:
    """A field that no contract knows."""
    lines = field.count(b"\n")
    return b'"' + b"\n" * lines + b'"' if lines else b""


def _joined(values: list[bytes]) -> bytes:
    """Values as a record."""
    return b",".join(b'"' + value + b'"' if b"," in value else value for value in values)


def _as_high(text: bytes, record: bytes) -> bytes:
    """Text in place of a record, with empty lines after it if that has several."""
    return text + b"\n" * record.count(b"\n")


def _bad_byte(record: bytes) -> bytes:
    """What makes a record no text: a NUL, or the first bytes that are not UTF-8."""
    try:
        record.decode()
    except UnicodeDecodeError as error:
        # A mark for a byte to which its encoding gives no sign has three.
        marked = record[error.start : error.start + 3]
        is_mark = len(marked) == 3 and marked[:1] == b"\xed" and marked[1] >= 0xA0
        return marked if is_mark else record[error.start : error.start + 1]
    return b"\0"
