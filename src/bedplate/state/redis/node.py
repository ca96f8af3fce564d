"""One server: its connection, kept up for ever, and what becomes of an operation when something goes wrong.

A node knows no topology. Where its server is, it asks before each attempt to connect (:data:`Locate`): always the same
place, or whom the Sentinels name. That keys are elsewhere (``MOVED``, ``ASK``) it is told by the server, and asks
:class:`.common.Redirect`, which a cluster's router is. A server that says ``READONLY`` is left, so that the next
attempt asks anew where the primary is.

When an answer is lost with its connection, a read is sent once more; a write only when it had not left. The second
chance lasts for one attempt to connect, and not beyond the caller's own deadline.

Refused at once, without a try: everything while there is no connection, while most calls come too late (PINGs ask
whether it has become better), and, while the server owes an answer in silence for longer than a caller wants to wait,
the calls of that caller. So of callers with a time-out of 0.1 s one waits for a hung server, and nobody after it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from bedplate.state.redis.address import Address
from bedplate.state.redis.breaker import Backoff, Slowness
from bedplate.state.redis.chances import Chances, Entry
from bedplate.state.redis.common import Common
from bedplate.state.redis.connection import Connection
from bedplate.state.redis.ear import Ear
from bedplate.state.redis.meters import OperationMeter
from bedplate.state.redis.opening import opened
from bedplate.state.redis.packing import CACHING, words
from bedplate.state.redis.replies import AWAY, MOVES, away, refusal
from bedplate.state.redis.server import Server
from bedplate.state.redis.slots import (
    DEADLINE,
    FAR,
    FUTURE,
    KEYS,
    METER,
    OPERATION,
    PARSED,
    STARTED,
    TRIES,
    ErrorReply,
    Slot,
    Waiter,
    skip,
)
from bedplate.state.store import Argument, Operation, Reply, StoreError, StoreReplyError, StoreTimeoutError

__all__ = ["Locate", "Node", "cut_off"]

#: Returns where the server is; asked before each attempt to connect. It raises StoreError when nobody knows.
Locate = Callable[[], Awaitable[Address]]

#: Marks of a slot: sent again after a loss; sent again after its script was loaded; a read that is remembered;
#: and how often it was sent to where it was said to be, in the bits from there on.
AGAIN, LOADED, TRACKED, MOVED = 1, 2, 4, 8
#: A slot that is moved while its keys are asked for is told of twice or three times.
_HOPS = 5
_ASKING = b"*1\r\n$6\r\nASKING\r\n"
#: Seconds after which a connection that ended counts as one that was well.
_LIVED = 5.0


class Node:
    """One server.

    :param locate: where it is. :param replica: whether it may be one, which takes no writes.
    :ivar refusal: why nothing is tried, in words; None while it is.
    :ivar present: set while there is a connection. :ivar ear: where its messages are heard.
    :ivar server: what it said of itself at the last connection; None before. :ivar address: where it was then.
    """

    def __init__(self, common: Common, locate: Locate, *, replica: bool = False) -> None:
        self._common, self._locate, self._replica = common, locate, replica
        self._settings = common.settings
        self._forms = common.forms
        self._limit = common.settings.in_flight
        self._connection: Connection | None = None
        self._lost, self._hurry = asyncio.Event(), asyncio.Event()
        self._chances = Chances(common.name)
        self._slowness = Slowness()
        self._backoff = Backoff(self._settings.backoff, self._settings.backoff_limit)
        self._hung = self._closing = False
        self.tried, self.present = asyncio.Event(), asyncio.Event()
        self.ear = Ear(common, self)
        self.refusal: str | None = "it has not been reached yet"
        self.server: Server | None = None
        self.address: Address | None = None
        self.reconnects = 0

    # Asking

    def send(
        self,
        waiter: Waiter,
        operation: Operation,
        keys: Sequence[str],
        args: Sequence[Argument],
        timeout: float,
        parsed: Callable[[Reply], None] | None,
    ) -> None:
        """Send an operation; the waiter is told how it went, perhaps in this call.

        :raises TypeError: when a key or an argument is neither text nor a number.
        """
        form = self._forms.get(operation) or self._common.form(operation)
        connection = self._connection
        if connection is None or self.refusal is not None or (connection.caution and connection.waited() >= timeout):
            self._refuse(waiter, form[1])
            return
        slots = connection.slots
        if len(slots) >= self._limit:
            self._refuse(waiter, form[1], f"{self._limit} operations wait for its answer already")
            return
        packed = form[0](keys, args)
        if not connection.scheduled:
            connection.schedule()
        now = connection.now
        deadline = now + timeout
        if deadline < connection.alarm:
            connection.arm(deadline)
        mark = 0
        if self._common.pushes.prefixes and self._common.tracks(operation, keys):
            mark, parsed = self._remembered(connection, operation, parsed, keys)
        slots.append((waiter, parsed, form[1], now, deadline, operation, keys, packed, mark))
        connection.out.append(packed)
        connection.unsent += 1

    def _remembered(
        self,
        connection: Connection,
        operation: Operation,
        parsed: Callable[[Reply], None] | None,
        keys: Sequence[str],
    ) -> tuple[int, Callable[[Reply], None] | None]:
        if not connection.tracked:
            return 0, self._common.pushes.forgetting(operation, parsed, keys)
        connection.say(skip(CACHING, connection.now))
        return TRACKED, parsed

    def _refuse(self, waiter: Waiter, meter: OperationMeter, why: str = "") -> None:
        meter.count("refused")
        waiter.set_exception(away(self._common.name, why or self.refusal or "it owes answers for some time already"))

    def isolated(self) -> None:
        """Refuse everything until its server says that it is among the others again."""
        self._pause(AWAY["CLUSTERDOWN"])

    def resend(self, slot: Slot, mark: int, *before: bytes) -> None:
        """Send an operation again; for routers too, with ``ASKING`` before it.

        :param mark: why. :param before: commands that go right before it.
        """
        connection = self._connection
        if connection is None:
            self._chances.wait([(slot, False)])
            return
        if slot[TRIES] & TRACKED:
            if connection.tracked:
                before = (*before, CACHING)
            else:
                slot = self._forgotten(slot)
        for packed in before:
            connection.say(skip(packed, time.monotonic()))
        connection.say((*slot[:TRIES], slot[TRIES] | mark))

    @property
    def connection(self) -> Connection | None:
        """The present connection; None while there is none."""
        return self._connection

    @property
    def available(self) -> bool:
        """Whether an operation would be tried that waits as long as the settings say."""
        return self._connection is not None and self.refusal is None and not self._hung

    @property
    def in_flight(self) -> int:
        """How many commands have no reply yet."""
        return 0 if self._connection is None else len(self._connection.slots)

    # What a connection tells

    def pushed(self, message: Sequence[Any]) -> None:
        """Pass on what the server said by itself."""
        self._common.pushes.heard(message)

    def refused(self, slot: Slot, error: ErrorReply) -> None:
        """Make another try of an error that says how, and an exception of any other."""
        code, operation, mark, meter = error.code, slot[OPERATION], slot[TRIES], slot[METER]
        if isinstance(meter, OperationMeter):
            if code == "NOSCRIPT" and operation.script and not mark & LOADED:
                self.resend(slot, LOADED, words("SCRIPT", "LOAD", operation.script))
                return
            if code in MOVES and self._redirected(slot, error):
                return
            if code == "READONLY":
                self._demoted(slot)
                return
            if code in AWAY and code != "TRYAGAIN":  # which is so for some keys only
                self._pause(AWAY[code])
            meter.count("refused" if code in AWAY else "error")
        if not slot[FUTURE].done():
            slot[FUTURE].set_exception(refusal(self._common.name, error, operation.name))

    def _redirected(self, slot: Slot, error: ErrorReply) -> bool:
        if slot[TRIES] >= MOVED * _HOPS or self._common.redirect is None:
            return False
        target = self._common.redirect(self, slot, error)
        if target is None:
            return False
        node, asking = target
        tries = slot[TRIES] + MOVED
        if asking and tries & TRACKED:
            # ASKING and CACHING each hold for the very next command only, so this one is read without being remembered.
            tries -= TRACKED
            slot = self._forgotten(slot)
        node.resend((*slot[:TRIES], tries), 0, *((_ASKING,) if asking else ()))
        return True

    def _forgotten(self, slot: Slot) -> Slot:
        """Return an operation of which nothing may be held, as nobody will tell of changes."""
        return (slot[FUTURE], self._common.pushes.forgetting(slot[OPERATION], slot[PARSED], slot[KEYS]), *slot[METER:])

    def forsaken(self) -> list[Slot]:
        """Return what waits for the server to come back; for a router that knows better. It waits here no more."""
        return self._chances.take()

    def _demoted(self, slot: Slot) -> None:
        """Leave a server that takes no writes any more; what it refused was not done, and has its second chance."""
        if slot[TRIES] & AGAIN:
            self._chances.fail([(slot, False)], AWAY["READONLY"])
        else:
            self._chances.wait([(slot, False)])
        self.drop(AWAY["READONLY"])

    def late(self, slots: Sequence[Slot], silent: float) -> None:
        """Tell those whose time is over, and judge whether others should wait at all."""
        slow = 0
        for slot in slots:
            if isinstance(slot[METER], OperationMeter):
                slot[METER].count("timeout")
            seconds = slot[DEADLINE] - slot[STARTED]
            slow += silent < seconds / 2
            what = f"{self._common.name} did not answer {slot[OPERATION].name} within {seconds:.3g} s."
            slot[FUTURE].set_exception(StoreTimeoutError(what, sent=True))
        connection = self._connection
        if connection is None:
            return
        if self._slowness.late(slow, good=connection.good, heard=connection.heard, now=time.monotonic()):
            self._pause("most of its answers come too late")
        left = self._settings.timeout - silent
        if left <= 0:
            self._set_hung(True)
        else:
            asyncio.get_running_loop().call_later(left + 0.001, self._judge, connection)

    def _judge(self, connection: Connection) -> None:
        if connection is self._connection and connection.caution and connection.waited() >= self._settings.timeout:
            self._set_hung(True)

    def moving(self, connection: Connection) -> None:
        """It speaks again."""
        if connection is self._connection:
            self._set_hung(False)

    def _turned(self) -> None:
        if not self._closing:
            self._common.turned(self)

    def _set_hung(self, hung: bool) -> None:
        if hung is not self._hung:
            self._hung = hung
            self._turned()

    def lost(self, connection: Connection, sent: Sequence[Slot], unsent: Sequence[Slot], why: str) -> None:
        """Give what may be sent again its second chance, and tell everybody else."""
        current = connection is self._connection
        if current:
            self._connection, self._hung, self.refusal = None, False, why
            self.present.clear()
            self.ear.drop(why)
        failed: list[Entry] = []
        again: list[Entry] = []
        for slots, left in ((sent, True), (unsent, False)):
            for slot in slots:
                if slot[FUTURE].done():
                    continue
                own = not isinstance(slot[METER], OperationMeter)
                hopeless = own or slot[TRIES] & AGAIN or (left and not slot[OPERATION].reads)
                (failed if hopeless else again).append((slot, left))
        self._chances.fail(failed, why)
        self._chances.wait(again)
        if current:
            self._turned()
            self._lost.set()

    # Slow, but there

    def _pause(self, why: str) -> None:
        """Refuse everything until a PING is answered well, or a server that was cut off is among the others again."""
        connection = self._connection
        if connection is None or self.refusal is not None:
            return
        self.refusal = why
        self._turned()
        backoff = Backoff(self._settings.backoff, self._settings.backoff_limit)

        def asked(seconds: float) -> None:
            if connection is not self._connection:
                return
            if seconds <= self._settings.timeout / 2:
                self.refusal, self._slowness = None, Slowness()
                self._turned()
            else:
                asyncio.get_running_loop().call_later(backoff.next(), ask)

        def ask() -> None:
            if connection is not self._connection or connection is None:
                return
            if why != AWAY["CLUSTERDOWN"]:
                connection.ask(asked)
                return
            # It answers PINGs as ever. Whether it is among the others again, it has to be asked for.
            told = connection.control(words("CLUSTER", "INFO"), self._settings.timeout)
            told.add_done_callback(lambda reply: asked(0.0 if _quorate(reply) else FAR))

        asyncio.get_running_loop().call_later(backoff.next(), ask)

    # Coming and going

    def drop(self, why: str) -> None:
        """End the connection; another is made at once. For who knows that the server is not the right one any more."""
        if self._connection is not None:
            self._connection.abort(why)

    def hurry(self) -> None:
        """Try to connect now. For who knows that the server has come back, or that another has taken its place."""
        self._backoff.failures = 0
        self._hurry.set()

    async def _rest(self, seconds: float) -> None:
        self._hurry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    async def keep(self) -> None:
        """Keep up the connections, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep())
                tasks.create_task(self.ear.keep())
        finally:
            self._closing = True
            self.drop("the service stops")
            self._chances.end("the service stops")

    async def _keep(self) -> None:
        while True:
            self._lost.clear()
            if await self._connect():
                since = time.monotonic()
                await self._lost.wait()
                self.reconnects += 1
                if time.monotonic() - since >= _LIVED:
                    self._backoff.failures = 0
            if self._backoff.failures:
                await self._rest(self._backoff.next())
            else:
                self._backoff.failures = 1

    async def _connect(self) -> bool:
        try:
            self.address = await self._locate()
            connection, self.server = await opened(self._common, self, self.address, replica=self._replica)
        except TimeoutError:
            return self._unreached(f"it did not answer within {self._settings.connect_timeout:g} s")
        except StoreError as error:
            return self._unreached(_reason(error))
        except OSError as error:
            return self._unreached(_words(error))
        finally:
            self.tried.set()
        if connection.closed:
            return self._unreached("it closed the connection")
        self._connection, self.refusal, self._slowness = connection, None, Slowness()
        self._common.pushes.flush()
        self.present.set()
        for slot in self._chances.take():
            self.resend(slot, AGAIN)
        self._turned()
        return True

    def _unreached(self, why: str) -> bool:
        self.refusal = why
        self._chances.end(why)
        self._turned()
        return False


def _quorate(told: asyncio.Future[Any]) -> bool:
    """Whether a server's CLUSTER INFO says that it may answer; one that must not be asked for it may."""
    if told.cancelled():
        return False
    error = told.exception()
    return isinstance(error, StoreReplyError) if error is not None else not cut_off(told.result())


def cut_off(info: Any) -> bool:
    """Whether a CLUSTER INFO says that its server takes no work: it has lost the majority of the others."""
    return isinstance(info, bytes) and b"cluster_state:fail" in info


def _reason(error: StoreError) -> str:
    why = error.what.partition(" is away: ")[2]
    return (why or f"{error.what} {error.mend}".rstrip()).removesuffix(".")


def _words(error: OSError) -> str:
    return str(error.strerror or error) or type(error).__name__
