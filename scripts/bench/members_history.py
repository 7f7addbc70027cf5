"""What a dimension's history costs: members of 24 attributes, staged and brought into dim_member.

A first load, a snapshot with 5 % changed, the same file again, the same rows in another order, and
a change of one member that took effect long ago; each against a plain COPY of the member file,
which is measured again after each of them: the median counts.
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from measuring import contents, floor_seconds, measured_run, scratch, show_table
from psycopg import sql

COLUMNS = (
    "member_id,first_name,last_name,dob,gender,state,zip,fpl_ratio,plan_network_access_type,"
    "plan_metal,age_group,region,clinical_segment,general_agency_name,broker_name,call_count,"
    "new_member_in_period,member_used_app,member_had_web_login,member_visited_new_provider_ind,"
    "high_cost_member,mutually_exclusive_hcc_condition,geographic_reporting,year"
)
CHANGED_SHARE = 0.05
FIRST_DAY, SECOND_DAY = "2025-01-01", "2025-02-01"
FIRST, SNAPSHOT = "first load", "snapshot, 5 % changed"
STAGES = ("stage", "dims")
DIM_MEMBER = sql.Identifier("warehouse", "dim_member")


def row(n: int, last_name: str = "Last") -> str:
    """One member, as the sender's file has it."""
    return (
        f"M{n:08d},First{n % 5000},{last_name}{n % 20000},{1950 + n % 60}-{1 + n % 12:02d}-"
        f"{1 + n % 28:02d},{'FM'[n % 2]},WI,{53000 + n % 900},{1 + n % 400 / 100},HMO,Silver,26-34,"
        f"Region {n % 16},healthy,Agency {n % 50},Broker {n % 900},{n % 7},false,true,"
        f"{'tf'[n % 2]},false,false,HCC{n % 80},metropolitan,2025"
    )


def changed_members(members: int) -> set[int]:
    """Who has another last name in the second file, the same in every run."""
    return set(random.Random(1).sample(range(members), int(members * CHANGED_SHARE)))


def measure(members: int) -> dict[str, Any]:
    """Seconds of stage and dims for each batch, gates apart, with the floor."""
    changed = changed_members(members)

    def rows(order: Iterable[int]) -> Iterator[str]:
        return (row(n, "New" if n in changed else "Last") for n in order)

    with scratch() as (url, folder):
        inbox = folder / "inbox"
        first = write_batch(inbox, FIRST_DAY, map(row, range(members)))
        floors: list[float] = []

        def measure_floor() -> None:
            floors.append(sum(floor_seconds(url, first).values()))

        measure_floor()
        found = {FIRST: measured_run(url, inbox, "full-load")}
        measure_floor()

        def load(what: str) -> None:
            stage = measured_run(url, inbox, "stage")
            dims = measured_run(url, inbox, "dims")
            found[what] = {
                "stages": {**stage["stages"], **dims["stages"]},
                "gates": {**stage["gates"], **dims["gates"]},
                "start": stage["wall"] - stage["stages"]["stage"],
            }
            measured_run(url, inbox, "facts")
            measure_floor()

        write_batch(inbox, SECOND_DAY, rows(range(members)))
        load(SNAPSHOT)
        held = contents(url, DIM_MEMBER, sql.Identifier("current_flag"), sql.SQL("member_sk > 0"))
        shutil.copytree(inbox / SECOND_DAY, inbox / "2025-03-01")
        load("the same file again")
        write_batch(inbox, "2025-04-01", rows(range(members - 1, -1, -1)))
        load("the same rows in another order")
        for day, what in ((1, None), (2, "one member, backdated")):
            # The first of them pays for the columns that it brings for the first time.
            late = f"{row(day, 'Before')},2025-01-15T00:00:00Z"
            write_batch(inbox, f"2025-05-0{day}", [late], f"{COLUMNS},source_updated_at", "delta")
            load(what or "warming up")
    found.pop("warming up")
    return {
        "members": members,
        "floors": [round(floor, 2) for floor in floors],
        "floor_seconds": round(statistics.median(floors), 2),
        "checks_seconds": found[FIRST]["stages"]["checks"],
        "wall_seconds": found[FIRST]["wall"],
        "seconds": {what: _without_gates(run) for what, run in found.items()},
        "gates_seconds": {
            what: round(sum(run["gates"].get(stage, 0.0) for stage in STAGES), 2)
            for what, run in found.items()
        },
        "start_seconds": round(found[SNAPSHOT]["start"], 2),
        "contents": held,
    }


def _without_gates(run: dict[str, Any]) -> dict[str, float]:
    stages, gates = run["stages"], run["gates"]
    return {stage: round(stages.get(stage, 0.0) - gates.get(stage, 0.0), 2) for stage in STAGES}


def show(result: dict[str, Any]) -> None:
    """Print the measurements as a table of seconds and ratios to the floor."""
    floor = result["floor_seconds"]
    rows = []
    for what, seconds in result["seconds"].items():
        both = seconds["stage"] + seconds["dims"]
        gates = result["gates_seconds"][what]
        cells = (seconds["stage"], seconds["dims"], both, both / floor, gates, gates / floor)
        rows.append((what, *(f"{cell:.2f}" for cell in cells)))
    show_table(
        f"History of {result['members']:,} members of 24 attributes; "
        f"plain COPY of the file, {floor:.2f} s (the median of {least_and_most(result)}), = 1",
        ("what", "stage", "dims", "both", "ratio", "gates", "ratio"),
        rows,
    )


def least_and_most(result: dict[str, Any]) -> str:
    """How far the measurements of the plain COPY are apart."""
    floors = result["floors"]
    return f"{len(floors)} from {min(floors):.2f} to {max(floors):.2f} s"


def write_batch(
    inbox: Path,
    batch_id: str,
    rows: Iterable[str],
    columns: str = COLUMNS,
    kind: str = "snapshot",
) -> Path:
    """Write a batch of members, which is a folder of its own, and return it."""
    folder = inbox / batch_id
    folder.mkdir()
    with (folder / "members.csv").open("w", encoding="utf-8", newline="") as file:
        file.write(f"{columns}\n")
        file.writelines(f"{line}\n" for line in rows)
    manifest = {"files": {"members.csv": {"kind": kind}}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
