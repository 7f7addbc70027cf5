"""What whoever starts or stops a server of ours takes: its lock, and errors as sentences."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from etl.db import trouble
from etl.errors import ServerError
from etl.server import cluster
from etl.server.home import open_private


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Take the lock of a server's folder; the system releases it if the process is killed."""
    state.mkdir(parents=True, exist_ok=True)
    # The server's own user has to pass through, and nobody has to look around.
    state.chmod(0o711 if os.geteuid() == 0 else 0o700)
    with open(state / "lock", "w", opener=open_private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def plain_errors(data: Path, what: str = "embedded server") -> Iterator[None]:
    """Say in a sentence what the file system or the server refused.

    ``data``: DATA_DIR. ``what``: how messages call the server.
    """
    try:
        yield
    except psycopg.Error as error:
        reason = cluster.reason_of(error)
        raise ServerError(
            f"The {what} refuses its work: {reason}", sqlstate=trouble.state_of(error)
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise cluster.disk_full(data) from error
        raise ServerError(
            f"The {what} cannot use {error.filename or data}: {error.strerror}.",
            "Run make as the user that owns the data folder, or set DATA_DIR to a folder of yours.",
        ) from error
