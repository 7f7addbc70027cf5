"""Every check there is, made from the headers of ``sql/checks`` and from the contracts.

A check is declared next to its SQL (``etl/quality/checks/header.py``); what its statement is
composed of is found by name: parts of what it is asked of (``etl/quality/checks/parts.py``), or
another statement of the same file or of ``sql/checks/fragments.sql``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from string import Formatter

from psycopg import sql

from etl.contracts.checks import Check
from etl.contracts.feeds import FEEDS
from etl.db.statements import FOLDER, Parts, names, read_file, statement
from etl.quality.checks import by_month, header
from etl.quality.checks.constraints import check_of_load, check_of_rows
from etl.quality.checks.header import Declaration, Rule, fail
from etl.quality.checks.parts import Subject, Words, counted, keys_of, subject_of, subjects
from etl.quality.checks.reference import reference_values
from etl.quality.checks.sql_check import SqlCheck
from etl.render.expectations import suites

# What a statement looks at unless its header names a part that says less. One that reads its rows
# twice keeps those of a load, and reads all there are where they are, by as many workers as it can.
_EVERYTHING = {"scope": sql.SQL("true"), "kept": sql.SQL("not materialized")}
_IN_GATE = {**_EVERYTHING, "kept": sql.SQL("materialized")}


@cache
def declarations() -> tuple[Declaration, ...]:
    """Every statement that declares checks, file by file."""
    return tuple(
        found
        for path in sorted((FOLDER / "checks").glob("*.sql"))
        for found in header.read(path, f"checks/{path.stem}")
    )


@cache
def sql_checks() -> tuple[SqlCheck, ...]:
    """Every check in SQL, in the order in which they run."""
    found = tuple(
        entry
        for one in declarations()
        if not one.is_gate_only
        for entry in _entries(one, _EVERYTHING)
    )
    twice = Counter(check.name for entry in found for check in entry.checks.values())
    for name, count in twice.items():
        if count > 1:
            raise ValueError(f"sql/checks: {name} is declared {count} times")
    return found


def gates() -> tuple[str, ...]:
    """The gates that headers name, in alphabetical order."""
    return tuple(sorted({stage for one in declarations() for stage in one.gates}))


def gate_checks(stage: str, feeds: Collection[str] = tuple(FEEDS)) -> tuple[SqlCheck, ...]:
    """The checks that a stage must pass; their rules are those of ``all_checks``.

    ``feeds``: those that the load brought; checks of other feeds are left out.
    """
    declared = (c for c in declared_for_gate(stage) if c.feed is None or c.feed in feeds)
    if stage != "stage":
        return tuple(declared)
    # What contracts say of a value is asked of the rows of a load alone, all in one scan of these.
    of_contracts = (check_of_load(suite) for suite in suites() if suite.feed in feeds)
    return (*declared, *of_contracts)


@cache
def declared_for_gate(stage: str) -> tuple[SqlCheck, ...]:
    """The checks whose headers name the gate of a stage."""
    if stage not in gates():
        raise KeyError(f"No check is declared for the gate of {stage}.")
    return tuple(
        entry
        for one in declarations()
        if stage in one.gates
        for entry in _entries(one, _IN_GATE, one.gates[stage])
    )


def checks_by_kind() -> dict[str, tuple[Check, ...]]:
    """Every check by what answers it."""
    return {
        "great_expectations": tuple(e.check for suite in suites() for e in suite.expectations),
        "sql": tuple(check for entry in sql_checks() for check in entry.checks.values()),
    }


@cache
def constraint_checks() -> tuple[SqlCheck, ...]:
    """What contracts say of every table, in SQL, on all the rows that it has."""
    return tuple(check_of_rows(suite) for suite in suites())


@cache
def names_by_month() -> frozenset[str]:
    """The checks that a share of the months is enough for."""
    return frozenset(
        check.name
        for entry in (*sql_checks(), *constraint_checks())
        if entry.is_by_month
        for check in entry.checks.values()
        if check.table in by_month.TABLES
    )


def all_checks() -> tuple[Check, ...]:
    """Every check there is, those against the truth of synthetic feeds apart."""
    return tuple(check for checks in checks_by_kind().values() for check in checks)


def checks_of_rule(one: Declaration, rule: Rule) -> list[Check]:
    """The checks that a rule comes to, on all that its statement is for."""
    return [check for s in _subjects(one) for _, check in _of_rule(one, s, rule)]


def failing_rows(name: str, table: str, **parts: Parts) -> sql.Composed:
    """The statement of a check on a table, which returns rows that fail, with other parts."""
    return compose(name, {**subject_of(table).parts, **parts})


def compose(name: str, parts: dict[str, Parts]) -> sql.Composed:
    """A named statement with its parts: those given, or a statement of its file or of fragments."""
    file, _, key = name.rpartition(".")
    text = read_file(file)[key]
    wanted = {part for _, part, _, _ in Formatter().parse(text) if part}
    found: dict[str, Parts] = {}
    for part in sorted(wanted):
        if part in parts:
            found[part] = parts[part]
        elif whole := _whole_name(file, part):
            found[part] = compose(whole, parts)
        else:
            raise ValueError(f"sql/{file}.sql: {key} needs {part!r}, which nothing provides")
    return statement(name, **found)


def _whole_name(file: str, name: str) -> str | None:
    """The statement that a brace or a header of a file names, or none if there is none."""
    if "/" in name:
        file, _, name = name.rpartition(".")
    files = (file, "checks/fragments")
    return next((f"{file}.{name}" for file in files if name in read_file(file)), None)


def _entries(
    one: Declaration, parts: Mapping[str, Parts], changed: dict[str, str] | None = None
) -> Iterator[SqlCheck]:
    """The declared statement for each of its subjects; ``changed``: parts by the gate's header."""
    for subject in _subjects(one):
        checks = dict(found for rule in one.rules for found in _of_rule(one, subject, rule))
        key = [column.format(**subject.words) for column in one.key]
        key = [column for columns in key for column in columns.split(", ")]
        own: dict[str, Parts] = {
            **parts,
            **subject.parts,
            "table": sql.Identifier(_table(one, subject.words)),
            "rule_name": sql.Literal(next(iter(checks))),
            "key_of_row": keys_of(key),
            **counted(_flags(one, checks), keys_of(key)),
        }
        named = {**one.parts, **(changed or {})}
        for name, value in named.items():
            own[name] = _part(one, value.format(**subject.words), own)
        yield SqlCheck(
            _statement(one, checks, key, own),
            checks,
            _feed(one, subject),
            one.only_in_facts,
            {
                **reference_values(),
                **one.values,
                "rules": list(checks),
                "thresholds": [check.threshold for check in checks.values()],
            },
            one,
        )


def _subjects(one: Declaration) -> list[Subject]:
    if one.table is not None:
        return [subject_of(one.table)]
    if one.each not in subjects():
        fail(one.file, one.line, f"'for each' is none of {', '.join(subjects())}")
    return [s for s in subjects()[one.each] if _has(one, s, one.only_with)]


def _has(one: Declaration, subject: Subject, attribute: str | None) -> bool:
    """Whether the subject has a value of an attribute, where one is asked for."""
    if attribute is None:
        return True
    if not hasattr(subject.of, attribute):
        fail(one.file, one.line, f"{attribute!r} is no attribute of what the check is for")
    return bool(getattr(subject.of, attribute))


def _table(one: Declaration, words: Words) -> str:
    """The table whose rows the check is about."""
    return one.about.format(**words) if one.about else one.table or words["table"]


def _feed(one: Declaration, subject: Subject) -> str | None:
    if one.feed is not None and one.feed != "any":
        fail(one.file, one.line, "'feed' can only be 'any': else it is that of the table")
    return None if one.feed == "any" else subject.feed


def _part(one: Declaration, name: str, parts: dict[str, Parts]) -> Parts:
    """A part that a header names: one of the subject's, or a statement of this or another file."""
    if name in parts:
        return parts[name]
    whole = _whole_name(one.file, name)
    if whole is None:
        fail(one.file, one.line, f"{name!r} is no part and no statement of the file")
    return compose(whole, parts)


def _statement(
    one: Declaration, rules: Iterable[str], key: list[str], parts: dict[str, Parts]
) -> sql.Composed:
    """The statement itself, or where it returns the rows that fail that which counts them."""
    found = compose(f"{one.file}.{one.name}", parts)
    text = found.as_string()
    silent = [rule for rule in rules if f"'{rule}'" not in text and "%(rules)s" not in text]
    if silent:
        fail(one.file, one.line, f"{one.name} does not answer {', '.join(silent)}")
    if one.counted_by is None:
        return found
    checked = _part(one, one.counted_by, parts)
    return statement("checks/failing_rows.counted", failing=found, keys=names(key), checked=checked)


def _flags(one: Declaration, checks: dict[str, Check]) -> list[str]:
    """The rules that are flags of the statement's rows: those that it does not write out."""
    text = read_file(one.file)[one.name]
    return [rule for rule in checks if f"'{rule}'" not in text]


def _of_rule(one: Declaration, subject: Subject, rule: Rule) -> Iterator[tuple[str, Check]]:
    """The checks of a rule on a subject, by the names under which the statement answers them."""
    if not _has(one, subject, rule.only_with):
        return
    if rule.each is not None and rule.each not in subject.repeated:
        fail(one.file, rule.line, f"'for each' is none of {', '.join(subject.repeated)}")
    for words in subject.repeated[rule.each] if rule.each else [{}]:
        yield _check(one, subject, rule, {**subject.words, **words})


def _check(one: Declaration, subject: Subject, rule: Rule, words: Words) -> tuple[str, Check]:
    table = _table(one, words)
    known = {**words, **{name: str(value) for name, value in one.values.items()}}
    try:
        name = rule.name.format(**known)
        column = rule.column.format(**known) if rule.column else None
        means, advice = rule.means.format(**known), rule.advice.format(**known)
        threshold = float(rule.threshold.format(**known))
    except (KeyError, ValueError) as error:
        fail(one.file, rule.line, f"rule {rule.name}: {error} is no known word or number")
    # What a rule is repeated for, a column or a table, is in the check's name before the rule's.
    own_name = name.removeprefix(f"{column or table}_")
    own_name = f"{column}.{own_name}" if column else own_name
    return name, Check(
        f"{table}.{own_name}",
        table,
        column,
        rule.dimension,
        rule.severity,
        means,
        advice,
        threshold,
        rule.share,
        rule.unit,
    )
