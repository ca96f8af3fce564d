"""Sessions of people who are signed in, kept in the memory of the process that serves the console."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bedplate.declarations import AccessRole, Actor

__all__ = ["Kept", "Session", "Sessions"]

#: Seconds after which it is worth telling that somebody was not idle.
_TOLD_AGAIN = 60.0


@dataclass(slots=True)
class Session:
    """One person in one browser, as one service knows them.

    :ivar name: as the audit log has it. :ivar way: how they signed in: ``link``, ``token``, ``oidc``.
    :ivar began: Unix seconds. :ivar still: whether what they signed in with is still valid.
    :ivar proof: a digest of what they signed in with, by which it can be told after a restart.
    :ivar notes: what the next page is to say, each with ``good`` or ``bad``.
    """

    name: str
    role: AccessRole
    way: str
    began: float
    still: Callable[[], bool] = field(default=lambda: True, repr=False)
    proof: str = field(default="", repr=False)
    notes: list[tuple[str, str]] = field(default_factory=list, repr=False)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)

    @property
    def actor(self) -> Actor:
        """Who acts."""
        return Actor(self.name, self.role)

    def form_token(self) -> str:
        """Return what a form must carry; another text every time, so that compressing a page tells nothing of it."""
        pad = secrets.token_bytes(16)
        return (pad + bytes(a ^ b for a, b in zip(pad, self.secret, strict=True))).hex()

    def owns(self, token: str) -> bool:
        """Tell whether a form was made for this session."""
        try:
            raw = bytes.fromhex(token)
        except ValueError:
            return False
        if len(raw) != 32:
            return False
        return hmac.compare_digest(bytes(a ^ b for a, b in zip(raw[:16], raw[16:], strict=True)), self.secret)


@dataclass(slots=True)
class Kept:
    """What one cookie stands for: a session with each service that lets its bearer in."""

    until: float
    idle_until: float
    of: dict[str, Session]

    def ends(self) -> float:
        return min(self.until, self.idle_until)


class Sessions:
    """Opens and finds sessions; bounded: beyond ``limit`` the one who was idle longest has to sign in again.

    One cookie may stand for sessions with several services of a process, each with a role of its own. Only digests of
    the cookies are kept.

    :param idle: seconds without a request after which a cookie is good no longer, ``longest`` those in any case.
    :param monotonic: the time by which they expire.
    """

    def __init__(self, *, idle: float, longest: float, limit: int, monotonic: Callable[[], float]) -> None:
        self._idle = idle
        self._longest = longest
        self._limit = limit
        self._monotonic = monotonic
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._told_at = -_TOLD_AGAIN
        #: Called when there is something new to outlast a restart.
        self.changed: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        self._expire()
        return len(self._kept)

    def open(self, of: Mapping[str, Session]) -> str:
        """Return the value of a cookie that stands for these sessions, by the name of their service."""
        self._expire()
        now = self._monotonic()
        cookie = secrets.token_urlsafe(32)
        self._kept[_digest(cookie)] = Kept(now + self._longest, now + self._idle, dict(of))
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        self._tell(now)
        return cookie

    def find(self, cookie: str, service: str) -> Session | None:
        """Return the session of a cookie with a service, and count it as not idle."""
        key, now = _digest(cookie), self._monotonic()
        kept = self._kept.get(key)
        if kept is None:
            return None
        if now >= kept.ends():
            del self._kept[key]
            return None
        session = kept.of.get(service)
        if session is None or not session.still():
            kept.of.pop(service, None)
            if not kept.of:
                del self._kept[key]
            return None
        kept.idle_until = now + self._idle
        self._kept.move_to_end(key)
        if now - self._told_at >= _TOLD_AGAIN:
            self._tell(now)
        return session

    def services(self, cookie: str) -> dict[str, Session]:
        """Return every session of a cookie that goes on, without counting this as being used."""
        kept = self._kept.get(_digest(cookie))
        if kept is None or self._monotonic() >= kept.ends():
            return {}
        return {name: one for name, one in kept.of.items() if one.still()}

    def is_open(self, cookie: str, service: str) -> bool:
        """Tell whether a session goes on, without counting this as being used."""
        return service in self.services(cookie)

    def close(self, cookie: str) -> None:
        """End all sessions of a cookie."""
        self._kept.pop(_digest(cookie), None)
        self._tell(self._monotonic())

    def kept(self) -> dict[str, Kept]:
        """Return all that is known, by the digest of the cookie."""
        self._expire()
        return {key: Kept(one.until, one.idle_until, dict(one.of)) for key, one in self._kept.items()}

    def restore(self, kept: Mapping[str, Kept]) -> None:
        """Know again what was known; nobody for longer than somebody who signs in now."""
        now = self._monotonic()
        for key, one in kept.items():
            until, idle_until = min(one.until, now + self._longest), min(one.idle_until, now + self._idle)
            self._kept.setdefault(key, Kept(until, idle_until, one.of))
        self._expire()

    def _tell(self, now: float) -> None:
        self._told_at = now
        self.changed()

    def clear(self) -> None:
        """End all sessions."""
        self._kept.clear()

    def _expire(self) -> None:
        now = self._monotonic()
        for key in [key for key, one in self._kept.items() if now >= one.ends()]:
            del self._kept[key]


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()
