"""Erase: a member becomes tokens wherever the warehouse names one, and stays erased.

Rows change in one transaction. Free space, statistics and files follow after it, and the next run
does what a killed one left. A full load repeats an erasure at its place among the loads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from etl.access import erasure_files, erasure_rows
from etl.access.erasure import Door, Said, Tokens
from etl.access.erasure_rows import Relation
from etl.contracts.column import Identifier
from etl.contracts.feeds import FEEDS
from etl.contracts.senders import SENDERS
from etl.db.statements import run, scalar
from etl.errors import BatchError, UsageError
from etl.inbox import header
from etl.pipeline import erase_files
from etl.pipeline.ending import RolledBack
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Summary
from etl.schema import build as schema_build
from etl.stages.cubes.definitions import merge_named
from etl.stages.dims import publishing
from etl.stages.stage.erased import erased_texts
from etl.warehouse.tables import CUBES, DIM_MEMBER, DIMENSIONS, LIVE, NEXT, Schemas

# So many lines of a file a message names.
_LINES_SHOWN = 20
_RESTORED = "erased before; applied again to a database that was restored"


@dataclass(slots=True)
class Found:
    """What an erasure changes: rows by relation, and where files of the inbox have them.

    ``evidence``: looks and disclosures that name the members and are kept.
    """

    rows: dict[str, int] = field(default_factory=dict)
    lines: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    evidence: int = 0

    def add_lines(self, rows: psycopg.Cursor[Any]) -> None:
        """Note (batch, file, line) of each row."""
        for batch, file, line in rows:
            self.lines.setdefault((batch, file), set()).add(line)


def erase(context: RunContext, member_id: str, why: str, *, show: bool = False) -> Summary:
    """Erase a member; with ``show`` only say what would change.

    Raises ``UsageError`` where the member is unknown or under legal hold.
    """
    _require(member_id, why)
    catch_up(context)
    is_first = not context.erased.through
    tokens = erasure_files.tokens(context.settings.data, is_new=is_first)
    token = tokens.of_number(member_id)
    try:
        found = _erase(context, tokens, {member_id: token}, why.replace(member_id, token), show)
    except RolledBack as error:
        context.watcher.say(str(error))
        return context.summary
    _say(context, found, "was erased")
    _finish(context)
    return context.summary


def catch_up(context: RunContext) -> None:
    """Complete erasures that were killed, and apply again those that a restore has undone."""
    data = context.settings.data
    listed = erasure_files.listed(data)
    missing = listed - context.erased.through.keys()
    if missing:
        _apply_again(context, missing)
    if context.erased.through and (
        context.erased.through.keys() - listed or scalar(context.ledger, _FILES_ARE_DUE)
    ):
        _finish(context)


_FILES_ARE_DUE = "access/erasure.files_are_due"


def repeat(context: RunContext, rebuilds_load_id: int | None) -> None:
    """Before a load of a rebuild: repeat the erasures that came before the one that it repeats."""
    due = [t for t in context.erased.before(rebuilds_load_id) if t not in context.rebuild.erasures]
    if not due:
        return
    last = max(context.rebuild.load_ids, default=0)
    with context.run_stage("erase", "members who were erased", None, NEXT):
        found = erasure_rows.relations(context.work)
        of_rebuild = [relation for relation in found if relation.is_of(NEXT.schemas)]
        for relation in of_rebuild:
            if not relation.is_published:
                with erasure_rows.without_triggers(context.work, [relation]):
                    erasure_rows.strip(context.work, relation, due)
                    erasure_rows.rehash(context.work, relation, due)
        _publish(context.work, of_rebuild)
    context.rebuild.erasures |= dict.fromkeys(due, last)


def go_live(context: RunContext) -> None:
    """Let the list of the erased name the loads of the rebuild; in the transaction of the swap."""
    moved = context.rebuild.erasures
    values = {"tokens": list(moved), "load_ids": list(moved.values())}
    run(context.work, "access/erasure.move_erased", values)


def _require(member_id: str, why: str) -> None:
    if not member_id:
        raise UsageError("Which member is meant?", "Name one: make erase MEMBER=... WHY=...")
    if not why.strip():
        raise UsageError(
            "Why the member is to be erased is missing.",
            "Say it for those who come after: WHY='request of 2025-03-01'.",
        )


def _erase(
    context: RunContext, tokens: Tokens, members: Mapping[str, str], why: str, show: bool
) -> Found:
    # What is left of a rebuild that did not go live.
    schema_build.drop(context.ledger, NEXT.schemas)
    with (
        context.run_stage("erase", "a member", None, LIVE) as counts,
        erasure_rows.named(context.work, members),
    ):
        if scalar(context.work, "access/erasure.is_held"):
            raise UsageError(
                "The member is under legal hold and was not erased.",
                "make hold MEMBER=... RELEASE=yes ends the hold when the matter is closed.",
            )
        context.staging_archive.bring_back_members(context.work, members)
        found = _change(context.work, tokens, members)
        if not found.rows:
            _raise_unknown(context, members)
        if show:
            _say(context, found, "would be erased")
            raise RolledBack("This was only shown.")
        counts.update(found.rows)
        values = {"tokens": list(members.values()), "why": why, "key_check": tokens.key_check}
        run(context.work, "access/erasure.add_erased", values)
    return found


def _raise_unknown(context: RunContext, members: Mapping[str, str]) -> None:
    if set(members.values()) & context.erased.through.keys():
        raise RolledBack("The member was erased before, and nothing of theirs came back.")
    raise UsageError(
        "The warehouse has no member of that number.",
        "Write it as the members feed does, with the same capitals; nothing was changed.",
    )


def _change(
    connection: psycopg.Connection[Any], tokens: Tokens, members: Mapping[str, str]
) -> Found:
    """Erase the members that are named, in the caller's transaction."""
    found = Found(evidence=scalar(connection, "access/erasure.evidence"))
    there = erasure_rows.relations(connection)
    published = [r for r in there if r.is_published and not r.is_of(NEXT.schemas)]
    among = [r for r in there if not r.is_published and not r.is_of(NEXT.schemas)]
    for relation in among:
        _find_lines(connection, relation, found)
    run(connection, "access/erasure.forget_new_codes")
    run(connection, "stage/unchanged_rows.forget_all")
    erasure_rows.collect_values(connection, tokens, among)
    with erasure_rows.without_triggers(connection, among):
        for relation in among:
            rows = erasure_rows.tokenize(connection, relation)
            erasure_rows.strip(connection, relation, members.values())
            erasure_rows.rehash(connection, relation, members.values())
            _count(found, relation, rows)
    _publish(connection, published)
    table = DIM_MEMBER.feed.table
    people = erasure_rows.people(connection, table, members.values())
    for relation in among:
        rows = _change_inside(connection, relation, tokens, members, people, found)
        _count(found, relation, rows)
    _make_cubes_again(connection, among, members)
    return found


def _publish(connection: psycopg.Connection[Any], among: Iterable[Relation]) -> None:
    """Publish the dimensions among tables again, on a cluster, where they were changed."""
    for relation in among:
        if relation.is_published:
            (dimension,) = (d for d in DIMENSIONS.values() if d.table == relation.name)
            schemas = Schemas.of(LIVE.schemas.warehouse, str(relation.schema))
            publishing.publish(
                connection, replace(schemas, has_history=True), relation.name, dimension.sk
            )


def _make_cubes_again(
    connection: psycopg.Connection[Any], among: Sequence[Relation], members: Mapping[str, str]
) -> None:
    """Let cubes say of the members what follows from what is left, such as from a year of birth."""
    schema = LIVE.schemas.cubes
    there = {relation.name for relation in among if relation.schema == schema}
    for cube in CUBES.values():
        if cube.by_member and cube.name in there:
            merge_named(connection, cube, schema, members.values())


def _count(found: Found, relation: Relation, rows: int) -> None:
    if rows:
        found.rows[f"{relation.schema}.{relation.name}"] = rows


def _find_lines(connection: psycopg.Connection[Any], relation: Relation, found: Found) -> None:
    """Note where files of the inbox have the rows that a staging table has of the members."""
    feed = next((f for f in FEEDS.values() if f.table == relation.name), None)
    if feed and relation.schema == LIVE.schemas.staging and relation.number:
        found.add_lines(
            run(
                connection,
                "access/erasure.lines_in_inbox",
                table=relation.table,
                number=sql.Identifier(relation.number),
                feed=sql.Literal(feed.name),
            )
        )


def _change_inside(
    connection: psycopg.Connection[Any],
    relation: Relation,
    tokens: Tokens,
    members: Mapping[str, str],
    people: Mapping[Said, str],
    found: Found,
) -> int:
    """Erase where a number is inside of a value: keys of rows, and whole rows; how many rows."""
    if relation.name == "rejected_key":
        feeds = [f.name for f in FEEDS.values() if _names_members(f.key, f.name)]
        named = run(
            connection, "access/erasure.rejected_keys", {"feeds": feeds}, table=relation.table
        )
        return named.rowcount
    if relation.name == "check_result":
        number = {"number": "member_id"}
        return run(connection, "access/erasure.failing_keys", number, table=relation.table).rowcount
    if relation.name not in _TEXTS:
        return 0
    select, change = _TEXTS[relation.name]
    suffix = (relation.schema or "").removeprefix("quality")
    texts = run(
        connection,
        f"access/erasure.{select}",
        {"said": [Identifier.EMAIL.value, Identifier.NAME.value], "making": _making_numbers()},
        table=relation.table,
        rows=sql.Identifier(f"quality{suffix}", "quarantined_row"),
        files=sql.Identifier(f"ledger{suffix}", "load_file"),
    )
    erased: dict[int, str] = {}
    door = Door(tokens, people=people, members=members)
    # Those of one file are next to each other.
    for (feed, *of_file), group in groupby(texts, key=lambda row: row[1:5]):
        lines = {row_id: line for row_id, *_, line in group}
        made = erased_texts(connection, FEEDS[feed], _head(feed, *of_file), door, lines.items())
        erased |= {row_id: text for row_id, text in made if text != lines[row_id]}
    erasure_rows.fill(connection, "erased_line", erased.items())
    rows = run(connection, f"access/erasure.{change}", table=relation.table).rowcount
    run(connection, "access/erasure.empty_lines")
    if select == "quarantined_lines" and erased and not suffix:
        ids = {"ids": list(erased)}
        found.add_lines(run(connection, "access/erasure.lines_of_quarantine", ids))
    return rows


# Tables with whole rows: the statements that find the texts, and put others in their places.
_TEXTS = {
    "quarantined_line": ("quarantined_lines", "change_quarantined"),
    "correction": ("corrections", "change_corrections"),
}


def _names_members(key: tuple[str, ...], feed: str) -> bool:
    return any(FEEDS[feed].column(k).identifier is Identifier.MEMBER_NUMBER for k in key)


def _making_numbers() -> list[str]:
    """The contracts that make members' numbers, which are in no field of their files."""
    return [
        contract.name
        for contract in SENDERS.values()
        if any(
            contract.feed.column(name).identifier is Identifier.MEMBER_NUMBER
            for name in contract.made
        )
    ]


def _head(
    feed: str, contract: str | None, names: list[str], findings: dict[str, Any]
) -> header.Header | None:
    """The header of a file, as far as its contract is still declared."""
    try:
        return header.of_names(FEEDS[feed], contract, names, findings) if names else None
    except BatchError:
        return None


def _apply_again(context: RunContext, missing: set[str]) -> None:
    """Erase members whom the list outside of the database has, and the one in it has not."""
    tokens = erasure_files.tokens(context.settings.data)
    members = {}
    for relation in erasure_rows.relations(context.work):
        if relation.number is not None:
            for number in erasure_rows.numbers_of(context.work, relation):
                token = tokens.of_number(number)
                if token in missing:
                    members[number] = token
    schema_build.drop(context.ledger, NEXT.schemas)
    with (
        context.run_stage("erase", "members who were erased", None, LIVE) as counts,
        erasure_rows.named(context.work, members),
    ):
        context.staging_archive.bring_back_members(context.work, members)
        counts.update(_change(context.work, tokens, members).rows)
        values = {"tokens": list(missing), "why": _RESTORED, "key_check": tokens.key_check}
        run(context.work, "access/erasure.add_erased", values)
    context.watcher.say(
        f"The database is older than {len(missing):,} erasures: they were applied again."
    )


def _finish(context: RunContext) -> None:
    """See to what no transaction can: the list outside, free space and statistics, files."""
    data, erased = context.settings.data, context.erased
    listed = erasure_files.listed(data) | erased.through.keys()
    erasure_files.keep_list(data, listed, erased.tokens)
    for relation in erasure_rows.relations(context.ledger):
        run(context.ledger, "access/erasure.vacuum", table=relation.table)
    door = erased.door()
    assert door.tokens is not None  # somebody was erased
    for path in (*erase_files.erase(context.work, data, door), *_erase_archive(context, door)):
        context.watcher.say(f"Erased in {path}.")
    for folder in erase_files.remove_exports(context.settings.exports):
        context.watcher.say(f"Removed the export {folder}; make export makes it again.")
    context.staging_archive.clear(context.ledger)
    run(context.ledger, "access/erasure.files_done")


def _erase_archive(context: RunContext, door: Door) -> Iterator[Path]:
    if context.settings.archive.exists():
        # pyarrow takes as long to import as all the rest, and few commands need it.
        from etl.retention import erased

        yield from erased.erase(context.ledger, context.settings.archive, door)


def _say(context: RunContext, found: Found, what: str) -> None:
    """What changes, by relation, and which files name the member still."""
    rows = ", ".join(f"{name} {count:,}" for name, count in found.rows.items())
    context.watcher.say(f"The member {what}; rows by table: {rows}.")
    if found.evidence:
        context.watcher.say(
            f"In audit {found.evidence:,} looks and disclosures name the member; they are kept for "
            "six years (45 CFR 164.316(b)(2), 164.528)."
        )
    if found.lines:
        context.watcher.say(
            "The inbox is not touched, and these files name the member (each later load erases "
            "the rows again):"
        )
    for (batch, file), lines in sorted(found.lines.items()):
        listed = sorted(lines)
        shown = ", ".join(str(line) for line in listed[:_LINES_SHOWN])
        more = f" and {len(listed) - _LINES_SHOWN:,} more" if len(listed) > _LINES_SHOWN else ""
        context.watcher.say(f"  batch {batch}, {file}, line {shown}{more}")
