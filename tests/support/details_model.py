"""What batches make of claims, their lines and their diagnoses: the rules, written to be read.

Plain lists and no regard for the warehouse's own way of doing it. Batches go by rank, not by
arrival.

1. A claim is as the last batch that names it says; a delete marker there, and it is gone.
2. The lines of a claim are those of the last batch that names any of them, likewise its diagnoses.
3. A claim without lines has line 1 with its own procedure and amounts, one without diagnoses
   position 1 with its own. Lines and diagnoses of a claim that is not there wait, of nobody.
4. Lines and diagnoses have the claim's day and member, and while they wait their own day.
5. What is pending or of an unknown status counts with nothing; what is denied is not paid for.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

Row = dict[str, Any]
CLAIMS = [f"C{n}" for n in range(9)]
NOTHING = Decimal("0.00")
# As a sender writes a code, and the code that it is.
DIAGNOSES = {"E11.9": "E119", "e119": "E119", "I10": "I10", "250.00": "25000", "O9A.111": "O9A111"}
PROCEDURES = {"J1100": "J1100", "j1100": "J1100", "99213": "99213", "Z0007": "Z0007", "?": "?"}
ADJUDICATED, PAID = ("approved", "denied", "adjusted"), ("approved", "adjusted")


@dataclass(frozen=True)
class Batch:
    """A batch by its rank; ``feeds``: the rows of each."""

    rank: int
    feeds: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def batch_id(self) -> str:
        return f"2025-06-{10 + self.rank}"


def drawn_batches(dice: random.Random) -> list[Batch]:
    """Batches that bring claims, sets of some and of others that have not come, and change them."""
    return [Batch(rank, _feeds(dice)) for rank in range(4)]


def _feeds(dice: random.Random) -> dict[str, list[Row]]:
    return {
        "claims": [_claim(dice, claim) for claim in dice.sample(CLAIMS, 5)],
        "claim_lines": [row for claim in dice.sample(CLAIMS, 4) for row in _lines(dice, claim)],
        "claim_diagnoses": [
            {
                "claim_id": claim,
                "position": position,
                "service_date": _day(dice),
                "diagnosis_code": dice.choice(list(DIAGNOSES)),
                "present_on_admission": dice.choice(["Y", None]),
            }
            for claim in dice.sample(CLAIMS, 4)
            for position in range(1, dice.randint(2, 5))
        ],
    }


def amounts(claim: str) -> dict[str, Decimal]:
    """Billed, allowed and paid of a claim, in every batch."""
    cents = 1001 + 997 * CLAIMS.index(claim)
    names = ("claim_amount", "allowed_amount", "paid_amount")
    return {
        name: Decimal(cents * part // 4) / 100 for name, part in zip(names, (4, 3, 2), strict=True)
    }


def _claim(dice: random.Random, claim: str) -> Row:
    return {
        "claim_id": claim,
        "member_id": dice.choice("AB"),
        "service_date": _day(dice),
        "status": dice.choice(["approved", "approved", "denied", "pending", "adjusted", "parked"]),
        "diagnosis_code": dice.choice(list(DIAGNOSES)),
        "procedure_code": dice.choice(list(PROCEDURES)),
        "is_deleted": dice.random() < 0.15 or None,
        **amounts(claim),
    }


def _lines(dice: random.Random, claim: str) -> list[Row]:
    """Lines that come to the claim's amounts."""
    count = dice.randint(1, 4)
    rows: list[Row] = []
    for number in range(1, count + 1):
        row: Row = {"claim_id": claim, "line_number": number, "service_date": _day(dice)}
        row["procedure_code"] = dice.choice([*PROCEDURES, None])
        for of_claim, total in amounts(claim).items():
            of_line = {"claim_amount": "line_billed"}.get(of_claim, f"line_{of_claim[:-7]}")
            before = sum((r[of_line] for r in rows), NOTHING)
            part = Decimal(dice.randrange(int(100 * total))) / 100 / count
            row[of_line] = total - before if number == count else part.quantize(NOTHING)
        rows.append(row)
    return rows


def _day(dice: random.Random) -> date:
    return date(2025, 5, 30) + timedelta(days=dice.randint(0, 3))


def claims(batches: list[Batch]) -> dict[str, Row]:
    """The claims that are there, by number."""
    last: dict[str, Row] = {}
    for batch in sorted(batches, key=lambda b: b.rank):
        last |= {row["claim_id"]: row for row in batch.feeds["claims"]}
    return {claim: row for claim, row in last.items() if not row["is_deleted"]}


def sets(batches: list[Batch], feed: str) -> dict[str, list[Row]]:
    """The latest rows of a feed of each claim that any batch names there."""
    last: dict[str, list[Row]] = {}
    for batch in sorted(batches, key=lambda b: b.rank):
        rows = batch.feeds[feed]
        last |= {c: [r for r in rows if r["claim_id"] == c] for c in {r["claim_id"] for r in rows}}
    return last


def lines(batches: list[Batch]) -> list[tuple[Any, ...]]:
    """Claim, number, day, member, procedure, billed, allowed, paid, waits, made of the claim."""
    there, came = claims(batches), sets(batches, "claim_lines")
    found: list[tuple[Any, ...]] = []
    for claim in there.keys() | came.keys():
        c = there.get(claim)
        own = c and {"line_number": 1, **c, **_as_line(c)}
        for row in came.get(claim, [own] if own else []):
            is_adjudicated = c is not None and c["status"] in ADJUDICATED
            is_paid = c is not None and c["status"] in PAID
            found.append(
                (
                    claim,
                    row["line_number"],
                    (c or row)["service_date"],
                    c and c["member_id"],
                    PROCEDURES.get(row["procedure_code"]),
                    row["line_billed"] if is_adjudicated else NOTHING,
                    row["line_allowed"] if is_adjudicated else NOTHING,
                    row["line_paid"] if is_paid else NOTHING,
                    c is None,
                    claim not in came,
                )
            )
    return sorted(found, key=repr)


def _as_line(claim: Row) -> Row:
    return {
        "line_billed": claim["claim_amount"],
        "line_allowed": claim["allowed_amount"],
        "line_paid": claim["paid_amount"],
    }


def diagnoses(batches: list[Batch]) -> list[tuple[Any, ...]]:
    """Claim, position, principal, day, member, code, on admission, waits, made of the claim."""
    there, came = claims(batches), sets(batches, "claim_diagnoses")
    found: list[tuple[Any, ...]] = []
    for claim in there.keys() | came.keys():
        c = there.get(claim)
        own = c and {"position": 1, "present_on_admission": None, **c}
        found += [
            (
                claim,
                row["position"],
                row["position"] == 1,
                (c or row)["service_date"],
                c and c["member_id"],
                DIAGNOSES[row["diagnosis_code"]],
                row["present_on_admission"],
                c is None,
                claim not in came,
            )
            for row in came.get(claim, [own] if own else [])
        ]
    return sorted(found, key=repr)
