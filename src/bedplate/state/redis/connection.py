"""One connection to one server, shared by everybody: RESP3, all commands of a turn of the loop in one write.

Replies come in the order of the commands, and that order is all that tells whose a reply is. So every command has a
:data:`.slots.Slot` in a queue, and a slot leaves it in one way only: by its reply (or by the end of the connection).
Whoever waited may be cancelled or time out before; the slot stays, and its reply is dropped when it comes. What the
server says on its own (messages, invalidations) comes as RESP3 pushes, which are told apart by their type and never
take a slot, save the confirmations of SUBSCRIBE and UNSUBSCRIBE, which are their replies.

Deadlines cost a comparison a call: the connection has one alarm, at the earliest deadline that it has been told of.
When it rings the queue is looked through, and the alarm set to the earliest that is left. A call that was answered
takes nothing back, so under load it rings once a time-out.

A connection knows neither topology nor retries: it tells its :class:`Owner`. It is used by :class:`.node.Node` only.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from bedplate.state.redis.packing import words
from bedplate.state.redis.slots import (
    CONFIRMATIONS,
    CONTROL,
    DEADLINE,
    FAR,
    FUTURE,
    KEYS,
    NOBODY,
    OPERATION,
    PACKED,
    STARTED,
    SUBSCRIPTIONS,
    ErrorReply,
    Meter,
    Ping,
    Slot,
)
from bedplate.state.store import Reply

__all__ = ["Connection", "Owner"]

#: Replies parsed in one turn of the loop: with those who waited for them, about a millisecond.
_PORTION = 250
#: Slots timed out in one turn of the loop; an exception costs its receiver more than a reply.
_LATE = 50
#: An alarm that rings so much too late found the loop busy; replies may be waiting in the socket.
_STALLED = 0.02
_NOTHING = object()


class Owner(Protocol):
    """Who is told what happens on a connection."""

    def refused(self, slot: Slot, error: ErrorReply) -> None:
        """The server answered a command with an error; the slot is the owner's now."""
        ...

    def pushed(self, message: Sequence[Any]) -> None:
        """The server said something by itself."""
        ...

    def late(self, slots: Sequence[Slot], silent: float) -> None:
        """These are over their deadline and nothing has come for ``silent`` seconds; their replies are still awaited.

        The waiters are to be told; the slots stay.
        """
        ...

    def moving(self, connection: Connection) -> None:
        """Something came from a connection that had been silent for longer than somebody wanted to wait."""
        ...

    def lost(self, connection: Connection, sent: Sequence[Slot], unsent: Sequence[Slot], why: str) -> None:
        """The connection is gone, and with it the replies; the slots are the owner's now."""
        ...


class Connection(asyncio.Protocol):
    """A connection; made by ``loop.create_connection``. The attributes are for :class:`.node.Node`'s hot path.

    :param quiet: seconds without a word after which the server is asked whether it is there.
    :param patience: seconds that the oldest command may go unanswered, with nothing heard, before the server is dead.
    :ivar slots: the commands without a reply, oldest first. :ivar out: what this turn of the loop has to say.
    :ivar now: the time when this turn first said something; valid while ``scheduled``.
    :ivar alarm: when the alarm rings. :ivar caution: somebody's deadline passed and nothing has been heard since.
    :ivar tracked: whether the server remembers what is read after ``CLIENT CACHING YES``.
    :ivar unsent: how many of the youngest slots are still in ``out``. :ivar good: how many calls were answered in time.
    """

    def __init__(self, owner: Owner, *, quiet: float, patience: float) -> None:
        from hiredis import ProtocolError, PushNotification, Reader

        self._owner = owner
        self._quiet, self._patience = quiet, patience
        self._loop = asyncio.get_running_loop()
        reader = Reader(replyError=cast(Any, ErrorReply), notEnoughData=_NOTHING)
        self._feed: Callable[[bytes], object] = reader.feed
        self._gets: Callable[[], Any] = reader.gets
        self._push: type = PushNotification
        self._garbled: type[Exception] = ProtocolError
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heart: asyncio.TimerHandle | None = None
        self._paused = self._more = self._graced = False
        self._why = ""
        self._due = 0.0
        self.slots: deque[Slot] = deque()
        self.out: list[bytes] = []
        self.scheduled = False
        self.now = self.heard = time.monotonic()
        self.alarm = FAR
        self.caution = False
        self.unsent = self.good = 0
        self.closed = False
        self.tracked = False

    # What goes out

    def control(self, command: bytes, timeout: float) -> asyncio.Future[Any]:
        """Say something for the connection itself; the future has the reply or the error."""
        future: asyncio.Future[Any] = self._loop.create_future()
        now = time.monotonic()
        self.say((future, None, NOBODY, now, now + timeout, CONTROL, (), command, 0))
        return future

    def subscription(self, word: str, channel: str) -> asyncio.Future[Any]:
        """Say ``SUBSCRIBE``, ``UNSUBSCRIBE`` … of one channel, which is confirmed by a push; it has no deadline."""
        future: asyncio.Future[Any] = self._loop.create_future()
        now = time.monotonic()
        packed = words(word, channel)
        self.say((future, None, NOBODY, now, FAR, SUBSCRIPTIONS[word], (channel,), packed, 0))
        return future

    def say(self, slot: Slot) -> None:
        """Send a command with the others of this turn."""
        if self.closed:
            self._owner.lost(self, (), (slot,), self._why)
            return
        if not self.scheduled:
            self.schedule()
        if slot[DEADLINE] < self.alarm:
            self.arm(slot[DEADLINE])
        self.slots.append(slot)
        self.out.append(slot[PACKED])
        self.unsent += 1

    def schedule(self) -> None:
        """Begin a turn: what is in ``out`` is written when all who run now have had their say."""
        self.scheduled = True
        self.now = time.monotonic()
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self.scheduled = False
        if self._transport is None or self._paused:
            return
        out = self.out
        if out:
            self.unsent = 0
            self._transport.write(b"".join(out) if len(out) > 1 else out[0])
            out.clear()

    def pause_writing(self) -> None:
        """The server does not read; what is said waits in ``out``, and the owner's bound on slots ends it."""
        self._paused = True

    def resume_writing(self) -> None:
        """It reads again."""
        self._paused = False
        self._flush()

    # What comes in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop has one of its own
        self.heard = time.monotonic()
        self._rest(self._quiet)

    def data_received(self, data: bytes) -> None:
        """Take what came, in whatever pieces."""
        self._feed(data)
        self.heard = time.monotonic()
        if self.caution:
            self.caution = False
            self._owner.moving(self)
        if not self._more:
            self._parse()

    def _parse(self) -> None:
        self._more = False
        if self._transport is None:
            return
        gets, slots, push, now = self._gets, self.slots, self._push, self.heard
        meter: Meter = NOBODY
        count, since, good = 0, now, 0
        try:
            for _ in range(_PORTION):
                reply = gets()
                if reply is _NOTHING:
                    break
                kind = type(reply)
                if kind is push:
                    self._pushed(reply)
                    continue
                if not slots:
                    self.abort("it answered what nobody asked")
                    break
                slot = slots.popleft()
                if kind is ErrorReply:
                    self._owner.refused(slot, reply)
                    if self.closed:
                        break
                    continue
                if slot[2] is meter:
                    count += 1
                else:
                    if count:
                        meter.answered(count, now - since)
                    meter, count, since = slot[2], 1, slot[3]
                if slot[1] is not None:
                    self._tell(slot[1], reply)
                if not slot[0].done():
                    slot[0].set_result(reply)
                    good += 1
            else:
                self._more = True
                self._loop.call_soon(self._parse)
        except self._garbled as error:
            self.abort(f"it does not speak RESP: {error}")
        self.good += good
        if count:
            meter.answered(count, now - since)

    def _tell(self, parsed: Callable[[Reply], None], reply: Reply) -> None:
        try:
            parsed(reply)
        except Exception as error:  # it is the caller's own, and must not cost others their replies
            self._loop.call_exception_handler({"message": "A callback of a Redis reply failed", "exception": error})

    def _pushed(self, message: Sequence[Any]) -> None:
        operation = CONFIRMATIONS.get(message[0])
        if operation is not None and self.slots:
            head = self.slots[0]
            if head[OPERATION] is operation and head[KEYS][0].encode() == message[1]:
                self.slots.popleft()
                if not head[FUTURE].done():
                    head[FUTURE].set_result(message)
                return
        self._tell(self._owner.pushed, message)

    # Time

    def arm(self, deadline: float) -> None:
        """Ring at ``deadline`` at the latest."""
        if self._timer is not None:
            self._timer.cancel()
        self.alarm = deadline
        self._timer = self._loop.call_later(max(deadline - time.monotonic(), 0.001), self._ring)

    def _ring(self) -> None:
        now, self._timer = time.monotonic(), None
        if self._overslept(now - self.alarm):
            self._timer = self._loop.call_later(0.001, self._ring)
            return
        late: list[Slot] = []
        soonest = FAR
        for slot in self.slots:
            deadline = slot[4]
            if deadline <= now and len(late) < _LATE:
                if not slot[0].done():
                    late.append(slot)
            elif deadline < soonest and not slot[0].done():
                soonest = deadline
        self.alarm = FAR
        if soonest < FAR:
            self.arm(soonest)
        if late:
            silent = now - max(self.heard, self.slots[0][STARTED])
            self.caution = True
            self._owner.late(late, silent)

    def _overslept(self, by: float) -> bool:
        """Whether the loop was busy with something else: let it read the socket before anybody is said to be late."""
        self._graced = by > _STALLED and not self._graced
        return self._graced

    def waited(self) -> float:
        """Return for how many seconds the server has owed an answer and said nothing."""
        if not self.slots:
            return 0.0
        return time.monotonic() - max(self.heard, self.slots[0][STARTED])

    def _beat(self) -> None:
        now = time.monotonic()
        if self._overslept(now - self._due):
            self._rest(0.005)
            return
        owed, idle = self.waited(), now - self.heard
        if owed >= self._patience:
            self.abort(f"it has not answered for {owed:.1f} s")
            return
        if self.slots:
            wait = self._patience - owed
        elif idle >= self._quiet:
            self.ask(lambda seconds: None)
            wait = self._patience
        else:
            wait = self._quiet - idle
        self._rest(max(min(wait, self._quiet), 0.005))

    def _rest(self, seconds: float) -> None:
        self._due = time.monotonic() + seconds
        self._heart = self._loop.call_later(seconds, self._beat)

    def ask(self, told: Callable[[float], None]) -> None:
        """Send a PING, whose answer proves that the order still holds.

        :param told: called with the seconds until it came, infinite when the server answered with an error.
        """
        token = os.urandom(8).hex()
        ping = Ping(token.encode(), told, lambda: self.abort("its answers are out of order"))
        self.say((ping, None, NOBODY, time.monotonic(), FAR, CONTROL, (), words("PING", token), 0))

    # The end

    def abort(self, why: str) -> None:
        """End it now; the owner is told in this call."""
        self._why = self._why or why
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """It ended."""
        self._why = self._why or (str(exc) if exc is not None else "the server closed it")
        self._end()

    def _end(self) -> None:
        if self.closed:
            return
        self.closed = True
        for timer in (self._timer, self._heart):
            if timer is not None:
                timer.cancel()
        self._transport = None
        slots, unsent = list(self.slots), self.unsent
        self.slots.clear()
        self.out.clear()
        border = len(slots) - unsent
        self._owner.lost(self, slots[:border], slots[border:], self._why)
