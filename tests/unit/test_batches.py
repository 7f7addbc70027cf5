"""In which order batches are loaded."""

from __future__ import annotations

from pathlib import Path

from etl.inbox.batch import find_batches, in_arrival_order, look_through
from tests.support.feeds import write_batch

PLANS = [{"plan_id": "P"}]
MEMBERS = [{"member_id": "A"}]


def arrival_order(inbox: Path, known: list[tuple[int, str, str]]) -> list[tuple[str, list[str]]]:
    order = in_arrival_order(find_batches(inbox), known)
    return [(batch.batch_id, [f.feed.name for f in files]) for _, batch, files in order]


def test_batches_are_ordered_by_as_of(tmp_path: Path) -> None:
    write_batch(tmp_path, "2025-01-02", members=MEMBERS, plans=PLANS)
    write_batch(tmp_path, "2025-01-01", plans=PLANS)
    assert arrival_order(tmp_path, []) == [
        ("2025-01-01", ["plans"]),
        ("2025-01-02", ["members", "plans"]),
    ]


def test_loaded_files_come_first_in_the_order_of_their_loads(tmp_path: Path) -> None:
    for day in ("01", "02", "03", "04"):
        write_batch(tmp_path, f"2025-01-{day}", members=MEMBERS, plans=PLANS)
    known = [
        (5, "2025-01-03", "members"),
        (5, "2025-01-03", "plans"),
        (6, "2025-01-01", "plans"),
        (7, "2025-01-02", "plans"),  # its members came later
        (8, "gone", "plans"),
        (9, "2025-01-02", "members"),
        (10, "2025-01-01", "plans"),  # the same once more
    ]
    assert arrival_order(tmp_path, known) == [
        ("2025-01-03", ["members", "plans"]),
        ("2025-01-01", ["plans"]),
        ("2025-01-02", ["plans"]),
        ("2025-01-02", ["members"]),
        ("2025-01-01", ["members"]),
        ("2025-01-04", ["members", "plans"]),
    ]


def test_two_folders_of_one_batch_are_refused(tmp_path: Path) -> None:
    for folder, feeds in (("a", {"plans": PLANS}), ("b", {"plans": PLANS, "members": MEMBERS})):
        write_batch(tmp_path, folder, {"batch_id": "one", "as_of": "2025-01-01"}, **feeds)
    write_batch(tmp_path, "2025-01-02", plans=PLANS)
    batches, refused = look_through(tmp_path)
    assert [batch.batch_id for batch in batches] == ["2025-01-02"]
    assert [error.message for error in refused] == [
        "The folders a, b all say that they are the batch one."
    ]
