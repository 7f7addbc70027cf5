"""Blocks of a feed as the generator makes them, from rows that a test draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise

import numpy as np

from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.synthetic.core import encode
from tests.support.feeds import fill

Row = dict[str, str]


def npi(number: int) -> str:
    """Nine digits and the check digit of 45 CFR 162.406, which is Luhn's over 80840 before it."""
    body = f"2{number:08d}"
    doubled = [int(d) * (2 if n % 2 == 0 else 1) for n, d in enumerate(reversed("80840" + body))]
    return body + str(-sum(d // 10 + d % 10 for d in doubled) % 10)


def drawn_rows(feed: str, count: int) -> list[Row]:
    """Rows with all that a defect may meet: commas, quotes, accents, empty and large values."""
    day = date(2025, 1, 1)
    drawn = {
        "members": lambda n: {
            # Every fifth member has two rows, each true from another instant on.
            "member_id": f"M{n - (n % 5 == 4):08d}",
            "source_updated_at": f"2025-01-{1 + n % 28:02d}T00:00:00Z",
            "last_name": ("Núñez", 'O"Neil, Jr', "Lee")[n % 3],
            "dob": day - timedelta(days=9_000 + n),
            "street": (f"{n} Oak St, Apt {n}", f"{n} Elm Avenue", "")[n % 3],
            "state": "WI",
            "call_count": n,
        },
        "plans": lambda n: {
            "plan_id": f"12345WI{n:07d}",
            "name": f"Plan {n}, Silver",
            "deductible": f"{n * 37}.50",
        },
        "providers": lambda n: {
            "provider_id": f"P{n:08d}",
            "npi": "" if n % 4 == 3 else npi(n),
            "name": f"Dr. {n}, MD",
            "state": "WI",
        },
        "enrollments": lambda n: {
            "enrollment_id": f"E{n:08d}",
            "member_id": f"M{n:08d}",
            "plan_id": f"12345WI{n % 50:07d}",
            "start_date": day + timedelta(days=31 * (n % 3)),
            # A span of one day has no room for another one inside.
            "end_date": ("", day + timedelta(days=31 * (n % 3)), "2025-09-30")[n % 3],
            "premium_paid": f"{n}.{n % 100:02d}",
            "aptc_amount": "" if n % 2 else f"{n * 7}.00",
            "enrollment_reason": ("open_enrollment", "", "loss of coverage")[n % 3],
        },
        "claims": lambda n: {
            "claim_id": f"C{n:08d}",
            "member_id": f"M{n % 400:08d}",
            "provider_id": f"P{n % 300:08d}",
            "plan_id": f"12345WI{n % 50:07d}",
            "service_date": day + timedelta(days=n % 300),
            "claim_amount": f"{n * 100}.99",
            "allowed_amount": f"{n * 50}.10",
            "paid_amount": f"{n * 40}.05" if n % 10 else "0.00",
            "status": "approved" if n % 10 else "denied",
            "diagnosis_code": "E119",
            "procedure_code": "Z0001",
            "provider_group_name": (f"Group {n}, West", "", "Ärzte")[n % 3],
        },
        # Sets of four lines and of three diagnoses.
        "claim_lines": lambda n: {
            "claim_id": f"C{n // 4:08d}",
            "line_number": n % 4 + 1,
            "service_date": day + timedelta(days=n // 4 % 300),
            "procedure_code": ("J1100", "", "Z0001")[n % 3],
            "ndc": "" if n % 2 else f"{n:011d}",
            "units": f"{n % 9}.5",
            "line_billed": f"{n * 100}.99",
            "line_allowed": f"{n * 50}.10",
            "line_paid": f"{n * 40}.05" if n % 10 else "0.00",
        },
        "claim_diagnoses": lambda n: {
            "claim_id": f"C{n // 3:08d}",
            "position": n % 3 + 1,
            "service_date": day + timedelta(days=n // 3 % 300),
            "diagnosis_code": ("E119", "I10")[n % 2],
            "present_on_admission": ("Y", "", "N")[n % 3],
        },
    }[feed]
    names = [c.name for c in FEEDS[feed].columns]  # a generator sends no delete markers
    filled = (fill(FEEDS[feed], drawn(n)) for n in range(1, count + 1))
    return [{name: row[name] for name in names} for row in filled]


def block_of(feed: Feed, rows: Sequence[Mapping[str, str]]) -> encode.Block:
    """A block of these rows; there are unused bytes before and after the text of a field."""
    unused = np.zeros(len(rows), dtype="S3")
    columns = {
        c.name: encode.join(unused, encode.texts(row[c.name] for row in rows)) for c in feed.columns
    }
    sets = None
    if feed.name in ("claim_lines", "claim_diagnoses"):
        names = [row["claim_id"] for row in rows]
        sets = np.cumsum([a != b for a, b in pairwise(["", *names])])
    amounts = {name: cents(rows, name) for name in feed.money}
    return encode.block(feed, columns, amounts, sets=sets)


def cents(rows: Sequence[Mapping[str, str]], column: str) -> np.ndarray:
    """A money column in whole cents; nothing is none."""
    return np.array([int((row[column] or "0.00").replace(".", "")) for row in rows], dtype=np.int64)
