"""Make one file of claims of a Synthea export, of which the amounts are in another.

Sums over the rows of ``claims_transactions.csv`` are what no contract can say. The result is
``claims.csv`` as it was with four columns more, in a folder of the inbox next to both originals,
whose names get an underscore. Claims keep their order, and ``TRANSACTION_LINES`` has the lines of
the transactions that were added up: from a row of the warehouse one gets to each of them.
"""

from __future__ import annotations

import csv
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from etl.cli.guard import guarded
from etl.errors import UsageError

CLAIMS, TRANSACTIONS = "claims.csv", "claims_transactions.csv"
_SUMMED = ("TYPE", "AMOUNT", "METHOD", "PAYMENTS", "PROCEDURECODE")
# An insurer pays by electronic check, a patient by all other methods.
_METHOD_OF_PAYERS = "ECHECK"
_EXPORT_AGAIN = "Export claims and their transactions again, together."

Row = dict[str, str]


@dataclass(slots=True)
class Sums:
    """What the transactions of a claim add up to, US dollars."""

    charged: Decimal = Decimal(0)
    paid_by_payer: Decimal = Decimal(0)
    first_procedure: str = ""
    lines: list[int] = field(default_factory=list)

    def add(self, line: int, row: Row) -> None:
        """Add a transaction; transfers from one who owes to another are no amounts of their own."""
        if row["TYPE"] == "CHARGE":
            self.charged += _amount(row["AMOUNT"], line)
            self.first_procedure = self.first_procedure or row["PROCEDURECODE"]
        elif row["TYPE"] == "PAYMENT" and row["METHOD"] == _METHOD_OF_PAYERS:
            self.paid_by_payer += _amount(row["PAYMENTS"], line)
        self.lines.append(line)

    @property
    def columns(self) -> Row:
        """The columns that a claim gets."""
        return {
            "CHARGED": str(self.charged),
            "PAID_BY_PAYER": str(self.paid_by_payer),
            "FIRST_PROCEDURE": self.first_procedure,
            "TRANSACTION_LINES": " ".join(map(str, self.lines)),
        }


def main(
    export: Annotated[Path, typer.Argument(help="Folder of a Synthea export.")],
    batch: Annotated[Path, typer.Argument(help="Folder of the inbox to write to.")],
) -> None:
    """Write the claims of an export with their amounts into a folder of the inbox."""
    if (batch / CLAIMS).exists():
        raise UsageError(f"{batch / CLAIMS} is there already.", "Name another folder.")
    by_claim = _added_up(export / TRANSACTIONS)
    try:
        batch.mkdir(parents=True, exist_ok=True)
        for name in (CLAIMS, TRANSACTIONS):
            shutil.copyfile(export / name, batch / f"_{name}")
        # Written under a name that no run reads, so that none takes half of it.
        unfinished = batch / f"_{CLAIMS}.unfinished"
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(_rows(export / CLAIMS, by_claim))
        unfinished.rename(batch / CLAIMS)
    except OSError as error:
        raise UsageError(
            f"{batch} cannot be written: {error.strerror}.", "Name a folder of the inbox."
        ) from error


def _added_up(path: Path) -> dict[str, Sums]:
    """The sums of each claim, by its identifier."""
    by_claim: defaultdict[str, Sums] = defaultdict(Sums)
    records = _records(path, ("CLAIMID", *_SUMMED))
    next(records)
    for line, row in records:
        by_claim[row["CLAIMID"]].add(line, row)
    return dict(by_claim)


def _rows(path: Path, by_claim: dict[str, Sums]) -> Iterator[list[str]]:
    """The claims with their amounts, the header first.

    A claim without transactions has no amounts. Raises ``UsageError`` for transactions of others.
    """
    others, nothing = set(by_claim), dict.fromkeys(Sums().columns, "")
    records = _records(path, ("Id",))
    _, header = next(records)
    yield [*header, *nothing]
    for _, row in records:
        others.discard(row["Id"])
        sums = by_claim.get(row["Id"])
        yield [*row.values(), *(sums.columns if sums else nothing).values()]
    if others:
        raise UsageError(
            f"{TRANSACTIONS} has transactions of {len(others)} claims that {CLAIMS} has not.",
            _EXPORT_AGAIN,
        )


def _records(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, Row]]:
    """The header, which names each field by its name, and the records, each with its line."""
    line = 1
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(f"{path.name} has no column {missing[0]}.", _EXPORT_AGAIN)
            yield line, {name: name for name in reader.fieldnames or ()}
            line = reader.line_num + 1
            for row in reader:
                if None in row or None in row.values():
                    raise csv.Error
                yield line, row
                line = reader.line_num + 1
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", _EXPORT_AGAIN) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path.name} has no record with as many fields as its header on line {line}.",
            _EXPORT_AGAIN,
        ) from error


def _amount(text: str, line: int) -> Decimal:
    with suppress(InvalidOperation):
        amount = Decimal(text or 0)
        if amount.is_finite():
            return amount
    raise UsageError(f"{TRANSACTIONS} has no valid amount on line {line}.", _EXPORT_AGAIN)


if __name__ == "__main__":
    sys.exit(guarded(lambda: typer.run(main)))
