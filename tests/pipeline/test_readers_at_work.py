"""Readers ask in loops while full loads run: no error, name, row out of scope, unrecorded look."""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import dataclass, field

import psycopg
import pytest

from etl.config import Settings
from etl.db.connection import connect
from etl.synthetic.generate import generate
from tests.support.access import address, logins
from tests.support.looking import Record, record
from tests.support.warehouse import Warehouse

# Who asks, of which schema, for the members of which states.
READERS = {
    "ann_reads": ("aca_analyst", "limited", ()),
    "fay_reads": ("aca_analyst_scoped", "scoped", ("FL",)),
    "sam_reads": ("aca_analyst_scoped", "scoped", ("OH", "TX")),
    "dee_reads": ("aca_analyst_deid", "safe_harbor", ()),
    "pat_reads": ("aca_auditor", "limited", ()),
}
RELATIONS = ("dim_member", "dim_member_as_is", "dim_member_current")
CODE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\(unknown\)")
# Logins that may see who a person is, each with its role and what it reads, which has rows; of the
# auditor that is the record itself.
IDENTIFIED_READERS = {
    "ida_reads": (
        "aca_analyst_phi",
        (
            *("warehouse.dim_member", "staging.members_raw", "staging.claims_raw"),
            *("cubes.claims_daily_member", "warehouse.fact_claim"),
        ),
    ),
    "stu_reads": ("aca_data_steward", ("warehouse.dim_member", "staging.enrollments_raw")),
    "aud_reads": ("aca_auditor", ("audit.look",)),
}
# What of these says of nobody who it is.
NOT_NOTED = {"warehouse.fact_claim"}
IDENTIFIED = ["first_name", "last_name", "street", "phone", "email", "attr_hash"]


@dataclass
class Reader(threading.Thread):
    """Somebody who asks until the end; what was wrong, and how often there was an answer."""

    url: str
    schema: str
    states: tuple[str, ...]
    numbers: frozenset[str]
    ended: threading.Event
    wrong: Counter[str] = field(default_factory=Counter)
    answers: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        with connect(self.url, "test") as session:
            session.execute(f"set search_path = {self.schema}")
            while not self.ended.is_set():
                try:
                    self.ask(session)
                except psycopg.Error as error:
                    self.wrong[f"{type(error).__name__}: {error}"] += 1
                    return

    def ask(self, session: psycopg.Connection) -> None:
        nulls = " and ".join(f"{column} is null" for column in IDENTIFIED)
        for relation in RELATIONS:
            asked = f"select member_id, state, {nulls} from {relation}"
            for member_id, state, is_masked in session.execute(asked):
                if not is_masked or member_id in self.numbers:
                    self.wrong[f"{relation} names a person"] += 1
                if self.states and state not in self.states:
                    self.wrong[f"{relation}: a row out of scope"] += 1
        paid = (
            "select m.state, sum(f.paid_amount), count(m.member_sk) - count(*) from fact_claim as f"
            " left join dim_member as m on f.member_sk = m.member_sk group by m.state"
        )
        for state, _, lacking in session.execute(paid):
            if lacking:
                self.wrong["a claim without its member"] += 1
            if self.states and state not in self.states:
                self.wrong["a claim out of scope"] += 1
        for (member_id,) in session.execute("select member_id from claims_daily_member"):
            if not CODE.fullmatch(member_id):
                self.wrong["the cube names a person"] += 1
        self.answers += 1


@dataclass
class IdentifiedReader(threading.Thread):
    """Somebody who reads who persons are until the end; how often, by relation."""

    url: str
    relations: tuple[str, ...]
    ended: threading.Event
    wrong: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    @property
    def answers(self) -> int:
        """How often each of its relations was read."""
        return min(self.read[relation] for relation in self.relations)

    def run(self) -> None:
        with connect(self.url, "test") as session:
            while not self.ended.is_set():
                try:
                    self.ask(session)
                except psycopg.Error as error:
                    self.wrong[f"{type(error).__name__}: {error}"] += 1
                    return

    def ask(self, session: psycopg.Connection) -> None:
        for relation in self.relations:
            # Each is a statement of its own, by which the record can be counted.
            number = self.read[relation]
            session.execute(f"select {number} as number, r.* from {relation} as r").fetchall()
            self.read[relation] += 1


def looks_of(made: Record, after: int) -> dict[str, Counter[str]]:
    """How many statements of each login the record has as looks at each relation."""
    made.bring()
    found: dict[str, Counter[str]] = {name: Counter() for name in IDENTIFIED_READERS}
    for person, relation, statements in made.rows(
        "select person, relation_name, count(distinct statement) from audit.look"
        " where kind = 'look' and position > %s and person = any(%s) group by 1, 2",
        after,
        list(found),
    ):
        found[person][relation] = statements
    return found


@pytest.mark.slow
def test_readers_see_only_what_they_may_through_three_full_loads(
    warehouse: Warehouse, server_settings: Settings
) -> None:
    generate(warehouse.inbox, members=300)
    warehouse.rebuild()
    described = {name: (role, states) for name, (role, _, states) in READERS.items()}
    numbers = frozenset(warehouse.column("select member_id from warehouse.dim_member"))
    ended = threading.Event()
    with (
        record(server_settings, warehouse.url, warehouse.data) as made,
        logins(warehouse.connection, described),
    ):
        # The auditor reads the record, which has rows to read only after a look.
        identified = {
            name: IdentifiedReader(made.login(name, role), relations, ended)
            for name, (role, relations) in IDENTIFIED_READERS.items()
        }
        with connect(identified["ida_reads"].url, "test") as session:
            session.execute("select * from warehouse.dim_member").fetchall()
        made.bring()
        before_all = made.last()
        masked = [
            Reader(address(warehouse.url, name), schema, states, numbers - {""}, ended)
            for name, (_, schema, states) in READERS.items()
        ]
        readers = [*masked, *identified.values()]
        for reader in readers:
            reader.start()
        try:
            for _ in range(3):
                before = [reader.answers for reader in readers]
                warehouse.rebuild()
                assert all(r.answers > n or r.wrong for r, n in zip(readers, before, strict=True))
        finally:
            ended.set()
            for reader in readers:
                reader.join()
        assert [dict(reader.wrong) for reader in readers] == [{}] * len(readers)
        noted = looks_of(made, before_all)
        for name, reader in identified.items():
            assert noted[name] == Counter(
                {r: n for r, n in reader.read.items() if r not in NOT_NOTED}
            )
