"""Defects put into synthetic feeds, compared with those detected: all of them and no others.

The detectors read the quarantine, the ledger and the rows that checks find, never the truth. They
read every line that was staged, also those that a later one has replaced since: the truth counts
what was put in. Only the comparison reads the truth.

A defect can have consequences. Who lost an enrollment to the quarantine has claims outside
coverage; a member whose row was rejected is unknown to the facts; a claim that was rejected leaves
lines without a claim. A finding is a consequence where a key leads from it to the row that was
lost, and otherwise it is a false positive.
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
from etl.db.connection import reading, set_config
from etl.db.statements import Parts, equal, run, statement
from etl.quality.checks.reference import reference_values
from etl.quality.checks.registry import failing_rows
from etl.quality.truth import Detection
from etl.synthetic.defects.dirt import KINDS, LATE_SET, REFUSED
from etl.synthetic.evaluate.truth_checks import comparable
from etl.synthetic.truth import truth_file
from etl.warehouse.tables import DIM_MEMBER, DIM_PROVIDER, Build, Dimension

# Kinds of which the ledger counts how many a file has, not where.
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
# Kinds that defects of a claim, or of another of its lines or diagnoses, can bring about.
_OF_DETAILS = {"line_total", "missing_line", LATE_SET}
# How a refused file is recognized: by the message of the run that refused it.
_OF_MESSAGE = {
    "truncated": re.compile("is not the file that its manifest describes|is cut short"),
    "renamed_column": re.compile(r"lacks required columns: .*\(the file has "),
    "missing_column": re.compile(r"lacks required columns: [^(]*$"),
}
# The generator's identifier of an enrollment holds the number of its member, which is there too
# where a field of the row is missing or the row names no known member.
_MEMBER = re.compile(r"\b(?:M|E[0-9]{4})([0-9]{8})")
_CLAIM = re.compile(r"\bC[0-9]{16}\b")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a defect is: line 1 is the file's as a whole, 0 is anywhere in it."""

    batch_id: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a detector found, with the row's key and whose row it is.

    ``owner``: the member or provider, and of a line or diagnosis the claim.
    """

    kind: str
    place: Place
    key: str | None = None
    owner: str | None = None


def detections(
    connection: psycopg.Connection[Any], build: Build, folder: Path
) -> tuple[Detection, ...]:
    """Each kind of defect with what was put in and what was detected; none if not comparable.

    ``folder`` contains the truth. There is nothing to compare where the warehouse contains other
    batches than those of the truth, or where no dirt was asked for.
    """
    with reading(connection, build.schemas.path):
        # The planner expects few rows to fail, and where they are many a loop over them reads all
        # rows of a load for each.
        set_config(connection, "enable_nestloop", "off")
        asked = build.values
        truth = _truth(folder, run(connection, "synthetic/truth.files", asked).fetchall())
        if not any(batch.get("dirty") for batch in truth):
            return ()
        loads = [load for load, _ in run(connection, "checks/staging.loads_of_build", asked)]
        rejected = run(connection, "synthetic/detection.rejected", {"loads": loads}).fetchall()
        _leave_out_expired(connection, loads, truth)
        found = [
            *_in_quarantine(rejected),
            *_in_ledger(connection, loads),
            *_in_staging(connection, loads),
            *_in_details(connection, loads),
        ]
    lost = [raw for _, feed, _, _, _, raw, _ in rejected if feed == "enrollments" and raw]
    lost += [one.key for one in found if one.kind == "orphan_member" and one.key]
    members_without_enrollment = {f"M{number}" for text in lost for number in _MEMBER.findall(text)}
    claims = {claim for *_, raw, _ in rejected if raw for claim in _CLAIM.findall(raw)}
    claims |= {one.key for one in found if one.kind == "paid_above_allowed" and one.key}
    return compare(truth, found, members_without_enrollment, claims)


def _truth(folder: Path, files: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """The truth of the batches loaded and of those that must have been refused, in order.

    Empty if the warehouse contains other batches than these.
    """
    loaded = comparable(folder, files) if files else []
    if loaded is None:
        return []
    truth = {batch["batch_id"]: batch for batch in loaded}
    for path in folder.glob("*.json"):
        batch = truth_file.read(folder, path.stem)
        if batch is not None and batch["refused"]:
            truth[batch["batch_id"]] = batch
    return [truth[batch_id] for batch_id in sorted(truth)]


def _leave_out_expired(
    connection: psycopg.Connection[Any], loads: list[int], truth: list[dict[str, Any]]
) -> None:
    """Take defects out of the truth that nothing can find, for their rows have expired."""
    found = run(connection, "synthetic/detection.expired", {"loads": loads})
    expired = {(batch_id, file): lines for batch_id, file, lines in found}
    for batch in truth:
        for file, said in batch["files"].items():
            ranges = expired.get((batch["batch_id"], file), ())
            said["defects"] = [
                defect
                for defect in said["defects"]
                # What is counted for the whole file is counted still.
                if defect["kind"] in _COUNTED or not any(defect["line"] in one for one in ranges)
            ]


def _in_quarantine(rows: Iterable[tuple[Any, ...]]) -> Iterator[Found]:
    """Rejected kinds, by reason, and by the shape of the row where kinds share a reason."""
    for batch_id, feed, file, line, reason, raw_line, fields in rows:
        kind = _kind(feed, reason, raw_line or "", fields)
        yield Found(kind, Place(batch_id, file, line))


def _kind(feed: str, reason: str, raw_line: str, fields: int) -> str:
    if reason == Reason.FIELD_COUNT.text:
        record = next(csv.reader(io.StringIO(raw_line, newline="")), [])
        return "missing_field" if len(record) < fields else "extra_field"
    if reason == Reason.NOT_AN_AMOUNT.text and _DOLLARS.search(raw_line):
        return "dollar_amount"
    if reason == Reason.CONFLICT.text and feed == "claim_diagnoses":
        return "repeated_position"
    return _OF_REASON.get(reason, reason)


def _in_ledger(connection: psycopg.Connection[Any], loads: list[int]) -> Iterator[Found]:
    """What the ledger says of files: repeated rows, what was noticed on the way, refusals."""
    for batch_id, file, duplicates, findings in run(
        connection, "synthetic/detection.noticed", {"loads": loads}
    ):
        counts = {"duplicate": duplicates, "trailing_spaces": findings.get("trimmed_rows", 0)}
        for kind, count in counts.items():
            yield from [Found(kind, Place(batch_id, file, 0))] * count
        whole = {"byte_order_mark": "byte_order_mark", "crlf": "crlf"}
        for name, kind in {**whole, "extra_columns": "extra_column"}.items():
            if findings.get(name):
                yield Found(kind, Place(batch_id, file, 1))
    for batch_id, file, error in run(connection, "synthetic/detection.refused"):
        for kind, words in _OF_MESSAGE.items():
            if words.search(error or ""):
                yield Found(kind, Place(batch_id, file, 1))


def _in_staging(connection: psycopg.Connection[Any], loads: list[int]) -> Iterator[Found]:
    """Loaded kinds: what the checks find in every line that was staged."""
    kinds = {
        "within_coverage": "service_outside_coverage",
        "amounts_in_order": "paid_above_allowed",
        "diagnosis_possible": "bad_diagnosis",
        "no_day_twice": "overlapping_enrollment",
        "npi_check_digit": "bad_npi",
    }
    # Each check as it is but for what it is asked of, which bears the name of the feed.
    for feed, table, states, check in (
        ("claims", "fact_claim", "claim_states", "business_claims.outside_coverage"),
        ("claims", "fact_claim", "claim_states", "business_claims.claim_values"),
        ("enrollments", "fact_enrollment", "enrollment_states", "business_enrollments.overlapping"),
        ("providers", "dim_provider", "provider_states", "business_dimensions.bad_npis"),
    ):
        asked = {feed: statement(f"synthetic/detection.{states}")}
        failing = failing_rows(f"checks/{check}", table, **asked)
        for rule, one in _lines(connection, loads, feed, failing, FEEDS[feed].key):
            if rule in kinds:
                yield Found(kinds[rule], *one)
    for with_text in FEEDS.values():
        failing = failing_rows("checks/business_dimensions.line_breaks", with_text.table)
        for _, one in _lines(connection, loads, with_text.name, failing):
            yield Found("line_feed", *one)
    for feed, dimension in (
        ("enrollments", DIM_MEMBER),
        ("claims", DIM_MEMBER),
        ("claims", DIM_PROVIDER),
    ):
        failing = _orphans(feed, dimension)
        owner = dimension.key[0]
        for _, one in _lines(connection, loads, feed, failing, owner=owner):
            yield Found(f"orphan_{dimension.name}", *one)


def _in_details(connection: psycopg.Connection[Any], loads: list[int]) -> Iterator[Found]:
    """What lines and diagnoses say, compared with their claims and with the known codes."""
    for feed, name in (
        ("claim_lines", "line_sets"),
        ("claim_lines", "unknown_procedures"),
        ("claim_diagnoses", "diagnosis_sets"),
        ("claim_diagnoses", "unknown_diagnoses"),
    ):
        failing = statement(f"synthetic/detection.{name}")
        for kind, one in _lines(connection, loads, feed, failing, owner="claim_id"):
            yield Found(kind, *one)


def _orphans(feed: str, dimension: Dimension) -> sql.Composed:
    return statement(
        "synthetic/detection.orphans",
        staging=sql.Identifier(FEEDS[feed].table),
        dim=sql.Identifier(dimension.table),
        key=sql.Identifier(dimension.key[0]),
    )


def _lines(
    connection: psycopg.Connection[Any],
    loads: list[int],
    feed: str,
    failing: Parts,
    row_key: tuple[str, ...] = ("source_line",),
    owner: str = "",
) -> Iterator[tuple[str, tuple[Place, str, str | None]]]:
    """Rule, and place, key and owner, of the rows that a statement returns.

    ``row_key``: the columns by which it identifies a row of a load. ``owner``: the column of whose
    it is, by default the member.
    """
    declared = FEEDS[feed]
    member = "member_id" if feed in ("enrollments", "claims") else declared.key[0]
    rows = run(
        connection,
        "synthetic/detection.lines",
        {"loads": loads, "feed": feed, **reference_values()},
        failing=failing,
        staging=sql.Identifier(declared.table),
        same_row=equal(row_key, "b", "s"),
        key=sql.Identifier(declared.key[0]),
        owner=sql.Identifier(owner or member),
    )
    for rule, batch_id, file, line, key, owned_by in rows:
        yield rule, (Place(batch_id, file, line), key, owned_by)


def compare(
    truth: list[dict[str, Any]],
    found: Iterable[Found],
    members_without_enrollment: set[str],
    claims_with_losses: set[str],
) -> tuple[Detection, ...]:
    """The kinds in their order, each with what was put in and what was detected.

    ``truth``: that of the batches in order. ``members_without_enrollment``: members who lost an
    enrollment, because it was rejected or names another member. ``claims_with_losses``: claims of
    which a row was rejected, or has other amounts than were sent with its lines.
    """
    injected: dict[str, Counter[Place]] = {kind: Counter() for kind in KINDS}
    for batch in truth:
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
    unknown = {key for keys in truth[-1]["unknown"].values() for key in keys}
    explained = dict.fromkeys(_HAS_CONSEQUENCES, unknown | members_without_enrollment)
    explained |= dict.fromkeys(_OF_DETAILS, claims_with_losses)
    return tuple(
        _compared(kind, injected.get(kind, Counter()), ones, explained.get(kind, set()))
        for kind, ones in by_kind.items()
    )


def _compared(
    kind: str, injected: Counter[Place], found: list[Found], explained: set[str]
) -> Detection:
    places = Counter(one.place for one in found)
    hit = injected & places
    surplus = places - injected
    over = [one for one in found if surplus[one.place]]
    # Who has one enrollment too many has others that overlap it.
    twice = {one.owner for one in found if hit[one.place] and kind == "overlapping_enrollment"}
    consequences = sum(one.owner in twice | explained for one in over)
    return Detection(
        kind,
        injected.total(),
        hit.total(),
        (injected - places).total(),
        surplus.total() - consequences,
        consequences,
    )
