"""One store in the process, and the links of several instances to it, each of which a test can cut, delay or lose."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bedplate.component import Host, Spec
from bedplate.state.memory import Keyspace, Memory
from bedplate.state.store import Argument, Call, Operation, Reply, StoreTimeoutError, StoreUnavailableError

__all__ = ["Link", "restore", "snapshot"]


class Link:
    """A store that is another one, reached over a link; implements :class:`bedplate.state.store.Store`.

    :ivar asked: names of the operations that it was asked for, in order.
    :ivar loses_replies: what is asked for is done, and nobody hears so.
    :ivar is_deaf: no change is told of.
    :ivar before: awaited before each operation, for a test that wants to be in between.
    """

    shared = True

    def __init__(self, store: Memory, name: str = "default") -> None:
        self._store = store
        self._spec = Spec(kind="link", name=name, summary="Reaches a store over a link.")
        self._cut = False
        self._watching: list[Callable[[bool], None]] = []
        self._tracking: list[Callable[[Sequence[str] | None], None]] = []
        self._missing: list[Callable[[], None]] = []
        self.asked: list[str] = []
        self.loses_replies = False
        self.is_deaf = False
        self.before: Callable[[Operation], Awaitable[None]] | None = None

    @property
    def spec(self) -> Spec:
        return self._spec

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        yield

    @property
    def available(self) -> bool:
        return not self._cut and self._store.available

    def cut(self) -> None:
        """Lose the store."""
        self._cut = True
        for told in list(self._watching):
            told(False)

    def hang(self) -> None:
        """Let everything time out, without being told that the store is away."""
        self._cut = True

    def heal(self) -> None:
        """Have it again; what happened meanwhile was missed."""
        self._cut = False
        for changed in list(self._tracking):
            changed(None)
        for missed in list(self._missing):
            missed()
        for told in list(self._watching):
            told(True)

    async def run(
        self,
        operation: Operation,
        keys: Sequence[str],
        args: Sequence[Argument] = (),
        *,
        timeout: float | None = None,
        parsed: Callable[[Reply], None] | None = None,
    ) -> Reply:
        self.asked.append(operation.name)
        if self.before is not None:
            await self.before(operation)
        self._check()
        reply = await self._store.run(operation, keys, args, parsed=None if self.loses_replies else parsed)
        if self.loses_replies:
            raise StoreTimeoutError("The store did not answer.", sent=True)
        await asyncio.sleep(0)
        return reply

    async def run_many(self, calls: Sequence[Call], *, timeout: float | None = None) -> list[Any]:
        self.asked.extend(call.operation.name for call in calls)
        self._check()
        return await self._store.run_many(calls)

    async def publish(self, channel: str, message: bytes) -> int:
        self._check()
        return await self._store.publish(channel, message)

    def listen(
        self, channel: str, heard: Callable[[bytes], None], *, missed: Callable[[], None] | None = None
    ) -> _Listening:
        inner = self._store.listen(channel, lambda message: None if self._cut else heard(message))
        if missed is not None:
            self._missing.append(missed)
        return _Listening(self, inner, missed)

    def track(self, prefix: str, changed: Callable[[Sequence[str] | None], None]) -> Callable[[], None]:
        self._tracking.append(changed)
        inner = self._store.track(prefix, lambda keys: None if self._cut or self.is_deaf else changed(keys))

        def end() -> None:
            self._tracking.remove(changed)
            inner()

        return end

    def watch(self, told: Callable[[bool], None]) -> Callable[[], None]:
        self._watching.append(told)
        return lambda: self._watching.remove(told)

    def _check(self) -> None:
        if self._cut:
            raise StoreUnavailableError("The store is away.")


class _Listening:
    def __init__(self, link: Link, inner: Any, missed: Callable[[], None] | None) -> None:
        self._link, self._inner, self._missed = link, inner, missed

    async def ready(self) -> None:
        self._link._check()
        await self._inner.ready()

    def close(self) -> None:
        if self._missed is not None:
            self._link._missing.remove(self._missed)
        self._inner.close()


def _copied(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
    return copy.deepcopy((space._data, space._expires))


async def snapshot(store: Memory) -> Any:
    """Return all that a store holds, as a backup would."""
    return await store.run(Operation(name="snapshot", command=("SNAPSHOT",), memory=_copied), ())


async def restore(store: Memory, copied: Any) -> None:
    """Let a store hold what it held when the copy was taken, and nothing since."""

    def back(space: Keyspace, keys: Sequence[str], args: Sequence[Argument]) -> Reply:
        data, expires = copy.deepcopy(copied)
        space.clear()
        space._data.update(data)
        for key, at in expires.items():
            space._end(key, at)

    await store.run(Operation(name="restore", command=("RESTORE",), memory=back), ())
