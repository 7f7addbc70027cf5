"""The synthetic feeds, read back with csv and Decimal, compared with rules written again here."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
import xxhash

from etl.contracts.column import Between, Matches, OneOf
from etl.contracts.feeds import FEEDS as CONTRACTS
from etl.contracts.types import Type
from etl.inbox.batch import find_batches
from etl.synthetic.core.span import Span
from etl.synthetic.generate import generate, increment, simulate
from etl.synthetic.world.world import World
from tests.support.feed_reader import FEEDS, fingerprint, last_covered_day, manifest, read, total

MEMBERS, SEED, DAYS = 700, 7, 40
REFERENCE = Path(__file__).parents[2] / "etl" / "reference"


@pytest.fixture(scope="module")
def inbox(tmp_path_factory) -> Path:
    """A first batch and the 40 days after it, which cross a plan year."""
    inbox = tmp_path_factory.mktemp("seed") / "inbox"
    generate(inbox, members=MEMBERS, years=2, seed=SEED)
    simulate(inbox, DAYS)
    return inbox


@pytest.fixture(scope="module")
def folders(inbox) -> list[Path]:
    return sorted(p for p in inbox.iterdir() if p.is_dir())


@pytest.fixture(scope="module")
def batches(folders) -> list[dict]:
    return [read(folder) for folder in folders]


@pytest.fixture(scope="module")
def truths(inbox) -> dict[str, dict]:
    """What the generator says of each batch, by batch_id."""
    return {p.stem: json.loads(p.read_text()) for p in (inbox.parent / "truth").glob("*.json")}


@pytest.fixture(scope="module")
def latest(batches) -> dict[str, dict]:
    """Each feed's rows by key, in the state that the last batch leaves."""
    state: dict[str, dict] = {name: {} for name in FEEDS}
    for batch in batches:
        for name, rows in batch.items():
            for row in rows:
                state[name][tuple(row[k] for k in CONTRACTS[name].key)] = row
    return state


def test_default_is_one_batch_a_day_from_december_fifteenth(folders):
    assert folders[0].name == "2025-12-15"
    days = [date.fromisoformat(f.name) for f in folders]
    assert days == [days[0] + timedelta(days=n) for n in range(DAYS + 1)]


def test_headers_are_the_contracts(folders):
    for folder in folders:
        for path in folder.glob("*.csv"):
            with path.open(encoding="utf-8", newline="") as file:
                header = next(csv.reader(file))
            assert header == [c.name for c in CONTRACTS[path.stem].columns]


def test_values_are_of_their_type_and_within_their_checks(batches):
    def typed(kind: Type, value: str) -> object:
        if kind in (Type.DATE, Type.KEY_DATE):
            return date.fromisoformat(value)
        if kind is Type.TIMESTAMP:
            return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ")
        if kind is Type.BOOLEAN:
            return {"true": True, "false": False}[value]
        if kind in (Type.INTEGER, Type.KEY_NUMBER, Type.YEAR, Type.KEY_YEAR):
            return int(value)
        if kind is Type.MONEY:
            assert re.fullmatch(r"\d+\.\d\d", value)
        return Decimal(value) if kind in (Type.MONEY, Type.RATIO) else value

    for name in FEEDS:
        for column in CONTRACTS[name].columns:
            for value in {row[column.name] for batch in batches for row in batch[name]}:
                if value == "":
                    assert not column.required, f"{name}.{column.name} is empty"
                    continue
                found, check = typed(column.type, value), column.check
                if isinstance(check, OneOf):
                    assert value in check.values
                elif isinstance(check, Matches):
                    assert re.fullmatch(check.pattern.strip("^$"), value)
                elif isinstance(check, Between):
                    assert check.low is None or found >= check.low
                    assert check.high is None or found <= check.high


def test_manifest_matches_its_files(folders):
    for folder in folders:
        said = manifest(folder)
        assert said["batch_id"] == folder.name
        assert said["as_of"] == f"{folder.name}T00:00:00Z"
        assert said["files"].keys() == {p.name for p in folder.glob("*.csv")}
        for name, entry in said["files"].items():
            rows = read(folder)[name.removesuffix(".csv")]
            assert entry["rows"] == len(rows) > 0
            digest = xxhash.xxh3_128((folder / name).read_bytes()).hexdigest()
            assert entry["xxh3_128"] == digest
            assert entry["totals"].keys() == set(CONTRACTS[name.removesuffix(".csv")].money)
            for column, amount in entry["totals"].items():
                assert Decimal(amount) == total(rows, column)
        whole = folder.name == "2025-12-15" or folder.name.endswith("-01")
        for name in ("members.csv", "providers.csv"):
            if name in said["files"]:
                assert said["files"][name]["kind"] == ("snapshot" if whole else "delta")


def test_batches_can_be_read_by_the_pipeline(inbox, folders):
    found = find_batches(inbox)
    assert [b.batch_id for b in found] == [f.name for f in folders]


def test_a_key_appears_once_a_batch_but_for_members_at_several_times(batches):
    twice = 0
    for batch in batches:
        for name, rows in batch.items():
            key = CONTRACTS[name].key
            if name == "members":
                twice += len(rows) - len({r["member_id"] for r in rows})
                key = (*key, "source_updated_at")
            keys = Counter(tuple(r[k] for k in key) for r in rows)
            assert max(keys.values(), default=1) == 1
    assert twice


def test_facts_name_what_has_been_delivered_or_comes_later(folders, batches, truths):
    """What they name before its feed brought it is what the truth says will be inferred."""
    known = {"dim_member": set(), "dim_provider": set()}
    named = {"dim_member": set(), "dim_provider": set()}
    plans, ahead = set(), Counter()
    for folder, batch in zip(folders, batches, strict=True):
        known["dim_member"] |= {r["member_id"] for r in batch["members"]}
        known["dim_provider"] |= {r["provider_id"] for r in batch["providers"]}
        plans |= {(r["plan_id"], r["effective_year"]) for r in batch["plans"]}
        facts = batch["enrollments"] + batch["claims"]
        named["dim_member"] |= {r["member_id"] for r in facts}
        named["dim_provider"] |= {r["provider_id"] for r in batch["claims"]}
        for row in facts:
            day = row.get("start_date") or row["service_date"]
            assert (row["plan_id"], day[:4]) in plans
        for dimension, keys in named.items():
            unknown = sorted(keys - known[dimension])
            assert truths[folder.name]["unknown"][dimension] == unknown
            assert truths[folder.name]["dimensions"][dimension]["inferred"] == len(unknown)
            ahead[dimension] += len(unknown)
    assert all(ahead[dimension] for dimension in named)
    assert named["dim_member"] <= known["dim_member"] | set(unknown)


def test_claims_lie_within_coverage_as_known_in_the_end(latest):
    spans = defaultdict(list)
    for row in latest["enrollments"].values():
        spans[row["member_id"], row["plan_id"]].append(row)
    for row in latest["claims"].values():
        service = date.fromisoformat(row["service_date"])
        assert any(
            date.fromisoformat(s["start_date"]) <= service <= last_covered_day(s)
            for s in spans[row["member_id"], row["plan_id"]]
        )


def test_amounts_of_claims_are_consistent(folders, batches):
    for folder, batch in zip(folders, batches, strict=True):
        for row in batch["claims"]:
            billed, allowed, paid = (
                Decimal(row[c]) for c in ("claim_amount", "allowed_amount", "paid_amount")
            )
            assert 0 <= paid <= allowed <= billed
            assert billed > 0
            assert (row["charges"], row["allowed"]) == (row["claim_amount"], row["allowed_amount"])
            status = row["status"]
            assert (row["paid_date"] == "") == (status in ("pending", "denied"))
            if status in ("pending", "denied", "reversed"):
                assert paid == 0
            if status == "reversed":
                assert allowed == 0
            for column in ("service_date", "discharge_date", "paid_date", "clean_claim_out"):
                assert row[column] < folder.name


def test_most_denied_claims_show_what_would_have_been_allowed(batches):
    denied = [r for b in batches for r in b["claims"] if r["status"] == "denied"]
    shown = sum(Decimal(r["allowed_amount"]) > 0 for r in denied)
    assert shown / len(denied) == pytest.approx(0.6, abs=0.05)
    assert {Decimal(r["paid_amount"]) for r in denied} == {0}


def test_a_claim_denied_and_then_approved_is_paid_on_the_day_of_its_approval(folders, batches):
    before: dict[str, dict] = {}
    paid = 0
    for folder, batch in zip(folders, batches, strict=True):
        for row in batch["claims"]:
            if before.get(row["claim_id"], row)["status"] == "denied" != row["status"]:
                yesterday = date.fromisoformat(folder.name) - timedelta(days=1)
                assert (row["status"], row["paid_date"]) == ("approved", yesterday.isoformat())
                paid += Decimal(row["paid_amount"]) > 0
            before[row["claim_id"]] = row
    assert paid


def test_claims_have_the_expected_mix_of_statuses_and_kinds(batches):
    claims = batches[0]["claims"]
    share = {k: n / len(claims) for k, n in Counter(r["status"] for r in claims).items()}
    assert share["approved"] == pytest.approx(0.81, abs=0.02)
    assert share["denied"] == pytest.approx(0.14, abs=0.02)
    assert share["pending"] == pytest.approx(0.025, abs=0.015)
    assert share["adjusted"] == pytest.approx(0.025, abs=0.01)
    assert share["reversed"] == pytest.approx(0.01, abs=0.005)
    for row in claims:
        inpatient, pharmacy = (row["claim_type"] == k for k in ("Inpatient", "Pharmacy"))
        assert bool(row["ms_drg"]) == bool(row["admit_date"]) == inpatient
        assert bool(row["drug_name"]) == bool(row["channel"]) == pharmacy
        if inpatient:
            assert row["admit_date"] == row["service_date"] < row["discharge_date"]


def test_cost_sharing_variants_follow_the_law(latest):
    plans, members = latest["plans"], latest["members"]
    upper = {"06": Decimal("1.5"), "05": Decimal("2.0"), "04": Decimal("2.5")}
    lower = {"06": Decimal("1.0"), "05": Decimal("1.5"), "04": Decimal("2.0")}
    seen = Counter()
    for row in latest["enrollments"].values():
        variant = row["csr_variant"]
        seen[variant] += 1
        metal = plans[row["plan_id"], row["start_date"][:4]]["metal_tier"]
        income = Decimal(members[row["member_id"],]["fpl_ratio"])
        if variant in upper:
            assert metal == "Silver"
            assert lower[variant] <= income <= upper[variant]
        if metal == "Catastrophic":
            assert variant == "01"
            assert Decimal(row["aptc_amount"]) == 0
            birth = date.fromisoformat(members[row["member_id"],]["dob"])
            assert (date.fromisoformat(row["start_date"]) - birth).days < 30 * 365.25
    assert all(seen[v] for v in ("01", "04", "05", "06"))


def test_premium_and_credit_follow_the_law(latest):
    """Premium before credit is the plan's at 21 times its state's age curve (45 CFR 147.102)."""
    with (REFERENCE / "age_curve_federal_default.csv").open() as file:
        federal = {
            r["age"].rstrip("+"): Decimal(r["factor"])
            for r in csv.DictReader(file)
            if r["from_year"] == "2018"
        }
    with (REFERENCE / "age_curve_state.csv").open() as file:
        oregon = {
            r["age"]: Decimal(r["factor"]) for r in csv.DictReader(file) if r["state"] == "OR"
        }
    for row in latest["enrollments"].values():
        credit = Decimal(row["aptc_amount"])
        premium = Decimal(row["premium_paid"]) + credit
        assert 0 <= credit < premium
        birth = date.fromisoformat(latest["members"][row["member_id"],]["dob"])
        start = date.fromisoformat(row["start_date"])
        age = start.year - birth.year - ((start.month, start.day) < (birth.month, birth.day))
        base = Decimal(latest["plans"][row["plan_id"], row["start_date"][:4]]["monthly_premium"])
        factor = oregon if row["plan_id"][5:7] == "OR" else federal
        assert abs(premium - base * factor[str(min(age, 64))]) <= Decimal("0.01")


def test_coverage_spans_lie_within_a_year_and_never_overlap(latest):
    by_member = defaultdict(list)
    for row in latest["enrollments"].values():
        start, end = date.fromisoformat(row["start_date"]), last_covered_day(row)
        assert start <= end
        assert start.year == end.year
        assert start.day == 1 or row["enrollment_reason"] == "birth_or_adoption"
        by_member[row["member_id"]].append((start, end))
    assert by_member.keys() == {r["member_id"] for r in latest["members"].values()}
    for spans in by_member.values():
        spans.sort()
        assert all(a[1] < b[0] for a, b in pairwise(spans))


def test_members_are_consistent_with_themselves_and_their_plan(latest):
    with (REFERENCE / "zip_county_fips_2017.csv").open() as file:
        county = defaultdict(set)
        for row in csv.DictReader(file):
            county[row["ZIP"], row["STATE"]].add(row["COUNTYNAME"])
    by_year = defaultdict(dict)
    for row in latest["enrollments"].values():
        by_year[row["member_id"]][row["start_date"][:4]] = row
    for member in latest["members"].values():
        assert any(c.startswith(member["city"]) for c in county[member["zip"], member["state"]])
        assert member["region"].startswith(member["state"])
        assert member["year"] == max(by_year[member["member_id"]])
        span = by_year[member["member_id"]][member["year"]]
        plan = latest["plans"][span["plan_id"], member["year"]]
        assert member["hios_id"] == f"{span['plan_id']}-{span['csr_variant']}"
        assert member["plan_metal"] == plan["metal_tier"]
        assert span["plan_id"][5:7] == member["state"]
        assert member["phone"][-8:-2] == "555-01"
        assert member["email"].endswith(("@example.com", "@example.org"))


def test_age_groups_are_those_of_the_first_day_of_the_plan_year(latest):
    bands = ((17, "0-17"), (25, "18-25"), (34, "26-34"), (44, "35-44"), (54, "45-54"))
    bands += ((64, "55-64"), (200, "65+"))
    for member in latest["members"].values():
        birth = date.fromisoformat(member["dob"])
        age = max(int(member["year"]) - birth.year - ((birth.month, birth.day) > (1, 1)), 0)
        assert member["age_group"] == next(label for top, label in bands if age <= top)


def test_npis_have_their_check_digit_and_are_not_issued(latest):
    numbers = [row["npi"] for row in latest["providers"].values()]
    assert len(set(numbers)) == len(numbers)
    for number in numbers:
        assert len(number) == 10
        assert number[0] == "2"
        digits = [int(d) for d in "80840" + number]
        doubled = [2 * d if n % 2 else d for n, d in enumerate(reversed(digits))]
        assert sum(d // 10 + d % 10 for d in doubled) % 10 == 0


def test_plans_are_the_published_ones(latest):
    """A plan of a published year has the published name, metal and amounts."""
    with (REFERENCE / "plans_puf_2023_2025_common.csv").open(encoding="utf-8") as file:
        published = {(r["plan_id"], r["effective_year"]): r for r in csv.DictReader(file)}
    years = Counter(year for _, year in latest["plans"])
    assert years.keys() == {"2024", "2025", "2026"}
    assert all(200 <= n <= 400 for n in years.values())
    for (plan, year), row in latest["plans"].items():
        assert Decimal(row["deductible"]) <= Decimal(row["oop_max"])
        if year == "2025":
            real = published[plan, year]
            assert row["name"] == real["name"]
            assert row["metal_tier"] == real["metal_level"]
            assert Decimal(row["oop_max"]) == Decimal(real["oop_max"])
            share = Decimal(real["coinsurance_rate"].rstrip("%")) / 100
            assert Decimal(row["coinsurance_rate"]) == share


def test_increments_change_members_claims_and_enrollments(folders, batches):
    claims = {r["claim_id"]: r for r in batches[0]["claims"]}
    offices = {r["provider_id"]: r for r in batches[0]["providers"]}
    spans = {r["enrollment_id"]: r for r in batches[0]["enrollments"]}
    seen = Counter()
    for batch in batches[1:]:
        for row in batch["claims"]:
            before = claims.get(row["claim_id"])
            seen["new claim" if before is None else f"{before['status']} {row['status']}"] += 1
            if before:
                for column in ("member_id", "service_date", "claim_amount", "plan_id"):
                    assert before[column] == row[column]
            claims[row["claim_id"]] = row
        for row in batch["providers"]:
            seen["changed office" if row["provider_id"] in offices else "new office"] += 1
            seen["changed state"] += offices.get(row["provider_id"], row)["state"] != row["state"]
            offices[row["provider_id"]] = row
        for row in batch["enrollments"]:
            before = spans.get(row["enrollment_id"])
            if before:
                assert before["end_date"] == "" != row["end_date"]
                assert {**before, "end_date": ""} == {**row, "end_date": ""}
                seen["ended"] += 1
            spans[row["enrollment_id"]] = row
    for event in ("new claim", "changed office", "changed state", "new office", "ended"):
        assert seen[event], event
    assert seen["pending approved"] > seen["pending denied"] > 0
    transitions = {e for e in seen if e.split()[0] in ("pending", "approved", "denied")}
    assert transitions == {
        *("pending approved", "pending denied", "approved adjusted", "approved reversed"),
        "denied approved",
    }
    entered = {r["member_id"] for b in batches[1:] for r in b["members"]}
    entered -= {r["member_id"] for r in batches[0]["members"]}
    assert any(r["member_id"] in entered for b in batches for r in b["claims"])


def test_members_change_in_every_way_there_is(folders, batches, truths):
    """Each kind of change that a warehouse has to handle, as seen in the rows."""
    drivers = [c.name for c in CONTRACTS["members"].columns if c.driver]
    known: dict[str, dict] = {r["member_id"]: r for r in batches[0]["members"]}
    absent: set[str] = set()
    seen, changed = Counter(), Counter()
    for folder, batch in zip(folders[1:], batches[1:], strict=True):
        end = datetime.fromisoformat(f"{folder.name}T00:00:00+00:00")
        for row in batch["members"]:
            since = datetime.fromisoformat(row["source_updated_at"].replace("Z", "+00:00"))
            assert row["dob"] <= since.date().isoformat()
            assert since <= end
            before = known.get(row["member_id"])
            if before is None:
                seen["new"] += 1
            elif row["member_id"] in absent:
                seen["returned"] += 1
            elif before["source_updated_at"] > row["source_updated_at"]:
                seen["late"] += 1
            else:
                differing = [d for d in drivers if before[d] != row[d]]
                changed.update(differing)
                if before != row:
                    seen["changed" if differing else "type 1"] += 1
            absent.discard(row["member_id"])
            if before is None or before["source_updated_at"] <= row["source_updated_at"]:
                known[row["member_id"]] = row
        if folder.name.endswith("-01"):
            gone = known.keys() - absent - {r["member_id"] for r in batch["members"]}
            assert truths[folder.name]["keys"]["members"]["vanished"] == len(gone)
            absent |= gone
    assert absent
    for event in ("new", "returned", "late", "changed", "type 1"):
        assert seen[event], event
    for driver in (
        *("zip", "fpl_ratio", "broker_name", "last_name", "clinical_segment", "year"),
        "mutually_exclusive_hcc_condition",
    ):
        assert changed[driver], driver


def test_plan_year_rolls_over_on_january_first(folders, batches):
    january = next(b for f, b in zip(folders, batches, strict=True) if f.name == "2026-01-01")
    renewals = [
        r
        for r in january["enrollments"]
        if r["enrollment_reason"] == "renewal" and r["start_date"] == "2026-01-01"
    ]
    assert len(renewals) > MEMBERS // 3
    rows = {r["member_id"]: r for r in january["members"]}
    assert all(rows[r["member_id"]]["year"] == "2026" for r in renewals)


def test_next_catalog_is_published_when_open_enrollment_begins():
    """45 CFR 155.410(e): open enrollment of a plan year begins on November 1 of the year before."""
    span = Span(SEED, 50, 1, 2025)
    assert span.batch_day(321) == date(2026, 11, 1)
    world = World(span, span.batch_day(322))
    years = {0: list(world.published)}
    for n in range(1, 323):
        world.advance()
        years[n] = list(world.published)
    assert {n: of for n, of in years.items() if of} == {0: [2025, 2026], 321: [2027]}


def test_a_claim_is_pending_for_weeks_and_a_few_come_a_year_late(folders, latest):
    today = date.fromisoformat(folders[-1].name)
    ages = Counter()
    for row in latest["claims"].values():
        if row["status"] == "pending":
            age = (today - date.fromisoformat(row["service_date"])).days
            ages["a year late" if age > 360 else "fresh" if age <= 130 else "old"] += 1
    assert ages["fresh"] > 10 * ages["a year late"]
    assert ages["old"] == 0


def test_an_increment_depends_on_the_marker_and_the_day_alone(inbox, tmp_path):
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / ".synthetic.json").write_bytes((inbox / ".synthetic.json").read_bytes())
    (tmp_path / "inbox" / "2026-01-08").mkdir()
    folder = increment(tmp_path / "inbox")
    assert folder.name == "2026-01-09"
    assert fingerprint(folder) == fingerprint(inbox / "2026-01-09")
