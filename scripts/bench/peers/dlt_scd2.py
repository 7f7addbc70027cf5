"""dlt's merge strategy scd2: rows of a CSV, or Arrow tables that go to the server through ADBC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt
import pyarrow as pa
from dlt.destinations import postgres
from dlt.sources.filesystem import filesystem, read_csv
from dlt.sources.helpers.transform import add_row_hash_to_table
from pyarrow import csv
from step import Step, take

SCD2 = {"disposition": "merge", "strategy": "scd2"}
ROW_HASH = "row_hash"


def load(step: Step) -> str:
    """Run the pipeline: ``rows`` go as CSV by COPY, ``arrow`` as Parquet by ADBC."""
    pipeline = dlt.pipeline(
        "members",
        destination=postgres(credentials=step.url),
        dataset_name="dlt",
        pipelines_dir=str(step.folder / "pipelines"),
    )
    disposition = {**SCD2, "boundary_timestamp": step.as_of.isoformat()}
    if step.variant == "rows":
        files = filesystem(bucket_url=step.file.parent.as_uri(), file_glob=step.file.name)
        rows = (files | read_csv(dtype=str, keep_default_na=False)).with_name("members")
        rows.apply_hints(write_disposition=disposition)
        pipeline.run(rows, loader_file_format="csv").raise_on_failed_jobs()
    else:
        tables = dlt.resource(
            _tables(step),
            name="members",
            write_disposition={**disposition, "row_version_column_name": ROW_HASH},
        ).add_map(add_row_hash_to_table(ROW_HASH))
        pipeline.run(tables, loader_file_format="parquet").raise_on_failed_jobs()
    return "dlt.members"


def _tables(step: Step) -> Iterator[Any]:
    with csv.open_csv(
        step.file,
        read_options=csv.ReadOptions(block_size=16 << 20),
        convert_options=csv.ConvertOptions(column_types=_texts(step)),
    ) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])


def _texts(step: Step) -> dict[str, pa.DataType]:
    """Every column as text, so that blocks cannot differ in what they are taken for."""
    with step.file.open(encoding="utf-8") as file:
        return dict.fromkeys(file.readline().rstrip("\n").split(","), pa.string())


if __name__ == "__main__":
    take(load)
