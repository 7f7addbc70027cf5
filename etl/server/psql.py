"""psql on the warehouse: the packaged one, or for TLS, which that cannot speak, one on the path."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.db.connection import connect
from etl.errors import ServerError
from etl.server.home import packaged_programs

# The oldest psql that is taken: older ones are no longer kept safe by their makers.
OLDEST = 14
_VERSION = re.compile(rb"\) (\d+(?:\.\d+)?)")
# What libpq says of a mode of TLS if it was built without.
_WITHOUT_TLS = b"not compiled in"
_PROBE_SECONDS = 20


def become(program: str, url: str, arguments: Sequence[str], start: Path | None = None) -> NoReturn:
    """Go on as this psql on the database of a URL, with these arguments.

    ``start``: what it reads before its first prompt, in place of the user's own file.
    """
    address, environment = without_secrets(url)
    if start is not None:
        environment["PSQLRC"] = str(start)
    os.execve(program, [program, address, *arguments], environment)


def program_at_a_terminal(url: str) -> str:
    """A psql to type into: the packaged one can neither complete names nor recall lines.

    So the first one on the path that is new enough comes before it.
    """
    found = next(_new_enough(), None)
    # Over TLS not every psql will do.
    return program_for(url, "psql") if found is None or _is_encrypted(url) else found


def own_start(program: str) -> Path | None:
    """The file that psql would read before its first prompt of itself: the user's own, if any."""
    named = os.environ.get("PSQLRC")
    base = Path(named).expanduser() if named else Path.home() / ".psqlrc"
    found = _VERSION.search(_said(program, "--version"))
    version = found[1].decode() if found else ""
    # As psql looks for it: that of its version, that of its major version, that of all.
    names = (f"{base}-{version}", f"{base}-{version.partition('.')[0]}", str(base))
    return next((Path(name).absolute() for name in names if os.access(name, os.R_OK)), None)


def program_for(url: str, name: str) -> str:
    """The program of PostgreSQL of this name that can reach the server of a URL.

    Raises ``ServerError`` where the server speaks TLS and there is none that does.
    """
    with connect(url, f"aca-warehouse {name}") as session:
        is_encrypted = bool(session.pgconn.ssl_in_use)
        major = session.info.server_version // 10_000
    if not is_encrypted:
        return str(packaged_programs() / name)
    return program_with_tls() if name == "psql" else _of_major(name, major)


def _of_major(name: str, major: int) -> str:
    """The first program of this name next to a psql that speaks TLS, of the server's version.

    An older pg_dump refuses the server, and what a later one writes the packaged pg_restore may not
    be able to read.
    """
    for program in _with_tls():
        sibling = Path(program).with_name(name)
        if sibling.exists() and _major_of(str(sibling)) == major:
            return str(sibling)
    raise ServerError(
        f"The connection to the server is encrypted with TLS, which the packaged {name} cannot "
        f"speak, and there is no {name} of version {major} on the path that can.",
        f"Install PostgreSQL's client programs of version {major}, such as with apt-get install "
        f"postgresql-client-{major} or dnf install postgresql{major}, and put their folder bin on "
        "the path.",
    )


def _is_encrypted(url: str) -> bool:
    with connect(url, "aca-warehouse psql") as session:
        return bool(session.pgconn.ssl_in_use)


def without_secrets(url: str) -> tuple[str, dict[str, str]]:
    """An address without its secrets, and an environment with them, for a program of PostgreSQL.

    Everybody on the machine can read a program's arguments; its environment is its own. What no
    variable can carry, such as the password of a key, psql asks for.
    """
    address = conninfo_to_dict(url)
    environment = dict(os.environ)
    for option in pq.Conninfo.get_defaults():
        # How libpq marks what is not to be shown: secrets, and what is for its own developers.
        is_secret = option.dispchar in (b"*", b"D")
        value = address.pop(option.keyword.decode(), None) if is_secret else None
        if value and option.envvar:
            environment[option.envvar.decode()] = str(value)
    return make_conninfo("", **address), environment


def program_with_tls() -> str:
    """The first psql on the path that is new enough and speaks TLS."""
    for program in _with_tls():
        return program
    raise ServerError(
        "The connection to the server is encrypted with TLS, which the packaged psql cannot "
        f"speak, and there is no psql of version {OLDEST} or later on the path that can.",
        "Install one: apt-get install postgresql-client, dnf install postgresql, or brew install "
        "libpq and put its folder bin on the path.",
    )


def _with_tls() -> Iterator[str]:
    """Each of them that speaks TLS."""
    for program in _new_enough():
        # There is no server in such a folder; whether it could speak TLS it says before it looks.
        nowhere = make_conninfo("", host="/nonexistent", sslmode="require")
        if _WITHOUT_TLS not in _said(program, "--no-password", "--no-psqlrc", nowhere):
            yield program


def _new_enough() -> Iterator[str]:
    """Each psql on the path that is new enough, in the order of the path."""
    return (program for program in _on_path() if _major_of(program) >= OLDEST)


def _major_of(program: str) -> int:
    """The major version of a program of PostgreSQL; 0 if it does not say."""
    found = _VERSION.search(_said(program, "--version"))
    return int(found[1].partition(b".")[0]) if found else 0


def _on_path() -> Iterator[str]:
    for folder in os.get_exec_path():
        if program := shutil.which("psql", path=folder or os.curdir):
            yield str(Path(program).absolute())


def _without_libpq(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which libpq goes nowhere but where it is sent."""
    return {name: text for name, text in environment.items() if not name.startswith("PG")}


def _said(program: str, *arguments: str) -> bytes:
    """What a program says, in English; nothing if it cannot be run."""
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**_without_libpq(os.environ), "LC_ALL": "C"},
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout
