"""Secrets from variables and files: one rule for each, and no message repeats one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etl import config
from etl.config import Settings
from etl.errors import UsageError

ADDRESS = "postgresql://u@127.0.0.1/warehouse"


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without .env, in an environment without settings."""
    monkeypatch.setattr(config, "ROOT", tmp_path)
    for name in ("DATABASE_URL", "DATABASE_URL_FILE", "ALLOW_PLAINTEXT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def read_settings() -> Settings:
    return config.settings.__wrapped__()


def given(monkeypatch: pytest.MonkeyPatch, file: Path, content: bytes, mode: int = 0o600) -> None:
    file.write_bytes(content)
    file.chmod(mode)
    monkeypatch.setenv("DATABASE_URL_FILE", str(file))


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_file_gives_its_line_without_the_newline(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    given(monkeypatch, checkout / "secret", (ADDRESS + end).encode())
    assert read_settings().database_url == ADDRESS


def test_a_secret_may_have_any_sign_of_a_line(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signs = "a b\u00a0c\t'\"\\$x#%ü\u200d "
    given(monkeypatch, checkout / "secret", f"{signs}\n".encode())
    assert read_settings().database_url == signs


def test_a_file_may_be_named_in_env_file_from_the_checkout(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "secret").write_text(ADDRESS)
    (checkout / "secret").chmod(0o400)
    (checkout / ".env").write_text("DATABASE_URL_FILE=secret\nDATABASE_URL=\n")
    monkeypatch.chdir("/")
    assert read_settings().database_url == ADDRESS


def test_neither_variable_nor_file_is_the_embedded_server() -> None:
    assert read_settings().database_url == ""


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_variables_of_libpq_are_for_a_server_that_is_given(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", address)
    meant = {"PGSERVICE": "other", "PGOPTIONS": "-c search_path=x", "PGHOSTADDR": "192.0.2.1"}
    for name, value in meant.items():
        monkeypatch.setenv(name, value)
    read_settings()
    left = {name: value for name, value in os.environ.items() if name in meant}
    assert left == (meant if address else {})


def test_both_variable_and_file_are_refused(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, checkout / "secret", ADDRESS.encode())
    (checkout / ".env").write_text(f"DATABASE_URL={ADDRESS}\n")
    refused("Both DATABASE_URL and DATABASE_URL_FILE are given.")


def refused(said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings()
    message = caught.value.message
    assert said in message
    assert caught.value.hint
    assert "\n" not in message
    assert ADDRESS not in message + caught.value.hint


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o604, 0o660, 0o610, 0o602])
def test_a_file_with_rights_for_others_is_refused(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    given(monkeypatch, checkout / "secret", ADDRESS.encode(), mode)
    refused(f"may read or change (mode {mode:04o})")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (f"{ADDRESS}\n{ADDRESS}\n".encode(), "more than one line"),
        (ADDRESS.encode() + b"\0", "more than one line"),
        (ADDRESS.encode() + b"\xff", "it is not text in UTF-8"),
    ],
)
def test_a_file_without_one_line_of_text_is_refused(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    given(monkeypatch, checkout / "secret", content)
    refused(said)


def test_what_is_no_file_is_refused(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(checkout / "pipe", 0o600)
    for name, said in (("missing", "No such file"), ("pipe", "is no file"), (".", "directory")):
        monkeypatch.setenv("DATABASE_URL_FILE", str(checkout / name))
        refused(said)


def test_a_file_that_we_may_not_read_is_refused(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, checkout / "secret", ADDRESS.encode(), 0)
    as_root = os.geteuid() == 0
    checkout.chmod(0o755)
    if as_root:
        os.seteuid(65534)  # root may read everywhere
    try:
        refused("Permission denied")
    finally:
        if as_root:
            os.seteuid(0)


def test_no_text_of_the_settings_has_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", ADDRESS)
    assert ADDRESS not in repr(read_settings())


@pytest.mark.parametrize("text", ["true", "1", "YES", "y", "on"])
def test_plaintext_is_allowed_by_the_one_word(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert not read_settings().allow_plaintext
    monkeypatch.setenv("ALLOW_PLAINTEXT", "yes")
    assert read_settings().allow_plaintext
    monkeypatch.setenv("ALLOW_PLAINTEXT", text)
    refused(f"ALLOW_PLAINTEXT is '{text}'")
