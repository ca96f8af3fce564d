"""A Cluster: which of its servers has a key, and what happens while that changes.

The map of slots is asked for from several servers at once, and for each slot the answer of the latest configuration
counts (its epoch, as among the servers themselves): one that was cut off from the others is outvoted. It is asked for
again when a server says ``MOVED``, when one comes or goes, and from time to time. ``MOVED`` is believed at once, before
the new map is there; ``ASK`` holds for one operation.

Only primaries are used. One that becomes a replica says ``MOVED`` and is left with the next map; what waited for a
server that lost its place goes to the one that has taken it.

Messages are published by any server to all, so they are heard on one. Changes of keys are told by the server that they
were read from. When one server is away, the Redis counts as away: what is held near of that server's keys is not told
of changes any more. Operations on keys of the others go on.

A server that has lost the majority of the others counts as away, too: it says so to whoever asks it for a key, and is
asked with each look at the map, since who has everything near asks it for nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from bedplate.state.redis.address import Address
from bedplate.state.redis.common import Common
from bedplate.state.redis.hashing import SLOTS, slot_of
from bedplate.state.redis.hosts import members
from bedplate.state.redis.layout import Layout, Place, merged, read_layout
from bedplate.state.redis.node import AGAIN, Node, cut_off
from bedplate.state.redis.packing import words
from bedplate.state.redis.replies import away
from bedplate.state.redis.slots import KEYS, ErrorReply, Slot
from bedplate.state.store import StoreError, StoreReplyError

__all__ = ["Cluster"]

#: Seconds between two looks at the map while all is well; and, at first and at most, while it is not.
_EVERY, _SOON, _LATER = 15.0, 0.1, 1.0
#: Servers that are asked for the map at once.
_WITNESSES = 5


class Cluster:
    """Servers that have the keys between them; implements :class:`.router.Router`."""

    def __init__(self, common: Common, url: str, address: Address) -> None:
        self._common, self._address = common, address
        self._seeds = members(url)
        self._owners: list[Node | None] = [None] * SLOTS
        self._known: dict[Place, Node] = {}
        self._keeping: dict[Node, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._home: Node | None = None
        self._complete = False
        self._wake, self._tried = asyncio.Event(), asyncio.Event()
        self._why = "it has not been reached yet"
        told = common.turned
        common.turned = lambda node: self._turned(node, told)
        common.redirect = self._redirect
        self.nodes: Sequence[Node] = ()

    @property
    def available(self) -> bool:
        """Whether every key has a server that takes operations."""
        return self._complete and all(node.available for node in self.nodes)

    def route(self, keys: Sequence[str]) -> Node:
        """Return the server that has the keys.

        :raises StoreUnavailableError: when none is known. :raises StoreReplyError: when no single one has all of them.
        """
        if not keys:
            node = next((node for node in self.nodes if node.available), None) or next(iter(self.nodes), None)
        else:
            slot = slot_of(keys[0])
            for key in keys[1:]:
                if slot_of(key) != slot:
                    raise StoreReplyError(
                        "CROSSSLOT",
                        f"{keys[0]} and {key} are on different servers of the cluster {self._common.name}.",
                        "Give the keys of one operation one hash tag: {user:7}:cart, {user:7}:orders.",
                    )
            node = self._owners[slot]
        if node is None:
            raise away(self._common.name, self._why)
        return node

    def home(self, channel: str) -> Node | None:
        """Return the server on which all channels are heard: one that is connected, as long as it is."""
        if self._home is None or not _connected(self._home):
            self._home = next((node for node in self._known.values() if _connected(node)), None)
        return self._home

    async def tried(self) -> None:
        """Return when the first attempt was made."""
        await self._tried.wait()

    async def keep(self) -> None:
        """Keep up the connections, and the map."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for place in self._seeds:
                    self._node(place)
                tasks.create_task(self._watch())
        finally:
            self._tasks = None
            self._known, self._keeping = {}, {}
            self.nodes, self._owners, self._complete = (), [None] * SLOTS, False

    # The map

    async def _watch(self) -> None:
        """Keep the map up to date."""
        await self._first()
        pause = _SOON
        while True:
            await self._learn()
            if not self._tried.is_set():
                await asyncio.gather(*(node.tried.wait() for node in self.nodes))
                self._tried.set()
                self._common.turned(self.nodes[0])
            settled = self.available and len(self._known) == len(self.nodes)
            pause = _SOON if settled else min(2 * pause, _LATER)
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY if settled else pause):
                    await self._wake.wait()
            # What happens at once, such as a thousand MOVED, is one reason to look.
            await asyncio.sleep(_SOON / 2)

    async def _first(self) -> None:
        """Return when one of the seeds is connected, or none could be."""
        waiting = {asyncio.ensure_future(node.tried.wait()) for node in self._known.values()}
        try:
            while waiting and not any(_connected(node) for node in self._known.values()):
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in waiting:
                future.cancel()

    async def _learn(self) -> None:
        witnesses = [node for node in self._known.values() if _connected(node)]
        if not witnesses:
            # All that were known are gone: perhaps they have moved, and the names of the URL lead to them.
            for place in self._seeds:
                self._node(place)
            self._why = next((node.refusal for node in self._known.values() if node.refusal), self._why)
            return
        asked = random.sample(witnesses, min(len(witnesses), _WITNESSES))
        answers = await asyncio.gather(*(self._ask(node) for node in asked))
        layouts = [answer for answer in answers if isinstance(answer, Layout)]
        if layouts:
            self._apply(merged(layouts))
            return
        for node, answer in zip(asked, answers, strict=True):
            if isinstance(answer, StoreReplyError) and not self._complete:
                self._why = answer.what.rstrip(".")
                node.drop(self._why)

    async def _ask(self, node: Node) -> Layout | StoreError:
        connection, address = node.connection, node.address
        if connection is None or address is None:
            return away(self._common.name, "it has just gone")
        timeout = self._common.settings.timeout
        try:
            info = connection.control(words("CLUSTER", "INFO"), timeout)
            # It is answered before the two, or refused by an ACL; then only who asks for a key is told.
            info.add_done_callback(lambda told: told.cancelled() or told.exception())
            slots, nodes = await asyncio.gather(
                *(connection.control(words("CLUSTER", word), timeout) for word in ("SLOTS", "NODES"))
            )
            if info.done() and not info.cancelled() and info.exception() is None and cut_off(info.result()):
                # Its keys are another's by now, or soon, and nobody tells us here of what changes there.
                node.isolated()
        except StoreError as error:
            return error
        return read_layout(slots, nodes, address.host)

    def _apply(self, layout: Layout) -> None:
        if not layout.ranges:
            self._why = "its servers have no slots"
            return
        owners: list[Node | None] = [None] * SLOTS
        used: dict[Node, None] = {}
        for first, last, place, _ in layout.ranges:
            node = self._node(place)
            used[node] = None
            owners[first : last + 1] = [node] * (last + 1 - first)
        if self._complete and owners != self._owners:
            # Of what was read from the old owner nobody tells any more.
            self._common.pushes.flush()
        self._owners = owners
        self._complete = None not in owners
        self._why = "no server has these keys: the cluster is not complete"
        self.nodes = tuple(used)
        self._clear(used)
        self._rehome()
        self._common.turned(next(iter(used)))

    def _node(self, place: Place) -> Node:
        """Return the server at a place; it is connected from now on."""
        node = self._known.get(place)
        if node is None:
            address = self._address.at(*place)

            async def locate() -> Address:
                return address

            # What it is now, it need not be in a moment; a replica says MOVED.
            node = self._known[place] = Node(self._common, locate, replica=True)
            if not self._complete:
                self.nodes = tuple(self._known.values())
            if self._tasks is not None:
                self._keeping[node] = self._tasks.create_task(node.keep())
        return node

    def _clear(self, used: Collection[Node]) -> None:
        """Let go of servers without keys, once they have answered; what waits for them goes to who has the keys."""
        for place, node in list(self._known.items()):
            if node in used or node.in_flight:
                continue
            del self._known[place]
            for slot in node.forsaken():
                target = self._owners[slot_of(slot[KEYS][0])] if slot[KEYS] else None
                (target or self.nodes[0]).resend(slot, AGAIN)
            task = self._keeping.pop(node, None)
            if task is not None:
                task.cancel()

    # What servers tell

    def _redirect(self, node: Node, slot: Slot, error: ErrorReply) -> tuple[Node, bool] | None:
        """Follow ``MOVED 3999 127.0.0.1:6381`` or ``ASK …``."""
        code, number, where = error.split(" ", 2)
        host, _, port = where.rpartition(":")
        if self._tasks is None or node.address is None or not port.isdigit():
            return None
        target = self._node((host or node.address.host, int(port)))
        if code == "MOVED":
            if self._owners[int(number)] is not target:
                self._owners[int(number)] = target
                self._common.pushes.flush()
            self._wake.set()
        return target, code == "ASK"

    def _turned(self, node: Node, told: Callable[[Node], None]) -> None:
        self._wake.set()
        self._rehome()
        # Until all were tried it is neither there nor away.
        if self._tried.is_set():
            told(node)

    def _rehome(self) -> None:
        """Hear channels elsewhere when the server is gone on which they were heard."""
        before = self._home
        home = self.home("")
        if home is not None and home is not before and home.connection is not None:
            self._common.pushes.joined(home.ear)


def _connected(node: Node) -> bool:
    return node.connection is not None and not node.connection.closed
