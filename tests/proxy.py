"""A TCP proxy that does to a connection what networks do: cut it, also within a frame; delay, fragment, swallow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Proxy", "proxy"]


class Proxy:
    """Between clients and one server on the loopback. What is set holds for connections that are open, too."""

    def __init__(self, target: int) -> None:
        #: The port of the server that new connections lead to.
        self.target = target
        self.port = 0
        #: Seconds by which each piece that the server sends comes later.
        self.delay = 0.0
        #: Bytes a piece, each in a packet of its own; 0 for as they come.
        self.fragment = 0
        #: Connections accepted since the start.
        self.accepted = 0
        #: Bytes that the server has sent since the start.
        self.replied = 0
        self._cut_after: int | None = None
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The address of the server as seen through it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """Close all connections now."""
        for writer in list(self._writers):
            writer.transport.abort()

    def cut_after(self, count: int) -> None:
        """Close the connection once ``count`` more bytes of the server's have come through: within a reply, say."""
        self._cut_after = count

    def partition(self) -> None:
        """Let nothing through, in either direction, without a word to anybody; new connections hang, too."""
        self._open.clear()

    def refuse(self) -> None:
        """Close new connections at once, and all there are."""
        self._refusing = True
        self.cut()

    def heal(self) -> None:
        """Let everything through again, what was held back first."""
        self.delay, self.fragment, self._cut_after, self._refusing = 0.0, 0, None, False
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client."""
        self.accepted += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not self._refusing:
                await self._open.wait()
                await self._relay(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def close(self) -> None:
        """End all connections."""
        self._open.set()
        self.cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers.add(back)
        ways = [
            asyncio.ensure_future(self._way(reader, back, replies=False)),
            asyncio.ensure_future(self._way(there, writer, replies=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers.discard(back)
            back.transport.abort()

    async def _way(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, replies: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._open.wait()
                cut = False
                if replies:
                    if self.delay:
                        await asyncio.sleep(self.delay)
                        await self._open.wait()
                    data, cut = self._counted(data)
                if size := self.fragment:  # it may be set to something else meanwhile
                    for place in range(0, len(data), size):
                        target.write(data[place : place + size])
                        await target.drain()
                        await asyncio.sleep(0)
                else:
                    target.write(data)
                    await target.drain()
                if cut:
                    # What was written still arrives; then comes the end, in the middle of a frame.
                    target.close()
                    await target.wait_closed()
                    return

    def _counted(self, data: bytes) -> tuple[bytes, bool]:
        """Return what of it comes through, and whether it ends with that."""
        cut = False
        if self._cut_after is not None:
            data = data[: self._cut_after]
            self._cut_after -= len(data)
            cut = self._cut_after == 0
            if cut:
                self._cut_after = None
        self.replied += len(data)
        return data, cut


@asynccontextmanager
async def proxy(target: int) -> AsyncIterator[Proxy]:
    """Run a proxy before the server at a port of the loopback, while inside."""
    made = Proxy(target)
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        await made.close()
        await listening.wait_closed()
