"""Archives of backups are unpacked whole, and never outside of their folder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from etl.errors import RestoreError
from etl.operations.backup.encryption import pack, unpack


def test_unpacked_folder_has_the_bytes_of_the_packed_one(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "file").write_bytes(b"a\0b")
    (folder / "below" / "empty").write_bytes(b"")
    pack(folder, tmp_path / "archive.tar.gz")
    unpack(tmp_path / "archive.tar.gz", tmp_path / "again")
    found = {p.relative_to(tmp_path / "again"): p for p in (tmp_path / "again").rglob("*")}
    assert {str(name) for name in found} == {"file", "below", "below/empty"}
    assert found[Path("file")].read_bytes() == b"a\0b"


@pytest.mark.parametrize("name", ["../outside", "/outside", "below/../../outside", "link"])
def test_entry_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        entry = tarfile.TarInfo(name)
        if name == "link":
            entry.type, entry.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(entry, io.BytesIO())
    with pytest.raises(RestoreError, match="entry that no backup has"):
        unpack(archive, tmp_path / "again")
    assert not (tmp_path / "outside").exists()
    assert list((tmp_path / "again").iterdir()) == []
