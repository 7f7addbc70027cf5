"""What was put into synthetic feeds held against what was found: none missed, none invented.

The detectors read the quarantine, the ledger and the rows that checks find, never the truth. They
look at every line that was staged, also at those that a later one has replaced since: the truth
counts what was put in. Only the comparison reads the truth.

A defect can have consequences. Who lost an enrollment to the quarantine has claims outside
coverage; a member whose row was set aside is unknown to the facts. A finding is a consequence
where a key leads from it to the row that was lost, and else it is invented.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.feeds import FEEDS
from etl.contracts.reasons import Reason
from etl.db.connection import reading
from etl.db.statements import Parts, equal, run, statement
from etl.quality.checks.business import claim_values, claims_values, line_breaks, outside_coverage
from etl.quality.checks.judged import relation
from etl.quality.truth_checks import comparable
from etl.synthetic.defects.dirt import KINDS, REFUSED
from etl.synthetic.truth import truth_file
from etl.warehouse.tables import DIM_MEMBER, DIM_PROVIDER, Dimension, Schemas

# Kinds of which a file tells how many and not where.
_COUNTED = ("duplicate", "trailing_spaces")
_OF_REASON = {
    Reason.NOT_A_DATE.text: "bad_date",
    Reason.NOT_AN_AMOUNT.text: "bad_amount",
    Reason.NOT_UTF8.text: "bad_encoding",
    Reason.CONFLICT.text: "conflicting_duplicate",
    Reason.OUT_OF_ORDER.text: "end_before_start",
}
_DOLLARS = re.compile(r'(^|,)"?\$[0-9,]+\.[0-9]{2}"?(,|$)')
# Kinds that other defects can bring about.
_HAS_CONSEQUENCES = {
    "orphan_member",
    "orphan_provider",
    "service_outside_coverage",
    "overlapping_enrollment",
}
# What a refused file is told by: the words of the run that refused it.
_OF_WORDS = {
    "truncated": re.compile("is not the file that its manifest describes|is cut short"),
    "renamed_column": re.compile(r"lacks required columns: .*\(the file has "),
    "missing_column": re.compile(r"lacks required columns: [^(]*$"),
}
# The generator's identifier of an enrollment holds the number of its member, which is there too
# where a field of the row is missing or the member is a stranger.
_MEMBER = re.compile(r"\b(?:M|E[0-9]{4})([0-9]{8})")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a defect is: line 1 is the file's as a whole, 0 is anywhere in it."""

    batch_id: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector found, with the row's key and the member or provider whose row it is."""

    kind: str
    place: Place
    key: str | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class KindFound:
    """How many defects of a kind were put in and found.

    ``missed`` of those put in were not found. ``consequences`` of other defects were found beside
    them, and ``invented`` is what nothing explains.
    """

    kind: str
    injected: int
    found: int
    missed: int
    invented: int
    consequences: int


def run_found(
    connection: psycopg.Connection[Any], schemas: Schemas, statuses: tuple[str, ...], folder: Path
) -> tuple[KindFound, ...]:
    """Each kind of defect with what was put in and what was found; none if nothing is comparable.

    ``folder`` holds the truth. There is nothing to compare where the warehouse holds other batches
    than those that the truth tells of, or where no dirt was asked for.
    """
    with reading(connection, schemas.path):
        asked = {"statuses": list(statuses)}
        told = _told(folder, run(connection, "checks/truth.files", asked).fetchall())
        if not any(batch.get("dirty") for batch in told):
            return ()
        loads = [load for load, _ in run(connection, "checks/staging.loads_of_build", asked)]
        set_aside = run(connection, "checks/found.set_aside", {"loads": loads}).fetchall()
        found = [
            *_in_quarantine(set_aside),
            *_in_ledger(connection, loads),
            *_in_staging(connection, loads),
        ]
    lost = [raw for _, feed, _, _, _, raw, _ in set_aside if feed == "enrollments" and raw]
    lost += [one.key for one in found if one.kind == "orphan_member" and one.key]
    members_without_enrollment = {f"M{number}" for text in lost for number in _MEMBER.findall(text)}
    return compare(told, found, members_without_enrollment)


def _told(folder: Path, files: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """The truth of the batches loaded and of those that must have been refused, in order.

    None of it if the warehouse holds other batches than these.
    """
    loaded = comparable(folder, files) if files else []
    if loaded is None:
        return []
    told = {batch["batch_id"]: batch for batch in loaded}
    for path in folder.glob("*.json"):
        batch = truth_file.read(folder, path.stem)
        if batch is not None and batch["refused"]:
            told[batch["batch_id"]] = batch
    return [told[batch_id] for batch_id in sorted(told)]


def _in_quarantine(rows: Iterable[tuple[Any, ...]]) -> Iterator[Found]:
    """Rejected kinds, by reason, and by the shape of the row where kinds share a reason."""
    for batch_id, _, file, line, reason, raw_line, fields in rows:
        kind = _kind(reason, raw_line or "", fields)
        yield Found(kind, Place(batch_id, file, line))


def _kind(reason: str, raw_line: str, fields: int) -> str:
    if reason == Reason.FIELD_COUNT.text:
        record = next(csv.reader(io.StringIO(raw_line, newline="")), [])
        return "missing_field" if len(record) < fields else "extra_field"
    if reason == Reason.NOT_AN_AMOUNT.text and _DOLLARS.search(raw_line):
        return "dollar_amount"
    return _OF_REASON.get(reason, reason)


def _in_ledger(connection: psycopg.Connection[Any], loads: list[int]) -> Iterator[Found]:
    """What the ledger says of files: repeated rows, what was noticed on the way, refusals."""
    for batch_id, file, duplicates, findings in run(
        connection, "checks/found.noticed", {"loads": loads}
    ):
        counts = {"duplicate": duplicates, "trailing_spaces": findings.get("trimmed_rows", 0)}
        for kind, count in counts.items():
            yield from [Found(kind, Place(batch_id, file, 0))] * count
        whole = {"byte_order_mark": "byte_order_mark", "crlf": "crlf"}
        for name, kind in {**whole, "extra_columns": "extra_column"}.items():
            if findings.get(name):
                yield Found(kind, Place(batch_id, file, 1))
    for batch_id, file, error in run(connection, "checks/found.refused"):
        for kind, words in _OF_WORDS.items():
            if words.search(error or ""):
                yield Found(kind, Place(batch_id, file, 1))


def _in_staging(connection: psycopg.Connection[Any], loads: list[int]) -> Iterator[Found]:
    """Loaded kinds: what the checks find, asked of every line that was staged."""
    kinds = {
        "within_coverage": "service_outside_coverage",
        "amounts_in_order": "paid_above_allowed",
        "diagnosis_possible": "bad_diagnosis",
        "no_day_twice": "overlapping_enrollment",
        "npi_check_digit": "bad_npi",
    }
    asked: list[tuple[str, Parts]] = [
        ("claims", outside_coverage("checks/found.claims_told")),
        ("claims", claim_values(relation("checks/found.claims_told"))),
        (
            "enrollments",
            statement(
                "checks/business.overlapping", enrollments=relation("checks/found.enrollments_told")
            ),
        ),
        (
            "providers",
            statement(
                "checks/business.bad_npis", providers=relation("checks/found.providers_told")
            ),
        ),
    ]
    for feed, failing in asked:
        for rule, one in _lines(connection, loads, feed, failing, FEEDS[feed].key):
            if rule in kinds:
                yield Found(kinds[rule], *one)
    for source in FEEDS.values():
        for _, one in _lines(connection, loads, source.name, line_breaks(source)):
            yield Found("line_feed", *one)
    for feed, dimension in (
        ("enrollments", DIM_MEMBER),
        ("claims", DIM_MEMBER),
        ("claims", DIM_PROVIDER),
    ):
        failing = _strangers(feed, dimension)
        owner = dimension.key[0]
        for _, one in _lines(connection, loads, feed, failing, owner=owner):
            yield Found(f"orphan_{dimension.name}", *one)


def _strangers(feed: str, dimension: Dimension) -> sql.Composed:
    return statement(
        "checks/found.strangers",
        staging=sql.Identifier(FEEDS[feed].table),
        dim=sql.Identifier(dimension.table),
        key=sql.Identifier(dimension.key[0]),
    )


def _lines(
    connection: psycopg.Connection[Any],
    loads: list[int],
    feed: str,
    failing: Parts,
    told_by: tuple[str, ...] = ("source_line",),
    owner: str = "",
) -> Iterator[tuple[str, tuple[Place, str, str | None]]]:
    """Rule, and place, key and owner, of the rows that a statement returns.

    ``told_by``: the columns by which it tells a row of a load. ``owner``: the column of whose it
    is, by default the member.
    """
    source = FEEDS[feed]
    member = "member_id" if feed in ("enrollments", "claims") else source.key[0]
    rows = run(
        connection,
        "checks/found.lines",
        {"loads": loads, "feed": feed, **claims_values()},
        failing=failing,
        staging=sql.Identifier(source.table),
        same_row=equal(told_by, "b", "s"),
        key=sql.Identifier(source.key[0]),
        owner=sql.Identifier(owner or member),
    )
    for rule, batch_id, file, line, key, owned_by in rows:
        yield rule, (Place(batch_id, file, line), key, owned_by)


def compare(
    told: list[dict[str, Any]], found: Iterable[Found], members_without_enrollment: set[str]
) -> tuple[KindFound, ...]:
    """The kinds in their order, each with what was put in and what was found.

    ``told``: the truth of the batches in order. ``members_without_enrollment``: members an
    enrollment of whom was set aside or became a stranger's.
    """
    injected: dict[str, Counter[Place]] = {kind: Counter() for kind in KINDS}
    for batch in told:
        for file, said in batch["files"].items():
            for defect in said["defects"]:
                # Of a refused batch nothing was loaded, so that only the refusal can be found.
                if batch["refused"] and defect["outcome"] != REFUSED:
                    continue
                line = 0 if defect["kind"] in _COUNTED else defect["line"]
                injected[defect["kind"]][Place(batch["batch_id"], file, line)] += 1
    by_kind: dict[str, list[Found]] = {kind: [] for kind in KINDS}
    for one in found:
        by_kind.setdefault(one.kind, []).append(one)
    unknown = {key for keys in told[-1]["unknown"].values() for key in keys}
    return tuple(
        _compared(kind, injected.get(kind, Counter()), ones, unknown | members_without_enrollment)
        for kind, ones in by_kind.items()
    )


def _compared(
    kind: str, injected: Counter[Place], found: list[Found], explained: set[str]
) -> KindFound:
    places = Counter(one.place for one in found)
    hit = injected & places
    surplus = places - injected
    over = [one for one in found if surplus[one.place]]
    # Who has one enrollment too many has others that overlap it.
    twice = {one.owner for one in found if hit[one.place] and kind == "overlapping_enrollment"}
    known = twice | (explained if kind in _HAS_CONSEQUENCES else set())
    consequences = sum(one.owner in known for one in over)
    return KindFound(
        kind,
        injected.total(),
        hit.total(),
        (injected - places).total(),
        surplus.total() - consequences,
        consequences,
    )
