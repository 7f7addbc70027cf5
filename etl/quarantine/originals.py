"""The rows of a loaded file as its sender wrote them, read from the inbox once more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from etl.contracts.refusals import Refusal
from etl.errors import BatchError
from etl.inbox.batch import FeedFile, look_through
from etl.quarantine.store import File
from etl.stages.stage import rejects


def records_of(inbox: Path, file: File, lines: set[int]) -> Mapping[int, bytes]:
    """The records on lines of a file that is in the inbox as it was when it was loaded.

    Raises ``BatchError`` if it is not.
    """
    found = _found(inbox, file)
    if found is None:
        raise BatchError(
            Refusal.CORRECTED_FILE_GONE,
            f"A corrected row of {file.file_name} of batch {file.batch_id} replaces one "
            "that is loaded, whose text only the file has, and it is no longer in the inbox as "
            "it was.",
            "Put that file back and replay again; nothing was changed.",
        )
    return dict(rejects.records_on(found, lines, file.head.contract))


def _found(inbox: Path, file: File) -> FeedFile | None:
    batches, _ = look_through(inbox)
    # Another batch may have the same file.
    for batch in sorted(batches, key=lambda b: b.batch_id != file.batch_id):
        for found in batch.files:
            if found.feed.name == file.feed_name and found.checksum() == file.xxh3_128.hex:
                return found
    return None
