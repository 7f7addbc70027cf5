"""The rows of the quality views that the report on data quality shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from etl.inbox.refused import HeldBatch
from etl.quality.truth import Detection


@dataclass(frozen=True, slots=True)
class Latest:
    """The run of the checks that the page is about; ``is_not_live``: of a build nobody reads.

    ``months`` and ``all_since``: where it looked at a share of the months of claims, which, and
    since when every claim was looked at.
    """

    check_run_id: int
    started_at: datetime
    finished_at: datetime
    load_id: int | None
    batch_id: str | None
    as_of: datetime | None
    is_not_live: bool | None
    made_at: datetime
    loads_since: int
    months: Sequence[date] | None = None
    all_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """The score, 0 to 1, of a run."""

    check_run_id: int
    started_at: datetime
    load_id: int | None
    checks: int
    failed: int
    failed_critical: int
    score: float


@dataclass(frozen=True, slots=True)
class Score:
    """The score, 0 to 1, of a table in one dimension of quality."""

    table_name: str
    dimension: str
    checks: int
    failed: int
    failed_critical: int
    score: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that fails. ``rows_checked`` is ``None`` where it could not be evaluated."""

    check_name: str
    table_name: str
    column_name: str | None
    dimension: str
    severity: str
    rows_checked: int | None
    rows_failed: int
    measured: float | None
    unit: str | None
    threshold: float
    threshold_share: float | None
    means: str | None
    advice: str | None
    failing_since: datetime | None
    runs_failed: int | None
    failing_keys: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """A failure that has ended, and how long it lasted."""

    check_name: str
    severity: str
    failing_since: datetime
    resolved_at: datetime
    runs_failed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TimeToResolve:
    """How long failures of a severity lasted."""

    severity: str
    episodes: int
    unresolved: int
    median_seconds: float | None
    longest_seconds: float | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """A check that failed on the rows of one load, at the gate of a stage."""

    started_at: datetime
    gate: str
    batch_id: str | None
    check_name: str
    severity: str
    rows_checked: int | None
    rows_failed: int
    means: str | None
    advice: str | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a load brought of a feed."""

    load_id: int
    batch_id: str
    as_of: datetime
    feed: str
    kind: str
    status: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_duplicate: int
    rows_expired: int


@dataclass(frozen=True, slots=True)
class Freshness:
    """When a feed last came, and how often it usually does."""

    feed: str
    latest_as_of: datetime
    age_seconds: float
    behind_seconds: float
    files: int
    usual_seconds: float | None


@dataclass(frozen=True, slots=True)
class QuarantineReason:
    """Rows of a feed rejected for one reason."""

    feed: str
    reason: str
    rows_open: int
    loads: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Where rejected rows are. ``first_line``: of the file, where the first of them begins."""

    load_id: int
    batch_id: str
    as_of: datetime
    feed: str
    file: str
    is_refused: bool
    reason: str
    column_name: str | None
    rows_open: int
    first_line: int


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A check with its latest result; ``check_run_id`` is ``None`` where it never ran."""

    check_name: str
    table_name: str
    column_name: str | None
    dimension: str
    severity: str
    answered_by: str
    means: str
    check_run_id: int | None
    started_at: datetime | None
    passed: bool | None
    rows_checked: int | None
    rows_failed: int | None
    measured: float | None
    unit: str
    threshold: float
    threshold_share: float | None
    is_changed: bool
    rows_judged: int | None = None


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Everything that the page shows.

    ``defects``: only of synthetic feeds; ``None`` leaves the section out. ``has_data_docs``:
    whether the pages of Great Expectations are next to it in ``data-docs``. ``most_details``: how
    many rows of ``quarantine`` and ``resolved`` were asked for at most.
    """

    latest: Latest
    held: Sequence[HeldBatch] = ()
    trend: Sequence[Run] = ()
    scores: Sequence[Score] = ()
    failing: Sequence[Failure] = ()
    resolved: Sequence[Resolved] = ()
    times_to_resolve: Sequence[TimeToResolve] = ()
    stopped: Sequence[Stopped] = ()
    arrivals: Sequence[Arrival] = ()
    freshness: Sequence[Freshness] = ()
    quarantine_reasons: Sequence[QuarantineReason] = ()
    quarantine: Sequence[Quarantined] = ()
    checks: Sequence[CheckRow] = ()
    defects: Sequence[Detection] | None = None
    has_data_docs: bool = False
    most_details: int = 300
