"""What is declared of a column besides its meaning: person, unit, allowed values."""

from __future__ import annotations

from collections.abc import Mapping

from etl.access.classification import UnclassifiedError, identifier_of
from etl.access.treatments import Standard, Treatment, treatment_of
from etl.contracts.column import Column as FeedColumn
from etl.contracts.column import Identifier
from etl.contracts.feeds import FEEDS
from etl.contracts.types import Type
from etl.dictionary.graph import Graph
from etl.dictionary.trace import Node
from etl.warehouse.measures import MEASURES
from etl.warehouse.tables import KEPT, LIVE

_FEED_OF_FILE = {feed.file_name: feed for feed in FEEDS.values()}
# Where the relation is that a masked or earlier one of the same name shows.
_SHOWN = ("mart", "cubes", "warehouse")
_USD = "US dollars"


def shown_relation(schema: str, name: str, columns: Mapping[str, object]) -> str:
    """The relation that one of another schema shows under its name; empty where it is its own."""
    if schema in (*LIVE.schemas.masked, "as_known"):
        places = [f"{place}.{name}" for place in _SHOWN if f"{place}.{name}" in columns]
        return places[0] if places else ""
    return ""


def identifier(relation: str, column: str) -> Identifier | None:
    """Which identifier of a person a column is, as far as anybody said."""
    schema, _, name = relation.partition(".")
    try:
        return identifier_of(schema, name, column)
    except UnclassifiedError:
        return None


def treatments(relation: str, column: str) -> dict[str, str]:
    """What each standard of masking makes of a column; nothing of schemas that it does not show."""
    found = identifier(relation, column)
    if relation.partition(".")[0] in KEPT:
        return {}
    return {
        standard.value: (treatment_of(found, standard) if found else Treatment.WITHHOLD).value
        for standard in Standard
    }


def contract_column(graph: Graph, node: Node) -> FeedColumn | None:
    """The column of a feed that a column is, under its own name all the way; none of others."""
    seen = set()
    while node not in seen:
        seen.add(node)
        feed = _FEED_OF_FILE.get(node.relation)
        if feed is not None:
            return next((c for c in feed.staged if c.name == node.column), None)
        sources = {edge.source for edge in graph.edges(node)} - {None, *seen}
        same = [s for s in sources if s is not None and s.column == node.column]
        if len(sources) != 1 or not same:
            # Of work on a load there may be several steps, all from one relation.
            same = [s for s in same if s.relation.startswith(("staging.", "work_"))]
            if len({s.column for s in sources if s}) != 1 or not same:
                return None
        node = same[0]
    return None


def unit(column: str, contract: FeedColumn | None) -> str:
    """What a number is counted in; empty where it is no measure and no amount."""
    if column in MEASURES:
        return MEASURES[column].unit.value
    if column.endswith("_usd") or (contract is not None and contract.type is Type.MONEY):
        return _USD
    return ""
