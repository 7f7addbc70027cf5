"""A first line that is no header may be a person's row: nothing of it is said."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.errors import BatchError
from etl.inbox import header
from etl.inbox.batch import Batch, read_batch

# Some are nearly names of columns, as a person's name may be.
_VALUES = ("Nate", "Stacey", "Zippo", "Quentin Doe", "1964-03-04", "(830) 555-0191", "Q0001234")
# Of the patients of Synthea, whose contract says that there are more columns.
PATIENTS = ("Id", "BIRTHDATE", "DEATHDATE", "FIRST", "LAST", "GENDER", "ADDRESS", "CITY", "STATE")


def sent(inbox: str, feed: Feed, first_line: str) -> Batch:
    folder = Path(inbox) / "2025-01-10"
    folder.mkdir()
    (folder / f"{feed.name}.csv").write_text(f"{first_line}\n", encoding="utf-8")
    return read_batch(folder)


def required(feed: Feed) -> list[str]:
    return [column.name for column in feed.columns if column.required]


def refused(feed: Feed, first_line: str) -> str:
    with TemporaryDirectory() as inbox:
        batch = sent(inbox, feed, first_line)
        [file] = batch.files
        with pytest.raises(BatchError) as error:
            header.read(batch, file, file.blocks)
    return error.value.message


@given(st.sampled_from([*FEEDS.values()]), st.lists(st.sampled_from(_VALUES), min_size=1))
def test_a_row_in_place_of_the_header_is_not_quoted(feed: Feed, values: list[str]) -> None:
    said = refused(feed, ",".join(values))
    assert f"names none of the columns of {feed.name}" in said
    assert not [value for value in _VALUES if value.lower() in said.lower()]


@given(st.sampled_from([*FEEDS.values()]), st.lists(st.sampled_from(_VALUES), min_size=8))
def test_of_rows_on_the_line_of_the_header_no_value_is_quoted(
    feed: Feed, values: list[str]
) -> None:
    """What a file looks like whose line ends were lost on the way."""
    said = refused(feed, ",".join([*required(feed), *values]))
    assert "has the same name for its columns" in said
    assert not [value for value in _VALUES if value.lower() in said.lower()]


@given(st.sampled_from([*FEEDS.values()]), st.permutations(_VALUES))
def test_of_one_row_on_the_line_of_the_header_nothing_is_noted(
    feed: Feed, values: list[str]
) -> None:
    with TemporaryDirectory() as inbox:
        batch = sent(inbox, feed, ",".join([*required(feed), *values]))
        [file] = batch.files
        found, _ = header.read(batch, file, file.blocks)
    noted = repr(header.drift(found, batch.as_of, None)).lower()
    assert f"ignored {len(values)} unknown columns" in noted
    kept = found.names_to_keep
    assert kept[: -len(values)] == required(feed)
    assert not [v for v in _VALUES if v.lower() in f"{noted} {kept}".lower()]
    # By what the ledger keeps, fields are read as they were.
    again = header.of_names(feed, None, kept)
    assert (again.targets, len(set(again.names))) == (found.targets, len(found.names))


def test_of_a_sender_whose_files_have_more_columns_nothing_is_noted_either(tmp_path: Path) -> None:
    names = [*PATIENTS, "ZIP", "Nate", "1964-03-04"]
    folder = tmp_path / "2025-01-10"
    folder.mkdir()
    (folder / "patients.csv").write_text(",".join(names) + "\n", encoding="utf-8")
    batch = read_batch(folder)
    [file] = batch.files
    found, _ = header.read(batch, file, file.blocks)
    noted = repr((header.drift(found, batch.as_of, None), found.names_to_keep)).lower()
    assert "patients" in found.contract.name
    assert not [value for value in ("nate", "1964") if value in noted]


def test_names_that_are_no_values_are_kept_though_nobody_knows_them() -> None:
    feed = FEEDS["plans"]
    with TemporaryDirectory() as inbox:
        batch = sent(inbox, feed, ",".join([*required(feed), "Region Code", "note_2"]))
        [file] = batch.files
        found, _ = header.read(batch, file, file.blocks)
    assert found.names_to_keep == [*required(feed), "region code", "note_2"]


def test_a_header_with_other_names_says_what_they_may_mean() -> None:
    plans = FEEDS["plans"]
    said = refused(plans, ",".join(name.replace("_", " ").title() for name in required(plans)))
    assert "plan_id (the file has 'plan id')" in said
    assert "names the column 'plan_id' more than once" in refused(plans, "plan_id,plan_id")
