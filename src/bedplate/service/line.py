"""What the supervisor of a host and its processes tell each other: single bytes, over a socket pair a process.

The kernel ends a line with either side, however that dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

__all__ = ["ALONE", "DRAINING", "ENDS", "FEWER", "GONE", "HURRY", "LOST", "OTHERS", "STARTED", "TURN", "Line"]

#: The supervisor says: no other worker serves.
ALONE = b"a"
#: The supervisor says: another worker serves, and takes what this one does not.
OTHERS = b"o"
#: The supervisor says to the ops process: workers serve, but one has ended and its replacement does not serve yet.
FEWER = b"f"
#: The supervisor says: all processes end, this one by a SIGTERM that follows.
ENDS = b"e"
#: The supervisor says to the ops process: the workers have ended, and it is its turn.
TURN = b"t"
#: The supervisor says: wait for no request any more.
HURRY = b"h"
#: The supervisor is gone, and says nothing any more.
LOST = b""

#: A process says: all of its services have started.
STARTED = b"s"
#: A process says: it was told to stop, and serves on for its drain time unless another one does; or it has started,
#: and can take no connections for the time being.
DRAINING = b"d"
#: A process says: it takes no connections any more, and ends.
GONE = b"g"


class Line:
    """The end that a process of the host holds; when the supervisor dies it stops the process.

    Nobody would ever restart this process then, and its port could not be had again.

    :param descriptor: the socket that the process was given.
    :ivar heard: what the supervisor said last.
    :ivar patience: seconds that the process may take to stop when the supervisor, who would kill it, is dead.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        # What this process starts must not keep the line when it is gone.
        self._socket.set_inheritable(False)
        self._said = b""
        self.patience = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._callback: Callable[[], None] = lambda: None
        # The first word is sent before the process is started: nobody ever has to guess.
        self.heard = self._next()
        threading.Thread(target=self._hear, name="line", daemon=True).start()

    def watch(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` on the running loop after each word; the one that was heard before is not told."""
        self._callback = callback
        self._loop = asyncio.get_running_loop()

    def say(self, word: bytes) -> None:
        """Tell the supervisor, unless it was told this last."""
        if word != self._said:
            self._said = word
            with contextlib.suppress(OSError):
                self._socket.send(word)

    def _next(self) -> bytes:
        try:
            return self._socket.recv(1)
        except OSError:
            return LOST

    def _hear(self) -> None:
        while word := self._next():
            self._take(word)
        self._take(LOST)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self.patience)
        os.kill(os.getpid(), signal.SIGKILL)

    def _take(self, word: bytes) -> None:
        self.heard = word
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._callback)
