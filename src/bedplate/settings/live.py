"""Settings that follow their sources: a new immutable snapshot, validated as a whole, swapped in one step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Literal, TypeVar

from bedplate.clock import Clock, SystemClock
from bedplate.problems import DeclarationError, Refusal
from bedplate.settings.core import Settings
from bedplate.settings.faults import SettingsError
from bedplate.settings.rotation import OVERLAP, RotatingSecret
from bedplate.settings.rules import Setting
from bedplate.settings.secret import Secret

__all__ = ["LiveSettings", "Reload"]

S = TypeVar("S", bound=Settings)
Outcome = Literal["applied", "unchanged", "restart", "refused"]
Subscriber = Callable[[S, S, frozenset[str]], None]


@dataclass(frozen=True, slots=True)
class Reload:
    """What came of a reload.

    :ivar outcome: ``applied``; ``unchanged``; ``restart`` when all changes wait for one; ``refused`` when anything
        was at fault, so that nothing was applied.
    :ivar changed: names of the settings that changed. :ivar restart: names of those that wait for a restart.
    :ivar faults: why it was refused. :ivar failures: what subscribers raised; the snapshot is in force nevertheless.
    """

    outcome: Outcome
    changed: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    faults: tuple[Refusal, ...] = ()
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared(Generic[S]):
    """A snapshot that was read and validated, and what adopting it means."""

    old: S
    new: S
    result: Reload


class LiveSettings(Generic[S]):
    """The current snapshot of a service's settings.

    :attr:`current` never changes under its reader: take it once a request, and all of the request sees the same.
    Called, as by FastAPI's ``Depends(live)``, it returns the snapshot.
    """

    def __init__(self, settings: S, *, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._current = settings
        self._lock = threading.Lock()
        self._subscribers: list[Subscriber[S]] = []
        self._rotating: dict[str, RotatingSecret] = {}
        self.version = 1
        self.last = Reload("unchanged")

    @property
    def current(self) -> S:
        """The snapshot in force."""
        return self._current

    def __call__(self) -> S:
        """Return the snapshot in force."""
        return self._current

    def subscribe(self, subscriber: Subscriber[S]) -> Callable[[], None]:
        """Call ``subscriber(old, new, changed names)`` after every change; returns what ends that.

        It must not block; what it raises is reported and keeps nobody else from hearing.
        """
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def rotating(self, name: str, *, overlap: float = OVERLAP, previous: str = "") -> RotatingSecret:
        """Return a rotating secret that follows a reloadable setting.

        :param previous: the setting that holds its predecessor at start, so that a restart does not end the overlap.
        :raises DeclarationError: when there is no such setting, it is no secret, or it does not reload.
        """
        setting = self._setting(name)
        if not isinstance(setting.value, Secret) or not setting.declared.reloadable:
            raise DeclarationError(f"Setting {name} cannot rotate.", "Declare it as Annotated[Secret, Reloadable()].")
        before = self._setting(previous).value if previous else None
        secret = self._rotating.get(name)
        if secret is None:
            secret = RotatingSecret(setting.value, name=name, previous=before, overlap=overlap, clock=self.clock)
            self._rotating[name] = secret
        return secret

    @property
    def rotating_secrets(self) -> tuple[RotatingSecret, ...]:
        """Every secret that :meth:`rotating` gave out."""
        return tuple(self._rotating.values())

    def _setting(self, name: str) -> Setting:
        setting = next((item for item in self._current.values() if item.name == name), None)
        if setting is None:
            raise DeclarationError(f"There is no setting {name}.", "Ask for its section first, or mend the name.")
        return setting

    def reload(self) -> Reload:
        """Read all sources again and put into force what may change while running; blocks for the files.

        On any fault the last good snapshot stays, whole. Subscribers are called in the caller's thread.
        """
        with self._lock:
            return self.adopt(self.prepare())

    def prepare(self) -> Prepared[S]:
        """Read and validate a new snapshot, which blocks; the first half of :meth:`reload`, for a thread."""
        old = self._current
        try:
            new = old.reread()
            differing = list(_differing(old, new))
            waiting = [before for before, after in differing if not after.declared.reloadable]
            if waiting:
                new = new.pinned(_nested(waiting))
        except SettingsError as error:
            return Prepared(old, old, Reload("refused", faults=error.refusals))
        restart = tuple(setting.name for setting in waiting)
        changed = tuple(after.name for _, after in differing if after.declared.reloadable)
        outcome: Outcome = "applied" if changed else "restart" if restart else "unchanged"
        return Prepared(old, new, Reload(outcome, changed, restart))

    def adopt(self, prepared: Prepared[S]) -> Reload:
        """Put a prepared snapshot into force and tell whoever wants to know; the second half of :meth:`reload`."""
        result = prepared.result
        if result.outcome == "applied":
            self._current = prepared.new
            self.version += 1
            result = replace(result, failures=tuple(self._notify(prepared.old, prepared.new, result.changed)))
        self.last = result
        return result

    def _notify(self, old: S, new: S, changed: tuple[str, ...]) -> Iterable[str]:
        values = {setting.name: setting.value for setting in new.values()}
        for name in changed:
            if name in self._rotating:
                yield from _failure(name, partial(self._rotating[name].rotate, values[name]))
        for subscriber in tuple(self._subscribers):
            name = getattr(subscriber, "__qualname__", type(subscriber).__name__)
            yield from _failure(name, partial(subscriber, old, new, frozenset(changed)))


def _failure(name: str, call: Callable[[], object]) -> Iterable[str]:
    try:
        call()
    except Exception as error:
        yield f"{name}: {type(error).__name__}"  # not the message: it may quote a secret


def _differing(old: Settings, new: Settings) -> Iterable[tuple[Setting, Setting]]:
    before = {setting.name: setting for setting in old.values()}
    for after in new.values():
        known = before.get(after.name)
        if known is not None and known.value != after.value:
            yield known, after


def _nested(settings: Iterable[Setting]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for setting in settings:
        node = result
        for key in setting.declared.path[:-1]:
            node = node.setdefault(key, {})
        node[setting.declared.path[-1]] = setting.value
    return result
