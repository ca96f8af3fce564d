"""Asking the store for versions of tags and for the log, so that what is near can be judged without it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

from bedplate.state.cache.book import Log
from bedplate.state.cache.entries import Versions
from bedplate.state.cache.operations import LOG, NUMBER, OPEN_LOG, OPEN_TAG, VERSION
from bedplate.state.store import Call, Operation, Reply, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from bedplate.state.cache.shelf import Shelf

__all__ = ["Learning"]


class Learning:
    """Fills the book of a shelf, by reads that the store tells of changes to."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._log_read: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Read no more."""
        if self._log_read is not None:
            self._log_read.cancel()

    async def learn(self, tags: Sequence[str]) -> None:
        """Ask for what is not known of the log and of tags."""
        shelf, book = self._shelf, self._shelf.book
        now = shelf.near.now()
        if book.log is None or now - book.log.read_at > book.lasting:
            await self._learn_log()
        missing = book.missing(tags, now)
        if not missing:
            return
        await self._open(tag for tag in missing if book.aged(tag))
        for _ in range(2):
            absent: list[str] = []
            await self._all([self._read_tag(tag, absent) for tag in missing])
            if not absent:
                return
            await self._open(absent)
            missing = absent

    async def now(self, tags: Sequence[str]) -> tuple[int, Versions] | None:
        """Return the log's number and the versions of tags at this moment; None when one of them is not there yet."""
        shelf = self._shelf
        calls = [Call(NUMBER, (shelf.names.log,), ("number",))]
        calls += [Call(VERSION, (shelf.names.tag(tag),)) for tag in tags]
        try:
            replies = await shelf.store.run_many(calls, timeout=shelf.patience)
        except StoreUnavailableError as error:
            shelf.lost(error.what)
            return None
        numbers = [int(reply) for reply in replies if isinstance(reply, bytes)]
        if len(numbers) == len(calls):
            return numbers[0], tuple(zip(tags, numbers[1:], strict=True))
        # To ask for what is not known makes it.
        shelf.book.log = None
        for tag in tags:
            shelf.book.forget(tag)
        return None

    async def _open(self, tags: Any) -> None:
        shelf = self._shelf
        await self._all([self._run(OPEN_TAG, shelf.names.tag(tag), shelf.kept) for tag in tags])

    def _read_tag(self, tag: str, absent: list[str]) -> Awaitable[Reply]:
        shelf = self._shelf
        now = shelf.near.now()

        def fill(reply: Reply) -> None:
            if reply is None:
                absent.append(tag)
            else:
                shelf.book.learn(tag, int(reply), now)

        return shelf.store.run(VERSION, (shelf.names.tag(tag),), timeout=shelf.patience, parsed=fill)

    async def _learn_log(self) -> None:
        # One read for all who need it: after a pattern was dropped that is every request.
        if self._log_read is None or self._log_read.done():
            self._log_read = asyncio.ensure_future(self._read_log())
        await asyncio.shield(self._log_read)

    async def _read_log(self) -> None:
        shelf, book = self._shelf, self._shelf.book
        opens = book.log is not None
        for _ in range(2):
            if opens:
                await self._all([self._run(OPEN_LOG, shelf.names.log, shelf.kept)])
            now = shelf.near.now()

            def fill(reply: Reply, now: float = now) -> None:
                book.log = Log(reply, now) if reply else None

            await self._all([shelf.store.run(LOG, (shelf.names.log,), timeout=shelf.patience, parsed=fill)])
            if book.log is not None or not shelf.online:
                return
            opens = True

    def _run(self, operation: Operation, key: str, *args: Any) -> Awaitable[Reply]:
        return self._shelf.store.run(operation, (key,), args, timeout=self._shelf.patience)

    async def _all(self, asked: Sequence[Awaitable[Reply]]) -> None:
        """Wait for all; none that fails must keep the others from being waited for."""
        for one in asked:
            try:
                await one
            except StoreUnavailableError as error:
                self._shelf.lost(error.what)
            except StoreError as error:
                self._shelf.complain("cache_read_refused", error)
