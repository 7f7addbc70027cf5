"""How a check is declared: in the header of its statement in ``sql/checks``, read strictly.

The lines of a header that begin with ``--:`` are fields. One blank after it: a field of the
statement, or ``rule NAME: SEVERITY, DIMENSION OF QUALITY``; three blanks: a field of that rule;
five or more: the text above goes on. An advice before the first statement of a file is that of all
its rules without one of their own. ``docs/runbooks/adding-a-check.md`` explains every field. A
field that is unknown, missing or given twice is an error with file and line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from etl.contracts.checks import ASPECTS, SEVERITIES

_OF_STATEMENT = (
    *("for each", "table", "about", "key", "counted by", "feed", "loads", "parts"),
    *("gate", "only in gate", "by month", "value", "advice", "rules as in"),
)
_OF_RULE = (
    *("fails when", "advice", "threshold", "may fail", "column"),
    *("for each", "only with", "source", "note"),
)
_LINE = re.compile(r"--:( {1}| {3}| {5,})(\S.*)")
_RULE = re.compile(r"rule ([a-z0-9_{}]+)")
_STATEMENT = re.compile(r"-- name: (\w+)")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a header, with the line on which it begins."""

    key: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as declared; ``{words}`` in its texts are those of what it is asked of.

    ``threshold`` and ``unit``: what was measured may be that much. ``share``: that share of the
    rows may fail. ``each``: what of its table the rule is repeated for. ``only_with``: the
    attribute without which there is no such rule. ``source`` and ``note`` are for the docs.
    """

    name: str
    severity: str
    dimension: str
    means: str
    advice: str
    line: int
    threshold: str = "0"
    unit: str = "rows"
    share: float | None = None
    column: str | None = None
    each: str | None = None
    only_with: str | None = None
    source: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A statement that answers rules, as its header declares it.

    ``each``: what it is asked of, one after the other, with the attribute that this must have; else
    ``table``. ``about``: the table whose rows are checked, where that is another. ``key``: columns
    that identify a failing row. ``counted_by``: the statement that counts the rows to judge, where
    this one returns the rows that fail. ``gates``: by stage, the parts that differ there from
    ``parts``. ``is_by_month``: what it says of a claim follows from that claim's own rows, so that
    it can be asked of some months alone.
    """

    file: str
    name: str
    line: int
    rules: tuple[Rule, ...]
    each: str | None = None
    only_with: str | None = None
    table: str | None = None
    about: str | None = None
    key: tuple[str, ...] = ()
    counted_by: str | None = None
    feed: str | None = None
    only_in_facts: bool = False
    parts: dict[str, str] = field(default_factory=dict)
    gates: dict[str, dict[str, str]] = field(default_factory=dict)
    is_gate_only: bool = False
    is_by_month: bool = False
    values: dict[str, int] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """The statement's place, for messages."""
        return f"sql/{self.file}.sql:{self.line}"


def read(path: Path, file: str) -> tuple[Declaration, ...]:
    """The checks that a file of SQL declares, in its order; ``file`` is its name for messages."""
    found: dict[str, Declaration] = {}
    text = path.read_text(encoding="utf-8")
    own_advice = ""
    for name, line, fields in _statements(file, text):
        if name is None:
            for stray in (f for f in fields if f.key != "advice"):
                fail(file, stray.line, f"{stray.key!r} is written before the first statement")
            own_advice = "".join(f.value for f in fields)
        elif fields:
            found[name] = _declaration(file, name, line, fields, own_advice, found)
    return tuple(found.values())


def fail(file: str, line: int, message: str) -> NoReturn:
    """Raise the error of a wrong declaration."""
    raise ValueError(f"sql/{file}.sql:{line}: {message}")


def _statements(file: str, text: str) -> Iterator[tuple[str | None, int, list[Field]]]:
    """Name, line and fields of the head of a file and of each of its statements."""
    name, begun, fields = None, 1, list[Field]()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _STATEMENT.fullmatch(line):
            yield name, begun, fields
            name, begun, fields = header[1], number, []
        elif line.startswith("--:"):
            _read_line(file, number, line, fields)
    yield name, begun, fields


def _read_line(file: str, number: int, line: str, fields: list[Field]) -> None:
    """Add the line to the fields: one more, or the rest of the last one's text."""
    parsed = _LINE.fullmatch(line)
    if parsed is None:
        fail(file, number, "1, 3 or at least 5 blanks follow --:")
    indent, text = len(parsed[1]), parsed[2]
    if indent >= 5 and fields:
        last = fields.pop()
        fields.append(Field(last.key, f"{last.value} {text}", last.line))
        return
    key, colon, value = text.partition(": ")
    is_rule = bool(_RULE.fullmatch(key))
    known = _OF_RULE if indent == 3 else _OF_STATEMENT
    if not colon or not (key in known or (is_rule and indent == 1)):
        fail(file, number, f"{key!r} is none of {', '.join(known)}")
    fields.append(Field("  " + key if indent == 3 else key, value, number))


def _declaration(
    file: str,
    name: str,
    line: int,
    fields: list[Field],
    advice: str,
    before: dict[str, Declaration],
) -> Declaration:
    own, *groups = _by_rule(fields)
    for stray in (f for f in own if f.key.startswith(" ")):
        fail(file, stray.line, f"{stray.key.strip()!r} belongs to no rule")
    said = _by_key(file, own)
    rules = [_rule(file, group, said.get("advice", advice)) for group in groups]
    if "rules as in" in said:
        rules += _rules_as_in(file, line, said["rules as in"], before)
    if not rules or ("for each" in said) == ("table" in said):
        fail(file, line, f"{name} needs a rule, and either 'table' or 'for each'")
    if said.get("loads", "in facts") != "in facts":
        fail(file, line, f"'loads' is {said['loads']!r}; it can only be 'in facts'")
    if said.get("by month", "yes") != "yes":
        fail(file, line, f"'by month' is {said['by month']!r}; it can only be 'yes'")
    each, _, only_with = said.get("for each", "").partition(" with ")
    gates = said.get("gate") or said.get("only in gate") or ""
    return Declaration(
        file,
        name,
        line,
        tuple(rules),
        each=each or None,
        only_with=only_with or None,
        table=said.get("table"),
        about=said.get("about"),
        key=tuple(said["key"].split(", ")) if "key" in said else (),
        counted_by=said.get("counted by"),
        feed=said.get("feed"),
        only_in_facts="loads" in said,
        parts=_pairs(file, line, said.get("parts", "")),
        gates={
            stage: _pairs(file, line, parts)
            for stage, _, parts in (gate.partition(", ") for gate in gates.split("; ") if gate)
        },
        is_gate_only="only in gate" in said,
        is_by_month="by month" in said,
        values={
            key: int(value) for key, value in _pairs(file, line, said.get("value", "")).items()
        },
    )


def _by_rule(fields: list[Field]) -> list[list[Field]]:
    """The fields of the statement, and then those of each of its rules."""
    groups: list[list[Field]] = [[]]
    for one in fields:
        if one.key.startswith("rule "):
            groups.append([])
        groups[-1].append(one)
    return groups


def _by_key(file: str, fields: list[Field]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in fields:
        if one.key in found:
            fail(file, one.line, f"{one.key.strip()!r} is given twice")
        found[one.key] = one.value
    return found


def _pairs(file: str, line: int, text: str) -> dict[str, str]:
    """``a = b, c = d`` by name."""
    pairs = [pair.partition(" = ") for pair in text.split(", ") if pair]
    for name, sign, _ in pairs:
        if not sign:
            fail(file, line, f"{name!r} is no NAME = VALUE")
    return {name: value for name, _, value in pairs}


def _rule(file: str, fields: list[Field], advice: str) -> Rule:
    head, *rest = fields
    parsed = _RULE.fullmatch(head.key)
    severity, _, dimension = head.value.partition(", ")
    if severity not in SEVERITIES:
        fail(file, head.line, f"{severity!r} is none of {', '.join(SEVERITIES)}")
    if dimension not in ASPECTS:
        fail(file, head.line, f"{dimension!r} is none of {', '.join(ASPECTS)}")
    said = {key.strip(): value for key, value in _by_key(file, rest).items()}
    if "fails when" not in said:
        fail(file, head.line, f"{head.key} lacks 'fails when'")
    if not said.get("advice", advice).endswith("."):
        fail(file, head.line, f"{head.key} lacks an 'advice' that ends with a full stop")
    threshold, _, unit = said.get("threshold", "0 rows").partition(" ")
    assert parsed is not None  # such a key begins a rule
    return Rule(
        parsed[1],
        severity,
        dimension,
        said["fails when"],
        said.get("advice", advice),
        head.line,
        threshold=threshold,
        unit=unit,
        share=_share(file, head.line, said["may fail"]) if "may fail" in said else None,
        column=said.get("column"),
        each=said.get("for each"),
        only_with=said.get("only with"),
        source=said.get("source", ""),
        note=said.get("note", ""),
    )


def _share(file: str, line: int, text: str) -> float:
    """A share from its percent: ``5 %``."""
    parsed = re.fullmatch(r"([0-9.]+) %", text)
    if parsed is None:
        fail(file, line, f"'may fail' is {text!r} and not a number and %")
    return float(parsed[1]) / 100


def _rules_as_in(file: str, line: int, text: str, before: dict[str, Declaration]) -> Iterator[Rule]:
    """The rules of a statement above, all of them or those named: ``keys, only no_overlap``."""
    name, _, only = text.partition(", only ")
    if name not in before:
        fail(file, line, f"no statement {name!r} with rules is above it")
    wanted = only.split(", ") if only else [rule.name for rule in before[name].rules]
    known = {rule.name: rule for rule in before[name].rules}
    for rule in wanted:
        if rule not in known:
            fail(file, line, f"{name} has no rule {rule!r}")
        yield known[rule]
