"""Declarations of senders that cannot be meant are refused where they are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from etl.contracts import senders, value
from etl.contracts.column import Between, Breach, Matches, OneOf
from etl.contracts.feeds.claim_diagnoses import claim_diagnoses
from etl.contracts.feeds.claims import claims
from etl.contracts.feeds.members import members
from etl.contracts.file_form import FileForm
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.value import of

WORDS: dict[str, Callable[[], object]] = {
    "a word is no text": lambda: of("SEX").map({1: "M"}),  # type: ignore[dict-item]
    "our word is no text": lambda: of("SEX").map({"1": 2}),  # type: ignore[dict-item]
    "others is none of its words": lambda: of("A").map({"1": "M"}, others="x"),  # type: ignore[arg-type]
    "both words are one": lambda: of("A").yes_no("Y", "Y"),
    "a field without a name": lambda: of(""),
    "a field that is a number": lambda: of(3),  # type: ignore[arg-type]
    "a place that is a text": lambda: of("A").part("1"),  # type: ignore[arg-type]
    "half a character": lambda: of("A").part(1.5),  # type: ignore[arg-type]
    "a century of two digits": lambda: of("A").date("MMDDYY", century_from=30),
    "no day": lambda: of("A").runs_on_from("2070-13-01"),
    "a day that is a number": lambda: of("A").runs_on_from(2070),  # type: ignore[arg-type]
    "times nothing": lambda: of("A").scale("0"),
    "times no number": lambda: of("A").scale("nan"),
    "times a float": lambda: of("A").scale(0.1),  # type: ignore[arg-type]
    "times a word": lambda: of("A").scale("abc"),
    "added up twice": lambda: value.total("A", "A"),
    "a separator that is a number": lambda: value.join("A", "B", separator=3),  # type: ignore[arg-type]
    "a constant of nothing": lambda: value.constant(" "),
    "a value of the manifest without a name": lambda: value.manifest(""),
    "a condition on a number": lambda: value.where("A", 1),  # type: ignore[arg-type]
    "names without a number": lambda: value.numbered("DX", 3),
    "a list of no words": lambda: OneOf(()),
    "a range from above to below": lambda: Between(5, 1),
    "a pattern that is none": lambda: Matches("("),
    "an encoding of bytes": lambda: Parsing(encoding="base64"),
    "a digit as a mark": lambda: Parsing(decimal="5"),
    "a sign as a mark": lambda: Parsing(thousands="-"),
    "a text instead of texts": lambda: Parsing(currency="$"),  # type: ignore[arg-type]
    "a currency of a digit": lambda: Parsing(currency=("1",)),
    "a text instead of null words": lambda: Parsing(null_words="NA"),  # type: ignore[arg-type]
    "quotes that say neither": lambda: Parsing(empty_quotes="x"),  # type: ignore[arg-type]
    "a text instead of a truth": lambda: Parsing(percent="yes"),  # type: ignore[arg-type]
    "names that are one text": lambda: FileForm(names="abc"),  # type: ignore[arg-type]
    "half a line": lambda: FileForm(after=2.5),  # type: ignore[arg-type]
    "a member and a sheet": lambda: FileForm(member="*.csv", sheet="x"),
}


@pytest.mark.parametrize("word", WORDS)
def test_word_that_cannot_be_meant_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        WORDS[word]()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"columns": {"gender": "SEX"}},
            "gender in columns is 'SEX', where a value such as of(\"A\")",
        ),
        ({"columns": {"gender": of("S").map({"1": "Q"})}}, "gender is given 'Q', and is one of"),
        ({"columns": {"gender": of("S").yes_no("Y", "N")}}, "gender is given 'true'"),
        ({"columns": {"dob": value.constant("2020-02-30")}}, "which is no date"),
        ({"columns": {"fpl_ratio": value.constant("x")}}, "which is no ratio"),
        ({"columns": {"member_id": value.constant("x")}}, "the same in each row"),
        ({"files": "*.csv"}, "files is '*.csv', where a tuple"),
        ({"files": ("*.csv",)}, "no pattern of this sender's files"),
        ({"files": ("a/b.csv",)}, "no pattern of this sender's files"),
        ({"where": ("A",)}, "where is 'A'"),
        ({"form": "csv"}, "form is 'csv', where FileForm(...) is meant"),
        ({"parsing": {}}, "parsing is {}, where Parsing(...) is meant"),
        ({"checks": {"gender": 3}}, "gender in checks is 3"),
        ({"checks": {"gender": Between(0, 1)}}, "gender is no number"),
        ({"on_breach": {"gender": "REJECT"}}, "gender in on_breach is 'REJECT'"),
        ({"reject_share": 2.0}, "reject_share is 0 to 1"),
        ({"reject_share": float("nan")}, "reject_share is 0 to 1"),
        ({"freshness_days": -1}, "freshness_days is 1 or more"),
        ({"volume": (1, 5)}, "where Volume(...) or None is meant"),
        ({"sends_more": "no"}, "where True or False is meant"),
        ({"name": "A b"}, "'A b' is no name"),
        ({"feed": "members"}, "feed is 'members'"),
    ],
)
def test_contract_that_cannot_be_meant_says_where_and_what(said, message) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        SenderContract(**{"name": "county", "feed": members, "description": "x", **said})
    assert message in str(refused.value)


def test_forms_of_a_sender_are_those_of_its_constants() -> None:
    parsing = Parsing(date_order="dmy")
    made = {"service_date": value.constant("31.12.2024")}
    SenderContract("county", claims, "x", columns=made, parsing=parsing)
    check = {"gender": OneOf(("Q",))}
    word = {"gender": of("S").map({"1": "Q"})}
    SenderContract("county", members, "x", columns=word, checks=check)
    position = {"position": value.constant("1")}
    SenderContract("county", claim_diagnoses, "x", columns=position)
    assert Breach.WARN is SenderContract("county", members, "x").breach("gender")


MODULE = """from etl.contracts.feeds.members import members
from etl.contracts.sender import SenderContract
from etl.contracts.value import of

county = SenderContract(
    name="wrong_county",
    feed=members,
    description="x",
    columns={
        "member_id": of("Person"),
        "gender": {word},
    },
)
"""


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ('of("S").part("1")', "(line 11, gender): first is '1', where a whole number is meant."),
        ("exit(3)", "(line 11, gender): 3."),
    ],
)
def test_fault_of_a_module_names_file_line_and_column(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str, message: str
) -> None:
    (tmp_path / "wrong_county.py").write_text(MODULE.replace("{word}", word))
    faults: list[str] = []
    monkeypatch.setattr(senders, "FAULTS", faults)
    monkeypatch.setattr(senders, "_FOLDER", tmp_path)
    monkeypatch.setattr(senders, "__path__", [str(tmp_path)])
    monkeypatch.delitem(__import__("sys").modules, "etl.contracts.senders.wrong_county", False)
    senders._declare("wrong_county")
    assert faults == [
        f"The contract in etl/contracts/senders/wrong_county.py cannot be used {message[:-1]}"
    ]
