"""How a masked schema shows a relation: each column as its standard treats it."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import psycopg
import xxhash
from psycopg import sql

from etl.access.classification import UnclassifiedError, declared, identifier_of
from etl.access.treatments import TREATMENTS, Standard, Treatment, treatment_of
from etl.db.statements import read_file, run, statement
from etl.reference import restricted_zip3
from etl.warehouse.tables import DIM_MEMBER, MEMBER_LIMITED

# How statements mask: expressions, and the query around them.
_TEXTS = (read_file("access/treatments"), read_file("access/masked")["masked"])

# What puts a code of the crosswalk in place of a value.
_CODES = (Treatment.MEMBER_REF, Treatment.MEMBER_KEY)


class Masking(NamedTuple):
    """The masking of a relation by a standard.

    ``schema`` and ``relation`` are those of the live build whose columns it has. ``by_copy``: codes
    of keys come from the limited copy of the member dimension, which has to have all its keys.
    ``has_codes``: the rows bear the codes of the standard already.
    """

    standard: Standard
    schema: str
    relation: str
    by_copy: bool = False
    has_codes: bool = False

    @property
    def declaration(self) -> str:
        """Another text as soon as the relation would be shown otherwise."""
        treatments = {kind.value: how.value for kind, how in TREATMENTS[self.standard].items()}
        return f"{self}{treatments}{_mark_of_texts()}"

    def around(
        self, connection: psycopg.Connection[Any], rows: sql.Composable, warehouse: str
    ) -> sql.Composed:
        """A query for the masked rows of a query; ``warehouse``: that schema of the build.

        A column whose identifier nobody has said is not there.
        """
        cursor = run(connection, "access/masked.no_rows", rows=rows)
        columns = [column.name for column in cursor.description or ()]
        treated: dict[str, Treatment] = {}
        for column in columns:
            with suppress(UnclassifiedError):
                identifier = identifier_of(self.schema, self.relation, column)
                treatment = treatment_of(identifier, self.standard)
                is_code = self.has_codes and treatment in _CODES
                treated[column] = Treatment.KEEP if is_code else treatment
        shown = [
            sql.SQL("{}\nas {}").format(self._expression(column, how), sql.Identifier(column))
            for column, how in treated.items()
        ]
        return statement(
            "access/masked.masked",
            masked=sql.SQL(", ").join(shown),
            rows=rows,
            crosswalks=sql.SQL("\n").join(self._crosswalks(treated, warehouse)),
        )

    def _expression(self, column: str, treatment: Treatment) -> sql.Composed:
        prefix = self.standard.value
        return statement(
            f"access/treatments.{treatment.value}",
            column=sql.Identifier(column),
            code=_code(column),
            person=_person(column),
            ref=sql.Identifier(f"{prefix}_ref"),
            key_code=sql.Identifier(DIM_MEMBER.sk if self.by_copy else f"{prefix}_sk"),
        )

    def _crosswalks(self, treated: dict[str, Treatment], warehouse: str) -> list[sql.Composed]:
        """The joins that codes of persons and keys come by."""
        of_keys = "code_of_copy" if self.by_copy else "code"
        copy = sql.Identifier(warehouse, MEMBER_LIMITED)
        return [
            statement("access/masked.person", member_id=sql.Identifier(c), person=_person(c))
            if treatment is Treatment.MEMBER_REF
            else statement(
                f"access/masked.{of_keys}", key=sql.Identifier(c), code=_code(c), copy=copy
            )
            for c, treatment in treated.items()
            if treatment in _CODES
        ]


@cache
def _mark_of_texts() -> str:
    """Another mark as soon as columns are declared otherwise or statements mask otherwise."""
    return xxhash.xxh3_64_hexdigest(f"{declared()}{_TEXTS}{restricted()}".encode())


def _person(column: str) -> sql.Identifier:
    return sql.Identifier(f"{column}_person")


def _code(column: str) -> sql.Identifier:
    return sql.Identifier(f"{column}_code")


def restricted() -> sql.Composed:
    """The first three digits of ZIP codes where 20,000 persons or fewer live."""
    return sql.SQL(", ").join(map(sql.Literal, restricted_zip3()))
