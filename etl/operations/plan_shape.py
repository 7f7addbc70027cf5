"""The shape of a plan: its nodes without numbers, so that only another way to the answer differs.

Costs, row counts, conditions and literals are left out. A partition goes by the name of its table
and its index by that of the table's, and parts of an ``Append`` that are read the same way count
once: a new month makes no new shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import xxhash

Node = Mapping[str, Any]

_APPENDS = ("Append", "Merge Append")
# What PostgreSQL numbers: subplans, and objects that it names itself.
_NUMBERS = re.compile(r"\d+")
_INDENT = "  "


def shape_of(plan: Node, roots: Mapping[str, str]) -> str:
    """A line per node, each below its parent and further in.

    ``plan``: the root node as ``EXPLAIN (FORMAT JSON)`` writes it. ``roots``: the names of
    partitions and their indexes, each with that of the whole.
    """
    return "\n".join(_lines(plan, roots))


def hash_of(shape: str) -> str:
    """Another one where the shape is another."""
    return xxhash.xxh3_64_hexdigest(shape.encode())


def read_by(plan: Node) -> set[str]:
    """The tables and partitions that a plan reads."""
    found = {str(plan["Relation Name"])} if "Relation Name" in plan else set()
    return found.union(*(read_by(child) for child in plan.get("Plans", ())))


def _lines(node: Node, roots: Mapping[str, str]) -> list[str]:
    children = [_lines(child, roots) for child in node.get("Plans", ())]
    if node["Node Type"] in _APPENDS:
        children = _once_each(children)
        if len(children) == 1:
            return children[0]
    below = [_INDENT + line for child in children for line in child]
    return [_label(node, roots), *below]


def _once_each(children: list[list[str]]) -> list[list[str]]:
    """The different ones; in a fixed order, since partitions come in theirs."""
    return sorted({tuple(child): child for child in children}.values())


def _label(node: Node, roots: Mapping[str, str]) -> str:
    kind = str(node["Node Type"])
    said = [f"Parallel {kind}" if node.get("Parallel Aware") else kind]
    for name, leading in (
        ("Strategy", "Plain"),
        ("Partial Mode", "Simple"),
        ("Join Type", "Inner"),
    ):
        if node.get(name, leading) != leading:
            said.append(f"({str(node[name]).lower()})")
    for name, word in (
        ("Relation Name", "on"),
        ("Index Name", "by"),
        ("Function Name", "of"),
        ("CTE Name", "of"),
    ):
        if name in node:
            said += [word, _name(str(node[name]), roots)]
    if node.get("Subplan Name"):
        said.append(f"as {_name(str(node['Subplan Name']), roots)}")
    return " ".join(said)


def _name(name: str, roots: Mapping[str, str]) -> str:
    return _NUMBERS.sub("#", roots.get(name, name))
