"""Keys that one contract joins of several fields and another file of the inbox has whole.

A joined key is replaced field by field, so a whole one has to be replaced as if it were joined: it
is taken apart as the join puts it together, each part gets the text that the field has in its file,
and the join of these is the invented key. Where the fields of a row would be replaced otherwise, a
copy of their file would not meet the others, and there is none (``ApartError``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from etl.contracts.column import Column, Identifier
from etl.contracts.sender import SenderContract
from etl.contracts.value import Constant, Field, Joined, Mapped, Part, Value
from etl.inbox.header import Header
from etl.masked_inbox.made import Change, Use, field_change, uses_of, ways
from etl.masked_inbox.people import People, is_odd
from etl.render import parsing

_NUMBERS = (Identifier.MEMBER_NUMBER, Identifier.RECORD_NUMBER)


class ApartError(Exception):
    """A joined key would be another one than the same key in whole; ``column``: which it is."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


@dataclass(frozen=True)
class _Join:
    """How a file's contract joins a key. ``contracts``: those that the file is read under."""

    column: Column
    value: Joined
    names: tuple[str, ...]
    contracts: tuple[SenderContract, ...]
    people: People

    @cached_property
    def _free(self) -> int:
        """How many parts may be of any length."""
        return sum(_pattern(operand) is None for operand in self.value.of)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        """What takes a whole key apart into one group a part; nothing if that is not certain."""
        separator = re.escape(self.value.separator)
        if not all(map(_is_known, self.value.of)) or (self._free > 1 and not separator):
            return None
        any_text = f"(?:(?!{separator}).)+" if self._free > 1 else ".+"
        groups = (f"({_pattern(operand) or any_text})" for operand in self.value.of)
        return re.compile(separator.join(groups), re.DOTALL)

    @property
    def can_be_taken_apart(self) -> bool:
        """Whether each whole key says what it would have been joined of."""
        return self._pattern is not None

    def is_like(self, other: _Join) -> bool:
        """Whether the other joins as many texts in the same way."""
        one, two = self.value, other.value
        return one.separator == two.separator and len(one.of) == len(two.of)

    def whole(self, key: str) -> str | None:
        """The key that the join gives of the invented parts of a key; none if it joins no such."""
        found = self._pattern.fullmatch(key) if self._pattern else None
        if found is None:
            return None
        parts = [self.part(at, text) for at, text in enumerate(found.groups())]
        known = [part for part in parts if part is not None]
        return self.value.separator.join(known) if len(known) == len(parts) else None

    def part(self, at: int, text: str) -> str | None:
        """What a part of a key becomes; none where the join has no such part."""
        if self._free > 1 and self.value.separator in text:
            return None
        operand = self.value.of[at]
        if isinstance(operand, Constant | Mapped):
            return text
        name, use, changed = self._fields[at]
        if use.span(text) != ((0, len(text)), "text") or text.lower() in self.nothing:
            return None
        new = changed(text.encode()).decode()
        # What is kept of a name in another file's key would be the name.
        is_certain = new != text or self._is_of_form(name, text)
        return new if is_certain and use.span(new) == ((0, len(new)), "text") else None

    @cached_property
    def nothing(self) -> set[str]:
        """Words of the file that say that there is no value, in small letters."""
        return {word.lower() for word in self.contracts[0].parsing.null_words}

    @cached_property
    def _fields(self) -> dict[int, tuple[str, Use, Change]]:
        """Of each part that is of a field: its name, how it is used, and what replaces it."""
        found: dict[int, tuple[str, Use, Change]] = {}
        for at, operand in enumerate(self.value.of):
            for name in (n for field in operand.fields for n in field.lowered if n in self.names):
                changed = field_change(name, self.contracts, self.people) or _kept
                use = Use(self.column, next(ways(operand, name)))
                found.setdefault(at, (name, use, changed))
        return found

    def _is_of_form(self, name: str, text: str) -> bool:
        """Whether a text is a date, a number or a listed word, for some other use of its field."""
        for contract in self.contracts:
            for use in uses_of(contract, name):
                span, says = use.span(text)
                if use.names_people or use.column is None or span != (0, len(text)):
                    continue
                form = parsing.form(use.column, contract.parsing)
                if says == "listed" or (form and form.fullmatch(text)):
                    return True
        return False


class SharedKeys:
    """The keys of an inbox that some of its files have whole and others join.

    From then on ``people`` replaces those that are whole. ``files``: of each file the headers under
    which it is read, of which the first is that of its rows.
    """

    def __init__(self, people: People, files: Iterable[Sequence[Header]]) -> None:
        self._people = people
        whole: set[str] = set()
        joins: dict[str, list[_Join]] = defaultdict(list)
        for heads in files:
            for head in heads:
                whole |= _whole_keys(head)
                for join in self._joins(head.contract, heads):
                    joins[join.column.name].append(join)
        self._first = {name: found[0] for name, found in joins.items() if name in whole}
        for name, join in self._first.items():
            people.taken_apart[name] = join.whole

    def _joins(self, contract: SenderContract, heads: Sequence[Header]) -> Iterable[_Join]:
        names, contracts = heads[0].names, tuple(head.contract for head in heads)
        for column in _keys(contract):
            for value in contract.values_of(column.name):
                if isinstance(value, Joined) and value.is_in(names):
                    yield _Join(column, value, names, contracts, self._people)

    def compared(self, at: int, heads: Sequence[Header], changed: Change) -> Change:
        """How a field changes, compared with what other files have of it in whole keys.

        Raises ``ApartError`` where the contract joins a key that cannot be taken apart, and what it
        returns does so for a text of which another key would be made.
        """
        name = heads[0].names[at]
        uses = [
            (self._first[join.column.name], place, Use(join.column, words))
            for head in heads
            for join in self._joins(head.contract, heads)
            if join.column.name in self._first
            for place, operand in enumerate(join.value.of)
            for words in ways(operand, name)
            if self._fits(join)
        ]
        if not uses:
            return changed
        nothing = {word.lower() for word in heads[0].contract.parsing.null_words}

        def compared(value: bytes) -> bytes:
            new = changed(value)
            text = value.decode()
            if text.lower() not in nothing:
                for first, place, use in uses:
                    _compare(first, place, use, text, new.decode())
            return new

        return compared

    def _fits(self, join: _Join) -> bool:
        first = self._first[join.column.name]
        if first.can_be_taken_apart and first.is_like(join):
            return True
        raise ApartError(join.column.name)


def _compare(first: _Join, place: int, use: Use, text: str, new: str) -> None:
    span, says = use.span(text)
    # Of nothing nothing is joined, and what is unfit or odd costs its row.
    if span is None or says == "unfit" or is_odd(text[slice(*span)]):
        return
    in_new, _ = use.span(new)
    if in_new is None or first.part(place, text[slice(*span)]) != new[slice(*in_new)]:
        raise ApartError(first.column.name)


def _kept(value: bytes) -> bytes:
    return value


def _keys(contract: SenderContract) -> list[Column]:
    return [column for column in contract.feed.staged if column.identifier in _NUMBERS]


def _whole_keys(head: Header) -> set[str]:
    """The keys that one field of a file is."""
    return {
        column.name
        for column in _keys(head.contract)
        for value in head.contract.values_of(column.name)
        if isinstance(value, Field) and value.is_in(head.names)
    }


def _is_known(operand: Value) -> bool:
    """Whether the text of a field that gives an operand can be said from the operand's."""
    if isinstance(operand, Mapped):
        return operand.others != "keep"
    if isinstance(operand, Part):
        return isinstance(operand.of, Field) and operand.first == 1
    return isinstance(operand, Field | Constant)


def _pattern(operand: Value) -> str | None:
    """What texts an operand can be; none if of any length."""
    if isinstance(operand, Constant):
        return re.escape(operand.text)
    if isinstance(operand, Mapped):
        return "|".join(re.escape(word) for _, word in operand.words if word)
    if isinstance(operand, Part) and operand.length is not None:
        return f".{{{operand.length}}}"
    return None
