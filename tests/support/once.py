"""What takes long to make, made by one of the processes that run the tests, for all of them."""

from __future__ import annotations

import fcntl
import pickle
import zlib
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")


def made_once(
    config: pytest.Config, factory: pytest.TempPathFactory, name: str, make: Callable[[], T]
) -> T:
    """What ``make`` returns in the process that asks first; the others wait for it and read it."""
    folder = factory.getbasetemp()
    if hasattr(config, "workerinput"):  # the processes of one run have folders next to each other
        folder = folder.parent
    file = folder / name
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            made = make()
            file.write_bytes(zlib.compress(pickle.dumps(made), level=1))
            return made
    return pickle.loads(zlib.decompress(file.read_bytes()))
