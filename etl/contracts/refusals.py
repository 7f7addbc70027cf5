"""Why batches, files and loads come to nothing: the fixed list of codes that the ledger keeps.

A sentence says what happened in one case; the code is what queries and scripts compare.
docs/runbooks/a-batch-was-refused.md says for each what to do.
"""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """Why a batch, a file or a load came to nothing."""

    # The inbox and its folders, before any file is read.
    UNREADABLE_INBOX = "unreadable_inbox"
    EMPTY_INBOX = "empty_inbox"
    FILE_OUTSIDE_BATCHES = "file_outside_batches"
    UNREADABLE_FOLDER = "unreadable_folder"
    LINK_OUT_OF_INBOX = "link_out_of_inbox"
    BAD_BATCH_NAME = "bad_batch_name"
    REPEATED_BATCH_ID = "repeated_batch_id"
    NO_DATE = "no_date"
    FUTURE_BATCH = "future_batch"
    BAD_MANIFEST = "bad_manifest"
    UNEXPECTED_FILE = "unexpected_file"
    REPEATED_FILE = "repeated_file"
    MISSING_FILE = "missing_file"
    # One file.
    UNREADABLE_FILE = "unreadable_file"
    CHANGED_FILE = "changed_file"
    NOT_CSV = "not_csv"
    WRONG_HEADER = "wrong_header"
    CUT_SHORT = "cut_short"
    TOO_LARGE = "too_large"
    CHECKSUM_DIFFERS = "checksum_differs"
    ROWS_DIFFER = "rows_differ"
    TOTALS_DIFFER = "totals_differ"
    CONTRACT_BROKEN = "contract_broken"
    CONTRACT_GONE = "contract_gone"
    TOO_MANY_REJECTED = "too_many_rejected"
    READER_FAULT = "reader_fault"
    # What a load would do to the warehouse.
    SNAPSHOT_ENDS_TOO_MANY = "snapshot_ends_too_many"
    LATE_BEFORE_SNAPSHOT = "late_before_snapshot"
    LOADED_FILES_GONE = "loaded_files_gone"
    CORRECTED_FILE_GONE = "corrected_file_gone"
    CANNOT_PASS_STAGE = "cannot_pass_stage"
    CUBES_CANNOT_FOLLOW = "cubes_cannot_follow"
    GATE_FAILED = "gate_failed"
    BATCHES_NOT_LOADED = "batches_not_loaded"
    # What ended a run, whatever it was loading.
    INTERRUPTED = "interrupted"
    REBUILD_NOT_LIVE = "rebuild_not_live"
    SERVER_TROUBLE = "server_trouble"
    UNFORESEEN = "unforeseen"
