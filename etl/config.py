"""The only reader of the environment. Everything else is handed a ``Settings``.

Values come from the process environment, then from ``.env`` at the root of the checkout. Every
variable read here is documented in ``.env.example``; a test compares the two. A secret ``NAME`` may
be in a file instead, which ``NAME_FILE`` names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, tzinfo
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values

from etl.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent
_MOST_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Who is alerted, and how.

    ``webhook``: an address that takes JSON. ``email``: addresses, reached by the mail server
    ``smtp_url``. ``repeat_hours``: after so long an alert is sent again while nobody has
    acknowledged it.
    """

    # Not in what a traceback or a log shows of the settings: they can contain a password.
    webhook: str = field(default="", repr=False)
    smtp_url: str = field(default="", repr=False)
    email: tuple[str, ...] = ()
    repeat_hours: float = 4


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """Where backups go, which are kept, and who can read them.

    ``folder``: none where DATA_DIR has them. ``daily``, ``weekly``, ``monthly``: of so many days,
    weeks and months the newest backup is kept. ``recipients``: public keys of age to which backups
    are encrypted; ``identity``: the file with a private one, for a restore. ``archive_log``: the
    server's log is kept, for a restore to a point in time.
    """

    folder: Path | None = None
    daily: int = 7
    weekly: int = 5
    monthly: int = 12
    recipients: tuple[str, ...] = ()
    identity: Path | None = None
    archive_log: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run needs to know of its surroundings.

    ``database_url``: libpq URL of the server to use; empty means the embedded server.
    ``inbox``: folder of batches; ``names_inbox``: it was named by a person, and so has to be there.
    ``data``: folder for everything that the warehouse keeps
    outside the database (embedded server, logs, archive, synthetic inbox and its truth); ignored
    by git.
    ``reject_share``: a file with a larger share of bad rows is refused whole (0 to 1).
    ``debug``: show tracebacks.
    ``allow_plaintext``: ``database_url`` may lead to another machine without a verified TLS
    connection.
    ``load_due``, ``load_zone``: by when the nightly load is to be done, on the clocks of a zone.
    ``alerts``: who is alerted. ``backup``: what becomes of backups. ``retry_minutes``: how long
    a run that something transient ends is tried again; 0: never. ``hold_after``: after so many
    refused files in a row of one sender and feed its later ones wait; 0: never. ``lock_minutes``,
    ``idle_minutes``: how long a run waits for another session's lock, and may do nothing within a
    transaction; 0: for ever. ``staging_folder``: has the archived staging of a database that is not
    live. ``cluster``: the cluster in ``data`` is used in place of the embedded server (``make
    cluster-up``); ``citus_programs``: the folder of its programs, none: the packaged ones.
    """

    # Not in what a traceback or a log shows of the settings: it can contain a password.
    database_url: str = field(repr=False)
    inbox: Path
    data: Path
    reject_share: float
    debug: bool = False
    names_inbox: bool = False
    allow_plaintext: bool = False
    load_due: time = time(6)
    load_zone: tzinfo = UTC
    alerts: AlertSettings = field(default_factory=AlertSettings)
    retry_minutes: float = 20
    hold_after: int = 3
    lock_minutes: float = 15
    idle_minutes: float = 60
    backup: BackupSettings = field(default_factory=BackupSettings)
    staging_folder: Path | None = None
    cluster: bool = False
    citus_programs: Path | None = None

    @property
    def is_embedded(self) -> bool:
        """Whether the embedded server is used: none is given, and no cluster is wanted."""
        return not self.database_url and not self.cluster

    @property
    def cluster_mark(self) -> Path:
        """There while somebody wants the cluster in place of the embedded server."""
        return self.data / "cluster" / "wanted"

    @property
    def backups(self) -> Path:
        """Where backups go; nobody but its owner may enter."""
        return self.backup.folder or self.data / "backups"

    @property
    def truth(self) -> Path:
        """Where the generator writes what each synthetic batch really contains."""
        return self.data / "truth"

    @property
    def archive(self) -> Path:
        """Where rows go whose retention is over; nobody but its owner may enter."""
        return self.data / "archive"

    @property
    def staging_archive(self) -> Path:
        """Where settled partitions of staging go; nobody but its owner may enter."""
        return self.staging_folder or self.data / "staging-archive"

    @property
    def exports(self) -> Path:
        """Where exports go for which nobody names a folder."""
        return self.data / "exports"

    @property
    def metrics_file(self) -> Path:
        """What Prometheus reads, by the textfile collector of its node exporter."""
        return self.data / "metrics" / "aca.prom"

    @property
    def health(self) -> Path:
        """What ``make health`` remembers while the database is down."""
        return self.data / "health"

    @property
    def log_file(self) -> Path:
        """Structured log of every run, one JSON object a line."""
        return self.data / "logs" / "etl.jsonl"


def _share(name: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"{name} is {text!r}, which is no share.", f"Set {name} between 0 and 1.")
    return share


def _minutes(name: str, text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0 <= minutes <= _MOST_MINUTES:
        raise UsageError(
            f"{name} is {text!r}, which is no number of minutes.",
            f"Set {name} between 0 and {_MOST_MINUTES:,} (a day).",
        )
    return minutes


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise UsageError(f"{name} is {text!r}, which is no count.", f"Set {name} to 0, 1, 2, ...")
    return int(text)


def _yes(name: str, text: str) -> bool:
    if text not in ("yes", "no"):
        raise UsageError(
            f"{name} is {text!r}, neither yes nor no.", f"Write {name}=yes, or leave it out."
        )
    return text == "yes"


def _hours(name: str, text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours <= 24 * 365:
        raise UsageError(
            f"{name} is {text!r}, which is no number of hours.", f"Set {name}=4, for example."
        )
    return hours


def _time(name: str, text: str) -> time:
    try:
        return datetime.strptime(text, "%H:%M").time()
    except ValueError:
        raise UsageError(
            f"{name} is {text!r}, which is no time of day.", f"Write {name}=06:00, for example."
        ) from None


def _zone(name: str, text: str) -> tzinfo:
    try:
        return ZoneInfo(text)
    # What is no zone's name may be a folder, or a path out of the folder of zones.
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"{name} is {text!r}, which is no time zone.",
            f"Write it as the IANA database does: {name}=America/New_York.",
        ) from None


def _alerts(read: Callable[[str, str], str]) -> AlertSettings:
    found = AlertSettings(
        webhook=_secret(read, "ALERT_WEBHOOK"),
        smtp_url=_secret(read, "SMTP_URL"),
        email=tuple(read("ALERT_EMAIL", "").replace(",", " ").split()),
        repeat_hours=_hours("ALERT_REPEAT_HOURS", read("ALERT_REPEAT_HOURS", "4")),
    )
    # What is wrong with an address is not repeated: it can contain a password.
    if not _leads_somewhere(found.webhook, ("http", "https")):
        raise UsageError(
            "ALERT_WEBHOOK is no address of a web server.", "Write it as https://host/path."
        )
    if not _leads_somewhere(found.smtp_url, ("smtp", "smtps")):
        raise UsageError(
            "SMTP_URL is no address of a mail server.",
            "Write it as smtps://user:password@host:port, special characters percent-encoded.",
        )
    if bool(found.email) != bool(found.smtp_url):
        raise UsageError(
            "Of ALERT_EMAIL and SMTP_URL only one is given.",
            "Name whom to write to and the mail server, or neither.",
        )
    return found


def _leads_somewhere(url: str, schemes: tuple[str, ...]) -> bool:
    """Whether an address has one of the schemes, a host and a port that can be; or is empty."""
    try:
        parts = urlsplit(url)
        return not url or (parts.scheme in schemes and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        return False


def _secret(read: Callable[[str, str], str], name: str) -> str:
    """A secret from the variable ``name`` or from the file that ``name_FILE`` names, else empty."""
    text, file = read(name, ""), read(f"{name}_FILE", "")
    if text and file:
        raise UsageError(
            f"Both {name} and {name}_FILE are given.",
            "Leave one of them empty, in the environment and in .env.",
        )
    return _file_secret(name, ROOT / file) if file else text


def _file_secret(name: str, file: Path) -> str:
    """The one line of a file that nobody but its owner may read.

    No message repeats what the file contains.
    """
    where = f"{name}_FILE names {file}, which"
    try:
        secret = _read_private(where, file).rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise UsageError(
            f"{where} cannot be read: {reason}.", "Name a file that you may read."
        ) from None
    if not secret.strip():
        raise UsageError(f"{where} is empty.", "Write the secret into it, on one line.")
    if secret.splitlines() != [secret] or "\0" in secret:
        raise UsageError(
            f"{where} contains more than one line of text.", "Write the secret on one line."
        )
    return secret


def _read_private(where: str, file: Path) -> str:
    # Without waiting: nobody may ever write to a named pipe.
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as opened:
        mode = os.fstat(opened.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise UsageError(f"{where} is no file.", "Name a file with the secret in it.")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(
                f"{where} other users may read or change (mode {mode & 0o777:04o}).",
                f"Take their rights away: chmod 600 {file}",
            )
        return opened.read()


def _kept(name: str, text: str) -> dict[str, int]:
    """How many backups are kept: ``7 daily, 5 weekly, 12 monthly``, or some of the three."""
    parts = [part.split() for part in text.split(",")]
    known = {"daily", "weekly", "monthly"}
    if not all(len(p) == 2 and p[0].isdecimal() and p[1] in known for p in parts):
        raise UsageError(
            f"{name} is {text!r}, which does not say how many backups are kept.",
            f"Write {name}='7 daily, 5 weekly, 12 monthly', or some of the three.",
        )
    return dict.fromkeys(known, 0) | {kind: int(count) for count, kind in parts}


def _backup(read: Callable[[str, str], str]) -> BackupSettings:
    folder, identity = read("BACKUP_DIR", ""), read("BACKUP_IDENTITY_FILE", "")
    return BackupSettings(
        folder=(ROOT / folder).resolve() if folder else None,
        recipients=tuple(read("BACKUP_RECIPIENTS", "").replace(",", " ").split()),
        identity=(ROOT / identity).resolve() if identity else None,
        archive_log=_yes("ARCHIVE_WAL", read("ARCHIVE_WAL", "no")),
        **_kept("BACKUP_KEEP", read("BACKUP_KEEP", "7 daily, 5 weekly, 12 monthly")),
    )


def _forget_other_servers() -> None:
    """Take the variables of libpq out of this process, and of programs that it starts.

    PGSERVICE, PGOPTIONS and the like are meant for another server than the embedded one: they
    would lead away from it, or change what a session on it does.
    """
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    values = {**dotenv_values(ROOT / ".env"), **os.environ}

    def read(name: str, default: str) -> str:
        return (values.get(name) or "").strip() or default

    data = (ROOT / read("DATA_DIR", "data")).resolve()
    database_url = _secret(read, "DATABASE_URL")
    if not database_url:
        _forget_other_servers()
    programs = read("CITUS_PROGRAMS", "")
    found = Settings(
        database_url=database_url,
        inbox=(ROOT / read("INBOX", str(data / "inbox"))).resolve(),
        data=data,
        reject_share=_share("REJECT_SHARE", read("REJECT_SHARE", "0.05")),
        names_inbox=bool(read("INBOX", "")),
        debug=read("DEBUG", "0").lower() in ("1", "true", "yes", "on"),
        allow_plaintext=_yes("ALLOW_PLAINTEXT", read("ALLOW_PLAINTEXT", "no")),
        load_due=_time("LOAD_DUE", read("LOAD_DUE", "06:00")),
        load_zone=_zone("LOAD_ZONE", read("LOAD_ZONE", "UTC")),
        alerts=_alerts(read),
        backup=_backup(read),
        hold_after=_count("HOLD_AFTER", read("HOLD_AFTER", "3")),
        lock_minutes=_minutes("LOCK_MINUTES", read("LOCK_MINUTES", "15")),
        idle_minutes=_minutes("IDLE_MINUTES", read("IDLE_MINUTES", "60")),
        retry_minutes=_minutes("RETRY_MINUTES", read("RETRY_MINUTES", "20")),
        citus_programs=(ROOT / programs).resolve() if programs else None,
    )
    return replace(found, cluster=not database_url and found.cluster_mark.exists())
