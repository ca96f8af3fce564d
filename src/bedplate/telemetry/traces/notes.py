"""Spans as notes: what a span costs while nobody knows yet whether its trace will be kept.

A noted span is one tuple in the work's context. Most requests are neither sampled, slow nor failed, and their notes
are thrown away unread; only the others pay for spans (:mod:`bedplate.telemetry.traces.recorder`).
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from bedplate.telemetry.context import WorkContext, current

if TYPE_CHECKING:
    from bedplate.telemetry.traces.recorder import TraceRecorder

__all__ = [
    "Entry",
    "LateNotes",
    "Notes",
    "active",
    "active_span_id",
    "ambient",
    "new_span_id",
    "note",
    "random_bits",
    "recorders",
    "running",
    "unix_offset",
]

#: Spans noted in one piece of work when no recorder says otherwise.
DEFAULT_LIMIT = 512

_ids = random.Random(os.urandom(16))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _ids.seed(os.urandom(16)))

#: Return 64 random bits; a child process never repeats its parent's.
random_bits = _ids.getrandbits

#: The innermost open span, as (work, span id). It names its work, because work can run inside other work: an
#: in-process call to another service must not take the caller's span for a sibling.
active: ContextVar[tuple[WorkContext, int] | None] = ContextVar("bedplate_span", default=None)

#: The recorder of the service on whose behalf this code runs, where no work says so.
ambient: ContextVar[TraceRecorder | None] = ContextVar("bedplate_recorder", default=None)

#: The recorders of the services that run in this process.
recorders: list[TraceRecorder] = []
_opening = threading.Lock()


def unix_offset() -> int:
    """Return the nanoseconds from the clock of notes to Unix time.

    The two cannot be read at once, and a busy machine may stop us in between: of three pairs the closest counts.
    """
    pairs = [(perf_counter_ns(), time_ns(), perf_counter_ns()) for _ in range(3)]
    before, unix, after = min(pairs, key=lambda pair: pair[2] - pair[0])
    return unix - (before + after) // 2


class Entry(NamedTuple):
    """A noted span; hot paths write it as a plain tuple in this order.

    Times are those of :func:`time.perf_counter_ns`; ``parent`` 0 is the root span of the work.
    """

    name: str
    span_id: int
    parent: int
    started: int
    ended: int
    error: str | None
    attributes: Mapping[str, Any] | None


class Notes(list[tuple[Any, ...]]):
    """The notes of one piece of work, bounded.

    :ivar limit: leaves noted at most; a span with noted children is kept up to twice that, so that no child loses
        its parent.
    :ivar dropped: spans beyond the limit.
    :ivar slow_ns: duration from which a span without a threshold of its own is slow.
    :ivar root_claimed: whether OpenTelemetry has made the root span, under the work's own span id.
    :ivar root: that span; what is set on it belongs to ours.
    """

    __slots__ = ("claiming", "dropped", "limit", "root", "root_claimed", "slow_ns")

    def __init__(self, limit: int = DEFAULT_LIMIT, slow_ns: float = float("inf")) -> None:
        super().__init__()
        self.limit = limit
        self.slow_ns = slow_ns
        self.dropped = 0
        self.claiming = False
        self.root_claimed = False
        self.root: Any = None


class LateNotes(Notes):
    """Takes the place of the notes once the trace is stored: a background task's spans still reach the store."""

    __slots__ = ("_parts", "_recorder", "_work")

    def __init__(self, recorder: TraceRecorder, work: WorkContext, limit: int, slow_ns: float) -> None:
        super().__init__(limit, slow_ns)
        self._recorder = recorder
        self._work = work
        self._parts = 0

    def append(self, entry: tuple[Any, ...], /) -> None:
        """Store the span at once; it is too late to wait for a request that has ended."""
        if self._parts < self.limit:
            self._parts += 1
            self._recorder.late(self._work, Entry(*entry), self._parts)
        else:
            self._recorder.dropped(1)


def new_span_id() -> int:
    """Return a random span id, never 0, which the W3C reserves."""
    return random_bits(64) or 1


def running() -> TraceRecorder | None:
    """Return the recorder of the service this code runs for, or the process's only one; None when it is not clear."""
    recorder = ambient.get()
    if recorder is not None and recorder.running:
        return recorder
    return recorders[0] if len(recorders) == 1 else None


def register(recorder: TraceRecorder) -> None:
    """Let code outside any request find the recorder."""
    recorders.append(recorder)


def unregister(recorder: TraceRecorder) -> None:
    """Undo :func:`register`."""
    if recorder in recorders:
        recorders.remove(recorder)


def recorder_of(work: WorkContext) -> TraceRecorder | None:
    """Return the recorder of the service that does the work."""
    recorder: TraceRecorder | None = work.recorder
    return recorder if recorder is not None else running()


def open_notes(work: WorkContext) -> Notes:
    """Return the notes of the work; made with its recorder's bounds when there are none yet."""
    with _opening:
        if isinstance(work.notes, Notes):
            return work.notes
        recorder = recorder_of(work)
        notes = Notes() if recorder is None else Notes(recorder.max_spans, recorder.slow_ns)
        work.notes = notes
        return notes


def note(work: WorkContext, entry: tuple[Any, ...], before: int, slow_ns: float | None) -> None:
    """Note a span that has ended, and report it when it was slow.

    :param before: how many notes there were when it started; more by now means that it may have children among them.
    :param slow_ns: its own threshold, None for the recorder's.
    """
    notes: Any = work.notes
    if notes is None:
        notes = open_notes(work)
    count = len(notes)
    if count < notes.limit or (count != before and count < 2 * notes.limit):
        notes.append(entry)
    else:
        notes.dropped += 1
    if entry[4] - entry[3] >= (notes.slow_ns if slow_ns is None else slow_ns):
        report_slow(work, Entry(*entry))


def report_slow(work: WorkContext, entry: Entry) -> None:
    """Tell the recorder of an operation that took longer than it should."""
    recorder = recorder_of(work)
    if recorder is not None:
        recorder.slow_operation(work, entry)


def active_span_id(work: WorkContext) -> str:
    """Return the innermost open span of the work, its root span when none is open; 16 hex digits."""
    top = active.get()
    return f"{top[1]:016x}" if top is not None and top[0] is work else work.span_id


def current_span() -> tuple[str, str] | None:
    """Return (trace id, innermost span id) of the work at hand, None outside any."""
    work = current.get()
    return None if work is None else (work.trace_id, active_span_id(work))


#: The clock of notes.
now = perf_counter_ns
