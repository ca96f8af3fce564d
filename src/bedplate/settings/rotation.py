"""Secrets that change while the service runs: for a while the old and the new one are both good."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from bedplate.clock import Clock, SystemClock
from bedplate.problems import Refusal
from bedplate.settings.faults import SettingsError
from bedplate.settings.layers import read_secret_file
from bedplate.settings.secret import Secret
from bedplate.settings.watch import Watch, fingerprint

__all__ = ["RotatingSecret", "SecretFile"]

#: Seconds for which the previous secret stays good: long enough for every instance and client to learn the new one.
OVERLAP = 600.0

#: Candidates are compared by keyed digest, so that neither content nor length shows in the time it takes.
_KEY = secrets.token_bytes(32)

Rotated = Callable[[Secret], None]


def _digest(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return hashlib.blake2b(raw, key=_KEY, digest_size=32).digest()


@dataclass(frozen=True, slots=True)
class _State:
    current: Secret
    current_digest: bytes
    previous: Secret | None = None
    previous_digest: bytes = b""
    until: float = 0.0


class RotatingSecret:
    """A secret and its predecessor, which is good for ``overlap`` seconds after a rotation.

    Sign with :attr:`current`, verify with :meth:`accepts` (a token) or :meth:`values` (a signature). Readers see one
    immutable state, so it may be used from several threads.

    :param previous: a predecessor known at start, good for the overlap from now on.
    :param overlap: seconds; 0 makes the old secret worthless at once.
    :ivar previous_uses: how often the previous secret was accepted; once it stands still, the overlap is needless.
    """

    def __init__(
        self,
        value: SecretStr | str,
        *,
        name: str = "",
        previous: SecretStr | str | None = None,
        overlap: float = OVERLAP,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.overlap = overlap
        self.clock = clock or SystemClock()
        self.previous_uses = 0
        self.rotations = 0
        self._subscribers: list[Rotated] = []
        self._state: _State | None = None
        if previous is not None:
            self._state = self._next(_reveal(previous))
        self._state = self._next(_reveal(value))

    def _next(self, text: str) -> _State:
        old = self._state
        if old is None:
            return _State(Secret(text), _digest(text))
        until = self.clock.monotonic() + self.overlap
        return _State(Secret(text), _digest(text), old.current, old.current_digest, until)

    def _now(self) -> _State:
        assert self._state is not None
        return self._state

    @property
    def current(self) -> Secret:
        """The secret to sign and to authenticate with."""
        return self._now().current

    @property
    def previous(self) -> Secret | None:
        """The secret before it, None once its overlap is over."""
        state = self._now()
        return state.previous if self.clock.monotonic() < state.until else None

    def values(self) -> tuple[Secret, ...]:
        """Return the secrets that are good now, the current one first."""
        previous = self.previous
        return (self.current,) if previous is None else (self.current, previous)

    def accepts(self, candidate: str | bytes) -> bool:
        """Say whether the candidate is the current or the still good previous secret, in constant time."""
        state = self._now()
        digest = _digest(candidate)
        is_current = hmac.compare_digest(digest, state.current_digest)
        is_previous = hmac.compare_digest(digest, state.previous_digest)
        if is_previous and not is_current and self.clock.monotonic() < state.until:
            self.previous_uses += 1
            return True
        return is_current

    def rotate(self, value: SecretStr | str) -> bool:
        """Make ``value`` the current secret and the current one the previous; False when it is the current one."""
        text = _reveal(value)
        if not text:
            raise ValueError("An empty secret would let everybody in.")
        if hmac.compare_digest(_digest(text), self._now().current_digest):
            return False
        self._state = self._next(text)
        self.rotations += 1
        for subscriber in tuple(self._subscribers):
            subscriber(self.current)
        return True

    def subscribe(self, subscriber: Rotated) -> Callable[[], None]:
        """Call ``subscriber`` with the new secret after every rotation; returns what ends that."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name or 'unnamed'}, {self.rotations} rotations>"


class SecretFile(RotatingSecret):
    """A rotating secret that lives in a file, as Docker, Kubernetes, systemd and Vault's agent provide it.

    It is read when first used, and again by :meth:`refresh` when it has changed: replaced, written in place, or
    behind a link that was swapped. A file that is empty, unreadable or still being written keeps the last good secret.

    :ivar fault: why the last refresh kept the old secret, empty when it did not.
    """

    def __init__(
        self, path: str | Path, *, name: str = "", overlap: float = OVERLAP, clock: Clock | None = None
    ) -> None:
        super().__init__("", name=name or Path(path).name, overlap=overlap, clock=clock)
        self.path = Path(path)
        self.fault = ""
        self._state = None
        self._watch = Watch()

    def _now(self) -> _State:
        if self._state is None:
            seen = fingerprint((self.path,))
            try:
                text = read_secret_file(self.path)
            except ValueError as error:
                raise SettingsError([Refusal(str(self.path), f"{error}.", "Write the secret into it.")]) from None
            self._state = self._next(text)
            self._watch.taken((self.path,), seen)
        return self._state

    def refresh(self, *, now: bool = False) -> bool:
        """Take a changed file over; returns whether the secret is a new one.

        :param now: do not wait for a second look to see that nobody is writing any more.
        :raises SettingsError: when no secret was ever read, and none can be.
        """
        fresh = self.look(now=now)
        return fresh is not None and self.rotate(fresh)

    def look(self, *, now: bool = False) -> Secret | None:
        """Return the new secret if there is one, without rotating; the blocking half of :meth:`refresh`."""
        self._now()
        change = self._watch.look()
        if change == "same" or (change == "moving" and not now):
            return None
        seen = fingerprint((self.path,))
        try:
            text = read_secret_file(self.path)
        except ValueError as error:
            self.fault = f"{self.path} {error}; the last good secret stays."
            return None
        if fingerprint((self.path,)) != seen:
            return None
        self._watch.taken((self.path,), seen)
        self.fault = ""
        return None if text == self.current.reveal() else Secret(text)


def _reveal(value: SecretStr | str) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
