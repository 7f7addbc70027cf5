"""What the checks of lines and diagnoses of claims are composed of."""

from __future__ import annotations

from psycopg import sql

from etl.db.statements import Parts, differ, names, statement
from etl.render import claim_status, code_sets, staged_rows
from etl.warehouse.details import Detail


def of_detail(detail: Detail) -> dict[str, Parts]:
    """The parts of a table of what claims consist of: its rows ``d``, those of claims ``c``."""
    codes, sks = detail.codes, [ref.sk for ref in detail.references]
    of_claim = [column for column in detail.carried if column in detail.of.carried]
    return {
        "detail": sql.Identifier(detail.table),
        "staging": sql.Identifier(detail.feed.table),
        "past": sql.Identifier(detail.past),
        "number": sql.Identifier(detail.number),
        "keys_of_past": names(detail.key, "p"),
        "none_keyed": sql.SQL(" and ").join(
            sql.SQL("{} = -1").format(sql.Identifier("d", sk)) for sk in sks
        ),
        "keys_differ_of_claim": differ(("date_key", detail.of.date, *sks), "d", "c"),
        "values_differ": differ(of_claim, "d", "c"),
        "staged_values": sql.SQL(", ").join(
            staged_rows.stored(detail.feed, column) for column in detail.carried.values()
        ),
        "stored_values": names(detail.carried, "d"),
        "codes": sql.Identifier(codes.table),
        "code_sk": sql.Identifier(codes.sk),
        "known_by": sql.Identifier(codes.known_by),
        "code": sql.Identifier(codes.code),
        "code_of_row": code_sets.value(codes, sql.Identifier("d", codes.code)),
        "code_of_claim": code_sets.value(codes, sql.Identifier("c", codes.code)),
        "state": claim_status.state("c"),
        "had_amounts": statement(
            "facts/status.had_amounts", earlier_states=sql.Identifier(detail.of.state)
        ),
    }
