"""Another database becomes that of the embedded server; a crash leaves one of the two there.

Two renames make the exchange, and a note says that it has begun. Whoever looks next completes it.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from etl.files.checksums import sync
from etl.server.home import Home, write_private

_NOTE = "exchange"


def begin(home: Home, new: Path) -> Path | None:
    """Let the database in ``new``, a folder below ``base``, be the server's.

    The server has to be stopped, and the caller has its lock. Where the one before it is kept;
    none if there was none.
    """
    kept = home.base / f"kept-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    write_private(home.base / _NOTE, f"{kept.name}\n{new.relative_to(home.base)}\n")
    complete(home)
    return kept if kept.exists() else None


def complete(home: Home) -> None:
    """Complete an exchange that has begun, if one has."""
    note = home.base / _NOTE
    if not note.exists():
        return
    kept, new = (home.base / name for name in note.read_text().splitlines())
    if new.exists():
        if home.cluster.exists():
            home.cluster.rename(kept)
        new.rename(home.cluster)
    sync(home.base)
    note.unlink()


def kept(home: Home) -> list[Path]:
    """The databases that others took the places of, the oldest first."""
    return sorted(home.base.glob("kept-*"))


def forget(home: Home) -> list[Path]:
    """Delete the databases that others took the places of."""
    found = kept(home)
    for folder in found:
        shutil.rmtree(folder)
    return found
