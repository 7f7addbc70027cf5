"""What claims, their lines and their diagnoses must add up to after some batches, and their cost.

A claim is as the last batch with a row of it says. Its lines are those of the last batch that has
any line of it, its diagnoses likewise; a claim without has one, made of the claim. Rows are tuples
whose columns are those of the statements of the same names in ``sql/synthetic/tables.sql``; amounts
are whole cents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.rng import Ints
from etl.synthetic.truth import care, exposure
from etl.synthetic.truth.groups import Groups
from etl.synthetic.truth.loaded_rows import Table, is_last_of

Rows = Iterable[tuple[Any, ...]]

_AMOUNTS = ("claim_amount", "allowed_amount", "paid_amount")
_OF_LINE = ("line_billed", "line_allowed", "line_paid")


@dataclass
class Claims:
    """The facts, and the cube of their cost, that follow from ``tables`` of loaded rows."""

    tables: dict[str, Table]

    def rows(self) -> Iterator[tuple[str, Rows]]:
        """Each of them by name with its rows."""
        yield "fact_claim", self._claims()
        yield "fact_claim_line", self._lines()
        yield "bridge_claim_diagnosis", self._diagnoses()
        yield "cost_month", self._cost()

    @cached_property
    def _latest(self) -> Table:
        """Every claim in its latest state, in order of its number."""
        rows = self.tables["claims"]
        rows = rows[is_last_of(rows, "claim_id")]
        return rows[np.argsort(rows["claim_id"])]

    def _claims(self) -> Rows:
        """How many claims there are of each month, type and status, and their amounts."""
        claims = self._latest
        by = (claims["service_date"].astype("S7"), claims["claim_type"], claims["status"])
        return _sums(by, [claims[name] for name in _AMOUNTS])

    def _cost(self) -> Rows:
        """Claims and money of each month, state, metal tier and type; see ``exposure`` for both."""
        claims = self._latest
        state, tier = exposure.places(self.tables, claims, claims["service_date"])
        kind = np.where(claims["claim_type"] == b"", exposure.UNKNOWN, claims["claim_type"])
        by = (claims["service_date"].astype("S7"), state, tier, kind)
        cells = Groups(*by)
        status = claims["status"]
        is_pending, is_denied = status == b"pending", status == b"denied"
        is_adjudicated = np.isin(status, [word.encode() for word in care.ADJUDICATED])
        is_paid = np.isin(status, [word.encode() for word in care.PAYABLE])
        counted = (is_adjudicated, is_pending, is_denied)
        billed, allowed, paid = (claims[name] for name in _AMOUNTS)
        amounts = (
            *((is_adjudicated, billed), (is_pending, billed)),
            *((is_adjudicated, allowed), (is_paid, paid)),
        )
        return zip(
            *(_values(cells.first(column)) for column in by),
            *(cells.total(which).tolist() for which in counted),
            *(cells.total(np.where(which, cents, 0)).tolist() for which, cents in amounts),
            strict=True,
        )

    def _lines(self) -> Rows:
        """How many lines there are of each month, type and procedure, and their amounts."""
        sets, claim, alone = self._sets("lines")
        return _sums(
            (
                np.concatenate(
                    [
                        self._of("service_date", claim).astype("S7"),
                        alone["service_date"].astype("S7"),
                    ]
                ),
                np.concatenate([self._of("claim_type", claim), alone["claim_type"]]),
                np.concatenate([sets["procedure_code"], alone["procedure_code"]]),
                _is_from_claim(sets, alone),
            ),
            [
                np.concatenate([sets[of_line], alone[of_claim]])
                for of_line, of_claim in zip(_OF_LINE, _AMOUNTS, strict=True)
            ],
        )

    def _diagnoses(self) -> Rows:
        """How often each diagnosis is at each position."""
        sets, _, alone = self._sets("diagnoses")
        position = np.concatenate(
            [sets["position"].astype(np.int64), np.ones(len(alone), np.int64)]
        )
        code = np.concatenate([sets["diagnosis_code"], alone["diagnosis_code"]])
        return _sums((code, position, _is_from_claim(sets, alone)), [])

    def _sets(self, table: str) -> tuple[Table, Ints, Table]:
        """The rows of all sets, the place of each one's claim or -1, and the claims without."""
        rows = self.tables[table]
        claims = Groups(rows["claim_id"])
        rows = rows[rows["batch"] == claims.each(claims.most(rows["batch"]))]
        known = self._latest["claim_id"]
        at = np.searchsorted(known, rows["claim_id"])
        is_known = np.append(known, -1)[at] == rows["claim_id"]
        alone = self._latest[~np.isin(known, rows["claim_id"])]
        return rows, np.where(is_known, at, -1), alone

    def _of(self, column: str, claim: Ints) -> NDArray[np.bytes_]:
        """What the claims at these places say; nothing of one that has not come."""
        values = np.append(self._latest[column], np.array([b""]))
        return values[claim]


def _is_from_claim(sets: Table, alone: Table) -> NDArray[np.bool_]:
    return np.repeat([False, True], [len(sets), len(alone)])


def _sums(by: Iterable[NDArray[Any]], amounts: Iterable[NDArray[Any]]) -> Rows:
    """Of each group its values, how many rows it has, and the sum of each of the amounts."""
    columns = list(by)
    groups = Groups(*columns)
    return zip(
        *(_values(groups.first(column)) for column in columns),
        groups.size.tolist(),
        *(groups.total(column).tolist() for column in amounts),
        strict=True,
    )


def _values(column: NDArray[Any]) -> list[Any]:
    return [v.decode() if isinstance(v, bytes) else v for v in column.tolist()]
