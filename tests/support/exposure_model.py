"""Coverage counted day by day, from the facts and dimensions: slow, and nothing of the cubes."""

from __future__ import annotations

from calendar import monthrange
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.support.masked_rows import rows
from tests.support.warehouse import Warehouse

Row = dict[str, Any]
DAY = timedelta(days=1)
CENT = Decimal("0.01")


class Coverage:
    """What the facts say of each day of each member."""

    def __init__(self, warehouse: Warehouse) -> None:
        read = warehouse.connection
        self.by_sk = {v["member_sk"]: v for v in rows(read, "warehouse.dim_member")}
        self.plans = {p["plan_sk"]: p for p in rows(read, "warehouse.dim_plan")}
        # Of each member and day the spans that include it, the one that counts first.
        self.spans: dict[str, dict[date, list[Row]]] = defaultdict(lambda: defaultdict(list))
        for span in rows(read, "warehouse.fact_enrollment"):
            if span["member_sk"] > 0:
                for day in days(span["start_date"], span["end_date"]):
                    self.spans[self.by_sk[span["member_sk"]]["member_id"]][day].append(span)
        for of_member in self.spans.values():
            for found in of_member.values():
                found.sort(key=lambda s: (s["start_date"], s["enrollment_id"]), reverse=True)

    def version(self, member: str, day: date) -> Row | None:
        """The version of a member in force on a day, if the member was there then."""
        for version in self.by_sk.values():
            since, until = version["validity_start_ts"].date(), version["validity_end_ts"].date()
            if version["member_id"] == member and since <= day < until:
                return version
        return None

    def tier(self, span: Row) -> str:
        said = self.plans[span["plan_sk"]]["metal_tier"]
        return said.title() if said else "(unknown)"

    def plan(self, span: Row) -> str:
        return self.plans[span["plan_sk"]]["plan_id"] if span["plan_sk"] > 0 else "(unknown)"

    def member_months(self) -> list[Row]:
        """The rows of member_month."""
        found: dict[tuple[str, date, str], list[tuple[date, Row]]] = defaultdict(list)
        for member, of_member in self.spans.items():
            for day in sorted(of_member):
                span = of_member[day][0]
                found[member, day.replace(day=1), self.plan(span)].append((day, span))
        self.of_rows: dict[int, tuple[bool, int, int]] = {}
        made = [self._month(key, covered) for key, covered in found.items()]
        for row in made:
            rivals = [
                r for r in made if (r["member_id"], r["month"]) == (row["member_id"], row["month"])
            ]
            best = min(
                rivals, key=lambda r: (-r["covered_days"], r["first_covered_date"], r["plan_id"])
            )
            is_best = best is row
            row |= {
                "member_months_any": int(is_best),
                "plans": len(rivals),
                "is_first_month": is_best and any(r["is_new"] for r in rivals),
            }
            month = [self.of_rows[id(r)] for r in rivals] if is_best else []
            row["is_at_start"] = any(goes_on for goes_on, _, _ in month)
            row["beginnings"] = sum(begins for _, begins, _ in month)
            row["endings"] = sum(ends for _, _, ends in month)
        return made

    def _month(self, key: tuple[str, date, str], covered: list[tuple[date, Row]]) -> Row:
        member, month, plan = key
        length = monthrange(month.year, month.month)[1]
        first, span = covered[0]
        version = self.version(member, first) or self.by_sk[span["member_sk"]]
        born = version["dob"]
        of_member = self.spans[member]
        credit, net = (
            (sum((s[column] or Decimal(0) for _, s in covered), Decimal(0)) / length).quantize(
                CENT, ROUND_HALF_UP
            )
            for column in ("aptc_amount", "premium_paid")
        )
        begins = [d for d, _ in covered if d - DAY not in of_member]
        ends = [d for d, _ in covered if d + DAY not in of_member]
        goes_on = first == month and month - DAY in of_member
        row = {
            "member_id": member,
            "month": month,
            "plan_id": plan,
            "member_sk": version["member_sk"],
            "first_covered_date": first,
            "state": version["state"] or "(unknown)",
            "metal_tier": self.tier(span),
            "csr_variant": span["csr_variant"] or "(none)",
            "rating_age": born
            and first.year - born.year - ((first.month, first.day) < (born.month, born.day)),
            "covered_days": len(covered),
            "overlapped_days": sum(len(of_member[d]) > 1 for d, _ in covered),
            "member_months_mid": int(any(d.day == 15 for d, _ in covered)),
            "premium_usd": net + credit,
            "tax_credit_usd": credit,
            "net_premium_usd": net,
            "is_new": min(of_member) in begins,
            "is_renewed": goes_on and month.month == 1,
            "is_last": bool(ends),
        }
        self.of_rows[id(row)] = (goes_on, len(begins), len(ends))
        return row

    def flows(self) -> list[Row]:
        """The rows of enrollment_flow_month, each member counted day by day."""
        cells: dict[tuple[date, str, str], Counter[str]] = defaultdict(Counter)
        place = {
            (row["member_id"], row["month"]): (row["month"], row["state"], row["metal_tier"])
            for row in self.member_months()
            if row["member_months_any"]
        }
        for (member, month), cell in place.items():
            of_member, count = self.spans[member], cells[cell]
            last = month.replace(day=monthrange(month.year, month.month)[1])
            count["members"] += 1
            count["at_start"] += month - DAY in of_member and month in of_member
            count["at_end"] += last in of_member and last + DAY in of_member
            for day in days(month, last):
                if day in of_member and day - DAY not in of_member:
                    count["new" if day == min(of_member) else "returned"] += 1
                if day in of_member and day + DAY not in of_member:
                    count["ended"] += 1
        return [
            {"month": month, "state": state, "metal_tier": tier, **count}
            for (month, state, tier), count in cells.items()
        ]


def days(first: date, last: date) -> Iterator[date]:
    """Every day from the first to the last."""
    return (first + n * DAY for n in range((last - first).days + 1))
