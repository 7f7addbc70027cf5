"""Three members who are to be erased, their family, and what the warehouse says of them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from etl.access import erasure_files
from etl.quarantine import export
from etl.server.home import packaged_programs
from tests.support.warehouse import Warehouse

MARRIED, LATE, REJECTED, CHILD = "M-7301", "M-7302", "M-7303", "M-7304"
ERASED = (MARRIED, LATE, REJECTED)

# Direct values of these members alone; by word, since a dump, a page or a log may quote them.
DIRECT = {
    MARRIED: ("Quillanne", "Vandermoot", "Ostrowicz", "quill@example.test", "555-7301"),
    LATE: ("Bartolph", "Lindqvaert", "bart@example.test", "555-7302", "9 Marrowfat Way"),
    REJECTED: ("Zephyrine", "Okonjowa", "zeph@example.test", "555-7303", "3 Tamarisk Row"),
}
# What the first of them shares with the child, who is not erased.
SHARED = ("12 Hollyhock Lane", "555-7399")


def _person(member_id: str, first: str, last: str, born: str, **more: Any) -> dict[str, Any]:
    return {
        "member_id": member_id,
        "first_name": first,
        "last_name": last,
        "dob": born,
        "state": "TX",
        "region": "North",
        "zip": "75001",
        **more,
    }


def married(**more: Any) -> dict[str, Any]:
    street, phone = SHARED
    known = {"email": "quill@example.test", "street": street, "phone": phone}
    return _person(MARRIED, "Quillanne", "Vandermoot", "1984-05-17", **known | more)


def late(**more: Any) -> dict[str, Any]:
    known = {"email": "bart@example.test", "street": "9 Marrowfat Way", "phone": "555-7302"}
    return _person(LATE, "Bartolph", "Lindqvaert", "1970-09-30", **known | more)


def rejected(**more: Any) -> dict[str, Any]:
    known = {"email": "zeph@example.test", "street": "3 Tamarisk Row", "phone": "555-7303"}
    return _person(REJECTED, "Zephyrine", "Okonjowa", "1991-02-11", **known | more)


def child(**more: Any) -> dict[str, Any]:
    street, phone = SHARED
    return _person(CHILD, "Tansy", "Rillington", "2015-03-03", street=street, phone=phone)


def claim(number: int, member_id: str, **more: Any) -> dict[str, Any]:
    return {
        "claim_id": f"C{number}",
        "member_id": member_id,
        "provider_id": "R1",
        "plan_id": "P1",
        "service_date": f"2025-0{1 + number % 3}-{10 + number:02d}",
        "claim_amount": "300.00",
        "allowed_amount": "200.00",
        "paid_amount": f"{number}.10",
        **more,
    }


def enrollment(number: int, member_id: str, **more: Any) -> dict[str, Any]:
    return {
        "enrollment_id": f"E{number}",
        "member_id": member_id,
        "plan_id": "P1",
        "start_date": "2025-01-01",
        **more,
    }


def send_first(warehouse: Warehouse) -> None:
    """The batches before the erasure: a marriage, moves, rejected rows, a snapshot."""
    warehouse.send(
        "2025-01-10",
        snapshots=("members",),
        members=[married(), late(), rejected(), child()],
        plans=[{"plan_id": "P1", "effective_year": 2025}],
        providers=[{"provider_id": "R1"}],
        enrollments=[enrollment(n, m) for n, m in enumerate((*ERASED, CHILD), 1)],
        claims=[
            claim(1, MARRIED),
            claim(2, LATE),
            claim(3, REJECTED),
            claim(4, CHILD),
            claim(5, REJECTED, paid_amount="five"),
        ],
    )
    warehouse.send(
        "2025-02-10",
        members=[
            married(last_name="Ostrowicz", phone="555-7301"),
            rejected(year="MMXXV"),
            late() | {"member_id": ""},
            rejected(email="") | {"member_id": ""},
            child(),
        ],
        claims=[claim(6, MARRIED), claim(1, MARRIED, paid_amount="7.77")],
    )
    warehouse.send(
        "2025-03-10",
        # Only the ZIP, and only the day of birth: versions that erasure makes alike.
        members=[
            married(last_name="Ostrowicz", phone="555-7301", zip="75002"),
            late(dob="1970-09-29"),
        ],
    )


def send_later(warehouse: Warehouse) -> None:
    """Files that name the erased members again, with claims that come late."""
    warehouse.send(
        "2025-04-10",
        members=[
            married(last_name="Ostrowicz", phone="555-7301", zip="75003"),
            late(state="FL", dob="1970-09-29"),
            rejected(year="twenty"),
            late() | {"member_id": ""},
            rejected(email="") | {"member_id": ""},
            child(),
        ],
        claims=[
            claim(7, LATE, service_date="2025-01-05"),
            claim(7, LATE, service_date="2025-01-05"),
            claim(8, REJECTED, paid_amount="eight"),
            claim(9, CHILD),
        ],
        enrollments=[enrollment(9, LATE, start_date="2025-03-01", premium_paid="11.00")],
    )


def values_of(members: Iterable[str]) -> list[str]:
    return [value for member in members for value in (member, *DIRECT[member])]


def dump(warehouse: Warehouse) -> bytes:
    """The database as pg_dump writes it."""
    program = packaged_programs() / "pg_dump"
    done = subprocess.run([program, warehouse.url], capture_output=True, check=True)
    return done.stdout


def files(warehouse: Warehouse) -> bytes:
    """Everything that the warehouse keeps outside of the database."""
    return b"\n".join(p.read_bytes() for p in sorted(warehouse.data.rglob("*")) if p.is_file())


def found(text: bytes, members: Iterable[str] = ERASED) -> list[str]:
    """The direct values of members that a text contains."""
    return [value for value in values_of(members) if value.encode() in text]


def export_all(warehouse: Warehouse) -> list[Path]:
    """Write the open rows of the quarantine to correct, under DATA_DIR."""
    written = []
    for batch in warehouse.column("select distinct batch_id from quality.quarantine_open"):
        folder = export.folder_of(warehouse.data, batch)
        written += [path for path, _ in export.export(warehouse.url, folder, batch, None)]
    return written


# What an erasure must not change: facts, money, keys, versions, how files were accounted for.
TOTALS = """
    select 'claims', count(*), sum(paid_amount), md5(string_agg(
        row(claim_id, date_key, member_sk, plan_sk, status, paid_amount)::text, '' order by claim_id
    )) from warehouse.fact_claim
    union all
    select 'enrollments', count(*), sum(premium_paid), md5(string_agg(
        row(enrollment_id, member_sk, plan_sk, start_date)::text, '' order by enrollment_id
    )) from warehouse.fact_enrollment
    union all
    select 'versions', count(*), null, md5(string_agg(row(
        member_sk, validity_start_ts, validity_end_ts, state, current_flag, known_from_ts
    )::text, '' order by member_sk)) from warehouse.dim_member
    union all
    select 'cube', count(*), sum(paid_usd), null from cubes.claims_daily_member
    union all
    select 'month', count(*), sum(paid_usd), md5(string_agg(t::text, '' order by t::text))
    from cubes.claims_by_month as t
"""
ACCOUNTING = """
    select l.batch_id, l.kind, f.feed, f.rows_read, f.rows_loaded, f.rows_rejected,
        f.rows_duplicate, f.totals, f.distinct_keys
    from ledger.load_file as f
    inner join ledger.load as l using (load_id)
    where f.status = 'loaded' and l.status = 'loaded'
    order by 1, 2, 3
"""
AS_KNOWN = """
    select count(*), sum(c.paid_amount), md5(string_agg(
        row(c.claim_id, c.member_sk, c.paid_amount)::text, '' order by c.claim_id
    )), (
        select md5(string_agg(row(
            m.member_sk, m.validity_start_ts, m.validity_end_ts, m.state
        )::text, '' order by m.member_sk))
        from warehouse.dim_member_as_known_at({0}) as m
    )
    from warehouse.fact_claim_as_known_at({0}) as c
"""


def state(warehouse: Warehouse) -> dict[str, Any]:
    """All that an erasure must leave as it is."""
    loads = warehouse.column("select load_id from ledger.load where status = 'loaded' order by 1")
    known = [warehouse.rows(AS_KNOWN.format(load_id)) for load_id in loads]
    return state_now(warehouse) | {"as known": known}


def state_now(warehouse: Warehouse) -> dict[str, Any]:
    """The same without what was known before, which nobody asks of facts on a cluster."""
    return {"totals": warehouse.rows(TOTALS), "accounting": warehouse.rows(ACCOUNTING)}


def token_of(warehouse: Warehouse, member: str) -> str:
    """What the number of a member became."""
    return erasure_files.tokens(warehouse.data).of_number(member)
