"""A small sound warehouse for the checks, and copies of it to damage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from etl.config import Settings
from etl.pipeline import commands
from etl.pipeline.load import STAGES
from etl.pipeline.session import open_run
from tests.support.business import SOUND
from tests.support.cubes import make_dimensions
from tests.support.databases import copy, drop, fresh_database, unguarded, url_of
from tests.support.feeds import write_batch
from tests.support.watching import Silent

LINES = """
    claim_id | line_number | procedure_code | ndc         | line_billed | line_allowed | line_paid
    c1       | 1           | J1100          |             | 50000.00    | 50000.00     | 50000.00
    c1       | 2           |                | 00002143380 | 10000.00    | 10000.00     | 10000.00
"""


def write_feeds(inbox: Path) -> None:
    """Two batches: every dimension gets a second version, a member goes, a claim is decided."""
    claim = {"member_id": "A", "provider_id": "D", "plan_id": "P", "status": "approved"}
    claim |= {"claim_amount": "60000.00", "allowed_amount": "60000.00", "paid_amount": "60000.00"}
    claim |= {"diagnosis_code": "E119", "procedure_code": "J1100"}
    denied = {"status": "denied", "paid_amount": "0.00"}
    write_batch(
        inbox,
        "2025-01-31",
        snapshots=["members"],
        members="""
            member_id | last_name    | call_count
            A         | Quigley      | 1
            B         | Ramsbottom   |
            C         | Featherstone |
        """,
        # At a newborn's factor, 0.765, the premium of ten dollars that fills the enrollments.
        plans="""
            plan_id | metal_tier | monthly_premium | oop_max
            P       | Silver     | 13.07           | 100.00
        """,
        providers="""
            provider_id | name | npi
            D           | one  | 1234567893
        """,
        enrollments="""
            enrollment_id | member_id | plan_id | start_date | end_date
            e1            | A         | P       | 2025-01-01 |
            e2            | B         | P       | 2025-01-01 | 2025-06-30
        """,
        claims=[
            {**claim, "claim_id": "c1", "service_date": "2025-01-10"},
            {**claim, "claim_id": "c2", "service_date": "2025-01-11", "status": "pending"},
            {**claim, "claim_id": "c3", "service_date": "2025-01-12", **denied},
            {**claim, "claim_id": "c4", "service_date": "2025-01-12", "member_id": ""},
            {**claim, "claim_id": "c5", "service_date": "2025-01-12", "provider_id": "nobody"},
        ],
        claim_lines=LINES,
        claim_diagnoses="""
            claim_id | position | diagnosis_code
            c1       | 1        | E119
            c1       | 2        | I10
        """,
    )
    write_batch(
        inbox,
        "2025-02-28",
        snapshots=["members"],
        claim_lines="""
            claim_id | line_number | line_billed | line_allowed | line_paid
            c2       | 1           | 60000.00    | 60000.00     | 60000.00
        """,
        claim_diagnoses="""
            claim_id | position | diagnosis_code
            c2       | 1        | E119
        """,
        members="""
            member_id | last_name     | call_count
            A         | Quigley-Smith | 2
            B         | Ramsbottom    | 7
        """,
        plans="""
            plan_id | metal_tier | monthly_premium | oop_max
            P       | Silver     | 13.07           | 200.00
        """,
        providers="""
            provider_id | name | npi
            D           | two  | 1234567893
        """,
        enrollments="""
            enrollment_id | member_id | plan_id | start_date
            e3            | A         | P       | 2025-01-01
            e4            | C         | P       | 2025-03-01
        """,
        claims=[
            {**claim, "claim_id": "c2", "service_date": "2025-01-11"},
            {**claim, "claim_id": "c6", "service_date": "2025-03-05"},
            {**claim, "claim_id": "c7", "service_date": "2025-03-05", "member_id": "C"},
        ],
    )


@pytest.fixture(scope="session")
def loaded(
    admin_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Name of a database with the two batches loaded, cubes included."""
    name = "test_checks_loaded"
    with psycopg.connect(admin_url, autocommit=True) as admin:
        copy(admin, template, name)
        folder = tmp_path_factory.mktemp("checks")
        write_feeds(folder / "inbox")
        settings = Settings("", folder / "inbox", folder, reject_share=0.0)
        with open_run(url_of(admin_url, name), settings, Silent(), "incremental") as pipeline:
            commands.run_stages(pipeline, STAGES)
            commands.run_cubes(pipeline)
            # Its facts are older than the first batch.
            pipeline.work.execute(
                "insert into quality.check_threshold (check_name, threshold_share, reason)"
                " select check_name, 1, 'history' from quality.check_definition"
                " where check_name like '%.values_known_on_day'"
            )
    yield name
    # Tests may have restarted the server meanwhile.
    with psycopg.connect(admin_url, autocommit=True) as admin:
        drop(admin, name)


@pytest.fixture
def warehouse_url(admin_url: str, loaded: str) -> Iterator[str]:
    """URL of a copy of the loaded database, for one test to damage."""
    with fresh_database(admin_url, loaded) as url:
        yield url


@pytest.fixture(scope="module")
def shared(admin_url: str, loaded: str) -> Iterator[psycopg.Connection]:
    """A connection to a copy that tests damage, each in a transaction that is rolled back."""
    with fresh_database(admin_url, loaded) as url, unguarded(url) as connection:
        # The isolation of the checks, which run in the same transaction here.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield connection


@pytest.fixture
def warehouse(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """A connection to a loaded database without foreign keys and triggers.

    What a test does is rolled back, unless it asks for the URL of a copy of its own too.
    """
    if "warehouse_url" in request.fixturenames:
        with unguarded(request.getfixturevalue("warehouse_url")) as connection:
            yield connection
    else:
        connection = request.getfixturevalue("shared")
        with connection.transaction(force_rollback=True):
            yield connection


@pytest.fixture
def tables(database: psycopg.Connection) -> psycopg.Connection:
    """A warehouse with dimensions of a few rows and without facts, for the cubes."""
    make_dimensions(database)
    return database


@pytest.fixture(scope="module")
def sound(admin_url: str, template: str) -> Iterator[psycopg.Connection]:
    """A small sound warehouse, facts and dimensions alone."""
    with fresh_database(admin_url, template) as url, unguarded(url) as connection:
        connection.execute(SOUND)
        # As the checks have it, who are in a test's transaction.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield connection
