"""Which addresses lead to another machine without verified TLS, in every form that libpq reads."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import psycopg
import pytest

from etl.config import Settings
from etl.errors import ServerError, UsageError
from etl.server import cluster, server, transport
from etl.server.home import locate
from etl.server.transport import require_verified

CA = "sslrootcert=/nowhere/ca.crt"
SECRET = "hunter" + "2"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing that libpq would take from its environment; a service file of the test's own."""
    for name in ("HOST", "HOSTADDR", "SSLMODE", "SSLROOTCERT", "SERVICE", "REQUIRESSL"):
        monkeypatch.delenv(f"PG{name}", raising=False)
    services = tmp_path / "services.conf"
    services.write_text(
        "[here]\nhost=localhost\n"
        "[away]\nhost=db.example\nsslmode=require\n"
        "[hidden]\nhost=localhost\nhostaddr=192.0.2.1\n"
        f"[safe]\nhost=db.example\nsslmode=verify-full\n{CA}\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(services))


HERE = [
    "",
    "dbname=warehouse",
    "host=localhost",
    "host=LocalHost",
    "postgresql://u@l%6Fcalhost/warehouse",
    "host=127.0.0.1",
    "host=127.8.9.10 sslmode=disable",
    "host=::1",
    "postgresql://u@[::1]:5432/warehouse",
    "host=/var/run/postgresql",
    "postgresql://u@%2Fvar%2Frun%2Fpostgresql/warehouse",
    "postgresql:///warehouse?host=/var/run/postgresql",
    "host=@warehouse",
    "host=localhost,127.0.0.1,::1",
    "host=db.example hostaddr=127.0.0.1",
    "host=db.example,localhost hostaddr=127.0.0.1,",
    "service=here",
]
VERIFIED = [
    f"host=db.example sslmode=verify-full {CA}",
    "host=db.example sslrootcert=system",
    "postgresql://u@db.example/warehouse?sslmode=verify-full&sslrootcert=%2Fnowhere",
    "postgresql://u@db.example/warehouse?sslmode=disable&sslmode=verify-full",
    "postgresql://u@db.example/warehouse?sslmode=%76erify-full",
    "host=localhost,db.example sslmode=verify-full",
    "service=safe",
    "service=away sslmode=verify-full",
]
ELSEWHERE = [
    "host=db.example",
    *(f"host=db.example sslmode={m}" for m in ("disable", "allow", "prefer", "require")),
    f"host=db.example sslmode=verify-ca {CA}",
    "host=192.0.2.1",
    "postgresql://u@[2001:db8::1]/warehouse?sslmode=require",
    "postgresql://u@db.example/warehouse?ssl=true",
    "postgresql://u@db.example/warehouse?sslmode=verify-full&sslmode=require",
    "host=db.example sslmode=verify-full sslmode=disable",
    "host=localhost host=db.example",
    "host=localhost,db.example",
    "postgresql://localhost,db.example/warehouse",
    "postgresql://u@localhost/warehouse?host=db.example",
    "postgresql://u@%64b.example/warehouse",
    "host=localhost hostaddr=192.0.2.1",
    "hostaddr=192.0.2.1",
    "hostaddr=127.0.0.1,192.0.2.1 host=localhost,localhost",
    "service=away",
    "service=hidden",
    "postgresql:///warehouse?service=away",
    # What libpq or the system may take for this machine, and need not.
    f"host={socket.gethostname() or 'name'}.",
    "host=localhost.",
    "host=localhost.localdomain",
    "host=0.0.0.0",
    "host=::",
    "host=127.1",
    "host=2130706433",
    "host=::ffff:127.0.0.1",
    "host=127.0.0.1.example",
    "host='localhost '",
    "host=' /tmp'",
]


@pytest.mark.parametrize("address", [*HERE, *VERIFIED])
def test_address_on_this_machine_or_with_verified_tls_is_taken(address: str) -> None:
    require_verified(address)


@pytest.mark.parametrize("address", ELSEWHERE)
def test_address_on_another_machine_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="leads to another machine") as caught:
        require_verified(address)
    assert "verify-full" in caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("address", "environment"),
    [
        ("dbname=warehouse", {"PGHOST": "db.example"}),
        ("host=localhost", {"PGHOSTADDR": "192.0.2.1"}),
        ("postgresql:///warehouse", {"PGSERVICE": "away"}),
        ("host=localhost", {"PGSERVICE": "hidden"}),
        ("host=db.example", {"PGSSLMODE": "require"}),
        ("host=db.example sslmode=require", {"PGSSLMODE": "verify-full"}),
    ],
)
def test_environment_that_leads_to_another_machine_is_refused(
    address: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="leads to another machine"):
        require_verified(address)


def test_environment_may_ask_for_verified_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    require_verified("host=db.example")


@pytest.mark.parametrize("mode", ["VERIFY-FULL", "verify_full", "nonsense"])
def test_mode_that_libpq_does_not_know_is_an_error(mode: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="sslmode"):
        require_verified(f"host=db.example sslmode={mode}")


def test_refusal_comes_before_anything_is_opened_and_without_the_password(tmp_path: Path) -> None:
    """A listener at an address that counts as another machine, and that nobody may reach."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"postgresql://u:{SECRET}@127.1:{listener.getsockname()[1]}/warehouse"
        for ask in (server.ensure_running, server.status):
            with pytest.raises(UsageError, match=r"127\.1") as caught:
                ask(Settings(url, tmp_path, tmp_path, 0.05))
            assert caught.value.exit_code == 2
            assert SECRET not in caught.value.message + caught.value.hint
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()
        # Where it is allowed, a connection is opened, which ends at once here.
        listener.settimeout(10)
        hang_up = threading.Thread(target=lambda: listener.accept()[0].close())
        hang_up.start()
        with pytest.raises(ServerError, match="DATABASE_URL"):
            server.ensure_running(Settings(url, tmp_path, tmp_path, 0.05, allow_plaintext=True))
        hang_up.join()


def test_embedded_server_is_not_looked_for_on_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    with pytest.raises(UsageError, match=r"embedded server to 192\.0\.2\.1"):
        cluster.connect(locate(Settings("", tmp_path, tmp_path, 0.05)), "x")


def test_no_other_option_is_lost_where_libpq_is_made_to_stop() -> None:
    found = transport.resolve("host=localhost target_session_attrs=read-write dbname=w user=u")
    assert (found["host"], found["dbname"], found["user"]) == ("localhost", "w", "u")
