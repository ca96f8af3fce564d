"""Sessions of people who are signed in, kept in the memory of the process that serves the console."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from bedplate.declarations import AccessRole, Actor

__all__ = ["Session", "Sessions"]


@dataclass(slots=True)
class Session:
    """One person in one browser.

    :ivar name: as the audit log has it. :ivar way: how they signed in: ``link``, ``token``, ``oidc``.
    :ivar began: Unix seconds. :ivar until: monotonic seconds, after which they sign in again in any case.
    :ivar still: whether what they signed in with is still valid.
    :ivar notes: what the next page is to say, each with ``good`` or ``bad``.
    """

    name: str
    role: AccessRole
    way: str
    began: float
    until: float
    idle_until: float
    still: Callable[[], bool] = field(default=lambda: True, repr=False)
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


class Sessions:
    """Opens and finds sessions; bounded: beyond ``limit`` the one who was idle longest has to sign in again.

    Only digests of the cookies are kept. :param monotonic: the time by which they expire.
    """

    def __init__(self, *, idle: float, longest: float, limit: int, monotonic: Callable[[], float]) -> None:
        self._idle = idle
        self._longest = longest
        self._limit = limit
        self._monotonic = monotonic
        self._kept: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        self._expire()
        return len(self._kept)

    def open(
        self, actor: Actor, way: str, *, began: float, still: Callable[[], bool] | None = None
    ) -> tuple[str, Session]:
        """Return a cookie's value and the session that it stands for."""
        self._expire()
        now = self._monotonic()
        session = Session(actor.name, actor.role, way, began, now + self._longest, now + self._idle)
        if still is not None:
            session.still = still
        cookie = secrets.token_urlsafe(32)
        self._kept[_digest(cookie)] = session
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
        return cookie, session

    def find(self, cookie: str) -> Session | None:
        """Return the session of a cookie, and count it as not idle."""
        key = _digest(cookie)
        session = self._kept.get(key)
        if session is None:
            return None
        now = self._monotonic()
        if now >= min(session.until, session.idle_until) or not session.still():
            del self._kept[key]
            return None
        session.idle_until = now + self._idle
        self._kept.move_to_end(key)
        return session

    def is_open(self, cookie: str) -> bool:
        """Tell whether a session goes on, without counting this as being used."""
        session = self._kept.get(_digest(cookie))
        return session is not None and session.still() and self._monotonic() < min(session.until, session.idle_until)

    def close(self, cookie: str) -> None:
        """End a session."""
        self._kept.pop(_digest(cookie), None)

    def clear(self) -> None:
        """End all sessions."""
        self._kept.clear()

    def _expire(self) -> None:
        now = self._monotonic()
        for key in [key for key, one in self._kept.items() if now >= min(one.until, one.idle_until)]:
            del self._kept[key]


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()
