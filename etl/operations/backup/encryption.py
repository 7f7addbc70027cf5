"""Encryption to the public keys of others (age, https://age-encryption.org/v1).

The server has no private key: who breaks into it can read no backup, nor can it by itself.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pyrage

from etl.errors import RestoreError, UsageError

SUFFIX = ".age"


class Recipients:
    """Who can read what is encrypted; nothing is where there are none."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = [_recipient(key) for key in keys]

    def encrypt(self, file: Path) -> Path:
        """Put an encrypted file in the place of this one."""
        if not self.keys:
            return file
        encrypted = file.with_name(f"{file.name}{SUFFIX}")
        with file.open("rb") as plain, encrypted.open("wb") as stream:
            pyrage.encrypt_io(plain, stream, self.keys)
        file.unlink()
        return encrypted


class Identity:
    """The private key for a restore, read when something is encrypted."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._keys: list[pyrage.x25519.Identity] | None = None

    def require(self) -> None:
        """Raise ``RestoreError`` unless there is a private key to be read."""
        if self._keys is None:
            self._keys = self._read()

    def decrypt(self, file: Path, into: Path) -> Path:
        """Write the plain form of an encrypted file; a file that is not encrypted is it."""
        if file.suffix != SUFFIX:
            return file
        self.require()
        plain = into / file.name.removesuffix(SUFFIX)
        try:
            with file.open("rb") as encrypted, plain.open("wb") as stream:
                pyrage.decrypt_io(encrypted, stream, self._keys)
        except pyrage.DecryptError:
            raise RestoreError(
                f"{file} was not encrypted to the private key in {self.file}.",
                "Name the file with the private key of one of its recipients in "
                "BACKUP_IDENTITY_FILE (docs/runbooks/lost-key.md); nothing was changed.",
            ) from None
        return plain

    def _read(self) -> list[pyrage.x25519.Identity]:
        if self.file is None:
            raise RestoreError(
                "The backup is encrypted, and no private key is named.",
                "Name the file with it: make restore BACKUP_IDENTITY_FILE=...; nothing was "
                "changed.",
            )
        try:
            lines = self.file.read_text(encoding="ascii").split()
            keys = [line for line in lines if line.startswith("AGE-SECRET-KEY-")]
            if not keys:
                raise ValueError
            return [pyrage.x25519.Identity.from_str(key) for key in keys]
        except (OSError, ValueError, pyrage.IdentityError):
            raise RestoreError(
                f"BACKUP_IDENTITY_FILE names {self.file}, which has no private key of age.",
                "Name the file that age-keygen wrote; nothing was changed.",
            ) from None


def unpack(archive: Path, into: Path) -> None:
    """Unpack a tar archive, packed with gzip, into a folder that nobody else may enter."""
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    # pg_basebackup writes the log as several streams of gzip in a row, which only gzip reads on.
    with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        # Python's own filter is there from 3.11.4 on, and asked for in vain before.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(into, members=_harmless(tar, archive))


def _harmless(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """The files and folders of an archive; whatever could write elsewhere is refused."""
    for member in tar:
        path = PurePosixPath(member.name)
        if not (member.isreg() or member.isdir()) or path.is_absolute() or ".." in path.parts:
            raise RestoreError(
                f"{archive} has an entry that no backup has: {member.name}.",
                "Somebody has changed the file. Restore another backup; nothing was changed.",
            )
        yield member


def pack(folder: Path, archive: Path) -> None:
    """Pack what is in a folder into a tar archive."""
    with (
        gzip.open(archive, "wb", compresslevel=1) as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)


def _recipient(key: str) -> pyrage.x25519.Recipient:
    try:
        return pyrage.x25519.Recipient.from_str(key)
    except pyrage.RecipientError:
        raise UsageError(
            "BACKUP_RECIPIENTS has a word that is no public key of age.",
            "Write keys that begin with age1, as age-keygen -y prints them, separated by spaces.",
        ) from None
