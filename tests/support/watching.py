"""A watcher for runs that nobody watches."""

from __future__ import annotations


class Silent:
    """Keeps what was said, shows nothing."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, stage: str, what: str, total: int | None = None) -> None: ...

    def advance(self, amount: int) -> None: ...

    def end(self) -> None: ...

    def say(self, text: str) -> None:
        self.said.append(text)

    def agree(self, text: str) -> bool:
        self.said.append(text)
        return True
