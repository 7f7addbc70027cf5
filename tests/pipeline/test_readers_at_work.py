"""Five readers ask in loops while full loads run: never an error, a name, a row out of scope."""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import dataclass, field

import psycopg
import pytest

from etl.db.connection import connect
from etl.synthetic.generate import generate
from tests.support.access import address, logins
from tests.support.warehouse import Warehouse

# Who asks, of which schema, for the members of which states.
READERS = {
    "ann_reads": ("aca_analyst", "limited", ()),
    "fay_reads": ("aca_analyst_scoped", "scoped", ("FL",)),
    "sam_reads": ("aca_analyst_scoped", "scoped", ("OH", "TX")),
    "dee_reads": ("aca_analyst_deid", "safe_harbor", ()),
    "pat_reads": ("aca_auditor", "limited", ()),
}
RELATIONS = ("dim_member", "dim_member_as_is", "dim_member_current", "dim_member_past")
CODE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\(unknown\)")
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


@pytest.mark.slow
def test_readers_see_only_what_they_may_through_three_full_loads(warehouse: Warehouse) -> None:
    generate(warehouse.inbox, members=300)
    warehouse.rebuild()
    described = {name: (role, states) for name, (role, _, states) in READERS.items()}
    numbers = frozenset(warehouse.column("select member_id from warehouse.dim_member"))
    ended = threading.Event()
    with logins(warehouse.connection, described):
        readers = [
            Reader(address(warehouse.url, name), schema, states, numbers - {"(unknown)"}, ended)
            for name, (_, schema, states) in READERS.items()
        ]
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
