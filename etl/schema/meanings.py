"""What the columns of every view mean, for the catalog: as what it shows says, or as declared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from etl.access.classification import (
    LIMITED_ROWS,
    UnclassifiedError,
    described_columns,
    identifier_of,
)
from etl.access.masking import Masking
from etl.access.treatments import Standard, Treatment, treatment_of
from etl.schema import kept_words
from etl.schema.warehouse_tables import live_tables
from etl.warehouse.tables import (
    CUBES,
    DIM_MEMBER,
    DIMENSIONS,
    FACTS,
    KEPT,
    LIVE,
    MARTS,
    MARTS_OF_CUBES,
)

# What a standard makes of a value, after what the value means.
_HERE: Mapping[Treatment, str] = {
    Treatment.WITHHOLD: "Empty here: it is withheld.",
    Treatment.MEMBER_REF: "Here a code of the person.",
    Treatment.MEMBER_KEY: "Here a code of the key.",
    Treatment.YEAR: "Here the year.",
    Treatment.BIRTH_YEAR: "Here the year, none of ages over 89.",
    Treatment.AGE: "Here ages over 89 are 90.",
    Treatment.ZIP3: "Here three digits, 000 where 20,000 people or fewer live.",
}
_HISTORY = {
    "as_of": "When the facts of the load's batch became true, UTC.",
    "batch_id": "The batch that brought the state.",
    "is_latest": "Whether it is the state that the claim is in now.",
    "withdrawn_load_id": "The load that withdrew the claim, if it is there no more.",
}


@cache
def of_relation(schema: str, name: str, masking: Masking | None = None) -> dict[str, str]:
    """What the columns of a relation mean, by name; ``schema`` as in the live build.

    ``masking``: how a masked view shows another relation. There may be more names than columns.
    """
    if masking is None and schema in LIVE.schemas.masked:
        # A view on the copy of members, which is masked already.
        masking = Masking(Standard.LIMITED, "warehouse", name)
    if masking is not None:
        meanings = of_relation(masking.schema, masking.relation)
        return {column: _masked(masking, column, said) for column, said in meanings.items()}
    if schema in KEPT:
        return kept_words.of_view(live_tables(), name)
    if name in CUBES and schema != "warehouse":
        return _described(f"cubes/{name}")
    if name in (*MARTS, *MARTS_OF_CUBES):
        return _described(f"mart/{name}")
    return _of_warehouse(name)


def _described(file: str) -> dict[str, str]:
    return {column: meaning for column, _, meaning in described_columns(file)}


def _of_warehouse(name: str) -> dict[str, str]:
    """Of a table of dimensions or facts, or of a view that shows the rows of one."""
    for dimension in DIMENSIONS.values():
        if name in (f"{dimension.table}_current", f"{dimension.table}_as_is"):
            latest = f"Key of the current version of the {dimension.name}, or of the last one."
            return {**_of_table(dimension.table), f"latest_{dimension.sk}": latest}
    for fact in FACTS.values():
        if name == f"{fact.table}_history":
            return {**_of_table(fact.table), **_HISTORY}
    if name in LIMITED_ROWS:
        version = "Key of the version in dim_member."
        return {**_of_table(DIM_MEMBER.table), "version_sk": version}
    return _of_table(name)


def _of_table(name: str) -> dict[str, str]:
    tables = live_tables().tables
    table = next(tables[found] for found in _places(name) if found in tables)
    return {column.name: column.comment or "" for column in table.columns}


def _places(name: str) -> tuple[str, str]:
    return f"{LIVE.schemas.warehouse}.{name}", f"{LIVE.schemas.internal}.{name}"


def _masked(masking: Masking, column: str, meaning: str) -> str:
    try:
        identifier = identifier_of(masking.schema, masking.relation, column)
    except UnclassifiedError:
        return meaning
    here = _HERE.get(treatment_of(identifier, masking.standard))
    return f"{meaning} {here}" if here else meaning
