"""Views as steps of lineage: as they are declared, or as the catalog of a database has them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import MetaData

from etl.db.statements import composed, described, names
from etl.dictionary.graph import Graph, Step
from etl.dictionary.steps import warehouse_graph
from etl.schema.marts import marts, marts_of_cubes
from etl.schema.objects import SchemaObject, placed, views_of
from etl.schema.readers import KEYS, readers
from etl.warehouse.tables import LIVE


def declared_graph(metadata: MetaData) -> Graph:
    """Columns from files to marts as all is declared, without a database."""
    graph = warehouse_graph(metadata)
    graph.functions = {f"warehouse.{table}_as_known_at": f"warehouse.{table}" for table in KEYS}
    kept = (*views_of("ledger/views", "ledger"), *views_of("quality/views", "quality"))
    for view in (*readers(), *marts(), *marts_of_cubes(), *kept):
        if view.kind == "view":
            graph.add(_step(view.place.schema, view.place.name, _text(view, graph)))
    return graph


def graph_of(
    metadata: MetaData,
    relations: Iterable[tuple[str, str, list[str], str | None]],
    functions: dict[str, str],
) -> Graph:
    """Columns from files to every view of a database.

    ``relations``: schema, name, columns and, of a view, the text of its query. ``functions``: those
    that return rows of a relation.
    """
    graph = warehouse_graph(metadata)
    found = list(relations)
    graph.functions = functions
    graph.columns |= {f"{schema}.{name}": columns for schema, name, columns, _ in found}
    for schema, name, _, text in found:
        if text is not None:
            graph.add(_step(schema, name, text))
    return graph


def _step(schema: str, name: str, text: str) -> Step:
    return Step(f"view: {schema}.{name}", text, f"{schema}.{name}")


def _text(view: SchemaObject, graph: Graph) -> str:
    parts = placed(view.parts, LIVE.schemas)
    if view.columns_of:
        table, relation, left_out, _ = view.columns_of
        shown = graph.columns[f"{table.schema}.{table.name}"]
        parts["columns"] = names([name for name in shown if name not in left_out], relation)
    return composed(described(view.statement)[1], **parts).as_string()
