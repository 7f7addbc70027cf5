"""Every column is classified, and every role sees what is declared of every relation.

What roles may see is drawn here once more, and asked of the database: by its privileges, and by
acting as the role.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl.access.classification import UnclassifiedError, identifier_of
from etl.access.treatments import TREATMENTS, Standard, Treatment
from etl.contracts.column import Identifier
from etl.db.statements import scalar
from etl.pipeline import commands
from etl.schema import grants, repeatable
from etl.server.home import packaged_programs
from etl.warehouse.tables import CUBES, LIVE
from tests.support.access import acting_as
from tests.support.databases import fresh_database
from tests.support.tables import draw
from tests.support.warehouse import Warehouse, fresh_warehouse

# What each role sees of the relations of a schema: all values, those that name nobody, nothing; of
# mart the relations that are about nobody.
RIGHTS = draw("""
    schema           | analyst | scoped  | deid    | phi     | steward | auditor
    staging          | refused | refused | refused | read    | read    | refused
    warehouse        | refused | refused | refused | read    | read    | refused
    internal         | refused | refused | refused | read    | read    | refused
    cubes            | refused | refused | refused | read    | read    | refused
    as_known         | refused | refused | refused | read    | read    | refused
    mart             | nobody  | refused | refused | read    | read    | nobody
    limited          | all     | refused | refused | refused | refused | all
    limited_as_known | all     | refused | refused | refused | refused | all
    scoped           | refused | all     | refused | refused | refused | refused
    safe_harbor      | refused | refused | all     | refused | refused | refused
    ledger           | read    | read    | read    | read    | read    | read
    quality          | masked  | masked  | masked  | read    | read    | masked
    access           | refused | refused | refused | refused | refused | refused
    audit            | refused | refused | refused | refused | refused | read
""")
SCHEMAS = tuple(row["schema"] for row in RIGHTS)
ROLES = {
    "analyst": "aca_analyst",
    "scoped": "aca_analyst_scoped",
    "deid": "aca_analyst_deid",
    "phi": "aca_analyst_phi",
    "steward": "aca_data_steward",
    "auditor": "aca_auditor",
}
# Single relations that differ from their schema: who alone sees them.
ONLY_FOR = {
    "access.classification": tuple(ROLES),
    "access.declared_right": tuple(ROLES),
    "access.login_state": ("auditor",),
    "access.legal_hold": ("auditor",),
    "access.erased": ("auditor",),
    "quality.quarantined_line": ("steward",),
    "quality.correction": ("steward",),
    "quality.rejected_key": ("steward",),
    "warehouse.dim_member_limited": (),
    "warehouse.dim_member_limited_rows": (),
    "warehouse.dim_member_masked": (),
    "warehouse.member_scope": (),
}
# Columns of quality that name or quote a member.
NAMING = {"raw_line", "record", "key", "failing_keys", "member_id", "member_sk"}

Seen = dict[tuple[str, str], frozenset[str]]


def columns(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """The columns of each relation of these schemas, the partitions of tables left out."""
    found = connection.execute(
        "select c.oid::regclass::text, array_agg(a.attname::text order by a.attnum)"
        " from pg_class as c join pg_attribute as a on c.oid = a.attrelid"
        " where c.relnamespace::regnamespace::text = any(%s) and c.relkind in ('r', 'p', 'v', 'm')"
        " and not c.relispartition and a.attnum > 0 and not a.attisdropped group by c.oid",
        [list(SCHEMAS)],
    )
    return dict(found.fetchall())


def oids(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Which object each relation is; one that is made again is another."""
    found = connection.execute(
        "select oid::regclass::text, oid::bigint from pg_class"
        " where relnamespace::regnamespace::text = any(%s) and relkind in ('r', 'p', 'v', 'm')"
        " and not relispartition",
        [list(SCHEMAS)],
    )
    return dict(found.fetchall())


def declared(relation: str, found: list[str], role: str) -> frozenset[str]:
    """The columns that a role is to see of a relation."""
    schema = relation.partition(".")[0]
    right = next(row[role] for row in RIGHTS if row["schema"] == schema)
    if relation in ONLY_FOR:
        right = "read" if role in ONLY_FOR[relation] else "refused"
    if right == "refused" or (right == "nobody" and "member_id" in found):
        return frozenset()
    return frozenset(c for c in found if right != "masked" or c not in NAMING)


def privileges(connection: psycopg.Connection[Any], role: str) -> Seen:
    """The columns that a role has the right to select, the schema's usage included."""
    found = connection.execute(
        "select c.oid::regclass::text, array_agg(a.attname::text) from pg_class as c"
        " join pg_attribute as a on c.oid = a.attrelid"
        " where c.relnamespace::regnamespace::text = any(%s) and c.relkind in ('r', 'p', 'v', 'm')"
        " and a.attnum > 0 and not a.attisdropped"
        " and has_schema_privilege(%s, c.relnamespace, 'usage')"
        " and has_column_privilege(%s, c.oid, a.attnum, 'select') group by c.oid",
        [list(SCHEMAS), role, role],
    )
    return {relation: frozenset(visible) for relation, visible in found}


def writes(connection: psycopg.Connection[Any], role: str) -> list[str]:
    """Relations that a role may change, columns of them included."""
    found = connection.execute(
        "select c.oid::regclass::text from pg_class as c"
        " where c.relnamespace::regnamespace::text = any(%s) and c.relkind in ('r', 'p', 'v', 'm')"
        " and (has_table_privilege(%s, c.oid, 'insert, update, delete, truncate, references,"
        " trigger, maintain') or has_any_column_privilege(%s, c.oid, 'insert, update'))",
        [list(SCHEMAS), role, role],
    )
    return [relation for (relation,) in found]


def answers(connection: psycopg.Connection[Any], role: str, relation: str, asked: str) -> bool:
    """Whether a role that asks for columns of a relation gets an answer."""
    with acting_as(connection, role):
        try:
            connection.execute(f"select {asked} from {relation} limit 1")
        except psycopg.errors.InsufficientPrivilege:
            return False
    return True


def assert_as_declared(
    connection: psycopg.Connection[Any], asked_of: Collection[str] | None = None
) -> None:
    """Every role sees of every relation what is drawn above, whichever way it is asked.

    ``asked_of``: the relations that roles ask for columns of, which takes a statement for each;
    without them all. The catalog is always read as a whole.
    """
    relations = columns(connection)
    assert {relation.partition(".")[0] for relation in relations} == set(SCHEMAS)
    for short, role in ROLES.items():
        wanted = {r: declared(r, found, short) for r, found in relations.items()}
        seen = privileges(connection, role)
        # A partition has no grant of its own: what is not among the relations is not seen.
        assert seen == {relation: seen_ for relation, seen_ in wanted.items() if seen_}, role
        assert writes(connection, role) == [], role
        for relation in relations if asked_of is None else asked_of:
            visible = wanted[relation]
            hidden = set(relations[relation]) - visible
            asked = ", ".join(sorted(visible)) or "1"
            assert answers(connection, role, relation, asked) is bool(visible), (role, relation)
            for column in hidden if visible else ():
                assert not answers(connection, role, relation, column), (role, relation, column)
    noted = {
        (role, f"{schema}.{relation}"): access
        for role, schema, relation, access in connection.execute(
            "select role, schema_name, relation_name, access from access.declared_right"
        )
    }
    for short, role in ROLES.items():
        for relation, found in relations.items():
            is_refused = noted.pop((role, relation)) == "refused"
            assert is_refused is (declared(relation, found, short) == frozenset())
    assert not [key for key in noted if key[0] in ROLES.values()]


@contextmanager
def migrated(admin_url: str, template: str, folder: Path) -> Iterator[Warehouse]:
    """A warehouse without a load, with empty cubes."""
    (folder / "inbox").mkdir()
    with fresh_warehouse(admin_url, template, folder / "inbox", folder) as made:
        with made.pipeline():
            pass
        yield made


@pytest.fixture
def empty(admin_url: str, template: str, tmp_path: Path) -> Iterator[Warehouse]:
    with migrated(admin_url, template, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def warehouse(
    admin_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse]:
    """A warehouse with claims of a month; tests leave its rights as they are declared."""
    with migrated(admin_url, template, tmp_path_factory.mktemp("access")) as made:
        load(made, "01")
        yield made


def load(warehouse: Warehouse, month: str) -> None:
    """A batch with a claim of a new month, loaded in whichever way there is something to load."""
    claim = "claim_id | member_id | plan_id | provider_id | service_date\n"
    warehouse.send(
        f"2025-{month}-28",
        members="member_id | state \n A | FL \n B | OH",
        plans="plan_id | metal_tier \n P | Silver",
        claims=f"{claim} c{month} | A | P | R | 2025-{month}-10",
        enrollments="enrollment_id | member_id | plan_id | start_date \n e | A | P | 2025-01-01",
    )
    warehouse.incremental()


def test_before_the_first_load(empty):
    assert_as_declared(empty.connection)


def test_after_a_load_and_another_month(empty):
    load(empty, "01")
    assert_as_declared(empty.connection)
    load(empty, "02")
    partitions = empty.column(
        "select relname from pg_class where relispartition and relkind = 'r'"
        " and relnamespace = 'internal'::regnamespace order by 1"
    )
    assert "fact_claim_2025_02" in partitions
    assert_as_declared(empty.connection)
    assert empty.column(
        "select distinct relacl::text from pg_class where relispartition and relacl is not null"
        " and relnamespace::regnamespace::text = any('{warehouse,staging}')"
    ) in ([], [f"{{{empty.value('select current_user')}=arwdDxtm/aca_owner}}"])


def test_after_full_loads(warehouse):
    for _ in range(2):
        warehouse.rebuild()
        assert_as_declared(warehouse.connection)


@pytest.mark.parametrize("cube", CUBES)
def test_after_a_cube_replaces_another(warehouse, cube):
    before = oids(warehouse.connection)
    warehouse.connection.execute(
        "update ledger.cube_refresh set definition_hash = 'of before' where cube_name = %s", [cube]
    )
    warehouse.run(commands.run_cubes)
    after = oids(warehouse.connection)
    made_again = {relation for relation, oid in after.items() if before[relation] != oid}
    assert f"cubes.{cube}" in made_again
    assert_as_declared(warehouse.connection, made_again)


@pytest.mark.slow
def test_after_dump_and_restore(warehouse, admin_url, tmp_path):
    programs = packaged_programs()
    dump = tmp_path / "dump"
    made = subprocess.run(
        [programs / "pg_dump", "--format=custom", "--file", dump, warehouse.url],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    with fresh_database(admin_url, "template0") as url:
        restored = subprocess.run(
            [programs / "pg_restore", "--exit-on-error", "--dbname", url, dump],
            capture_output=True,
            text=True,
        )
        assert restored.returncode == 0, restored.stderr
        with psycopg.connect(url, autocommit=True) as connection:
            assert_as_declared(connection)
            shown = "select count(*), min(member_id) from limited.dim_member where member_sk > 0"
            assert connection.execute(shown).fetchall() == warehouse.rows(shown)


HAND_MADE = """
    grant select on warehouse.dim_member to aca_analyst;
    grant usage on schema warehouse to aca_analyst;
    grant select (first_name) on staging.members_raw to aca_analyst_deid;
    grant update (state) on warehouse.dim_member to aca_analyst_phi;
    grant insert on limited.dim_member to aca_analyst;
    grant create on schema limited to aca_analyst;
    grant select on internal.fact_claim_2025_01 to aca_analyst;
    grant select on access.member_crosswalk to aca_auditor;
    revoke select on limited.fact_claim from aca_analyst;
    revoke usage on schema safe_harbor from aca_analyst_deid;
    revoke select on quality.rejected_row from aca_data_steward;
    grant select on cubes.claims_daily_member to aca_analyst_scoped;
"""


@pytest.mark.slow
def test_what_is_granted_or_revoked_by_hand_is_undone_by_the_next_run(warehouse):
    for full in (False, True):
        warehouse.connection.execute(HAND_MADE)
        with pytest.raises(AssertionError):
            assert_as_declared(warehouse.connection)
        if full:
            warehouse.rebuild()
        else:
            with warehouse.pipeline():
                pass
        assert_as_declared(warehouse.connection)
        assert not warehouse.value(
            "select has_schema_privilege('aca_analyst', 'limited', 'create')"
        )


@pytest.mark.slow
def test_what_people_granted_to_their_own_roles_carries_over(warehouse):
    asked = (
        "select table_schema, table_name, privilege_type, is_grantable"
        " from information_schema.role_table_grants where grantee = 'ann_test' order by 1, 2"
    )
    warehouse.connection.execute("create role ann_test")
    try:
        for schema in ("limited", "scoped", "safe_harbor", "limited_as_known"):
            warehouse.connection.execute(
                f"grant usage on schema {schema} to ann_test;"
                f"grant select on {schema}.fact_claim to ann_test with grant option"
            )
        warehouse.connection.execute(
            "grant select on limited.claims_by_month, safe_harbor.claims_by_month to ann_test;"
            "grant select (member_id) on limited.dim_member to ann_test"
        )
        granted = warehouse.rows(asked)
        assert len(granted) == 6
        warehouse.rebuild()
        assert warehouse.rows(asked) == granted
        warehouse.connection.execute(
            "update ledger.cube_refresh set definition_hash = 'of before'"
            " where cube_name = 'claims_by_month'"
        )
        warehouse.run(commands.run_cubes)
        assert warehouse.rows(asked) == granted
        assert warehouse.value(
            "select has_column_privilege('ann_test', 'limited.dim_member', 'member_id', 'select')"
        )
        assert answers(warehouse.connection, "ann_test", "limited.fact_claim", "count(*)")
    finally:
        warehouse.connection.execute("drop owned by ann_test; drop role ann_test")


def test_every_column_of_every_relation_is_classified(warehouse):
    classified = (*LIVE.schemas.path, "as_known", "mart")
    found = {
        (*relation.split("."), column)
        for relation, of_it in columns(warehouse.connection).items()
        if relation.partition(".")[0] in classified
        for column in of_it
    }
    assert len(found) > 600
    lacking = set()
    for schema, relation, column in found:
        try:
            identifier_of(schema, relation, column)
        except UnclassifiedError:
            lacking.add(f"{schema}.{relation}.{column}")
    assert not lacking
    noted = warehouse.rows(
        "select schema_name, relation_name, column_name, identifier from access.classification"
    )
    assert {row[:3] for row in noted} == found
    assert "unclassified" not in {row[3] for row in noted}


@pytest.mark.slow
def test_a_column_that_nobody_has_classified_is_shown_to_nobody(warehouse):
    connection = warehouse.connection
    new = ["warehouse.dim_plan", "internal.dim_plan_past", "quality.check_run"]
    for table in new:
        connection.execute(f"alter table {table} add column nickname text default 'n'")
    try:
        with pytest.raises(UnclassifiedError, match=r"warehouse\.dim_plan\.nickname"):
            identifier_of("warehouse", "dim_plan", "nickname")
        with connection.transaction(), repeatable.dropped(connection):
            pass
        with connection.transaction():
            grants.apply(connection)
        shown = set(
            warehouse.column(
                "select c.relnamespace::regnamespace::text from pg_attribute as a"
                " join pg_class as c on a.attrelid = c.oid where a.attname = 'nickname'"
            )
        )
        assert shown == {"warehouse", "internal", "as_known", "quality"}
        assert not answers(connection, "aca_analyst", "quality.check_run", "nickname")
        assert answers(connection, "aca_analyst", "quality.check_run", "gate")
        assert warehouse.column(
            "select distinct identifier from access.classification where column_name = 'nickname'"
        ) == ["unclassified"]
    finally:
        with connection.transaction(), repeatable.dropped(connection):
            for table in new:
                connection.execute(f"alter table {table} drop column nickname")


def ensure_as_declared_now(warehouse: Warehouse) -> None:
    """Make what a later version declares otherwise; one process has one version of it."""
    repeatable.of_build.cache_clear()
    repeatable.on_cubes.cache_clear()
    repeatable.ensure(warehouse.connection)


@pytest.mark.parametrize("schema", ["limited", "scoped", "limited_as_known"])
def test_masked_views_are_made_again_when_a_treatment_changes(warehouse, monkeypatch, schema):
    shown = f"select count(city) > 0 from {schema}.dim_member"
    warehouse.connection.execute("update warehouse.dim_member set city = 'Ames'")
    warehouse.connection.execute(
        "insert into access.login_state values (session_user, 'FL') on conflict do nothing"
    )
    assert warehouse.value(shown)
    with monkeypatch.context() as later:
        later.setitem(TREATMENTS[Standard.LIMITED], Identifier.CITY, Treatment.WITHHOLD)
        ensure_as_declared_now(warehouse)
        assert not warehouse.value(shown)
    ensure_as_declared_now(warehouse)
    assert warehouse.value(shown)
    warehouse.connection.execute("delete from access.login_state")


def test_search_path_set_for_another_login_or_database_is_not_ours(
    database: psycopg.Connection[Any],
) -> None:
    ours, here = database.info.user, database.info.dbname

    def sets(login: str, where: str) -> bool:
        """Whether we lack a path once this login has one there."""
        database.execute(f"alter role {login} in database {where} set search_path = mart")
        return scalar(database, "access/logins.lacks_path")

    with database.transaction(force_rollback=True):
        database.execute(f"alter role {ours} in database {here} reset search_path")
        database.execute("create role another")
        assert sets("another", here)
        assert sets(ours, "template1")
        assert not sets(ours, here)
