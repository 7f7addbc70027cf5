"""Packages that another one imports and that are of no use here, put off until they are used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module, which is imported when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        # What only looks at modules, such as inspect, uses none.
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def put_off(*names: str) -> Iterator[None]:
    """Let what is imported in the block have these modules only once it uses them.

    Whoever imports them after the block has the modules themselves.
    """
    missing = [name for name in names if name not in sys.modules]
    # Those above a module are no burden, and its name is looked up in them.
    for name in missing:
        if parent := name.rpartition(".")[0]:
            importlib.import_module(parent)
    stand_ins = {name: _Later(name) for name in missing}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
