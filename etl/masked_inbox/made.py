"""Fields of which a contract makes several columns, or a column of several fields.

What of a field's text names a person is replaced, and what else the contract makes of it stays the
same: ``join("PATIENT", "START")`` gets another patient and the same day. A text is cut where one of
its uses begins or ends; each piece is kept, invented, or, if the contract uses it for nothing,
filled. What comes out is read again as the contract reads it, and the field is empty in the copy
if that does not give what it should.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from etl.contracts.column import Column, Identifier
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.value import (
    DATE_FORMS,
    Dated,
    Field,
    Given,
    Joined,
    Mapped,
    Part,
    Value,
)
from etl.masked_inbox.people import People, is_replaced

Span = tuple[int, int]
Change = Callable[[bytes], bytes]
# From the column that a piece names a person in, its text and whether it is the last, to its text.
Invent = Callable[[Column, str, bool], str | None]
Says = Literal["text", "listed", "unfit", "other"]

# Characters of a code among others in a key: 30 ** 11 codes, and five of them fit into a key.
_CODE = 12
# What is no word, no date and no number.
_WRONG = "?"
_NUMBER_OR_DAY = r"^[-+($]*[0-9][-+0-9.,:/'TZ %)]*$"
_LETTER, _DIGIT = re.compile("[^\\W\\d_]"), re.compile("\\d")


@dataclass(frozen=True, slots=True)
class Use:
    """What a contract makes of a field: ``words`` from the field outwards, up to the column.

    ``column``: none for a condition. ``listed``: words of the condition.
    """

    column: Column | None
    words: tuple[Value, ...]
    listed: frozenset[str] = frozenset()

    @property
    def names_people(self) -> bool:
        """Whether the column is one that masking replaces."""
        return self.column is not None and is_replaced(self.column)

    @property
    def is_joined(self) -> bool:
        """Whether it is one of several texts of a column."""
        return any(isinstance(word, Joined) for word in self.words)

    def span(self, text: str) -> tuple[Span | None, Says]:
        """Which characters of a text are used, and what they say.

        ``listed``: a word of a map or condition, a date, a number; ``unfit``: none of these, where
        the row is rejected without one; ``other``: a condition names it not; else ``text``.
        """
        start, end = 0, len(text)
        for word in self.words:
            read = text[start:end]
            if isinstance(word, Part):
                place = _place(word, read)
                if place is None:
                    return None, "text"
                start, end = start + place[0], start + place[1]
            elif isinstance(word, Given) or (isinstance(word, Mapped) and _is_nothing(word, read)):
                return None, "text"
            elif isinstance(word, Mapped | Dated) or word.counts:
                if _is_listed(word, read):
                    return (start, end), "listed"
                if not (isinstance(word, Mapped) and word.others == "keep"):
                    return (start, end), "unfit"
        if self.column is None:
            return (start, end), "listed" if text[start:end].lower() in self.listed else "other"
        return (start, end), "text"


def uses_of(contract: SenderContract, name: str) -> list[Use]:
    """All uses of a field by its name, in small letters."""
    repeated = contract.repeat.columns if contract.repeat else ()
    values = [*contract.values.items(), *((c, v) for c, several in repeated for v in several)]
    found = [
        Use(contract.feed.column(column), words)
        for column, value in values
        for words in ways(value, name)
    ]
    for condition in contract.where:
        listed = frozenset(word.lower() for word in condition.words)
        found += [Use(None, words, listed) for words in ways(condition.of, name)]
    return found


def field_change(name: str, contracts: Sequence[SenderContract], people: People) -> Change | None:
    """What gives a field another text, trimmed and without quotes; nothing if it stays as it is.

    ``name``: the field's, in small letters. ``contracts``: all under which its file is read, of
    which the first is that of its rows.
    """
    contract = contracts[0]
    target = contract.targets.get(name)
    column = contract.feed.column(target) if target else None
    uses = [use for c in contracts for use in uses_of(c, name)]
    if column is not None and is_replaced(column):
        return people.replacing(column, contract.parsing)
    if column is None or any(use.names_people for use in uses):
        return MadeField(uses, contract.parsing, people).replaced
    return None


def says_what_is_listed(uses: list[Use], text: str) -> bool:
    """Whether a whole text is a word of a map or condition, or a date, for all that use it."""
    spans = [use.span(text) for use in uses]
    return bool(spans) and all(says == "listed" for _, says in spans)


class MadeField:
    """Gives the texts of one field of which columns of people are made."""

    def __init__(self, uses: list[Use], parsing: Parsing, people: People) -> None:
        self._uses = uses
        self._people = people
        self._nothing = {word.lower() for word in parsing.null_words}
        self._canonical = {
            use.column: people.replacing(use.column, parsing)
            for use in self._uses
            if use.column is not None and use.names_people
        }

    def replaced(self, value: bytes) -> bytes:
        """The text in place of another, both trimmed and without quotes; nothing if none fits."""
        text = value.decode()
        if text.lower() in self._nothing:
            return value
        for invent in (self._whole, self._digits, self._of_same_length, self._longer_at_end):
            new = self._rewritten(text, invent)
            if new is not None:
                return (new + "\n" * (text.count("\n") - new.count("\n"))).encode()
        return b"\n" * text.count("\n")

    def _rewritten(self, text: str, invent: Invent) -> str | None:
        """The text with invented pieces; ``None`` if the contract would make others of it."""
        spans = [(use, *use.span(text)) for use in self._uses]
        edges = {0, len(text), *(edge for _, span, _ in spans if span for edge in span)}
        new, places = "", {0: 0}
        for start, end in pairwise(sorted(edges)):
            within = [(use, says) for use, s, says in spans if s and s[0] <= start and end <= s[1]]
            piece = self._piece(within, text[start:end], invent, is_last=end == len(text))
            if piece is None:
                return None
            new += piece
            places[end] = len(new)
        for use, span, says in spans:
            wanted = (places[span[0]], places[span[1]]) if span else None
            if use.span(new) != (wanted, says):
                return None
        return new

    def _piece(
        self, within: list[tuple[Use, Says]], text: str, invent: Invent, *, is_last: bool
    ) -> str | None:
        if any(says == "listed" and use.column is None for use, says in within):
            return text
        named = [u for u, says in within if u.names_people and says != "listed"]
        alone = [use for use in named if not use.is_joined]
        kept = {says for use, says in within if use not in named and says != "other"}
        if kept and not alone:
            return _WRONG * len(text) if kept == {"unfit"} else text
        if not named:
            return _filled(text)
        # Members' numbers are in numbers of claims, and are the same in the files of members.
        columns = [use.column for use in alone or named if use.column is not None]
        column = min(columns, key=lambda c: c.identifier is Identifier.RECORD_NUMBER)
        if not alone and invent == self._whole:
            # A key that is too long stays so, and another one does not become it.
            return self._people.code(column, text, max(_CODE, len(text)))
        return invent(column, text, is_last)

    def _whole(self, column: Column, text: str, _: bool) -> str:
        return self._canonical[column](text.encode()).decode()

    def _digits(self, column: Column, text: str, _: bool) -> str:
        return self._people.number(column, text)

    def _of_same_length(self, column: Column, text: str, _: bool) -> str | None:
        return self._people.code(column, text, len(text))

    def _longer_at_end(self, column: Column, text: str, is_last: bool) -> str | None:
        if is_last:
            return self._people.code(column, text, _CODE)
        return self._of_same_length(column, text, is_last)


def _is_nothing(word: Mapped, text: str) -> bool:
    return word.others == "nothing" and not _is_listed(word, text)


def _is_listed(word: Value, text: str) -> bool:
    if isinstance(word, Mapped):
        return text.lower() in {known.lower() for known, _ in word.words}
    form = DATE_FORMS[word.form] if isinstance(word, Dated) else _NUMBER_OR_DAY
    return re.search(form, text) is not None


def ways(value: Value, name: str) -> Iterator[tuple[Value, ...]]:
    """For each place of a field in a value, the words from the field outwards."""
    if isinstance(value, Field):
        if name in value.lowered:
            yield ()
        return
    for operand in value.operands:
        for words in ways(operand, name):
            yield (*words, value)


def _place(part: Part, text: str) -> Span | None:
    if part.pattern is not None:
        match = re.search(part.pattern, text)
        return match.span(1) if match and match[1] else None
    start = part.first - 1
    end = len(text) if part.length is None else start + part.length
    return (start, end) if start < end <= len(text) else None


def _filled(text: str) -> str:
    """A text of the same shape that says nothing."""
    return _DIGIT.sub("0", _LETTER.sub("x", text))
