"""The names that a cache has in its store; an entry and its lease are in one slot of a cluster."""

from __future__ import annotations

__all__ = ["Names"]


class Names:
    """``<service>:cache:<name>:`` and what comes after it."""

    __slots__ = ("_entry", "_tag", "log", "prefix")

    def __init__(self, service: str, cache: str) -> None:
        self.prefix = f"{service}:cache:{cache}:"
        self._entry = f"{self.prefix}v:{{"
        self._tag = f"{self.prefix}t:{{"
        self.log = f"{self.prefix}log"

    def entry(self, key: str) -> str:
        """Return where a value is."""
        return f"{self._entry}{key}}}"

    def lease(self, key: str) -> str:
        """Return where the right to compute it is."""
        return f"{self._entry}{key}}}:lease"

    def both(self, key: str) -> tuple[str, str]:
        """Return both."""
        name = f"{self._entry}{key}}}"
        return name, f"{name}:lease"

    def tag(self, tag: str) -> str:
        """Return where the version of a tag is."""
        return f"{self._tag}{tag}}}"

    def read(self, name: str) -> tuple[str, str]:
        """Return what a name stands for: ``entry``, ``lease``, ``tag`` or ``log``, and the key or tag."""
        if name == self.log:
            return "log", ""
        if name.startswith(self._tag):
            return "tag", name[len(self._tag) : -1]
        if name.endswith("}:lease"):
            return "lease", name[len(self._entry) : -7]
        return "entry", name[len(self._entry) : -1]
