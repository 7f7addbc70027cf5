"""The runbooks do what they say: each change, done literally in a copy of the tree, is loaded.

A change touches as many files by hand as its case says, and no more: where one needs another file,
its case fails until the number is raised, which should be thought about twice.
"""

from __future__ import annotations

import csv
import filecmp
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from etl.config import ROOT
from tests.support.warehouse import Warehouse

# What a change works on; tests and environments stay where they are.
TREE = ("etl", "migrations", "sql", "scripts", "docs", "pyproject.toml")
GENERATED = {
    "docs/measures.md",
    "docs/data-dictionary.md",
    "docs/lineage.md",
    "docs/quality.md",
}
RUNBOOKS = "docs/runbooks"


@dataclass(frozen=True)
class Change:
    """A change as its runbook has it.

    ``by_hand``: the text of a new file, or in an existing file, what replaces what.
    ``batch``: writes what a sender then sends. ``shows``: a query on the warehouse and what it
    finds after the next run, and after a full load.
    """

    runbook: str
    by_hand: Mapping[str, str | Mapping[str, str]]
    files_by_hand: int
    batch: Callable[[Path], None]
    shows: tuple[str, list[tuple[Any, ...]]]
    has_migration: bool = True


COLUMN = """\
        Column("preferred_language", Type.TEXT, "Language of letters to them.", Identifier.NONE),
"""
FEED = '''\
"""The brokers feed: one row per broker."""

from etl.contracts.column import Column, Identifier
from etl.contracts.feed import Feed, Volume
from etl.contracts.types import Type

brokers = Feed(
    name="brokers",
    description="Brokers who sell the plans of the insurer.",
    key=("broker_id",),
    volume=Volume(1, 100_000),
    columns=(
        Column("broker_id", Type.KEY, "Identifier of the broker.", Identifier.NONE, required=True),
        Column("name", Type.TEXT, "Their name.", Identifier.NONE, required=True, driver=True),
        Column("license_state", Type.TEXT, "State of the license.", Identifier.NONE, longest=60),
    ),
)
'''
DIMENSION = """\
DIM_BROKER = Dimension("broker", FEEDS["brokers"], "Brokers through time, one row per version.")
"""
CHECK = """\
-- name: plan_years
-- Claims of a day outside the year of their plan. One row per claim.
--: table: fact_claim
--: key: claim_id
--: counted by: all_rows
--: rule in_plan_year: major, consistency
--:   fails when: the day of service is not in the year of the claim's plan
--:   advice: Ask the sender for the plan of that year.
select
    'in_plan_year' as rule,
    f.claim_id,
    f.load_id
from fact_claim as f
inner join dim_plan as p on f.plan_sk = p.plan_sk
where f.plan_sk <> -1 and p.effective_year <> extract(year from f.service_date);

"""
SENDER = '''\
"""A county that sends its members with column names of its own."""

from etl.contracts.feeds.members import members
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.value import of

county = SenderContract(
    name="county",
    feed=members,
    description="A county, which writes dates as month, day and year.",
    columns={"member_id": of("Person"), "dob": of("Birth date")},
    parsing=Parsing(date_order="mdy"),
)
'''
CUBE = """\
-- plan_counts: how many plans there are.
-- Grain: one row per metal tier and plan year.
-- Units: counts of plans.
-- Assumptions: a plan that is known only because claims name it is left out.

-- name: definition
-- The cube as a plain query. One row per metal tier and plan year.
select
    metal_tier,
    effective_year,
    count(distinct plan_id) as plans
from dim_plan
where metal_tier is not null
group by metal_tier, effective_year;

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('metal_tier', 'none', 'Metal tier of the plans.'),
    ('effective_year', 'none', 'Plan year.'),
    ('plans', 'none', 'Of the tier in the year.')
) as c (column_name, identifier, description);
"""
CUBE_ENTRY = """\
        Cube(
            "plan_counts",
            ("metal_tier", "effective_year"),
            "Plans by metal tier and plan year.",
        ),
"""


def write(folder: Path, feed: str, rows: list[dict[str, str]], contract: str = "") -> None:
    """A batch of one file, with a manifest."""
    folder.mkdir()
    with (folder / f"{feed}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    files = {f"{feed}.csv": {"kind": "delta"} | ({"contract": contract} if contract else {})}
    manifest = {"batch_id": folder.name, "as_of": "2026-01-02T00:00:00Z", "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def a_member(inbox: Path, **more: str) -> dict[str, str]:
    """The first member of the first batch, with other values."""
    with next(inbox.glob("*/members.csv")).open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    return {**row, "member_id": "M-NEW", "source_updated_at": "2026-01-01T00:00:00Z", **more}


def send_language(inbox: Path) -> None:
    write(inbox / "2026-01-02", "members", [a_member(inbox, preferred_language="Spanish")])


def send_plan(inbox: Path) -> None:
    with next(inbox.glob("*/plans.csv")).open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    plan = {**row, "plan_id": "P-NEW", "metal_tier": "Platinum", "effective_year": "2031"}
    write(inbox / "2026-01-02", "plans", [plan])


def send_brokers(inbox: Path) -> None:
    rows = [{"broker_id": f"B{n}", "name": f"Broker {n}", "license_state": "OH"} for n in (1, 2)]
    write(inbox / "2026-01-02", "brokers", rows)


def send_nothing(inbox: Path) -> None:
    """What the generator wrote is enough."""


def send_county(inbox: Path) -> None:
    row = a_member(inbox, dob="02/13/1980")
    names = {"member_id": "Person", "dob": "Birth date"}
    write(
        inbox / "2026-01-02",
        "members",
        [{names.get(name, name): value for name, value in row.items()}],
        "county",
    )


CHANGES = {
    "a column": Change(
        "adding-a-feed-or-dimension.md",
        {
            "etl/contracts/feeds/members.py": {
                '        Column("street", ': f'{COLUMN}        Column("street", '
            }
        },
        files_by_hand=1,
        batch=send_language,
        shows=(
            "select member_id, preferred_language from warehouse.dim_member_current"
            " where preferred_language is not null",
            [("M-NEW", "Spanish")],
        ),
    ),
    "a dimension": Change(
        "adding-a-feed-or-dimension.md",
        {
            "etl/contracts/feeds/brokers.py": FEED,
            "etl/contracts/feeds/__init__.py": {
                "from etl.contracts.feeds.claims": "from etl.contracts.feeds.brokers import brokers"
                "\nfrom etl.contracts.feeds.claims",
                "        providers,\n": "        providers,\n        brokers,\n",
            },
            "etl/warehouse/tables.py": {
                "\nDIMENSIONS: ": f"{DIMENSION}\nDIMENSIONS: ",
                "(DIM_PLAN, DIM_PROVIDER, DIM_MEMBER)": "(DIM_PLAN, DIM_PROVIDER, DIM_BROKER, "
                "DIM_MEMBER)",
            },
        },
        files_by_hand=3,
        batch=send_brokers,
        shows=(
            "select broker_id from warehouse.dim_broker_current where broker_sk > 0 order by 1",
            [("B1",), ("B2",)],
        ),
    ),
    "a check": Change(
        "adding-a-check.md",
        {
            "sql/checks/business_claims.sql": {
                "-- name: claims_judged\n": f"{CHECK}-- name: claims_judged\n"
            }
        },
        files_by_hand=1,
        batch=send_nothing,
        shows=(
            "select passed, rows_checked > 0 from quality.check_result"
            " where check_name = 'fact_claim.in_plan_year' order by check_run_id desc limit 1",
            [(True, True)],
        ),
        has_migration=False,
    ),
    "a sender": Change(
        "a-new-sender.md",
        {"etl/contracts/senders/county.py": SENDER},
        files_by_hand=1,
        batch=send_county,
        shows=(
            "select dob::text from warehouse.dim_member_current where member_id = 'M-NEW'",
            [("1980-02-13",)],
        ),
        has_migration=False,
    ),
    "a cube": Change(
        "adding-a-cube.md",
        {
            "sql/cubes/plan_counts.sql": CUBE,
            "etl/warehouse/tables.py": {
                "        ),\n    )\n}\n": f"        ),\n{CUBE_ENTRY}    )\n}}\n"
            },
        },
        files_by_hand=2,
        batch=send_plan,
        shows=(
            "select metal_tier, plans from cubes.plan_counts where effective_year = 2031",
            [("Platinum", 1)],
        ),
        has_migration=False,
    ),
}


def changed_files(before: Path, after: Path) -> set[str]:
    """Files that differ between two trees or are in one of them alone, caches apart."""

    def differing(compared: filecmp.dircmp[str], folder: Path) -> Iterator[str]:
        for name in (*compared.left_only, *compared.right_only, *compared.diff_files):
            yield str(folder / name)
        for name, below in compared.subdirs.items():
            yield from differing(below, folder / name)

    return set(differing(filecmp.dircmp(before, after, ["__pycache__", "_build"]), Path()))


@dataclass(frozen=True)
class Tree:
    """A copy of the tree, whose commands work on a warehouse."""

    folder: Path
    warehouse: Warehouse

    def copy(self, name: str) -> Path:
        """Another copy, as it is now."""
        return Path(shutil.copytree(self.folder, self.folder.parent / name))

    def apply(self, change: Change) -> None:
        """Do by hand what the runbook says."""
        for name, said in change.by_hand.items():
            path = self.folder / name
            if isinstance(said, str):
                assert not path.exists()
                path.write_text(said, encoding="utf-8")
                continue
            text = path.read_text(encoding="utf-8")
            for old, new in said.items():
                assert text.count(old) == 1, old
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")

    def run(self, *command: str) -> str:
        """A command of the Makefile, without make; what it printed."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.warehouse.environment(PYTHONDONTWRITEBYTECODE="1"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout


@pytest.fixture
def tree(tmp_path: Path, warehouse: Warehouse) -> Tree:
    """A copy of the tree with a loaded warehouse."""
    folder = tmp_path / "tree"
    for name in TREE:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "_build", "*.png")
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy(source, target)
    made = Tree(folder, warehouse)
    made.run("scripts/generate_seed_data.py", "--members", "300", "--years", "1")
    made.run("-m", "etl", "full-load")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change_by_the_runbook_touches_only_its_files(tree: Tree, change: Change) -> None:
    before = tree.copy("before")
    tree.apply(change)
    by_hand = changed_files(before, tree.folder)
    assert len(by_hand) == change.files_by_hand

    tree.run("scripts/make_migration.py", "--what", "what the runbook does")
    tree.run("-m", "etl", "docs")
    generated = changed_files(before, tree.folder) - by_hand
    migrations = {name for name in generated if name.startswith("migrations/versions/")}
    assert len(migrations) == change.has_migration
    assert generated - migrations <= GENERATED
    # Nothing is left to migrate.
    assert "not changed" in tree.run("scripts/make_migration.py", "--what", "nothing")

    # The generator need not know the change.
    tree.run("scripts/generate_seed_data.py", "--increment")
    change.batch(tree.warehouse.inbox)
    query, expected = change.shows
    for command in ("migrate", "incremental", "dq-check"):
        tree.run("-m", "etl", command)
    assert tree.warehouse.rows(query) == expected
    tree.run("-m", "etl", "full-load")
    assert tree.warehouse.rows(query) == expected


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_runbook_contains_the_text_of_each_change(change: Change) -> None:
    text = (ROOT / RUNBOOKS / change.runbook).read_text(encoding="utf-8")
    for name, said in change.by_hand.items():
        assert name in text
        if isinstance(said, str):
            assert said in text
            continue
        for old, new in said.items():
            # What comes in, without what was there.
            for line in new.replace(old, "").strip("\n").splitlines():
                assert line.strip() in text
