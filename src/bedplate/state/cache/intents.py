"""What is wanted of all processes of a host: whoever has the button writes it down, everybody does it."""

from __future__ import annotations

import secrets
from pathlib import Path

import orjson

__all__ = ["Intents"]


class Intents:
    """Lines in a file that the processes of a service share on a host, and that ends with the service."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = secrets.token_hex(8)
        # What was wanted before this process began is over: it began with nothing.
        self._place = self._size()

    def write(self, what: str, name: str) -> None:
        """Want something of all others."""
        line = orjson.dumps([what, name, self._own]) + b"\n"
        with self._path.open("ab", buffering=0) as file:
            file.write(line)

    def read(self) -> list[tuple[str, str]]:
        """Return what others have wanted since the last call."""
        size = self._size()
        if size <= self._place:
            return []
        with self._path.open("rb") as file:
            file.seek(self._place)
            text = file.read(size - self._place)
        whole, _, _ = text.rpartition(b"\n")
        self._place += len(whole) + 1 if whole else 0
        found = [orjson.loads(line) for line in whole.splitlines()]
        return [(what, name) for what, name, who in found if who != self._own]

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0
