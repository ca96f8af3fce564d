"""The contract between what instances share (cache, sessions, limits, locks …) and where it is kept.

A primitive is written once, above a :class:`Store`. What must happen at once, it declares as an :class:`Operation`, in
two forms that do the same: a command or a Lua script for Redis, and a function for the store in the process.
``tests/conformance/state`` puts both forms of all of them through the same cases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bedplate.component import Host, Spec
from bedplate.problems import BedplateError, DeclarationError

if TYPE_CHECKING:
    from bedplate.state.memory.keyspace import Keyspace

__all__ = [
    "Argument",
    "Call",
    "Listening",
    "Operation",
    "Reply",
    "Store",
    "StoreError",
    "StoreReplyError",
    "StoreTimeoutError",
    "StoreUnavailableError",
]

#: What an operation takes beside keys; Redis sees text.
Argument = bytes | str | int | float
#: What it returns, as RESP3 has it: None, bool, int, float, bytes, list or dict of them.
Reply = Any
#: The form of an operation in the process: the data, the keys, the arguments. It never waits, so it is atomic.
InProcess = Callable[["Keyspace", Sequence[str], Sequence[Argument]], Reply]


class StoreError(BedplateError):
    """A store did not do what it was asked for."""


class StoreUnavailableError(StoreError):
    """The store is away.

    :param sent: whether the operation had left: then nobody knows whether it was done. Without it, it was not.
    """

    def __init__(self, what: str, mend: str = "", *, sent: bool = False) -> None:
        super().__init__(what, mend or "It is tried again by itself; see the runbook of its alert.")
        self.sent = sent


class StoreTimeoutError(StoreUnavailableError):
    """The store did not answer in time."""


class StoreReplyError(StoreError):
    """The store refused an operation.

    :param code: its first word: ``OOM``, ``WRONGTYPE``, ``NOPERM``, ``ERR``.
    """

    def __init__(self, code: str, what: str, mend: str = "") -> None:
        super().__init__(what, mend)
        self.code = code


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Operation:
    """Something that a store does at once or not at all.

    :param name: what it does, for metrics and messages: ``cache_get``.
    :param command: the words before keys and arguments, ``("GET",)``; or
    :param script: a Lua text, called with the keys and arguments.
    :param memory: the same, in the process. Integers that a script gets as text are given to it as they are.
    :param reads: it changes nothing, so it may be sent once more when an answer was lost.
    :param tracked: whether the keys that it reads are tracked (see :meth:`Store.track`), which costs the server memory.
    :param holds: it changes its keys and reads them afterwards, so that whoever tracks them (see :meth:`Store.track`)
        is told of its own change right after ``parsed`` was called, and of every later one.
    """

    name: str
    memory: InProcess
    command: tuple[str, ...] = ()
    script: str = ""
    reads: bool = False
    tracked: bool = True
    holds: bool = False
    #: The script's name at the server.
    sha: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.script):
            raise DeclarationError(f"Operation {self.name} is neither a command nor a script.", "Give one of them.")
        # Redis names scripts so; it is no secret.
        object.__setattr__(self, "sha", sha1(self.script.encode(), usedforsecurity=False).hexdigest())

    @classmethod
    def lua(cls, path: Path, memory: InProcess, *, reads: bool = False, holds: bool = False) -> Operation:
        """Return the operation whose script is a file, ``take.lua``; it is named after it and its folder."""
        name = f"{path.parent.name}_{path.stem}"
        script = path.read_text(encoding="utf-8")
        return cls(name=name, script=script, memory=memory, reads=reads, holds=holds)


@dataclass(frozen=True, slots=True)
class Call:
    """An operation with what it is done to."""

    operation: Operation
    keys: Sequence[str]
    args: Sequence[Argument] = ()


class Listening(Protocol):
    """A subscription to a channel."""

    async def ready(self) -> None:
        """Return once what is published from now on is heard.

        :raises StoreUnavailableError: when the store is away; it is subscribed by itself when it is back.
        """
        ...

    def close(self) -> None:
        """Hear no more."""
        ...


@runtime_checkable
class Store(Protocol):
    """A component that keeps what primitives share: ``Memory`` in the process, ``Redis`` for all instances."""

    @property
    def spec(self) -> Spec:
        """What the component is."""
        ...

    def lifespan(self, host: Host) -> AbstractAsyncContextManager[None]:
        """Run the component."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other processes have the same data."""
        ...

    @property
    def available(self) -> bool:
        """Whether an operation would be tried now; False while the store is known to be away."""
        ...

    def run(
        self,
        operation: Operation,
        keys: Sequence[str],
        args: Sequence[Argument] = (),
        *,
        timeout: float | None = None,
        parsed: Callable[[Reply], None] | None = None,
    ) -> Awaitable[Reply]:
        """Do an operation; whoever awaits it may be cancelled at any moment.

        :param keys: what it touches, all of it; keys of one script share a hash tag ``{…}``.
        :param timeout: seconds; by default the store's own.
        :param parsed: called with the reply when it comes, before anything that the store says later (see
            :meth:`track`), and whether or not somebody still waits for it.
        :raises StoreTimeoutError: when no answer came in time. :raises StoreUnavailableError: when the store is away.
        :raises StoreReplyError: when it refused.
        """
        ...

    def run_many(self, calls: Sequence[Call], *, timeout: float | None = None) -> Awaitable[list[Reply | StoreError]]:
        """Do several operations in one go, each atomic for itself; an error stands in the place of its reply."""
        ...

    def publish(self, channel: str, message: bytes) -> Awaitable[int]:
        """Tell all who listen to a channel now; return to how many it was given, as far as the store knows.

        :raises StoreUnavailableError: when the store is away.
        """
        ...

    def listen(
        self, channel: str, heard: Callable[[bytes], None], *, missed: Callable[[], None] | None = None
    ) -> Listening:
        """Hear what is published, by :meth:`publish` or by a script.

        :param heard: called with each message, on the event loop; it must be quick.
        :param missed: called when the connection is back after a gap, in which messages may have been lost.
        """
        ...

    def track(self, prefix: str, changed: Callable[[Sequence[str] | None], None]) -> Callable[[], None]:
        """Be told of changes to keys that begin with ``prefix`` and were read by this store; return how to end it.

        :param changed: called with the keys, or with None when changes may have been missed and all that is held must
            be dropped. The order is the store's own: a reply that was parsed before is older than the change, one
            that is parsed after has it.
        """
        ...

    def watch(self, told: Callable[[bool], None]) -> Callable[[], None]:
        """Be told when the store goes away (False) and when it is back (True); return how to end it."""
        ...
