"""Lines of a file that are no rows of it: headers among the rows, and lines that count or add up.

A key may be any text, so a line is taken for one of these only by words that say so. Letters with
digits right after them (``T1000``, ``SUM123``) are a key, whatever the letters spell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from etl.contracts.reasons import Reason
from etl.inbox import block_scan
from etl.inbox.block_scan import Layout, Marks

# Words that say that a line counts or adds up others.
_TOTALS = frozenset(
    (
        *("trailer", "trl", "tlr", "footer", "eof", "end", "rows", "records"),
        *("total", "totals", "subtotal", "subtotals", "sum", "sums", "count", "counts"),
    )
)
# Of these no key is made, so that a hyphen before a number does not make one.
_PLAIN_SPEECH = frozenset(("trailer", "footer", "eof", "subtotal", "rows", "records"))
# Words that may come with them, as may those of the feed's name and of its columns.
_FILLERS = frozenset(
    (
        *("grand", "sub", "of", "in", "the", "for", "all", "this", "is", "are", "as", "at"),
        *("number", "no", "nr", "file", "data", "batch", "feed", "page", "date", "amount"),
        *("row", "record", "line", "lines", "amounts", "selected", "affected", "returned"),
        *("loaded", "written", "exported", "extracted", "read", "processed"),
    )
)
# What is counted where the number comes first, as psql and others end what they print.
_COUNTED = frozenset(("row", "rows", "record", "records", "line", "lines"))
_TOKENS = re.compile(r"[^\W\d_]+|\d[\d.,']*")
_JOINED = re.compile(r"[^\W\d_]\d|\d[^\W\d_]")
_HYPHENED = re.compile(r"[^\W\d_][-_./]\d|\d[-_./][^\W\d_]")
_IS_SAID = re.compile(r"[:=|]")
_NOT_IN_NAMES = re.compile(r"[\W_]+")
_NUMBER = re.compile(rb"[-+]?[0-9][0-9.,]*")
_LONE_WORD = re.compile(r"[^\W\d_]{1,12}")
# So many numbers may be on a line that says nothing else: a count and a sum.
_MOST_NUMBERS = 2

# Signs of which keys are not made: what has none of them, and a digit, is a key.
_SIGNS = b" \t:=|;#*()[]<>"
_IN_WORDS = re.compile(
    rb"[^0-9]+"
    rb"|[^" + re.escape(_SIGNS) + rb"]*+[" + re.escape(_SIGNS) + rb"].*"
    rb"|(?:" + "|".join(sorted(_PLAIN_SPEECH)).encode() + rb").*",
    re.DOTALL | re.IGNORECASE,
)


class NoRows:
    """What is no row of a file with this header.

    ``names``: of the header, in lower case. ``keys``: positions of the key. ``columns``: names that
    the feed knows; ``feed``: its own. ``required``: positions of the fields, those of the key
    apart, that every row should fill but for delete markers, which ``marker`` recognizes.
    """

    def __init__(
        self,
        names: Sequence[str],
        keys: Sequence[int] = (),
        columns: Sequence[str] = (),
        feed: str = "",
        required: Sequence[int] = (),
        marker: int | None = None,
    ) -> None:
        self._names = {_bare(name) for name in (*names, *columns)} - {""}
        self._keys = tuple(keys)
        self._key_at = self._keys[0] if keys else 0
        self._key_name = _bare(names[keys[0]]) if keys else None
        self._required = tuple(required)
        self._marker = marker
        self._feed = feed.lower()
        words = {word for name in (*names, *columns) for word in _TOKENS.findall(name.lower())}
        self._fillers = _FILLERS | words | {self._feed, self._feed.removesuffix("s")}
        self._counted = _COUNTED | ({self._feed, self._feed.removesuffix("s")} - {""})
        starts = {word[:3] for word in _TOTALS | {"number", "no", "nr", "all", "grand", "sub"}}
        starts |= {word[:3] for word in self._fillers if word == self._feed and word}
        self._starts = [start.encode() for start in sorted(starts)]
        self._starts += [_SIGNS[at : at + 1] for at in range(len(_SIGNS))] + [b"-"]
        # A name with digits in it looks like a key.
        numbered = sorted(name for name in names if re.search(r"\d", name))
        self._names_like_keys = [name[:6].encode() for name in numbered]
        self._looked_at = [*self._names_like_keys, *(word.encode() for word in _PLAIN_SPEECH)]

    def odd(self, layout: Layout) -> Marks:
        """Which records of a whole block may be no rows."""
        found = np.zeros(len(layout.begins), np.bool_)
        for at in self._keys or (self._key_at,):
            found |= block_scan.begins_with(layout, at, self._looked_at)
            found |= block_scan.is_in_words(layout, at, self._starts, _SIGNS)
        return found

    def fault(self, values: Sequence[bytes]) -> tuple[Reason, int | None] | None:
        """Why the values of a sound record are no row; the position of the key that says so."""
        if self._is_header(values, values[self._key_at]):
            return Reason.REPEATED_HEADER, None
        for at in self._keys:
            key = values[at]
            if _IN_WORDS.fullmatch(key) and (self._counts(key) or self._is_lone(values, key)):
                return Reason.TRAILER, at
        return None

    def fault_of_line(self, line: bytes) -> Reason | None:
        """Why a line with another number of fields than the header is no row."""
        values = [value.strip(b' \t"') for value in line.split(b",")]
        if self._is_header(values, values[0]):
            return Reason.REPEATED_HEADER
        return Reason.TRAILER if self._keys and self._counts(values[0]) else None

    def _is_header(self, values: Sequence[bytes], key: bytes) -> bool:
        if not (_IN_WORDS.fullmatch(key) or self._names_like_keys):
            return False
        name = _bare(_text(key))
        if name not in self._names:
            return False
        if name == self._key_name:
            return True
        filled = [value for value in values if value]
        named = sum(_bare(_text(value)) in self._names for value in filled)
        return named > 1 and named * 2 > len(filled)

    def _counts(self, key: bytes) -> bool:
        """Whether the text in place of a key says that the line counts or adds up others."""
        text = _text(key)
        tokens = _TOKENS.findall(text)
        words = [token for token in tokens if not token[0].isdigit()]
        if not words or _JOINED.search(text):
            return False
        if _HYPHENED.search(text) and words[0] not in _PLAIN_SPEECH:
            return False
        if not all(word in _TOTALS or word in self._fillers for word in words):
            return False
        if any(word in _TOTALS for word in words):
            return True
        if tokens[0] != words[0]:
            return tokens[1:] == words and words[0] in self._counted
        return words == [self._feed] and len(tokens) > 1 and _IS_SAID.search(text) is not None

    def _is_lone(self, values: Sequence[bytes], key: bytes) -> bool:
        """Whether a row has a word for its key and nothing that a row is about."""
        is_marker = self._marker is not None and values[self._marker]
        if is_marker or not self._required or not _LONE_WORD.fullmatch(_text(key)):
            return False
        filled = [values[at] for at in self._required if values[at]]
        if len(filled) == len(self._required) or len(filled) > _MOST_NUMBERS:
            return False
        return all(_NUMBER.fullmatch(value) for value in filled)


def _text(value: bytes) -> str:
    return value.decode(errors="replace").strip().lower()


def _bare(name: str) -> str:
    """A name without what senders spell differently."""
    return _NOT_IN_NAMES.sub("", name.lower())
