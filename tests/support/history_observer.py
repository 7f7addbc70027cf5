"""A warehouse watched while it loads a sequence of batches: what has to be true after each.

Rows of the dimension, the versions that claims point at, counts and surrogate keys are compared
with the model of history (``history_model``).
"""

from __future__ import annotations

import shutil
from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from etl.pipeline import commands
from etl.pipeline.commands import STAGES
from etl.warehouse.tables import DIM_MEMBER, DIM_PROVIDER, Dimension
from tests.support.feeds import write_batch
from tests.support.history_draws import KEYS, OPTIONAL, Sequence
from tests.support.history_model import (
    Batch,
    Counts,
    Version,
    effective_of,
    in_force,
    model_versions,
    valid_rows,
)
from tests.support.warehouse import Warehouse, failed_critical


@dataclass(frozen=True)
class Subject:
    """A dimension, and which columns of its feed the parts of a model's row are."""

    dimension: Dimension
    columns: dict[str, str]

    @property
    def key(self) -> str:
        return self.dimension.key[0]

    @property
    def feed(self) -> str:
        return self.dimension.feed.name

    @property
    def optional(self) -> tuple[str, ...]:
        return tuple(part for part in self.columns if part in OPTIONAL)


MEMBER = Subject(
    DIM_MEMBER,
    {
        "name": "last_name",
        "effective": "source_updated_at",
        "zip": "zip",
        "type_1": "call_count",
        "is_deleted": "is_deleted",
    },
)
PROVIDER = Subject(DIM_PROVIDER, {"name": "name", "type_1": "npi", "is_deleted": "is_deleted"})


def share_of_examples(part: int) -> Callable[[Any], Any]:
    """Settings of a test that runs one ``part``-th of the profile's examples."""
    return settings(
        max_examples=max(1, settings().max_examples // part),
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


# The warehouse under test


def write(inbox: Path, subject: Subject, sequence: Sequence, number: int) -> None:
    """Put a batch of a sequence into the inbox, the first with the claims.

    One that bears the name of an earlier one takes its place, as a corrected file does.
    """
    batch = sequence.batches[number]
    named = [n for n, other in enumerate(sequence.batches) if other.batch_id == batch.batch_id]
    shutil.rmtree(inbox / f"{named[0]}", ignore_errors=True)
    claims = [
        {"claim_id": f"{key} {day}", subject.key: key, "service_date": day}
        for key, days in sequence.claim_days.items()
        for day in days
    ]
    write_batch(
        inbox,
        f"{named[0]}",
        {
            "batch_id": batch.batch_id,
            "as_of": batch.as_of.isoformat(),
            "files": {f"{subject.feed}.csv": {"kind": batch.kind}},
        },
        [subject.columns[part] for part in subject.optional if part not in batch.has],
        **{
            subject.feed: [
                {subject.key: row.key}
                | {column: getattr(row, part) for part, column in subject.columns.items()}
                for row in batch.rows
            ]
            + [{subject.key: key, subject.columns["name"]: "x" * 300} for key in batch.unreadable]
        },
        **({"claims": claims} if number == 0 else {}),
    )


def versions(warehouse: Warehouse, subject: Subject, relation: str | None = None) -> list[Version]:
    """The rows of the dimension, or of what has its columns, by key and start."""
    parts = [f"{subject.columns.get(p, 'null')}::text" for p in ("name", "zip", "type_1")]
    found = []
    for *row, is_current in warehouse.rows(
        f"select {subject.key}, validity_start_ts, validity_end_ts, {', '.join(parts)}, "
        "known_from_ts, is_inferred, current_flag "
        f"from {relation or f'warehouse.{subject.dimension.table}'} "
        f"where {subject.dimension.sk} > 0"
    ):
        version = Version(*row)
        assert is_current == version.is_current, version
        found.append(version)
    return sorted(found, key=lambda v: (v.key, v.start, v.end))


def as_known_at(warehouse: Warehouse, subject: Subject, load_id: int) -> list[Version]:
    """The rows of the dimension as the warehouse says that they were after a load."""
    return versions(
        warehouse, subject, f"warehouse.{subject.dimension.table}_as_known_at({load_id})"
    )


# The message of a failure: one key, its rows, the expected and the actual versions


def story(sequence: Sequence, loaded: int, key: str) -> str:
    """The rows of a key, batch by batch in the order of loading."""
    lines = [f"{key}, after {loaded} of {len(sequence.batches)} loads; in the order of loading:"]
    for batch in sequence.batches[:loaded]:
        lacks = [part for part in OPTIONAL if part not in batch.has]
        lines.append(
            f"  {batch.kind} as of {moment(batch.as_of)}, batch {batch.batch_id}"
            + (f", lacks {', '.join(lacks)}" if lacks else "")
        )
        valid, _ = valid_rows(batch)
        for number, row in enumerate(batch.rows):
            if row.key == key:
                lines.append(
                    f"    {'MARKER' if row.is_deleted else 'alive '} "
                    f"{moment(effective_of(row, batch))} name={row.name} zip={row.zip} "
                    f"type_1={row.type_1}" + ("" if number in valid else "  (repeated)")
                )
    lines.append(f"  claims on {', '.join(map(str, sequence.claim_days[key])) or 'no day'}")
    return "\n".join(lines)


def history(title: str, rows: list[Version], key: str) -> str:
    lines = [
        f"    {moment(v.start)} to {moment(v.end)} name={v.name} zip={v.zip} type_1={v.type_1}"
        + (" inferred" if v.is_inferred else "")
        for v in rows
        if v.key == key
    ]
    return "\n".join([f"  {title}:", *(lines or ["    none"])])


def moment(at: datetime) -> str:
    return at.isoformat(" ", "microseconds" if at.microsecond else "minutes")


def simplest(sequence: Sequence, keys: set[str]) -> str:
    """The key with the fewest rows, which is the easiest to follow."""
    rows = Tally(row.key for batch in sequence.batches for row in batch.rows)
    return min(keys, key=lambda key: (rows[key], key))


# What must be true


@dataclass
class Observer:
    """Looks at a warehouse after every load of a sequence."""

    warehouse: Warehouse
    subject: Subject
    sequence: Sequence
    owners: dict[int, str] = field(default_factory=dict)  # surrogate key: whose it is
    keyed: dict[str, int] = field(default_factory=dict)  # claim: the surrogate key that it has

    def after_load(self, loaded: int) -> None:
        """All that must be true when this many batches are loaded."""
        batches = self.sequence.batches[:loaded]
        wanted = model_versions(batches, self.claimed)
        self.compare("the rows of the dimension", loaded, wanted, self.versions())
        self.claims_point_at(loaded, wanted)
        self.file_is_accounted(loaded)
        self.surrogate_keys_stay()
        self.ledger_counts_rekeyed(loaded)

    def after_all(self) -> None:
        """At the end: what was known after each load is still right."""
        for loaded in range(1, len(self.sequence.batches) + 1):
            wanted = model_versions(self.sequence.batches[:loaded], self.claimed)
            known = as_known_at(self.warehouse, self.subject, self.load_id(loaded))
            self.compare(f"what was known after load {loaded}", loaded, wanted, known)

    @property
    def claimed(self) -> list[str]:
        return [key for key, days in self.sequence.claim_days.items() if days]

    def versions(self) -> list[Version]:
        return versions(self.warehouse, self.subject)

    def load_id(self, loaded: int) -> int:
        rows = self.warehouse.rows("select load_id from ledger.load order by load_id")
        return rows[loaded - 1][0]

    def compare(self, what: str, loaded: int, wanted: list[Version], found: list[Version]) -> None:
        if found == wanted:
            return
        excess = Tally(found)
        excess.subtract(Tally(wanted))
        wrong = {version.key for version, n in excess.items() if n}
        key = simplest(self.sequence, wrong)
        raise AssertionError(
            f"{what} are not those of the model, for {len(wrong)} of {len(KEYS)} keys\n"
            f"{story(self.sequence, loaded, key)}\n"
            f"{history('expected', wanted, key)}\n{history('found', found, key)}"
        )

    def claims_point_at(self, loaded: int, wanted: list[Version]) -> None:
        """Each claim has the version in force on its day, or the last before."""
        claims = self.warehouse.rows(
            f"select f.service_date, d.{self.subject.key}, d.validity_start_ts "
            f"from warehouse.fact_claim as f join warehouse.{self.subject.dimension.table} as d "
            f"using ({self.subject.dimension.sk}) order by f.claim_id"
        )
        days = self.sequence.claim_days
        assert [(key, day) for day, key, _ in claims] == [
            (key, day) for key in sorted(days) for day in days[key]
        ]
        starts = {
            (key, day): (in_force(wanted, key, day).start, start) for day, key, start in claims
        }
        wrong = {key for (key, _), (right, start) in starts.items() if right != start}
        if wrong:
            key = simplest(self.sequence, wrong)
            pointed = "\n".join(
                f"    {day}: to be {moment(right)}, is {moment(start)}"
                for (of, day), (right, start) in starts.items()
                if of == key
            )
            raise AssertionError(
                f"claims point at another version, for {len(wrong)} of {len(KEYS)} keys\n"
                f"{story(self.sequence, loaded, key)}\n{history('versions', wanted, key)}\n"
                f"  claims by the start of their version:\n{pointed}"
            )

    def file_is_accounted(self, loaded: int) -> None:
        """The ledger has the counts of the file; only a copy may be skipped."""
        batch = self.sequence.batches[loaded - 1]
        ((status, *counts),) = self.warehouse.rows(
            "select status, rows_read, rows_loaded, rows_rejected, rows_duplicate "
            f"from ledger.load_file where feed = '{self.subject.feed}' "
            f"and load_id = {self.load_id(loaded)}"
        )
        quarantined = self.warehouse.value(
            f"select count(*) from quality.rejected_row where load_id = {self.load_id(loaded)}"
        )
        if status == "skipped":
            assert any(is_copy(batch, b) for b in self.sequence.batches[: loaded - 1])
            assert counts == [0, 0, 0, 0]
            return
        assert (status, Counts(*counts)) == ("loaded", valid_rows(batch)[1]), batch.batch_id
        assert quarantined == valid_rows(batch)[1].rejected

    def surrogate_keys_stay(self) -> None:
        """A surrogate key always belongs to the same key."""
        table, sk = self.subject.dimension.table, self.subject.dimension.sk
        for number, key in self.warehouse.rows(
            f"select {sk}, {self.subject.key} from warehouse.{table} where {sk} > 0 union "
            f"select {sk}, {self.subject.key} from internal.{table}_past where {sk} > 0"
        ):
            owner = self.owners.setdefault(number, key)
            assert owner == key, f"{sk} {number} was {owner}'s and is {key}'s"

    def ledger_counts_rekeyed(self, loaded: int) -> None:
        """The ledger says how many claims got another surrogate key."""
        sk = self.subject.dimension.sk
        keyed = dict(self.warehouse.rows(f"select claim_id, {sk} from warehouse.fact_claim"))
        changed = sorted(c for c, number in self.keyed.items() if keyed[c] != number)
        self.keyed = keyed
        noted = self.warehouse.rows(
            "select reason, sum(facts)::int from ledger.fact_rekey "
            f"where load_id = {self.load_id(loaded)} and fact = 'fact_claim' "
            f"and dimension = '{self.subject.dimension.table}' group by reason order by reason"
        )
        if sum(n for _, n in noted) != len(changed):
            keys = {claim.split()[0] for claim in changed}
            raise AssertionError(
                f"{len(changed)} claims were re-keyed, the ledger notes {dict(noted)}: "
                f"{', '.join(changed)}\n"
                + (story(self.sequence, loaded, simplest(self.sequence, keys)) if keys else "")
            )


def is_copy(one: Batch, other: Batch) -> bool:
    return (one.rows, one.has) == (other.rows, other.has)


def load_and_observe(warehouse: Warehouse, subject: Subject, sequence: Sequence) -> None:
    """Load a sequence batch by batch; all that must be true is checked after each."""
    warehouse.clear()
    observer = Observer(warehouse, subject, sequence)
    with warehouse.pipeline(reject_share=1.0) as pipeline:
        for number in range(len(sequence.batches)):
            write(warehouse.inbox, subject, sequence, number)
            commands.run_stages(pipeline, STAGES)
            observer.after_load(number + 1)
    observer.after_all()
    # The cubes were not built here.
    assert [
        name for name in failed_critical(warehouse.connection) if name.startswith(("dim_", "fact_"))
    ] == []
