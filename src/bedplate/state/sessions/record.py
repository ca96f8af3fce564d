"""One session as it is held near, and as people may see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["Entry", "SessionInfo", "info"]


class Entry:
    """A session as the store had it; nothing in it changes.

    :ivar version: grows with every change of its data. :ivar created: ms of the store's clock, as are ``seen`` (its
        last use), ``idle`` and ``ends``. :ivar user: whose it is, None for nobody's. :ivar data: JSON.
    :ivar read: this process's monotonic time when it was read; ``over``: when its time is over.
    :ivar coherent: number of the time in which changes have been told of without a gap.
    """

    __slots__ = ("_about", "coherent", "created", "data", "ends", "idle", "over", "read", "seen", "user", "version")

    def __init__(self, raw: bytes, now: int, monotonic: float, coherent: int = -1) -> None:
        head, about, self.data = raw.split(b"\n", 2)
        version, created, seen, idle, ends = head.split(b" ")
        self.version, self.created, self.seen = int(version), int(created), int(seen)
        self.idle, self.ends = int(idle), int(ends)
        self._about = about
        self.user: str | None = orjson.loads(about).get("user") if about != b"{}" else None
        self.read = monotonic
        self.over = monotonic + (self.idle - now) / 1000
        self.coherent = coherent

    def saved(self, data: bytes, now: int, monotonic: float, idle: int) -> Entry:
        """Return it with other data, as the store has it since ``now``."""
        entry = Entry.__new__(Entry)
        entry.version, entry.created, entry.seen, entry.ends = self.version + 1, self.created, now, self.ends
        entry.idle = min(now + idle, self.ends)
        entry.data, entry.user, entry._about = data, self.user, self._about
        entry.read, entry.coherent = monotonic, -1
        entry.over = monotonic + (entry.idle - now) / 1000
        return entry

    @property
    def about(self) -> dict[str, Any]:
        """What is said about it: ``user``, ``agent`` …"""
        found: dict[str, Any] = orjson.loads(self._about)
        return found

    def unused(self, monotonic: float) -> float:
        """Return the seconds since its last use that the store knows of."""
        return monotonic - self.over + (self.idle - self.seen) / 1000


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as it may be shown to its user.

    :param id: names it for :meth:`Sessions.revoke`; it signs nobody in.
    :param user: whose it is, None for nobody's.
    :param created: Unix time at which it began, as are ``seen``, its last use within a minute or so, and ``expires``,
        its end if it is not used before.
    :param agent: the browser that began it, as it names itself; it may say anything.
    :param label: what the service said of it.
    :param current: whether the request at hand belongs to it.
    """

    id: str
    user: str | None
    created: float
    seen: float
    expires: float
    agent: str = ""
    label: str = ""
    current: bool = False


def info(entry: Entry, id: str, *, current: bool = False) -> SessionInfo:
    """Return what may be shown of a session."""
    about = entry.about
    return SessionInfo(
        id=id,
        user=entry.user,
        created=entry.created / 1000,
        seen=entry.seen / 1000,
        expires=entry.idle / 1000,
        agent=about.get("agent", ""),
        label=about.get("label", ""),
        current=current,
    )
