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
from etl.inbox.batch import read_batch

# Some are nearly names of columns, as a person's name may be.
_VALUES = ("Nate", "Stacey", "Zippo", "Quentin Doe", "1964-03-04", "(830) 555-0191", "Q0001234")


def refused(feed: Feed, first_line: str) -> str:
    with TemporaryDirectory() as inbox:
        folder = Path(inbox) / "2025-01-10"
        folder.mkdir()
        (folder / f"{feed.name}.csv").write_text(f"{first_line}\n", encoding="utf-8")
        batch = read_batch(folder)
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
    columns = [column.name for column in feed.columns if column.required]
    said = refused(feed, ",".join([*columns, *values]))
    assert "has the same name for its columns" in said
    assert not [value for value in _VALUES if value.lower() in said.lower()]


def test_a_header_with_other_names_is_told_what_they_may_mean() -> None:
    plans = FEEDS["plans"]
    names = [column.name for column in plans.columns if column.required]
    said = refused(plans, ",".join(name.replace("_", " ").title() for name in names))
    assert "plan_id (the file has 'plan id')" in said
    assert "names the column 'plan_id' more than once" in refused(plans, "plan_id,plan_id")
