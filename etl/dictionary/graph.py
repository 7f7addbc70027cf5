"""Where each column comes from and what is made of it: a graph of columns and steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from etl.dictionary.statements import Filled, filled
from etl.dictionary.trace import ROWS, Node, NotTracedError, Source, trace


@dataclass(frozen=True, slots=True)
class Step:
    """A statement that fills columns.

    ``name``: of the stage and what it does there. ``target``: the relation that it fills where the
    text, a plain query, does not say. ``bound``: what the values are that the statement takes by
    name. ``work``: what stands for the schema of its temporary tables.
    """

    name: str
    text: str
    target: str = ""
    bound: Mapping[str, Node] = field(default_factory=dict)
    work: str = ""


class Edge(NamedTuple):
    """A column is made of another one, or of ``None`` but of constants, by a step.

    Where it is no ``is_value`` the other one only decides about it, as the condition of a CASE or
    of a join does.
    """

    step: str
    source: Node | None
    is_value: bool = True


@dataclass(slots=True)
class Graph:
    """Columns of relations, and what each is made of.

    ``columns``: of every relation, temporary tables among them. ``path``: the schemas in which
    statements find names without one. ``functions``: those that return rows of a relation.
    ``not_traced``: steps that could not be read, with why; nothing is guessed of them.
    """

    columns: dict[str, Sequence[str]]
    path: Sequence[str]
    functions: Mapping[str, str] = field(default_factory=dict)
    made_of: dict[Node, dict[Edge, None]] = field(default_factory=lambda: defaultdict(dict))
    not_traced: dict[str, str] = field(default_factory=dict)

    def declare(self, step: str, target: Node, *sources: Node) -> None:
        """Say what a column is made of where no statement of SQL does it."""
        self._note(step, target, [Source(source, is_value=True) for source in sources])

    def _note(self, step: str, target: Node, sources: Iterable[Source]) -> None:
        edges = [Edge(step, source.node, source.is_value) for source in sorted(sources)]
        self.made_of[target] |= dict.fromkeys(edges or [Edge(step, None)])

    def add(self, step: Step) -> None:
        """Add what a statement fills; where it cannot be read, note that."""
        try:
            for what in filled(step.text, self.columns, self.path, self.functions, step.work):
                self._add(step, what)
        except NotTracedError as error:
            self.not_traced[f"{step.name}: {step.target}".removesuffix(": ")] = str(error)

    def _add(self, step: Step, what: Filled) -> None:
        target = step.target or what.relation
        if what.query is None:
            self.columns.setdefault(target, what.columns)
            return
        traced = trace(what.query, self.columns, step.bound)
        rows = traced.pop(ROWS)
        names = what.columns or tuple(traced)
        if len(names) != len(traced):
            raise NotTracedError(f"{len(traced)} values for {len(names)} columns.")
        self.columns.setdefault(target, names)
        for name, sources in zip((*names, ROWS), (*traced.values(), rows), strict=True):
            node = Node(target, name)
            self._note(step.name, node, [s for s in sources if s.node != node])

    def edges(self, node: Node, *, values: bool = True) -> list[Edge]:
        """What a column is made of directly; without ``values`` also what it depends on."""
        return [edge for edge in self.made_of.get(node, ()) if edge.is_value or not values]

    def upstream(self, node: Node, *, values: bool = True) -> dict[Node, list[Edge]]:
        """A column and all that it is made of, each with its edges, nearest first."""
        found: dict[Node, list[Edge]] = {}
        waiting = [node]
        while waiting:
            one = waiting.pop(0)
            if one not in found:
                found[one] = self.edges(one, values=values)
                waiting += [edge.source for edge in found[one] if edge.source is not None]
        return found

    def origins(self, node: Node, *, values: bool = True) -> list[Node]:
        """What a column is made of in the end: columns that no step fills; none of constants."""
        return sorted(one for one in self.upstream(node, values=values) if one not in self.made_of)

    def uses(self) -> dict[Node, dict[Node, str]]:
        """For each column what is made of it directly, and by which step."""
        found: dict[Node, dict[Node, str]] = defaultdict(dict)
        for target, edges in self.made_of.items():
            for edge in edges:
                if edge.source is not None and edge.is_value:
                    found[edge.source].setdefault(target, edge.step)
        return found
