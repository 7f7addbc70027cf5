"""Header: under which contract a file comes, and how its columns differ from it and from before.

Every difference is reported in one sentence, and for machines in ``findings``.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

from etl.contracts.column import IS_DELETED
from etl.contracts.feed import Feed
from etl.contracts.refusals import Refusal
from etl.contracts.sender import SenderContract
from etl.contracts.senders import contracts_for, contracts_of
from etl.contracts.value import Field, OfFile, Value
from etl.errors import BatchError
from etl.inbox import csv_records, encodings, file_form, misread, values_of_file
from etl.inbox.batch import Batch, FeedFile

Findings = dict[str, Any]

# How like a name must be to one that is missing, to be shown next to it or asked about.
_NEAR = 0.6
_MOST_NAMES = 10
# How numbers, days, telephone numbers and addresses of e-mail begin or are made, and no name is.
_VALUE = re.compile(r"[-+(.0-9]|[^ ]+@")
# Finding: what the batch said of the file, where its contract makes values of that.
OF_FILE = "values_of_file"


@dataclass(frozen=True, slots=True)
class PreviousFile:
    """The file before this one: its columns in order, none if that is not known; its ``as_of``."""

    columns: list[str]
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a file, as its contract reads it.

    ``names``: as the file has them, in lower case. ``targets``: our column for each of them that
    is one as it stands, else ``None``. ``of_file``: what the batch says of the file, where the
    contract asks.
    """

    contract: SenderContract
    names: tuple[str, ...]
    targets: tuple[str | None, ...]
    byte_order_mark: bool
    crlf: bool
    of_file: Mapping[OfFile, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Our columns, each once: those of fields in the file's order, then those that are made."""
        repeat = self.contract.repeat
        found = [target for target in self.targets if target]
        return list(dict.fromkeys([*found, *self.made, *(repeat.names if repeat else ())]))

    @property
    def made(self) -> dict[str, Value]:
        """The columns that are made of what the file has."""
        made = self.contract.made.items()
        return {column: value for column, value in made if value.is_in(self.names)}

    @property
    def extra(self) -> list[str]:
        """Names that the contract does not know."""
        known = self.contract.uses
        return [name for name in self.names if name not in known]

    @property
    def names_values(self) -> bool:
        """Whether some unknown names are written as values are.

        Then a row is on the line of the header, whose end was lost, and any of them may be of a
        person.
        """
        return any(_VALUE.match(name) for name in self.extra)

    @property
    def names_to_keep(self) -> list[str]:
        """The names as the ledger has them: those that may be values are known by their place."""
        if not self.names_values:
            return list(self.names)
        known = self.contract.uses
        return [
            name if name in known else f"(column {number})"
            for number, name in enumerate(self.names, 1)
        ]

    def fields(self, column: str) -> list[int]:
        """Positions of the fields that are this column, the one to prefer first."""
        preferred = list(self.contract.targets)
        found = [at for at, target in enumerate(self.targets) if target == column]
        return sorted(found, key=lambda at: preferred.index(self.names[at]))

    def positions(self, field: Field) -> list[int]:
        """Positions of a field by its names, the one to prefer first."""
        return [self.names.index(name) for name in field.lowered if name in self.names]

    def sources(self, column: str) -> list[int]:
        """Positions of the fields that a column is, or is made of."""
        made = self.contract.made.get(column)
        if made is None:
            return self.fields(column)
        return [at for field in made.fields for at in self.positions(field)]

    def columns_at(self, position: int) -> list[str]:
        """Our columns that a field is, or of which it makes a part."""
        target, name = self.targets[position], self.names[position]
        if target is not None:
            return [target]
        repeat = self.contract.repeat
        values = [*self.contract.made.items()]
        values += [(c, v) for c, several in repeat.columns for v in several] if repeat else []
        found = (c for c, v in values if any(name in field.lowered for field in v.fields))
        return list(dict.fromkeys(found))

    @property
    def key_fields(self) -> tuple[int, ...]:
        """Positions of the fields that make up the key."""
        return tuple(at for key in self.contract.feed.key for at in self.sources(key)[:1])

    @property
    def required_fields(self) -> tuple[int, ...]:
        """Positions of the fields, those of the key apart, that every row should fill."""
        required = (c for c in self.contract.required if c not in self.contract.feed.key)
        return tuple(at for column in required for at in self.sources(column)[:1])

    @property
    def marker_field(self) -> int | None:
        """Position of the field that says that a row is a delete marker."""
        return next(iter(self.fields(IS_DELETED.name)), None)


def read(
    batch: Batch,
    file: FeedFile,
    blocks: Callable[[SenderContract], Iterable[bytes]],
    watch: Callable[[Iterable[bytes]], Iterator[bytes]] = iter,
) -> tuple[Header, file_form.Records]:
    """A file's header and its records as UTF-8, under the contract that fits it.

    That is the contract which the manifest names, else the first whose required columns are all
    there, the feed's own before those of senders. ``blocks``: the file's bytes under a contract,
    whose sheet of a workbook is another one. ``watch`` sees its text go past. Raises ``BatchError``
    if none fits.
    """
    where = f"{file.name} of batch {batch.batch_id}"
    candidates = contracts_for(file.feed, file.expected.contract)
    nearest: tuple[int, SenderContract, list[str]] | None = None
    unread: csv_records.HeaderError | None = None
    for contract, head, rest in _beginnings(where, file, blocks, candidates):
        encoding = file.encoding_under(contract)
        try:
            text = encodings.transcoded([head], encoding)
            found, _ = file_form.header_and_records(text, contract.form)
        except csv_records.HeaderError as error:
            unread = unread or error
            continue
        names = _names(where, found, contract)
        missing = _missing(contract, names)
        if not missing:
            text = encodings.transcoded(chain([head], rest), encoding)
            said = values_of_file.of(batch, file, contract)
            _, records = file_form.header_and_records(watch(text), contract.form)
            return _header(contract, names, head, said), records
        if nearest is None or len(missing) < nearest[0]:
            nearest = len(missing), contract, names
    if nearest is not None:
        raise _lacking(where, nearest[1], nearest[2])
    raise BatchError(
        Refusal.WRONG_HEADER,
        f"{where} {unread}.",
        "Ask the sender for a CSV file in UTF-8 whose first line names its columns.",
    ) from unread


def _beginnings(
    where: str,
    file: FeedFile,
    blocks: Callable[[SenderContract], Iterable[bytes]],
    candidates: list[SenderContract],
) -> Iterator[tuple[SenderContract, bytes, Iterator[bytes]]]:
    """Each contract with the first bytes of the file that it reads, and those after them."""
    if not file.differs_by_contract:
        head, rest = _beginning(where, blocks(candidates[0]), candidates)
        yield from ((contract, head, rest) for contract in candidates)
        return
    refused: BatchError | None = None
    for contract in candidates:
        try:
            head, rest = _beginning(where, blocks(contract), [contract])
        except BatchError as error:
            # What cannot be read under this contract may be under the next.
            if contract is candidates[0]:
                refused = error
            continue
        yield contract, head, rest
    if refused is not None:
        raise refused


def _beginning(
    where: str, blocks: Iterable[bytes], contracts: list[SenderContract]
) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes of a text, if they can be those of a CSV file of these contracts."""
    head, rest = csv_records.peek(blocks)
    if kind := encodings.kind_of(head):
        raise BatchError(
            Refusal.NOT_CSV,
            f"{where} is {kind}, not a CSV file of UTF-8 text.",
            "Ask the sender for the CSV file itself, plain or packed with gzip or zip as .csv.gz "
            "or .csv.zip, or for a workbook of Excel as .xlsx.",
        )
    misread.check(where, head, contracts)
    return head, rest


def of_names(
    feed: Feed, contract: str | None, names: list[str], findings: Findings | None = None
) -> Header:
    """The header of a file that was read before, from what the ledger keeps of it.

    ``findings``: those of the file; without them it is not known what its batch said of it.

    Raises ``BatchError`` if its contract is declared no more: its rows cannot be read otherwise.
    """
    known = {found.name: found for found in contracts_of(feed)}
    wanted = contract or feed.name
    if wanted not in known:
        raise BatchError(
            Refusal.CONTRACT_GONE,
            f"The file came under the contract {shown(wanted)}, which is declared no more.",
            "Declare it again in etl/contracts/senders, then replay the rows; nothing was changed.",
        )
    kept = (findings or {}).get(OF_FILE, {})
    return _header(known[wanted], names, b"", values_of_file.from_findings(known[wanted], kept))


def _names(where: str, found: list[str], contract: SenderContract) -> list[str]:
    """The names of a header, made comparable; a name that no contract has may be a value."""
    names = [name.strip().lower() for name in found]
    if not any(names):
        raise BatchError(
            Refusal.WRONG_HEADER,
            f"{where} is empty: it has no header.",
            "Ask the sender for the file again, or take it out of the batch.",
        )
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if twice and not any(name in contract.uses for name in names):
        raise _no_header(where, contract)
    if twice:
        known = next((name for name in twice if name in contract.uses), None)
        at = [number for number, name in enumerate(names, 1) if name == twice[0]]
        raise BatchError(
            Refusal.WRONG_HEADER,
            f"{where} names the column {shown(known)} more than once."
            if known
            else f"{where} has the same name for its columns {at[0]:,} and {at[1]:,}.",
            "Ask the sender for a file in which every column has a name of its own.",
        )
    return names


def _no_header(where: str, contract: SenderContract) -> BatchError:
    """About a first line that names nothing known: what it says instead may be of a person."""
    return BatchError(
        Refusal.WRONG_HEADER,
        f"{where} names none of the columns of {contract.feed.name} in its first line.",
        "Ask the sender for a file whose first line names its columns, or declare in a contract "
        "what they are called, or that there is no such line (docs: a new sender).",
    )


def _missing(contract: SenderContract, names: list[str]) -> list[str]:
    """Required columns of ours for which the header has no name."""
    values = contract.values
    return [c for c in contract.required if c in values and not values[c].is_in(names)]


def _lacking(where: str, contract: SenderContract, names: list[str]) -> BatchError:
    known, values = contract.uses, contract.values
    extra = [name for name in names if name not in known]
    said, missing, alike = [], _missing(contract, names), 0
    for column in missing:
        wanted = [name for field in values[column].fields for name in field.lowered]
        near = [n for name in wanted for n in difflib.get_close_matches(name, extra, 1, _NEAR)]
        said.append(column + (f" (the file has {shown(near[0])})" if near else ""))
        alike += bool(near)
    if len(extra) == len(names) and alike * 2 < len(missing):
        return _no_header(where, contract)
    own = contract.name == contract.feed.name
    return BatchError(
        Refusal.WRONG_HEADER,
        f"{where} lacks required columns: {', '.join(said)}."
        if own
        else f"{where} lacks required columns of the contract {contract.name}: {', '.join(said)}.",
        "Ask the sender for the columns that the contract names (docs: data dictionary).",
    )


def _header(
    contract: SenderContract, names: list[str], head: bytes, of_file: Mapping[OfFile, str]
) -> Header:
    known = contract.targets
    return Header(
        contract,
        tuple(names),
        tuple(known.get(name) for name in names),
        byte_order_mark=head.startswith(csv_records.BOM),
        crlf=head.partition(b"\n")[0].endswith(b"\r"),
        of_file=of_file,
    )


def drift(
    header: Header, as_of: datetime, before: PreviousFile | None
) -> tuple[list[str], Findings]:
    """How the columns differ from the contract and from the file before: sentences, findings."""
    columns, extra, contract = header.columns, header.extra, header.contract
    notes: list[str] = []
    findings: Findings = {}
    was = (before.columns if before else []) or columns
    lost = [column for column in was if column not in columns]
    is_row = header.names_values
    asked = {} if contract.sends_more or is_row else _asked(header)
    for name, column in asked.items():
        notes.append(
            f"unknown column {shown(name)} ignored; {column}, which the last file had, is "
            "missing: did the sender rename it?"
            if column in lost
            else f"unknown column {shown(name)} ignored; did the sender mean {column}?"
        )
    others = [name for name in extra if name not in asked]
    if is_row and not contract.sends_more:
        notes.append(
            f"ignored {len(extra):,} unknown columns, some named as values are: is a line end "
            "missing after the header?"
        )
    elif others and not contract.sends_more:
        notes.append("ignored unknown columns: " + _listed(shown(name) for name in others))
    gone = [column for column in lost if column not in asked.values()]
    if gone:
        notes.append(f"optional columns that the last file had are missing: {_listed(gone)}")
    new = [column for column in columns if column not in was]
    if new:
        notes.append(f"optional columns that the last file did not have are taken: {_listed(new)}")
    moved = [c for c in columns if c in was] != [c for c in was if c in columns]
    if moved:
        notes.append("the columns come in another order than in the last file")
    days = contract.expected_freshness_days
    if before and days is not None and (late := (as_of - before.as_of).days) > days:
        notes.append(f"the last file came {late:,} days before, and {days:,} may pass")
        findings["days_since_last"] = late
    found = {
        "byte_order_mark": header.byte_order_mark,
        "crlf": header.crlf,
        "extra_columns": [] if is_row else extra,
        "lost_columns": lost,
        "new_columns": new,
        "reordered": moved,
    }
    return notes, findings | {name: value for name, value in found.items() if value}


def _asked(header: Header) -> dict[str, str]:
    """Unknown names that are nearly those of a column that the file does not have."""
    known = header.contract.targets
    free = {name: column for name, column in known.items() if column not in header.columns}
    found: dict[str, str] = {}
    for name in header.extra:
        near = difflib.get_close_matches(name, free, 1, _NEAR)
        if near and free[near[0]] not in found.values():
            found[name] = free[near[0]]
    return found


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _MOST_NAMES
    return ", ".join(listed[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def shown(name: str) -> str:
    """A name from a file, made fit for a message."""
    return ascii(name[:63])
