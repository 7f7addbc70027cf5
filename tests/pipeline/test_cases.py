"""What senders send, each kind a folder of ``cases/`` with the result worked out by hand.

A case is a folder with ``case.toml`` and batch folders:

    sends = "What comes, in one sentence."
    answer = "What is right, and why."
    [[steps]]
    batches = ["2025-01-10"]     # put into the inbox first
    command = "incremental"      # incremental, full-load or stage
    exit = 0
    reject_share = 0.05          # of the rows of a file that may be rejected
    says = ["part of what a person reads"]
    [[steps.tables]]
    query = "select provider_id, name from staging.providers_raw order by 1"
    rows = [["P1", "Dr Bob"]]    # every value as text, null as ""

A new case is a new folder and no code.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from etl.errors import AcaError
from etl.pipeline import commands
from tests.support.files import CASES as FOLDER
from tests.support.warehouse import Warehouse

CASES = sorted(path.parent for path in FOLDER.rglob("case.toml"))
DEFAULTS = {
    "command": "incremental",
    "exit": 0,
    "reject_share": 0.05,
    "batches": [],
    "says": [],
    "tables": [],
}
COMMANDS = {
    "incremental": commands.incremental,
    "full-load": commands.full_load,
    "stage": lambda pipeline: commands.run_stages(pipeline, ("stage",)),
}


def name_of(case: Path) -> str:
    return str(case.relative_to(FOLDER))


def run(warehouse: Warehouse, command: str, reject_share: float) -> tuple[int, str]:
    """Exit code of a command, and all that it said to a person."""
    code, said = 0, ""
    try:
        with warehouse.pipeline(reject_share) as pipeline:
            COMMANDS[command](pipeline)
    except AcaError as error:
        code, said = error.exit_code, f"{error.message} {error.hint}"
    return code, "\n".join([*warehouse.watcher.said, said])


def as_text(rows: list[tuple[Any, ...]]) -> list[list[str]]:
    return [["" if value is None else str(value) for value in row] for row in rows]


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_sent_batches_give_the_declared_answer(warehouse: Warehouse, case: Path) -> None:
    declared = tomllib.loads((case / "case.toml").read_text(encoding="utf-8"))
    assert declared["sends"], declared["answer"]
    for step in declared["steps"]:
        asked = DEFAULTS | step
        for batch in asked["batches"]:
            shutil.copytree(case / batch, warehouse.inbox / batch, dirs_exist_ok=True)
        code, said = run(warehouse, asked["command"], asked["reject_share"])
        assert code == asked["exit"], said
        for part in asked["says"]:
            assert part in said
        for table in asked["tables"]:
            assert as_text(warehouse.rows(table["query"])) == table["rows"], table["query"]


def test_every_folder_of_cases_is_a_case_or_a_kind() -> None:
    assert CASES
    batches = {batch for case in CASES for batch in case.iterdir() if batch.is_dir()}
    kinds = {case.parent for case in CASES}
    folders = {path for path in FOLDER.rglob("*") if path.is_dir()}
    within = {path for path in folders if any(batch in path.parents for batch in batches)}
    assert folders - within == {*CASES, *batches, *kinds}
