"""What the pages of the dictionary show of lineage: where a column comes from, and what uses it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from etl.contracts.feeds import FEEDS
from etl.dictionary.graph import Graph
from etl.dictionary.model import Column, Relation
from etl.dictionary.steps import REFERENCE
from etl.dictionary.trace import ROWS, Node
from etl.warehouse.tables import KEPT

_FILES = {feed.file_name for feed in FEEDS.values()}
# What stands for the schema of temporary tables begins with this.
_WORK = "work_"


class MadeBy(NamedTuple):
    """A column, the step that fills it, and what of."""

    target: Node
    step: str
    sources: list[Node]


@dataclass(frozen=True, slots=True)
class Entry:
    """A column on a page.

    ``origins``: where it comes from in the end, or, where it ``is_chosen`` among constants, where
    what it is chosen by comes from. ``steps``: how, the nearest first. ``depends``: what decides
    about it directly. ``own``: what it is where nothing fills it.
    """

    column: Column
    origins: list[Node]
    steps: list[MadeBy]
    depends: list[Node]
    is_chosen: bool
    is_constant: bool
    own: str


def entries(relation: Relation, graph: Graph) -> list[Entry]:
    """The columns of a relation as its page shows them."""
    return [_entry(relation, column, graph) for column in relation.columns]


def _entry(relation: Relation, column: Column, graph: Graph) -> Entry:
    node = relation.node(column.name)
    values = [origin for origin in graph.origins(node) if origin != node]
    depends = {edge.source for edge in graph.edges(node, values=False) if not edge.is_value}
    return Entry(
        column,
        values or [one for one in graph.origins(node, values=False) if one != node],
        [made for target in graph.upstream(node) for made in _made_by(target, graph)],
        sorted(source for source in depends if source is not None),
        is_chosen=not values,
        is_constant=node in graph.made_of,
        own="written by runs" if relation.schema in KEPT else "",
    )


def _made_by(target: Node, graph: Graph) -> list[MadeBy]:
    steps: dict[str, list[Node]] = defaultdict(list)
    for edge in graph.edges(target):
        if edge.source is not None:
            steps[edge.step].append(edge.source)
    return [MadeBy(target, step, sources) for step, sources in steps.items()]


def used_by(relation: Relation, uses: dict[Node, dict[Node, str]]) -> dict[str, list[Node]]:
    """For each column of a relation what is made of it; temporary tables are left out."""
    found = {}
    for column in relation.columns:
        targets = [
            node
            for node in uses.get(relation.node(column.name), {})
            if not node.relation.startswith(_WORK) and node.column != ROWS
        ]
        if targets:
            found[column.name] = sorted(targets)
    return found


def shown(node: Node) -> str:
    """A column as people read it."""
    if node.relation in _FILES:
        return f"{node.relation}: {'its rows' if node.column == ROWS else node.column}"
    if node.relation.startswith(_WORK):
        return f"{node.relation.partition('.')[2]}.{node.column} (temporary)"
    if node.relation == REFERENCE:
        return f"reference: {node.column}"
    return f"rows of {node.relation}" if node.column == ROWS else str(node)
