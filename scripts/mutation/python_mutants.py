"""Small changes to functions, by Python's own syntax tree: operators, constants, sort order."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

from mutant import Mutant

_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
Place = Callable[[int, int], int]
Between = Callable[[ast.expr, ast.expr], tuple[int, int]]
_BINARY: dict[type[ast.operator], str] = {ast.Add: "-", ast.Sub: "+"}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}


def of_file(path: Path, root: Path) -> Iterator[Mutant]:
    """Every change that can be made to the functions of a module, one at a time."""
    text = path.read_text(encoding="utf-8")
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    module = str(path.relative_to(root))

    def place(line: int, column: int) -> int:
        return len(text.encode()[: starts[line - 1] + column].decode())

    def between(left: ast.expr, right: ast.expr) -> tuple[int, int]:
        return place(left.end_lineno or 0, left.end_col_offset or 0), place(
            right.lineno, right.col_offset
        )

    for name, function in _functions(ast.parse(text)):
        for node in _nodes(function):
            for start, stop, put in _changes(node, place, between):
                # What is between two operands can be a bracket as well as an operator.
                if "(" not in text[start:stop] and ")" not in text[start:stop]:
                    yield Mutant.of(path, text, (start, stop, put), f"{module}:{name}", (name,))


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield f"{prefix}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All inside a function; zip's own check of lengths finds what never is."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.keyword) and child.arg == "strict"):
            yield child
            yield from _nodes(child)


def _changes(node: ast.AST, place: Place, between: Between) -> Iterator[tuple[int, int, str]]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield *between(node.left, node.comparators[0]), f" {_COMPARE[type(node.ops[0])]} "
    elif isinstance(node, ast.BoolOp):
        put = " or " if isinstance(node.op, ast.And) else " and "
        yield *between(node.values[0], node.values[1]), put
    elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        yield *between(node.left, node.right), f" {_BINARY[type(node.op)]} "
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        start = place(node.lineno, node.col_offset)
        yield start, place(node.operand.lineno, node.operand.col_offset), ""
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if other := _CALLS.get(node.func.id):
            start = place(node.func.lineno, node.func.col_offset)
            yield start, start + len(node.func.id), other
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int):
        value = not node.value if isinstance(node.value, bool) else node.value + 1
        end = place(node.end_lineno or 0, node.end_col_offset or 0)
        yield place(node.lineno, node.col_offset), end, str(value)
