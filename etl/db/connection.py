"""Connections to the warehouse's database, with the session settings that every one of them has.

Whatever libpq takes for an address is one here: a URL, ``key=value`` pairs, several hosts, a
service, a password file. It is handed to libpq as it is, and never read by another library.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.db import refusal, trouble
from etl.db.statements import run
from etl.errors import ServerError

# How every session of ours calls itself, with what it does behind it.
PREFIX = "aca-warehouse"


@dataclass(slots=True)
class Limits:
    """How long sessions wait; what settings say of it counts for those opened afterwards.

    ``lock_seconds``: for another session's lock (``etl.pipeline.waiting`` says whose), and
    ``idle_seconds``: for us within a transaction. 0: for ever.
    """

    lock_seconds: float = 15 * 60
    idle_seconds: float = 60 * 60


LIMITS = Limits()

# Values are read the same on every machine: instants without an offset are UTC, and a date such
# as 01/02/2025, which could mean two days, is refused rather than guessed at.
_SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "iso_8601",
    # A backend whose client was killed in the middle of a statement gives up within a second,
    # so that the next run finds no transaction of a dead one in its way.
    "client_connection_check_interval": "500ms",
    # Settings of a role or database are meant for people at a screen and not for a load.
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    # Alembic keeps its mark where the path leads, and we look for it here.
    "search_path": "public",
    # Rows that COPY skips arrive as notices.
    "client_min_messages": "notice",
    # Compiling a statement takes longer than it saves, most of all where catalogs are asked.
    "jit": "off",
}
# A session that was closed counts until its process has ended, so a full house is asked again.
_FULL_HOUSE = "53300"
FULL_SECONDS = 2.0
_SCHEMES = ("postgresql://", "postgres://")


def connect(url: str, application: str, *, autocommit: bool = True) -> psycopg.Connection[Any]:
    """Open a connection named ``application``; ``ServerError`` where there is none to be had.

    ``url``: an address as libpq takes it. Settings that it has itself (``options``) apply where
    ours do not say otherwise.
    """
    deadline = time.monotonic() + FULL_SECONDS
    while True:
        try:
            return psycopg.connect(
                url,
                autocommit=autocommit,
                application_name=application,
                options=session_options(url),
                # Files are sent as UTF-8, whatever PGCLIENTENCODING or the address says.
                client_encoding="utf8",
                connect_timeout=15,
                # Where the other end is gone without a word, that is noticed after two minutes.
                keepalives_idle=60,
                keepalives_interval=15,
                keepalives_count=4,
            )
        except psycopg.OperationalError as error:
            # The first line says what happened, the rest guesses why.
            reason = str(error).strip().splitlines()[0]
            state = trouble.state_of(error) or refusal.state_of_refusal(url)
            if state != _FULL_HOUSE or time.monotonic() > deadline:
                raise ServerError(
                    f"The database cannot be reached: {reason}",
                    "See that the server runs (make status); if DATABASE_URL is set, that it "
                    "is right.",
                    sqlstate=state,
                ) from error
        time.sleep(0.05)


def session_options(address: str) -> str:
    """The settings of a session, as libpq's ``options``: those of the address, then ours."""
    settings = {
        **_SESSION,
        "lock_timeout": f"{LIMITS.lock_seconds * 1000:.0f}",
        # A run that is stuck must not keep its locks, and old rows, from everybody else.
        "idle_in_transaction_session_timeout": f"{LIMITS.idle_seconds * 1000:.0f}",
    }
    return _options(address, settings)


def with_settings(address: str, settings: Mapping[str, str]) -> str:
    """The URL of an address whose sessions have these settings too."""
    return as_url(make_conninfo(address, options=_options(address, settings)))


def _options(address: str, settings: Mapping[str, str]) -> str:
    """What libpq gets as ``options``: those of an address, and after them these settings."""
    given = str(conninfo_to_dict(address).get("options") or "")
    more = (f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items())
    return " ".join((given, *more)).strip()


def is_url(address: str) -> bool:
    """Whether an address is a URL and not ``key=value`` pairs."""
    return address.startswith(_SCHEMES)


def as_url(address: str) -> str:
    """The URL that means the same to libpq as an address of either form."""
    if is_url(address):
        return address
    parts = {name: str(value) for name, value in conninfo_to_dict(address).items()}
    where = ""
    # Several hosts, each with its port, have no place but the query.
    if "host" in parts and "," not in parts["host"]:
        where = ":".join(
            quote(parts.pop(name), safe="") for name in ("host", "port") if name in parts
        )
    password = f":{quote(parts.pop('password'), safe='')}" if "password" in parts else ""
    login = f"{quote(parts.pop('user', ''), safe='')}{password}"
    database = quote(parts.pop("dbname", ""), safe="")
    query = urlencode(parts, quote_via=quote)
    return "".join(
        (
            "postgresql://",
            f"{login}@" if login else "",
            f"{where}/{database}",
            f"?{query}" if query else "",
        )
    )


@contextmanager
def reading(
    connection: psycopg.Connection[Any], schemas: Sequence[str] = (), state: str | None = None
) -> Iterator[None]:
    """A transaction that sees one state of the database and in which nothing can be written.

    ``schemas``: where unqualified table names are looked for, if not where the session does.
    ``state``: the one that another such transaction sees and gave out (``db/session.give_out``).
    """
    with connection.transaction():
        run(connection, "db/session.one_state")
        if state is not None:
            run(connection, "db/session.same_state", given_out=sql.Literal(state))
        run(connection, "db/session.change_nothing")
        if schemas:
            set_search_path(connection, schemas)
        yield


def set_search_path(
    connection: psycopg.Connection[Any], schemas: Sequence[str], *, is_local: bool = True
) -> None:
    """Resolve unqualified table names in these schemas; see ``set_config``."""
    set_config(connection, "search_path", ", ".join(schemas), is_local=is_local)


def set_config(
    connection: psycopg.Connection[Any], name: str, value: str, *, is_local: bool = True
) -> None:
    """Change a setting until the transaction ends, or the session if it is not local."""
    values = {"name": name, "value": value, "is_local": is_local}
    run(connection, "db/session.set_config", values)
