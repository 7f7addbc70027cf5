"""Lines and diagnoses of the synthetic claims, read with csv: sets that agree with the claim."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from decimal import Decimal
from statistics import mean

import numpy as np
import pytest

from etl.config import ROOT
from etl.synthetic.core.rng import Dice, mixed
from etl.synthetic.generate import generate, simulate
from etl.synthetic.world.details import shares
from tests.support.feed_reader import Row, read

AMOUNTS = {
    "claim_amount": "line_billed",
    "allowed_amount": "line_allowed",
    "paid_amount": "line_paid",
}
DETAILS = ("claim_lines", "claim_diagnoses")
INSTITUTIONAL = ("Inpatient", "Outpatient")
Sets = dict[str, list[Row]]


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[Row]]]:
    inbox = tmp_path_factory.mktemp("details") / "inbox"
    folders = [generate(inbox, members=700, years=2, seed=8), *simulate(inbox, 12)]
    return [read(folder) for folder in folders]


def by_claim(rows: list[Row]) -> Sets:
    sets: Sets = defaultdict(list)
    for row in rows:
        sets[row["claim_id"]].append(row)
    return sets


def test_every_claim_of_a_batch_has_its_lines_and_they_add_up_to_it(batches):
    for batch in batches:
        lines = by_claim(batch["claim_lines"])
        assert lines.keys() == {row["claim_id"] for row in batch["claims"]}
        for claim in batch["claims"]:
            of_claim = lines[claim["claim_id"]]
            numbers = [int(line["line_number"]) for line in of_claim]
            assert numbers == [*range(1, len(numbers) + 1)]
            assert len(numbers) <= 12
            for amount, part in AMOUNTS.items():
                assert sum(Decimal(line[part]) for line in of_claim) == Decimal(claim[amount])
            assert of_claim[0]["procedure_code"] == claim["procedure_code"]
            for line in of_claim:
                assert 0 <= Decimal(line["line_paid"]) <= Decimal(line["line_allowed"])
                assert Decimal(line["line_allowed"]) <= Decimal(line["line_billed"])
                assert line["service_date"] == claim["service_date"] <= line["line_from"]
                last = claim["discharge_date"] or claim["service_date"]
                assert line["line_from"] <= line["line_to"] <= last


def test_every_claim_has_distinct_diagnoses_and_the_first_is_its_own(batches):
    for batch in batches:
        diagnoses = by_claim(batch["claim_diagnoses"])
        assert diagnoses.keys() == {row["claim_id"] for row in batch["claims"]}
        for claim in batch["claims"]:
            of_claim = diagnoses[claim["claim_id"]]
            assert [int(d["position"]) for d in of_claim] == [*range(1, len(of_claim) + 1)]
            codes = [d["diagnosis_code"] for d in of_claim]
            assert codes[0] == claim["diagnosis_code"]
            assert len(set(codes)) == len(codes) <= 12
            stay = claim["claim_type"] == "Inpatient"
            assert all(bool(d["present_on_admission"]) == stay for d in of_claim)


def test_a_claim_that_comes_again_has_the_same_lines_and_diagnoses(batches):
    known: dict[str, dict[str, list]] = {"claim_lines": {}, "claim_diagnoses": {}}
    again = 0
    for batch in batches:
        for feed, before in known.items():
            for claim_id, rows in by_claim(batch[feed]).items():
                lasting = [
                    {k: v for k, v in row.items() if k not in AMOUNTS.values()} for row in rows
                ]
                again += claim_id in before
                assert before.setdefault(claim_id, lasting) == lasting
    assert again > 100


def test_lines_are_as_many_and_of_the_codes_that_their_claims_call_for(batches):
    claims, lines = batches[0]["claims"], by_claim(batches[0]["claim_lines"])
    assert mean(map(len, lines.values())) == pytest.approx(2.5, abs=0.2)
    with (ROOT / "etl/reference/hcpcs_level2_2019.csv").open(encoding="utf-8") as file:
        listed = {row["code"] for row in csv.DictReader(file)}
    seen: Counter[str] = Counter()
    for claim in claims:
        kind = claim["claim_type"]
        for line in lines[claim["claim_id"]]:
            code, is_drug = line["procedure_code"], kind == "Pharmacy"
            assert code in listed or re.fullmatch(r"Z\d{4}", code)
            assert bool(line["revenue_code"]) == (kind in INSTITUTIONAL)
            assert bool(line["place_of_service"]) == (kind not in INSTITUTIONAL)
            if is_drug:
                assert re.fullmatch(r"99998\d{6}", line["ndc"])
                assert len(lines[claim["claim_id"]]) == 1
            elif line["ndc"]:
                assert re.fullmatch(r"99997\d{6}", line["ndc"])
                assert code[0] in "JQ"
            seen.update({column: bool(line[column]) for column in ("modifier", "ndc")})
            seen["administered"] += bool(line["ndc"]) and not is_drug
    assert all(seen[name] for name in ("modifier", "ndc", "administered"))


def test_diagnoses_come_back_on_the_claims_of_the_chronically_ill(batches):
    condition = {
        r["member_id"]: r["mutually_exclusive_hcc_condition"] for r in batches[0]["members"]
    }
    diagnoses = by_claim(batches[0]["claim_diagnoses"])
    others: dict[str, list[set[str]]] = defaultdict(list)
    for claim in batches[0]["claims"]:
        if claim["claim_type"] != "Pharmacy":
            codes = {d["diagnosis_code"] for d in diagnoses[claim["claim_id"]]}
            others[claim["member_id"]].append(codes)

    def recurring(is_ill: bool) -> float:
        """Share of the claims that have their member's commonest diagnosis, of those with six."""
        found = []
        for member, sets in others.items():
            if len(sets) >= 6 and (condition[member] != "None") == is_ill:
                (_, most), *_ = Counter(code for codes in sets for code in codes).most_common(1)
                found.append(most / len(sets))
        return mean(found)

    assert recurring(True) > 0.6
    assert recurring(False) < 0.45


def test_a_set_that_waits_comes_whole_in_the_next_batch(tmp_path):
    """Of each batch with such sets; the batch after them need not have any of its own."""
    first = generate(tmp_path / "inbox", members=300, years=1, seed=8, dirty="late_set,0.2")
    folders = [first, *simulate(tmp_path / "inbox", 3, dirty="late_set,0.5")]
    folders += simulate(tmp_path / "inbox", 2)
    plain = [generate(tmp_path / "plain" / "inbox", members=300, years=1, seed=8)]
    plain += simulate(tmp_path / "plain" / "inbox", 5)
    waiting: dict[str, set[str]] = {feed: set() for feed in DETAILS}
    came = Counter()
    for folder, without in zip(folders, plain, strict=True):
        batch, clean = read(folder), read(without)
        assert batch["claims"] == clean["claims"]
        truth = json.loads((tmp_path / "truth" / f"{folder.name}.json").read_text())
        for feed, before in waiting.items():
            claims, sets = {r["claim_id"] for r in batch["claims"]}, by_claim(batch[feed])
            late = sets.keys() - claims
            # All that waited, but for those whose claim comes again.
            assert late == before - claims
            came[feed] += len(late)
            assert all(rows == clean_sets for rows, clean_sets in same(sets, clean, feed))
            defects = truth["files"].get(f"{feed}.csv", {}).get("defects", [])
            lines = [n for n, row in enumerate(batch[feed], 2) if starts_late(row, late)]
            assert [d["line"] for d in defects] == lines
            waiting[feed] = claims - sets.keys()
    assert waiting == {feed: set() for feed in DETAILS}
    assert came["claim_lines"] == came["claim_diagnoses"] > 30


def same(sets: Sets, clean: dict[str, list[Row]], feed: str) -> list[tuple[list[Row], list[Row]]]:
    """The sets of a batch that come with their claim, next to those of the batch without dirt."""
    others = by_claim(clean[feed])
    return [(rows, others[claim]) for claim, rows in sets.items() if claim in others]


def starts_late(row: Row, late: set[str]) -> bool:
    number = row.get("line_number") or row["position"]
    return number == "1" and row["claim_id"] in late


def test_shares_add_up_and_stay_within_the_amount_above_them():
    dice, claims = Dice(5, "shares"), 400
    count = 1 + dice("count", claims) % 12
    claim = np.repeat(np.arange(claims), count)
    billed = dice("billed", claims) % 1_300_000_000
    allowed = np.minimum(dice("allowed", claims) % 400_000_000, billed)
    allowed[:50], allowed[50:100], allowed[100:150] = 0, billed[50:100], billed[100:150] - 1
    parts = shares(billed, 1 + dice("weight", len(claim)) % 2_000_000, claim)
    of_allowed = shares(allowed, parts, claim)
    assert (np.bincount(claim, parts).astype(np.int64) == billed).all()
    assert (np.bincount(claim, of_allowed).astype(np.int64) == allowed).all()
    assert ((of_allowed >= 0) & (of_allowed <= parts)).all()


def test_draws_that_follow_from_one_are_spread_and_apart():
    point = Dice(3, "mixed")("draw", 50_000)
    draws = [mixed(point, number) for number in range(4)]
    for draw in draws:
        assert draw.min() >= 0
        assert draw.max() < 1 << 32
        assert np.bincount(draw >> 29).min() > 0.9 * len(point) / 8
    for one in range(4):
        for other in range(one):
            assert abs(np.corrcoef(draws[one], draws[other])[0, 1]) < 0.02
