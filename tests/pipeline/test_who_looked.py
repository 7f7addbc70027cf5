"""The record answers who looked at a member, and to whom a member was disclosed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl.audit import disclosures
from etl.audit.who_looked import who_looked
from etl.errors import CheckFailedError, UsageError
from etl.pipeline.erase import erase
from tests.support.looking import Record, bring, filled, line, tamper, verify
from tests.support.warehouse import Warehouse

ANN = "who_ann"
AUDITOR = "who_auditor"


# Who looked


def ask(record_: Record, member: str = "M1", since: str = "", until: str = "") -> dict[str, Any]:
    record_.bring()
    found: dict[str, Any] = {}
    for look in who_looked(record_.url, record_.data, member, since, until):
        if look.person == ANN:
            found.setdefault(look.how, []).append((look.relation_name, look.statement))
    return found


def test_who_looked_at_a_member_by_number_key_and_code(two_members: Record) -> None:
    ((key, ref),) = two_members.rows(
        "select member_sk, limited_ref::text from warehouse.dim_member "
        "join access.member_crosswalk using (member_id) where member_id = 'M1'"
    )
    named = [
        "select 1 from warehouse.dim_member where member_id = 'M1'",
        "select 2 from warehouse.dim_member where lower(member_id) = 'm1'",
        f"select 3 from warehouse.dim_member where member_sk = {key}",
        f"select 4 from warehouse.dim_member where member_id > '' /* {ref} */",
    ]
    others = "select 5 from warehouse.dim_member where member_id = 'M12'"
    unnamed = [f"select {key} + 6 from warehouse.dim_member", "table warehouse.dim_member"]
    with psycopg.connect(two_members.login(ANN, "aca_analyst_phi"), autocommit=True) as ann:
        for statement in (*named, others, *unnamed):
            ann.execute(statement)
        ann.execute("select 7 from warehouse.dim_member where member_id = %s", ["M1"])
        with ann.transaction():
            ann.execute(
                "declare c cursor for select 8 from warehouse.dim_member where member_id = 'M1'"
            )
            ann.execute("fetch c")
        ann.execute("prepare p as select 9 from warehouse.dim_member where member_id = 'M1'")
        ann.execute("execute p")
        ann.execute("select 10 from warehouse.dim_member where member_id in ('M', 'M1', 'M13')")
        ann.execute("select 'M1' as looked_for_elsewhere")
    found = ask(two_members)
    statements = [statement for _, statement in found["named"]]
    assert [s for s in statements if s in named] == named
    assert [s for s in statements if s not in named] == [
        "select 7 from warehouse.dim_member where member_id = $1",
        "fetch c",
        "prepare p as select 9 from warehouse.dim_member where member_id = 'M1'",
        "execute p",
        "select 10 from warehouse.dim_member where member_id in ('M', 'M1', 'M13')",
        "select 'M1' as looked_for_elsewhere",
    ]
    assert [s for _, s in found["named others"]] == [others]
    assert [s for _, s in found["not named"]] == unnamed


def test_who_looked_in_a_time(two_members: Record, tmp_path: Path) -> None:
    filled(two_members, tmp_path, 3, user=ANN, statement="x 'M1'")
    assert len(ask(two_members)["named"]) == 3
    assert len(ask(two_members, since="2026-01-01T00:00:02")["named"]) == 2
    assert (
        len(ask(two_members, since="2026-01-01T00:00:02", until="2026-01-01T00:00:03")["named"])
        == 1
    )
    assert ask(two_members, until="2026-01-01") == {}
    with pytest.raises(UsageError, match="SINCE"):
        ask(two_members, since="yesterday")


def test_an_unknown_member_is_refused(two_members: Record) -> None:
    for member in ("", "M2", "M"):
        with pytest.raises(UsageError) as refused:
            ask(two_members, member)
        assert refused.value.exit_code == 2


def test_who_looked_at_a_member_who_was_erased(two_members: Record, tmp_path: Path) -> None:
    named, other = "x 'M-gone'", "select member_sk from dim_member"
    filled(two_members, tmp_path, 1, user=ANN, statement=named)
    bring(two_members, tmp_path / "b.json", [line(two_members, 2, user=ANN, statement=other)])
    assert ask(two_members, "M-gone") == {
        "named": [("warehouse.dim_member", named)],
        "not named": [("warehouse.dim_member", other)],
    }
    with pytest.raises(UsageError):
        ask(two_members, "M-go")


def test_who_looked_at_an_erased_member_by_the_keys_of_the_token(
    two_members: Record, warehouse: Warehouse, tmp_path: Path
) -> None:
    [(key,)] = two_members.rows("select member_sk from warehouse.dim_member where member_id = 'M1'")
    by_key = f"select last_name from dim_member where member_sk = {key}"
    by_number = "select last_name from dim_member where member_id = 'M1'"
    statements = [by_key, by_number, "select last_name from dim_member"]
    lines = [line(two_members, n, user=ANN, statement=said) for n, said in enumerate(statements, 1)]
    bring(two_members, tmp_path / "a.json", lines)
    before = ask(two_members)
    warehouse.run(erase, "M1", "request of the member")
    assert two_members.rows("select 1 from warehouse.dim_member where member_id = 'M1'") == []
    assert (
        ask(two_members)
        == before
        == {
            "named": [("warehouse.dim_member", by_key), ("warehouse.dim_member", by_number)],
            "not named": [("warehouse.dim_member", statements[2])],
        }
    )
    # The question does not say whose token it is.
    said = two_members.rows("select concat(statement, parameters) from audit.look")
    assert not [text for (text,) in said if "M1" in text and "erased-" in text]


def test_the_auditor_may_ask_and_is_noted_and_others_may_not(two_members: Record) -> None:
    asked = "select count(*) from audit.who_looked('M1', null, null)"
    address = two_members.login(AUDITOR, "aca_auditor")
    two_members.login(ANN, "aca_analyst_phi")
    with psycopg.connect(address) as auditor:
        auditor.execute(asked)
        auditor.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            auditor.execute("insert into audit.look (kind) values ('look')")
    before = two_members.last()
    with (
        psycopg.connect(two_members.addresses[ANN]) as ann,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        ann.execute(asked)
    assert two_members.read_by(AUDITOR) == {"audit.look"}
    assert two_members.read_by(ANN, before) == set()
    ask(two_members)
    assert two_members.read_by("aca_owner") == {"audit.look"}


# Disclosures


def test_a_disclosure_is_entered_and_accounted_for(two_members: Record) -> None:
    said = {"recipient": "Court, Main St 1", "what": "claims of 2025", "purpose": "subpoena"}
    entered = disclosures.enter(two_members.url, two_members.data, "M1", said, "2026-02-03")
    assert f"{entered}" == "2026-02-03"
    disclosures.enter(two_members.url, two_members.data, "M12", said, "")
    disclosures.enter(two_members.url, two_members.data, "M1", said, "2015-01-01")
    found = disclosures.of_member(two_members.url, two_members.data, "M1")
    assert [(f"{made.disclosed_on}", *made[1:]) for made in found] == [
        ("2026-02-03", *said.values())
    ]
    assert verify(two_members)["disclosure"] == 3
    tamper(two_members, "update audit.disclosure set recipient = 'x' where position = 2")
    with pytest.raises(CheckFailedError, match=r"Row 2 of audit\.disclosure"):
        verify(two_members)


@pytest.mark.parametrize(
    ("member", "changes", "day"),
    [
        *[("M1", {name: " "}, "") for name in ("recipient", "what", "purpose")],
        *[("", {}, ""), ("M2", {}, ""), ("M1", {}, "soon"), ("M1", {}, "9999-01-01")],
    ],
)
def test_a_disclosure_that_cannot_be_is_refused(
    two_members: Record, member: str, changes: dict[str, str], day: str
) -> None:
    said = {"recipient": "r", "what": "w", "purpose": "p", **changes}
    with pytest.raises(UsageError) as refused:
        disclosures.enter(two_members.url, two_members.data, member, said, day)
    assert refused.value.hint
    assert two_members.rows("select count(*) from audit.disclosure") == [(0,)]


@pytest.mark.slow
def test_commands_of_the_record(two_members: Record, warehouse: Warehouse, tmp_path: Path) -> None:
    file = tmp_path / "log.json"
    file.write_text(json.dumps(line(two_members, 1, statement="x 'M1'")) + "\n", encoding="utf-8")
    done = warehouse.command("audit", "--log", str(file))
    assert done.returncode == 0, done.stderr
    assert "1 looks" in done.stdout
    assert warehouse.command("audit-verify").returncode == 0
    shown = warehouse.command("who-looked", "--member", "M1")
    assert "Named the member (1), UTC" in shown.stdout
    assert "  ann  read warehouse.dim_member\n    x 'M1'" in shown.stdout
    assert warehouse.command("who-looked", "--member", "M2").returncode == 2
    named = ("--to", "Court", "--what", "claims", "--why", "subpoena")
    assert warehouse.command("disclosure", "--member", "M1", *named).returncode == 0
    assert "Court" in warehouse.command("disclosures", "--member", "M1").stdout
    assert warehouse.command("audit-prune").returncode == 2
    assert warehouse.command("audit-prune", "--confirm").returncode == 0
    tamper(two_members, "update audit.look set person = 'bob'")
    done = warehouse.command("audit-verify")
    assert done.returncode == 6
    assert "Row 1 of audit.look" in done.stderr
