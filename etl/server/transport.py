"""Where an address leads, and whether others could read or answer in between.

An address is read by libpq alone, with all that it takes into account: URL or ``key=value`` pairs,
several hosts, ``hostaddr``, a service, variables such as PGHOST and PGSSLMODE.
"""

from __future__ import annotations

import ipaddress
from itertools import zip_longest

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from etl.errors import UsageError

# The only mode in which libpq checks that it speaks to the server that was named: verify-ca takes
# any certificate of the authority, require takes any at all, prefer goes on without TLS.
VERIFIED = "verify-full"
# Valid for no option, so that libpq stops once it has put an address together.
_STOP = ("target_session_attrs", "?")


def require_verified(address: str) -> None:
    """Raise ``UsageError`` if an address leads to another machine without verified TLS.

    Nothing is opened for it.
    """
    parts = resolve(address)
    elsewhere = other_machines(parts)
    if elsewhere and parts.get("sslmode") != VERIFIED:
        raise UsageError(
            f"DATABASE_URL leads to another machine, {', '.join(elsewhere)}, with "
            f"sslmode={parts.get('sslmode', '')}: others on the way could read the data or answer "
            "in the server's place.",
            f"Add sslmode={VERIFIED} and sslrootcert=, the file of the authority that signed the "
            "server's certificate; for a server on this machine write localhost or 127.0.0.1. "
            "ALLOW_PLAINTEXT=yes connects anyway.",
        )


def resolve(address: str) -> dict[str, str]:
    """The options that libpq would connect with, those of a service and the environment included.

    libpq reads them all before it opens anything, and checks them: it is given one that cannot be.
    Raises ``psycopg.Error`` as connecting would where another one is wrong.
    """
    name, value = _STOP
    attempt = pq.PGconn.connect_start(make_conninfo(address, **{name: value}).encode())
    try:
        said = attempt.error_message.decode(errors="replace")
        if name not in said:
            raise psycopg.OperationalError(f"connection failed: {said}")
        found = {o.keyword.decode(): o.val.decode() for o in attempt.info if o.val}
    finally:
        attempt.finish()
    return {key: text for key, text in found.items() if key != name}


def other_machines(parts: dict[str, str]) -> list[str]:
    """The hosts that are not known to be this machine.

    A name is never looked up: where it leads now need not be where it leads libpq.
    """
    names = parts.get("host", "").split(",")
    numbers = parts.get("hostaddr", "").split(",")
    # A number is where a connection goes, whatever the name next to it.
    hosts = [number or name for name, number in zip_longest(names, numbers, fillvalue="")]
    return [host for host in hosts if not _is_here(host)]


def _is_here(host: str) -> bool:
    # Without a host it is the socket; a name that begins so is one.
    if not host or host.startswith(("/", "@")) or host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
