"""Reports that are put off: what is said of ordinary requests is said of many at once, in one loop.

Around a request everything runs cold: the application's own code has pushed ours out of the processor's caches. So the
end of an ordinary request leaves one tuple here, and counts, looks up and forms nothing. See decision 0034.
"""

from __future__ import annotations

import logging
from asyncio import TimerHandle, get_running_loop
from collections.abc import Callable, Iterable
from contextvars import copy_context
from time import monotonic
from typing import Any, Final

from starlette.types import Scope

__all__ = ["HUNG", "MOST", "WITHIN", "Later", "Record"]

#: Reports that are put off together, at most: they take a fifth of a millisecond, and some memory until then.
MOST: Final = 128
#: Seconds after which a report is made at the latest.
WITHIN: Final = 0.05
#: Seconds after which the loop counts as hung: what ended before that is reported without it, as it may tell why.
HUNG: Final = 0.5

#: Route; what the scope told of the request (method, path, root path, query and the peer); the client's address, None
#: where it is the peer's; status, request's and response's size, duration, when it ended by :func:`time.perf_counter`,
#: and the context. What is read of it does not change any more, and no scope is kept: what an application has put there
#: must not live longer than its request.
Record = tuple[Any, ...]

_logger = logging.getLogger("bedplate.http")


class Later:
    """Reports of one middleware that are put off.

    Whoever has a record appends it to :attr:`records`, and calls :meth:`turn` when they are :attr:`enough`.

    :param report: reports records, in the order in which they came.
    :param slow: seconds from which a request is not an ordinary one.
    :param client: finds the client's address; None where it is the scope's own, which is a pair then.
    :ivar enough: one while no timer runs, so that the first record sets it; else :data:`MOST`.
    """

    __slots__ = ("_context", "_report", "_since", "_timer", "client", "enough", "records", "slow")

    def __init__(
        self, report: Callable[[Iterable[Record]], None], slow: float, client: Callable[[Scope], str] | None
    ) -> None:
        self._report = report
        # Of whoever starts the service: the timer must neither speak for a request nor keep what is bound to one.
        self._context = copy_context()
        self.client = client
        self._timer: TimerHandle | None = None
        self._since = 0.0
        self.slow = slow
        self.enough = 1
        self.records: list[Record] = []

    def turn(self) -> None:
        """Set the timer, or report when there is enough to report."""
        if self._timer is None:
            self._since = monotonic()
            self._timer = get_running_loop().call_later(WITHIN, self._due, context=self._context)
            self.enough = MOST
        else:
            self.flush()

    def _due(self) -> None:
        self._timer = None
        self.enough = 1
        self.flush()

    def overdue(self) -> None:
        """Report what the loop should have reported long ago; for a thread that does not depend on it."""
        if self.records and self._timer is not None and monotonic() - self._since > HUNG:
            self.flush()

    def flush(self) -> None:
        """Report what was put off; from any thread, and in the middle of itself."""
        records, self.records = self.records, []
        rest = iter(records)
        while True:
            try:
                # One that cannot be reported must not take the others with it.
                self._report(rest)
                return
            except Exception:
                _logger.exception("Could not report a request")

    def close(self) -> None:
        """Report what is left, and wait for nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._due()

    def forget(self) -> None:
        """Begin anew in the child of a fork: what was put off is the parent's, and so is the timer."""
        self.records = []
        self._timer = None
        self.enough = 1
