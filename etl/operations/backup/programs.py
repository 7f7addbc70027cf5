"""Programs of PostgreSQL that make, check and combine backups, and read its log."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from etl.errors import RestoreError, ServerError
from etl.server.home import packaged_programs
from etl.server.psql import program_for, without_secrets

# What pg_waldump says of the end of a transaction: its number, or for one that was prepared the
# number after that word.
_COMMIT = re.compile(rb"tx: +(\d+),.* desc: COMMIT ")
_COMMIT_PREPARED = re.compile(rb" desc: COMMIT_PREPARED (\d+)")
_LAST_WORDS = 300


class ProgramError(Exception):
    """A program did not do its work; its last words, which name no row."""


def base_backup(url: str, folder: Path, parent_manifest: Path | None) -> None:
    """Copy the server's files into a folder, as ``base.tar.gz`` and ``pg_wal.tar.gz``.

    ``parent_manifest``: only blocks that changed since the backup with this manifest.
    """
    options = ["--format=tar", "--wal-method=stream", "--compress=client-gzip:1"]
    options += ["--checkpoint=fast", "--manifest-checksums=SHA256", f"--pgdata={folder}"]
    if parent_manifest is not None:
        options.append(f"--incremental={parent_manifest}")
    _on_server(url, "pg_basebackup", *options)


def dump(url: str, folder: Path, snapshot: str) -> None:
    """Dump a database in the state of a snapshot into a folder, and its server's roles next to it.

    The roles are without passwords.
    """
    _on_server(url, "pg_dump", "--format=directory", f"--file={folder}", f"--snapshot={snapshot}")


def dump_roles(url: str, file: Path) -> None:
    """Write the server's roles to a file, without their passwords."""
    _on_server(url, "pg_dumpall", "--roles-only", "--no-role-passwords", f"--file={file}")


def run_script(url: str, file: Path) -> None:
    """Run a file of statements, each by itself: one that fails does not stop the others."""
    _on_server(url, "psql", "--no-psqlrc", "--quiet", f"--file={file}")


def restore_dump(url: str, folder: Path) -> None:
    """Fill an empty database from a dump; all of it or nothing."""
    _on_server(url, "pg_restore", "--exit-on-error", "--single-transaction", str(folder))


def verify_backup(folder: Path) -> None:
    """Compare every file of a base backup, plain or in archives, with its manifest."""
    _run("pg_verifybackup", "--no-parse-wal", "--exit-on-error", str(folder))


def combine(folders: Sequence[Path], into: Path) -> None:
    """Make a whole database of a full backup and the incremental ones after it, in this order.

    Files are moved rather than copied where that can be: the backups are of no use after it.
    """
    _run("pg_combinebackup", "--link", f"--output={into}", *map(str, folders))


def commits(folder: Path, timeline: int, start: str, end: str) -> Iterator[int]:
    """Numbers of the transactions whose end a piece of the log has, modulo 2**32.

    ``ProgramError`` where the folder does not have all of that piece.
    """
    where = [f"--path={folder}", f"--timeline={timeline}", f"--start={start}", f"--end={end}"]
    said = _run("pg_waldump", "--rmgr=Transaction", *where)
    for pattern in (_COMMIT, _COMMIT_PREPARED):
        yield from map(int, pattern.findall(said))


def _on_server(url: str, program: str, *arguments: str) -> None:
    address, environment = without_secrets(url)
    found = program_for(url, program)
    _run(found, f"--dbname={address}", "--no-password", *arguments, environment=environment)


def _run(program: str, *arguments: str, environment: dict[str, str] | None = None) -> bytes:
    # A name alone is that of a packaged program.
    command = [str(packaged_programs() / program), *arguments]
    # What it says is read below, in English; packaged programs speak nothing else.
    language = environment and {**environment, "LC_ALL": "C"}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, env=language, check=False
    )
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        telling = [line for line in lines if "error:" in line] or lines
        raise ProgramError(telling[0].rpartition("error: ")[2].rstrip(".")[:_LAST_WORDS])
    return done.stdout


def as_server_error(what: str, error: ProgramError) -> ServerError:
    """The error for a person while a backup is made."""
    return ServerError(
        f"{what}: {error}.",
        "Nothing was changed, and backups that are there are as they were. If the disk is full, "
        "free some space; then run make backup again.",
    )


def as_restore_error(what: str, error: ProgramError) -> RestoreError:
    """The error for a person while a backup is restored."""
    return RestoreError(
        f"{what}: {error}.", "Restore another one (make backups lists them); nothing was changed."
    )
