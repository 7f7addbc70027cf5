"""What may lie in an inbox: pipes, links, folders that cannot be read, hostile manifests."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.contracts import senders
from etl.errors import AcaError, BatchError, UsageError, is_printable, one_line
from etl.inbox.batch import look_through, read_batch, strays
from etl.inbox.folder import feed_and_part, part_key
from tests.support.feeds import write_batch

PLANS = [{"plan_id": "P"}]
NOBODY = 65534


@contextmanager
def inbox_with_permissions() -> Iterator[Path]:
    """An inbox whose permissions count for this process: root, who ignores them, becomes nobody."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        is_root = os.geteuid() == 0
        try:
            yield Path(name)
        finally:
            if is_root:
                os.seteuid(0)


def become_nobody() -> None:
    if os.geteuid() == 0:
        os.seteuid(NOBODY)


def test_a_folder_without_permission_stops_no_other_batch() -> None:
    with inbox_with_permissions() as inbox:
        write_batch(inbox, "2025-01-10", plans=PLANS)
        write_batch(inbox, "2025-01-11", plans=PLANS).chmod(0o700 if os.geteuid() == 0 else 0)
        write_batch(inbox, "2025-01-12", plans=PLANS)
        become_nobody()
        batches, refused = look_through(inbox)
        assert [batch.batch_id for batch in batches] == ["2025-01-10", "2025-01-12"]
        assert [e.message for e in refused] == [
            "Batch 2025-01-11 cannot be read: Permission denied."
        ]
        if os.geteuid() != NOBODY:
            (inbox / "2025-01-11").chmod(0o700)


def test_unreadable_inbox_is_refused_with_one_sentence() -> None:
    with inbox_with_permissions() as inbox:
        inbox.chmod(0o700 if os.geteuid() == 0 else 0)
        become_nobody()
        with pytest.raises(BatchError, match=r"The inbox .* cannot be read: Permission denied"):
            look_through(inbox)
        if os.geteuid() != NOBODY:
            inbox.chmod(0o700)


def odd_things(folder: Path) -> Iterator[tuple[str, str]]:
    """Put things that are no files under the names of feeds; each with what is said of it."""
    os.mkfifo(folder / "members.csv")
    yield "members.csv", "a named pipe"
    (folder / "claims.csv").symlink_to(folder / "nothing")
    yield "claims.csv", "a link that leads nowhere"
    (folder / "providers.csv").symlink_to("/dev/zero")
    yield "providers.csv", "a link that leads out of the inbox"
    (folder / "enrollments.csv").symlink_to(folder / "enrollments.csv")
    yield "enrollments.csv", "a link that leads nowhere"
    (folder / "plans.csv.gz").mkdir()
    yield "plans.csv.gz", "a folder"
    os.mkfifo(folder / "manifest.json")
    yield "manifest.json", "a named pipe"


def test_pipes_devices_and_links_are_refused_by_name_without_waiting(tmp_path: Path) -> None:
    for number, (name, said) in enumerate(odd_things(write_batch(tmp_path, "2025-01-10"))):
        with pytest.raises(BatchError) as error:
            read_batch(tmp_path / "2025-01-10")
        assert f"{name}, which is {said}" in error.value.message or number >= 3
        assert error.value.message.startswith("Batch 2025-01-10 contains ")


def test_a_link_within_the_inbox_is_followed(tmp_path: Path) -> None:
    folder = write_batch(tmp_path, "2025-01-10", plans=PLANS)
    (folder / "plans.csv").rename(tmp_path / ".kept")
    (folder / "plans.csv").symlink_to(tmp_path / ".kept")
    [batch], refused = look_through(tmp_path)
    assert refused == []
    assert b"".join(batch.files[0].blocks()).startswith(b"plan_id")


def test_folder_links_that_lead_out_of_the_inbox_are_refused(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    outside = write_batch(tmp_path, "outside", {"as_of": "2025-01-10"}, plans=PLANS)
    inbox.mkdir()
    (inbox / "2025-01-10").symlink_to(outside)
    batches, refused = look_through(inbox)
    assert batches == []
    assert "a link that leads out of the inbox" in refused[0].message


def test_files_directly_in_the_inbox_are_named(tmp_path: Path) -> None:
    write_batch(tmp_path, "2025-01-10", plans=PLANS)
    assert strays(tmp_path) is None
    (tmp_path / "README.md").touch()
    (tmp_path / ".DS_Store").touch()
    assert strays(tmp_path) is None
    (tmp_path / "claims.csv").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "2025-01-11").symlink_to(tmp_path / "gone")
    (tmp_path / "2025-01-12").symlink_to(tmp_path / "2025-01-12")
    error = strays(tmp_path)
    assert error is not None
    assert (
        "2025-01-11, a link that leads nowhere; 2025-01-12, a link that leads nowhere; "
        "claims.csv; pipe, a named pipe"
    ) in error.message


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("[" * 100_000, "nested deeper than 8 levels"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested deeper than 8 levels"),
        ('{"files": []}', "'files' is not a JSON object"),
        ('{"files": false}', "'files' is not a JSON object"),
        ('{"as_of": %s}' % ("9" * 101), "a number of 101 digits is none that a manifest has"),
        (" " * (1 << 20) + "{}", "larger than 1,024 kB"),
        ('{"batch_id": "a\\u0000b"}', "a name that cannot be used"),
        ('{"batch_id": "a\\ud800b"}', "a name that cannot be used"),
        ('{"batch_id": {"id": 1}}', "batch_id is not a text"),
        ('{"batch_id": "%s"}' % ("x" * 201), "a name that cannot be used"),
        ('{"files": {"plans.csv": {"rows": 1e3}}}', "which is no count"),
        ('{"files": {"plans.csv": {"rows": true}}}', "which is no count"),
        ('{"files": {"plans.csv": {"rows": %s}}}' % ("9" * 5000), "not readable as JSON"),
        ('{"files": {"plans.csv": {"totals": {"x": "1"}}}}', "have x, which is no amount"),
        ('{"files": {"plans.csv": {"totals": {"x": "sNaN"}}}}', "are not amounts"),
        ('{"files": {"plans.csv": {"totals": {"x": NaN}}}}', "NaN is no number"),
        ('{"files": {"plans.csv": {"totals": {"x": 1e999999}}}}', "are not amounts"),
        ('{"files": {"plans.csv": {"kind": ["delta"]}}}', "neither delta nor snapshot"),
        ('{"files": {"plans.csv": {"xxh3_128": "abc"}}}', "not 32 hexadecimal digits"),
        ('{"files": {"plans.csv": {}, "PLANS.CSV": {}}}', "names PLANS.CSV twice"),
        ('{"as_of": "2025-01-10", "as_of": "2025-01-11"}', "the key as_of comes twice"),
        ('{"as_of": 20250110}', "no ISO instant"),
        ('{"as_of": "2025-01-10\\u001b[2J"}', "no ISO instant"),
        ('{"files": ["plans.csv"]}', "is not a JSON object"),
        ('"plans.csv"', "is not a JSON object"),
        (b"\xff\xfe{\0}\0", "not UTF-8 text"),
    ],
)
def test_hostile_manifest_is_refused(tmp_path: Path, manifest: str | bytes, said: str) -> None:
    folder = write_batch(tmp_path, "2025-01-10", plans=PLANS)
    data = manifest if isinstance(manifest, bytes) else manifest.encode()
    (folder / "manifest.json").write_bytes(data)
    with pytest.raises(BatchError) as error:
        read_batch(folder)
    assert said in error.value.message
    assert is_printable(error.value.message)
    assert len(error.value.message) < 400


def test_manifest_with_very_many_totals_is_read_quickly(tmp_path: Path) -> None:
    folder = write_batch(tmp_path, "2025-01-10", plans=PLANS)
    totals = {f"t{n}": "1" for n in range(60_000)}
    (folder / "manifest.json").write_text(json.dumps({"files": {"plans.csv": {"totals": totals}}}))
    started = time.process_time()
    with pytest.raises(BatchError, match="which is no amount"):
        read_batch(folder)
    assert time.process_time() - started < 2


def test_a_name_that_no_database_can_store_is_refused(tmp_path: Path) -> None:
    write_batch(tmp_path, os.fsdecode(b"2025-01-10 \xff"), plans=PLANS)
    write_batch(tmp_path, "2025-01-11 \x1b[31m", plans=PLANS)
    batches, refused = look_through(tmp_path)
    assert batches == []
    assert all("a name that cannot be used" in error.message for error in refused)
    assert all(is_printable(error.message) for error in refused)


@given(st.text())
def test_shown_text_contains_no_terminal_escapes(text: str) -> None:
    error = AcaError(text, text)
    for said in (error.message, error.hint, str(error)):
        assert is_printable(said.replace("\n", ""))
        said.encode()
    assert is_printable(one_line(text))


@pytest.mark.parametrize(
    ("name", "feed_part"),
    [
        ("claims.csv", ("claims", "")),
        ("CLAIMS.CSV.GZ", ("claims", "")),
        ("Claims_1.csv", ("claims", "1")),
        ("claims-part3.csv.gz", ("claims", "part3")),
        ("claims FL.csv", ("claims", "fl")),
        ("claims_2025-01-10.csv", ("claims", "2025-01-10")),
        ("claims.csv.zip", ("claims", "")),
        ("claims_1.csv.zip", ("claims", "1")),
        ("claims.zip", ("claims", "")),
        ("Claims 2.XLSX", ("claims", "2")),
        ("claims.csv.xlsx", ("claims", "csv")),
        ("claims.xls", None),
        ("claims.xlsm", None),
        ("claims (1).csv", None),
        ("claims1.csv", None),
        ("claims.txt", None),
        ("myclaims.csv", None),
        ("clai\u017fms.csv", None),
    ],
)
def test_file_name_gives_feed_and_part(name: str, feed_part: tuple[str, str] | None) -> None:
    assert feed_and_part(name) == feed_part


def test_parts_are_read_in_numeric_order() -> None:
    parts = ["10", "", "2", "part 1", "01"]
    assert sorted(parts, key=part_key) == ["", "01", "2", "10", "part 1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "sender = SenderContract('x', plans, '', columns={'no': of('a')})",
            "(line 3)",
        ),
        ("sender = SenderContract(nmae='x')", "nmae"),
        ("sender = (", "was never closed"),
        ("raise KeyError('no')", "(line 3)"),
        ("sender = SenderContract('cms_plan_attributes', plans, '')", "which another contract has"),
    ],
)
def test_unusable_contract_is_refused_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, said: str
) -> None:
    head = (
        "from etl.contracts.sender import SenderContract\n"
        "from etl.contracts.feeds.plans import plans\n"
    )
    (tmp_path / "ours.py").write_text(head + text + "\n")
    monkeypatch.setattr(senders, "_FOLDER", tmp_path)
    monkeypatch.setattr(senders, "__path__", [str(tmp_path)])
    monkeypatch.setattr(senders, "FAULTS", [])
    monkeypatch.delitem(__import__("sys").modules, "etl.contracts.senders.ours", raising=False)
    senders._declare("ours")
    with pytest.raises(UsageError, match=r"contract in etl/contracts/senders/ours\.py") as error:
        senders.ensure_sound()
    assert said in error.value.message
