"""What a contract makes of a file, read row by row in plain Python and apart from the SQL.

It knows the vocabulary of values, the forms of numbers and dates, what a value may be, and which
row of a key stays. Of a row with several faults each is a right reason for its rejection.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

from etl.contracts.column import IS_DELETED, Between, Breach, Column, OneOf
from etl.contracts.reasons import Reason
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.types import DATES, LARGEST_AMOUNT, NULL_WORDS, NUMBERS, Type
from etl.contracts.value import (
    Constant,
    Dated,
    Field,
    First,
    Given,
    Joined,
    Mapped,
    OfFile,
    OpenEnd,
    Part,
    Repeat,
    Scaled,
    Shifted,
    Total,
    Value,
    Where,
)

Row = Mapping[str, str]
Faults = set[tuple[str | None, Reason]]
EXACT = Context(prec=2000)
RATIO_LIMIT = Decimal("99999999.9999995")
TRUE, FALSE = ("t", "true", "y", "yes", "1"), ("f", "false", "n", "no", "0")


class FaultError(Exception):
    """A value cannot be made or read."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


@dataclass
class Reading:
    """What becomes of a file.

    ``rows``: those that stay, each with its line and our values by column. ``rejected``: by line
    the faults, each of which is a right answer. ``duplicates``: rows that equal the one that stays.
    ``filtered_cents``: of rows that are not meant, by money column.
    """

    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    rejected: dict[int, Faults] = field(default_factory=dict)
    filtered: set[int] = field(default_factory=set)
    duplicates: int = 0
    added: int = 0
    filtered_cents: Counter[str] = field(default_factory=Counter)


class Model:
    """Reads files of one contract. ``of_file``: what the batch says of the file."""

    def __init__(
        self, contract: SenderContract, of_file: Mapping[OfFile, str], as_of: datetime
    ) -> None:
        self.contract = contract
        self.of_file = of_file
        self.as_of = as_of

    def read(self, rows: Iterable[tuple[int, Row]], header: Sequence[str]) -> Reading:
        """Read rows by their lines; ``header``: the names of their fields."""
        reading = Reading()
        names = {name.lower() for name in header}
        values = {
            column: value
            for column, value in self.contract.values.items()
            if all(any(n.lower() in names for n in f.names) for f in value.fields)
        }
        sound: list[tuple[int, dict[str, Any]]] = []
        for line, raw in rows:
            row = {name.lower(): text for name, text in raw.items()}
            if not self._is_meant(row):
                reading.filtered.add(line)
                for column, cents in self._amounts(values, row).items():
                    reading.filtered_cents[column] += cents
                continue
            made, faults = self._rows_of(values, row)
            if faults:
                reading.rejected[line] = faults
            else:
                sound += [(line, each) for each in made]
        self._keep_last(sound, reading)
        return reading

    def _is_meant(self, row: Row) -> bool:
        conditions = all(self._meets(condition, row) for condition in self.contract.where)
        repeat = self.contract.repeat
        return conditions and (repeat is None or any(self._has(v, row) for v in _first(repeat)))

    def _meets(self, condition: Where, row: Row) -> bool:
        try:
            text = self.text(condition.of, row) or ""
        except FaultError:
            return not condition.is_any  # none of the words
        return (text.lower() in {word.lower() for word in condition.words}) is condition.is_any

    def _has(self, value: Value, row: Row) -> bool:
        try:
            return self.text(value, row) is not None
        except FaultError:
            return True

    def _rows_of(
        self, values: Mapping[str, Value], row: Row
    ) -> tuple[list[dict[str, Any]], Faults]:
        """Our rows of one row of the file, and all that is wrong with any of them."""
        repeat = self.contract.repeat
        if repeat is None:
            made, faults = self._row(values, row)
            return [made], faults
        rows, all_faults = [], Faults()
        for at in range(repeat.times):
            if not self._has(_first(repeat)[at], row):
                continue
            number = {repeat.number: Constant(str(at + 1))} if repeat.number else {}
            here = {name: several[at] for name, several in repeat.columns}
            made, faults = self._row({**values, **number, **here}, row)
            rows.append(made)
            all_faults |= faults
        return rows, all_faults

    def _row(self, values: Mapping[str, Value], row: Row) -> tuple[dict[str, Any], Faults]:
        feed = self.contract.feed
        made: dict[str, Any] = {c.name: None for c in feed.staged}
        faults = Faults()
        for name, value in values.items():
            column = feed.column(name)
            try:
                made[name] = self.typed(column, value, row)
            except FaultError as error:
                faults.add((name, error.reason))
        faults |= self._missing(made, faults)
        faults |= self._outside(made)
        for first, second in feed.ordered:
            if made[first] and made[second]:
                days = (made[first] - made[second]).days
                if days > feed.canceled_days:
                    faults.add((second, Reason.OUT_OF_ORDER))
        return made, faults

    def _missing(self, made: Mapping[str, Any], faults: Faults) -> Faults:
        """Keys without which a row has no place; a delete marker needs no date."""
        found = Faults()
        at_fault = {name for name, _ in faults}
        for column in self.contract.feed.staged:
            if not column.type.mandatory or column.name in at_fault or made[column.name]:
                continue
            if not (column.type is Type.KEY_DATE and made.get(IS_DELETED.name)):
                found.add((column.name, column.type.refusal))
        return found

    def _outside(self, made: Mapping[str, Any]) -> Faults:
        found = Faults()
        for name, value in made.items():
            if value is not None and self.contract.breach(name) is Breach.REJECT_ROW:
                rule = self.contract.check(name)
                if isinstance(rule, Between):
                    low, high = rule.low, rule.high
                    is_out = (low is not None and value < low) or (
                        high is not None and value > high
                    )
                elif isinstance(rule, OneOf):
                    is_out = value.lower() not in {word.lower() for word in rule.values}
                else:
                    assert rule is not None
                    is_out = not re.fullmatch(rule.pattern.strip("^$"), value)
                if is_out:
                    found.add((name, Reason.BREACH))
        return found

    def _amounts(self, values: Mapping[str, Value], row: Row) -> dict[str, int]:
        """Cents of the amounts of a row that can be read, those that repeat all together."""
        repeat = self.contract.repeat
        several = {name: list(each) for name, each in repeat.columns} if repeat else {}
        cents = {}
        for name in self.contract.feed.money:
            cents[name] = 0
            for value in [values[name]] if name in values else several.get(name, []):
                try:
                    amount = self.typed(self.contract.feed.column(name), value, row)
                except FaultError:
                    continue
                cents[name] += int((amount or 0) * 100)
        return cents

    def _keep_last(self, sound: list[tuple[int, dict[str, Any]]], reading: Reading) -> None:
        """Keep the last row of a key and time; others equal it, or their lines are rejected."""
        feed = self.contract.feed
        groups: dict[Any, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        for line, row in sound:
            since = (row[feed.effective] if feed.effective else None) or self.as_of
            groups[(*(row[key] for key in feed.key), since)].append((line, row))
        losers = {
            (line, *(row[k] for k in feed.key), str(since)): row == group[-1][1]
            for (*_, since), group in groups.items()
            for line, row in group[:-1]
        }
        in_conflict = {line for (line, *_), is_equal in losers.items() if not is_equal}
        for line in in_conflict:
            reading.rejected[line] = {(feed.key[0], Reason.CONFLICT)}
        for (*_, since), group in groups.items():
            for line, row in group:
                is_loser = (line, *(row[k] for k in feed.key), str(since)) in losers
                if line in in_conflict:
                    continue
                reading.duplicates += is_loser
                if not is_loser:
                    reading.rows.append((line, row))
        left = [line for line, _ in sound if line not in in_conflict]
        reading.added = len(left) - len(set(left))

    # Values: text, then what is read of it.

    def text(self, value: Value, row: Row) -> str | None:
        """A value as text that is still to be read."""
        match value:
            case Field(names):
                return self._field(names, row)
            case Constant(text):
                return text
            case OfFile():
                return self.of_file[value]
            case Joined(of, separator):
                parts = self._all(of, row)
                return None if None in parts else separator.join(p for p in parts if p is not None)
            case First(of):
                return next((t for v in of if (t := self.text(v, row)) is not None), None)
            case Given(of):
                return "false" if self.text(of, row) is None else "true"
            case Mapped():
                return self._mapped(value, row)
            case Part():
                return self._part(value, row)
            case Dated():
                return self._dated(value, row)
        raise TypeError(value)

    def _all(self, of: Iterable[Value], row: Row) -> list[str | None]:
        """Each value; of several faults an unlisted word is the one that counts."""
        found, faults = [], []
        for value in of:
            try:
                found.append(self.text(value, row))
            except FaultError as fault:
                faults.append(fault)
        if faults:
            raise min(faults, key=lambda fault: fault.reason is not Reason.NOT_LISTED)
        return found

    def _field(self, names: Iterable[str], row: Row) -> str | None:
        nothing = {word.lower() for word in self.contract.parsing.null_words}
        for name in names:
            text = row.get(name.lower(), "")
            if text and text.lower() not in nothing:
                return text
        return None

    def _mapped(self, value: Mapped, row: Row) -> str | None:
        text = self.text(value.of, row)
        ours = {word.lower(): our for word, our in value.words}
        if text is None:
            return ours.get("")
        if text and text.lower() in ours:
            return ours[text.lower()]
        if value.others == "reject":
            raise FaultError(Reason.NOT_LISTED)
        return text if value.others == "keep" else None

    def _part(self, value: Part, row: Row) -> str | None:
        text = self.text(value.of, row)
        if text is None:
            return None
        if value.pattern is not None:
            match = re.search(value.pattern, text)
            return (match[1] or None) if match else None
        if value.length is None:
            return text[value.first - 1 :] or None
        last = value.first + value.length - 1
        return text[value.first - 1 : last] if len(text) >= last else None

    def _dated(self, value: Dated, row: Row) -> str | None:
        text = self.text(value.of, row)
        if text is None:
            return None
        if not re.fullmatch("[0-9]+", text) or len(text) != len(value.form):
            raise FaultError(Reason.NOT_A_DATE)
        parts = dict.fromkeys("YMD", "")
        for sign, digit in zip(value.form, text, strict=True):
            parts[sign] += digit
        year = parts["Y"]
        if value.century_from is not None:
            since = value.century_from
            year = str(since + (int(year) - since) % 100)
        return f"{year}-{parts['M'] or '01'}-{parts['D'] or '01'}"

    # Values of our types.

    def typed(self, column: Column, value: Value, row: Row) -> Any:
        """A value of the column's type; ``FaultError`` where it is none."""
        if value.gives_number:
            found: Any = self._number(column, value, row)
        elif value.gives_date:
            found = self._day(column, value, row)
        else:
            text = self.text(value, row)
            found = None if text is None else self._of_text(column, text)
        return None if found is None else _fitting(column, found, self.as_of)

    def _of_text(self, column: Column, text: str) -> Any:
        kind = column.type
        if kind in NUMBERS:
            return number(column, text, self.contract.parsing)
        if kind in DATES:
            return day(column, text, self.contract.parsing)
        if kind in (Type.YEAR, Type.KEY_YEAR, Type.KEY_NUMBER):
            most = 6 if kind is Type.KEY_NUMBER else 4
            if not re.fullmatch("[0-9]+", text) or len(text) > most or (most == 4 > len(text)):
                raise FaultError(kind.refusal)
            return int(text)
        if kind is Type.BOOLEAN:
            if text.lower() not in (*TRUE, *FALSE):
                raise FaultError(kind.refusal)
            return text.lower() in TRUE
        return text

    def _number(self, column: Column, value: Value, row: Row) -> Decimal | None:
        match value:
            case Scaled(of, factor):
                found = self._number(column, of, row)
                return None if found is None else EXACT.multiply(found, factor)
            case Total(of):
                terms, faults = [], []
                for each in of:
                    try:
                        terms.append(self._number(column, each, row))
                    except FaultError as fault:
                        faults.append(fault)
                if faults:
                    raise min(faults, key=lambda fault: fault.reason is not Reason.NOT_LISTED)
                given = [term for term in terms if term is not None]
                return sum(given, Decimal(0)) if given else None
        text = self.text(value, row)
        return None if text is None else number(column, text, self.contract.parsing)

    def _day(self, column: Column, value: Value, row: Row) -> date | None:
        match value:
            case Shifted(of, days):
                found = self._day(column, of, row)
                try:
                    return None if found is None else found + timedelta(days)
                except OverflowError:  # before the year 1, when no column has a date
                    raise FaultError(column.type.refusal) from None
            case OpenEnd(of, since):
                found = self._day(column, of, row)
                return None if found is None or found >= since else found
        text = self.text(value, row)
        if text is None:
            return None
        found = day(column, text, self.contract.parsing)
        return found.date() if isinstance(found, datetime) else found


def _first(repeat: Repeat) -> tuple[Value, ...]:
    return repeat.columns[0][1]


def _is_odd(sign: str) -> bool:
    """Whether no key may have it: a sign that is not seen, or a digit of another script."""
    kind = unicodedata.category(sign)
    return kind in ("Cc", "Cf") or (kind == "Nd" and not sign.isascii())


def _fitting(column: Column, found: Any, as_of: datetime) -> Any:
    """A value that its column can have; ``FaultError`` otherwise."""
    kind = column.type
    if isinstance(found, str):
        if kind.names_a_thing and (found.lower() in NULL_WORDS or found == "(unknown)"):
            if kind is Type.KEY:
                raise FaultError(Reason.NO_KEY)
            return None
        if len(found) > (column.most_characters or 0):
            raise FaultError(Reason.VALUE_TOO_LONG)
        if kind.names_a_thing and any(map(_is_odd, found)):
            raise FaultError(Reason.ODD_KEY)
    if kind is Type.MONEY:
        if abs(found) > Decimal(LARGEST_AMOUNT):
            raise FaultError(Reason.AMOUNT_TOO_LARGE)
        if found * 100 != int(found * 100):
            raise FaultError(kind.refusal)
    if kind is Type.RATIO and abs(found) >= RATIO_LIMIT:
        raise FaultError(kind.refusal)
    if kind is Type.INTEGER:
        if found != int(found) or not -(2**31) <= found < 2**31:
            raise FaultError(kind.refusal)
        found = int(found)
    if kind in (Type.YEAR, Type.KEY_YEAR) and not 1900 <= found <= 2199:
        raise FaultError(kind.refusal)
    if kind is Type.KEY_NUMBER and not found >= 1:
        raise FaultError(kind.refusal)
    if isinstance(found, date):
        if kind is Type.TIMESTAMP and not isinstance(found, datetime):
            found = datetime(found.year, found.month, found.day, tzinfo=UTC)
        last = 9999 if column.open_end else 2199
        if not 1900 <= found.year <= last:
            raise FaultError(kind.refusal)
        _judge_ahead(column, found, as_of)
    return found


def _judge_ahead(column: Column, found: date, as_of: datetime) -> None:
    if column.ahead_days is None:
        return
    at = found if isinstance(found, datetime) else datetime(*found.timetuple()[:3], tzinfo=UTC)
    is_open = column.open_end is not None and at.date() >= column.open_end
    if not is_open and at > as_of + timedelta(column.ahead_days):
        raise FaultError(Reason.TOO_FAR_AHEAD)


# Numbers and dates as senders write them.

_PIECES = "s?c?nc?p?|c?s?nc?p?"
_IN_PARENTHESES = r"c?\(c?nc?p?\)c?"
_WITH_SIGN_AFTER = "c?n(sc?|c?s)p?"


def number(column: Column, text: str, written: Parsing) -> Decimal:
    """A number as its sender writes it, from its pieces in their order."""
    kind = column.type
    is_whole = kind is Type.INTEGER
    marks = written.currency if kind is Type.MONEY else ()
    percent = written.percent and kind is Type.RATIO
    decimal = "" if is_whole else written.decimal
    is_own = not (
        (written.decimal != "." and not is_whole)
        or written.thousands
        or written.minus
        or marks
        or percent
    )
    if is_own:
        form = kind.form
        assert form is not None  # numbers have one
        if not re.fullmatch(form, text):
            raise FaultError(kind.refusal)
        return Decimal(text)
    pieces, signs, digits = "", [], ""
    rest = text
    while rest:
        if mark := next((m for m in marks if rest.startswith(m)), ""):
            pieces, rest = pieces + "c", rest[len(mark) :]
        elif rest[0] in "-+":
            pieces, rest = pieces + "s", rest[1:]
            signs.append(text[len(text) - len(rest) - 1])
        elif rest[0] in "()":
            pieces, rest = pieces + rest[0], rest[1:]
        elif rest[0] == "%" and percent:
            pieces, rest = pieces + "p", rest[1:]
        elif rest[0] == " ":
            rest = rest[1:]
        elif found := re.match(rf"[0-9][0-9{re.escape(written.thousands + decimal)}]*", rest):
            pieces, digits, rest = pieces + "n", digits + found[0], rest[len(found[0]) :]
        else:
            raise FaultError(kind.refusal)
    allowed = [_PIECES]
    allowed += [_IN_PARENTHESES] * ("parentheses" in written.minus)
    allowed += [_WITH_SIGN_AFTER] * ("after" in written.minus)
    if not any(re.fullmatch(each, pieces) for each in allowed):
        raise FaultError(kind.refusal)
    whole, mark, cents = digits.partition(decimal) if decimal else (digits, "", "")
    if written.thousands and written.thousands in whole:
        first, *groups = whole.split(written.thousands)
        if not 1 <= len(first) <= 3 or any(len(group) != 3 for group in groups):
            raise FaultError(kind.refusal)
        whole = whole.replace(written.thousands, "")
    if not re.fullmatch("[0-9]+", whole) or not re.fullmatch("[0-9]*", cents):
        raise FaultError(kind.refusal)
    found_number = Decimal(f"{whole}.{cents or 0}")
    if "-" in signs or "(" in pieces:
        found_number = EXACT.minus(found_number)
    return EXACT.divide(found_number, Decimal(100)) if "p" in pieces else found_number


def day(column: Column, text: str, written: Parsing) -> date:
    """A date or an instant as its sender writes it."""
    refusal = column.type.refusal
    is_own = written.date_order == "ymd"
    if is_own:
        form = column.type.form
        assert form is not None  # dates have one
        if not re.fullmatch(form, text):
            raise FaultError(refusal)
    first, *time = re.split("[ T]", text, maxsplit=1)
    parts = re.split(r"[-/.]", first)
    if len(parts) != 3 or not all(re.fullmatch("[0-9]{1,4}", part) for part in parts):
        raise FaultError(refusal)
    order = "ymd" if len(parts[0]) == 4 else written.date_order
    if order == "ymd" and len(parts[0]) != 4:
        raise FaultError(refusal)
    by_sign = dict(zip(order, parts, strict=True))
    if len(by_sign["y"]) != 4 or len(by_sign["m"]) > 2 or len(by_sign["d"]) > 2:
        raise FaultError(refusal)
    clock = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?Z?", time[0]) if time else None
    if time and clock is None:
        raise FaultError(refusal)
    hour, minute, second = (int(part or 0) for part in clock.groups()) if clock else (0, 0, 0)
    try:
        found = datetime(*(int(by_sign[sign]) for sign in "ymd"), hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise FaultError(refusal) from None
    return found if column.type is Type.TIMESTAMP else found.date()
